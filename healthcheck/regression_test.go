package healthcheck

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// runWith runs a server whose handler is made from its Health.
func runWith(t *testing.T, cfg Config, p Profile, app func(*Health) http.Handler) *run {
	r := &run{t: t, wire: newWire(time.Millisecond), logs: new(logLines), signals: make(chan os.Signal, 2), result: make(chan error, 1)}
	cfg.Logger = r.logs.logger()
	r.health = mustNew(t, cfg)
	r.srv = NewServer("", app(r.health), p)
	r.start()
	return r
}

// wrapping is a listener whose connections are somebody else's.
type wrapping struct {
	net.Listener
	wrap func(net.Conn) net.Conn
}

func (l wrapping) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.wrap(c), nil
}

// runOver is runOn with connections of another type.
func runOver(t *testing.T, wrap func(net.Conn) net.Conn) *run {
	r := &run{t: t, wire: newWire(time.Millisecond), logs: new(logLines), signals: make(chan os.Signal, 2), result: make(chan error, 1), cancel: func() {}}
	r.health = mustNew(t, Config{Logger: r.logs.logger()})
	r.srv = NewServer("", r.health.Wrap(http.HandlerFunc(slowly)), ALB())
	endpoint := Endpoint{Server: r.srv, Listeners: []net.Listener{wrapping{r.wire.listen(serverAt), wrap}}}
	go func() { r.result <- serveAll(t.Context(), r.signals, r.health, []Endpoint{endpoint}) }()
	synctest.Wait()
	return r
}

// overHTTP2 is a profile of a balancer that speaks HTTP/2 to its targets, and
// asks them every second.
func overHTTP2() Profile {
	p := ALB()
	p.H2C, p.ProbeInterval, p.Quiet = true, time.Second, 500*time.Millisecond
	return p
}

// streams returns a transport that sends all requests to a run over HTTP/2.
func streams(r *run) *http.Transport {
	return &http.Transport{Protocols: protocols(false), DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return r.wire.dial(ctx, "10.0.16.5", serverAt)
	}}
}

// A pair is a balancer with two targets, to which it speaks HTTP/2.
type pair struct {
	targets    [2]*run
	transports [2]*http.Transport
	down       [2]atomic.Bool
	next       atomic.Uint32
}

func (p *pair) RoundTrip(r *http.Request) (*http.Response, error) {
	at := p.next.Add(1) % 2
	if p.down[at].Load() {
		at = 1 - at
	}
	r = r.Clone(r.Context())
	r.Header.Set("X-Forwarded-For", clientAt)
	return p.transports[at].RoundTrip(r)
}

// probe asks a target once a second, until the context ends or nobody answers.
func (p *pair) probe(ctx context.Context, at int) {
	for fails := 0; ctx.Err() == nil; time.Sleep(time.Second) {
		code := p.targets[at].get(proberAt, "/healthz")
		if code == 200 {
			fails = 0
		} else {
			fails++
		}
		p.down[at].Store(fails >= 2)
		if code == 0 {
			return
		}
	}
}

// TestDeployZeroLossHTTP2: a GOAWAY drops the streams that are on their way, and
// the bodies of these cannot be sent again.
func TestDeployZeroLossHTTP2(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := new(pair)
		ctx, cancel := context.WithCancel(t.Context())
		var probers sync.WaitGroup
		for at := range p.targets {
			p.targets[at] = runOn(t, http.HandlerFunc(work), overHTTP2())
			p.transports[at] = streams(p.targets[at])
			probers.Go(func() { p.probe(ctx, at) })
		}
		time.Sleep(4500 * time.Millisecond)
		l := newLoad(&http.Client{Transport: p}, "http://198.51.100.1/orders")
		loading, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { l.run(loading) })
		time.Sleep(time.Second)
		p.targets[0].signals <- syscall.SIGTERM
		took, err := p.targets[0].ended()
		assert.NoError(t, err)
		assert.Less(t, took, 5*time.Second)
		stop()
		running.Wait()
		nothingLost(t, l)
		cancel()
		p.targets[1].signals <- syscall.SIGTERM
		p.targets[1].signals <- syscall.SIGTERM
		_, err = p.targets[1].ended()
		assert.NoError(t, err)
		probers.Wait()
		p.transports[0].CloseIdleConnections()
		p.transports[1].CloseIdleConnections()
	})
}

