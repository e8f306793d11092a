//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// The settings of the installed proxies: what their manuals recommend for much traffic on two cores, no access log, and
// X-Forwarded-For, -Proto and -Host for the backend. What is not written is the proxy's default.

// nginxArgs gives request bodies more memory than by default, where one of 16 KiB goes through a file.
func nginxArgs(s site) ([]string, error) {
	path, err := s.write("nginx.conf", fmt.Sprintf(`
daemon off;
pid %[1]s/nginx.pid;
worker_processes 2;
events { worker_connections 4096; }
http {
	access_log off;
	client_body_buffer_size 64k;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	map $http_upgrade $connection_upgrade {
		default upgrade;
		'' '';
	}
	upstream app {
		server %[3]s;
		keepalive 128;
	}
	server {
		listen %[2]s;
		location / {
			proxy_pass http://app;
			proxy_http_version 1.1;
			proxy_set_header Host $http_host;
			proxy_set_header Connection $connection_upgrade;
			proxy_set_header Upgrade $http_upgrade;
			proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
			proxy_set_header X-Forwarded-Proto $scheme;
			proxy_set_header X-Forwarded-Host $http_host;
		}
	}
}
`, s.dir, s.listen, s.upstream))
	return []string{"-p", s.dir, "-e", filepath.Join(s.dir, "error.log"), "-c", path}, err
}

func haproxyArgs(s site) ([]string, error) {
	path, err := s.write("haproxy.cfg", fmt.Sprintf(`
global
	nbthread 2
	maxconn 4096
defaults
	mode http
	timeout connect 5s
	timeout client 60s
	timeout server 60s
	timeout tunnel 60s
	option forwardfor
	option http-no-delay
	http-reuse always
frontend front
	bind %s
	http-request set-header X-Forwarded-Proto http
	http-request set-header X-Forwarded-Host %%[req.hdr(host)]
	default_backend app
backend app
	server app %s
`, s.listen, s.upstream))
	return []string{"-db", "-f", path}, err
}

func caddyArgs(s site) ([]string, error) {
	port := s.listen[strings.LastIndexByte(s.listen, ':')+1:]
	path, err := s.write("Caddyfile", fmt.Sprintf(`
{
	admin off
	auto_https off
}
http://:%s {
	bind 127.0.0.1
	reverse_proxy %s {
		transport http {
			keepalive_idle_conns 512
			keepalive_idle_conns_per_host 512
			compression off
		}
	}
}
`, port, s.upstream))
	return []string{"run", "--adapter", "caddyfile", "--config", path}, err
}

// apacheModules are those that Debian builds as files of their own; what another build has inside needs no line.
var apacheModules = []string{"mpm_event", "authz_core", "proxy", "proxy_http", "headers"}

func apacheArgs(s site) ([]string, error) {
	var load strings.Builder
	for _, name := range apacheModules {
		file := "/usr/lib/apache2/modules/mod_" + name + ".so"
		if _, err := os.Stat(file); err == nil {
			fmt.Fprintf(&load, "LoadModule %s_module %s\n", name, file)
		}
	}
	path, err := s.write("httpd.conf", fmt.Sprintf(`
ServerRoot %[1]s
DefaultRuntimeDir %[1]s
PidFile %[1]s/httpd.pid
ErrorLog %[1]s/error.log
Mutex fcntl:%[1]s
ServerName bench.example
User www-data
Group www-data
%[2]s
Listen %[3]s
KeepAlive On
MaxKeepAliveRequests 0
ThreadsPerChild 64
RequestHeader set X-Forwarded-Proto http
ProxyPreserveHost On
ProxyPass / http://%[4]s/ upgrade=websocket
`, s.dir, load.String(), s.listen, s.upstream))
	return []string{"-DFOREGROUND", "-f", path}, err
}
