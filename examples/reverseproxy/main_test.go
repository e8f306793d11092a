package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/healthcheck"
)

// asProgram in the environment makes the test binary the program itself.
const asProgram = "REVERSEPROXY_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	first := make(chan os.Signal, 1) // os/signal starts a goroutine at the first call, and keeps it
	signal.Notify(first, syscall.SIGTERM)
	signal.Stop(first)
	os.Exit(m.Run())
}

// A text is written by the program while a test reads it.
type text struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *text) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *text) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// A running program, in this process.
type running struct {
	url            string
	stdout, stderr text
	end            context.CancelFunc // what a signal does
	ended          chan struct{}
	err            error // once ended
}

var listening = regexp.MustCompile(`Listening on (\S+) for `)

// start runs the program on a free port until the end of the test, which fails
// if it leaves a goroutine behind.
func start(t *testing.T, args ...string) *running {
	t.Helper()
	before := runtime.NumGoroutine()
	p := launch(t, args...)
	t.Cleanup(func() {
		p.end()
		<-p.ended
		http.DefaultClient.CloseIdleConnections()
		nothingLeft(t, before)
	})
	require.Eventually(t, func() bool { return listening.MatchString(p.stdout.String()) }, 5*time.Second, time.Millisecond, "it does not start")
	p.url = "http://" + listening.FindStringSubmatch(p.stdout.String())[1]
	return p
}

// nothingLeft counts by itself: require.Eventually has goroutines of its own.
func nothingLeft(t *testing.T, before int) {
	for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<16)
			t.Fatalf("goroutines are left:\n%s", stacks[:runtime.Stack(stacks, true)])
		}
	}
}

func launch(t *testing.T, args ...string) *running {
	ctx, end := context.WithCancel(t.Context())
	p := &running{end: end, ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		p.err = run(ctx, append([]string{"-listen", "127.0.0.1:0", "-drain-wait", "1s"}, args...), nothing, &p.stdout, &p.stderr)
	}()
	return p
}

// logs waits for words in the access log, which is written when the client has
// the answer already.
func (p *running) logs(t *testing.T, words string) {
	t.Helper()
	assert.Eventually(t, func() bool { return strings.Contains(p.stdout.String(), words) }, 5*time.Second, time.Millisecond, words)
}

// nothing is an empty environment.
func nothing(string) string { return "" }

