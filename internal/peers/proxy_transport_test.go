//go:build linux

package peers

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/http/httputil"
	"net/textproto"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/proxy"
)

// transports are ours and the one that it must be as good as.
func transports(t *testing.T) map[string]http.RoundTripper {
	std := &http.Transport{DisableCompression: true}
	mine := proxy.NewTransport(proxy.TransportConfig{})
	t.Cleanup(func() {
		std.CloseIdleConnections()
		mine.(interface{ CloseIdleConnections() }).CloseIdleConnections()
		noneLeft(t)
	})
	return map[string]http.RoundTripper{"ours": mine, "net/http": std}
}

// An outcome is what an http.Client says of an answer.
type outcome struct {
	Status           string
	Proto            string
	Header, Trailer  http.Header
	ContentLength    int64
	TransferEncoding []string
	Close            bool
	Uncompressed     bool
	HasRequest       bool
	URL              string // of the last request, behind redirects
	Hints            []string
	Body             string
	Cut              bool // the body is not whole
}

func outcomeOf(t *testing.T, rt http.RoundTripper, req *http.Request) outcome {
	t.Helper()
	var o outcome
	ctx, cancel := context.WithTimeout(t.Context(), exchangeTime)
	defer cancel()
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		o.Hints = append(o.Hints, fmt.Sprint(code, h))
		return nil
	}})
	resp, err := (&http.Client{Transport: rt}).Do(req.WithContext(ctx))
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	o.Status, o.Proto, o.Header, o.Trailer = resp.Status, resp.Proto, resp.Header, resp.Trailer
	o.ContentLength, o.TransferEncoding, o.Close, o.Uncompressed = resp.ContentLength, resp.TransferEncoding, resp.Close, resp.Uncompressed
	if o.HasRequest = resp.Request != nil; o.HasRequest {
		o.URL = resp.Request.URL.Path
	}
	o.Header.Del("Date")
	o.Header.Del("Connection") // ours leaves it, for a proxy to read what else it names
	o.Body = string(body)
	o.Cut = errors.Is(err, io.ErrUnexpectedEOF)
	require.True(t, o.Cut || err == nil, "%v", err)
	return o
}

// variety is a server with answers of many kinds. It reports what it gets in the body.
func variety(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/redirect":
		http.Redirect(w, r, "/digest", http.StatusTemporaryRedirect)
	case "/304":
		w.Header().Set("Etag", `"x"`)
		w.WriteHeader(http.StatusNotModified)
	case "/gzip":
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = io.WriteString(w, "not really, "+r.Header.Get("Accept-Encoding"))
	case "/close":
		w.Header().Set("Connection", "close")
		_, _ = io.WriteString(w, "bye")
	case "/cut":
		w.Header().Set("Content-Length", "100")
		_, _ = io.WriteString(w, "only this")
	case "/cut chunk":
		_, _ = io.WriteString(w, "only this")
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	case "/two":
		w.Header()["X-Two"] = []string{"1", "2"}
		w.Header()["Set-Cookie"] = []string{"a=b", "c=d"}
	case "/echo":
		body, _ := io.ReadAll(r.Body)
		delete(r.Header, "Accept-Encoding")
		fmt.Fprintf(w, "%s %s %s %v %d %q %v %q", r.Method, r.RequestURI, r.Host, r.Header, r.ContentLength, r.TransferEncoding, r.Trailer, body)
	default:
		mixed(w, r)
	}
}

// Our transport under http.Client, beside net/http's own: the same requests arrive, and the answers look the same.
func TestTransportUnderClient(t *testing.T) {
	base := "http://" + listenFront(t, "127.0.0.1:0", http.HandlerFunc(variety), false)
	both := transports(t)
	for name, build := range transportRequests() {
		t.Run(name, func(t *testing.T) {
			want := outcomeOf(t, both["net/http"], build(t, base))
			got := outcomeOf(t, both["ours"], build(t, base))
			assert.Equal(t, want, got)
			again := outcomeOf(t, both["ours"], build(t, base)) // on a connection that was used
			assert.Equal(t, want, again)
		})
	}
}

