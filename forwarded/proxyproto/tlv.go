package proxyproto

import (
	"encoding/binary"
	"hash/crc32"
)

// A TLVType tells one extension of a header from another.
type TLVType uint8

// The types that the specification names in section 2.2, and those of the
// vendors. CRC32C and NOOP are not among them: they are dealt with when the
// header is read.
const (
	TLVALPN      TLVType = 0x01 // the protocol chosen in the client's TLS handshake
	TLVAuthority TLVType = 0x02 // the server name that the client asked for; see Header.Authority
	TLVUniqueID  TLVType = 0x05 // up to 128 bytes
	TLVSSL       TLVType = 0x20 // see Header.SSL
	TLVNetNS     TLVType = 0x30 // the name of a network namespace
	TLVGCP       TLVType = 0xE0 // Google Cloud: the id of a Private Service Connect connection
	TLVAlibaba   TLVType = 0xE1
	TLVAWS       TLVType = 0xEA // see Header.VPCEndpoint
	TLVAzure     TLVType = 0xEE // the id of a private endpoint's link

	tlvCRC32C TLVType = 0x03
	tlvNOOP   TLVType = 0x04
)

// nextTLV splits the first extension off; ok is false if it is cut short.
func nextTLV(b []byte) (kind TLVType, value, rest []byte, ok bool) {
	if len(b) < 3 {
		return 0, nil, nil, false
	}
	end := 3 + int(binary.BigEndian.Uint16(b[1:]))
	if len(b) < end {
		return 0, nil, nil, false
	}
	return TLVType(b[0]), b[3:end], b[end:], true
}

// checkTLVs checks the extensions that begin at header[at:].
func checkTLVs(header []byte, at int) error {
	checked := false
	for rest := header[at:]; len(rest) > 0; {
		kind, value, after, ok := nextTLV(rest)
		switch {
		case !ok || kind == tlvCRC32C && (checked || len(value) != 4):
			return badTLV
		case kind == TLVSSL && !wellFormedSSL(value):
			return badSSL
		case kind == tlvCRC32C:
			checked = true
			if !checksumMatches(header, len(header)-len(after)-4) {
				return badChecksum
			}
		}
		rest = after
	}
	return nil
}

// checksumMatches recomputes the CRC32C of the whole header, in which the four
// bytes of the checksum itself, at header[at:], count as zeros.
func checksumMatches(header []byte, at int) bool {
	field := header[at : at+4]
	want := binary.BigEndian.Uint32(field)
	clear(field)
	sum := crc32.Checksum(header, crc32.MakeTable(crc32.Castagnoli)) // the table is made once for the whole process
	binary.BigEndian.PutUint32(field, want)
	return sum == want
}

// wellFormedSSL reports whether a TLS extension has its five bytes of flags and
// whole extensions behind them.
func wellFormedSSL(value []byte) bool {
	if len(value) < 5 {
		return false
	}
	for rest := value[5:]; len(rest) > 0; {
		var ok bool
		if _, _, rest, ok = nextTLV(rest); !ok {
			return false
		}
	}
	return true
}
