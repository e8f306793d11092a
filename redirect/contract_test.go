package redirect_test

import (
	"context"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/internal/conferr"
	"github.com/knownhops/knownhops/redirect"
)

// The names and types that programs compile against. A line here that no longer
// compiles is a change for users, not for this file.
var (
	_ func(string, ...string) (*redirect.Enforcer, error)                        = redirect.HTTPS
	_ func(redirect.Config) (*redirect.Enforcer, error)                          = redirect.New
	_ func(*redirect.Enforcer, error) *redirect.Enforcer                         = redirect.Must
	_ func(*redirect.Enforcer, http.Handler) http.Handler                        = (*redirect.Enforcer).Wrap
	_ func(*redirect.Enforcer, *http.Request) redirect.Decision                  = (*redirect.Enforcer).Decide
	_ func(*redirect.Enforcer) map[redirect.Reason]uint64                        = (*redirect.Enforcer).Stats
	_ func(*redirect.Enforcer, context.Context, string) (redirect.Report, error) = (*redirect.Enforcer).Probe
	_ func(redirect.Reason) string                                               = redirect.Reason.String
	_ func(redirect.Action) string                                               = redirect.Action.String
	_ func(redirect.Strength) string                                             = redirect.Strength.String
	_ conferr.Errors                                                             = redirect.ConfigErrors(nil)
	_ conferr.Error                                                              = redirect.ConfigError{}
	_                                                                            = []redirect.HSTS{redirect.OneHour, redirect.OneWeek, redirect.OneYear, redirect.Preload, redirect.Clear}
	_                                                                            = []redirect.Action{redirect.Pass, redirect.Redirect, redirect.Refuse}
)

var _ = redirect.Config{
	Canonical:          "",
	Aliases:            []string(nil),
	PlainHosts:         []string(nil),
	HSTS:               redirect.HSTS{MaxAge: time.Duration(0), IncludeSubDomains: false, Preload: false},
	HTTPSPort:          uint16(0),
	OneHop:             false,
	RefuseUnsafe:       false,
	RefuseUnknown:      false,
	RequireProxy:       false,
	Exempt:             []string(nil),
	Proof:              (func(info forwarded.Info, host string) bool)(nil),
	RefuseWithoutProof: false,
	Policy:             (*forwarded.Policy)(nil),
	NoLoopMarker:       false,
	DangerouslyAnyHost: false,
	OnDecision:         (func(*http.Request, redirect.Decision))(nil),
	Logger:             (*slog.Logger)(nil),
	ProbeTransport:     (http.RoundTripper)(nil),
}

var _ = redirect.Decision{
	Action:   redirect.Action(0),
	Status:   0,
	Location: "",
	Reason:   redirect.Reason(0),
	Signals:  []redirect.Signal(nil),
	Fix:      "",
}

// The words stand in dashboards and alerts.
func TestWordsOfTheContract(t *testing.T) {
	reasons := map[redirect.Reason]string{
		0:                             "",
		redirect.ReasonNoPolicy:       "no_policy",
		redirect.ReasonBadTarget:      "bad_target",
		redirect.ReasonUnknownHost:    "unknown_host",
		redirect.ReasonIPHost:         "ip_host",
		redirect.ReasonHostLost:       "host_lost",
		redirect.ReasonDirectAccess:   "direct_access",
		redirect.ReasonPlainHost:      "plain_host",
		redirect.ReasonPassedHTTPS:    "passed_https",
		redirect.ReasonHostRedirected: "host_redirected",
		redirect.ReasonExempt:         "exempt",
		redirect.ReasonLoopBroken:     "loop_broken",
		redirect.ReasonNoProof:        "no_proof",
		redirect.ReasonWebSocket:      "websocket",
		redirect.ReasonRedirected:     "redirected",
		redirect.ReasonPreserved:      "preserved",
		redirect.ReasonUnsafeRefused:  "unsafe_refused",
		redirect.ReasonBadScheme:      "bad_scheme",
		redirect.ReasonUnknownScheme:  "unknown_scheme",
		redirect.ReasonTooLong:        "too_long",
		redirect.ReasonLoopSuspected:  "loop_suspected",
		255:                           "invalid",
	}
	for reason, want := range reasons {
		assert.Equal(t, want, reason.String())
		text, err := reason.MarshalText()
		assert.NoError(t, err)
		assert.Equal(t, want, string(text))
	}
	assert.Equal(t, []string{"refuse", "redirect", "pass", "invalid"},
		[]string{redirect.Refuse.String(), redirect.Redirect.String(), redirect.Pass.String(), redirect.Action(9).String()})
	assert.Equal(t, []string{"hint", "strong", "proof", "invalid"},
		[]string{redirect.Hint.String(), redirect.Strong.String(), redirect.Proof.String(), redirect.Strength(9).String()})
	assert.Zero(t, redirect.Refuse, "an Action that nobody set must not let anybody through")
}
