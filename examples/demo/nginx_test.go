package main

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// nginxPID is the process of the nginx whose files are below dir, or 0.
func nginxPID(dir string) int {
	names, _ := filepath.Glob(filepath.Join(dir, "*", "nginx.pid"))
	if len(names) == 0 {
		return 0
	}
	text, _ := os.ReadFile(names[0])
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return pid
}

func alive(pid int) bool {
	p, err := os.FindProcess(pid)
	return err == nil && p.Signal(syscall.Signal(0)) == nil
}

func TestNginxThatIsNotInstalled(t *testing.T) {
	_, err := findNginx("no-such-nginx", filepath.Join(t.TempDir(), "nginx"))
	if err == nil || !strings.Contains(err.Error(), "apt-get install nginx-light") {
		t.Errorf("no help in %v", err)
	}
}

// An nginx that ends by itself ends the demo, which says why.
func TestNginxThatEnds(t *testing.T) {
	d := startDemo(t, config{nginx: true, nginxScheme: schemePasses})
	if err := d.nginx.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-d.failed:
		if !strings.Contains(err.Error(), "nginx ended") {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Error("nobody noticed")
	}
}

// What nginx says about its configuration reaches the visitor.
func TestNginxThatDoesNotStart(t *testing.T) {
	n, err := findNginx(nginxPlaces...)
	if err != nil {
		t.Skip(err)
	}
	n.port = 1 // nobody listens there, so that it would be waited for
	c := nginxConf{dir: t.TempDir(), port: 1, from: "no address", upstream: "127.0.0.1:1"}
	err = n.start(t.Context(), c, make(chan error, 1))
	if err == nil || !strings.Contains(err.Error(), "invalid address") && !strings.Contains(err.Error(), "proxy_bind") {
		t.Errorf("not in its own words: %v", err)
	}
	if err := n.stop(); err != nil {
		t.Error(err)
	}
}

func TestNginxConf(t *testing.T) {
	c := nginxConf{dir: "/dir", port: 8082, from: "127.0.0.3", scheme: schemeOwn, upstream: "127.0.0.1:8081"}
	for _, want := range []string{"listen 127.0.0.1:8082;", "proxy_bind 127.0.0.3;", "X-Forwarded-Proto $scheme;", "proxy_pass http://127.0.0.1:8081;"} {
		if !strings.Contains(c.text(), want) {
			t.Errorf("%q is not in\n%s", want, c.text())
		}
	}
	c.v6, c.from, c.scheme = true, "unix", schemePasses
	if text := c.text(); !strings.Contains(text, "listen [::1]:8082;") || strings.Contains(text, "proxy_bind") ||
		!strings.Contains(text, "X-Forwarded-Proto $http_x_forwarded_proto;") {
		t.Errorf("not what was asked for:\n%s", text)
	}
}
