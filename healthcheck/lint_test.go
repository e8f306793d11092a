package healthcheck

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// codes returns the codes of findings.
func findingCodes(found []Finding) (list []string) {
	for _, f := range found {
		list = append(list, f.Code)
	}
	return list
}

// TestLint has a row for everything that it finds, and for what only looks alike.
func TestLint(t *testing.T) {
	with := func(p Profile, change func(*Profile)) Profile { change(&p); return p }
	for _, row := range []struct {
		name string
		p    Profile
		set  func(*http.Server)
		want []string
	}{
		{"idle below the balancer's", ALB(), func(s *http.Server) { s.IdleTimeout = 15 * time.Second }, []string{"idle_too_short"}},
		{"idle equal to the balancer's", ALB(), func(s *http.Server) { s.IdleTimeout = time.Minute }, []string{"idle_too_short"}},
		{"idle right for another balancer", GoogleCloud(), func(s *http.Server) { s.IdleTimeout = 75 * time.Second }, []string{"idle_too_short"}},
		{"no idle time-out behind a balancer, which ends them", ALB(), func(s *http.Server) { s.IdleTimeout = 0 }, nil},
		{"no idle time-out for clients", Direct(), func(s *http.Server) { s.IdleTimeout = 0 }, []string{"idle_unlimited"}},
		{"read time-out becomes the idle time-out", ALB(), func(s *http.Server) { s.IdleTimeout, s.ReadTimeout = 0, 10*time.Second },
			[]string{"read_timeout_is_idle", "idle_too_short", "read_timeout"}},
		{"a long read time-out is one all the same", ALB(), func(s *http.Server) { s.IdleTimeout, s.ReadTimeout = 0, time.Hour },
			[]string{"read_timeout_is_idle", "read_timeout"}},
		{"read time-out", ALB(), func(s *http.Server) { s.ReadTimeout = time.Minute }, []string{"read_timeout"}},
		{"write time-out", ALB(), func(s *http.Server) { s.WriteTimeout = time.Minute }, []string{"write_timeout"}},
		{"write time-out without a balancer", Direct(), func(s *http.Server) { s.WriteTimeout = time.Minute }, []string{"write_timeout"}},
		{"connections opened in advance", ALB(), func(s *http.Server) { s.ReadHeaderTimeout = 10 * time.Second }, []string{"read_header_too_short"}},
		{"and the same by the read time-out", ALB(), func(s *http.Server) { s.ReadHeaderTimeout, s.ReadTimeout = 0, 10*time.Second },
			[]string{"read_timeout", "read_header_too_short"}},
		{"no limit for a header behind a balancer", ALB(), func(s *http.Server) { s.ReadHeaderTimeout = 0 }, nil},
		{"no limit for a header of clients", Direct(), func(s *http.Server) { s.ReadHeaderTimeout = 0 }, []string{"no_read_header_timeout"}},
		{"headers that the balancer lets through", ALB(), func(s *http.Server) { s.MaxHeaderBytes = 4 << 10 }, []string{"request_header_limit"}},
		{"no handler", ALB(), func(s *http.Server) { s.Handler = nil }, []string{"no_handler"}},
		{"h2c missing", with(ALB(), func(p *Profile) { p.H2C = true }), func(s *http.Server) { s.Protocols = nil }, []string{"no_h2c"}},
		{"AWS's defaults: 60 s of probes, 30 s to live", with(ALB(), func(p *Profile) { p.ProbeInterval = 30 * time.Second }), nil,
			[]string{"wait_too_short", "kill_budget"}},
		{"the same with time", with(ALB(), func(p *Profile) {
			p.ProbeInterval, p.Wait, p.KillBudget = 30*time.Second, 75*time.Second, 120*time.Second
		}), nil, nil},
		{"a wait that does not fit", with(ALB(), func(p *Profile) { p.Wait = 25 * time.Second }), nil, []string{"kill_budget"}},
		{"no budget known", with(ALB(), func(p *Profile) { p.Wait, p.KillBudget = time.Hour, 0 }), nil, nil},
		{"shutdown below 6 s", with(ALB(), func(p *Profile) { p.Shutdown = 5 * time.Second }), nil, []string{"shutdown_too_short"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			srv := NewServer("127.0.0.1:0", http.NotFoundHandler(), row.p)
			if row.set != nil {
				row.set(srv)
			}
			found := Lint(srv, row.p)
			assert.Equal(t, row.want, findingCodes(found))
			for _, f := range found {
				assert.NotEmpty(t, f.Field)
				assert.NotEmpty(t, f.Message)
				assert.NotEmpty(t, f.Fix)
			}
		})
	}
}

// TestLintNamesBothNumbers: with AWS's defaults a drain cannot work, and the
// finding says which two settings to change.
func TestLintNamesBothNumbers(t *testing.T) {
	p := ALB()
	p.ProbeInterval = 30 * time.Second
	found := Lint(NewServer("", http.NotFoundHandler(), p), p)
	budget := found[len(found)-1]
	assert.Equal(t, "kill_budget", budget.Code)
	assert.Contains(t, budget.Message, "1m9s")
	assert.Contains(t, budget.Message, "killed after 30s")
	assert.Contains(t, budget.Fix, "5 to 10 s")
	assert.Contains(t, budget.Fix, "stopTimeout")
}

// TestResponseHeaderNearTheLimit: ALB answers 502 in place of a response header
// over 32 K, and nothing in the service shows it. One that comes near is logged
// once, one beyond once more, and Lint tells of the longest.
func TestResponseHeaderNearTheLimit(t *testing.T) {
	lines := new(logLines)
	srv := NewServer("", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Set-Cookie", strings.Repeat("c", map[string]int{"/": 100, "/near": 30 << 10, "/over": 40 << 10}[r.URL.Path]))
	}), ALB())
	newService(Must(New(Config{Logger: lines.logger()})), []Endpoint{{Server: srv, Listeners: []net.Listener{nil}}})
	get := func(path string) {
		r := httptest.NewRequestWithContext(context.Background(), "GET", path, nil)
		srv.Handler.ServeHTTP(httptest.NewRecorder(), r)
	}
	get("/")
	assert.Empty(t, Lint(srv, ALB()))
	assert.Empty(t, lines.list())
	for range 3 {
		get("/near")
		get("/over")
	}
	require.Len(t, lines.list(), 2)
	assert.Contains(t, lines.list()[0], "path=/near")
	assert.Contains(t, lines.list()[1], "path=/over")
	found := Lint(srv, ALB())
	require.Equal(t, []string{"response_header"}, findingCodes(found))
	assert.Contains(t, found[0].Message, "/over")
	nobodyLooks := ALB()
	nobodyLooks.MaxResponseHeaderBytes = 0
	assert.Empty(t, Lint(srv, nobodyLooks))
}
