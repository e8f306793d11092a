package proxy

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// kinds are the ways to speak to an upstream.
var kinds = []string{"http", "https", "h2", "h2c"}

// upstreamOf is an upstream of net/http's, and a transport that reaches it.
func upstreamOf(t testing.TB, kind string, to Timeouts, h http.Handler) (name string, rt http.RoundTripper) {
	t.Helper()
	noLeaks(t)
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	s.Config.MaxHeaderBytes = 8 << 10
	switch kind {
	case "http":
		s.Start()
	case "h2c":
		s.Config.Protocols = new(http.Protocols)
		s.Config.Protocols.SetUnencryptedHTTP2(true)
		s.Start()
	default:
		s.EnableHTTP2 = kind == "h2"
		s.StartTLS()
	}
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	rt = newTripper(t, TransportConfig{Timeouts: to, TLS: &tls.Config{InsecureSkipVerify: true}})
	if name = s.URL; kind == "h2c" {
		name = "h2c" + strings.TrimPrefix(name, "http")
	}
	return name, rt
}

// innocent wants no failure to count against any upstream.
func (g *gate) innocent(t *testing.T) {
	t.Helper()
	eventually(t, "the end of the exchanges", func() bool { return g.Status().InFlight == 0 })
	for _, u := range g.Status().Upstreams {
		assert.Zero(t, u.Failures, u.Upstream)
	}
}

// guilty wants exactly one failure.
func (g *gate) guilty(t *testing.T) {
	t.Helper()
	eventually(t, "the end of the exchange", func() bool { return g.Status().InFlight == 0 })
	assert.EqualValues(t, 1, g.Status().Upstreams[0].Failures)
}

// A client that takes longer than Timeouts.Total, to send or to read, has taken
// the time itself. An upstream that has the whole request and says nothing has
// taken it, too.
func TestTotalTimeOfTheClient(t *testing.T) {
	to := Timeouts{Total: 100 * time.Millisecond, Idle: 500 * time.Millisecond}
	for _, kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			name, rt := upstreamOf(t, kind, to, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/download":
					io.Copy(w, io.LimitReader(zeroes{}, 32<<20))
				case "/silent":
					<-r.Context().Done()
				default:
					io.Copy(io.Discard, r.Body)
				}
			}))
			g := newGate(t, Config{Upstreams: []string{name}, Transport: rt, Timeouts: to})

			v := g.visit(t, "POST /upload HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nsome")
			v.answer("POST")
			g.failure(t)
			g.innocent(t)

			v = g.visit(t, "GET /download HTTP/1.1\r\nHost: h\r\n\r\n")
			time.Sleep(150 * time.Millisecond)
			io.Copy(io.Discard, v.r)
			g.failure(t)
			g.innocent(t)

			g.ask(t, "GET", "/silent", "")
			assert.Equal(t, ReasonTotalTimeout, g.failure(t).Reason())
			g.guilty(t)
		})
	}
}

// zeroes is an endless body.
type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) { return len(p), nil }

// A header that is too large for the upstream, and what net/http refuses to
// send, is the client's doing.
func TestHeaderThatTheUpstreamRefuses(t *testing.T) {
	for _, known := range []bool{true, false} { // whether HTTP/2 has already learned how much it takes
		name, rt := upstreamOf(t, "h2c", Timeouts{}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		g := newGate(t, Config{Upstreams: []string{name}, Transport: rt})
		if known {
			g.ask(t, "GET", "/", "")
		}
		n := 1 // a server takes its time to say so and close
		if known {
			n = 4
		}
		for range n {
			status, _ := g.ask(t, "GET", "/", "", "X-Large", strings.Repeat("x", 20_000))
			assert.Equal(t, 431, status, known)
		}
		g.innocent(t)
	}
}

func TestHeaderThatCannotBeSent(t *testing.T) {
	for _, kind := range kinds {
		name, rt := upstreamOf(t, kind, Timeouts{}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		g := newGate(t, Config{Upstreams: []string{name}, Transport: rt})
		g.behind(func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				r.Header["X-Odd"] = []string{"a\r\nX-Injected: b"}
				next.ServeHTTP(w, r)
			})
		})
		status, _ := g.ask(t, "GET", "/", "")
		assert.Equal(t, 400, status, kind)
		assert.Equal(t, StageRequest, g.failure(t).Stage, kind)
		g.innocent(t)
	}
}

