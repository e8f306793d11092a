package healthcheck

import (
	"log"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// presets are the profiles that this package offers.
func presets() []Profile {
	return []Profile{ALB(), NLB(), CLB(), GoogleCloud(), Cloudflare(), CloudFront(), Kubernetes(), Direct()}
}

// TestPresetTimeouts: a server keeps connections for longer than what is in
// front of it, so that it is never the server that closes one into which a
// request is being written.
func TestPresetTimeouts(t *testing.T) {
	const s = time.Second
	for _, row := range []struct {
		p                       Profile
		idle, readHeader, stall time.Duration
		maxHeader               int
	}{
		{ALB(), 75 * s, 75 * s, 0, 128 << 10},
		{NLB(), 365 * s, 365 * s, 0, 128 << 10},
		{CLB(), 75 * s, 75 * s, 0, 128 << 10},
		{GoogleCloud(), 620 * s, 620 * s, 0, 128 << 10},
		{Cloudflare(), 915 * s, 915 * s, 0, 128 << 10},
		{CloudFront(), 135 * s, 135 * s, 0, 128 << 10},
		{Kubernetes(), 75 * s, 75 * s, 0, 128 << 10},
		{Direct(), 120 * s, 10 * s, 60 * s, 64 << 10},
		{Profile{}, 120 * s, 10 * s, 60 * s, 64 << 10},
		{Profile{Idle: 40 * s, Margin: 2 * s}, 42 * s, 42 * s, 0, 64 << 10},
		{Profile{Idle: 40 * s, ReadHeader: 50 * s}, 55 * s, 50 * s, 0, 64 << 10},
		{Profile{Idle: 40 * s, Stall: 30 * s}, 55 * s, 55 * s, 30 * s, 64 << 10},
		{Profile{Stall: -1}, 120 * s, 10 * s, 0, 64 << 10},
	} {
		srv := NewServer("127.0.0.1:0", http.NotFoundHandler(), row.p)
		assert.Equal(t, row.idle, srv.IdleTimeout, row.p.name())
		assert.Equal(t, row.readHeader, srv.ReadHeaderTimeout, row.p.name())
		assert.Equal(t, row.stall, row.p.stall(), row.p.name())
		assert.Equal(t, row.maxHeader, srv.MaxHeaderBytes, row.p.name())
		assert.Zero(t, srv.ReadTimeout, row.p.name())
		assert.Zero(t, srv.WriteTimeout, row.p.name())
		assert.Nil(t, srv.Protocols, row.p.name())
	}
}

// TestPresetsAreClean: what this package makes of its own presets has nothing to
// be said against, the kill budget included.
func TestPresetsAreClean(t *testing.T) {
	for _, p := range presets() {
		assert.Empty(t, Lint(NewServer("127.0.0.1:0", http.NotFoundHandler(), p), p), p.name())
		assert.GreaterOrEqual(t, p.wait(), p.takeOut(), p.name())
		assert.Less(t, p.wait()+lastWord+p.shutdown(), p.KillBudget, p.name())
	}
}

// TestPresetsAreValues: editing one changes no other.
func TestPresetsAreValues(t *testing.T) {
	p := ALB()
	p.Idle = time.Hour
	assert.Equal(t, time.Minute, ALB().Idle)
	assert.NotEqual(t, p, ALB())
}

// TestProfileDefaults: the zero value's waits, and the least that a shutdown gets.
func TestProfileDefaults(t *testing.T) {
	var p Profile
	assert.Equal(t, 5*time.Second, p.quiet())
	assert.Equal(t, 15*time.Second, p.wait())
	assert.Equal(t, 8*time.Second, p.shutdown())
	assert.Equal(t, 2, p.unhealthyThreshold())
	assert.Zero(t, p.takeOut())
	assert.Equal(t, "balancer", p.name())
	p.Shutdown = time.Second
	assert.Equal(t, 6*time.Second, p.shutdown())
}

// TestConfigureFillsZerosOnly: what somebody has set stays.
func TestConfigureFillsZerosOnly(t *testing.T) {
	p := ALB()
	p.H2C = true
	h, logger, protocols := http.NewServeMux(), log.New(nil, "", 0), new(http.Protocols)
	srv := &http.Server{
		Addr: "127.0.0.1:1", Handler: h, ErrorLog: logger, Protocols: protocols, MaxHeaderBytes: 1,
		IdleTimeout: 1, ReadHeaderTimeout: 2, ReadTimeout: 3, WriteTimeout: 4,
	}
	Configure(srv, p)
	assert.Equal(t, "127.0.0.1:1", srv.Addr)
	assert.Same(t, h, srv.Handler)
	assert.Same(t, logger, srv.ErrorLog)
	assert.Same(t, protocols, srv.Protocols)
	assert.Equal(t, []time.Duration{1, 2, 3, 4},
		[]time.Duration{srv.IdleTimeout, srv.ReadHeaderTimeout, srv.ReadTimeout, srv.WriteTimeout})
	assert.Equal(t, 1, srv.MaxHeaderBytes)

	srv = NewServer(":8080", h, p)
	require.NotNil(t, srv.Protocols)
	assert.True(t, srv.Protocols.UnencryptedHTTP2())
	assert.True(t, srv.Protocols.HTTP1())
	assert.True(t, srv.Protocols.HTTP2())
}

// TestProfileIsCarried: Serve learns of the profile as long as one of the two
// fields that carry it is the package's own.
func TestProfileIsCarried(t *testing.T) {
	for name, change := range map[string]func(*http.Server){
		"neither": func(*http.Server) {},
		"log":     func(srv *http.Server) { srv.ErrorLog = log.New(nil, "", 0) },
		"context": func(srv *http.Server) { srv.BaseContext = nil },
	} {
		srv := NewServer("", nil, NLB())
		change(srv)
		p, ok := carried(srv, nil)
		assert.True(t, ok, name)
		assert.Equal(t, NLB(), p, name)
	}
	_, ok := carried(&http.Server{ErrorLog: log.New(nil, "", 0)}, nil)
	assert.False(t, ok)
}

// TestPatience: servers that are drained together wait as long as the slowest
// needs, within what the strictest platform allows.
func TestPatience(t *testing.T) {
	assert.Equal(t, ALB(), patient(nil))
	assert.Equal(t, NLB(), patient([]Profile{NLB()}))
	slow := Profile{Name: "slow", ProbeInterval: 20 * time.Second, UnhealthyThreshold: 3, Quiet: 9 * time.Second, Shutdown: 10 * time.Second}
	p := patient([]Profile{ALB(), slow, Direct()})
	assert.Equal(t, "slow", p.Name)
	assert.Equal(t, time.Minute, p.takeOut())
	assert.Equal(t, 9*time.Second, p.quiet())
	assert.Equal(t, 20*time.Second, p.wait())
	assert.Equal(t, 10*time.Second, p.shutdown())
	assert.Equal(t, 30*time.Second, p.KillBudget)
}
