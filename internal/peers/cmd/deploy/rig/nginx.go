//go:build linux

package rig

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// An nginx takes a server out when a request to it has failed, for a second, and keeps connections to it.
type nginx struct {
	next    string // proxy_next_upstream
	servers []string
	down    []bool // which are out; nil: none
}

func (n nginx) text(dir, addr string) string {
	var servers strings.Builder
	for i, server := range n.servers {
		fmt.Fprintf(&servers, "server %s max_fails=1 fail_timeout=1s", server)
		if n.down != nil && n.down[i] {
			servers.WriteString(" down")
		}
		servers.WriteString("; ")
	}
	user := ""
	if os.Getuid() == 0 {
		user = "user root;" // workers write into a directory of ours
	}
	return fmt.Sprintf(`
daemon off;
%[1]s
worker_processes 1;
pid %[2]s/nginx.pid;
events { worker_connections 256; }
http {
	access_log off;
	client_body_temp_path %[2]s/body;
	proxy_temp_path %[2]s/proxy;
	fastcgi_temp_path %[2]s/fastcgi;
	uwsgi_temp_path %[2]s/uwsgi;
	scgi_temp_path %[2]s/scgi;
	upstream app { %[3]s keepalive 32; }
	server {
		listen %[4]s;
		server_name app.example; # for requests that name none, as checks of HTTP/1.0
		location / {
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_set_header Host $host;
			proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
			proxy_next_upstream %[5]s;
			proxy_pass http://app;
		}
	}
}
`, user, dir, servers.String(), addr, n.next)
}

// line writes the configuration and returns the command line.
func (n nginx) line(dir, addr string) ([]string, error) {
	config := filepath.Join(dir, "nginx.conf")
	return []string{"-p", dir, "-e", filepath.Join(dir, "error.log"), "-c", config}, os.WriteFile(config, []byte(n.text(dir, addr)), 0o644)
}

// startNginx starts one that nobody tells anything: it sends a request that an instance did not answer to the other one,
// unless it is a POST that may have been read already, which is nginx's default.
func startNginx(ctx context.Context, s *stage) (door, error) {
	addr, err := s.run(ctx, "nginx", "nginx", nginx{next: "error timeout", servers: s.instances}.line)
	return door{addr: addr, back: func(ctx context.Context, _ int) error {
		rest(ctx, 3*time.Second) // fail_timeout, whose clock has seconds: nginx must not take both for dead
		return ctx.Err()
	}}, err
}

// startSidecars starts an nginx for each instance, as on machines that have one of each, and HAProxy in front of those.
// Its checks pass through nginx, which puts X-Forwarded-For on all that it hands on.
func startSidecars(ctx context.Context, s *stage) (door, error) {
	var sidecars []string
	for i, instance := range s.instances {
		addr, err := s.run(ctx, "nginx", fmt.Sprint("nginx", i), nginx{next: "off", servers: []string{instance}}.line)
		if err != nil {
			return door{}, err
		}
		sidecars = append(sidecars, addr)
	}
	return haproxy{}.before(ctx, s, sidecars)
}

// startReloaded starts an nginx that tries nothing twice, and beside it a checker that asks each instance for its health
// and rewrites nginx's list of servers, as ingress controllers and the agents of service registries do.
func startReloaded(ctx context.Context, s *stage) (door, error) {
	c := &checker{nginx: nginx{next: "off", servers: s.instances, down: make([]bool, len(s.instances))}}
	addr, err := s.run(ctx, "nginx", "nginx", func(dir, addr string) ([]string, error) {
		c.dir, c.addr = dir, addr
		return c.nginx.line(dir, addr)
	})
	if err != nil {
		return door{}, err
	}
	c.master = s.processes[len(s.processes)-1]
	s.background(c.run)
	// Before nginx 1.27.4 (keepalive_min_timeout) the old worker closes clients' connections at once when it reloads.
	return door{addr: addr, fresh: true, back: c.back}, nil
}

// reload makes nginx read its configuration again.
func (c *checker) reload() error {
	if _, err := c.nginx.line(c.dir, c.addr); err != nil {
		return err
	}
	return c.master.cmd.Process.Signal(syscall.SIGHUP)
}
