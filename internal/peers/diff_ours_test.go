//go:build linux

package peers

import (
	"cmp"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/forwarded"
)

// request is the case as net/http hands it to an application.
func (c diffCase) request() *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr, r.Host = diffPeerAddr, diffHost
	r.Header = http.Header{c.header: c.lines}
	if c.header == xfp || c.header == xfh {
		r.Header.Set(xff, "203.0.113.7") // without a client there would be no scheme or host of a client to ask for
	}
	return r
}

// hop is what each declared hop does with the header under test.
func (c diffCase) hop() forwarded.Hop {
	hop := forwarded.Trusted(diffTrust...)
	switch c.header {
	case xfh:
		hop.Host = forwarded.Sets(xfh)
	case rfc7239:
		hop.For, hop.Proto, hop.Host = forwarded.Appends(rfc7239), forwarded.Appends(rfc7239), forwarded.Passes()
	}
	return hop
}

// resolve is our answer, as the corpus writes it, and the reason for what is not known.
func (c diffCase) resolve(t *testing.T) (answer, reason string) {
	t.Helper()
	cfg := forwarded.Config{Logger: slog.New(slog.DiscardHandler)}
	for range c.hops {
		cfg.Hops = append(cfg.Hops, c.hop())
	}
	policy, err := forwarded.New(cfg)
	require.NoError(t, err)
	info := policy.Resolve(c.request())
	switch c.header {
	case xfp:
		return ourScheme(info), info.SchemeReason.String()
	case xfh:
		return info.Host, info.HostReason.String()
	case rfc7239:
		return join(cmp.Or(info.ClientID, ourClient(info)), ourScheme(info)), unlessForwarded(info)
	default:
		return ourClient(info), unlessForwarded(info)
	}
}

func unlessForwarded(info forwarded.Info) string {
	if info.Reason == forwarded.ReasonForwarded {
		return ""
	}
	return info.Reason.String()
}

func ourClient(info forwarded.Info) string {
	if info.Client.IsValid() {
		return info.Client.String()
	}
	return diffNone
}

func ourScheme(info forwarded.Info) string {
	if info.Scheme == forwarded.SchemeUnknown {
		return diffNone
	}
	return info.Scheme.String()
}

// join puts an address and a scheme into one answer.
func join(client, scheme string) string {
	client, scheme = cmp.Or(client, diffNone), cmp.Or(scheme, diffNone)
	if client == diffNone && scheme == diffNone {
		return diffNone
	}
	return client + " " + scheme
}

// What we answer is the corpus's to say; the ledger only compares.
func TestOurAnswers(t *testing.T) {
	for _, c := range diffCases() {
		t.Run(c.header+" "+c.input(), func(t *testing.T) {
			answer, reason := c.resolve(t)
			require.Equal(t, c.want, answer, "reason %q", reason)
			require.Equal(t, c.reason, reason)
		})
	}
}
