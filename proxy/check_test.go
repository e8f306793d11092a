package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// tripper answers probes as a function.
type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// patient answers with a status that can be set; 0: not at all.
type patient struct {
	status atomic.Int32
	probes atomic.Int32
}

func (p *patient) RoundTrip(r *http.Request) (*http.Response, error) {
	p.probes.Add(1)
	status := int(p.status.Load())
	if status == 0 {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	return &http.Response{StatusCode: status, Body: http.NoBody}, nil
}

// inBubble runs a test with two upstreams, both of which are the patient.
func inBubble(t *testing.T, status int32, cfg Config, test func(t *testing.T, f *fleet, p *patient)) {
	synctest.Test(t, func(t *testing.T) {
		p := new(patient)
		p.status.Store(status)
		cfg.Transport = p
		cfg.Check.Path = "/healthz"
		f := testFleet(t, 2, cfg)
		f.start()
		defer f.stop() // synctest fails the test if anything runs on
		synctest.Wait()
		test(t, f, p)
	})
}

// pass lets some intervals go by.
func pass(intervals int) {
	time.Sleep(time.Duration(intervals) * 30 * time.Second)
	synctest.Wait()
}

func TestFirstProbeDecides(t *testing.T) {
	inBubble(t, 200, Config{}, func(t *testing.T, f *fleet, p *patient) {
		assert.EqualValues(t, 2, p.probes.Load(), "at once")
		assert.Equal(t, StateHealthy, stateOf(f, f.ups[0]))
		assert.Equal(t, "GET /healthz: 200 OK", f.status()[0].Reason)
	})
	inBubble(t, 503, Config{}, func(t *testing.T, f *fleet, p *patient) {
		assert.Equal(t, StateUnhealthy, stateOf(f, f.ups[0]))
		assert.Equal(t, "GET /healthz: 503 Service Unavailable, not 200", f.status()[0].Reason)
		u, reason := f.pick(nobodyKnown, nil)
		assert.Nil(t, u)
		assert.Equal(t, ReasonNoUpstream, reason)
	})
}

// An application may be started together with its proxy, and be ready later:
// until it has passed once, one pass is enough. Afterwards it takes as many as
// HealthyThreshold says.
func TestFirstPassIsEnough(t *testing.T) {
	inBubble(t, 503, Config{Check: HealthCheck{HealthyThreshold: 3, UnhealthyThreshold: 2}}, func(t *testing.T, f *fleet, p *patient) {
		u := f.ups[0]
		pass(2)
		assert.Equal(t, StateUnhealthy, stateOf(f, u))
		p.status.Store(200)
		pass(1)
		assert.NotEqual(t, StateUnhealthy, stateOf(f, u), "at once")
		p.status.Store(503)
		pass(2)
		assert.Equal(t, StateUnhealthy, stateOf(f, u))
		p.status.Store(200)
		pass(2)
		assert.Equal(t, StateUnhealthy, stateOf(f, u), "not before the third")
		pass(1)
		assert.NotEqual(t, StateUnhealthy, stateOf(f, u))
	})
}

// Until the first probe is over, a proxy that has just started works.
func TestUsableBeforeTheFirstProbe(t *testing.T) {
	inBubble(t, 0, Config{}, func(t *testing.T, f *fleet, p *patient) {
		assert.Equal(t, StateUnknown, stateOf(f, f.ups[0]))
		u, _ := f.pick(nobodyKnown, nil)
		require.NotNil(t, u)
		u.done(verdictGood)
		assert.Equal(t, StateUnknown, stateOf(f, u), "where there are probes, they decide")
		time.Sleep(5 * time.Second)
		synctest.Wait()
		assert.Equal(t, StateUnhealthy, stateOf(f, f.ups[0]))
		assert.Equal(t, "GET /healthz: connect_timeout: context deadline exceeded", f.status()[0].Reason)
	})
}

func TestThresholds(t *testing.T) {
	inBubble(t, 200, Config{Check: HealthCheck{Matcher: "200,204"}}, func(t *testing.T, f *fleet, p *patient) {
		u := f.ups[0]
		p.status.Store(204)
		pass(1)
		p.status.Store(500)
		pass(1)
		p.status.Store(200)
		pass(1)
		p.status.Store(404)
		pass(1)
		assert.Equal(t, StateHealthy, stateOf(f, u), "one failure, a pass, and one failure")
		assert.Equal(t, "GET /healthz: 404 Not Found, not 200,204", f.status()[0].Reason)
		pass(1)
		assert.Equal(t, StateUnhealthy, stateOf(f, u))
		p.status.Store(200)
		pass(4)
		p.status.Store(500)
		pass(1)
		p.status.Store(200)
		pass(4)
		assert.Equal(t, StateUnhealthy, stateOf(f, u), "four passes, a failure, and four passes")
		pass(1)
		assert.Equal(t, StateReturning, stateOf(f, u))
		time.Sleep(10 * time.Second)
		assert.Equal(t, StateHealthy, stateOf(f, u))
	})
}

func TestIntervals(t *testing.T) {
	inBubble(t, 200, Config{}, func(t *testing.T, f *fleet, p *patient) {
		time.Sleep(30*time.Second - time.Nanosecond)
		synctest.Wait()
		assert.EqualValues(t, 2, p.probes.Load())
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		assert.EqualValues(t, 4, p.probes.Load())
		p.status.Store(0)
		pass(10)
		assert.EqualValues(t, 24, p.probes.Load(), "however long each takes")
	})
}

// A pass of the probe does not bring back what fails with real requests; two
// failures of the probe take out what is left out already.
func TestProbesOfTheEjected(t *testing.T) {
	inBubble(t, 200, Config{Check: HealthCheck{EjectFor: time.Hour}}, func(t *testing.T, f *fleet, p *patient) {
		sicken(t, f, f.ups[0])
		pass(10)
		assert.Equal(t, StateEjected, stateOf(f, f.ups[0]))
		assert.Contains(t, f.status()[0].Reason, "exchanges in a row")
		p.status.Store(500)
		pass(2)
		assert.Equal(t, StateUnhealthy, stateOf(f, f.ups[0]))
		p.status.Store(200)
		pass(5)
		assert.Equal(t, StateReturning, stateOf(f, f.ups[0]))
	})
}

// Requests may fail often enough before the first probe is over.
func TestFirstProbeOfTheEjected(t *testing.T) {
	f := testFleet(t, 2, Config{Check: HealthCheck{Path: "/"}})
	sicken(t, f, f.ups[0])
	f.update(func(now time.Time) { f.prober.record(f.ups[0], outcome{pass: true}, now) })
	assert.Equal(t, StateEjected, stateOf(f, f.ups[0]))
}

func TestNoProbesWithoutAPath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := new(patient)
		f := testFleet(t, 2, Config{Transport: p})
		f.start()
		time.Sleep(time.Hour)
		f.stop()
		assert.Zero(t, p.probes.Load())
	})
}

