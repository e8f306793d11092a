//go:build linux

package peers

import (
	"bufio"
	"bytes"
	endian "encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	peer "github.com/pires/go-proxyproto"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/forwarded/proxyproto"
)

// The ledger of PROXY headers holds one line for each header that go-proxyproto reads otherwise, and why. It is
// rewritten with go test -run TestPROXYLedger -update.
const proxyLedgerFile = "testdata/proxyproto-ledger.tsv"

const proxyLedgerHead = `# Where this module and go-proxyproto v0.15.0 read a PROXY header differently. A line is: name, header, its answer, our
# answer, our reason. Neither is called wrong here: the specification leaves some of it to the receiver.
`

// A proxyCase is a header, and why go-proxyproto may read it otherwise; "" if it must not.
type proxyCase struct {
	name  string
	bytes []byte
	why   string
}

const (
	unknownIsNoCheck = "UNKNOWN does not say that the sender speaks for itself, only that it does not know for whom"
	localSaysNothing = "after LOCAL everything is to be discarded, and its length is all that counts"
	unspecIsLegal    = "UNSPEC is legal, and the client is unknown"
	sumIsChecked     = "a checksum is verified here; the peer hands it to the application"
	wholeTLVs        = "a header whose extensions are cut short was damaged on its way"
	abstractNames    = "a name in the abstract namespace is a name"
	ourLimit         = "the limit is lower here; it can be set for each listener"
	oneEnd           = "a carriage return ends the line or nothing does"
)

func proxyBlock(command, family byte, parts ...string) []byte {
	all := strings.Join(parts, "")
	b := append([]byte("\r\n\r\n\x00\r\nQUIT\n"), command, family)
	return append(endian.BigEndian.AppendUint16(b, uint16(len(all))), all...)
}

func proxyTLV(kind byte, value string) string {
	return string(endian.BigEndian.AppendUint16([]byte{kind}, uint16(len(value)))) + value
}

func proxySealed(b []byte) []byte {
	at := bytes.Index(b, []byte("\x03\x00\x04\x00\x00\x00\x00")) + 3
	endian.BigEndian.PutUint32(b[at:], crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)))
	return b
}

