package main

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
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
	first := make(chan os.Signal, 1) // os/signal starts a goroutine at the first call, and keeps it
	signal.Notify(first, syscall.SIGTERM)
	signal.Stop(first)
	os.Exit(m.Run())
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
	before := runtime.NumGoroutine()
	d, err := start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopDemo(t, d, before) })
	return d
}

func stopDemo(t *testing.T, d *demo, goroutines int) {
	doors := []string{d.ways.HTTPS, d.ways.HTTP}
	for _, url := range []string{d.ways.Page, d.ways.Proxy, d.ways.App, d.ways.Inner} {
		doors = append(doors, strings.TrimPrefix(url, "http://"))
	}
	for _, s := range d.sites {
		if addr := s.group.Targets[0].Addr; addr != "" {
			doors = append(doors, addr)
		}
	}
	for _, door := range doors {
		if !somebodyAt(door) {
			t.Errorf("%s did not accept connections", door)
		}
	}
	if err := d.close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if _, err := os.Stat(d.dir); d.dir != "" && !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", d.dir, err)
	}
	for _, door := range doors {
		if somebodyAt(door) {
			t.Errorf("%s still accepts connections", door)
		}
	}
	awaitGoroutines(t, goroutines)
}

func awaitGoroutines(t *testing.T, most int) {
	for deadline := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > most; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<16)
			t.Fatalf("goroutines are left:\n%s", stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// eachSetup tests every demo that there is.
func eachSetup(t *testing.T, test func(t *testing.T, d *demo)) {
	t.Run("imitated nginx", func(t *testing.T) { test(t, startDemo(t, config{})) })
	t.Run("nginx", func(t *testing.T) { test(t, startDemo(t, config{nginx: true})) })
}

// get asks for one of the page's addresses.
func get(t *testing.T, d *demo, path string) string {
	t.Helper()
	o, err := scene{URL: d.ways.Page + path}.play(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if o.Answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s\n%s", path, o.Answer.Status, o.Body)
	}
	return string(o.Body)
}

func TestFlagsThatMakeNoSense(t *testing.T) {
	for _, args := range [][]string{{"-no-such-flag"}, {"extra"}, {"-page", "65536"}} {
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

// A logBuffer is what the demo prints and a test reads.
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
	args := []string{"-page", "0"}
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
	last := (&demo{}).scenes()
	lines := last[len(last)-1].Shows
	for !strings.Contains(out.String(), "nginx passes the scheme\n") || !strings.HasSuffix(out.String(), "> "+lines[len(lines)-1]+"\n") {
		if ctx.Err() != nil {
			t.Fatalf("it never said all:\n%s", out.String())
		}
		time.Sleep(5 * time.Millisecond)
	}
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
func TestPageWhosePortIsTaken(t *testing.T) {
	taken, err := free()
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	d := startDemo(t, config{page: uint(taken.Addr().(*net.TCPAddr).Port)})
	if d.ways.Page == urlOf(taken) {
		t.Fatal("it shares the port")
	}
	var out bytes.Buffer
	d.announce(&out)
	if d.note == "" || !strings.Contains(out.String(), "Note: "+d.note+".\n") {
		t.Errorf("not said:\n%s", out.String())
	}
	get(t, d, "/")
}

// What cannot start must not leave half of itself running.
func TestStartThatFails(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	before := runtime.NumGoroutine()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := start(ctx, config{}); err == nil {
		t.Fatal("it starts")
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "*")); len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
	awaitGoroutines(t, before)
}

// Nobody outside of this machine reaches anything.
func TestEverythingIsOnLoopback(t *testing.T) {
	d := startDemo(t, config{})
	for _, way := range []string{d.ways.HTTPS, d.ways.HTTP, d.ways.Page, d.ways.Proxy, d.ways.App, d.ways.Inner} {
		if !strings.HasPrefix(strings.TrimPrefix(way, "http://"), "127.0.0.1:") {
			t.Errorf("%s is not", way)
		}
	}
}
