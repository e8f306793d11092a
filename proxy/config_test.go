package proxy

import (
	"errors"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// mistakes are the errors of a Config, which must be refused.
func mistakes(t *testing.T, cfg Config) ConfigErrors {
	t.Helper()
	p, err := New(cfg)
	require.Error(t, err)
	assert.Nil(t, p)
	var errs ConfigErrors
	require.ErrorAs(t, err, &errs)
	return errs
}

func TestZeroConfig(t *testing.T) {
	errs := mistakes(t, Config{})
	require.Len(t, errs, 1)
	assert.Equal(t, "Upstreams", errs[0].Field)
	assert.Contains(t, errs.Error(), `name one, like "http://127.0.0.1:8080"`)
}

// Every mistake is found at once, in the order of the fields, and each names
// the field and the value, and says what is wrong and what to do.
func TestEveryMistakeAtOnce(t *testing.T) {
	cfg := Config{
		Upstreams: []string{"127.0.0.1:8080", "http://127.0.0.1:8080/path", "ftp://h", "http://h", "http://h:80", "unix:relative", "h2c://g"},
		Headers: Headers{For: 99, Proto: Append, Host: Append, Port: 7, Prefix: Append, Forwarded: 8, RealIP: Append,
			Via: "two words", Keep: []string{"X-Good", "bad name", ""}},
		Balance:   9,
		Check:     HealthCheck{Interval: time.Second, EjectFor: -1},
		Retry:     Retry{Attempts: 11, Budget: 1.5, Burst: -1, MaxBody: 1 << 30},
		Limits:    Limits{IdleConns: -1, InFlight: -1},
		Transport: http.DefaultTransport,
	}
	want := []string{
		"Upstreams[0]", "Upstreams[1]", "Upstreams[2]", "Upstreams[4]", "Upstreams[5]",
		"Headers.For", "Headers.Proto", "Headers.Host", "Headers.Port", "Headers.Prefix", "Headers.Forwarded", "Headers.RealIP",
		"Headers.Via", "Headers.Keep[1]", "Headers.Keep[2]", "Balance", "Check.Interval", "Check.EjectFor",
		"Retry.Attempts", "Retry.Budget", "Retry.Burst", "Retry.MaxBody", "Limits.IdleConns", "Limits.InFlight", "Transport",
	}
	errs := mistakes(t, cfg)
	var got []string
	for _, e := range errs {
		got = append(got, e.Field)
		assert.NotEmpty(t, e.Reason, e.Field)
		assert.NotEmpty(t, e.Fix, e.Field)
		assert.Contains(t, errs.Error(), e.Field)
		assert.Contains(t, errs.Error(), e.Fix)
	}
	assert.Equal(t, want, got)
	for i, e := range errs {
		if e.Value == "" {
			assert.Contains(t, []string{"Headers.Keep[2]"}, want[i], "the value is shown")
		}
	}
}

func TestEachMistake(t *testing.T) {
	const up = "http://127.0.0.1:1"
	for field, cfg := range map[string]Config{
		"Retry.Attempts":  {Retry: Retry{Attempts: -1}},
		"Retry.Budget":    {Retry: Retry{Budget: -0.1}},
		"Retry.MaxBody":   {Retry: Retry{MaxBody: -2}},
		"Headers.Via":     {Headers: Headers{Via: "a,b"}},
		"Headers.Port":    {Headers: Headers{Port: Append}},
		"Headers.Keep[0]": {Headers: Headers{Keep: []string{"X-A:"}}},
		"Headers.Keep[1]": {Headers: Headers{Keep: []string{"X-User", "connection"}}}, // it would have no effect
		"Headers.Keep[2]": {Headers: Headers{Keep: []string{"X-User", "X-Team", "Host"}}},
		"Headers.Keep[3]": {Headers: Headers{Keep: []string{"X-User", "X-Team", "X-Role", "Transfer-Encoding"}}},

		"Limits.ResponseHeader": {Limits: Limits{ResponseHeader: 10}}, // every answer would be refused
	} {
		cfg.Upstreams = []string{up}
		errs := mistakes(t, cfg)
		require.Len(t, errs, 1, field)
		assert.Equal(t, field, errs[0].Field)
	}
}

// Somebody else's transport dials itself.
func TestForeignTransport(t *testing.T) {
	for _, up := range []string{"unix:/run/app.sock", "h2c://127.0.0.1:1"} {
		errs := mistakes(t, Config{Upstreams: []string{up}, Transport: http.DefaultTransport})
		require.Len(t, errs, 1)
		assert.Equal(t, "*http.Transport", errs[0].Value)
		p, err := New(Config{Upstreams: []string{up}, Transport: NewTransport(TransportConfig{})})
		require.NoError(t, err, "ours can be told")
		assert.NoError(t, p.Shutdown(t.Context()))
	}
}

func TestDefaults(t *testing.T) {
	p, err := To("http://127.0.0.1:1")
	require.NoError(t, err)
	cfg := p.cfg
	assert.Equal(t, Timeouts{Dial: 5 * time.Second, TLSHandshake: 5 * time.Second, Head: time.Minute, Idle: time.Minute, Tunnel: time.Hour, UpstreamIdle: 55 * time.Second}, cfg.Timeouts)
	assert.Equal(t, Limits{RequestBody: -1, RequestHeader: 64 << 10, URI: 16 << 10, ResponseHeader: 64 << 10, IdleConns: 256}, cfg.Limits)
	assert.Equal(t, Retry{Attempts: 2, Budget: 0.2, Burst: 3, MaxBody: 64 << 10}, cfg.Retry)
	assert.Regexp(t, `^knownhops-[a-z2-7]{8}$`, cfg.Headers.Via)
	other, err := To("http://127.0.0.1:1")
	require.NoError(t, err)
	assert.NotEqual(t, other.cfg.Headers.Via, cfg.Headers.Via, "each knows itself")
	assert.False(t, cfg.RewriteHost)
}

// What is set is not touched, and the caller's Config is not, either.
func TestConfigIsCopied(t *testing.T) {
	cfg := Config{Upstreams: []string{"http://127.0.0.1:1"}, Headers: Headers{Keep: []string{"x-user"}}, Timeouts: Timeouts{Head: -1, Idle: 1}, Limits: Limits{URI: -1}, Logger: slog.New(slog.DiscardHandler)}
	p, err := New(cfg)
	require.NoError(t, err)
	assert.EqualValues(t, -1, p.cfg.Timeouts.Head)
	assert.EqualValues(t, 1, p.cfg.Timeouts.Idle)
	assert.Equal(t, -1, p.cfg.Limits.URI)
	assert.Equal(t, []string{"X-User"}, p.cfg.Headers.Keep)
	assert.Equal(t, []string{"x-user"}, cfg.Headers.Keep)
	assert.Nil(t, cfg.Transport)
	assert.Zero(t, cfg.Limits.IdleConns)
}

func TestMust(t *testing.T) {
	p := Must(To("http://127.0.0.1:1"))
	assert.NotNil(t, p)
	assert.PanicsWithError(t, "it broke", func() { Must(nil, errors.New("it broke")) })
}
