package main

import (
	"net/http"
	"os"
	"path/filepath"
	"reflect"
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
	if _, err := findNginx(nginxPlaces...); err != nil {
		t.Skip(err)
	}
	d, err := start(t.Context(), config{nginx: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.nginx.cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	select {
	case err := <-d.failed:
		if !strings.Contains(err.Error(), "nginx ended") {
			t.Error(err)
		}
	case <-time.After(5 * time.Second):
		t.Error("nobody noticed")
	}
	if err := d.close(); err != nil {
		t.Error(err)
	}
}

// What nginx says about its configuration reaches the visitor.
func TestNginxThatDoesNotStart(t *testing.T) {
	n, err := findNginx(nginxPlaces...)
	if err != nil {
		t.Skip(err)
	}
	err = n.start(t.Context(), t.TempDir(), []nginxServer{{addr: "no address:1", socket: "/none"}}, make(chan error, 1))
	if err == nil || !strings.Contains(err.Error(), `"no"`) && !strings.Contains(err.Error(), "listen") {
		t.Errorf("not in its own words: %v", err)
	}
	if err := n.stop(); err != nil {
		t.Error(err)
	}
}

func TestNginxConf(t *testing.T) {
	text := nginxConf("/dir", []nginxServer{{"127.0.0.1:1", "/a.sock", schemeOwn}, {"127.0.0.1:2", "/b.sock", schemePasses}})
	for _, want := range []string{
		`pid "/dir/nginx.pid";`, "listen 127.0.0.1:1;", "listen 127.0.0.1:2;", "proxy_pass http://unix:/a.sock;", "proxy_pass http://unix:/b.sock;",
		"X-Forwarded-Proto $scheme;", "X-Forwarded-Proto $http_x_forwarded_proto;",
	} {
		if strings.Count(text, want) != 1 {
			t.Errorf("%q stands %d times in\n%s", want, strings.Count(text, want), text)
		}
	}
}

// What imitates nginx hands on what nginx does, to each of its hosts.
func TestImitation(t *testing.T) {
	var arrived [][]http.Header
	eachSetup(t, func(t *testing.T, d *demo) {
		arrived = append(arrived, []http.Header{forgedHeaders(t, d, hostNginx), forgedHeaders(t, d, hostFixed)})
	})
	if len(arrived) == 2 && !reflect.DeepEqual(arrived[0], arrived[1]) {
		t.Errorf("the imitation:\n%v\nnginx:\n%v", arrived[0], arrived[1])
	}
}

// forgedHeaders are what arrives of forged headers at the application behind
// nginx. Left out is what cannot be the same twice.
func forgedHeaders(t *testing.T, d *demo, host string) http.Header {
	t.Helper()
	forged := d.through(host, "", "",
		"X-Forwarded-For: 6.6.6.6", "X-Forwarded-Host: evil.example", "X-Forwarded-Proto: http", "Forwarded: for=6.6.6.6", "X-Other: x")
	j, err := d.travel(forged, &http.Request{})
	if err != nil {
		t.Fatal(err)
	}
	h := j.Stages[2].header.Clone()
	if !strings.HasPrefix(h.Get("X-Forwarded-For"), "6.6.6.6, 203.0.113.10, ") {
		t.Errorf("%s: X-Forwarded-For %q", host, h.Get("X-Forwarded-For"))
	}
	h.Del("X-Forwarded-For") // ends in the address that the balancer connects from
	h.Del("X-Amzn-Trace-Id")
	h.Del("Connection") // is nginx's own, which keeps none to the application
	return h
}
