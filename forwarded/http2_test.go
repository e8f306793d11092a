package forwarded_test

import (
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/knownhops/knownhops/forwarded"
)

// TestStrayHostHTTP2 sends what Go's own client refuses to send: a host field
// beside :authority.
func TestStrayHostHTTP2(t *testing.T) {
	for _, c := range []struct {
		name, stray string
		status      byte
	}{
		{"none", "", h2OK},
		{"the same", ourHost, h2OK},
		{"another", "evil.example", h2BadRequest},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := make(chan *http.Request, 1)
			p := behind(t, albHop())
			srv := httptest.NewUnstartedServer(p.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r })))
			srv.Config.Protocols = new(http.Protocols)
			srv.Config.Protocols.SetUnencryptedHTTP2(true)
			srv.Start()
			defer srv.Close()
			fields := []string{":method", "GET", ":scheme", "http", ":path", "/", ":authority", ourHost}
			if c.stray != "" {
				fields = append(fields, "host", c.stray)
			}
			if status := h2Status(t, srv.Listener.Addr().String(), fields); status != c.status {
				t.Fatalf("the answer's header block begins with %#x, want %#x", status, c.status)
			}
			if c.status != h2OK {
				return
			}
			r := <-got
			if info := forwarded.From(r); r.ProtoMajor != 2 || r.Header["Host"] != nil || info.Host != ourHost {
				t.Errorf("next got %s with %v, Info.Host %q", r.Proto, r.Header, info.Host)
			}
		})
	}
}

// Header blocks of answers begin with the status, which HPACK (RFC 7541,
// appendix A) has in its static table.
const (
	h2OK         = 0x80 | 8
	h2BadRequest = 0x80 | 12
)

// h2Status sends one request of literal header fields over cleartext HTTP/2
// and returns the first byte of the answer's header block.
func h2Status(t *testing.T, addr string, fields []string) byte {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	var block []byte
	for i, text := range fields {
		if i%2 == 0 {
			block = append(block, 0) // a literal that enters no table
		}
		block = append(append(block, byte(len(text))), text...)
	}
	const settings, headers, endStreamAndHeaders = 4, 1, 0x1 | 0x4
	out := []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
	out = append(out, h2Frame(settings, 0, 0, nil)...)
	out = append(out, h2Frame(headers, endStreamAndHeaders, 1, block)...)
	if _, err := conn.Write(out); err != nil {
		t.Fatal(err)
	}
	for {
		var head [9]byte
		if _, err := io.ReadFull(conn, head[:]); err != nil {
			t.Fatal(err)
		}
		payload := make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))
		if _, err := io.ReadFull(conn, payload); err != nil {
			t.Fatal(err)
		}
		if head[3] == headers {
			return payload[0]
		}
	}
}

func h2Frame(kind, flags byte, stream uint32, payload []byte) []byte {
	n := len(payload)
	frame := []byte{byte(n >> 16), byte(n >> 8), byte(n), kind, flags}
	return append(binary.BigEndian.AppendUint32(frame, stream), payload...)
}
