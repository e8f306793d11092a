//go:build linux

package peers

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/healthcheck"
)

// Numbers of the keep-alive race.
const (
	raceDelay    = 5 * time.Millisecond   // from one end of the network to the other
	raceIdle     = 100 * time.Millisecond // what a server that is too quick allows
	racePool     = 300 * time.Millisecond // nginx's keepalive_timeout for upstreams
	raceRequests = 30
)

// A server that closes idle connections earlier than the proxy in front loses the requests that are on their way just
// then, with a real HAProxy and a real nginx; with the profile of that proxy it loses none. They are POSTs, which
// neither proxy sends twice, and their pauses are aimed at the moment in which one side gives a connection up.
func TestKeepAliveRace(t *testing.T) {
	if testing.Short() {
		t.Skip("pauses for seconds")
	}
	quick := healthcheck.Profile{Idle: raceIdle / 2, Margin: raceIdle / 2}
	type row struct {
		name    string
		front   func(*testing.T, string) string
		profile healthcheck.Profile
		pause   time.Duration
		lossy   bool
	}
	rows := []row{
		{"HAProxy, too quick a server", raceHAProxy, quick, raceIdle, true},
		{"HAProxy, profile", raceHAProxy, healthcheck.ALB(), raceIdle, false},
		{"nginx, too quick a server", raceNginx, quick, raceIdle, true},
		{"nginx, profile", raceNginx, healthcheck.Profile{Idle: racePool, Margin: raceIdle}, raceIdle, false},
		{"nginx, profile, aimed at its own limit", raceNginx, healthcheck.Profile{Idle: racePool, Margin: raceIdle}, racePool, false},
	}
	losses := make([][]string, len(rows))
	var all sync.WaitGroup
	for i, row := range rows { // all at once: they mostly wait
		addr := row.front(t, startRelay(t, startEcho(t, row.profile)))
		all.Go(func() { losses[i] = raceLosses("http://"+addr, row.pause) })
	}
	all.Wait()
	for i, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Logf("%d of %d lost: %v", len(losses[i]), raceRequests, losses[i])
			assert.Equal(t, row.lossy, len(losses[i]) > 0)
		})
	}
}

// startEcho is a server whose time-outs are those of a profile.
func startEcho(t *testing.T, p healthcheck.Profile) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	srv := healthcheck.NewServer("", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	}), p)
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ln) }()
	t.Cleanup(func() { _ = srv.Close(); require.ErrorIs(t, <-done, http.ErrServerClosed) })
	return ln.Addr().String()
}

// raceLosses sends one request after the other over one connection, and returns what went wrong.
func raceLosses(url string, pause time.Duration) (lost []string) {
	client := &http.Client{Transport: new(http.Transport), Timeout: exchangeTime}
	defer client.CloseIdleConnections()
	for n := range raceRequests {
		if err := raceExchange(client, url); err != nil {
			lost = append(lost, fmt.Sprintf("%d: %v", n, err))
		}
		time.Sleep(pause - 3*raceDelay + rand.N(4*raceDelay))
	}
	return lost
}

// raceExchange posts a body that cannot be sent twice, so that nobody on this side repeats it.
func raceExchange(client *http.Client, url string) error {
	resp, err := client.Post(url, "text/plain", io.LimitReader(strings.NewReader("hello"), 5))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if got, err := io.ReadAll(resp.Body); err != nil || string(got) != "hello" {
		return fmt.Errorf("%s, %v", resp.Status, err)
	}
	return nil
}

// raceHAProxy keeps connections to the server, and tries nothing twice.
func raceHAProxy(t *testing.T, upstream string) string {
	return startPeer(t, peerSpec{binary: "haproxy", listen: 1, args: func(dir string, addrs []string) []string {
		return []string{"-db", "-f", writeFile(t, dir, "haproxy.cfg", fmt.Sprintf(`
global
	maxconn 64
defaults
	mode http
	retries 0
	timeout connect 5s
	timeout client 10s
	timeout server 10s
	http-reuse always
frontend front
	bind %s
	default_backend app
backend app
	server app %s
`, addrs[0], upstream))}
	}})[0]
}

func raceNginx(t *testing.T, upstream string) string {
	text, err := os.ReadFile(filepath.Join("testdata", "health-race-nginx.conf"))
	require.NoError(t, err)
	return startPeer(t, peerSpec{binary: "nginx", listen: 1, args: func(dir string, addrs []string) []string {
		conf := strings.NewReplacer("DIR", dir, "LISTEN", addrs[0], "UPSTREAM", upstream, "IDLE", fmt.Sprint(racePool.Milliseconds(), "ms"))
		return []string{"-p", dir, "-e", filepath.Join(dir, "error.log"), "-c", writeFile(t, dir, "nginx.conf", conf.Replace(string(text)))}
	}})[0]
}

// startRelay is a network: bytes, and the end of a connection, take raceDelay from one end to the other.
func startRelay(t *testing.T, upstream string) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var all sync.WaitGroup
	all.Go(func() {
		for {
			near, err := ln.Accept()
			if err != nil {
				return
			}
			all.Go(func() { relay(near, upstream) })
		}
	})
	t.Cleanup(func() { _ = ln.Close(); all.Wait() })
	return ln.Addr().String()
}

// relay carries one connection until one of its ends closes it.
func relay(near net.Conn, upstream string) {
	defer near.Close()
	far, err := net.DialTimeout("tcp", upstream, exchangeTime)
	if err != nil {
		return
	}
	defer far.Close()
	var both sync.WaitGroup
	both.Go(func() { carry(far, near) })
	both.Go(func() { carry(near, far) })
	both.Wait()
}

// carry copies what arrives, each piece after the delay, and closes both ends after the last.
func carry(to, from net.Conn) {
	type piece struct {
		due  time.Time
		data []byte
	}
	pieces := make(chan piece, 64)
	go func() {
		defer close(pieces)
		buf := make([]byte, 4<<10)
		for {
			n, err := from.Read(buf)
			pieces <- piece{time.Now().Add(raceDelay), bytes.Clone(buf[:n])}
			if err != nil {
				return
			}
		}
	}()
	for p := range pieces {
		time.Sleep(time.Until(p.due))
		_, _ = to.Write(p.data) // an end that is gone is found out by reading from it
	}
	_ = to.Close()
	_ = from.Close()
}
