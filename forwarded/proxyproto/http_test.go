package proxyproto_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/forwarded/proxyproto"
)

// A sight is one request as a handler saw it.
type sight struct {
	remote, proto string
	info          forwarded.Info
	header        proxyproto.Header
	ok            bool
}

// serve runs an http.Server behind a Policy until the end of the test, over
// TLS with HTTP/2 if so asked, and returns what its handler sees.
func serve(t *testing.T, l net.Listener, secure bool, hops ...forwarded.Hop) <-chan sight {
	t.Helper()
	sights := make(chan sight, 1)
	policy, err := forwarded.New(forwarded.Config{Hops: hops, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	srv := httptest.NewUnstartedServer(policy.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		h, ok := proxyproto.FromContext(r.Context())
		sights <- sight{r.RemoteAddr, r.Proto, forwarded.From(r), h, ok}
	})))
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	_ = srv.Listener.Close()
	srv.Listener = l
	if secure {
		srv.EnableHTTP2 = true
		srv.StartTLS()
	} else {
		srv.Start()
	}
	t.Cleanup(srv.Close)
	return sights
}

// ask sends one request behind text and returns the answer's status; 0: none.
func ask(t *testing.T, l net.Listener, text string, protos ...string) int {
	t.Helper()
	var transport http.Transport
	defer transport.CloseIdleConnections()
	transport.DisableKeepAlives = true
	transport.DialContext = func(context.Context, string, string) (net.Conn, error) { return dial(t, l, text), nil }
	url := "http://www.example.com/"
	if len(protos) > 0 {
		url = "https://www.example.com/"
		transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true, NextProtos: protos} // the certificate is not the point
		transport.ForceAttemptHTTP2 = protos[0] == "h2"
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	r.Header.Set("X-Forwarded-For", "6.6.6.6")
	r.Header.Set("X-Forwarded-Proto", "https")
	resp, err := transport.RoundTrip(r)
	if err != nil {
		return 0
	}
	_ = resp.Body.Close()
	return resp.StatusCode
}

// A balancer that ends TLS, in front of a server that does not.
func TestNLBTLS(t *testing.T) {
	before := runtime.NumGoroutine()
	t.Run("", func(t *testing.T) {
		l := loopback(t, proxyproto.Config{})
		sights := serve(t, l, false, forwarded.NLBTLS("127.0.0.1"))
		for _, c := range []struct {
			header, remote string
			status         forwarded.Status
			scheme         forwarded.Scheme
			port           uint16
			local          bool
		}{
			{line, client, forwarded.StatusForwarded, forwarded.HTTPS, 443, false},
			{block, client, forwarded.StatusForwarded, forwarded.HTTPS, 443, false},
			{"PROXY TCP6 2001:db8::1 ::1 1000 80\r\n", "[2001:db8::1]:1000", forwarded.StatusForwarded, forwarded.HTTP, 80, false},
			{"PROXY TCP4 192.0.2.9 10.0.0.1 1000 8080\r\n", client, forwarded.StatusForwarded, forwarded.SchemeUnknown, 8080, false},
			{local, "127.0.0.1:", forwarded.StatusLocal, forwarded.SchemeUnknown, 0, true},
			{unspec, "127.0.0.1:", forwarded.StatusUnknown, forwarded.SchemeUnknown, 0, false},
		} {
			require.Equal(t, http.StatusOK, ask(t, l, c.header), "%q", c.header)
			s := <-sights
			assert.True(t, strings.HasPrefix(s.remote, c.remote), "%q: %s", c.header, s.remote)
			assert.Equal(t, c.status, s.info.Status, "%q", c.header)
			assert.Equal(t, c.scheme, s.info.Scheme, "%q", c.header)
			assert.Equal(t, c.port, s.info.Port, "%q", c.header)
			assert.Equal(t, "127.0.0.1", s.info.Peer.Addr().String(), "the balancer")
			if c.status == forwarded.StatusForwarded {
				assert.Equal(t, c.remote, net.JoinHostPort(s.info.Client.String(), "1000"))
				assert.Equal(t, c.port, s.header.Destination.Port())
			} else {
				assert.False(t, s.info.Client.IsValid(), "the balancer is never the client")
			}
			assert.True(t, s.ok)
			assert.Equal(t, c.local, s.header.Local)
			assert.Equal(t, s.info.Peer, s.header.Peer)
		}
	})
	requireNoMore(t, before)
}

// A balancer that passes TLS through: the header stands before the handshake,
// and what TLS carries is seen through it, in HTTP/1 and HTTP/2.
func TestNLBTCP(t *testing.T) {
	l := loopback(t, proxyproto.Config{})
	sights := serve(t, l, true, forwarded.NLBTCP("127.0.0.1"))
	for proto, want := range map[string]string{"http/1.1": "HTTP/1.1", "h2": "HTTP/2.0"} {
		require.Equal(t, http.StatusOK, ask(t, l, "PROXY TCP4 192.0.2.9 10.0.0.1 1000 8443\r\n", proto))
		s := <-sights
		assert.Equal(t, want, s.proto)
		assert.Equal(t, client, s.remote)
		assert.Equal(t, forwarded.HTTPS, s.info.Scheme)
		assert.Equal(t, "192.0.2.9", s.info.Client.String())
		assert.True(t, s.ok)
		assert.Equal(t, uint16(8443), s.header.Destination.Port())
	}
}

