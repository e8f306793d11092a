package redirect_test

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/redirect"
)

// comes is a request about which somebody else has found out everything.
func comes(scheme forwarded.Scheme, host string, hops int) *http.Request {
	r := plainGet(host, "/")
	info := forwarded.Info{Scheme: scheme, Host: host, Hops: hops, Complete: hops > 0, Status: forwarded.StatusForwarded}
	return r.WithContext(forwarded.NewContext(r.Context(), info))
}

func proofEnforcer(cfg redirect.Config) *redirect.Enforcer {
	cfg.Canonical, cfg.Aliases, cfg.Logger, cfg.RefuseWithoutProof = canonical, []string{apex, other, wildcard}, discard, true
	return redirect.Must(redirect.New(cfg))
}

// proved asks for a host over http.
func proved(e *redirect.Enforcer, host string, hops int) bool {
	d := e.Decide(comes(forwarded.HTTP, host, hops))
	return d.Reason == redirect.ReasonRedirected
}

func TestProofLastsAnHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := proofEnforcer(redirect.Config{})
		assert.False(t, proved(e, canonical, 1), "nothing was seen")
		e.Decide(comes(forwarded.HTTPS, canonical, 1))
		assert.True(t, proved(e, canonical, 1))
		time.Sleep(time.Hour - 2*time.Second)
		assert.True(t, proved(e, canonical, 1))
		time.Sleep(3 * time.Second)
		assert.False(t, proved(e, canonical, 1), "an hour is over")
		e.Wrap(http.NotFoundHandler()).ServeHTTP(&tableWriter{header: http.Header{}}, comes(forwarded.HTTPS, canonical, 2))
		time.Sleep(30 * time.Minute)
		e.Decide(comes(forwarded.HTTPS, canonical, 1))
		time.Sleep(59 * time.Minute)
		assert.True(t, proved(e, canonical, 1), "each request counts anew")
	})
}

// Only https that came through a hop shows that the way through hops works.
func TestProofIsWrittenByHTTPSThroughAHopOnly(t *testing.T) {
	for name, r := range map[string]*http.Request{
		"direct https":      comes(forwarded.HTTPS, canonical, 0),
		"http":              comes(forwarded.HTTP, canonical, 1),
		"unknown":           comes(forwarded.SchemeUnknown, canonical, 1),
		"https elsewhere":   comes(forwarded.HTTPS, other, 1),
		"https to nobody":   comes(forwarded.HTTPS, "evil.example", 1),
		"https, bad target": func() *http.Request { r := comes(forwarded.HTTPS, canonical, 1); r.Method = "CONNECT"; return r }(),
	} {
		e := proofEnforcer(redirect.Config{})
		e.Decide(r)
		assert.False(t, proved(e, canonical, 1), name)
	}
	e := proofEnforcer(redirect.Config{RequireProxy: true})
	r := comes(forwarded.HTTPS, canonical, 1)
	r = r.WithContext(forwarded.NewContext(r.Context(), forwarded.Info{Scheme: forwarded.HTTPS, Host: canonical, Hops: 1, Status: forwarded.StatusForwarded}))
	e.Decide(r)
	assert.False(t, proved(e, canonical, 1), "refused, since not all hops were used")
}

// What came through a balancer says nothing about this process's own port.
func TestProofIsOfTheWayIn(t *testing.T) {
	e := proofEnforcer(redirect.Config{})
	e.Decide(comes(forwarded.HTTPS, canonical, 1))
	assert.True(t, proved(e, canonical, 3))
	assert.False(t, proved(e, canonical, 0))
}

func TestProofIsOfTheHost(t *testing.T) {
	e := proofEnforcer(redirect.Config{})
	e.Decide(comes(forwarded.HTTPS, apex, 1)) // redirected itself, and proof all the same
	assert.True(t, proved(e, apex, 1))
	assert.False(t, proved(e, canonical, 1))
	assert.False(t, proved(e, other, 1))
	assert.False(t, proved(e, "a.old.example", 1))

	// What is below a wildcard is sent to the canonical host, which must work.
	e = proofEnforcer(redirect.Config{})
	e.Decide(comes(forwarded.HTTPS, "a.old.example", 1))
	assert.False(t, proved(e, "a.old.example", 1))
	e.Decide(comes(forwarded.HTTPS, canonical, 1))
	assert.True(t, proved(e, "a.old.example", 1))
	assert.True(t, proved(e, "b.old.example", 1))
	assert.False(t, proved(e, apex, 1))
}

func TestProofWithOneHopIsOfTheCanonicalHost(t *testing.T) {
	e := proofEnforcer(redirect.Config{OneHop: true})
	e.Decide(comes(forwarded.HTTPS, apex, 1))
	assert.False(t, proved(e, apex, 1), "it is sent to the canonical host")
	assert.False(t, proved(e, canonical, 1))
	e.Decide(comes(forwarded.HTTPS, canonical, 1))
	assert.True(t, proved(e, apex, 1))
	assert.True(t, proved(e, other, 1))
}

// Proof is asked about the host that the redirect leads to, and with the way in.
func TestProofIsAskedAboutTheTarget(t *testing.T) {
	type call struct {
		host string
		hops int
	}
	ask := func(oneHop bool, host string, hops int) (calls []call) {
		e := proofEnforcer(redirect.Config{OneHop: oneHop, Proof: func(info forwarded.Info, host string) bool {
			calls = append(calls, call{host, info.Hops})
			return false
		}})
		proved(e, host, hops)
		return calls
	}
	assert.Equal(t, []call{{apex, 0}}, ask(false, apex, 0))
	assert.Equal(t, []call{{apex, 2}}, ask(false, apex, 2))
	assert.Equal(t, []call{{canonical, 1}}, ask(false, "a.old.example", 1))
	assert.Equal(t, []call{{canonical, 1}}, ask(true, apex, 1))
}

// Either counts through hops: the function's word, or what was seen.
func TestProofOrMemory(t *testing.T) {
	answer := false
	e := proofEnforcer(redirect.Config{Proof: func(forwarded.Info, string) bool { return answer }})
	e.Decide(comes(forwarded.HTTPS, canonical, 1))
	assert.True(t, proved(e, canonical, 1), "seen")
	assert.False(t, proved(e, canonical, 0), "not seen directly")
	answer = true
	assert.True(t, proved(e, canonical, 0))
	assert.True(t, proved(e, apex, 1))
}

// Without anybody who asks, nothing is held back.
func TestProofIsNotAskedFor(t *testing.T) {
	e := redirect.Must(redirect.New(redirect.Config{Canonical: canonical, Logger: discard, HSTS: redirect.OneYear}))
	assert.True(t, proved(e, canonical, 0))
	assert.True(t, proved(e, canonical, 1))
}

// No cache may take the lack of proof for an answer, and clients learn when to
// come back.
func TestProofRefusalSaysWhenToComeBack(t *testing.T) {
	w := &tableWriter{header: http.Header{}}
	proofEnforcer(redirect.Config{}).Wrap(http.NotFoundHandler()).ServeHTTP(w, comes(forwarded.HTTP, canonical, 1))
	assert.Equal(t, 503, w.status)
	assert.Regexp(t, `^[1-9][0-9]*$`, w.header.Get("Retry-After"))
	assert.Equal(t, "private, no-store", w.header.Get("Cache-Control"))
}