func transportRequests() map[string]func(t *testing.T, base string) *http.Request {
	type builder = func(t *testing.T, base string) *http.Request
	simple := func(method, path string, body func() io.Reader, edit func(*http.Request)) builder {
		return func(t *testing.T, base string) *http.Request {
			var r io.Reader
			if body != nil {
				r = body()
			}
			req, err := http.NewRequest(method, base+path, r)
			require.NoError(t, err)
			req.Header.Set("User-Agent", "test") // ours makes none up
			if edit != nil {
				edit(req)
			}
			return req
		}
	}
	known := func() io.Reader { return bytes.NewReader(testBytes(100 << 10)) }
	unknown := func() io.Reader { return io.MultiReader(strings.NewReader("hello "), strings.NewReader("world")) }
	list := map[string]builder{
		"body of known length":   simple("POST", "/digest", known, nil),
		"body of unknown length": simple("PUT", "/echo?a=b;c&d=%41", unknown, nil),
		"empty body":             simple("POST", "/echo", func() io.Reader { return strings.NewReader("") }, nil),
		"nil body":               simple("POST", "/echo", nil, nil),
		"no body":                simple("DELETE", "/echo", nil, nil),
		"other host":             simple("GET", "/echo", nil, func(r *http.Request) { r.Host = "other.example" }),
		"no user agent":          simple("GET", "/echo", nil, func(r *http.Request) { r.Header["User-Agent"] = []string{""} }),
		"own headers": simple("GET", "/echo", nil, func(r *http.Request) {
			r.Header["X-Own"], r.Header["x-lower"] = []string{"1", "2"}, []string{"3"}
		}),
		"user in the URL": simple("GET", "/echo", nil, func(r *http.Request) { r.URL.User = url.UserPassword("a", "b") }),
		"fragment":        simple("GET", "/echo#fragment", nil, nil),
		"opaque target":   simple("GET", "/", nil, func(r *http.Request) { r.URL.Opaque = "/echo%2f/x" }),
		"raw path":        simple("GET", "/echo", nil, func(r *http.Request) { r.URL.Path, r.URL.RawPath = "/a/b", "/a%2fb" }),
		"close":           simple("GET", "/echo", nil, func(r *http.Request) { r.Close = true }),
		"expect": simple("POST", "/echo", known, func(r *http.Request) {
			r.Header.Set("Expect", "100-continue")
		}),
		"trailer":          simple("POST", "/echo", unknown, func(r *http.Request) { r.Trailer = http.Header{"X-Sum": {"1"}} }),
		"head":             simple("HEAD", "/large", nil, nil),
		"options":          simple("OPTIONS", "/echo", nil, nil),
		"patch redirected": simple("PATCH", "/redirect", func() io.Reader { return strings.NewReader("hello") }, nil),
	}
	for _, path := range []string{"/hints", "/trailers", "/large", "/none", "/304", "/gzip", "/close", "/two", "/cut", "/cut%20chunk"} {
		list["get "+path] = simple("GET", path, nil, nil)
	}
	return list
}

// What http.Client itself is told of a failure.
func TestTransportErrors(t *testing.T) {
	slow := make(chan struct{})
	base := "http://" + listenFront(t, "127.0.0.1:0", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-slow:
		case <-r.Context().Done():
		}
	}), false)
	t.Cleanup(func() { close(slow) })
	for name, rt := range transports(t) {
		t.Run(name, func(t *testing.T) {
			_, err := (&http.Client{Transport: rt, Timeout: 50 * time.Millisecond}).Get(base)
			var failed *url.Error
			require.ErrorAs(t, err, &failed)
			assert.True(t, failed.Timeout(), "%v", err)
			assert.ErrorIs(t, err, context.DeadlineExceeded)

			ctx, cancel := context.WithCancel(t.Context())
			time.AfterFunc(50*time.Millisecond, cancel)
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, base, nil)
			require.NoError(t, err)
			_, err = rt.RoundTrip(req)
			assert.ErrorIs(t, err, context.Canceled)

			_, err = (&http.Client{Transport: rt}).Get("http://" + freeAddrs(t, 1)[0])
			assert.ErrorContains(t, err, "refused")
		})
	}
}

// A body that is not read to its end costs its connection, and nothing else.
func TestTransportAbandonedBody(t *testing.T) {
	var open atomic.Int64
	addr := countedServer(t, &open, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write(make([]byte, 10<<20))
	}))
	rt := transports(t)["ours"]
	for range 5 {
		resp, err := (&http.Client{Transport: rt}).Get("http://" + addr)
		require.NoError(t, err)
		_, err = io.ReadFull(resp.Body, make([]byte, 10))
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
	}
	require.Eventually(t, func() bool { return open.Load() == 0 }, stopTime, time.Millisecond, "a connection is left open")
}

// countedServer is a server that counts its open connections.
func countedServer(t *testing.T, open *atomic.Int64, h http.Handler) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	srv := &http.Server{Handler: h, ReadHeaderTimeout: exchangeTime, ConnState: func(_ net.Conn, s http.ConnState) {
		switch s {
		case http.StateNew:
			open.Add(1)
		case http.StateClosed, http.StateHijacked:
			open.Add(-1)
		}
	}}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	t.Cleanup(func() { _ = srv.Close(); require.ErrorIs(t, <-done, http.ErrServerClosed) })
	return ln.Addr().String()
}

// A hastyServer answers one request on each connection, says that it keeps it, and closes it a little later, as one
// whose keep-alive time has just run out.
type hastyServer struct {
	addr  string
	seen  atomic.Int64 // requests that it has read, those that it does not answer too
	reads bool         // reads the second request before it closes, without an answer
}

func startHasty(t *testing.T, reads bool) *hastyServer {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	h := &hastyServer{addr: ln.Addr().String(), reads: reads}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go h.serve(conn)
		}
	}()
	t.Cleanup(func() { _ = ln.Close(); <-done })
	return h
}