// backend is an application, closed at the end of the test.
func backend(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// echo answers with the request as it arrived.
func echo(w http.ResponseWriter, r *http.Request) {
	fmt.Fprintf(w, "%s %s\nHost: %s\n", r.Method, r.RequestURI, r.Host)
	r.Header.Write(w)
}

// ask sends a request and returns the status and the body.
func ask(t *testing.T, method, url string, header ...string) (int, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	require.NoError(t, err)
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Set(name, value)
		if name == "Host" {
			req.Host = value
		}
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(body)
}

// viaBalancer is what an ALB adds, the client's own words included.
var viaBalancer = []string{
	"Host: www.example.com", "X-Forwarded-For: 6.6.6.6, 203.0.113.7", "X-Forwarded-Proto: https", "X-Forwarded-Port: 443",
	"X-Forwarded-Host: evil.example", "X-Real-IP: 6.6.6.6",
}

func TestHeadersBehindTheBalancer(t *testing.T) {
	p := start(t, "-upstream", backend(t, echo), "-hops", "alb=127.0.0.0/8", "-hosts", "www.example.com")
	status, got := ask(t, "GET", p.url+"/cart?x=1", viaBalancer...)
	assert.Equal(t, 200, status)
	for _, line := range []string{
		"GET /cart?x=1\nHost: www.example.com\n", "X-Forwarded-For: 203.0.113.7, 127.0.0.1\r\n", "X-Forwarded-Proto: https\r\n",
		"X-Forwarded-Host: www.example.com\r\n", "X-Forwarded-Port: 443\r\n",
	} {
		assert.Contains(t, got, line)
	}
	assert.NotContains(t, got, "6.6.6.6")
	assert.NotContains(t, got, "evil.example")
	p.logs(t, "203.0.113.7 - - [")
	assert.Contains(t, p.stdout.String(), "In front, nearest first:\n  hop=127.0.0.0/8;", "the start tells who is believed")
}

func TestNobodyIsBelievedByDefault(t *testing.T) {
	p := start(t, "-upstream", backend(t, echo))
	_, got := ask(t, "GET", p.url+"/", viaBalancer...)
	assert.Contains(t, got, "X-Forwarded-For: 127.0.0.1\r\n")
	assert.Contains(t, got, "X-Forwarded-Proto: http\r\n")
	assert.NotContains(t, got, "203.0.113.7")
}

func TestHostsThatAreNotOurs(t *testing.T) {
	p := start(t, "-upstream", backend(t, echo), "-hosts", "www.example.com")
	_, got := ask(t, "GET", p.url+"/", "Host: other.example")
	assert.NotContains(t, got, "X-Forwarded-Host")
}

func TestLintAtTheStart(t *testing.T) {
	p := start(t, "-upstream", backend(t, echo), "-hops", "nginx=127.0.0.1 alb=10.0.16.0/20")
	assert.Contains(t, p.stdout.String(), `Lint: "nginx" overwrites or drops X-Forwarded-Proto, which "alb" wrote`)
	assert.Contains(t, p.stdout.String(), "  Fix: let ")
}

// TestApplicationDown is the morning after the reboot: the answer says nothing,
// the log says where to look.
func TestApplicationDown(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	gone := "http://" + ln.Addr().String()
	require.NoError(t, ln.Close())

	p := start(t, "-upstream", gone)
	status, body := ask(t, "GET", p.url+"/")
	assert.Equal(t, 502, status)
	assert.NotContains(t, body, ln.Addr().String())
	assert.Contains(t, p.stderr.String(), gone+": nothing listens there")
	p.logs(t, `"GET / HTTP/1.1" 502 `)
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.sock")
	ln, err := net.Listen("unix", path)
	require.NoError(t, err)
	app := &httptest.Server{Listener: ln, Config: &http.Server{Handler: http.HandlerFunc(echo)}}
	app.Start()
	defer app.Close()

	p := start(t, "-upstream", "unix:"+path)
	status, got := ask(t, "GET", p.url+"/x", "Host: www.example.com")
	assert.Equal(t, 200, status)
	assert.Contains(t, got, "GET /x\nHost: www.example.com\n")
}

func TestStaticBeforeTheApplication(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "logo.svg"), []byte("<svg/>"), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, ".env"), []byte("secret"), 0o600))
	p := start(t, "-upstream", backend(t, echo), "-static", dir, "-strip-prefix", "/api")

	_, got := ask(t, "GET", p.url+"/logo.svg")
	assert.Equal(t, "<svg/>", got)
	status, _ := ask(t, "GET", p.url+"/.env")
	assert.Equal(t, 404, status, "neither a file to serve nor below the prefix")
	_, got = ask(t, "POST", p.url+"/api/logo.svg")
	assert.Contains(t, got, "POST /logo.svg\n")
	assert.Contains(t, got, "X-Forwarded-Prefix: /api\r\n")
}

func TestMaxBody(t *testing.T) {
	p := start(t, "-upstream", backend(t, func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }), "-max-body", "1k")
	for size, want := range map[int]int{1024: 200, 1025: 413} {
		resp, err := http.Post(p.url, "text/plain", strings.NewReader(strings.Repeat("x", size)))
		require.NoError(t, err)
		resp.Body.Close()
		assert.Equal(t, want, resp.StatusCode, size)
	}
}

func TestSizes(t *testing.T) {
	for s, want := range map[string]int64{"0": 0, "7": 7, "512k": 512 << 10, "10m": 10 << 20, "8g": 8 << 30} {
		var o options
		assert.NoError(t, o.setMaxBody(s), s)
		assert.Equal(t, want, o.maxBody, s)
	}
	for _, s := range []string{"", "k", "-1", "1kk", "1.5m", "10x", "9999999999g", "1k1"} {
		assert.Error(t, new(options).setMaxBody(s), s)
	}
}

