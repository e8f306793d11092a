package albtest

import (
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// whoHandler answers with what a handler sees of a connection.
var whoHandler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	remote, _, _ := net.SplitHostPort(r.RemoteAddr)
	local := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	w.Header().Set("Location", "/elsewhere")
	w.WriteHeader(http.StatusFound)
	_, _ = io.WriteString(w, remote+" -> "+local.String()+" for "+r.Host+" "+r.Proto)
})

// direct is what Server.Direct gives.
func direct(t *testing.T, h *TargetGroupHandle) *http.Client {
	c := &clients{}
	t.Cleanup(c.close)
	return c.client("direct", func() *http.Transport { return pastBalancer(h.group) })
}

func getBody(t *testing.T, c *http.Client, url string) string {
	t.Helper()
	resp, err := c.Get(url)
	require.NoError(t, err)
	defer resp.Body.Close()
	assert.Equal(t, http.StatusFound, resp.StatusCode, "redirects are not followed")
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return string(body)
}

func TestDirect(t *testing.T) {
	onEach(t, func(t *testing.T, n network) {
		a, err := newAuthority()
		require.NoError(t, err)
		env := &environment{network: n, nodes: testNodes, certificate: a.certificate}
		for _, tc := range []struct {
			cfg       TargetGroup
			url, want string
		}{
			{TargetGroup{}, "http://203.0.113.80/x", "198.51.100.66 -> 10.0.16.10:80 for 203.0.113.80 HTTP/1.1"},
			{TargetGroup{ProtocolVersion: GRPC}, "http://any.example/", "198.51.100.66 -> 10.0.16.11:80 for any.example HTTP/2.0"},
			{TargetGroup{Protocol: HTTPS}, "https://any.example/", "198.51.100.66 -> 10.0.16.12:443 for any.example HTTP/2.0"},
		} {
			tc.cfg.Targets = []Target{{Handler: whoHandler}}
			h := startGroupIn(t, tc.cfg, false, env)
			assert.Equal(t, tc.want, getBody(t, direct(t, h), tc.url))
		}
	})
}

func TestDirectGoesToTheFirstTarget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := startGroup(t, TargetGroup{DeregistrationDelay: NoDelay})
		client := direct(t, h)
		_, err := client.Get("http://x/")
		assert.ErrorContains(t, err, `group "app" has no target`)

		_, err = h.Register(Target{Handler: whoHandler}, Target{Handler: whoHandler})
		require.NoError(t, err)
		assert.Contains(t, getBody(t, client, "http://x/"), "10.0.16.10:80")
		client.CloseIdleConnections()
		require.NoError(t, h.Deregister("10.0.16.10:80"))
		assert.Contains(t, getBody(t, client, "http://x/"), "10.0.16.11:80")
		client.CloseIdleConnections()
		require.NoError(t, h.Deregister("10.0.16.11:80"))
		assert.Contains(t, getBody(t, client, "http://x/"), "10.0.16.10:80", "the machine is there still")
		require.NoError(t, h.Kill("10.0.16.10:80"))
		_, err = client.Get("http://x/")
		assert.ErrorIs(t, err, syscall.ECONNREFUSED)
	})
}

// On the loopback network a handler sees the node that probes it, as well.
func TestProbesComeFromNodesOnLoopback(t *testing.T) {
	before := runtime.NumGoroutine()
	seen := make(chan string, len(testNodes))
	env := &environment{network: newLoopback(netip.MustParseAddr("203.0.113.10")), nodes: testNodes}
	h := startGroupIn(t, TargetGroup{Targets: []Target{{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			remote, _, _ := net.SplitHostPort(r.RemoteAddr)
			seen <- remote
		}),
	}}}, true, env)
	require.NoError(t, h.WaitHealthy(t.Context()))
	assert.ElementsMatch(t, []string{"10.0.0.10", "10.0.1.10"}, []string{<-seen, <-seen})

	h.group.close()
	h.group.close() // twice is permitted
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		require.True(t, time.Now().Before(deadline), "goroutines are left")
	}
}

// A real server, such as an nginx, is a target by its address.
func TestRealAddressOnLoopback(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	s := &http.Server{Handler: okTarget.Handler}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	defer func() {
		_ = s.Close()
		<-done
	}()
	env := &environment{network: newLoopback(netip.MustParseAddr("203.0.113.10")), nodes: testNodes}
	h := startGroupIn(t, TargetGroup{Targets: []Target{{Addr: l.Addr().String()}}}, true, env)
	require.NoError(t, h.WaitHealthy(t.Context()))
	assert.Equal(t, l.Addr().String(), only(h).Target)

	machine := netip.MustParseAddr("127.0.0.1")
	_, err = h.Register(Target{Handler: okTarget.Handler, IP: machine, Port: 1}, Target{Absent: true, IP: machine, Port: 2})
	require.NoError(t, err)
	assert.NoError(t, h.Wait(t.Context(), Unhealthy, "127.0.0.1:2"))
	c, err := h.group.dialDirect(t.Context(), "", "")
	require.NoError(t, err, "the real one is reached still")
	assert.NoError(t, c.Close())
}

// An absent machine is absent even if the real network has one at its address.
func TestAbsentOnLoopback(t *testing.T) {
	n := newLoopback(netip.MustParseAddr("203.0.113.10"))
	h := startGroupIn(t, TargetGroup{Targets: []Target{{Absent: true}}}, true, &environment{network: n, nodes: testNodes})
	require.NoError(t, h.Wait(t.Context(), Unhealthy))
	assert.Equal(t, FailedHealthChecks, only(h).Reason)
	assert.True(t, n.hosts[netip.MustParseAddr("10.0.16.10")])
}

func TestClientsShareConnectionsOnly(t *testing.T) {
	c := &clients{}
	build := func() *http.Transport { return &http.Transport{} }
	a, b := c.client("x", build), c.client("x", build)
	assert.Same(t, a.Transport, b.Transport)
	assert.NotSame(t, a, b)
	assert.NotSame(t, a.Transport, c.client("y", build).Transport)
	assert.Nil(t, a.Transport.(*http.Transport).Proxy, "nothing from the environment")
}
