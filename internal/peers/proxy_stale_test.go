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
	require.Greater(t, len(l.done), 1000)
}

// A Go upstream that is replaced again and again: the new one listens before the old one ends, in good order or by a
// crash that takes the answers with it.
func TestStaleConnectionsOfRestarts(t *testing.T) {
	l := newLedger()
	l.pause = time.Millisecond
	addr := freeAddrs(t, 1)[0]
	r := startRestarting(t, addr, l)
	o := startOurs(t, proxy.Config{Upstreams: []string{"http://" + addr}})
	l.stress(t, o.plain, 5*time.Millisecond)
	require.Greater(t, r.stop(t), 5, "restarts")
}

// A restarting server hands its address on to the next one every now and then.
type restarting struct {
	end      context.CancelFunc
	done     chan struct{}
	restarts int
}

func startRestarting(t *testing.T, addr string, h http.Handler) *restarting {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := &restarting{end: cancel, done: make(chan struct{})}
	srv := serveShared(t, addr, h)
	go func() {
		defer close(r.done)
		for ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
				next := serveShared(t, addr, h)
				if r.restarts++; r.restarts%2 == 0 {
					_ = srv.srv.Close()
				}
				srv.stop(t)
				srv = next
			}
		}
		srv.stop(t)
	}()
	t.Cleanup(func() { r.stop(t) })
	return r
}

func (r *restarting) stop(t *testing.T) int {
	t.Helper()
	r.end()
	<-r.done
	return r.restarts
}

// A sharedServer listens on an address that others listen on, too.
type sharedServer struct {
	srv  *http.Server
	done chan error
}

func serveShared(t *testing.T, addr string, h http.Handler) *sharedServer {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) {
			failed = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, soReusePort, 1)
		})
		if err == nil {
			err = failed
		}
		return err
	}}
	ln, err := lc.Listen(context.Background(), "tcp", addr)
	if !assert.NoError(t, err) {
		return nil
	}
	s := &sharedServer{done: make(chan error, 1)}
	s.srv = &http.Server{Handler: h, ReadHeaderTimeout: exchangeTime, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	go func() { s.done <- s.srv.Serve(ln) }()
	return s
}

const soReusePort = 15 // SO_REUSEPORT of Linux, which package syscall lacks

// stop ends a server as a deployment does: requests are answered, idle connections closed. One that has crashed is only
// waited for.
func (s *sharedServer) stop(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	assert.NoError(t, s.srv.Shutdown(ctx))
	assert.ErrorIs(t, <-s.done, http.ErrServerClosed)
}

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