func TestHealth(t *testing.T) {
	var asked, broken atomic.Bool
	app := backend(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Store(true)
		if broken.Load() {
			w.WriteHeader(500)
		}
	})
	p := start(t, "-upstream", app, "-https", "www.example.com")
	p.becomes(t, "/healthz", 200)
	for _, path := range []string{"/healthz", "/readyz", "/livez", "/startupz"} {
		status, body := ask(t, "GET", p.url+path, "User-Agent: ELB-HealthChecker/2.0")
		assert.Equal(t, 200, status)
		assert.Equal(t, "ok\n", body)
	}
	assert.False(t, asked.Load(), "the probe went to the application")
	status, _ := ask(t, "GET", p.url+"/healthz/", viaBalancer...)
	assert.Equal(t, 301, status, "only the exact path is a probe")
	p.logs(t, "GET /healthz/ ")
	assert.NotContains(t, p.stdout.String(), "GET /healthz ", "the probe is in the access log")

	broken.Store(true)
	p = start(t, "-upstream", app, "-health", "/up", "-check", "/app")
	p.becomes(t, "/up", 503)
	status, _ = ask(t, "GET", p.url+"/livez")
	assert.Equal(t, 200, status, "to kill this process mends no application")
	status, _ = ask(t, "GET", p.url+"/healthz")
	assert.NotEqual(t, 200, status, "it is the application's now")

	p = start(t, "-upstream", app, "-shared-upstreams", "-check", "/app", "-details", "/-/health")
	assert.Eventually(t, func() bool {
		_, page := ask(t, "GET", p.url+"/-/health")
		return strings.Contains(page, "Ready, with a warning")
	}, 5*time.Second, 5*time.Millisecond)
	status, _ = ask(t, "GET", p.url+"/healthz")
	assert.Equal(t, 200, status, "all instances have the same upstreams")
}

// becomes waits for a status: checks run in the background.
func (p *running) becomes(t *testing.T, path string, want int) {
	t.Helper()
	assert.Eventually(t, func() bool { status, _ := ask(t, "GET", p.url+path); return status == want }, 5*time.Second, 5*time.Millisecond, "%s: %d", path, want)
}

func TestHealthOfTheApplication(t *testing.T) {
	p := start(t, "-upstream", backend(t, echo), "-health", "off", "-https", "www.example.com")
	assert.Contains(t, p.stdout.String(), "get 421 with -health off")
	status, _ := ask(t, "GET", p.url+"/healthz")
	assert.Equal(t, 421, status)
	p = start(t, "-upstream", backend(t, echo), "-health", "off")
	_, got := ask(t, "GET", p.url+"/healthz")
	assert.Contains(t, got, "GET /healthz\n")
}

// TestDetails has what an operator reads when the balancer calls this instance
// unhealthy.
func TestDetails(t *testing.T) {
	broken := backend(t, func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500) })
	p := start(t, "-upstream", broken, "-check", "/app", "-details", "/-/health", "-access-log", "off")
	p.becomes(t, "/healthz", 503)
	var page string
	assert.Eventually(t, func() bool {
		_, page = ask(t, "GET", p.url+"/-/health")
		return strings.Contains(page, "upstream-1") && strings.Contains(page, "is unhealthy")
	}, 5*time.Second, 5*time.Millisecond)
	for _, want := range []string{
		"Not ready: upstreams (local) is failing.", "no upstream passes -check /app", broken + " is unhealthy: ", `"address": "127.0.0.1"`,
	} {
		assert.Contains(t, page, want)
	}

	for _, header := range [][]string{viaBalancer, {"X-Forwarded-For: 127.0.0.1"}, {"Host: rebound.example"}} {
		status, _ := ask(t, "GET", p.url+"/-/health", header...)
		assert.NotEqual(t, 503, status, header)
	}
	p = start(t, "-upstream", broken, "-details", "/-/health", "-hops", "alb=127.0.0.1")
	status, _ := ask(t, "GET", p.url+"/-/health")
	assert.Equal(t, 404, status, "through a declared hop")
}