// TestGoAwayComesWithTheEvidence: until the prober has its failing answers, a
// connection of HTTP/2 goes on; then each answer ends one.
func TestGoAwayComesWithTheEvidence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := overHTTP2()
		p.Quiet = ALB().quiet() // the requests go on
		r := runOn(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.RemoteAddr) }), p)
		codes := r.probeEvery(time.Second)
		transport := streams(r)
		connections := make(map[string]bool)
		ask := func() {
			time.Sleep(100 * time.Millisecond)
			resp, err := (&http.Client{Transport: transport}).Get("http://198.51.100.1/")
			require.NoError(t, err)
			from, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			resp.Body.Close()
			connections[string(from)] = true
		}
		time.Sleep(3500 * time.Millisecond)
		ask()
		r.signals <- syscall.SIGTERM
		for range 12 {
			ask()
		}
		assert.Len(t, connections, 1)
		for range 12 { // the second failing answer is 1.5 s after the first
			ask()
		}
		assert.Greater(t, len(connections), 2)
		_, err := r.ended()
		assert.NoError(t, err)
		<-codes
		transport.CloseIdleConnections()
	})
}

// mute is an error that cannot be asked what it is as long as it is nil.
type mute struct{ text string }

func (e *mute) Error() string { return e.text }

// TestNilPointerInAnError: the classic mistake of a check ends no process, and the page
// says what it can.
func TestNilPointerInAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runs, told atomic.Int32
		h := mustNew(t, Config{
			OnTransition: func(Transition) { told.Add(1) },
			Checks: []Check{{Name: "db", Every: time.Second, Failures: 1, Func: func(context.Context) error {
				var broken *mute
				if runs.Add(1) == 1 {
					return nil
				}
				return broken
			}}},
		})
		stop := start(t, h)
		time.Sleep(4 * time.Second)
		stop()
		assert.NotPanics(t, func() { h.Report("queue", (*mute)(nil)) })
		before := told.Load()
		h.Report("cache", errors.New("away"))
		assert.Greater(t, told.Load(), before, "what comes later is still told")
		w := httptest.NewRecorder()
		h.Details(func(*http.Request) bool { return true }).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		assert.Equal(t, 2, strings.Count(w.Body.String(), "*healthcheck.mute"), w.Body)
	})
}

// TestHookThatEndsItsGoroutine keeps nobody from telling what comes later.
func TestHookThatEndsItsGoroutine(t *testing.T) {
	var told []string
	h := mustNew(t, Config{OnTransition: func(change Transition) {
		if told = append(told, change.Check); len(told) == 1 {
			runtime.Goexit()
		}
	}})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		h.Report("first", errors.New("away"))
	}()
	<-ended
	h.Report("second", errors.New("away"))
	assert.Contains(t, told, "second")
}

// raging is a slog.Handler that panics once.
type raging struct {
	slog.Handler
	calm *atomic.Bool
}

func (h raging) Handle(ctx context.Context, r slog.Record) error {
	if !h.calm.Swap(true) {
		panic("no disk")
	}
	return h.Handler.Handle(ctx, r)
}

// TestLoggerThatPanics is the caller's affair, once.
func TestLoggerThatPanics(t *testing.T) {
	var told int
	h := mustNew(t, Config{
		Logger:       slog.New(raging{slog.NewTextHandler(io.Discard, nil), new(atomic.Bool)}),
		OnTransition: func(Transition) { told++ },
	})
	assert.Panics(t, func() { h.Report("first", errors.New("away")) })
	h.Report("second", errors.New("away"))
	assert.Positive(t, told)
}

// TestAdviceOnSharedAddresses: who asks more often than the profile says may be
// several, and only a person knows.
func TestAdviceOnSharedAddresses(t *testing.T) {
	for _, row := range []struct {
		every  time.Duration
		shared bool
		needs  time.Duration
		advice bool
	}{
		{5 * time.Second, false, 10 * time.Second, true},
		{5 * time.Second, true, 20 * time.Second, false},
		{10 * time.Second, false, 20 * time.Second, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			h := mustNew(t, Config{})
			p := ALB()
			p.SharedAddress = row.shared
			h.profile.Store(&p)
			h.probers.behind(p)
			for range 5 {
				ask(t, h.Ready())
				time.Sleep(row.every)
			}
			w := httptest.NewRecorder()
			h.Details(func(*http.Request) bool { return true }).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
			assert.Equal(t, row.advice, strings.Contains(w.Body.String(), "Profile.SharedAddress"), "%v: %s", row, w.Body)
			assert.Contains(t, w.Body.String(), fmt.Sprintf(`"needsSeconds": %v,`, row.needs.Seconds()))
		})
	}
}

