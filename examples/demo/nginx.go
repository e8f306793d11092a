package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// What nginx does with X-Forwarded-Proto.
const (
	schemePasses = "passes" // hands on what the balancer wrote
	schemeOwn    = "scheme" // writes the scheme of the balancer's connection to it
)

// An nginx is a running one, or one that was found and not started yet.
type nginx struct {
	path   string
	port   uint16
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

// nginxConf is what its configuration depends on.
type nginxConf struct {
	dir      string
	port     uint16
	v6       bool   // listens on [::1] as well, for the balancer
	from     string // where it connects from; "unix": upstream is a socket
	scheme   string
	upstream string
}

func (c nginxConf) text() string {
	listen := fmt.Sprintf("listen 127.0.0.1:%d;", c.port)
	if c.v6 {
		listen += fmt.Sprintf(" listen [::1]:%d;", c.port)
	}
	bind := ""
	if c.from != "unix" {
		bind = "proxy_bind " + c.from + ";"
	}
	return fmt.Sprintf(nginxTemplate, c.dir, listen, bind, c.protoLine(), c.upstream)
}

// protoLine is the line that decides whether the client's scheme survives.
func (c nginxConf) protoLine() string {
	if c.scheme == schemeOwn {
		return "proxy_set_header X-Forwarded-Proto $scheme;"
	}
	return "proxy_set_header X-Forwarded-Proto $http_x_forwarded_proto;"
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
	server {
		%[2]s
		location / {
			%[3]s
			proxy_set_header Host $host;
			proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
			%[4]s
			proxy_pass http://%[5]s;
		}
	}
}
`

// start runs nginx and waits until it accepts connections. If it ends before
// stop is called, failed is told.
func (n *nginx) start(ctx context.Context, c nginxConf, failed chan<- error) error {
	path := filepath.Join(c.dir, "nginx.conf")
	if err := os.WriteFile(path, []byte(c.text()), 0o600); err != nil {
		return err
	}
	n.cmd = exec.Command(n.path, "-p", c.dir, "-e", "stderr", "-c", path)
	n.cmd.Stdout, n.cmd.Stderr = &n.output, &n.output
	bind(n.cmd)
	if err := n.cmd.Start(); err != nil {
		return err
	}
	n.ended, n.ending = make(chan struct{}), make(chan struct{})
	go n.wait(failed)
	return n.ready(ctx, c.v6)
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

// ready waits for each address: nginx opens one after the other.
func (n *nginx) ready(ctx context.Context, v6 bool) error {
	addr := fmt.Sprintf("127.0.0.1:%d", n.port)
	if v6 {
		if err := n.ready(ctx, false); err != nil {
			return err
		}
		addr = fmt.Sprintf("[::1]:%d", n.port)
	}
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
