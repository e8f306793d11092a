package healthcheck

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const (
	serverAt = "198.51.100.1:80"
	proberAt = "10.0.16.9"
	clientAt = "203.0.113.10"
)

// A run is one Serve on a wire, inside a bubble.
type run struct {
	t       *testing.T
	wire    *wire
	health  *Health
	logs    *logLines
	srv     *http.Server
	signals chan os.Signal
	cancel  context.CancelFunc
	result  chan error
}

// runOn runs a server with a handler by a profile.
func runOn(t *testing.T, h http.Handler, p Profile, checks ...Check) *run {
	r := &run{t: t, wire: newWire(time.Millisecond), logs: new(logLines), signals: make(chan os.Signal, 2), result: make(chan error, 1)}
	r.health = mustNew(t, Config{Checks: checks, Logger: r.logs.logger()})
	r.srv = NewServer("", r.health.Wrap(h), p)
	r.start()
	return r
}

func (r *run) start() {
	ctx, cancel := context.WithCancel(r.t.Context())
	r.cancel = cancel
	l := r.wire.listen(serverAt)
	go func() {
		r.result <- serveAll(ctx, r.signals, r.health, []Endpoint{{Server: r.srv, Listeners: []net.Listener{l}}})
	}()
	synctest.Wait()
}

// client returns one at an address.
func (r *run) client(from string) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return r.wire.dial(ctx, from, serverAt) },
	}}
}

// get asks once, on a connection of its own that is closed afterwards, and
// returns the status; 0: there was no answer.
func (r *run) get(from, path string) int {
	client := r.client(from)
	defer client.CloseIdleConnections()
	resp, err := client.Get("http://198.51.100.1" + path)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// probeEvery asks for readiness until it gets no answer, and hands the codes on.
func (r *run) probeEvery(interval time.Duration) <-chan []int {
	all := make(chan []int, 1)
	go func() {
		var codes []int
		for {
			code := r.get(proberAt, "/healthz")
			if code == 0 {
				all <- codes
				return
			}
			codes = append(codes, code)
			time.Sleep(interval)
		}
	}()
	return all
}

// ended waits for Serve, and returns how long it took from now, and its error.
func (r *run) ended() (time.Duration, error) {
	began := time.Now()
	err := <-r.result
	r.cancel()
	return time.Since(began), err
}

// slowly answers after the time that the query names.
func slowly(w http.ResponseWriter, r *http.Request) {
	d, _ := time.ParseDuration(r.URL.Query().Get("d"))
	time.Sleep(d)
	io.WriteString(w, "done")
}

// TestServeEndsAtOnceWithoutProbers: where nobody ever asked for health there is nobody to wait
// for: a run on a developer's machine ends at once.
func TestServeEndsAtOnceWithoutProbers(t *testing.T) {
	for name, stop := range map[string]func(*run){
		"signal":    func(r *run) { r.signals <- syscall.SIGTERM },
		"interrupt": func(r *run) { r.signals <- os.Interrupt },
		"context":   func(r *run) { r.cancel() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := runOn(t, http.HandlerFunc(slowly), ALB())
				assert.Equal(t, 200, r.get(clientAt, "/"))
				time.Sleep(time.Second)
				stop(r)
				took, err := r.ended()
				assert.NoError(t, err)
				assert.Less(t, took, 10*time.Millisecond)
				assert.Zero(t, r.get(clientAt, "/"), "the port is closed")
			})
		})
	}
}

// TestDrainWaitsForTheProber: readiness fails at once, everything else is
// answered until the prober has had its failing answers and nobody comes.
func TestDrainWaitsForTheProber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runOn(t, http.HandlerFunc(slowly), ALB())
		codes := r.probeEvery(5 * time.Second)
		time.Sleep(12 * time.Second)
		r.signals <- syscall.SIGTERM
		time.Sleep(time.Second)
		assert.Equal(t, 503, r.get(clientAt, "/readyz"))
		assert.Equal(t, 200, r.get(clientAt, "/livez"))
		assert.Equal(t, 200, r.get(clientAt, "/"))
		took, err := r.ended()
		assert.NoError(t, err)
		assert.Greater(t, took, 6*time.Second)
		assert.Less(t, took, 12*time.Second)
		assert.Equal(t, []int{200, 200, 200, 503, 503}, <-codes)
		assert.Len(t, r.logs.with("probers: 1 of 1"), 1)
		assert.Len(t, r.logs.with("nothing was lost"), 1)
		assert.Equal(t, ALB(), *r.health.profile.Load(), "for the page that people read")
	})
}

