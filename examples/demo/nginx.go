package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// nginxScheme is what nginx does with X-Forwarded-Proto.
type nginxScheme string

const (
	schemePasses nginxScheme = "$http_x_forwarded_proto" // hands on what the balancer wrote
	schemeOwn    nginxScheme = "$scheme"                 // writes the scheme of the balancer's connection to it
)

// An nginx is a running one, or one that was found and not started yet.
type nginx struct {
	path   string
	cmd    *exec.Cmd
	output bytes.Buffer  // read only once ended is closed
	ended  chan struct{} // nil: not started
	ending chan struct{} // closed when it is meant to end
}

// nginxPlaces are where to look: daemons live where not every PATH leads.
var nginxPlaces = []string{"nginx", "/usr/sbin/nginx", "/usr/local/sbin/nginx"}

// findNginx returns the first that is a program.
func findNginx(candidates ...string) (*nginx, error) {
	for _, candidate := range candidates {
		if path, err := exec.LookPath(candidate); err == nil {
			return &nginx{path: path}, nil
		}
	}
	return nil, errors.New("-nginx needs nginx, and there is none in PATH, /usr/sbin or /usr/local/sbin; " +
		"install it (Debian: apt-get install nginx-light; macOS: brew install nginx) or leave -nginx out")
}

// An nginxServer is one server of nginx's configuration.
type nginxServer struct {
	addr   string // on 127.0.0.1
	socket string // of the application
	scheme nginxScheme
}

// nginxConf is the configuration, whose files are all in dir.
func nginxConf(dir string, servers []nginxServer) string {
	var b strings.Builder
	fmt.Fprintf(&b, nginxTemplate, dir)
	for _, s := range servers {
		fmt.Fprintf(&b, nginxServerTemplate, s.addr, s.scheme, s.socket)
	}
	b.WriteString("}\n")
	return b.String()
}

const nginxTemplate = `daemon off;
master_process off;
pid "%[1]s/nginx.pid";
error_log stderr warn;
events { worker_connections 128; }
http {
	access_log off;
	client_body_temp_path "%[1]s/body";
	proxy_temp_path "%[1]s/proxy";
	fastcgi_temp_path "%[1]s/fastcgi";
	uwsgi_temp_path "%[1]s/uwsgi";
	scgi_temp_path "%[1]s/scgi";
`

const nginxServerTemplate = `	server {
		listen %s;
		location / {
			proxy_set_header Host $host;
			proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
			proxy_set_header X-Forwarded-Proto %s;
			proxy_pass http://unix:%s;
		}
	}
`

// start runs nginx and waits until it accepts connections. If it ends before
// stop is called, failed is told.
func (n *nginx) start(ctx context.Context, dir string, servers []nginxServer, failed chan<- error) error {
	path := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(path, []byte(nginxConf(dir, servers)), 0o600); err != nil {
		return err
	}
	n.cmd = exec.Command(n.path, "-p", dir, "-e", "stderr", "-c", path)
	n.cmd.Stdout, n.cmd.Stderr = &n.output, &n.output
	bind(n.cmd)
	if err := n.cmd.Start(); err != nil {
		return err
	}
	n.ended, n.ending = make(chan struct{}), make(chan struct{})
	go n.wait(failed)
	for _, s := range servers {
		if err := n.ready(ctx, s.addr); err != nil {
			return err
		}
	}
	return nil
}

func (n *nginx) wait(failed chan<- error) {
	err := n.cmd.Wait()
	close(n.ended)
	select {
	case <-n.ending:
	default:
		failed <- n.problem(err)
	}
}

// problem is the end of nginx in its own words. It has ended.
func (n *nginx) problem(err error) error {
	return fmt.Errorf("nginx ended (%v): %s", err, strings.TrimSpace(n.output.String()))
}

// ready waits for one address: nginx opens one after the other.
func (n *nginx) ready(ctx context.Context, addr string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for !somebodyAt(addr) {
		select {
		case <-n.ended:
			return n.problem(errors.New("it does not start"))
		case <-ctx.Done():
			return fmt.Errorf("nginx does not listen on %s: %w", addr, ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}

// somebodyAt reports whether a connection is accepted there.
func somebodyAt(addr string) bool {
	conn, err := net.DialTimeout("tcp", addr, 200*time.Millisecond)
	if err != nil {
		return false
	}
	conn.Close()
	return true
}

// stop asks nginx to end, and makes it end.
func (n *nginx) stop() error {
	if n.ended == nil {
		return nil
	}
	close(n.ending)
	if n.cmd.Process.Signal(syscall.SIGTERM) == nil {
		select {
		case <-n.ended:
			return nil
		case <-time.After(2 * time.Second):
		}
	}
	err := n.cmd.Process.Kill()
	<-n.ended
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}