func TestExplainIsForThisMachine(t *testing.T) {
	p := start(t, "-upstream", backend(t, echo), "-explain", "/-/explain", "-hops", "alb=10.0.16.0/20")
	status, got := ask(t, "GET", p.url+"/-/explain", "X-Forwarded-For: 203.0.113.7")
	assert.Equal(t, 200, status)
	assert.Contains(t, got, "203.0.113.7", "it explains what came, not what is left")

	p = start(t, "-upstream", backend(t, echo), "-explain", "/-/explain", "-hops", "alb=127.0.0.1")
	for _, header := range [][]string{viaBalancer, {"X-Forwarded-For: 127.0.0.1"}, nil} {
		status, _ = ask(t, "GET", p.url+"/-/explain", header...)
		assert.Equal(t, 404, status, "through a declared hop: %v", header)
	}
}

func TestAccessLogFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "access.log")
	require.NoError(t, os.WriteFile(path, []byte("of yesterday\n"), 0o600))
	p := start(t, "-upstream", backend(t, echo), "-access-log", path)
	ask(t, "GET", p.url+"/kept")
	p.end()
	<-p.ended
	lines, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Regexp(t, `^of yesterday\n127\.0\.0\.1 - - \[.*\] "GET /kept HTTP/1\.1" 200 .* http \d+\.\d+\n$`, string(lines))

	p = start(t, "-upstream", backend(t, echo), "-access-log", "off")
	ask(t, "GET", p.url+"/silent")
	p.end()
	<-p.ended
	assert.NotContains(t, p.stdout.String(), "/silent")
}

func TestBalance(t *testing.T) {
	var first, second atomic.Int32
	count := func(n *atomic.Int32) string {
		return backend(t, func(http.ResponseWriter, *http.Request) { n.Add(1) })
	}
	a, b := count(&first), count(&second)
	for policy, even := range map[string]bool{"round-robin": true, "client-hash": false} {
		first.Store(0)
		second.Store(0)
		p := start(t, "-upstream", a+", "+b, "-balance", policy)
		for range 6 {
			ask(t, "GET", p.url)
		}
		assert.Equal(t, even, first.Load() == second.Load(), policy)
	}
}

func TestH2C(t *testing.T) {
	client := &http.Transport{Protocols: new(http.Protocols)}
	client.Protocols.SetUnencryptedHTTP2(true)
	defer client.CloseIdleConnections()
	get := func(p *running) (*http.Response, error) {
		req, err := http.NewRequestWithContext(t.Context(), "GET", p.url, nil)
		require.NoError(t, err)
		return client.RoundTrip(req)
	}
	resp, err := get(start(t, "-upstream", backend(t, echo), "-h2c"))
	require.NoError(t, err)
	resp.Body.Close()
	assert.Equal(t, "HTTP/2.0", resp.Proto)
	client.CloseIdleConnections()

	_, err = get(start(t, "-upstream", backend(t, echo)))
	assert.Error(t, err, "HTTP/2 without -h2c")
}

// TestServerOutlastsTheBalancer holds the settings that no request shows.
func TestServerOutlastsTheBalancer(t *testing.T) {
	for _, test := range []struct {
		args         []string
		idle, answer time.Duration
	}{
		{nil, 75 * time.Second, 55 * time.Second}, // ALB's 60 s and a margin
		{[]string{"-balancer-idle", "5m"}, 315 * time.Second, 295 * time.Second},
		{[]string{"-balancer-idle", "5m", "-profile", "alb"}, 315 * time.Second, 295 * time.Second},
		{[]string{"-profile", "gcp"}, 620 * time.Second, 0},
		{[]string{"-profile", "direct"}, 120 * time.Second, 0},
	} {
		s := &site{logger: slog.New(slog.DiscardHandler), options: options{upstreams: []string{"http://127.0.0.1:1"}, profile: healthcheck.ALB()}}
		s.mistakes, _ = s.read(append(test.args, "-listen", "127.0.0.1:0", "-access-log", "off"), nothing)
		s.build(io.Discard)
		require.Empty(t, s.mistakes)
		assert.Equal(t, test.idle, s.server.IdleTimeout, test.args)
		assert.Equal(t, test.answer, s.answerTime(), test.args)
		if s.profile.Idle > 0 {
			assert.Equal(t, s.server.IdleTimeout, s.server.ReadHeaderTimeout)
		}
		assert.Zero(t, s.server.ReadTimeout)
		assert.Zero(t, s.server.WriteTimeout)
		s.close()
	}
}