// TestQuietEndsTheWait: connections that stand idle do not hold a drain up for
// longer than the quiet time, and probes are no requests in that sense.
func TestQuietEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runOn(t, http.HandlerFunc(slowly), ALB())
		codes := r.probeEvery(time.Second)
		idle := r.client(clientAt)
		time.Sleep(3500 * time.Millisecond)
		resp, err := idle.Get("http://198.51.100.1/")
		require.NoError(t, err)
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		r.signals <- syscall.SIGTERM
		took, err := r.ended()
		assert.NoError(t, err)
		assert.InDelta(t, ALB().quiet().Seconds(), took.Seconds(), 0.1)
		<-codes
	})
}

// TestNoConnectionsEndTheWait: where none is open, a tenth of that is enough.
func TestNoConnectionsEndTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runOn(t, http.HandlerFunc(slowly), ALB())
		codes := r.probeEvery(time.Second)
		time.Sleep(3500 * time.Millisecond)
		r.signals <- syscall.SIGTERM
		time.Sleep(1900 * time.Millisecond) // the second failing answer was at 1.5 s
		assert.Equal(t, 200, r.get(clientAt, "/"))
		took, err := r.ended()
		assert.NoError(t, err)
		assert.InDelta(t, ALB().quiet().Seconds()/10, took.Seconds(), 0.1)
		<-codes
	})
}

// TestLongRequestsHoldTheDrain: one that takes longer than the shutdown may is
// waited for as long as the wait lasts.
func TestLongRequestsHoldTheDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runOn(t, http.HandlerFunc(slowly), ALB())
		codes := r.probeEvery(time.Second)
		code := make(chan int, 1)
		go func() { code <- r.get(clientAt, "/?d=20s") }()
		time.Sleep(3500 * time.Millisecond)
		r.signals <- syscall.SIGTERM
		took, err := r.ended()
		assert.NoError(t, err)
		assert.InDelta(t, 16.5, took.Seconds(), 0.6)
		assert.Equal(t, 200, <-code)
		<-codes
	})
}

// TestHandedOnProbesAreRequests: who asks for health through a balancer shows
// that the balancer still sends requests here.
func TestHandedOnProbesAreRequests(t *testing.T) {
	var health Health
	traffic := newTraffic(&health)
	h := traffic.count(health.Wrap(teapot))
	for header, request := range map[string]bool{"X-Forwarded-For": true, "Accept": false} {
		traffic.last = time.Time{}
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/healthz", nil)
		r.Header.Set(header, "192.0.2.66")
		h.ServeHTTP(httptest.NewRecorder(), r)
		assert.Equal(t, request, !traffic.last.IsZero(), header)
	}
}

// TestRequestsHoldTheDrain: as long as clients' requests come, it is not over;
// the cap ends it, and says what went on.
func TestRequestsHoldTheDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runOn(t, http.HandlerFunc(slowly), ALB())
		codes := r.probeEvery(2 * time.Second)
		var clients sync.WaitGroup
		clients.Go(func() {
			for r.get(clientAt, "/") == 200 {
				time.Sleep(300 * time.Millisecond)
			}
		})
		time.Sleep(5 * time.Second)
		r.signals <- syscall.SIGTERM
		took, err := r.ended()
		assert.NoError(t, err)
		assert.InDelta(t, ALB().wait().Seconds(), took.Seconds(), 0.5)
		assert.Len(t, r.logs.with("requests still come"), 1)
		<-codes
		clients.Wait()
	})
}

