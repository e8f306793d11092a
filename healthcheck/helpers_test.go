package healthcheck

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// canary stands for a secret in the text of an error.
const canary = "password=hunter2"

// secretError shows what it holds to every encoder.
type secretError struct{ Text string }

func (e *secretError) Error() string { return e.Text }

var errCanary error = &secretError{"dial postgres: " + canary}

// probe asks a handler once, as a balancer's node at addr does.
func probe(t testing.TB, h http.Handler, path, addr string) int {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.RemoteAddr = addr + ":40000"
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}

// ask returns the status that an endpoint gives.
func ask(t testing.TB, h http.Handler) int { return probe(t, h, "/", "10.0.0.9") }

// a switchable check.
type flag struct{ bad atomic.Bool }

func (f *flag) check(context.Context) error {
	if f.bad.Load() {
		return errCanary
	}
	return nil
}

// start runs h's checks until the test ends.
func start(t *testing.T, h *Health) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	return func() {
		cancel()
		assert.NoError(t, <-done)
	}
}

func mustNew(t *testing.T, cfg Config) *Health {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = new(logLines).logger()
	}
	h, err := New(cfg)
	require.NoError(t, err)
	return h
}

// nobody is a handler that no request may reach.
func nobody(t testing.TB) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("%s %s reached the application", r.Method, r.URL)
	})
}

// teapot is the application.
var teapot = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusTeapot) })