func proxyCases() []proxyCase {
	const (
		v4   = "\xc0\x00\x02\x09\x0a\x00\x00\x01\x03\xe8\x01\xbb"
		v6   = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x01\xff\xff"
		map6 = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc0\x00\x02\x09\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\x0a\x00\x00\x01\x03\xe8\x01\xbb"
		sum  = "\x03\x00\x04\x00\x00\x00\x00"
	)
	names := func(source, destination string) string {
		return source + strings.Repeat("\x00", 108-len(source)) + destination + strings.Repeat("\x00", 108-len(destination))
	}
	line := func(name, text, why string) proxyCase { return proxyCase{name, []byte(text + "\r\n"), why} }
	return []proxyCase{
		line("TCP4", "PROXY TCP4 192.0.2.9 10.0.0.1 1000 443", ""),
		line("TCP4, port 0", "PROXY TCP4 192.0.2.9 10.0.0.1 0 0", ""),
		line("TCP6", "PROXY TCP6 2001:db8::1 ::1 1 65535", ""),
		line("TCP6, mapped", "PROXY TCP6 ::ffff:192.0.2.9 ::ffff:10.0.0.1 1000 443", ""),
		line("UNKNOWN", "PROXY UNKNOWN", unknownIsNoCheck),
		line("UNKNOWN with addresses", "PROXY UNKNOWN ffff:: ffff:: 65535 65535", unknownIsNoCheck),
		line("UNKNOWN and more letters", "PROXY UNKNOWNS", ""),
		line("a carriage return within UNKNOWN", "PROXY UNKNOWN \rx", oneEnd),
		line("two carriage returns", "PROXY UNKNOWN \r", oneEnd),
		line("another protocol", "PROXY UDP4 192.0.2.9 10.0.0.1 1000 443", ""),
		line("IPv4 in TCP6", "PROXY TCP6 192.0.2.9 10.0.0.1 1000 443", ""),
		line("IPv6 in TCP4", "PROXY TCP4 2001:db8::1 ::1 1000 443", ""),
		line("mapped in TCP4", "PROXY TCP4 ::ffff:192.0.2.9 10.0.0.1 1000 443", ""),
		line("a zone", "PROXY TCP6 fe80::1%eth0 ::1 1000 443", ""),
		line("two blanks", "PROXY  TCP4 192.0.2.9 10.0.0.1 1000 443", ""),
		line("a blank at the end", "PROXY TCP4 192.0.2.9 10.0.0.1 1000 443 ", ""),
		line("a field too few", "PROXY TCP4 192.0.2.9 10.0.0.1 1000", ""),
		line("a port with a leading zero", "PROXY TCP4 192.0.2.9 10.0.0.1 01000 443", ""),
		line("a port with a sign", "PROXY TCP4 192.0.2.9 10.0.0.1 +1000 443", ""),
		line("a port too large", "PROXY TCP4 192.0.2.9 10.0.0.1 65536 443", ""),
		line("an octet with a leading zero", "PROXY TCP4 192.0.02.9 10.0.0.1 1000 443", ""),
		line("lower case", "proxy TCP4 192.0.2.9 10.0.0.1 1000 443", ""),
		line("letters behind PROXY", "PROXYX TCP4 192.0.2.9 10.0.0.1 1000 443", ""),
		line("107 bytes", "PROXY UNKNOWN "+strings.Repeat("x", 91), unknownIsNoCheck),
		line("108 bytes", "PROXY UNKNOWN "+strings.Repeat("x", 92), ""),
		{"no carriage return", []byte("PROXY TCP4 192.0.2.9 10.0.0.1 1000 443\n"), ""},
		{"HTTP", []byte("GET / HTTP/1.1\r\n\r\n"), ""},
		{"PUT", []byte("PUT / HTTP/1.1\r\n\r\n"), ""},
		{"nothing", nil, ""},

		{"block TCP4", proxyBlock(0x21, 0x11, v4), ""},
		{"block TCP6", proxyBlock(0x21, 0x21, v6), ""},
		{"block TCP6, mapped", proxyBlock(0x21, 0x21, map6), ""},
		{"block UDP4", proxyBlock(0x21, 0x12, v4), ""},
		{"block UDP6", proxyBlock(0x21, 0x22, v6), ""},
		{"block UNIX", proxyBlock(0x21, 0x31, names("/run/a", "/run/b")), ""},
		{"block UNIX, abstract", proxyBlock(0x21, 0x32, names("\x00a", "")), abstractNames},
		{"block UNSPEC", proxyBlock(0x21, 0x00), unspecIsLegal},
		{"block UNSPEC with an extension", proxyBlock(0x21, 0x00, proxyTLV(2, "a.example")), unspecIsLegal},
		{"block LOCAL", proxyBlock(0x20, 0x00), ""},
		{"block LOCAL with addresses", proxyBlock(0x20, 0x11, v4), ""},
		{"block LOCAL with half an address", proxyBlock(0x20, 0x21, v4), ""},
		{"block LOCAL with an extension", proxyBlock(0x20, 0x11, v4, proxyTLV(2, "a.example")), localSaysNothing},
		{"block LOCAL of an unknown family", proxyBlock(0x20, 0x99, "x"), localSaysNothing},
		{"block of version 1", proxyBlock(0x11, 0x11, v4), ""},
		{"block of an unknown command", proxyBlock(0x22, 0x11, v4), ""},
		{"block of an unknown family", proxyBlock(0x21, 0x41, v4), ""},
		{"block of an unknown transport", proxyBlock(0x21, 0x13, v4), ""},
		{"block, a byte too few", proxyBlock(0x21, 0x11, v4[:11]), ""},
		{"block with extensions", proxyBlock(0x21, 0x11, v4, proxyTLV(1, "h2"), proxyTLV(4, "\x00\x00"), proxyTLV(2, "a.example")), ""},
		{"block with a checksum", proxySealed(proxyBlock(0x21, 0x11, v4, sum, proxyTLV(5, "id"))), ""},
		{"block with a wrong checksum", proxyBlock(0x21, 0x11, v4, sum), sumIsChecked},
		{"block with a short checksum", proxyBlock(0x21, 0x11, v4, proxyTLV(3, "abc")), sumIsChecked},
		{"block with two checksums", proxySealed(proxyBlock(0x21, 0x11, v4, sum, sum)), sumIsChecked},
		{"block with an extension cut short", proxyBlock(0x21, 0x11, v4, "\x02\x00\x09a.ex"), wholeTLVs},
		{"block with a byte behind", proxyBlock(0x21, 0x11, v4, "\x02"), wholeTLVs},
		{"block with TLS", proxyBlock(0x21, 0x11, v4, proxyTLV(0x20, "\x01\x00\x00\x00\x00"+proxyTLV(0x21, "TLSv1.3"))), ""},
		{"block with TLS cut short", proxyBlock(0x21, 0x11, v4, proxyTLV(0x20, "\x01\x00\x00\x00\x00\x21\x00\x09TLS")), wholeTLVs},
		{"block of 2048 bytes", proxyBlock(0x21, 0x11, v4, proxyTLV(4, strings.Repeat("\x00", 2048-16-12-3))), ""},
		{"block of 2049 bytes", proxyBlock(0x21, 0x11, v4, proxyTLV(4, strings.Repeat("\x00", 2048-16-12-3+1))), ourLimit},
		{"block of 5000 bytes", proxyBlock(0x21, 0x11, v4, proxyTLV(4, strings.Repeat("\x00", 5000-16-12-3))), ""},
	}
}