func TestStopSaysNothing(t *testing.T) {
	logger, book := logBook()
	inBubble(t, 0, Config{Logger: logger}, func(t *testing.T, f *fleet, p *patient) {
		begin := time.Now()
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(f.stop)
		}
		wg.Wait()
		assert.Equal(t, begin, time.Now(), "a probe under way is cut off")
		assert.Equal(t, StateUnknown, stateOf(f, f.ups[0]), "and counts for nothing")
		time.Sleep(time.Hour)
		assert.EqualValues(t, 2, p.probes.Load())
	})
	assert.Empty(t, book.String())
	testFleet(t, 1, Config{Check: HealthCheck{Path: "/"}}).stop() // was never started
}

func TestProbesAreLoggedOnChange(t *testing.T) {
	logger, book := logBook()
	synctest.Test(t, func(t *testing.T) {
		p := new(patient)
		p.status.Store(200)
		f := testFleet(t, 1, Config{Logger: logger, Transport: p, Check: HealthCheck{Path: "/healthz", SlowStart: -1}})
		f.start()
		defer f.stop()
		pass(3)
		p.status.Store(302)
		pass(3)
		p.status.Store(200)
		pass(7)
	})
	assert.Equal(t, []string{
		`level=INFO msg="upstream healthy" upstream=http://10.0.0.1 from=unknown to=healthy reason="GET /healthz: 200 OK"`,
		`level=WARN msg="upstream unhealthy" upstream=http://10.0.0.1 from=healthy to=unhealthy reason="GET /healthz: 302 Found, not 200" check="redirects are not followed: let the application answer Check.Path without one, or set Check.Host"`,
		`level=INFO msg="upstream healthy" upstream=http://10.0.0.1 from=unhealthy to=healthy reason="GET /healthz: 200 OK"`,
	}, lines(book))
}

