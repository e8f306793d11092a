package healthcheck

import (
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// TestServedAllocatesNothing: what Serve puts around a handler costs a request no
// allocation until there is a drain.
func TestServedAllocatesNothing(t *testing.T) {
	srv := NewServer("", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), ALB())
	newService(mustNew(t, Config{}), []Endpoint{{Server: srv, Listeners: []net.Listener{nil}}})
	w, r := httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
	assert.Zero(t, testing.AllocsPerRun(100, func() { srv.Handler.ServeHTTP(w, r) }))
}

// TestPanicsAreNotInFlight: a handler that panics has ended.
func TestPanicsAreNotInFlight(t *testing.T) {
	traffic := newTraffic(new(Health))
	h := traffic.count(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		assert.False(t, traffic.idle())
		panic(http.ErrAbortHandler)
	}))
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
	assert.Panics(t, func() { h.ServeHTTP(httptest.NewRecorder(), r) })
	assert.True(t, traffic.idle())
}

// TestInFlightOldestFirst: with what was asked for, also if the handler changed
// the request meanwhile.
func TestInFlightOldestFirst(t *testing.T) {
	traffic := newTraffic(new(Health))
	for _, path := range []string{"/first", "/second", "/third"} {
		r := httptest.NewRequestWithContext(t.Context(), "PUT", path, nil)
		traffic.enter(r)
		r.URL.Path, r.Method = "/changed", "GET"
		time.Sleep(time.Millisecond)
	}
	var names []string
	for _, r := range traffic.inFlight() {
		names = append(names, r.Method+" "+r.Path)
	}
	assert.Equal(t, []string{"PUT /first", "PUT /second", "PUT /third"}, names)
}
