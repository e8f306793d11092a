//go:build linux

package peers

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/proxy"
)

// Numbers of the stress tests.
const (
	stressClients = 64
	stressTime    = 2 * time.Second
	stressMax     = 40000 // requests in all, on a fast machine
)

// A ledger counts how often the request of each id was carried out, and what the clients were told.
type ledger struct {
	pause time.Duration // between carrying a request out and saying so

	mu       sync.Mutex
	done     map[string]int
	next     atomic.Int64
	statuses map[string]int // by method and status
}

func newLedger() *ledger { return &ledger{done: map[string]int{}, statuses: map[string]int{}} }

// ServeHTTP carries a request out.
func (l *ledger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return // not whole, not carried out
	}
	l.mu.Lock()
	l.done[r.Header.Get("X-Id")]++
	l.mu.Unlock()
	time.Sleep(l.pause)
	_, _ = io.WriteString(w, "done")
}

// times is how often a request was carried out.
func (l *ledger) times(id string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.done[id]
}

// stress sends requests of all methods from many clients for a while, with pauses around the upstream's idle time.
func (l *ledger) stress(t *testing.T, d door, idle time.Duration) {
	t.Helper()
	client := d.client(t, false)
	over := time.Now().Add(stressTime)
	var all sync.WaitGroup
	for range stressClients {
		all.Go(func() {
			for time.Now().Before(over) && l.next.Load() < stressMax {
				l.one(t, client, d.url("/"))
				if rand.IntN(3) == 0 {
					time.Sleep(rand.N(2 * idle))
				}
			}
		})
	}
	all.Wait()
	t.Logf("%d requests: %v", l.next.Load(), l.statuses)
}

func (l *ledger) one(t *testing.T, client *http.Client, url string) {
	n := l.next.Add(1)
	method := []string{"GET", "PUT", "DELETE", "POST"}[n%4]
	var body io.Reader
	if method == "PUT" || method == "POST" {
		body = strings.NewReader("hello")
	}
	id := fmt.Sprint(n)
	req, err := http.NewRequest(method, url, body)
	if !assert.NoError(t, err) {
		return
	}
	req.Header.Set("X-Id", id)
	resp, err := client.Do(req)
	if !assert.NoError(t, err) {
		return
	}
	answer, err := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	assert.NoError(t, err)
	l.judge(t, method, id, resp.StatusCode, string(answer))
}

// judge asserts that what the client was told is so, and that no POST was carried out twice. A POST alone may meet a
// connection that is being closed: it is not sent again, so its client is told.
func (l *ledger) judge(t *testing.T, method, id string, status int, answer string) {
	times := l.times(id)
	switch {
	case status == http.StatusOK:
		assert.Equal(t, "done", answer)
		assert.GreaterOrEqual(t, times, 1, "%s was answered and not carried out", method)
	default:
		assert.True(t, method == "POST" && status == http.StatusBadGateway, "%s: %d", method, status)
	}
	if method == "POST" {
		assert.LessOrEqual(t, times, 1, "a POST was carried out twice")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.statuses[fmt.Sprint(method, " ", status)]++
}

// An upstream whose keep-alive time is over while requests are on their way: it is up all the time, so nobody but a
// POST may notice.
func TestStaleConnectionsOfGo(t *testing.T) {
	const idle = 5 * time.Millisecond
	l := newLedger()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	srv := &http.Server{Handler: l, IdleTimeout: idle, ReadHeaderTimeout: exchangeTime}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	t.Cleanup(func() { _ = srv.Close(); require.ErrorIs(t, <-done, http.ErrServerClosed) })
	o := startOurs(t, proxy.Config{Upstreams: []string{"http://" + ln.Addr().String()}})
	l.stress(t, o.plain, idle)
	require.Greater(t, len(l.done), 100)
}

// A Go upstream that is replaced again and again: the new one takes connections before the old one ends, in good order
// or by a crash that takes the answers with it.
func TestStaleConnectionsOfRestarts(t *testing.T) {
	l := newLedger()
	l.pause = 5 * time.Millisecond // so that a crash meets many
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	r := startRestarting(t, ln, l)
	o := startOurs(t, proxy.Config{
		Upstreams: []string{"http://" + ln.Addr().String()},
		Retry:     proxy.Retry{Attempts: 4, Budget: 1, Burst: stressClients}, // a crash is an outage, which the default would not double
	})
	l.stress(t, o.plain, 5*time.Millisecond)
	require.GreaterOrEqual(t, r.stop(), crashEvery, "restarts")
}

// crashEvery is how many restarts are one crash. A request must not meet two.
const crashEvery = 4

// A restarting upstream is one address, and one server after another that takes connections there.
type restarting struct {
	listener net.Listener
	accepted chan net.Conn
	end      context.CancelFunc
	over     sync.WaitGroup
	restarts int
}

func startRestarting(t *testing.T, ln net.Listener, h http.Handler) *restarting {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := &restarting{listener: ln, accepted: make(chan net.Conn), end: cancel}
	r.over.Go(func() {
		defer close(r.accepted)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			r.accepted <- conn
		}
	})
	r.over.Go(func() { r.run(t, ctx, h) })
	t.Cleanup(func() { r.stop() })
	return r
}