func TestStatusHints(t *testing.T) {
	for status, want := range map[int]string{
		204: "Check.Matcher does not name", 301: "redirects are not followed", 400: "Check.Host", 421: "Check.Host", 401: "without a login",
		403: "without a login", 404: "with GET", 405: "with GET", 429: "refuses the probe", 500: "not well", 503: "not well",
	} {
		assert.Contains(t, statusHint(status), want, status)
	}
}

func TestProbeErrors(t *testing.T) {
	for _, row := range []struct {
		err          error
		reason, hint string
	}{
		{context.DeadlineExceeded, "GET /healthz: connect_timeout: context deadline exceeded", "firewall"},
		{&net.DNSError{Err: "no such host", Name: "app"}, "GET /healthz: dns: lookup app: no such host", "resolver"},
		{errors.New("no route"), "GET /healthz: unreachable: no route", "route"},
	} {
		inBubble(t, 200, Config{}, func(t *testing.T, f *fleet, _ *patient) {
			fails := tripper(func(*http.Request) (*http.Response, error) { return nil, row.err })
			o := f.prober.probe(t.Context(), fails, f.ups[0])
			assert.False(t, o.pass)
			assert.Equal(t, row.reason, o.reason)
			assert.Contains(t, o.check, row.hint)
		})
	}
}

// A clinic is a real upstream that notes what the probes look like.
type clinic struct {
	*httptest.Server
	probes, conns, open atomic.Int32
	last                atomic.Pointer[http.Request]
}

func newClinic(t *testing.T, answer http.HandlerFunc, start func(*httptest.Server)) *clinic {
	t.Helper()
	c := new(clinic)
	c.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.probes.Add(1)
		c.last.Store(r)
		answer(w, r)
	}))
	c.Config.ErrorLog = log.New(io.Discard, "", 0)
	c.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			c.conns.Add(1)
			c.open.Add(1)
		case http.StateClosed, http.StateHijacked:
			c.open.Add(-1)
		}
	}
	start(c.Server)
	t.Cleanup(c.Close)
	return c
}

// probing runs a fleet of one upstream with quick probes until it is in a state.
func probing(t *testing.T, cfg Config, want State) UpstreamStatus {
	t.Helper()
	if cfg.Check.Interval == 0 {
		cfg.Check.Interval = time.Minute
		cfg.Check.Timeout = 30 * time.Second
	}
	f := fleetOf(t, cfg)
	f.start()
	assert.Eventually(t, func() bool { return stateOf(f, f.ups[0]) == want }, 20*time.Second, time.Millisecond)
	f.stop()
	buf := make([]byte, 1<<20)
	stacks := string(buf[:runtime.Stack(buf, true)])
	assert.NotContains(t, stacks, "(*prober).watch", "stop joins")
	return f.status()[0]
}

func ok(http.ResponseWriter, *http.Request) {}

func listenTCP(s *httptest.Server) { s.Start() }