// net/http's HTTP/2 server lets any method pass, and URLs for paths.
func TestOddRequestsOverHTTP2(t *testing.T) {
	asked := new(atomic.Int32)
	g := newGate(t, Config{Upstreams: []string{"http://127.0.0.1:1", "http://127.0.0.1:2"}, Transport: tripper(func(*http.Request) (*http.Response, error) {
		asked.Add(1)
		return nil, errors.New("net/http would refuse")
	})})
	for _, change := range []func(*http.Request){
		func(r *http.Request) { r.Method = "GET x" },
		func(r *http.Request) { r.Method = "GET\r\nX: y" },
		func(r *http.Request) { r.Method = "" },
		func(r *http.Request) { r.URL.Scheme, r.URL.Host = "http", "other.test" },
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/2.0", 2, 0
		change(r)
		w := httptest.NewRecorder()
		g.ServeHTTP(w, r)
		assert.Equal(t, 400, w.Code)
	}
	assert.Zero(t, asked.Load())
	g.innocent(t)
}

// A client that stops sending lets an upstream run out of patience. One that
// has the whole request has no such excuse.
func TestUpstreamThatWaitsForTheClient(t *testing.T) {
	for _, kind := range []string{"http", "https"} {
		t.Run(kind, func(t *testing.T) {
			name, rt := upstreamOf(t, kind, Timeouts{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				http.NewResponseController(w).SetReadDeadline(time.Now().Add(20 * time.Millisecond))
				io.Copy(io.Discard, r.Body)
				panic(http.ErrAbortHandler)
			}))
			g := newGate(t, Config{Upstreams: []string{name}, Transport: rt, Retry: Retry{Attempts: 1}, Timeouts: Timeouts{Idle: 200 * time.Millisecond}})
			for range 2 {
				v := g.visit(t, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nsome")
				v.answer("POST")
				g.failure(t)
			}
			g.innocent(t)
			g.ask(t, "POST", "/", "whole")
			g.guilty(t)
		})
	}
}

// A connection that was used before may just have been closed for being unused.
// That says nothing of the upstream; what is lost on a new one does.
func TestStaleConnectionOfATransport(t *testing.T) {
	for _, row := range []struct {
		name             string
		reused, answered bool
		err              error
		failures         uint64
	}{
		{"closed while unused", true, false, io.EOF, 0},
		{"net/http saw it first", true, false, errors.New("http: server closed idle connection"), 0},
		{"reset", true, false, &net.OpError{Op: "read", Err: io.ErrUnexpectedEOF}, 0},
		{"new", false, false, io.EOF, 1},
		{"after a byte of the answer", true, true, io.EOF, 1},
		{"no HTTP", true, false, errors.New("malformed HTTP response"), 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			g := newGate(t, Config{Upstreams: []string{"http://127.0.0.1:1"}, Transport: tripper(func(r *http.Request) (*http.Response, error) {
				trace := httptrace.ContextClientTrace(r.Context())
				trace.GetConn("")
				trace.GotConn(httptrace.GotConnInfo{Reused: row.reused})
				if row.answered {
					trace.GotFirstResponseByte()
				}
				return nil, row.err
			})})
			status, _ := g.ask(t, "POST", "/", "pay")
			assert.Equal(t, 502, status)
			assert.Equal(t, row.failures, g.Status().Upstreams[0].Failures)
		})
	}
}