// TestFullTable: strangers who fill it before the balancer comes, and have had
// their failing answers, do not end the wait for it.
func TestFullTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := mustNew(t, Config{})
		h.probers.behind(ALB())
		strangers := func() {
			for i := range maxProbers {
				probe(t, h.Ready(), "/", netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}).String())
			}
			time.Sleep(time.Second)
		}
		for range 5 {
			strangers()
		}
		probe(t, h.Ready(), "/", proberAt)
		h.Drain()
		began := time.Now()
		over := make(chan struct{})
		go func() {
			defer close(over)
			h.awaitProbers(t.Context(), ALB())
		}()
		for range 5 {
			strangers()
		}
		<-over
		assert.Equal(t, ALB().takeOut(), time.Since(began))
	})
}

// mounted is an application that has readiness at a path of its own, without Wrap.
func mounted(path string) func(*Health) http.Handler {
	return func(h *Health) http.Handler {
		mux := http.NewServeMux()
		mux.HandleFunc("/", slowly)
		mux.Handle(path, h.Ready())
		return mux
	}
}

// TestMountedProbesAreNoRequests: a drain is over although they go on, and a
// connection is open.
func TestMountedProbesAreNoRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runWith(t, Config{}, ALB(), mounted("/up"))
		pool, err := r.wire.dial(t.Context(), clientAt, serverAt)
		require.NoError(t, err)
		defer pool.Close()
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for r.get(proberAt, "/up") != 0 {
				time.Sleep(2 * time.Second)
			}
		}()
		time.Sleep(11 * time.Second)
		r.signals <- syscall.SIGTERM
		took, err := r.ended()
		assert.NoError(t, err)
		assert.Less(t, took, 15*time.Second, "4 s for the prober, 5 s at most for the connection")
		assert.Empty(t, r.logs.with("requests still come"))
		<-ended
	})
}

// TestMountedProberIsNoClient: readiness on a path of its own further in does not
// make its prober look like a balancer that hides clients; a client does.
func TestMountedProberIsNoClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runWith(t, Config{}, ALB(), func(h *Health) http.Handler { return h.Wrap(mounted("/up")(h)) })
		for range 3 {
			assert.Equal(t, 200, r.get(proberAt, "/up"))
			time.Sleep(time.Second)
		}
		assert.False(t, r.health.Snapshot().Probers[0].Mixed)
		assert.Equal(t, 200, r.get(proberAt, "/"))
		assert.True(t, r.health.Snapshot().Probers[0].Mixed)
		r.signals <- syscall.SIGTERM
		r.signals <- syscall.SIGTERM
		_, err := r.ended()
		assert.NoError(t, err)
	})
}

// visited is how long a drain takes behind a balancer that passes connections, so
// that all come from its address, while a visitor asks for readiness all the time.
func visited(t *testing.T, app func(*Health) http.Handler, requests string) (took time.Duration) {
	synctest.Test(t, func(t *testing.T) {
		r := runWith(t, Config{}, ALB(), app)
		var all sync.WaitGroup
		for path, every := range map[string]time.Duration{requests: 1700 * time.Millisecond, "/healthz": 300 * time.Millisecond} {
			all.Go(func() {
				for r.get(proberAt, path) != 0 {
					time.Sleep(every)
				}
			})
		}
		time.Sleep(30 * time.Second)
		r.signals <- syscall.SIGTERM
		var err error
		took, err = r.ended()
		assert.NoError(t, err)
		all.Wait()
	})
	return took
}

// wrapped is an application inside of Wrap.
func wrapped(h *Health) http.Handler { return h.Wrap(http.HandlerFunc(slowly)) }

// TestVisitorsBehindAConnectionBalancer cannot cut a drain short, with Wrap or
// without.
func TestVisitorsBehindAConnectionBalancer(t *testing.T) {
	assert.GreaterOrEqual(t, visited(t, wrapped, "/"), ALB().takeOut())
	assert.GreaterOrEqual(t, visited(t, mounted("/healthz"), "/"), ALB().takeOut())
}

// TestSlowRequestsAreNoProbes: nor can they where requests take so long that the
// visitor has always asked meanwhile.
func TestSlowRequestsAreNoProbes(t *testing.T) {
	assert.GreaterOrEqual(t, visited(t, wrapped, "/?d=500ms"), ALB().takeOut())
	assert.GreaterOrEqual(t, visited(t, mounted("/healthz"), "/?d=500ms"), ALB().takeOut())
}