func (h *hastyServer) serve(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(exchangeTime))
	r := bufio.NewReader(conn)
	if !h.take(r) {
		return
	}
	time.Sleep(5 * time.Millisecond) // for the client to know that the whole body went
	_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	if h.reads {
		h.take(r)
	}
}

// take reads a whole request, if one comes.
func (h *hastyServer) take(r *bufio.Reader) bool {
	req, err := http.ReadRequest(r)
	if err != nil {
		return false
	}
	_, _ = io.Copy(io.Discard, req.Body)
	h.seen.Add(1)
	return true
}

// A connection that the upstream closes between two requests is nobody's failure, where it can be made good.
func TestTransportStaleConnections(t *testing.T) {
	rt := transports(t)["ours"]
	for _, method := range []string{"GET", "PUT", "DELETE", "POST"} {
		t.Run(method, func(t *testing.T) {
			h := startHasty(t, false)
			for range 5 {
				require.NoError(t, send(rt, method, h.addr))
				time.Sleep(5 * time.Millisecond) // in which the upstream closes
			}
			require.EqualValues(t, 5, h.seen.Load())
		})
		t.Run(method+" that is read", func(t *testing.T) {
			h := startHasty(t, true)
			require.NoError(t, send(rt, method, h.addr))
			err := send(rt, method, h.addr)
			if method == "POST" {
				var e *proxy.Error
				require.ErrorAs(t, err, &e)
				require.Equal(t, proxy.ReasonConnectionLost, e.Reason())
				require.EqualValues(t, 2, h.seen.Load(), "a POST that was read must not be sent again")
				return
			}
			require.NoError(t, err)
			require.EqualValues(t, 3, h.seen.Load())
		})
	}
}

// send makes one request with a body, unless it is a GET.
func send(rt http.RoundTripper, method, addr string) error {
	var body io.Reader
	if method != http.MethodGet {
		body = strings.NewReader("hello")
	}
	req, err := http.NewRequest(method, "http://"+addr+"/", body)
	if err != nil {
		return err
	}
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err == nil && string(answer) != "ok" {
		err = errors.New("answer: " + string(answer))
	}
	return err
}

// startReverseProxy is httputil.ReverseProxy on our transport.
func startReverseProxy(t *testing.T, rt http.RoundTripper, upstream string) (plain, secure door) {
	t.Helper()
	target, err := url.Parse("http://" + upstream)
	require.NoError(t, err)
	rp := &httputil.ReverseProxy{Transport: rt, FlushInterval: -1, ErrorLog: log.New(io.Discard, "", 0), Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host
	}}
	return door{addr: listenFront(t, "127.0.0.1:0", rp, false)},
		door{addr: listenFront(t, "127.0.0.1:0", rp, true), tls: true}
}

// Our transport under httputil.ReverseProxy, for every kind of front.
func TestTransportUnderReverseProxy(t *testing.T) {
	backend := listenFront(t, "127.0.0.1:0", http.HandlerFunc(mixed), false)
	plain, secure := startReverseProxy(t, transports(t)["ours"], backend)
	body := testBytes(3 << 20)
	for name, client := range map[string]*http.Client{
		"http": plain.client(t, false), "https": secure.client(t, false), "h2": secure.client(t, true),
	} {
		t.Run(name, func(t *testing.T) {
			base := plain.url("")
			if name != "http" {
				base = secure.url("")
			}
			for _, length := range []int64{int64(len(body)), -1} {
				req, err := http.NewRequest(http.MethodPut, base+"/", bytes.NewReader(body))
				require.NoError(t, err)
				req.ContentLength = length
				_, answer := fetch(t, client, req)
				assert.Equal(t, digestOf("PUT", body), answer)
			}
			hints := 0
			_, answer := fetch(t, client, withHints(t, &hints, base+"/hints"))
			assert.Equal(t, "after hints", answer)
			assert.Equal(t, 1, hints)

			resp, answer := fetch(t, client, request(t, base+"/trailers"))
			assert.Equal(t, "before the trailer", answer)
			assert.Equal(t, http.Header{"X-Sum": {"1"}}, resp.Trailer)
		})
	}
}

func TestTransportWebSocketUnderReverseProxy(t *testing.T) {
	libs := libraries(t)
	backend := listenFront(t, "127.0.0.1:0", libs[1].echo, false)
	plain, secure := startReverseProxy(t, transports(t)["ours"], backend)
	speak(t, libs[0], plain)
	speak(t, libs[0], secure)
}

func TestTransportUnderReverseProxyCancels(t *testing.T) {
	arrived, ended := make(chan string, 1), make(chan string, 1)
	backend := listenFront(t, "127.0.0.1:0", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		arrived <- ""
		<-r.Context().Done()
		ended <- ""
	}), false)
	plain, secure := startReverseProxy(t, transports(t)["ours"], backend)
	for _, d := range []door{plain, secure} {
		gone := cancelWhen(t, d.client(t, d.tls), d.url("/"), arrived)
		within(t, ended, time.Second, "the upstream does not know that the client is gone")
		<-gone
	}
}
