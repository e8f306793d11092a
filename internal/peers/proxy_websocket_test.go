//go:build linux

package peers

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	coder "github.com/coder/websocket"
	gorilla "github.com/gorilla/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/proxy"
)

// A socket is a WebSocket connection, of whichever library.
type socket interface {
	write(kind int, message []byte) error
	read() (kind int, message []byte, err error)
	ping() error                      // and wait for the pong
	close(code int, why string) error // and wait for the other side's frame
	drop()
}

// The kinds of message have the same numbers in both libraries: those of RFC 6455.
const (
	text   = gorilla.TextMessage
	binary = gorilla.BinaryMessage
)

// coderSocket is github.com/coder/websocket.
type coderSocket struct {
	*coder.Conn
	ctx context.Context
}

func (s coderSocket) write(kind int, message []byte) error {
	return s.Write(s.ctx, coder.MessageType(kind), message)
}

func (s coderSocket) read() (int, []byte, error) {
	kind, message, err := s.Read(s.ctx)
	return int(kind), message, err
}

func (s coderSocket) ping() error {
	ctx := s.CloseRead(s.ctx) // reads the pong
	return s.Ping(ctx)
}

func (s coderSocket) close(code int, why string) error { return s.Close(coder.StatusCode(code), why) }
func (s coderSocket) drop()                            { _ = s.CloseNow() }

// gorillaSocket is github.com/gorilla/websocket.
type gorillaSocket struct{ *gorilla.Conn }

func (s gorillaSocket) write(kind int, message []byte) error { return s.WriteMessage(kind, message) }
func (s gorillaSocket) read() (int, []byte, error)           { return s.ReadMessage() }
func (s gorillaSocket) drop()                                { _ = s.Conn.Close() }

func (s gorillaSocket) ping() error {
	ponged := make(chan struct{})
	s.SetPongHandler(func(string) error { close(ponged); return nil })
	if err := s.WriteControl(gorilla.PingMessage, []byte("?"), time.Now().Add(exchangeTime)); err != nil {
		return err
	}
	go func() { _, _, _ = s.ReadMessage() }() // reads the pong
	select {
	case <-ponged:
		return nil
	case <-time.After(exchangeTime):
		return context.DeadlineExceeded
	}
}

func (s gorillaSocket) close(code int, why string) error {
	frame := gorilla.FormatCloseMessage(code, why)
	if err := s.WriteControl(gorilla.CloseMessage, frame, time.Now().Add(exchangeTime)); err != nil {
		return err
	}
	_, _, err := s.ReadMessage()
	if !gorilla.IsCloseError(err, code) {
		return fmt.Errorf("instead of the close frame: %w", err)
	}
	return s.Conn.Close()
}

// socketLimit is the largest message.
const socketLimit = 2 << 20

// A library has a WebSocket client and server.
type library struct {
	name string
	dial func(ctx context.Context, url string) (socket, *http.Response, error)
	echo http.HandlerFunc // ends with the connection
}

func libraries(t *testing.T) []library {
	return []library{
		{name: "coder", dial: dialCoder(t), echo: echoCoder},
		{name: "gorilla", dial: dialGorilla(t), echo: echoGorilla},
	}
}

func dialCoder(t *testing.T) func(context.Context, string) (socket, *http.Response, error) {
	client := door{tls: true}.client(t, false)
	client.Timeout = 0 // would be the connection's
	return func(ctx context.Context, url string) (socket, *http.Response, error) {
		conn, resp, err := coder.Dial(ctx, url, &coder.DialOptions{
			HTTPClient: client, Subprotocols: []string{"chat"}, CompressionMode: coder.CompressionContextTakeover,
		})
		if err != nil {
			return nil, resp, err
		}
		conn.SetReadLimit(socketLimit)
		return coderSocket{conn, ctx}, resp, nil
	}
}

func dialGorilla(t *testing.T) func(context.Context, string) (socket, *http.Response, error) {
	dialer := gorilla.Dialer{
		TLSClientConfig: &tls.Config{RootCAs: certificate(t).pool, ServerName: frontHost},
		Subprotocols:    []string{"chat"}, EnableCompression: true,
	}
	return func(ctx context.Context, url string) (socket, *http.Response, error) {
		conn, resp, err := dialer.DialContext(ctx, strings.Replace(url, "http", "ws", 1), nil)
		if err != nil {
			return nil, resp, err
		}
		deadline, _ := ctx.Deadline()
		_ = conn.SetReadDeadline(deadline)
		return gorillaSocket{conn}, resp, nil
	}
}

func echoCoder(w http.ResponseWriter, r *http.Request) {
	conn, err := coder.Accept(w, r, &coder.AcceptOptions{
		Subprotocols: []string{"chat"}, CompressionMode: coder.CompressionContextTakeover,
	})
	if err != nil {
		return
	}
	conn.SetReadLimit(socketLimit)
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	echo(coderSocket{conn, ctx})
}

