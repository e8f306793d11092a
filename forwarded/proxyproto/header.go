package proxyproto

import (
	"bytes"
	"encoding/binary"
	"iter"

	"github.com/knownhops/knownhops/forwarded"
)

// A Header is what a PROXY header said. The zero Header means that there was
// none. It is immutable and may be used concurrently.
//
// Peer is the sender's own address, invalid for a unix socket. Source and
// Destination are invalid, and there are no extensions, where Local is set:
// then the sender speaks for itself. They are invalid too where it did not say
// who the client is (UNKNOWN, UNSPEC) and where the client came to the sender
// over a unix socket. IPv4-mapped addresses are IPv4 here; port 0 means that
// the sender knew none.
type Header struct {
	forwarded.Transport
	Version int    // 1 or 2
	Network string // between client and sender: "tcp", "udp", "unix", "unixgram", or "" if it did not say

	paths, tlvs []byte // parts of the header as it came
}

// Paths returns the names of both sockets where Network is "unix" or
// "unixgram", each "" if it has none. A name that begins with "@" is in the
// abstract namespace. The client has chosen its own: it proves nothing.
func (h Header) Paths() (source, destination string) {
	if h.paths == nil {
		return "", ""
	}
	return socketName(h.paths[:pathLen]), socketName(h.paths[pathLen:])
}

func socketName(b []byte) string {
	if b[0] == 0 {
		if name := bytes.TrimRight(b[1:], "\x00"); len(name) > 0 {
			return "@" + string(name)
		}
		return ""
	}
	name, _, _ := bytes.Cut(b, []byte{0})
	return string(name)
}

// TLVs are the extensions in the order in which they came, without checksums
// (they have been verified) and padding. Most say what the client said: they
// are as true as the sender is careful.
func (h Header) TLVs() iter.Seq2[TLVType, string] {
	return func(yield func(TLVType, string) bool) {
		h.each(func(kind TLVType, value []byte) bool {
			return kind == tlvCRC32C || kind == tlvNOOP || yield(kind, string(value))
		})
	}
}

// each calls do for each extension until it returns false.
func (h Header) each(do func(TLVType, []byte) bool) { eachTLV(h.tlvs, do) }

func eachTLV(b []byte, do func(TLVType, []byte) bool) {
	for len(b) > 0 {
		kind, value, rest, ok := nextTLV(b)
		if !ok || !do(kind, value) {
			return
		}
		b = rest
	}
}

// TLV returns the first extension of a type. Checksums and padding are none.
func (h Header) TLV(kind TLVType) (value string, ok bool) {
	for k, v := range h.TLVs() {
		if k == kind {
			return v, true
		}
	}
	return "", false
}

// Authority is the server name that the client asked for in its TLS handshake
// with the sender; "" if unknown. The client chose it: compare it with names
// that you serve before you use it.
func (h Header) Authority() string {
	name, _ := h.TLV(TLVAuthority)
	return name
}

// VPCEndpoint is the id of the AWS VPC endpoint that the client came through,
// like "vpce-08d2bf15fac5001c9"; "" if through none.
func (h Header) VPCEndpoint() (id string) {
	const subtypeID = 0x01
	h.each(func(kind TLVType, value []byte) bool {
		if kind == TLVAWS && len(value) > 0 && value[0] == subtypeID {
			id = string(value[1:])
		}
		return id == ""
	})
	return id
}

// SSL is what the sender says about the client's TLS connection to it. Strings
// are "" where it says nothing. The zero SSL means that there was no TLS.
type SSL struct {
	Used        bool   // the client spoke TLS
	Certificate bool   // it presented a certificate, on this connection or earlier in the session
	Verified    bool   // the sender verified that certificate
	Version     string // "TLSv1.3"
	Cipher      string // "ECDHE-RSA-AES128-GCM-SHA256"
	CommonName  string // the certificate's; it means nothing unless Verified
	SigAlg      string // the algorithm that signed the sender's certificate, "SHA256"
	KeyAlg      string // the algorithm of the sender's key, "RSA2048"
}

// SSL returns what the sender said about TLS; ok is false if it said nothing.
// HAProxy does (send-proxy-v2-ssl), AWS does not.
func (h Header) SSL() (s SSL, ok bool) {
	value, ok := h.TLV(TLVSSL)
	if !ok {
		return SSL{}, false
	}
	const usedBit, certificateBits = 0x01, 0x02 | 0x04
	b := []byte(value)
	s.Used = b[0]&usedBit != 0
	s.Certificate = b[0]&certificateBits != 0
	s.Verified = s.Certificate && binary.BigEndian.Uint32(b[1:]) == 0
	eachTLV(b[5:], func(kind TLVType, value []byte) bool {
		if field := s.field(kind); field != nil {
			*field = string(value)
		}
		return true
	})
	return s, true
}

// field is where an extension within the TLS extension goes; nil if nowhere.
func (s *SSL) field(kind TLVType) *string {
	switch kind {
	case 0x21:
		return &s.Version
	case 0x22:
		return &s.CommonName
	case 0x23:
		return &s.Cipher
	case 0x24:
		return &s.SigAlg
	case 0x25:
		return &s.KeyAlg
	}
	return nil
}
