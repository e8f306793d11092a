package proxyproto

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"net"
	"net/netip"
	"regexp"
	"strconv"
)

// refHeader is a header as the reference below reads it, in plain text.
type refHeader struct {
	length              int
	local               bool
	network             string
	source, destination string
	tlvs                string
}

// reference reads the header at the start of b; nil: there is none, it is not
// complete, or it is not legal. It is slow, reads the whole of b at once, and
// shares nothing with the parser but the specification.
func reference(b []byte, limit int) *refHeader {
	if h := reference1(b); h != nil && h.length <= limit {
		return h
	}
	if h := reference2(b); h != nil && h.length <= limit {
		return h
	}
	return nil
}

var refLine = regexp.MustCompile(`\APROXY (?:(UNKNOWN)(?: [^\r\n]*)?|TCP([46]) ([0-9a-fA-F.:]+) ([0-9a-fA-F.:]+) (0|[1-9][0-9]{0,4}) (0|[1-9][0-9]{0,4}))\r\n`)

func reference1(b []byte) *refHeader {
	m := refLine.FindSubmatch(b[:min(len(b), 107)])
	if m == nil {
		return nil
	}
	h := &refHeader{length: len(m[0])}
	if len(m[1]) > 0 {
		return h
	}
	h.network = "tcp"
	var ok1, ok2 bool
	h.source, ok1 = refAddr(string(m[2]), string(m[3]), string(m[5]))
	h.destination, ok2 = refAddr(string(m[2]), string(m[4]), string(m[6]))
	if !ok1 || !ok2 {
		return nil
	}
	return h
}

func refAddr(family, addr, port string) (string, bool) {
	ip := net.ParseIP(addr)
	n, err := strconv.Atoi(port)
	if ip == nil || bytes.Contains([]byte(addr), []byte(":")) != (family == "6") || err != nil || n > 65535 {
		return "", false
	}
	return net.JoinHostPort(ip.String(), strconv.Itoa(n)), true
}

func reference2(b []byte) *refHeader {
	if len(b) < 16 || !bytes.Equal(b[:12], []byte{13, 10, 13, 10, 0, 13, 10, 81, 85, 73, 84, 10}) {
		return nil
	}
	end := 16 + int(b[14])*256 + int(b[15])
	if len(b) < end {
		return nil
	}
	if b[12] == 0x20 {
		return &refHeader{length: end, local: true}
	}
	if b[12] != 0x21 {
		return nil
	}
	size, known := map[byte]int{0x00: 0, 0x11: 4, 0x12: 4, 0x21: 16, 0x22: 16, 0x31: 108, 0x32: 108}[b[13]]
	h := &refHeader{length: end, network: map[byte]string{0x11: "tcp", 0x12: "udp", 0x21: "tcp", 0x22: "udp", 0x31: "unix", 0x32: "unixgram"}[b[13]]}
	rest := b[16:end]
	if !known || len(rest) < 2*size {
		return nil
	}
	source, destination := rest[:size], rest[size:2*size]
	rest = rest[2*size:]
	if size == 4 || size == 16 {
		if len(rest) < 4 {
			return nil
		}
		h.source, h.destination = refBinary(source, rest[0:2]), refBinary(destination, rest[2:4])
		rest = rest[4:]
	}
	var ok bool
	h.tlvs, ok = refTLVs(b[:end], end-len(rest))
	if !ok {
		return nil
	}
	return h
}

func refBinary(ip, port []byte) string {
	return net.JoinHostPort(net.IP(ip).String(), strconv.Itoa(int(port[0])*256+int(port[1])))
}

// refTLVs prints the extensions that start at header[at:] and checks them.
func refTLVs(header []byte, at int) (printed string, ok bool) {
	sums := 0
	for at < len(header) {
		if at+3 > len(header) {
			return "", false
		}
		kind, length := header[at], int(header[at+1])*256+int(header[at+2])
		if at+3+length > len(header) {
			return "", false
		}
		value := header[at+3 : at+3+length]
		switch kind {
		case 3:
			if sums++; sums > 1 || length != 4 || !refSum(header, at+3) {
				return "", false
			}
		case 4:
		case 0x20:
			if length < 5 {
				return "", false
			}
			for i := 5; i < length; {
				if i+3 > length {
					return "", false
				}
				if i += 3 + int(value[i+1])*256 + int(value[i+2]); i > length {
					return "", false
				}
			}
			fallthrough
		default:
			if printed != "" {
				printed += " "
			}
			printed += fmt.Sprintf("%x=%s", kind, value)
		}
		at += 3 + length
	}
	return printed, true
}

func refSum(header []byte, at int) bool {
	c := bytes.Clone(header)
	copy(c[at:], "\x00\x00\x00\x00")
	sum := crc32.Checksum(c, crc32.MakeTable(crc32.Castagnoli))
	return bytes.Equal(header[at:at+4], []byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)})
}

// asReference is a Header in the reference's terms.
func asReference(h Header, length int) refHeader {
	text := func(a netip.AddrPort) string {
		if !a.IsValid() {
			return ""
		}
		return net.JoinHostPort(net.IP(a.Addr().AsSlice()).String(), strconv.Itoa(int(a.Port())))
	}
	return refHeader{length: length, local: h.Local, network: h.Network,
		source: text(h.Source), destination: text(h.Destination), tlvs: printed(h)}
}