// A proxyReader reads headers with our listener, one after the other.
type proxyReader struct {
	arriving chan net.Conn
	accepted chan net.Conn
	closed   chan struct{}
}

func (r *proxyReader) Accept() (net.Conn, error) {
	select {
	case conn := <-r.arriving:
		return conn, nil
	case <-r.closed:
		return nil, net.ErrClosed
	}
}

func (r *proxyReader) Close() error   { close(r.closed); return nil }
func (r *proxyReader) Addr() net.Addr { return &net.TCPAddr{} }

func newProxyReader(t testing.TB) *proxyReader {
	r := &proxyReader{arriving: make(chan net.Conn), accepted: make(chan net.Conn), closed: make(chan struct{})}
	l, err := proxyproto.Listen(r, proxyproto.Config{DangerouslyAnyPeer: true, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			r.accepted <- conn
		}
	}()
	t.Cleanup(func() { require.NoError(t, l.Close()); <-done })
	return r
}

// A proxyBytes is a connection that holds a header and nothing else.
type proxyBytes struct {
	net.Conn
	bytes.Reader
	closed chan struct{}
}

func (c *proxyBytes) Read(p []byte) (int, error)         { return c.Reader.Read(p) }
func (c *proxyBytes) WriteTo(w io.Writer) (int64, error) { return c.Reader.WriteTo(w) }
func (c *proxyBytes) Close() error                       { close(c.closed); return nil }
func (c *proxyBytes) LocalAddr() net.Addr                { return &net.TCPAddr{} }
func (c *proxyBytes) RemoteAddr() net.Addr               { return &net.TCPAddr{} }
func (c *proxyBytes) SetReadDeadline(time.Time) error    { return nil }

// An answer is what a reader made of some bytes, in words; "refused" if nothing.
const proxyRefused = "refused"

func (r *proxyReader) ours(b []byte) string {
	c := &proxyBytes{Reader: *bytes.NewReader(b), closed: make(chan struct{})}
	r.arriving <- c
	var conn net.Conn
	select {
	case conn = <-r.accepted:
	case <-c.closed:
		return proxyRefused
	}
	h := conn.LocalAddr().(interface{ Header() proxyproto.Header }).Header()
	answer := fmt.Sprintf("%d bytes", len(b)-c.Len())
	switch {
	case h.Local:
		answer += ", local"
	case h.Network == "unix" || h.Network == "unixgram":
		source, destination := h.Paths()
		answer += fmt.Sprintf(", %s %q %q", h.Network, source, destination)
	case !h.Source.IsValid():
		answer += ", unknown"
	default:
		answer += fmt.Sprintf(", %s %s %s", h.Network, h.Source, h.Destination)
	}
	for kind, value := range h.TLVs() {
		answer += fmt.Sprintf(", %x=%q", uint8(kind), value)
	}
	return answer
}

func theirs(b []byte) string {
	all := bytes.NewReader(b)
	buffered := bufio.NewReaderSize(all, 1<<16)
	h, err := peer.Read(buffered)
	if err != nil {
		return proxyRefused
	}
	answer := fmt.Sprintf("%d bytes", len(b)-all.Len()-buffered.Buffered())
	if h.Command.IsLocal() {
		answer += ", local"
	} else {
		answer += ", " + theirAddrs(h)
	}
	tlvs, err := h.TLVs()
	if err != nil {
		return answer + ", bad extensions"
	}
	for _, tlv := range tlvs {
		if tlv.Type != peer.PP2_TYPE_NOOP && tlv.Type != peer.PP2_TYPE_CRC32C {
			answer += fmt.Sprintf(", %x=%q", uint8(tlv.Type), tlv.Value)
		}
	}
	return answer
}

