package forwarded_test

import (
	"crypto/tls"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/forwarded/forwardedtest"
)

// TestConformance puts this package to its own conformance kit.
func TestConformance(t *testing.T) {
	forwardedtest.Run(t, func(v forwardedtest.Vector) (forwardedtest.Want, error) {
		policy, err := vectorPolicy(v)
		if err != nil {
			return forwardedtest.Want{}, err
		}
		return want(policy.Resolve(vectorRequest(v))), nil
	})
}

// TestConformanceExplain holds Explain to the same answers: its trace may never
// explain another decision than the one that was taken.
func TestConformanceExplain(t *testing.T) {
	forwardedtest.Run(t, func(v forwardedtest.Vector) (forwardedtest.Want, error) {
		policy, err := vectorPolicy(v)
		if err != nil {
			return forwardedtest.Want{}, err
		}
		return want(policy.Explain(vectorRequest(v)).Info), nil
	})
}

// TestConformanceWrap holds what Wrap hands on to the same answers.
func TestConformanceWrap(t *testing.T) {
	forwardedtest.Run(t, func(v forwardedtest.Vector) (got forwardedtest.Want, err error) {
		policy, err := vectorPolicy(v)
		if err != nil {
			return forwardedtest.Want{}, err
		}
		next := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = want(forwarded.From(r)) })
		policy.Wrap(next).ServeHTTP(httptest.NewRecorder(), vectorRequest(v))
		return got, nil
	})
}

func vectorPolicy(v forwardedtest.Vector) (*forwarded.Policy, error) {
	hops, err := forwarded.ParseHops(v.Hops)
	if err != nil {
		return nil, err
	}
	return forwarded.New(forwarded.Config{Hops: hops, Logger: slog.New(slog.DiscardHandler)})
}

// vectorRequest builds the request by hand: what some vectors contain would not
// come through a real server.
func vectorRequest(v forwardedtest.Vector) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr, r.Host, r.Header = v.RemoteAddr, v.Host, v.Header
	if v.TLS {
		r.TLS = &tls.ConnectionState{}
	}
	return r
}

func want(info forwarded.Info) forwardedtest.Want {
	return forwardedtest.Want{
		Client: info.Client.String(),
		Scheme: info.Scheme.String(),
		Host:   info.Host,
		Reason: info.Reason.String(),
		Port:   info.Port,
		Hops:   info.Hops,
	}
}