// A transport can send again what it has not sent, if it can have the body again.
func TestBodyCanBeHadAgain(t *testing.T) {
	bodies := make(chan string, 3)
	g := newGate(t, Config{Upstreams: []string{"http://127.0.0.1:1"}, Transport: tripper(func(r *http.Request) (*http.Response, error) {
		for range 2 {
			again, err := r.GetBody()
			if assert.NoError(t, err) {
				text, _ := io.ReadAll(again)
				bodies <- string(text)
			}
		}
		text, _ := io.ReadAll(r.Body)
		bodies <- string(text)
		return &http.Response{StatusCode: 200, Header: http.Header{}, Body: http.NoBody}, nil
	})})
	g.ask(t, "POST", "/", "hello")
	for range 3 {
		assert.Equal(t, "hello", <-bodies)
	}
}

// Of a transport that tells nothing it is not known how far it came: what it
// failed with may have been carried out, and does not go to another upstream.
func TestNoPOSTTwiceThroughATransport(t *testing.T) {
	for _, row := range []struct {
		method string
		err    error
		times  int32
	}{
		{"POST", errors.New("connection lost"), 1},
		{"POST", io.ErrUnexpectedEOF, 1},
		{"POST", &timeoutError{"too late"}, 1},
		{"POST", &net.OpError{Op: "dial", Err: errors.New("no route")}, 2}, // nothing was sent
		{"PUT", errors.New("connection lost"), 1},
		{"PUT", io.ErrUnexpectedEOF, 2},
	} {
		for _, body := range []string{"100 EUR", strings.Repeat("x", 100_000)} {
			var times atomic.Int32
			g := newGate(t, Config{Upstreams: []string{"http://127.0.0.1:1", "http://127.0.0.1:2"}, Check: neverOut, Transport: tripper(func(r *http.Request) (*http.Response, error) {
				times.Add(1)
				if row.times == 1 {
					io.Copy(io.Discard, r.Body)
				}
				r.Body.Close()
				return nil, row.err
			})})
			g.try(row.method, "/pay", body)
			if len(body) < 100 || row.times == 1 {
				assert.Equal(t, row.times, times.Load(), "%s %v", row.method, row.err)
			}
			assert.LessOrEqual(t, times.Load(), row.times)
		}
	}
}

// A key that does not reach the upstream protects from nothing.
func TestIdempotencyKeyThatIsTakenAway(t *testing.T) {
	for connection, times := range map[string]int32{"close": 2, "close, Idempotency-Key": 1} {
		one, two := killing(t), killing(t)
		g := newGate(t, Config{Upstreams: []string{one.url(), two.url()}, Check: neverOut})
		v := g.visit(t, "POST / HTTP/1.1\r\nHost: h\r\nConnection: "+connection+"\r\nIdempotency-Key: k\r\nContent-Length: 3\r\n\r\npay")
		v.answer("POST")
		assert.Equal(t, times, one.requests.Load()+two.requests.Load(), connection)
	}
}

// The key of a handshake cannot be nominated away: an upstream that does not
// insist on one would answer to another.
func TestHandshakeKeyStays(t *testing.T) {
	keys := make(chan string, 1)
	b := newBackend(t, func(c *backendConn) {
		keys <- c.next().Header.Get("Sec-Websocket-Key")
		c.say(switching)
	})
	g := newGate(t, Config{Upstreams: []string{b.url()}})
	v := g.visit(t, strings.Replace(handshake, "Connection: Upgrade", "Connection: Upgrade, Sec-WebSocket-Key, Sec-WebSocket-Version", 1))
	resp, err := http.ReadResponse(v.r, nil)
	require.NoError(t, err)
	assert.Equal(t, 101, resp.StatusCode)
	assert.Equal(t, "dGhlIHNhbXBsZSBub25jZQ==", <-keys)
}

