package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// asProgram in the environment makes the test binary the demo itself.
const asProgram = "KNOWNHOPS_DEMO_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// A logBuffer is a log that the demo writes and a test reads.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// startDemo runs a demo on free ports until the end of the test, which fails
// if it leaves a goroutine, a file or an open port behind.
func startDemo(t *testing.T, cfg config) *demo {
	t.Helper()
	if cfg.nginx {
		if _, err := findNginx(nginxPlaces...); err != nil {
			t.Skip(err)
		}
	}
	if cfg.logger == nil {
		cfg.logger = slog.New(slog.DiscardHandler)
	}
	before := runtime.NumGoroutine()
	d, err := start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopDemo(t, d, before) })
	return d
}

func stopDemo(t *testing.T, d *demo, goroutines int) {
	if err := d.close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if _, err := os.Stat(d.dir); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", d.dir, err)
	}
	for _, door := range []string{d.doors.https.Addr().String(), d.doors.http.Addr().String(), d.doors.app.Addr().String()} {
		if somebodyAt(door) {
			t.Errorf("%s still accepts connections", door)
		}
	}
	if d.nginx != nil && somebodyAt(strings.TrimPrefix(d.ways.Nginx, "http://")) {
		t.Error("nginx still accepts connections")
	}
	for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > goroutines; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<16)
			t.Fatalf("goroutines are left:\n%s", stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// setups are the demos that there are.
var setups = map[string]config{
	"balancer":                             {},
	"balancer over IPv6":                   {network: networks[1]},
	"nginx that passes the scheme":         {nginx: true, nginxScheme: schemePasses},
	"nginx that overwrites the scheme":     {nginx: true, nginxScheme: schemeOwn},
	"nginx over IPv6 and a unix socket":    {nginx: true, nginxScheme: schemePasses, network: networks[1]},
	"nginx that overwrites, over the same": {nginx: true, nginxScheme: schemeOwn, network: networks[1]},
}

func eachSetup(t *testing.T, test func(t *testing.T, d *demo)) {
	for name, cfg := range setups {
		t.Run(name, func(t *testing.T) {
			if cfg.network != (network{}) && !cfg.network.available() {
				t.Skip("this machine has no such addresses")
			}
			test(t, startDemo(t, cfg))
		})
	}
}

func read(t *testing.T, resp *http.Response, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", resp.Status, body)
	}
	return string(body)
}

// get asks for a page as a browser does.
func get(t *testing.T, d *demo, url string, lines ...string) string {
	t.Helper()
	resp, err := scene{URL: url, Lines: lines}.play(t.Context(), d.identity, "text/html")
	return read(t, resp, err)
}

func TestFlagsThatMakeNoSense(t *testing.T) {
	for _, args := range [][]string{
		{"-no-such-flag"}, {"extra"}, {"-https", "65536"}, {"-nginx", "-nginx-scheme", "both"}, {"-nginx-scheme", "scheme"},
	} {
		var stderr bytes.Buffer
		if code := program(args, io.Discard, &stderr); code != 2 {
			t.Errorf("%q: exit code %d", args, code)
		}
		if !strings.Contains(stderr.String(), "Usage of demo") {
			t.Errorf("%q: no usage in %q", args, stderr.String())
		}
	}
	if code := program([]string{"-h"}, io.Discard, io.Discard); code != 0 {
		t.Errorf("-h: exit code %d", code)
	}
}

// The whole program, from its command line to its exit code.
func TestSignalsEndItCleanly(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a process cannot be sent these signals there")
	}
	for name, sig := range map[string]syscall.Signal{"Ctrl-C": syscall.SIGINT, "SIGTERM": syscall.SIGTERM} {
		t.Run(name, func(t *testing.T) { signalDemo(t, sig) })
	}
}

func signalDemo(t *testing.T, sig syscall.Signal) {
	args := []string{"-https", "0", "-http", "0", "-app", "0", "-nginx-port", "0"}
	if _, err := findNginx(nginxPlaces...); err == nil {
		args = append(args, "-nginx")
	}
	dir := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=1", "TMPDIR="+dir)
	var out logBuffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for !strings.Contains(out.String(), "health check\n") && ctx.Err() == nil {
		time.Sleep(5 * time.Millisecond)
	}
	time.Sleep(50 * time.Millisecond) // it is the last scene, and some lines follow
	pid := nginxPID(dir)
	if err := cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v:\n%s", err, out.String())
	}
	if !strings.HasSuffix(out.String(), "\nStopping.\n") {
		t.Errorf("it says more than that it stops:\n%s", out.String())
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	if pid != 0 && alive(pid) {
		t.Errorf("nginx, process %d, is left", pid)
	}
}

// A port that is taken is replaced, and the visitor is told.
func TestPortsThatAreTaken(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1"} {
		t.Run(host, func(t *testing.T) {
			taken, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
			if err != nil {
				t.Skip(err)
			}
			defer taken.Close()
			d := startDemo(t, config{http: uint(portOf(taken))})
			if portOf(d.doors.http) == portOf(taken) {
				t.Fatal("it shares the port")
			}
			var out bytes.Buffer
			d.announce(&out)
			if !strings.Contains(out.String(), "Note: "+d.notes[0]) || !strings.Contains(d.notes[0], "instead") {
				t.Errorf("not said:\n%s", out.String())
			}
			if !strings.Contains(get(t, d, d.ways.HTTP+"/"), "How this request arrived") {
				t.Error("the other port does not answer")
			}
		})
	}
}

// What cannot start must not leave half of itself running.
func TestStartThatFails(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // the first health check fails
	if _, err := start(ctx, config{logger: slog.New(slog.DiscardHandler)}); err == nil {
		t.Fatal("it starts")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before && time.Now().Before(deadline); {
		time.Sleep(5 * time.Millisecond)
	}
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d goroutines are left", n-before)
	}
}