// TestLastWord: a prober that has its last failing answer just before the wait is
// over still needs a moment to act on it.
func TestLastWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runOn(t, http.HandlerFunc(slowly), ALB())
		codes := r.probeEvery(10 * time.Second)
		time.Sleep(20100 * time.Millisecond)
		r.signals <- syscall.SIGTERM
		time.Sleep(ALB().wait() - 200*time.Millisecond)
		for range 4 { // until 0.4 s after the wait
			assert.Equal(t, 200, r.get(clientAt, "/"))
			time.Sleep(200 * time.Millisecond)
		}
		took, err := r.ended()
		assert.NoError(t, err)
		assert.InDelta(t, 0.3, took.Seconds(), 0.1, "half a second after the last request")
		<-codes
	})
}

// TestCapLogsMissingProbers: a prober that asks too seldom for the profile's wait
// is named.
func TestCapLogsMissingProbers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runOn(t, http.HandlerFunc(slowly), ALB())
		codes := r.probeEvery(30 * time.Second)
		time.Sleep(65 * time.Second)
		r.signals <- syscall.SIGTERM
		took, err := r.ended()
		assert.NoError(t, err)
		assert.InDelta(t, ALB().wait().Seconds(), took.Seconds(), 0.1)
		assert.Len(t, r.logs.with(proberAt+" has had 0 of 2 failing answers"), 1)
		<-codes
	})
}

// TestRequestsInFlightAreAnswered: the shutdown gives them their time.
func TestRequestsInFlightAreAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runOn(t, http.HandlerFunc(slowly), ALB())
		code := make(chan int, 1)
		go func() { code <- r.get(clientAt, "/?d=7s") }()
		time.Sleep(time.Second)
		r.signals <- syscall.SIGTERM
		took, err := r.ended()
		assert.NoError(t, err)
		assert.InDelta(t, 6, took.Seconds(), 0.6)
		assert.Equal(t, 200, <-code)
	})
}

// TestLostIsNamed: what takes longer than the shutdown is closed, and the error
// says what it was, without the query.
func TestLostIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runOn(t, http.HandlerFunc(slowly), ALB())
		code := make(chan int, 2)
		for _, path := range []string{"/slow?d=1h&token=secret", "/slower?d=2h"} {
			go func() { code <- r.get(clientAt, path) }()
			time.Sleep(time.Second)
		}
		done := r.health.Track("chat")
		r.signals <- syscall.SIGTERM
		took, err := r.ended()
		var lost *LostError
		require.ErrorAs(t, err, &lost)
		assert.InDelta(t, 8, took.Seconds(), 0.1)
		require.Len(t, lost.Requests, 2)
		assert.Equal(t, "/slow", lost.Requests[0].Path)
		assert.Equal(t, "/slower", lost.Requests[1].Path)
		assert.InDelta(t, 10, lost.Requests[0].Age.Seconds(), 0.1)
		assert.Equal(t, map[string]int{"chat": 1}, lost.Tracked)
		assert.Equal(t, "the time was up", lost.Cause)
		assert.NotContains(t, err.Error(), "secret")
		assert.Zero(t, <-code+<-code)
		done()
		time.Sleep(2 * time.Hour) // the handlers end
	})
}

// TestTrackedConnectionsAreAwaited: what a handler took over has until the end of
// the shutdown.
func TestTrackedConnectionsAreAwaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runOn(t, http.HandlerFunc(slowly), ALB())
		done := r.health.Track("chat")
		time.AfterFunc(5*time.Second, done)
		r.signals <- syscall.SIGTERM
		took, err := r.ended()
		assert.NoError(t, err)
		assert.Equal(t, 5*time.Second, took)
	})
}

// TestHijackingHandlersAreAwaited: Shutdown knows nothing of a connection that
// was taken over, but its handler runs, and that is seen.
func TestHijackingHandlersAreAwaited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runOn(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if assert.NoError(t, err) {
				time.Sleep(5 * time.Second)
				io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
				conn.Close()
			}
		}), ALB())
		code := make(chan int, 1)
		go func() { code <- r.get(clientAt, "/") }()
		time.Sleep(time.Second)
		r.signals <- syscall.SIGTERM
		took, err := r.ended()
		assert.NoError(t, err)
		assert.InDelta(t, 4, took.Seconds(), 0.1)
		assert.Equal(t, 200, <-code)
	})
}

