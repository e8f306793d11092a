package forwarded_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"unicode"

	"github.com/knownhops/knownhops/forwarded"
)

// The addresses of these tests: nginx on the same machine, ALB in two subnets,
// clients in the documentation networks.
const (
	nginxPeer  = "127.0.0.1:40000"
	albPeer    = "10.0.16.5:40000"
	directPeer = "198.51.100.9:40000"
	client     = "203.0.113.7"
	ourHost    = "www.example.com"
)

func nginxHop() forwarded.Hop { return forwarded.Nginx("127.0.0.1") }

func albHop() forwarded.Hop { return forwarded.ALB("10.0.16.0/20", "10.0.32.0/20") }

// passingNginx leaves the scheme alone, as behind an ALB it should.
func passingNginx() forwarded.Hop {
	h := nginxHop()
	h.Proto = forwarded.Passes()
	return h
}

// newPolicy makes a quiet Policy unless cfg has a logger.
func newPolicy(t testing.TB, cfg forwarded.Config) *forwarded.Policy {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	p, err := forwarded.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func behind(t testing.TB, hops ...forwarded.Hop) *forwarded.Policy {
	t.Helper()
	return newPolicy(t, forwarded.Config{Hops: hops})
}

// lines makes a header of "Name: value" lines, the names as they stand there.
func lines(text ...string) http.Header {
	h := http.Header{}
	for _, line := range text {
		name, value, _ := strings.Cut(line, ": ")
		h[name] = append(h[name], value)
	}
	return h
}

// get is a request for our host from peer, as net/http hands it to a handler.
func get(peer string, header ...string) *http.Request {
	return refRequest{remote: peer, host: ourHost, header: lines(header...)}.request()
}

// pass sends r through p and returns what the next handler got; nil if it was
// not called.
func pass(p *forwarded.Policy, r *http.Request) (got *http.Request, rec *httptest.ResponseRecorder) {
	rec = httptest.NewRecorder()
	p.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r })).ServeHTTP(rec, r)
	return got, rec
}

// A logbook keeps what was logged, at every level.
type logbook struct {
	mu      sync.Mutex
	entries []logged
}

type logged struct {
	level   slog.Level
	message string
	attrs   map[string]string
}

func (b *logbook) logger() *slog.Logger { return slog.New(b) }

// Enabled makes a logbook a slog.Handler.
func (b *logbook) Enabled(context.Context, slog.Level) bool { return true }

// WithAttrs is not used by the package under test.
func (b *logbook) WithAttrs([]slog.Attr) slog.Handler { return b }

// WithGroup is not used by the package under test.
func (b *logbook) WithGroup(string) slog.Handler { return b }

// Handle keeps one record.
func (b *logbook) Handle(_ context.Context, r slog.Record) error {
	e := logged{r.Level, r.Message, map[string]string{}}
	r.Attrs(func(a slog.Attr) bool {
		e.attrs[a.Key] = a.Value.String()
		return true
	})
	b.mu.Lock()
	defer b.mu.Unlock()
	b.entries = append(b.entries, e)
	return nil
}

// take returns the entries since the last call.
func (b *logbook) take() []logged {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := b.entries
	b.entries = nil
	return list
}

// codes are the "code" attributes in order; "" for an entry without one.
func codes(list []logged) (codes []string) {
	for _, e := range list {
		codes = append(codes, e.attrs["code"])
	}
	return codes
}

// unprintable finds a character that could end a log line or steer a terminal.
func (e logged) unprintable() bool {
	text := e.message
	for key, value := range e.attrs {
		text += key + value
	}
	return strings.IndexFunc(text, unicode.IsControl) >= 0
}

// testSecret must not be found in anything that is printed.
const testSecret = "s3cr3t-0123456789abcdef"