// TestLintOfTheDrain tells who has set times that cannot work.
func TestLintOfTheDrain(t *testing.T) {
	p := start(t, "-upstream", backend(t, echo), "-probe-interval", "30s")
	assert.Eventually(t, func() bool { return strings.Contains(p.stderr.String(), "code=kill_budget") }, 5*time.Second, time.Millisecond)
	p = start(t, "-upstream", backend(t, echo))
	p.becomes(t, "/healthz", 200)
	assert.NotContains(t, p.stderr.String(), "level=WARN msg=\"healthcheck: a drain")
}

// TestHeaderAsLargeAsTheBalancerTakes has 64 K, and what it adds.
func TestHeaderAsLargeAsTheBalancerTakes(t *testing.T) {
	p := start(t, "-upstream", backend(t, func(http.ResponseWriter, *http.Request) {}))
	for lines, want := range map[int]int{5: 200, 10: 431} {
		header := []string{}
		for i := range lines {
			header = append(header, fmt.Sprintf("X-%d: %s", i, strings.Repeat("x", 14<<10)))
		}
		status, _ := ask(t, "GET", p.url, header...)
		assert.Equal(t, want, status, lines)
	}
}

func TestSlowApplication(t *testing.T) {
	finish := make(chan struct{})
	defer close(finish)
	p := start(t, "-upstream", backend(t, func(http.ResponseWriter, *http.Request) { <-finish }), "-balancer-idle", "1s")
	status, _ := ask(t, "GET", p.url)
	assert.Equal(t, 504, status, "before the balancer's own")
	assert.Contains(t, p.stderr.String(), "answer_timeout")
}

func TestTunnel(t *testing.T) {
	app := backend(t, func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
			"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n") // key and answer of RFC 6455 §1.3
		io.Copy(conn, rw)
	})
	p := start(t, "-upstream", app)
	conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	const request = "GET /ws HTTP/1.1\r\nHost: www.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	_, err = io.WriteString(conn, request)
	require.NoError(t, err)
	readUntil(t, conn, "\r\n\r\n")
	_, err = io.WriteString(conn, "hello\n")
	require.NoError(t, err)
	assert.Equal(t, "hello\n", readUntil(t, conn, "\n"), &p.stderr)

	p.end()
	select {
	case <-p.ended:
		t.Error("it did not wait for the tunnel")
	case <-time.After(50 * time.Millisecond):
	}
	conn.Close()
	<-p.ended
	assert.NoError(t, p.err)
}

func readUntil(t *testing.T, r io.Reader, end string) string {
	t.Helper()
	var got strings.Builder
	for b := make([]byte, 1); !strings.HasSuffix(got.String(), end); got.Write(b) {
		_, err := r.Read(b)
		require.NoError(t, err)
	}
	return got.String()
}