// TestSecondSignalCloses: in each phase, at once, and what was in flight is lost.
func TestSecondSignalCloses(t *testing.T) {
	for name, probed := range map[string]bool{"while it waits for probers": true, "during the shutdown": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := runOn(t, http.HandlerFunc(slowly), ALB())
				if probed {
					assert.Equal(t, 200, r.get(proberAt, "/healthz"))
				}
				code := make(chan int, 1)
				go func() { code <- r.get(clientAt, "/?d=1h") }()
				time.Sleep(time.Second)
				r.signals <- syscall.SIGTERM
				time.Sleep(3 * time.Second)
				r.signals <- syscall.SIGTERM
				took, err := r.ended()
				var lost *LostError
				require.ErrorAs(t, err, &lost)
				assert.Equal(t, "a second signal", lost.Cause)
				assert.Less(t, took, time.Millisecond)
				assert.Zero(t, <-code)
				time.Sleep(time.Hour)
			})
		})
	}
}

// TestContextAndSignalAreOne: a program that also gives the signal to Serve's
// context, by signal.NotifyContext, has not been signalled twice.
func TestContextAndSignalAreOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runOn(t, http.HandlerFunc(slowly), ALB())
		code := make(chan int, 1)
		go func() { code <- r.get(clientAt, "/?d=5s") }()
		time.Sleep(time.Second)
		r.cancel()
		r.signals <- syscall.SIGTERM
		took, err := r.ended()
		assert.NoError(t, err)
		assert.Greater(t, took, 3*time.Second)
		assert.Equal(t, 200, <-code)
	})
}

// TestTooLateIsCounted: net/http drops a request without an answer when a
// shutdown begins after it was read and before its handler runs. That is a loss.
func TestTooLateIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &run{t: t, wire: newWire(time.Millisecond), logs: new(logLines), signals: make(chan os.Signal, 2), result: make(chan error, 1)}
		r.health = mustNew(t, Config{Logger: r.logs.logger()})
		r.srv = NewServer("", http.HandlerFunc(slowly), ALB())
		r.srv.ConnState = func(_ net.Conn, state http.ConnState) {
			if state == http.StateActive {
				r.signals <- syscall.SIGTERM
				time.Sleep(time.Second) // between the two, where the race is
			}
		}
		r.start()
		assert.Zero(t, r.get(clientAt, "/"))
		_, err := r.ended()
		var lost *LostError
		require.ErrorAs(t, err, &lost)
		assert.Equal(t, LostError{Dropped: 1}, *lost)
	})
}

// TestBadRequestsAreNoLoss: net/http answers them without a handler.
func TestBadRequestsAreNoLoss(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runOn(t, http.HandlerFunc(slowly), ALB())
		conn, err := r.wire.dial(t.Context(), clientAt, serverAt)
		require.NoError(t, err)
		fmt.Fprint(conn, "GET / HTTP/1.1\r\nno field\r\n\r\n")
		answer, _ := io.ReadAll(conn)
		assert.Contains(t, string(answer), "400 Bad Request")
		conn.Close()
		r.signals <- syscall.SIGTERM
		_, err = r.ended()
		assert.NoError(t, err)
	})
}

// TestUserHooksAreChained: ConnState, ConnContext and BaseContext of the user's
// are called as before.
func TestUserHooksAreChained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		var states atomic.Int32
		r := &run{t: t, wire: newWire(0), logs: new(logLines), signals: make(chan os.Signal, 2), result: make(chan error, 1)}
		r.health = mustNew(t, Config{Logger: r.logs.logger()})
		r.srv = NewServer("", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprint(w, r.Context().Value(key{}))
		}), ALB())
		r.srv.BaseContext = func(l net.Listener) context.Context {
			assert.Equal(t, serverAt, l.Addr().String())
			return context.WithValue(context.Background(), key{}, "base")
		}
		r.srv.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, key{}, fmt.Sprint(ctx.Value(key{}), " and connection"))
		}
		r.srv.ConnState = func(net.Conn, http.ConnState) { states.Add(1) }
		r.start()
		client := r.client(clientAt)
		resp, err := client.Get("http://198.51.100.1/")
		require.NoError(t, err)
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		assert.Equal(t, "base and connection", string(body))
		r.signals <- syscall.SIGTERM
		_, err = r.ended()
		assert.NoError(t, err)
		assert.GreaterOrEqual(t, states.Load(), int32(3))
	})
}

