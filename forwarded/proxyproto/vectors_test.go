package proxyproto

import (
	"encoding/binary"
	"encoding/hex"
	"hash/crc32"
	"net/netip"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/forwarded"
)

// hexBytes reads bytes as the specification prints them, blanks and bars aside.
func hexBytes(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.NewReplacer(" ", "", "|", "").Replace(text))
	require.NoError(t, err)
	return b
}

// v2 is a header with the given command, family and block.
func v2(command, family byte, block ...[]byte) []byte {
	var all []byte
	for _, part := range block {
		all = append(all, part...)
	}
	b := append([]byte("\r\n\r\n\x00\r\nQUIT\n"), command, family)
	return append(binary.BigEndian.AppendUint16(b, uint16(len(all))), all...)
}

func tlv(kind byte, value string) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{kind}, uint16(len(value))), value...)
}

// sealed fills in the checksum of a header whose first checksum extension is
// all zeros.
func sealed(b []byte) []byte {
	at := strings.Index(string(b), "\x03\x00\x04\x00\x00\x00\x00")
	binary.BigEndian.PutUint32(b[at+3:], crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
	return b
}

func named(source, destination string) []byte {
	b := make([]byte, 216)
	copy(b, source)
	copy(b[108:], destination)
	return b
}

func ap(text string) netip.AddrPort {
	if text == "" {
		return netip.AddrPort{}
	}
	return netip.MustParseAddrPort(text)
}

var (
	zeroSum = tlv(0x03, "\x00\x00\x00\x00")
	tcp4    = []byte{192, 0, 2, 9, 10, 0, 0, 1, 0x03, 0xE8, 0x01, 0xBB}
	tcp6    = []byte("\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" +
		"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x01\xff\xff")
	mapped = []byte("\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc0\x00\x02\x09" +
		"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\x0a\x00\x00\x01\x03\xe8\x01\xbb")
)

// The bytes that AWS sends: through PrivateLink, and as a health check, whose
// family says TCP over IPv4 although no address follows.
const (
	awsPrivateLink = "0D0A0D0A 000D0A51 5549540A | 21 11 0054 | ac1f0771 ac1f0a1f c8f2 0050 | 03 0004 e8d6892d |" +
		"ea 0017 01 767063652d3038643262663135666163353030316339 | 04 0024 000000000000000000000000000000000000000000000000000000000000000000000000"
	awsHealthCheck = "0D0A0D0A 000D0A51 5549540A | 20 11 0054 | 03 0004 bce5951f | 04 004a" +
		"0000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
)

// A legal header and what it says.
type legal struct {
	name                string
	bytes               []byte
	source, destination string // "": none
	network             string
	local               bool
	tlvs                string // "2=www.example.com 5=id"
}

func legalHeaders(t testing.TB) []legal {
	const src, dst = "192.0.2.9:1000", "10.0.0.1:443"
	return []legal{
		{"v1 TCP4", []byte("PROXY TCP4 192.0.2.9 10.0.0.1 1000 443\r\n"), src, dst, "tcp", false, ""},
		{"v1 TCP4, the shortest", []byte("PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\n"), "1.1.1.1:1", "2.2.2.2:2", "tcp", false, ""},
		{"v1 TCP4, ports unknown", []byte("PROXY TCP4 192.0.2.9 10.0.0.1 0 0\r\n"), "192.0.2.9:0", "10.0.0.1:0", "tcp", false, ""},
		{"v1 TCP6", []byte("PROXY TCP6 2001:db8::1 ::1 1 65535\r\n"), "[2001:db8::1]:1", "[::1]:65535", "tcp", false, ""},
		{"v1 TCP6, the shortest", []byte("PROXY TCP6 :: :: 1 2\r\n"), "[::]:1", "[::]:2", "tcp", false, ""},
		{"v1 TCP6, mapped", []byte("PROXY TCP6 ::ffff:192.0.2.9 ::ffff:10.0.0.1 1000 443\r\n"), src, dst, "tcp", false, ""},
		{"v1 TCP6, the longest", []byte("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe 65535 65535\r\n"),
			"[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535", "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe]:65535", "tcp", false, ""},
		{"v1 UNKNOWN", []byte("PROXY UNKNOWN\r\n"), "", "", "", false, ""},
		{"v1 UNKNOWN, a blank", []byte("PROXY UNKNOWN \r\n"), "", "", "", false, ""},
		{"v1 UNKNOWN with addresses", []byte("PROXY UNKNOWN ffff:: ffff:: 65535 65535\r\n"), "", "", "", false, ""},
		{"v1 UNKNOWN with anything", []byte("PROXY UNKNOWN PROXY TCP4\x00 \xff\r\n"), "", "", "", false, ""},
		{"v1 UNKNOWN, 107 bytes", []byte("PROXY UNKNOWN " + strings.Repeat("x", 91) + "\r\n"), "", "", "", false, ""},

		{"v2 TCP4", hexBytes(t, "0D0A0D0A 000D0A51 5549540A 21 11 000C C0000209 0A000001 03E8 01BB"), src, dst, "tcp", false, ""},
		{"v2 TCP4, padded", hexBytes(t, "0D0A0D0A 000D0A51 5549540A 21 11 0010 C0000209 0A000001 03E8 01BB 04 0001 00"), src, dst, "tcp", false, ""},
		{"v2 UDP4", v2(0x21, 0x12, tcp4), src, dst, "udp", false, ""},
		{"v2 TCP6", v2(0x21, 0x21, tcp6), "[2001:db8::1]:1", "[::1]:65535", "tcp", false, ""},
		{"v2 UDP6", v2(0x21, 0x22, tcp6), "[2001:db8::1]:1", "[::1]:65535", "udp", false, ""},
		{"v2 TCP6, mapped", v2(0x21, 0x21, mapped), src, dst, "tcp", false, ""},
		{"v2 UNIX", v2(0x21, 0x31, named("/run/client", "/run/proxy")), "", "", "unix", false, ""},
		{"v2 UNIX datagram", v2(0x21, 0x32, named("", "\x00abstract")), "", "", "unixgram", false, ""},
		{"v2 UNIX with an extension", v2(0x21, 0x31, named("", ""), tlv(0x02, "a.example")), "", "", "unix", false, "2=a.example"},
		{"v2 UNSPEC", v2(0x21, 0x00), "", "", "", false, ""},
		{"v2 UNSPEC with extensions", sealed(v2(0x21, 0x00, zeroSum, tlv(0x05, "id"))), "", "", "", false, "5=id"},
		{"v2 LOCAL", v2(0x20, 0x00), "", "", "", true, ""},
		{"v2 LOCAL with addresses", v2(0x20, 0x11, tcp4), "", "", "", true, ""},
		{"v2 LOCAL of a family that there is not", v2(0x20, 0xFF, []byte("x")), "", "", "", true, ""},
		{"v2 LOCAL with half an address", v2(0x20, 0x21, tcp4[:5]), "", "", "", true, ""},
		{"v2 LOCAL with extensions", v2(0x20, 0x11, tcp4, tlv(0x02, "a.example"), tlv(0x03, "bad!")), "", "", "", true, ""},
		{"v2 with a checksum first", sealed(v2(0x21, 0x11, tcp4, zeroSum)), src, dst, "tcp", false, ""},
		{"v2 with a checksum last", sealed(v2(0x21, 0x21, tcp6, tlv(0x02, "a.example"), zeroSum)), "[2001:db8::1]:1", "[::1]:65535", "tcp", false, "2=a.example"},
		{"v2 with extensions", v2(0x21, 0x11, tcp4, tlv(0x01, "h2"), tlv(0x04, ""), tlv(0x02, "a.example"), tlv(0xEE, ""), tlv(0x01, "again")),
			src, dst, "tcp", false, "1=h2 2=a.example ee= 1=again"},
		{"v2 with TLS", v2(0x21, 0x11, tcp4, tlv(0x20, "\x01\x00\x00\x00\x00"+string(tlv(0x21, "TLSv1.3")))), src, dst, "tcp", false,
			"20=\x01\x00\x00\x00\x00!\x00\x07TLSv1.3"},
		{"v2, as long as permitted", v2(0x21, 0x11, tcp4, tlv(0x04, strings.Repeat("\x00", 2048-16-12-3))), src, dst, "tcp", false, ""},
		{"AWS PrivateLink", hexBytes(t, awsPrivateLink), "172.31.7.113:51442", "172.31.10.31:80", "tcp", false, "ea=\x01vpce-08d2bf15fac5001c9"},
		{"AWS health check", hexBytes(t, awsHealthCheck), "", "", "", true, ""},
	}
}

// An illegal header, and the fewest bytes of it after which it is refused.
type illegal struct {
	name  string
	bytes []byte
	after int
	why   refusal
}

func illegalHeaders() []illegal {
	line := func(name, text string, after int) illegal { return illegal{name, []byte(text), after, badLine} }
	none := func(name, text string, after int) illegal { return illegal{name, []byte(text), after, noHeader} }
	whole := func(name string, b []byte, why refusal) illegal { return illegal{name, b, len(b), why} }
	return []illegal{
		none("HTTP", "GET / HTTP/1.1\r\n", 1),
		none("an HTTP method with P", "POST / HTTP/1.1\r\n", 2),
		none("TLS", "\x16\x03\x01\x02\x00\x01", 1),
		none("SSH", "SSH-2.0-x\r\n", 1),
		none("an empty line", "\r\n\r\n\r\n", 5),
		none("lower case", "proxy TCP4 192.0.2.9 10.0.0.1 1000 443\r\n", 1),
		none("a blank first", " PROXY UNKNOWN\r\n", 1),
		none("a tab", "PROXY\tUNKNOWN\r\n", 6),
		none("no protocol", "PROXY\r\n", 6),
		none("a signature that breaks off", "\r\n\r\n\x00\r\nQUIT\r", 12),
		none("HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 3),

		line("no protocol, a blank", "PROXY \r\n", 8),
		line("another protocol", "PROXY UDP4 192.0.2.9 10.0.0.1 1000 443\r\n", 8),
		line("TCP without a family", "PROXY TCP 192.0.2.9 10.0.0.1 1000 443\r\n", 10),
		line("two blanks", "PROXY  TCP4 192.0.2.9 10.0.0.1 1000 443\r\n", 7),
		line("two blanks later", "PROXY TCP4 192.0.2.9  10.0.0.1 1000 443\r\n", 36),
		line("a blank at the end", "PROXY TCP4 192.0.2.9 10.0.0.1 1000 443 \r\n", 39),
		line("a field too few", "PROXY TCP4 192.0.2.9 10.0.0.1 1000\r\n", 36),
		line("a field too many", "PROXY TCP4 192.0.2.9 10.0.0.1 1000 443 1\r\n", 39),
		line("no fields", "PROXY TCP4\r\n", 12),
		line("empty fields", "PROXY TCP4     \r\n", 15),
		line("UNKNOWN and more", "PROXY UNKNOWNS\r\n", 16),
		line("UNKNOWN and an address", "PROXY UNKNOWNS ::1 ::1 1 1\r\n", 28),
		line("no carriage return", "PROXY TCP4 192.0.2.9 10.0.0.1 1000 443\n", 39),
		line("UNKNOWN, no carriage return", "PROXY UNKNOWN\nGET / HTTP/1.1\r\n", 14),
		line("no line feed", "PROXY TCP4 192.0.2.9 10.0.0.1 1000 443\rX", 40),
		line("a carriage return in the middle", "PROXY UNKNOWN \r \r\n", 16),
		line("two carriage returns", "PROXY UNKNOWN\r\r\n", 15),
		line("IPv6 in TCP4", "PROXY TCP4 2001:db8::1 ::1 1000 443\r\n", 37),
		line("IPv4 in TCP6", "PROXY TCP6 192.0.2.9 10.0.0.1 1000 443\r\n", 40),
		line("mixed families", "PROXY TCP6 2001:db8::1 10.0.0.1 1000 443\r\n", 42),
		line("mapped in TCP4", "PROXY TCP4 ::ffff:192.0.2.9 10.0.0.1 1000 443\r\n", 47),
		line("a zone", "PROXY TCP6 fe80::1%eth0 ::1 1000 443\r\n", 38),
		line("brackets", "PROXY TCP6 [2001:db8::1] ::1 1000 443\r\n", 39),
		line("a leading zero in an octet", "PROXY TCP4 192.0.02.9 10.0.0.1 1000 443\r\n", 41),
		line("an octet too large", "PROXY TCP4 192.0.2.256 10.0.0.1 1000 443\r\n", 42),
		line("three octets", "PROXY TCP4 192.0.2 10.0.0.1 1000 443\r\n", 38),
		line("an address with a port", "PROXY TCP4 192.0.2.9:1 10.0.0.1 1000 443\r\n", 42),
		line("a name", "PROXY TCP4 localhost 10.0.0.1 1000 443\r\n", 40),
		line("a port with a sign", "PROXY TCP4 192.0.2.9 10.0.0.1 +1000 443\r\n", 41),
		line("a negative port", "PROXY TCP4 192.0.2.9 10.0.0.1 -1 443\r\n", 38),
		line("a port with a leading zero", "PROXY TCP4 192.0.2.9 10.0.0.1 01000 443\r\n", 41),
		line("two zeros", "PROXY TCP4 192.0.2.9 10.0.0.1 00 443\r\n", 38),
		line("a port too large", "PROXY TCP4 192.0.2.9 10.0.0.1 65536 443\r\n", 41),
		line("a port in hex", "PROXY TCP4 192.0.2.9 10.0.0.1 0x10 443\r\n", 40),
		line("a NUL", "PROXY TCP4 192.0.2.9\x00 10.0.0.1 1000 443\r\n", 41),
		{"a line without end", []byte("PROXY UNKNOWN " + strings.Repeat("x", 200)), 107, tooLong},
		{"a line of 108 bytes", []byte("PROXY UNKNOWN " + strings.Repeat("x", 92) + "\r\n"), 107, tooLong},
		{"addresses without end", []byte("PROXY TCP6 " + strings.Repeat("f", 200)), 107, tooLong},

		{"version 1 in binary", v2(0x11, 0x11, tcp4), 15, badVersion},
		{"version 3", v2(0x31, 0x11, tcp4), 15, badVersion},
		{"an unknown command", v2(0x22, 0x11, tcp4), 15, badCommand},
		{"an unknown family", v2(0x21, 0x41, tcp4), 15, badFamily},
		{"a family without transport", v2(0x21, 0x10, tcp4), 15, badFamily},
		{"a transport without family", v2(0x21, 0x01, tcp4), 15, badFamily},
		{"an unknown transport", v2(0x21, 0x13, tcp4), 15, badFamily},
		{"TCP4 without addresses", v2(0x21, 0x11), 16, badLength},
		{"TCP4, a byte too few", v2(0x21, 0x11, tcp4[:11]), 16, badLength},
		{"TCP6, a byte too few", v2(0x21, 0x21, tcp6[:35]), 16, badLength},
		{"TCP6 with IPv4 addresses", v2(0x21, 0x21, tcp4), 16, badLength},
		{"UNIX, a byte too few", v2(0x21, 0x31, named("", "")[:215]), 16, badLength},
		{"a byte longer than permitted", v2(0x21, 0x11, tcp4, tlv(0x04, strings.Repeat("\x00", 2048-16-12-3+1))), 16, tooLong},
		{"65535 bytes", append([]byte("\r\n\r\n\x00\r\nQUIT\n\x21\x11\xff\xff"), tcp4...), 16, tooLong},
		{"LOCAL, 65535 bytes", []byte("\r\n\r\n\x00\r\nQUIT\n\x20\x00\xff\xff"), 16, tooLong},
		whole("an extension of one byte", v2(0x21, 0x11, tcp4, []byte{0x04}), badTLV),
		whole("an extension without length", v2(0x21, 0x11, tcp4, []byte{0x04, 0x00}), badTLV),
		whole("an extension cut short", v2(0x21, 0x11, tcp4, []byte{0x04, 0x00, 0x02, 0x00}), badTLV),
		whole("a second extension cut short", v2(0x21, 0x11, tcp4, tlv(0x02, "a"), []byte{0x05, 0xff, 0xff, 0x00}), badTLV),
		whole("UNSPEC, an extension cut short", v2(0x21, 0x00, tcp4), badTLV),
		whole("a wrong checksum", v2(0x21, 0x11, tcp4, tlv(0x03, "\xe8\xd6\x89\x2d")), badChecksum),
		whole("a checksum of zero", v2(0x21, 0x11, tcp4, zeroSum), badChecksum),
		whole("a checksum of three bytes", v2(0x21, 0x11, tcp4, tlv(0x03, "abc")), badTLV),
		whole("a checksum of five bytes", v2(0x21, 0x11, tcp4, tlv(0x03, "abcde")), badTLV),
		whole("two checksums", sealed(v2(0x21, 0x11, tcp4, zeroSum, zeroSum)), badTLV),
		whole("TLS of four bytes", v2(0x21, 0x11, tcp4, tlv(0x20, "\x01\x00\x00\x00")), badSSL),
		whole("TLS with an extension cut short", v2(0x21, 0x11, tcp4, tlv(0x20, "\x01\x00\x00\x00\x00\x21\x00\x02x")), badSSL),
	}
}

// header is the row as a Header, extensions aside.
func (v legal) header() Header {
	version := 1
	if v.bytes[0] == '\r' {
		version = 2
	}
	return Header{
		Transport: forwarded.Transport{Source: ap(v.source), Destination: ap(v.destination), Local: v.local},
		Version:   version, Network: v.network,
	}
}