func TestProbeIsAskedOnNewConnections(t *testing.T) {
	c := newClinic(t, ok, listenTCP)
	f := fleetOf(t, Config{Upstreams: []string{c.URL}, Check: HealthCheck{Path: "/health?a=b%20c", Interval: 50 * time.Millisecond, Timeout: 40 * time.Millisecond, UnhealthyThreshold: 1000}})
	f.start()
	assert.Eventually(t, func() bool { return c.probes.Load() >= 3 }, 20*time.Second, time.Millisecond)
	f.stop()
	assert.GreaterOrEqual(t, c.conns.Load(), c.probes.Load(), "each probe has a connection of its own")
	r := c.last.Load()
	assert.Equal(t, "GET", r.Method)
	assert.Equal(t, "/health?a=b%20c", r.RequestURI)
	assert.Equal(t, strings.TrimPrefix(c.URL, "http://"), r.Host)
	assert.Equal(t, http.Header{"User-Agent": {"knownhops-health-check/1"}, "Connection": {"close"}}, r.Header)
	assert.Eventually(t, func() bool { return c.open.Load() == 0 }, 20*time.Second, time.Millisecond, "none is left open")
}

func TestProbeOverUnix(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "app.sock")
	c := newClinic(t, ok, func(s *httptest.Server) {
		s.Listener.Close()
		l, err := net.Listen("unix", socket)
		require.NoError(t, err)
		s.Listener = l
		s.Start()
	})
	probing(t, Config{Upstreams: []string{"unix:" + socket}, Check: HealthCheck{Path: "/"}}, StateHealthy)
	assert.Equal(t, "localhost", c.last.Load().Host)

	gone := probing(t, Config{Upstreams: []string{"unix:" + socket + "2"}, Check: HealthCheck{Path: "/"}}, StateUnhealthy)
	assert.Contains(t, gone.Reason, "GET /: connection_refused: ")
}

func TestProbeOverTLS(t *testing.T) {
	c := newClinic(t, ok, func(s *httptest.Server) { s.EnableHTTP2 = true; s.StartTLS() })
	roots := x509.NewCertPool()
	roots.AddCert(c.Certificate())
	own := NewTransport(TransportConfig{TLS: &tls.Config{RootCAs: roots}})
	probing(t, Config{Upstreams: []string{c.URL}, Transport: own, Check: HealthCheck{Path: "/", Host: "www.example.com"}}, StateHealthy)
	assert.Equal(t, "www.example.com", c.last.Load().Host)
	assert.Equal(t, 2, c.last.Load().ProtoMajor, "HTTP/2 where the upstream offers it, as for requests")
	assert.Eventually(t, func() bool { return c.open.Load() == 0 }, 20*time.Second, time.Millisecond)

	stranger := probing(t, Config{Upstreams: []string{c.URL}, Check: HealthCheck{Path: "/"}}, StateUnhealthy)
	assert.Contains(t, stranger.Reason, "GET /: tls: ")
	assert.Contains(t, stranger.Reason, "certificate")
}

func TestProbeOverH2C(t *testing.T) {
	c := newClinic(t, ok, func(s *httptest.Server) {
		s.Config.Protocols = new(http.Protocols)
		s.Config.Protocols.SetUnencryptedHTTP2(true)
		s.Start()
	})
	name := strings.Replace(c.URL, "http", "h2c", 1)
	probing(t, Config{Upstreams: []string{name}, Check: HealthCheck{Path: "/"}}, StateHealthy)
	assert.Equal(t, 2, c.last.Load().ProtoMajor)
	assert.Eventually(t, func() bool { return c.open.Load() == 0 }, 20*time.Second, time.Millisecond)
}

func TestProbeFollowsNoRedirect(t *testing.T) {
	c := newClinic(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		}
	}, listenTCP)
	s := probing(t, Config{Upstreams: []string{c.URL}, Check: HealthCheck{Path: "/"}}, StateUnhealthy)
	assert.Equal(t, "GET /: 302 Found, not 200", s.Reason)
	assert.EqualValues(t, 1, c.probes.Load())
}