func echoGorilla(w http.ResponseWriter, r *http.Request) {
	upgrader := gorilla.Upgrader{Subprotocols: []string{"chat"}, EnableCompression: true}
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	_ = conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	echo(gorillaSocket{conn})
}

// echo returns every message, until the client closes or says that the server should.
func echo(s socket) {
	defer s.drop()
	for {
		kind, message, err := s.read()
		if err != nil {
			return
		}
		if string(message) == "close" {
			_ = s.close(4002, "as you wish")
			return
		}
		if s.write(kind, message) != nil {
			return
		}
	}
}

// openSocket connects through a door.
func openSocket(t *testing.T, lib library, d door) socket {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	s, resp, err := lib.dial(ctx, d.url("/socket?a=b"))
	require.NoError(t, err)
	t.Cleanup(s.drop)
	require.Equal(t, "chat", resp.Header.Get("Sec-WebSocket-Protocol"))
	return s
}

// echoes asserts that a message comes back as it is.
func echoes(t *testing.T, s socket, kind int, message []byte) {
	t.Helper()
	wrote := make(chan error, 1)
	go func() { wrote <- s.write(kind, message) }()
	gotKind, got, err := s.read()
	require.NoError(t, err)
	require.NoError(t, <-wrote)
	require.Equal(t, kind, gotKind)
	require.True(t, string(message) == string(got), "%d bytes instead of %d", len(got), len(message))
}

// WebSocket through ours, between libraries that know nothing of each other.
func TestProxyWebSocket(t *testing.T) {
	libs := libraries(t)
	for i, lib := range libs {
		server := libs[1-i]
		for _, kind := range []string{"http", "https"} {
			t.Run(fmt.Sprintf("%s client, %s server, %s", lib.name, server.name, kind), func(t *testing.T) {
				cfg := startUpstream(t, kind, server.echo)
				failed := newReasons()
				cfg.OnError = failed.note
				o := startOurs(t, cfg)
				for _, d := range []door{o.plain, o.secure} {
					speak(t, lib, d)
				}
				require.Eventually(t, func() bool { return o.proxy.Status().Tunnels == 0 }, stopTime, time.Millisecond)
				assert.Empty(t, failed)
			})
		}
	}
}

// speak tries everything that a connection can do.
func speak(t *testing.T, lib library, d door) {
	t.Helper()
	s := openSocket(t, lib, d)
	for _, n := range []int{0, 1, 125, 126, 4095, 4096, 65535, 65536, 1 << 20} {
		echoes(t, s, binary, testBytes(n))
	}
	echoes(t, s, text, []byte(strings.Repeat("grüße ", 1000)))
	echoes(t, s, text, []byte(strings.Repeat("a", 1<<20))) // compresses well
	require.NoError(t, s.close(4001, "done"))

	s = openSocket(t, lib, d)
	require.NoError(t, s.write(text, []byte("close")))
	_, _, err := s.read()
	require.Equal(t, 4002, closeCode(err), "%v", err)
	s.drop()

	s = openSocket(t, lib, d)
	require.NoError(t, s.ping())
	s.drop()
}

// closeCode is the code of a close frame; -1: there was none.
func closeCode(err error) int {
	if code := coder.CloseStatus(err); code != -1 {
		return int(code)
	}
	if e, ok := err.(*gorilla.CloseError); ok {
		return e.Code
	}
	return -1
}

func TestProxyWebSocketsInParallel(t *testing.T) {
	const sockets, messages = 48, 10
	libs := libraries(t)
	o := startOurs(t, startUpstream(t, "http", libs[1].echo))
	var all sync.WaitGroup
	opened := make([]socket, sockets)
	for i := range opened {
		d := o.plain
		if i%2 == 1 {
			d = o.secure
		}
		opened[i] = openSocket(t, libs[0], d)
	}
	require.Equal(t, sockets, o.proxy.Status().Tunnels)
	for i, s := range opened {
		all.Go(func() {
			for n := range messages {
				message := []byte(fmt.Sprint(i, " ", n, strings.Repeat("x", n*n*100)))
				if assert.NoError(t, s.write(text, message)) {
					_, got, err := s.read()
					assert.NoError(t, err)
					assert.True(t, string(got) == string(message), "another's message")
				}
			}
			assert.NoError(t, s.close(1000, ""))
		})
	}
	all.Wait()
	require.Eventually(t, func() bool { return o.proxy.Status().Tunnels == 0 }, stopTime, time.Millisecond)
}

// An upstream that does not switch is heard.
func TestProxyWebSocketRefused(t *testing.T) {
	for _, kind := range upstreamKinds {
		o := startOurs(t, startUpstream(t, kind, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "not you", http.StatusForbidden)
		})))
		ctx, cancel := context.WithTimeout(t.Context(), exchangeTime)
		defer cancel()
		_, resp, err := dialCoder(t)(ctx, o.plain.url("/"))
		require.Error(t, err)
		require.NotNil(t, resp, "%s: %v", kind, err)
		require.Equal(t, http.StatusForbidden, resp.StatusCode, kind)
		body, _ := io.ReadAll(resp.Body) // coder keeps what came
		require.Equal(t, "not you\n", string(body), kind)
	}
}