// TestDrainLosesNothing plays a balancer that sends POSTs, which it never
// repeats, over connections that it keeps, until two probes have failed. The
// program is a process, and the signal a real one.
func TestDrainLosesNothing(t *testing.T) {
	var handled atomic.Int64
	app := backend(t, func(w http.ResponseWriter, r *http.Request) { handled.Add(1) })
	p := startProcess(t, "-upstream", app, "-access-log", "off", "-hops", "alb=127.0.0.1")

	var sent, failed atomic.Int64
	var balancer sync.WaitGroup
	inRotation, leave := context.WithCancel(t.Context())
	defer leave()
	for range 8 {
		balancer.Go(func() {
			node := &http.Transport{}
			defer node.CloseIdleConnections()
			for inRotation.Err() == nil {
				sent.Add(1)
				if !post(node, p.url) {
					failed.Add(1)
					time.Sleep(10 * time.Millisecond) // nothing may listen there any more
				}
			}
		})
	}
	var passed atomic.Int64
	probing, enough := context.WithCancel(t.Context())
	defer enough()
	balancer.Go(func() { probe(probing, p.url+"/healthz", &passed, leave) })
	require.Eventually(t, func() bool { return sent.Load() > 200 && passed.Load() > 3 }, 20*time.Second, time.Millisecond)
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	assert.NoError(t, p.cmd.Wait(), &p.stderr)
	enough()
	balancer.Wait()
	assert.Zero(t, failed.Load(), "of %d", sent.Load())
	assert.Equal(t, sent.Load(), handled.Load())
	assert.Contains(t, p.stderr.String(), "probers: 1 of 1 probers have had 2 failing answers")
	assert.Contains(t, p.stderr.String(), "nothing was lost")
}

// probe asks every 100 ms, also when the target is out of rotation already, which
// it is after two failures in a row.
func probe(ctx context.Context, url string, passed *atomic.Int64, takeOut func()) {
	for failures := 0; ctx.Err() == nil; time.Sleep(100 * time.Millisecond) {
		if healthcheck.Probe(ctx, url) == nil {
			passed.Add(1)
			failures = 0
			continue
		}
		if failures++; failures == 2 && passed.Load() > 0 {
			takeOut()
		}
	}
}

// post sends what may not be sent twice.
func post(node *http.Transport, url string) bool {
	req, err := http.NewRequest("POST", url, io.MultiReader(strings.NewReader("x")))
	if err != nil {
		return false
	}
	req.Header.Set("X-Forwarded-For", "203.0.113.7")
	resp, err := node.RoundTrip(req)
	if err != nil {
		return false
	}
	io.Copy(io.Discard, resp.Body)
	resp.Body.Close()
	return resp.StatusCode == 200
}

func TestAnswersCloseConnectionsWhileDraining(t *testing.T) {
	p := start(t, "-upstream", backend(t, echo), "-drain-wait", "2s")
	for range 2 {
		p.becomes(t, "/healthz", 200) // somebody probes, and is waited for
	}
	closes := func() bool {
		resp, err := http.Get(p.url)
		if err != nil {
			return false // the wait is over
		}
		resp.Body.Close()
		return resp.Close
	}
	assert.False(t, closes())
	p.end()
	assert.Eventually(t, closes, 2*time.Second, 5*time.Millisecond)
}

