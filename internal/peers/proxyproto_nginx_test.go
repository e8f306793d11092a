//go:build linux

package peers

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/forwarded"
)

// streamModule is where Debian puts what nginx does not have built in.
const streamModule = "/usr/lib/nginx/modules/ngx_stream_module.so"

// startNginxStream returns a door that passes bytes to upstream behind a PROXY header.
func startNginxStream(t *testing.T, upstream string) door {
	t.Helper()
	if _, err := os.Stat(streamModule); err != nil {
		require.NotEqual(t, "required", os.Getenv("PEERS"), "nginx has no stream module: libnginx-mod-stream is missing")
		t.Skip("peer left out: nginx has no stream module")
	}
	addrs := startPeer(t, peerSpec{binary: "nginx", listen: 1, args: func(dir string, addrs []string) []string {
		conf := writeFile(t, dir, "nginx.conf", fmt.Sprintf(`
load_module %s;
daemon off;
master_process off;
pid %s/nginx.pid;
events { worker_connections 128; }
stream {
	server {
		listen %s;
		proxy_pass %s;
		proxy_protocol on;
	}
}
`, streamModule, dir, addrs[0], upstream))
		return []string{"-p", dir, "-e", filepath.Join(dir, "error.log"), "-c", conf}
	}})
	return door{addr: addrs[0]}
}

func TestNginxSendsPROXY(t *testing.T) {
	b := startBackend(t, "tcp", false, forwarded.NLBTCP("127.0.0.1"))
	u := startBackend(t, "unix", false, forwarded.NLBTCP("unix"))
	for upstream, to := range map[string]*backend{b.addr: b, "unix:" + u.addr: u} {
		d := startNginxStream(t, upstream)
		source := d.visit(t, clientAddr, "http/1.1")
		requireVisit(t, to.take(t, "/visit"), source, d, 1)
	}
}

// nginx passes TLS through, and HTTP/2 in it.
func TestNginxStreamPassesTLS(t *testing.T) {
	b := startBackend(t, "tcp", true, forwarded.NLBTCP("127.0.0.1"))
	d := startNginxStream(t, b.addr)
	d.tls = true
	source := d.visit(t, clientAddr, "h2")
	g := b.take(t, "/visit")
	requireVisit(t, g, source, d, 1)
	require.Equal(t, "HTTP/2.0", g.Proto)
	require.Equal(t, forwarded.HTTPS, g.Info.Scheme)
}