// TestChecksRunAndEnd: Serve runs the checks until the shutdown begins; one
// that hangs does not hold it up beyond its time-out.
func TestChecksRunAndEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runs atomic.Int32
		r := runOn(t, http.HandlerFunc(slowly), ALB(), Check{Name: "counts", Func: func(context.Context) error { runs.Add(1); return nil }},
			Check{Name: "hangs", Timeout: time.Minute, Func: func(context.Context) error { time.Sleep(2 * time.Minute); return nil }})
		time.Sleep(25 * time.Second)
		assert.InDelta(t, 3, runs.Load(), 1)
		r.signals <- syscall.SIGTERM
		took, err := r.ended()
		assert.NoError(t, err)
		assert.LessOrEqual(t, took, 8*time.Second)
		assert.Len(t, r.logs.with("a check runs on"), 1)
		time.Sleep(5 * time.Minute)
	})
}

// TestChecksThatRunAlready: a program that calls Run itself may go on.
func TestChecksThatRunAlready(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &run{t: t, wire: newWire(0), logs: new(logLines), signals: make(chan os.Signal, 2), result: make(chan error, 1)}
		r.health = mustNew(t, Config{Logger: r.logs.logger()})
		stop := start(t, r.health)
		synctest.Wait()
		r.srv = NewServer("", http.HandlerFunc(slowly), ALB())
		r.start()
		r.signals <- syscall.SIGTERM
		_, err := r.ended()
		assert.NoError(t, err)
		assert.Empty(t, r.logs.with("do not run"))
		stop()
	})
}

// TestServeAllDrainsTogether: one signal, one drain; when one server cannot
// serve any more the others are drained, and the error says why.
func TestServeAllDrainsTogether(t *testing.T) {
	for name, fails := range map[string]bool{"signal": false, "a listener breaks": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, signals, health := newWire(0), make(chan os.Signal, 2), mustNew(t, Config{})
				var all []Endpoint
				for _, at := range []string{"198.51.100.1:80", "198.51.100.1:443"} {
					all = append(all, Endpoint{Server: NewServer("", http.HandlerFunc(slowly), Direct()), Listeners: []net.Listener{w.listen(at)}})
				}
				result := make(chan error, 1)
				go func() { result <- serveAll(t.Context(), signals, health, all) }()
				synctest.Wait()
				if fails {
					all[1].Listeners[0].Close()
				} else {
					signals <- syscall.SIGTERM
				}
				err := <-result
				assert.Equal(t, fails, err != nil, "%v", err)
				if fails {
					assert.ErrorIs(t, err, net.ErrClosed)
				}
				<-health.Draining()
				_, err = w.dial(t.Context(), clientAt, "198.51.100.1:80")
				assert.ErrorIs(t, err, syscall.ECONNREFUSED)
			})
		})
	}
}

// TestServeRefuses: every mistake at once, before anything is opened.
func TestServeRefuses(t *testing.T) {
	srv := NewServer("127.0.0.1:0", http.NotFoundHandler(), ALB())
	for want, err := range map[string]error{
		"Health":          Serve(t.Context(), srv, nil),
		"Endpoints: ":     ServeAll(t.Context(), new(Health)),
		"[0].Server":      Serve(t.Context(), nil, new(Health)),
		"[1].Server":      ServeAll(t.Context(), new(Health), Endpoint{Server: srv}, Endpoint{Server: srv}),
		".Server.Handler": Serve(t.Context(), new(http.Server), new(Health)),
		".Listeners[0]:":  ServeAll(t.Context(), new(Health), Endpoint{Server: srv, Listeners: []net.Listener{nil}}),
	} {
		var errs ConfigErrors
		if assert.ErrorAs(t, err, &errs, want) {
			assert.Len(t, errs, 1)
			assert.ErrorContains(t, err, want)
		}
	}
	var errs ConfigErrors
	require.ErrorAs(t, ServeAll(t.Context(), nil, Endpoint{}), &errs)
	assert.Len(t, errs, 2)
}