func TestDrainWaitsForRequests(t *testing.T) {
	arrived, finish := make(chan struct{}), make(chan struct{})
	app := backend(t, func(w http.ResponseWriter, r *http.Request) { close(arrived); <-finish; io.WriteString(w, "done") })
	p := start(t, "-upstream", app)
	answer := make(chan string, 1)
	go func() {
		resp, err := http.Post(p.url, "text/plain", http.NoBody)
		if err != nil {
			answer <- err.Error()
			return
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		answer <- string(body)
	}()
	<-arrived
	p.end()
	close(finish)
	assert.Equal(t, "done", <-answer)
	<-p.ended
	assert.NoError(t, p.err)
}

// TestMistakesAreToldAtOnce has one of every part.
func TestMistakesAreToldAtOnce(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	env := map[string]string{"REVERSEPROXY_DRAIN_TIME": "soon", "REVERSEPROXY_MAX_BODY": "much"}
	args := []string{
		"-listen", taken.Addr().String(), "-upstream", "http://127.0.0.1:8080,127.0.0.1:8080", "-hops", "alb=10.0.16.0/33", "-hosts", "a_b!",
		"-static", filepath.Join(t.TempDir(), "absent"), "-strip-prefix", "api", "-balance", "fair", "-check", "up", "-max-body", "1m",
		"-health", "/up", "-details", "up", "-explain", "/up", "-profile", "elb", "-access-log", filepath.Join(t.TempDir(), "absent", "log"), "-unknown", "-drain-wait", "-1s", "left", "over",
	}
	var out, log text
	before := runtime.NumGoroutine()
	err = run(t.Context(), args, func(name string) string { return env[name] }, &out, &log)
	require.Error(t, err)
	assert.Equal(t, 2, exitCode(err))
	for _, want := range []string{
		"REVERSEPROXY_DRAIN_TIME", "-listen: ", `-upstream[1]: "127.0.0.1:8080": `, `-hops[0].From[0]: "10.0.16.0/33": `, `-hosts[0]: "a_b!": `,
		"-static: ", `-strip-prefix: proxy: StripPrefix: "api": `, `invalid value "fair" for flag -balance`, `-check: "up": `,
		`-explain: "/up": `, "-access-log: ", "not defined: -unknown", "-drain-wait: -1s: ", `-details: "up": `, `invalid value "elb" for flag -profile`, `"left" is no flag`,
	} {
		assert.Contains(t, err.Error(), want)
	}
	assert.NotContains(t, err.Error(), "REVERSEPROXY_MAX_BODY", "a flag wins over its variable")
	assert.Empty(t, out.String())
	nothingLeft(t, before)
}

// TestMistakesLeaveNothingOpen has one mistake, and parts that could be made.
func TestMistakesLeaveNothingOpen(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := ln.Addr().String()
	require.NoError(t, ln.Close())

	before := runtime.NumGoroutine()
	err = run(t.Context(), []string{"-listen", address, "-check", "/up", "-balance", "fair"}, nothing, io.Discard, io.Discard)
	assert.Equal(t, 2, exitCode(err))
	nothingLeft(t, before)
	ln, err = net.Listen("tcp", address)
	require.NoError(t, err)
	ln.Close()
}

func TestWhatIsNoFlag(t *testing.T) {
	for _, args := range [][]string{{"---x"}, {"-h2c", "x", "-check", "/up"}, {"-=", "-h2c"}} {
		wrong, _ := new(options).read(args, nothing)
		assert.Len(t, wrong, 1, args)
		assert.ErrorContains(t, wrong, "is no flag, and nothing after it was read")
	}
}

func TestMistakesShowNoSecret(t *testing.T) {
	const secret = "0123456789abcdef-very-secret"
	for _, hops := range []string{"alb=10.0.16.0/20;secret=X-Edge:" + secret, "alb=10.0.16.0/33;secret=X-Edge:" + secret, "alb=10.0.16.0/20;secrets=X-Edge:" + secret} {
		var out, log text
		err := run(t.Context(), []string{"-hops", hops, "-listen", "nowhere"}, nothing, &out, &log)
		require.Error(t, err)
		assert.NotContains(t, err.Error()+out.String()+log.String(), secret)
	}
}

func TestHelpAndComment(t *testing.T) {
	var help text
	require.NoError(t, run(t.Context(), []string{"-help"}, nothing, &help, io.Discard))
	source, err := os.ReadFile("main.go")
	require.NoError(t, err)
	comment, _, _ := strings.Cut(string(source), "\npackage main\n")
	new(options).flags().VisitAll(func(f *flag.Flag) {
		assert.Contains(t, help.String(), "  -"+f.Name)
		assert.Contains(t, help.String(), "["+variable(f.Name)+"]")
		assert.Regexp(t, `(?m)^//\t-`+f.Name+`\b`, comment)
	})
}

func TestEnvironment(t *testing.T) {
	env := map[string]string{"REVERSEPROXY_HEALTH": "/up", "REVERSEPROXY_H2C": "true", "REVERSEPROXY_UPSTREAM": "http://127.0.0.1:1", "REVERSEPROXY_CHECK": ""}
	var o options
	wrong, help := o.read([]string{"-health", "/healthz"}, func(name string) string { return env[name] })
	assert.Empty(t, wrong)
	assert.Empty(t, help)
	assert.Equal(t, "/healthz", o.health, "the flag wins")
	assert.True(t, o.h2c)
	assert.Equal(t, []string{"http://127.0.0.1:1"}, o.upstreams)
	assert.Equal(t, "-", o.accessLog)
}

// TestProcess is the program as a process, with real signals.
func TestProcess(t *testing.T) {
	arrived, finish := make(chan struct{}, 1), make(chan struct{})
	app := backend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/slow" {
			arrived <- struct{}{}
			<-finish
		}
	})
	defer close(finish)

	first := startProcess(t, "-upstream", app)
	status, _ := ask(t, "GET", first.url)
	assert.Equal(t, 200, status)
	assert.NoError(t, subcommand(t, first.url+"/livez"))
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	require.NoError(t, first.cmd.Process.Signal(syscall.SIGTERM))
	assert.NoError(t, first.cmd.Wait(), "exit code 0 after SIGTERM")

	second := startProcess(t, "-upstream", app)
	go http.Get(second.url + "/slow") //nolint:errcheck // it is cut off
	<-arrived
	require.NoError(t, second.cmd.Process.Signal(os.Interrupt))
	require.Eventually(t, func() bool { return strings.Contains(second.stderr.String(), "the drain begins") }, 5*time.Second, time.Millisecond)
	require.NoError(t, second.cmd.Process.Signal(os.Interrupt))
	var exit *exec.ExitError
	require.ErrorAs(t, second.cmd.Wait(), &exit)
	assert.Equal(t, 1, exit.ExitCode(), "the second signal ends it at once")
	assert.Contains(t, second.stderr.String(), "GET /slow", "it says what was lost")
	assert.Error(t, subcommand(t, second.url+"/livez"))

	third := process(t, "-upstream", "nowhere")
	require.ErrorAs(t, third.cmd.Run(), &exit)
	assert.Equal(t, 2, exit.ExitCode())
	assert.Contains(t, third.stderr.String(), "reverseproxy: cannot start:\n-upstream[0]: ")
}

