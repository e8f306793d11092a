package healthcheck

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// keepAliveRace sends requests over connections that a pool keeps for a second,
// with gaps around the given one, and returns how many failed. It takes a
// millisecond from one end to the other.
func keepAliveRace(t *testing.T, p Profile, gap time.Duration) (sent int, failed []string) {
	w := newWire(time.Millisecond)
	srv := NewServer("", http.HandlerFunc(work), p)
	served := make(chan error)
	l := w.listen("198.51.100.1:80")
	go func() { served <- srv.Serve(l) }()
	transport := &http.Transport{
		IdleConnTimeout: time.Second,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return w.dial(ctx, "10.0.16.7", "198.51.100.1:80")
		},
	}
	one := &load{client: &http.Client{Transport: transport}, url: "http://198.51.100.1/"}
	for off := -4 * time.Millisecond; off <= 4*time.Millisecond; off += 250 * time.Microsecond {
		for range 3 {
			sent++
			if err := one.send(fmt.Sprint(sent)); err != nil {
				failed = append(failed, err.Error())
			}
			time.Sleep(gap + off)
		}
	}
	transport.CloseIdleConnections()
	assert.NoError(t, srv.Shutdown(t.Context()))
	<-served
	return sent, failed
}

// TestKeepAliveRace: who closes idle connections first matters. A server that is
// quicker than the balancer loses requests that its own log never shows, and
// by the profile it is the slower one.
func TestKeepAliveRace(t *testing.T) {
	const pool = time.Second
	for name, row := range map[string]struct {
		p    Profile
		gap  time.Duration
		lost bool
	}{
		"the server gives up first":                  {Profile{Idle: 200 * time.Millisecond, Margin: 50 * time.Millisecond}, 250 * time.Millisecond, true},
		"by the profile":                             {Profile{Idle: pool}, 250 * time.Millisecond, false},
		"by the profile, aimed at the pool's limit":  {Profile{Idle: pool}, pool, false},
		"by the profile, with the least margin here": {Profile{Idle: pool, Margin: 50 * time.Millisecond}, pool, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sent, failed := keepAliveRace(t, row.p, row.gap)
				assert.Equal(t, row.lost, len(failed) > 0, "%d of %d: %v", len(failed), sent, failed)
			})
		})
	}
}

// TestPreopenedConnection: a balancer may open connections before it needs
// them. By its profile the server keeps one for as long as the balancer does;
// time-outs made for clients end it after 10 s.
func TestPreopenedConnection(t *testing.T) {
	for _, row := range []struct {
		p    Profile
		open bool
	}{{ALB(), true}, {Direct(), false}} {
		synctest.Test(t, func(t *testing.T) {
			w := newWire(time.Millisecond)
			srv := NewServer("", http.HandlerFunc(work), row.p)
			l := w.listen("198.51.100.1:80")
			served := make(chan error)
			go func() { served <- srv.Serve(l) }()
			transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
				c, err := w.dial(t.Context(), "10.0.16.7", "198.51.100.1:80")
				time.Sleep(60 * time.Second)
				return c, err
			}}
			err := (&load{client: &http.Client{Transport: transport}, url: "http://198.51.100.1/"}).send("x")
			assert.Equal(t, row.open, err == nil, "%s: %v", row.p.name(), err)
			transport.CloseIdleConnections()
			assert.NoError(t, srv.Shutdown(t.Context()))
			<-served
		})
	}
}
