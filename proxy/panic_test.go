package proxy

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// bursting panics in the methods of a ResponseWriter that it is told to.
type bursting struct {
	http.ResponseWriter
	atHead, atBody int // a status; 0: never, and whether at the body
}

func (w bursting) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w bursting) WriteHeader(status int) {
	if status == w.atHead {
		panic(http.ErrAbortHandler)
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w bursting) Write(p []byte) (int, error) {
	if w.atBody != 0 {
		panic(http.ErrAbortHandler)
	}
	return w.ResponseWriter.Write(p)
}

// inFront makes every request to /burst meet such a writer.
func inFront(head, body int) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, "/burst") {
				w = bursting{w, head, body}
			}
			next.ServeHTTP(w, r)
		})
	}
}

// hinting answers with an early hint first, and /long with a body that does not
// fit into any buffer and does not end.
func hinting(c *backendConn) {
	for {
		r, err := http.ReadRequest(c.r)
		if err != nil {
			return
		}
		c.say("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
		if r.ContentLength > 1<<20 {
			c.say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n")
			c.gone()
			return
		}
		io.Copy(io.Discard, r.Body)
		c.reply("ok")
	}
}

// Nothing is lost when somebody else's code panics in the middle of an exchange:
// not the place in Limits.InFlight, the connection, nor a goroutine.
func TestPanicInFront(t *testing.T) {
	for name, row := range map[string]struct {
		head, body int
		request    string
	}{
		"with the head":          {head: 200, request: "GET /burst HTTP/1.1\r\nHost: h\r\n\r\n"},
		"with the body":          {body: 1, request: "GET /burst HTTP/1.1\r\nHost: h\r\n\r\n"},
		"with a hint":            {head: 103, request: "GET /burst HTTP/1.1\r\nHost: h\r\n\r\n"},
		"while the client sends": {body: 1, request: "POST /burst HTTP/1.1\r\nHost: h\r\nContent-Length: 2000000\r\n\r\nabc"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBackend(t, hinting)
			g := newGate(t, Config{Upstreams: []string{b.url()}, Limits: Limits{InFlight: 1}})
			g.behind(inFront(row.head, row.body))
			for range 2 {
				v := g.visit(t, row.request)
				io.Copy(io.Discard, v.r)
				eventually(t, "the end of the exchange", func() bool { return g.Status().InFlight == 0 })
			}
			status, text := g.ask(t, "GET", "/", "")
			assert.Equal(t, 200, status)
			assert.Equal(t, "ok", text)
			assert.Zero(t, g.Status().Upstreams[0].Failures)
			assert.Zero(t, len(g.fleet.ups)-1)
			eventually(t, "one connection at most", func() bool { return b.open.Load() <= 1 })
		})
	}
}

// A transport of somebody else's may panic, or answer with nonsense.
func TestPanicInATransport(t *testing.T) {
	for name, rt := range map[string]tripper{
		"at once": func(*http.Request) (*http.Response, error) { panic(http.ErrAbortHandler) },
		"in the body": func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 200, Body: burstingBody{}}, nil
		},
		"through the status": func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: 7, Body: http.NoBody}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			healthy := tripper(func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: 204, Header: http.Header{}}, nil // no Body, which is not allowed and seen
			})
			g := newGate(t, Config{Upstreams: []string{"http://127.0.0.1:1"}, Limits: Limits{InFlight: 1}, Transport: tripper(func(r *http.Request) (*http.Response, error) {
				if r.URL.Path == "/burst" {
					return rt(r)
				}
				return healthy(r)
			})})
			_, _, err := g.try("GET", "/burst", "")
			assert.Error(t, err)
			eventually(t, "the end of the exchange", func() bool { return g.Status().InFlight == 0 })
			status, _ := g.ask(t, "GET", "/", "")
			assert.Equal(t, 204, status)
			assert.Zero(t, g.Status().Upstreams[0].Failures)
		})
	}
}

type burstingBody struct{}

func (burstingBody) Read([]byte) (int, error) { panic(http.ErrAbortHandler) }
func (burstingBody) Close() error             { return nil }

// A WebSocket needs the client's connection. If a handler in front hides it,
// that is a mistake of this program's and not the client's, and no upstream is
// asked to switch.
func TestNoHijacker(t *testing.T) {
	b := newBackend(t, serving)
	g := newGate(t, Config{Upstreams: []string{b.url()}})
	g.behind(func(next http.Handler) http.Handler { return http.TimeoutHandler(next, time.Minute, "") })
	v := g.visit(t, handshake)
	resp, _, err := v.answer("GET")
	require.NoError(t, err)
	assert.Equal(t, 500, resp.StatusCode)
	e := g.failure(t)
	assert.Equal(t, ReasonNoHijacker, e.Reason())
	assert.Contains(t, e.Hint(), "http.TimeoutHandler")
	assert.Zero(t, b.requests.Load())
	assert.Zero(t, g.Status().Upstreams[0].Failures)
	entries := g.book.entries(t)
	require.Len(t, entries, 1)
	assert.Equal(t, "ERROR", entries[0]["level"])
	status, _ := g.ask(t, "GET", "/", "")
	assert.Equal(t, 200, status, "other requests need none")
}

// A writer that cannot flush, like http.TimeoutHandler's, gets the whole answer
// all the same: only later.
func TestAnswerThroughAWriterThatCannotFlush(t *testing.T) {
	noLeaks(t)
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for range 3 {
			io.WriteString(w, "piece ")
			w.(http.Flusher).Flush()
			time.Sleep(5 * time.Millisecond)
		}
	}))
	defer up.Close()
	p := Must(To(up.URL))
	front := httptest.NewServer(http.TimeoutHandler(p, time.Minute, ""))
	defer func() { front.Close(); p.Shutdown(t.Context()) }()
	resp, err := front.Client().Get(front.URL)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.Equal(t, "piece piece piece ", string(body))
}
