package proxyproto

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// BenchmarkRead is the parser alone.
func BenchmarkRead(b *testing.B) {
	for _, c := range []struct {
		name  string
		bytes []byte
	}{
		{"v1-tcp4", []byte("PROXY TCP4 192.0.2.9 10.0.0.1 1000 443\r\n")},
		{"v1-tcp6", []byte("PROXY TCP6 2001:db8::1 ::1 1 65535\r\n")},
		{"v2-tcp4", v2(0x21, 0x11, tcp4)},
		{"v2-tcp6", v2(0x21, 0x21, tcp6)},
		{"v2-local", v2(0x20, 0x00)},
		{"v2-aws", hexBytes(b, awsPrivateLink)},
		{"hostile-http", []byte("GET / HTTP/1.1\r\n")},
		{"hostile-line", []byte("PROXY UNKNOWN " + strings.Repeat("x", 200))},
		{"hostile-address", []byte("PROXY TCP6 " + strings.Repeat("f:", 40) + " ::1 1 1\r\n")},
		{"hostile-tlvs", v2(0x21, 0x11, tcp4, bytes.Repeat(tlv(0x04, ""), 670))},
		{"hostile-checksums", v2(0x21, 0x11, tcp4, bytes.Repeat(zeroSum, 280))},
	} {
		b.Run(c.name, func(b *testing.B) {
			buf := make([]byte, defaultMaxHeader)
			var r bytes.Reader
			b.ReportAllocs()
			for b.Loop() {
				r.Reset(c.bytes)
				_, _, _ = read(&r, buf, defaultMaxHeader) // some are refused
			}
		})
	}
}

// BenchmarkReadBytewise is the longest line from a sender who sends each byte
// by itself.
func BenchmarkReadBytewise(b *testing.B) {
	text := []byte("PROXY TCP6 ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe 65535 65535\r\n")
	buf := make([]byte, defaultMaxHeader)
	var r bytes.Reader
	slow := iotest.OneByteReader(&r)
	b.ReportAllocs()
	for b.Loop() {
		r.Reset(text)
		_, _, _ = read(slow, buf, defaultMaxHeader) // it is legal
	}
}

// BenchmarkAccept is the way through the listener without the operating system.
func BenchmarkAccept(b *testing.B) {
	for name, peer := range map[string]string{"trusted": trustedPeer, "stranger": strangePeer} {
		b.Run(name, func(b *testing.B) {
			accept := cannedAccept(b, v2(0x21, 0x11, tcp4), peer)
			b.ReportAllocs()
			for b.Loop() {
				accept()
			}
		})
	}
}

// BenchmarkConnections are whole connections over loopback: without a header,
// with one, and with one beside a crowd of silent senders that holds every slot.
func BenchmarkConnections(b *testing.B) {
	const crowd = 256
	for _, c := range []struct {
		name   string
		wrap   bool
		silent int
	}{{"plain", false, 0}, {"header", true, 0}, {"header-in-a-crowd", true, crowd}} {
		b.Run(c.name, func(b *testing.B) {
			var ln net.Listener
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			text := ""
			if c.wrap {
				text = string(v2(0x21, 0x11, tcp4))
				ln, err = Listen(ln, Config{From: []string{"127.0.0.1"}, MaxPending: crowd, Timeout: time.Hour, Logger: slog.New(slog.DiscardHandler)})
				if err != nil {
					b.Fatal(err)
				}
			}
			defer ln.Close()
			for range c.silent {
				defer connect(b, ln, "").Close()
			}
			b.ReportAllocs()
			for b.Loop() {
				theirs := connect(b, ln, text+"x")
				conn, err := ln.Accept()
				if err != nil {
					b.Fatal(err)
				}
				if _, err := conn.Read(make([]byte, 1)); err != nil {
					b.Fatal(err)
				}
				_ = conn.Close()
				_ = theirs.Close()
			}
		})
	}
}

func connect(b *testing.B, ln net.Listener, text string) net.Conn {
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	if _, err := io.WriteString(conn, text); err != nil {
		b.Fatal(err)
	}
	return conn
}