// TestBlockingHookHoldsUpNoDrain: one that does what it must not holds up neither a drain nor
// the second signal.
func TestBlockingHookHoldsUpNoDrain(t *testing.T) {
	for name, probed := range map[string]bool{"a drain": false, "the second signal": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := runWith(t, Config{OnTransition: func(Transition) { time.Sleep(time.Hour) }}, ALB(),
					func(h *Health) http.Handler { return h.Wrap(teapot) })
				if probed {
					r.get(proberAt, "/healthz")
				}
				r.signals <- syscall.SIGTERM
				if probed {
					time.Sleep(time.Second)
					r.signals <- syscall.SIGTERM
				}
				took, err := r.ended()
				assert.NoError(t, err)
				assert.Less(t, took, 10*time.Millisecond)
				time.Sleep(2 * time.Hour) // the hook ends
			})
		})
	}
}

// TestServedBefore: net/http serves a server once, and a Health drains once. What
// would end at once, or be unready for ever, is refused.
func TestServedBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		over, cancel := context.WithCancel(t.Context())
		cancel()
		serve := func(srv *http.Server, h *Health) error {
			l := newWire(0).listen(serverAt)
			defer l.Close()
			return serveAll(over, nil, h, []Endpoint{{Server: srv, Listeners: []net.Listener{l}}})
		}
		srv, h := NewServer("", teapot, ALB()), mustNew(t, Config{})
		require.NoError(t, serve(srv, h))
		assert.ErrorContains(t, serve(srv, mustNew(t, Config{})), "it was served already")
		assert.ErrorContains(t, serve(NewServer("", teapot, ALB()), h), "it has drained")
	})
}

// dawdling is a connection whose reader learns late what it has read.
type dawdling struct{ net.Conn }

func (c dawdling) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		time.Sleep(20 * time.Millisecond)
	}
	return n, err
}

// TestLastWords: Shutdown closes a connection as an idle one and forgets it
// while a request is being read from it. Serve waits a moment to hear of that.
func TestLastWords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runOver(t, func(c net.Conn) net.Conn { return dawdling{c} })
		client := r.client(clientAt)
		post := func() error {
			resp, err := client.Post("http://198.51.100.1/", "", io.LimitReader(strings.NewReader("x"), 1))
			if err == nil {
				_, _ = io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
			}
			return err
		}
		require.NoError(t, post())
		time.Sleep(time.Second)
		failed := make(chan error, 1)
		go func() { failed <- post() }()
		time.Sleep(10 * time.Millisecond) // it is in the server's hands, and not known to it
		r.signals <- syscall.SIGTERM
		_, err := r.ended()
		assert.Error(t, <-failed)
		var lost *LostError
		require.ErrorAs(t, err, &lost)
		assert.Equal(t, LostError{Dropped: 1}, *lost)
	})
}

// TestAwaitChecksThatEnded: there is nothing to warn of, though the time is up.
func TestAwaitChecksThatEnded(t *testing.T) {
	logs := new(logLines)
	s := &service{log: logs.logger(), checked: make(chan struct{})}
	close(s.checked)
	ctx, cancel := context.WithDeadline(t.Context(), time.Unix(1, 0))
	defer cancel()
	for range 50 {
		s.awaitChecks(ctx)
	}
	assert.Empty(t, logs.list())
}

// TestServersWithoutAProfile are behind an ALB, also beside one that has a profile.
func TestServersWithoutAProfile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		over, cancel := context.WithCancel(t.Context())
		cancel()
		h := mustNew(t, Config{})
		var endpoints []Endpoint
		for _, srv := range []*http.Server{NewServer("", teapot, Direct()), {Handler: teapot}} {
			l := newWire(0).listen(serverAt)
			endpoints = append(endpoints, Endpoint{Server: srv, Listeners: []net.Listener{l}})
		}
		require.NoError(t, serveAll(over, nil, h, endpoints))
		assert.Equal(t, ALB().takeOut(), h.profile.Load().takeOut())
		assert.Equal(t, ALB().wait(), h.profile.Load().wait())
	})
}

// TestOneProbe: whoever has asked once is a prober, on the same machine too: a
// proxy beside the service may be the one that probes. A second signal is for
// those who do not want to wait.
func TestOneProbe(t *testing.T) {
	for _, from := range []string{"127.0.0.1", proberAt} {
		synctest.Test(t, func(t *testing.T) {
			r := runOn(t, teapot, ALB())
			assert.Equal(t, 200, r.get(from, "/healthz"))
			time.Sleep(time.Second)
			r.signals <- os.Interrupt
			took, err := r.ended()
			assert.NoError(t, err)
			assert.Greater(t, took, 10*time.Second, from)
		})
	}
}