// Shutdown waits for tunnels, and cuts them when its time is over.
func TestProxyWebSocketShutdown(t *testing.T) {
	libs := libraries(t)
	for _, kind := range []string{"http", "https"} {
		t.Run(kind+" waits", func(t *testing.T) {
			o := startOurs(t, startUpstream(t, kind, libs[1].echo))
			s := openSocket(t, libs[0], o.plain)
			echoes(t, s, text, []byte("before"))
			over := shutDown(t, o.proxy, exchangeTime)
			require.Eventually(t, func() bool { return o.proxy.Status().Draining }, stopTime, time.Millisecond)
			echoes(t, s, text, []byte("while it waits"))
			resp, _ := fetch(t, o.plain.client(t, false), request(t, o.plain.url("/")))
			require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
			require.Empty(t, over, "a tunnel is open")
			require.NoError(t, s.close(1000, ""))
			require.NoError(t, <-over)
		})
		t.Run(kind+" cuts", func(t *testing.T) {
			o := startOurs(t, startUpstream(t, kind, libs[1].echo))
			s := openSocket(t, libs[0], o.secure)
			echoes(t, s, text, []byte("before"))
			over := shutDown(t, o.proxy, 100*time.Millisecond)
			_, _, err := s.read()
			require.Error(t, err)
			require.Equal(t, -1, closeCode(err), "nobody said goodbye")
			require.ErrorIs(t, <-over, context.DeadlineExceeded)
			require.Eventually(t, func() bool { return o.proxy.Status().Tunnels == 0 }, stopTime, time.Millisecond)
		})
	}
}

func shutDown(t *testing.T, p *proxy.Proxy, within time.Duration) <-chan error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	over := make(chan error, 1)
	t.Cleanup(cancel)
	go func() { over <- p.Shutdown(ctx) }()
	return over
}

// A tunnel without a byte ends after Timeouts.Tunnel. One with a byte in one direction now and then lives, and the
// server's own time-outs do not touch it.
func TestProxyWebSocketIdle(t *testing.T) {
	const limit = 400 * time.Millisecond
	libs := libraries(t)
	cfg := startUpstream(t, "http", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Has("quiet") {
			listen(w, r)
			return
		}
		echoGorilla(w, r)
	}))
	cfg.Timeouts.Tunnel = limit
	o := startOurs(t, cfg)
	impatient := startImpatient(t, o.proxy)

	idle := openSocket(t, libs[0], o.plain)
	ctx, cancel := context.WithTimeout(t.Context(), exchangeTime)
	defer cancel()
	busy, _, err := libs[0].dial(ctx, impatient.url("/?quiet"))
	require.NoError(t, err)
	defer busy.drop()
	done := make(chan error, 1)
	go func() {
		_, _, err := idle.read()
		done <- err
	}()
	for range 8 { // 1.2 s in all, in one direction only
		require.NoError(t, busy.write(text, []byte("still here")))
		time.Sleep(limit * 3 / 8)
	}
	require.Error(t, <-done)
	require.Equal(t, 1, o.proxy.Status().Tunnels, "the busy one must still be there")
}

// listen takes messages and says nothing.
func listen(w http.ResponseWriter, r *http.Request) {
	conn, err := new(gorilla.Upgrader).Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer conn.Close()
	for err == nil {
		_, _, err = conn.ReadMessage()
	}
}

// startImpatient serves h with time-outs that a tunnel outlives.
func startImpatient(t *testing.T, h http.Handler) door {
	t.Helper()
	const short = 200 * time.Millisecond
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	srv := &http.Server{Handler: h, ReadTimeout: short, WriteTimeout: short, IdleTimeout: short}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	t.Cleanup(func() { _ = srv.Close(); require.ErrorIs(t, <-done, http.ErrServerClosed) })
	return door{addr: ln.Addr().String()}
}

// WebSocket through two proxies, ours outside or inside.
func TestProxyWebSocketChains(t *testing.T) {
	libs := libraries(t)
	upgrading := append([]string{
		"proxy_http_version 1.1;", "proxy_set_header Upgrade $http_upgrade;", "proxy_set_header Connection upgrade;",
	}, nginxUsual...)
	for name, peer := range map[string]starter{"nginx": nginx(upgrading), "HAProxy": startHAProxy, "Caddy": caddy} {
		t.Run(name, func(t *testing.T) {
			backend := listenFront(t, "127.0.0.1:0", libs[1].echo, false)
			inside := startOurs(t, proxy.Config{Upstreams: []string{"http://" + backend}})
			_, outer := peer(t, inside.plain.addr, "")
			speak(t, libs[0], outer)

			inner, _ := peer(t, backend, "")
			outside := startOurs(t, proxy.Config{Upstreams: []string{"http://" + inner.addr}})
			speak(t, libs[0], outside.plain)
		})
	}
}