func (r *restarting) run(t *testing.T, ctx context.Context, h http.Handler) {
	now := r.serve(h)
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(100 * time.Millisecond):
			next := r.serve(h)
			if r.restarts++; r.restarts%crashEvery == 0 {
				_ = now.srv.Close()
			}
			now.stop(t)
			now = next
		}
	}
	_ = r.listener.Close()
	now.stop(t)
}

func (r *restarting) stop() (restarts int) {
	r.end()
	r.over.Wait()
	return r.restarts
}

// A generation is one of the servers.
type generation struct {
	srv  *http.Server
	done chan error
}

func (r *restarting) serve(h http.Handler) generation {
	g := generation{done: make(chan error, 1)}
	g.srv = &http.Server{Handler: h, ReadHeaderTimeout: exchangeTime, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	go func() { g.done <- g.srv.Serve(&sharedListener{r: r, closed: make(chan struct{})}) }()
	return g
}

// stop ends a server as a deployment does: requests are answered, idle connections closed. One that has crashed is only
// waited for.
func (g generation) stop(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	assert.NoError(t, g.srv.Shutdown(ctx))
	assert.ErrorIs(t, <-g.done, http.ErrServerClosed)
}

// A sharedListener is one generation's end of the listener. Closing it loses no connection.
type sharedListener struct {
	r      *restarting
	closed chan struct{}
	once   sync.Once
}

func (l *sharedListener) Accept() (net.Conn, error) {
	select {
	case <-l.closed:
	case conn, ok := <-l.r.accepted:
		if ok {
			return conn, nil
		}
		<-l.closed
	}
	return nil, net.ErrClosed
}

func (l *sharedListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *sharedListener) Addr() net.Addr { return l.r.listener.Addr() }

// nginx with a short keepalive_timeout and few requests a connection, reloaded again and again.
func TestStaleConnectionsOfNginx(t *testing.T) {
	l := newLedger()
	backend := listenFront(t, "127.0.0.1:0", l, false)
	addr, reload := startReloadable(t, backend)
	o := startOurs(t, proxy.Config{Upstreams: []string{"http://" + addr}})
	stop := make(chan struct{})
	var reloads sync.WaitGroup
	reloads.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(300 * time.Millisecond):
				reload()
			}
		}
	})
	l.stress(t, o.plain, 20*time.Millisecond)
	close(stop)
	reloads.Wait()
}

// startReloadable runs nginx with a master process, which takes SIGHUP.
func startReloadable(t *testing.T, upstream string) (addr string, reload func()) {
	t.Helper()
	path := findPeer(t, "nginx")
	addrs := freeAddrs(t, 1)
	dir := t.TempDir()
	conf := writeFile(t, dir, "nginx.conf", fmt.Sprintf(`
daemon off;
user root;
worker_processes 1;
pid %[1]s/nginx.pid;
events { worker_connections 1024; }
http {
	access_log off;
	keepalive_timeout 20ms;
	keepalive_requests 50;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	upstream app { server %[3]s; keepalive 64; }
	server {
		listen %[2]s;
		location / {
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_pass http://app;
		}
	}
}
`, dir, addrs[0], upstream))
	p := launch(t, path, dir, []string{"-p", dir, "-e", filepath.Join(dir, "error.log"), "-c", conf})
	t.Cleanup(func() { p.stop(t, addrs) })
	require.True(t, p.ready(addrs), "%s", p.output())
	return addrs[0], func() { _ = syscall.Kill(p.cmd.Process.Pid, syscall.SIGHUP) }
}