// An endless body does not hold a probe up: its status has said all.
func TestProbeReadsLittle(t *testing.T) {
	c := newClinic(t, func(w http.ResponseWriter, r *http.Request) {
		piece := make([]byte, 32<<10)
		for {
			if _, err := w.Write(piece); err != nil {
				return
			}
		}
	}, listenTCP)
	probing(t, Config{Upstreams: []string{c.URL}, Check: HealthCheck{Path: "/"}}, StateHealthy)
}

const mute = "say nothing"

// rawServer answers every connection with the same bytes, after it has read
// something, and closes it. Mute, it holds the connection until the test ends.
func rawServer(t *testing.T, answer string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var wg sync.WaitGroup
	end := make(chan struct{})
	serve := func(conn net.Conn) {
		defer conn.Close()
		conn.Read(make([]byte, 4096))
		if answer == mute {
			<-end
			return
		}
		io.WriteString(conn, answer)
	}
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { serve(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		close(end)
		wg.Wait()
	})
	return l.Addr().String()
}

func TestProbeNamesWhatIsWrong(t *testing.T) {
	refusing, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	refusing.Close()
	for _, row := range []struct{ upstream, reason string }{
		{"http://" + refusing.Addr().String(), "GET /: connection_refused: "},
		{"http://" + rawServer(t, "SSH-2.0-OpenSSH_9.2\r\n"), "GET /: malformed_answer: "},
		{"http://" + rawServer(t, "HTTP/1.1 200 OK\r\nLong: "+strings.Repeat("x", 70_000)+"\r\n\r\n"), "GET /: head_too_large: "},
		{"http://" + rawServer(t, ""), "GET /: connection_lost: "},
		{"https://" + rawServer(t, "HTTP/1.1 400 Bad Request\r\n\r\n"), "GET /: tls: "},
		{"h2c://" + rawServer(t, "HTTP/1.1 400 Bad Request\r\n\r\n"), ": http2: "}, // which of its errors is a matter of luck
	} {
		s := probing(t, Config{Upstreams: []string{row.upstream}, Check: HealthCheck{Path: "/"}}, StateUnhealthy)
		assert.Contains(t, s.Reason, row.reason)
	}
}

func TestProbeTimesOut(t *testing.T) {
	check := HealthCheck{Path: "/", Interval: time.Minute, Timeout: 300 * time.Millisecond}
	s := probing(t, Config{Upstreams: []string{"http://" + rawServer(t, mute)}, Check: check}, StateUnhealthy)
	assert.Contains(t, s.Reason, "GET /: answer_timeout: ")
}

// Somebody else's transport is used as it is.
func TestProbeThroughATransport(t *testing.T) {
	var asked atomic.Pointer[http.Request]
	rt := tripper(func(r *http.Request) (*http.Response, error) {
		asked.Store(r)
		return &http.Response{StatusCode: 200, Body: http.NoBody}, nil
	})
	probing(t, Config{Upstreams: []string{"https://app:8443"}, Transport: rt, Check: HealthCheck{Path: "/a?b"}}, StateHealthy)
	assert.Equal(t, "https://app:8443/a?b", asked.Load().URL.String())
}

func TestCauseOfRoundTrip(t *testing.T) {
	for text, want := range map[string]Reason{
		`net/http: HTTP/1.x transport connection broken: malformed HTTP response "SSH"`:     ReasonMalformedAnswer,
		"http2: frame too large, note that the frame header looked like an HTTP/1.1 header": ReasonMalformedAnswer,
		"net/http: server response headers exceeded 65536 bytes; aborted":                   ReasonHeadTooLarge,
		"http2: client conn could not be established":                                       ReasonBroken,
	} {
		assert.Equal(t, want, causeOfRoundTrip(StageReadHead, errors.New(text)), text)
	}
	assert.Equal(t, ReasonConnectionLost, causeOfRoundTrip(StageReadHead, io.EOF))
}
