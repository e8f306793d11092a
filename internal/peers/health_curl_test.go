//go:build linux

package peers

import (
	"context"
	"net/http"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/redirect"
)

// healthCurl runs curl against a door and returns the status and the version of HTTP that it saw, and the answer.
func healthCurl(t *testing.T, d door, path string, args ...string) (seen, answer string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), exchangeTime)
	defer cancel()
	line := append([]string{"-s", "-k", "--noproxy", "*", "-w", "|%{http_code} %{http_version}"}, args...)
	out, err := exec.CommandContext(ctx, findPeer(t, "curl"), append(line, d.url(path))...).Output()
	require.NoError(t, err, "curl %v", args)
	answer, seen, _ = strings.Cut(string(out), "|")
	return seen, answer
}

// Probes by curl, in every version of HTTP that it speaks: the answer is the same, and nothing further in is asked.
func TestHealthByCurl(t *testing.T) {
	paths := map[string]string{"/healthz": "503", "/readyz": "503", "/livez": "200", "/startupz": "200"}
	for _, row := range []struct {
		name, version string
		secure        bool
		args          []string
	}{
		{"HTTP/1.0", "1", false, []string{"--http1.0"}},
		{"HTTP/1.0 without Host", "1", false, []string{"--http1.0", "-H", "Host:"}},
		{"HTTP/1.1 by IP", "1.1", false, nil},
		{"a Host of nobody's", "1.1", false, []string{"-H", "Host: evil.example"}},
		{"h2c", "2", false, []string{"--http2-prior-knowledge"}},
		{"TLS without SNI, HTTP/1.1", "1.1", true, []string{"--http1.1"}},
		{"TLS without SNI, HTTP/2", "2", true, []string{"--http2"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			h := plainHealth(t)
			d := serveHealth(t, h, row.secure)
			seen, answer := healthCurl(t, d, "/healthz?from=curl", row.args...)
			require.Equal(t, "200 "+row.version, seen)
			require.Equal(t, "ok\n", answer)
			h.Drain()
			for path, status := range paths {
				seen, _ := healthCurl(t, d, path, row.args...)
				require.Equal(t, status+" "+row.version, seen, path)
			}
			seen, answer = healthCurl(t, d, "/healthz", append(row.args, "--head")...)
			require.Equal(t, "503 "+row.version, seen[strings.LastIndex(seen, "|")+1:])
			require.Contains(t, strings.ToLower(answer), "cache-control: no-store")
		})
	}
}

// A kubelet: by the pod's address, a connection for each probe, and every answer from 200 to 399 is a success, so a
// redirect to https would be one too, whatever the service is like. The whole chain of this module is behind the probe.
func TestHealthByKubelet(t *testing.T) {
	h := plainHealth(t)
	chain := h.Wrap(forwarded.Must(forwarded.Behind(forwarded.ALB("192.0.2.0/24"))).Wrap(
		redirect.Must(redirect.New(redirect.Config{Canonical: "www.example.com", Logger: quietLogger()})).Wrap(http.NotFoundHandler())))
	addr := listenFront(t, "127.0.0.1:0", chain, false)
	require.Equal(t, 200, probeOnce(t, "http://"+addr+"/readyz"))
	require.Equal(t, 200, probeOnce(t, "http://"+addr+"/livez"))
	probers := h.Snapshot().Probers
	require.Len(t, probers, 1)
	require.Equal(t, "kube-probe/1.37", probers[0].Agent)
	h.Drain()
	require.Equal(t, 503, probeOnce(t, "http://"+addr+"/readyz"))
	require.Equal(t, 200, probeOnce(t, "http://"+addr+"/livez"), "who leaves must not be killed for it")
}