// TestServeOnATakenPort: the error of the listener, and the ports that were
// opened before it are free again.
func TestServeOnATakenPort(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	at := free.Addr().String()
	free.Close()
	err = ServeAll(t.Context(), new(Health),
		Endpoint{Server: NewServer(at, http.NotFoundHandler(), ALB())},
		Endpoint{Server: NewServer(taken.Addr().String(), http.NotFoundHandler(), ALB())})
	assert.ErrorIs(t, err, syscall.EADDRINUSE)
	again, err := net.Listen("tcp", at)
	require.NoError(t, err)
	again.Close()
}

// TestServeWithoutCertificate: TLS without a certificate is an error, and not a
// server that answers nobody.
func TestServeWithoutCertificate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := NewServer("", http.NotFoundHandler(), Direct())
		srv.TLSConfig = new(tls.Config)
		w := newWire(0)
		result := serveAll(t.Context(), nil, mustNew(t, Config{}), []Endpoint{{Server: srv, Listeners: []net.Listener{w.listen(serverAt)}}})
		_, err := w.dial(t.Context(), clientAt, serverAt)
		assert.ErrorIs(t, err, syscall.ECONNREFUSED, "the listener is closed")
		assert.Error(t, result)
		assert.False(t, errors.Is(result, http.ErrServerClosed))
	})
}

// TestShutdownBySomebodyElse: a program that calls the server's own Shutdown is
// no failure.
func TestShutdownBySomebodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runOn(t, http.HandlerFunc(slowly), ALB())
		assert.Equal(t, 200, r.get(proberAt, "/healthz"))
		require.NoError(t, r.srv.Shutdown(t.Context()))
		took, err := r.ended()
		assert.NoError(t, err)
		assert.LessOrEqual(t, took, settle)
	})
}

// TestWarnsOfFindings: Serve logs what Lint finds, once.
func TestWarnsOfFindings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := ALB()
		p.ProbeInterval = 30 * time.Second
		r := runOn(t, http.HandlerFunc(slowly), p)
		r.cancel()
		_, err := r.ended()
		assert.NoError(t, err)
		assert.Len(t, r.logs.with("code=kill_budget"), 1)
		assert.Len(t, r.logs.with("code=wait_too_short"), 1)
	})
}

// TestAddress: where a server listens that was not told.
func TestAddress(t *testing.T) {
	assert.Equal(t, ":http", address(&http.Server{}))
	assert.Equal(t, ":https", address(&http.Server{TLSConfig: new(tls.Config)}))
	assert.Equal(t, "127.0.0.1:1", address(&http.Server{Addr: "127.0.0.1:1"}))
}

// TestUploadSurvivesTheDrain: a request that is being uploaded when the
// drain begins is read to its end.
func TestUploadSurvivesTheDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runOn(t, http.HandlerFunc(work), ALB())
		client := r.client(clientAt)
		body, writer := io.Pipe()
		go func() {
			for range 5 {
				time.Sleep(time.Second)
				_, _ = writer.Write(bytes.Repeat([]byte{1}, 1000))
			}
			writer.Close()
		}()
		time.AfterFunc(2500*time.Millisecond, func() { r.signals <- syscall.SIGTERM })
		resp, err := client.Post("http://198.51.100.1/", "text/plain", body)
		require.NoError(t, err)
		got, err := io.ReadAll(resp.Body)
		assert.NoError(t, err)
		assert.Len(t, got, 5000)
		resp.Body.Close()
		_, err = r.ended()
		assert.NoError(t, err)
	})
}
