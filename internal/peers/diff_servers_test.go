//go:build linux

package peers

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const diffAnswer = "X-Answer" // the response header in which a server says whom it takes for the client

// startNginxRealIP runs nginx with its realip module, walking the list recursively.
func startNginxRealIP(t *testing.T) func(*testing.T, diffCase) string {
	addr := startPeer(t, peerSpec{binary: "nginx", listen: 1, args: func(dir string, addrs []string) []string {
		conf := writeFile(t, dir, "nginx.conf", nginxRealIP(dir, addrs[0]))
		return []string{"-p", dir, "-c", conf, "-e", filepath.Join(dir, "error.log")}
	}})[0]
	return askServer(addr)
}

func nginxRealIP(dir, addr string) string {
	var trust strings.Builder
	for _, prefix := range diffTrust {
		fmt.Fprintf(&trust, "set_real_ip_from %s;\n", prefix)
	}
	return fmt.Sprintf(`
daemon off;
master_process off;
pid %[1]s/nginx.pid;
events {}
http {
	access_log off;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	%[3]s
	real_ip_header X-Forwarded-For;
	real_ip_recursive on;
	server {
		listen %[2]s;
		add_header %[4]s $remote_addr always;
		return 204;
	}
}
`, dir, addr, trust.String(), diffAnswer)
}

// startModRemoteIP runs Apache httpd with mod_remoteip. The trusted networks are its "internal" proxies: merely
// "trusted" ones may not introduce a private address.
func startModRemoteIP(t *testing.T) func(*testing.T, diffCase) string {
	addr := startPeer(t, peerSpec{binary: "apache2", listen: 1, args: func(dir string, addrs []string) []string {
		conf := writeFile(t, dir, "httpd.conf", modRemoteIP(dir, addrs[0]))
		return []string{"-f", conf, "-X"}
	}})[0]
	ask := askServer(addr)
	return func(t *testing.T, c diffCase) string {
		if namesSomebody(c) {
			return diffNotAsked
		}
		return ask(t, c)
	}
}

// diffNotAsked is the answer of a peer that a case must not be put to.
const diffNotAsked = "not asked"

// namesSomebody tells whether an entry could be a host name. The module hands entries to the resolver, and a test asks
// no name server.
func namesSomebody(c diffCase) bool {
	for _, entry := range strings.Split(strings.Join(c.lines, ","), ",") {
		entry = strings.TrimSpace(entry)
		if entry != "" && strings.Trim(entry, "abcdefghijklmnopqrstuvwxyz") == "" {
			return true
		}
	}
	return false
}

func modRemoteIP(dir, addr string) string {
	return fmt.Sprintf(`
ServerRoot %[1]s
DefaultRuntimeDir %[1]s
Mutex fcntl:%[1]s
ServerName localhost
LoadModule mpm_event_module %[2]s/mod_mpm_event.so
LoadModule authz_core_module %[2]s/mod_authz_core.so
LoadModule headers_module %[2]s/mod_headers.so
LoadModule remoteip_module %[2]s/mod_remoteip.so
User nobody
Group nogroup
PidFile %[1]s/httpd.pid
ErrorLog %[1]s/error.log
DocumentRoot %[1]s
Listen %[3]s
RemoteIPHeader X-Forwarded-For
RemoteIPInternalProxy %[4]s
Header always set %[5]s "expr=%%{REMOTE_ADDR}"
`, dir, modulesDir(), addr, strings.Join(diffTrust, " "), diffAnswer)
}

// modulesDir is where the distribution keeps Apache's modules.
func modulesDir() string {
	for _, dir := range []string{"/usr/lib/apache2/modules", "/usr/lib64/httpd/modules", "/usr/local/apache2/modules"} {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return dir
		}
	}
	return "modules" // of ServerRoot: the server will say what it misses
}

// askServer sends cases to a server, byte for byte, and reads its answer from the response header.
func askServer(addr string) func(*testing.T, diffCase) string {
	return func(t *testing.T, c diffCase) string {
		t.Helper()
		conn, err := net.DialTimeout("tcp", addr, time.Second)
		require.NoError(t, err)
		defer conn.Close()
		require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
		_, err = io.WriteString(conn, rawRequest(c))
		require.NoError(t, err)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err)
		defer resp.Body.Close()
		return resp.Header.Get(diffAnswer)
	}
}

func rawRequest(c diffCase) string {
	var text strings.Builder
	text.WriteString("GET / HTTP/1.1\r\nHost: " + diffHost + "\r\nConnection: close\r\n")
	for _, line := range c.lines {
		text.WriteString(c.header + ": " + line + "\r\n")
	}
	return text.String() + "\r\n"
}