// subcommand is the container's health check of a program elsewhere.
func subcommand(t *testing.T, url string) error {
	c := process(t)
	c.cmd.Args = []string{c.cmd.Path, "healthcheck", url}
	return c.cmd.Run()
}

func TestLivenessURL(t *testing.T) {
	for listen, want := range map[string]string{
		"": "http://127.0.0.1:8081/livez", ":80": "http://127.0.0.1:80/livez", "0.0.0.0:80": "http://127.0.0.1:80/livez",
		"[::]:80": "http://127.0.0.1:80/livez", "192.0.2.1:80": "http://192.0.2.1:80/livez", "nonsense": "",
	} {
		assert.Equal(t, want, livenessURL(func(name string) string { return map[string]string{"REVERSEPROXY_LISTEN": listen}[name] }), listen)
	}
}

type child struct {
	cmd            *exec.Cmd
	url            string
	stdout, stderr text
}

func process(t *testing.T, args ...string) *child {
	self, err := os.Executable()
	require.NoError(t, err)
	c := &child{cmd: exec.CommandContext(t.Context(), self, append([]string{"-listen", "127.0.0.1:0"}, args...)...)}
	c.cmd.Env = append(os.Environ(), asProgram+"=1")
	c.cmd.Stdout, c.cmd.Stderr = &c.stdout, &c.stderr
	return c
}

func startProcess(t *testing.T, args ...string) *child {
	t.Helper()
	c := process(t, args...)
	require.NoError(t, c.cmd.Start())
	t.Cleanup(func() {
		if err := c.cmd.Process.Kill(); !errors.Is(err, os.ErrProcessDone) {
			c.cmd.Wait()
		}
	})
	require.Eventually(t, func() bool { return listening.MatchString(c.stdout.String()) }, 10*time.Second, time.Millisecond, "it does not start")
	c.url = "http://" + listening.FindStringSubmatch(c.stdout.String())[1]
	return c
}