// A port of 443 makes nothing secure where bytes are passed.
func TestNLBTCPPlain(t *testing.T) {
	l := loopback(t, proxyproto.Config{})
	sights := serve(t, l, false, forwarded.NLBTCP("127.0.0.1"))
	require.Equal(t, http.StatusOK, ask(t, l, line))
	assert.Equal(t, forwarded.HTTP, (<-sights).info.Scheme)
}

// A proxy on the same machine, over a unix socket.
func TestUnixSocketThroughHTTP(t *testing.T) {
	ln, err := net.Listen("unix", filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Skip("no unix sockets here:", err)
	}
	l := listen(t, ln, proxyproto.Config{From: []string{"unix"}})
	sights := serve(t, l, false, forwarded.NLBTLS("unix"))
	require.Equal(t, http.StatusOK, ask(t, l, line))
	s := <-sights
	assert.Equal(t, "192.0.2.9", s.info.Client.String())
	assert.Equal(t, forwarded.HTTPS, s.info.Scheme)
	assert.False(t, s.info.Peer.IsValid())
}

// refusedByHTTP sends a request behind text in one piece, so that the answer is not
// lost in a reset, and reports whether it is a bad one.
func refusedByHTTP(t *testing.T, l net.Listener, text string) bool {
	t.Helper()
	conn := dial(t, l, text+"GET / HTTP/1.1\r\nHost: www.example.com\r\nConnection: close\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	require.NoError(t, err)
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusBadRequest
}

// A header that a client sends itself is a bad request: behind the balancer's
// own, where only the first is read, and from a stranger, where none is.
func TestTheClientsOwnHeader(t *testing.T) {
	l := loopback(t, proxyproto.Config{})
	sights := serve(t, l, false, forwarded.NLBTLS("127.0.0.1"))
	forged := "PROXY TCP4 198.51.100.1 10.0.0.1 1000 443\r\n"
	for _, second := range []string{forged, block} {
		assert.True(t, refusedByHTTP(t, l, line+second))
	}
	assert.False(t, refusedByHTTP(t, l, line))
	assert.Equal(t, client, (<-sights).remote)
	assert.Empty(t, sights)

	l = loopback(t, proxyproto.Config{From: []string{"10.0.16.0/20"}})
	sights = serve(t, l, false, forwarded.NLBTLS("10.0.16.0/20"))
	for _, first := range []string{forged, block} {
		assert.True(t, refusedByHTTP(t, l, first))
	}
	assert.False(t, refusedByHTTP(t, l, ""))
	s := <-sights
	assert.Equal(t, forwarded.StatusDirect, s.info.Status)
	assert.True(t, strings.HasPrefix(s.remote, "127.0.0.1:"))
	assert.False(t, s.ok)
	assert.Equal(t, proxyproto.Header{}, s.header)
	assert.Empty(t, sights)
}

func TestFromContextWithoutServer(t *testing.T) {
	_, ok := proxyproto.FromContext(context.Background())
	assert.False(t, ok)
	_, ok = proxyproto.FromContext(context.WithValue(context.Background(), http.LocalAddrContextKey, tcpAddr(target)))
	assert.False(t, ok)
}

// A hook that asks for the client's address, with one sender silent: that used
// to stop servers whose headers are read on demand.
func TestHooksDoNotWait(t *testing.T) {
	l := loopback(t, proxyproto.Config{Timeout: time.Hour})
	seen := make(chan string, 1)
	srv := &http.Server{
		ReadHeaderTimeout: time.Minute,
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			seen <- c.RemoteAddr().String()
			return ctx
		},
		Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}),
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	dial(t, l, "")
	within(t, func() { assert.Equal(t, http.StatusOK, ask(t, l, block)) })
	assert.Equal(t, client, <-seen)
	require.NoError(t, srv.Close())
	assert.ErrorIs(t, <-done, http.ErrServerClosed)
}

// What net/http does with an error of Accept: a temporary one is waited out,
// and Serve's end closes the listener.
func TestServeSurvivesTemporaryErrors(t *testing.T) {
	before := runtime.NumGoroutine()
	ln := newFake()
	l := listen(t, ln, quiet())
	srv := &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, r.RemoteAddr) }),
		ReadHeaderTimeout: time.Minute,
		ErrorLog:          slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	ln.results <- temporary{}
	theirs, _ := ln.connect(balancer)
	require.NoError(t, theirs.SetDeadline(time.Now().Add(soonEnough)))
	_, err := io.WriteString(theirs, block+"GET / HTTP/1.1\r\nHost: www.example.com\r\nConnection: close\r\n\r\n")
	require.NoError(t, err)
	resp, err := http.ReadResponse(bufio.NewReader(theirs), nil)
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	assert.Equal(t, client, string(body))
	require.NoError(t, srv.Shutdown(t.Context()))
	assert.ErrorIs(t, <-done, http.ErrServerClosed)
	_, err = l.Accept()
	assert.ErrorIs(t, err, net.ErrClosed)
	requireNoMore(t, before)
}