// TestLostErrorIsOneLine: whatever a client has put into its path.
func TestLostErrorIsOneLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runOn(t, http.HandlerFunc(slowly), ALB())
		var gone sync.WaitGroup
		for range maxNamed + 2 {
			gone.Go(func() { r.get(clientAt, "/x%0aERROR%20all%20is%20lost%1b[31m"+strings.Repeat("a", 10000)+"?d=1h") })
		}
		time.Sleep(time.Second)
		r.signals <- syscall.SIGTERM
		_, err := r.ended()
		require.ErrorContains(t, err, "2 more")
		assert.NotContains(t, err.Error(), "\n")
		assert.NotContains(t, err.Error(), "\x1b")
		assert.Less(t, len(err.Error()), 4000)
		gone.Wait()
		time.Sleep(time.Hour) // the handlers end
	})
}

// TestWatcherWithoutAWindow takes nothing, and is given up, before a drain would
// have to break it off.
func TestWatcherWithoutAWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runOn(t, teapot, overHTTP2())
		c, err := r.wire.dial(t.Context(), clientAt, serverAt)
		require.NoError(t, err)
		go func() { _, _ = io.Copy(io.Discard, c) }()
		_, err = io.WriteString(c, http2Preface+"\r\n"+
			"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00"+ // SETTINGS with INITIAL_WINDOW_SIZE 0
			headers(":method", "POST", ":scheme", "http", ":path", grpcWatchPath, ":authority", "x", "content-type", "application/grpc")+
			"\x00\x00\x05\x00\x01\x00\x00\x00\x01"+string(request(""))) // DATA, which ends the stream
		require.NoError(t, err)
		time.Sleep(time.Second)
		require.EqualValues(t, 1, r.health.watchers.Load())
		r.signals <- syscall.SIGTERM
		took, err := r.ended()
		assert.NoError(t, err)
		assert.Less(t, took, grpcReadTime+time.Second)
		assert.Zero(t, r.health.watchers.Load())
		c.Close()
	})
}

// headers is a HEADERS frame of stream 1 with literal fields (RFC 7541, 6.2.2).
func headers(fields ...string) string {
	var block strings.Builder
	for i, text := range fields {
		if i%2 == 0 {
			block.WriteByte(0)
		}
		block.WriteByte(byte(len(text)))
		block.WriteString(text)
	}
	return "\x00\x00" + string([]byte{byte(block.Len())}) + "\x01\x04\x00\x00\x00\x01" + block.String()
}

// TestWrapOfNoHandler panics when the program starts, and not at each request.
func TestWrapOfNoHandler(t *testing.T) {
	assert.Panics(t, func() { new(Health).Wrap(nil) })
}

// valueConn is a connection that cannot be the key of a map.
type valueConn struct {
	net.Conn
	_ []byte
}

// TestConnectionsThatCannotBeCompared: net/http takes them, and so does Serve.
func TestConnectionsThatCannotBeCompared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runOver(t, func(c net.Conn) net.Conn { return valueConn{Conn: c} })
		assert.Equal(t, 200, r.get(clientAt, "/"))
		r.signals <- syscall.SIGTERM
		_, err := r.ended()
		assert.NoError(t, err)
	})
}

// TestProbeKeepsThePassword: what it says is kept by platforms, for all to read.
func TestProbeKeepsThePassword(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	err := Probe(t.Context(), strings.Replace(srv.URL, "http://", "http://user:hunter2@", 1)+"/livez")
	require.ErrorContains(t, err, "404")
	assert.NotContains(t, err.Error(), "hunter2")
}

// TestHintAboutAPanic: an application that panics at a probe that misses its aim is
// what nobody finds without a hint.
func TestHintAboutAPanic(t *testing.T) {
	h := mustNew(t, Config{})
	app := h.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("User-Agent", "ELB-HealthChecker/2.0")
	assert.Panics(t, func() { app.ServeHTTP(httptest.NewRecorder(), r) })
	hints := h.Snapshot().Hints
	require.Len(t, hints, 1)
	assert.Equal(t, 500, hints[0].Code)
}

// TestLoopbackRefusesVia: it is how some proxies on the same host say that they
// are one.
func TestLoopbackRefusesVia(t *testing.T) {
	r := httptest.NewRequest("GET", "http://localhost/", nil)
	r.RemoteAddr = "127.0.0.1:40000"
	assert.True(t, Loopback(r))
	r.Header.Set("Via", "1.1 varnish")
	assert.False(t, Loopback(r))
}