// What an application echoes, and how it switches, is in the client's hands.
func TestAnswersThatAClientCanProvoke(t *testing.T) {
	b := newBackend(t, func(c *backendConn) {
		for r := c.next(); r != nil; r = c.next() {
			if r.Header.Get("Upgrade") != "" {
				c.say(strings.Replace(switching, "s3pPLMBi", "AAAAAAAA", 1))
				return
			}
			c.say("HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: /login?next=" + strings.Repeat("%22", len(r.Header.Get("Referer"))) + "\r\n\r\n")
		}
	})
	g := newGate(t, Config{Upstreams: []string{b.url()}})
	for range 4 {
		status, _ := g.ask(t, "GET", "/", "", "Referer", strings.Repeat(`"`, 30_000))
		assert.Equal(t, 502, status)
		assert.Equal(t, ReasonHeadTooLarge, g.failure(t).Reason())
		v := g.visit(t, handshake)
		resp, _, err := v.answer("GET")
		require.NoError(t, err)
		assert.Equal(t, 502, resp.StatusCode)
		assert.Equal(t, ReasonUpgradeRefused, g.failure(t).Reason())
	}
	g.innocent(t)
}

// A frame is an HTTP/2 frame (RFC 9113 §4.1).
func frame(kind, flags byte, stream uint32, payload ...byte) []byte {
	b := append(binary.BigEndian.AppendUint32(nil, uint32(len(payload))<<8|uint32(kind)), flags)
	return append(binary.BigEndian.AppendUint32(b, stream), payload...)
}

// speakingHTTP2 answers every request's HEADERS with frames.
func speakingHTTP2(t testing.TB, answer func(stream uint32) [][]byte) *backend {
	return newBackend(t, func(c *backendConn) {
		io.CopyN(io.Discard, c.r, int64(len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")))
		c.Write(frame(4, 0, 0)) // SETTINGS
		var head [9]byte
		for {
			if _, err := io.ReadFull(c.r, head[:]); err != nil {
				return
			}
			io.CopyN(io.Discard, c.r, int64(binary.BigEndian.Uint32(head[:])>>8))
			if head[3] == 1 {
				c.Write(bytes.Join(answer(binary.BigEndian.Uint32(head[5:])), nil))
			}
		}
	})
}

// An HTTP/2 upstream that cancels a stream itself does so at the end of the
// client's own deadline, as gRPC servers do. Other errors are its own.
func TestStreamThatTheUpstreamResets(t *testing.T) {
	const cancel, internal = 8, 2
	reset := func(code byte) func(uint32) []byte {
		return func(s uint32) []byte { return frame(3, 0, s, 0, 0, 0, code) }
	}
	head := func(s uint32) []byte { return frame(1, 4, s, 0x88) } // :status 200
	data := func(s uint32) []byte { return frame(0, 0, s, 'o', 'k') }
	for _, row := range []struct {
		name     string
		frames   []func(uint32) []byte
		failures uint64
	}{
		{"cancelled", []func(uint32) []byte{reset(cancel)}, 0},
		{"cancelled after the head", []func(uint32) []byte{head, reset(cancel)}, 0},
		{"cancelled in the body", []func(uint32) []byte{head, data, reset(cancel)}, 0},
		{"an error", []func(uint32) []byte{reset(internal)}, 1},
		{"an error in the body", []func(uint32) []byte{head, data, reset(internal)}, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			b := speakingHTTP2(t, func(stream uint32) (all [][]byte) {
				for _, f := range row.frames {
					all = append(all, f(stream))
				}
				return all
			})
			g := newGate(t, Config{Upstreams: []string{"h2c://" + b.addr()}, Retry: Retry{Attempts: 1}})
			g.try("POST", "/", "hello")
			g.failure(t)
			eventually(t, "the end of the exchange", func() bool { return g.Status().InFlight == 0 })
			assert.Equal(t, row.failures, g.Status().Upstreams[0].Failures, fmt.Sprint(g.Status().Upstreams))
		})
	}
}