func theirAddrs(h *peer.Header) string {
	text := func(ip net.IP, port int) string { return net.JoinHostPort(ip.String(), strconv.Itoa(port)) }
	if s, d, ok := h.TCPAddrs(); ok {
		return "tcp " + text(s.IP, s.Port) + " " + text(d.IP, d.Port)
	}
	if s, d, ok := h.UDPAddrs(); ok {
		return "udp " + text(s.IP, s.Port) + " " + text(d.IP, d.Port)
	}
	if s, d, ok := h.UnixAddrs(); ok {
		return fmt.Sprintf("%s %q %q", s.Net, s.Name, d.Name)
	}
	return "unknown"
}

func TestPROXYLedger(t *testing.T) {
	r := newProxyReader(t)
	var lines []string
	for _, c := range proxyCases() {
		theirs, ours := theirs(c.bytes), r.ours(c.bytes)
		if theirs == ours {
			require.Empty(t, c.why, "%s: both say %s", c.name, ours)
			continue
		}
		require.NotEmpty(t, c.why, "%s: they say %s, we say %s", c.name, theirs, ours)
		header := strconv.QuoteToASCII(string(c.bytes))
		if len(header) > 300 {
			header = fmt.Sprintf("%s… (%d bytes)", header[:60], len(c.bytes))
		}
		lines = append(lines, strings.Join([]string{c.name, header, theirs, ours, c.why}, "\t"))
	}
	text := proxyLedgerHead + strings.Join(lines, "\n") + "\n"
	if *update {
		require.NoError(t, os.WriteFile(proxyLedgerFile, []byte(text), 0o644))
	}
	want, err := os.ReadFile(proxyLedgerFile)
	require.NoError(t, err)
	require.Equal(t, string(want), text)
}

// explained is why two answers may differ, in the words of the ledger; "" if they must not.
func explained(b []byte, theirs, ours string) string {
	switch {
	case theirs == ours:
		return "they do not"
	case bytes.HasPrefix(b, []byte("PROXY UNKNOWN")):
		if ours == proxyRefused {
			return oneEnd
		}
		return unknownIsNoCheck
	case len(b) < 16 || b[0] != '\r':
		return ""
	case b[12] == 0x20:
		return localSaysNothing
	case b[13] == 0x00 && theirs == proxyRefused:
		return unspecIsLegal
	case (b[13] == 0x31 || b[13] == 0x32) && theirs != proxyRefused && ours != proxyRefused:
		return abstractNames
	case theirs != proxyRefused && ours == proxyRefused && int(endian.BigEndian.Uint16(b[14:]))+16 > 2048:
		return ourLimit
	case theirs != proxyRefused && ours == proxyRefused && hasTLVs(b):
		return wholeTLVs + ", or " + sumIsChecked
	}
	return ""
}

// hasTLVs reports whether a header is longer than its addresses.
func hasTLVs(b []byte) bool {
	addresses := map[byte]int{0x11: 12, 0x12: 12, 0x21: 36, 0x22: 36, 0x31: 216, 0x32: 216}[b[13]]
	return int(endian.BigEndian.Uint16(b[14:])) > addresses
}

// requireExplained asks both about some bytes.
func requireExplained(t testing.TB, r *proxyReader, b []byte) {
	theirs, ours := theirs(b), r.ours(b)
	if explained(b, theirs, ours) == "" {
		t.Fatalf("%q: they say %s, we say %s", b, theirs, ours)
	}
}

// Headers with a few bytes changed, cut or doubled: always the same ones.
func TestPROXYMutations(t *testing.T) {
	r := newProxyReader(t)
	random := rand.New(rand.NewPCG(1, 2))
	cases := proxyCases()
	for range 30_000 {
		requireExplained(t, r, mutated(random, cases[random.IntN(len(cases))].bytes, cases))
	}
}

func mutated(random *rand.Rand, b []byte, cases []proxyCase) []byte {
	b = bytes.Clone(b[:min(len(b), 300)])
	for range 1 + random.IntN(3) {
		if len(b) == 0 {
			break
		}
		i := random.IntN(len(b))
		switch random.IntN(5) {
		case 0:
			b[i] = byte(random.Uint32())
		case 1:
			b[i] = " \r\n0195:.fPX\x00\x01\x03\x04\x20"[random.IntN(17)]
		case 2:
			b = append(b[:i], b[i+1:]...)
		case 3:
			b = append(b[:i:i], append([]byte{b[i]}, b[i:]...)...)
		case 4:
			b = append(b[:i:i], cases[random.IntN(len(cases))].bytes...)
		}
	}
	return b
}

func FuzzPROXY(f *testing.F) {
	for _, c := range proxyCases() {
		f.Add(c.bytes)
	}
	r := newProxyReader(f)
	f.Fuzz(func(t *testing.T, b []byte) { requireExplained(t, r, b) })
}
