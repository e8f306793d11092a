package redirect_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/proxy/albtest"
	"github.com/knownhops/knownhops/redirect"
)

const chainWord = "Knownhops-Probe"

func chainProbe(t *testing.T, s *chainService, url string) redirect.Report {
	t.Helper()
	report, err := s.enforcer.Probe(t.Context(), url)
	require.NoError(t, err)
	t.Log(report)
	return report
}

// A chain that works: http arrives as http and is redirected, https arrives as https.
func TestProbe(t *testing.T) {
	s := chainSetup{hops: []forwarded.Hop{chainALB()}, cfg: redirect.Config{Aliases: []string{"example.com"}}}.start(t)
	report := chainProbe(t, s, "http://example.com/cart?id=1#top")
	assert.True(t, report.OK(), report)
	assert.Empty(t, report.Fix)
	require.Len(t, report.Steps, 3)
	for i, want := range []struct {
		url, location string
		status        int
		scheme        forwarded.Scheme
		reason        redirect.Reason
	}{
		{"http://example.com/cart?id=1", "https://example.com/cart?id=1", 301, forwarded.HTTP, redirect.ReasonRedirected},
		{"https://example.com/cart?id=1", "https://" + chainHost + "/cart?id=1", 301, forwarded.HTTPS, redirect.ReasonHostRedirected},
		{"https://" + chainHost + "/cart?id=1", "", 204, forwarded.HTTPS, redirect.ReasonPassedHTTPS},
	} {
		step := report.Steps[i]
		assert.Equal(t, want.url, step.URL)
		assert.Equal(t, want.location, step.Location)
		assert.Equal(t, want.status, step.Status)
		assert.True(t, step.Arrived)
		assert.NoError(t, step.Err)
		assert.Equal(t, want.scheme, step.Info.Scheme)
		assert.Equal(t, 1, step.Info.Hops)
		assert.Equal(t, want.reason, step.Decision.Reason)
	}
	assert.Contains(t, report.String(), "ok")
	assert.Zero(t, s.served.Load(), "the application has no part in it")
	assert.Empty(t, s.log.worst())
}

// The balancer's own rule answers http; that is as good.
func TestProbeAnsweredInFront(t *testing.T) {
	s := chainSetup{hops: []forwarded.Hop{chainALB()}, edit: func(cfg *albtest.Config) { cfg.Listeners[1].Default = albtest.ToHTTPS() }}.start(t)
	report := chainProbe(t, s, s.HTTPURL)
	assert.True(t, report.OK(), report)
	require.Len(t, report.Steps, 2)
	assert.False(t, report.Steps[0].Arrived)
	assert.Contains(t, report.Steps[0].String(), "not by this process")
	assert.True(t, report.Steps[1].Arrived)

	fixed := chainSetup{hops: []forwarded.Hop{chainALB()}, edit: func(cfg *albtest.Config) {
		cfg.Listeners[0].Default = albtest.FixedResponse{StatusCode: 503}
	}}.start(t)
	report = chainProbe(t, fixed, fixed.HTTPSURL)
	assert.False(t, report.OK())
	assert.Contains(t, report.Problem, "503")
	assert.Contains(t, report.Fix, "a proxy in front answers")
}

// https that comes in as http is a loop for every visitor. Probe finds the cause of each chain of these tests.
func TestProbeHiddenHTTPS(t *testing.T) {
	overwritten := []forwarded.Hop{chainPassing(forwarded.Nginx(chainNear)), chainALB()}
	for _, test := range []struct {
		name  string
		setup chainSetup
		fix   string
	}{
		{"overwritten", chainSetup{hops: overwritten, front: chainOverwrites}, `hop 1 ("nginx")`},
		{"undeclared", chainSetup{hops: []forwarded.Hop{}}, "forwarded.Behind(forwarded.ALB("},
		{"silent", chainSetup{hops: []forwarded.Hop{}, front: chainRewrites(chainSilent)}, "NLBTLS"},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := test.setup.start(t)
			for _, url := range []string{s.HTTPURL, s.HTTPSURL} {
				report := chainProbe(t, s, url)
				assert.False(t, report.OK())
				assert.Contains(t, report.Problem, "arrived as http: visitors would be redirected for ever")
				assert.Contains(t, report.Fix, test.fix)
				last := report.Steps[len(report.Steps)-1]
				assert.True(t, last.Arrived)
				assert.Equal(t, redirect.Redirect, last.Decision.Action)
				assert.Contains(t, report.String(), "fix: ")
			}
		})
	}
}

// Nobody knows the scheme: neither loops nor redirects.
func TestProbeUnknownScheme(t *testing.T) {
	s := chainSetup{hops: []forwarded.Hop{forwarded.Nginx(chainNear), chainALB()}, front: chainOverwrites}.start(t)
	for _, url := range []string{s.HTTPURL, s.HTTPSURL} {
		report := chainProbe(t, s, url)
		assert.False(t, report.OK())
		assert.Contains(t, report.Fix, "$http_x_forwarded_proto")
	}
	without := chainSetup{}.start(t)
	report := chainProbe(t, without, without.HTTPSURL)
	assert.Contains(t, report.Problem, "no_policy")
	assert.Contains(t, report.Fix, "forwarded.Policy.Wrap")
}

// A proxy that claims https whatever the client used.
func TestProbeAlwaysHTTPS(t *testing.T) {
	s := chainSetup{hops: []forwarded.Hop{forwarded.Nginx(chainNear), chainALB()}[:1], front: chainSets("X-Forwarded-Proto", "https")}.start(t)
	report := chainProbe(t, s, s.HTTPURL)
	assert.Contains(t, report.Problem, "http is not redirected")
	assert.Contains(t, report.Fix, "have it write its own scheme")
	assert.True(t, chainProbe(t, s, s.HTTPSURL).OK(), "which https alone does not show")
}

// Refusals are problems, and their fix is the decision's.
func TestProbeRefused(t *testing.T) {
	s := chainSetup{hops: []forwarded.Hop{forwarded.ALB("10.9.0.0/24")}, cfg: redirect.Config{RequireProxy: true}}.start(t)
	report := chainProbe(t, s, s.HTTPSURL)
	assert.False(t, report.OK())
	assert.NotContains(t, report.Problem, "redirected for ever", "visitors get 421")
	assert.Contains(t, report.Fix, "declare")

	s = chainSetup{hops: []forwarded.Hop{chainALB()}, cfg: redirect.Config{RefuseWithoutProof: true}}.start(t)
	report = chainProbe(t, s, s.HTTPURL)
	assert.Contains(t, report.Problem, "no_proof")
	assert.True(t, chainProbe(t, s, s.HTTPSURL).OK())
	assert.True(t, chainProbe(t, s, s.HTTPURL).OK(), "Probe is a visitor: it has shown that https works")

	s = chainSetup{hops: []forwarded.Hop{chainALB()}, cfg: redirect.Config{Proof: chainNever}}.start(t)
	report = chainProbe(t, s, s.HTTPURL)
	assert.Contains(t, report.Problem, "no_proof", "visitors get the page, over http")
}

func TestProbeNobodyListens(t *testing.T) {
	refuses := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("connection refused") }}
	s := chainSetup{cfg: redirect.Config{ProbeTransport: refuses}}.start(t)
	report := chainProbe(t, s, s.HTTPSURL)
	assert.Contains(t, report.Problem, "was not answered: ")
	assert.Contains(t, report.Problem, "connection refused")
	assert.Contains(t, report.Fix, "that somebody listens there")
	require.Len(t, report.Steps, 1)
	assert.Zero(t, report.Steps[0].Status)
	assert.Error(t, report.Steps[0].Err)
}

// The balancer's certificate is of no authority that this client knows.
func TestProbeCertificate(t *testing.T) {
	s := chainSetup{hops: []forwarded.Hop{chainALB()}}.start(t)
	trusting := s.Client().Transport.(*http.Transport)
	strict := &http.Transport{DialContext: trusting.DialContext, TLSClientConfig: &tls.Config{RootCAs: x509.NewCertPool()}}
	defer strict.CloseIdleConnections()
	s.way.RoundTripper = strict
	report := chainProbe(t, s, s.HTTPURL)
	assert.Contains(t, report.Problem, "certificate")
	assert.Equal(t, "whoever ends TLS needs a valid certificate for this host", report.Fix)
	assert.Len(t, report.Steps, 2)
}

// Probe asks for hosts of ours only, and follows no redirect to others.
func TestProbeIsNoProxy(t *testing.T) {
	s := chainSetup{hops: []forwarded.Hop{chainALB()}, edit: func(cfg *albtest.Config) {
		cfg.Listeners[1].Default = albtest.Redirect{Protocol: "HTTPS", Port: "443", Host: "parked.example"}
	}}.start(t)
	for _, url := range []string{
		"http://evil.example/", "http://10.0.0.1/", "http://169.254.169.254/latest/meta-data", "ftp://" + chainHost, chainHost, "", "/",
		"http://user:pw@" + chainHost, "http:" + chainHost, "http://" + chainHost + ".evil.example", "http://" + chainHost + "%00", ":", "file:///etc/passwd",
	} {
		report, err := s.enforcer.Probe(t.Context(), url)
		assert.Error(t, err, url)
		assert.Empty(t, report.Steps, url)
		if err != nil {
			assert.NotContains(t, err.Error(), "pw@")
		}
	}
	assert.Empty(t, s.Log())

	report := chainProbe(t, s, s.HTTPURL)
	assert.Contains(t, report.Problem, "redirected elsewhere")
	assert.Contains(t, report.Problem, "parked.example")
	assert.Contains(t, report.Fix, "to the canonical host or an alias")
	assert.Len(t, report.Steps, 1)
	assert.Len(t, s.Log(), 1)
}

// Two host rules send Probe round, and it stops.
func TestProbeGoesRound(t *testing.T) {
	s := chainSetup{hops: []forwarded.Hop{chainALB()}, cfg: redirect.Config{Aliases: []string{"example.com"}}, edit: func(cfg *albtest.Config) {
		cfg.Listeners[0].Rules = []albtest.Rule{{
			Priority: 1, Conditions: []albtest.Condition{albtest.HostHeader{chainHost}}, Action: albtest.Redirect{Host: "example.com"},
		}}
	}}.start(t)
	report := chainProbe(t, s, s.HTTPSURL)
	assert.Contains(t, report.Problem, "no end after")
	assert.Contains(t, report.Fix, "two layers redirect to one another")
	assert.Less(t, len(s.Log()), 10)
}

func TestProbeContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := chainSetup{hops: []forwarded.Hop{chainALB()}}.start(t)
		s.Fault(albtest.Fault{Kind: albtest.Latency, Requests: -1, Delay: 30 * time.Second})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		_, err := s.enforcer.Probe(ctx, s.HTTPSURL)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, time.Second, time.Since(begun))

		begun = time.Now()
		report := chainProbe(t, s, s.HTTPSURL)
		assert.Contains(t, report.Problem, "was not answered")
		assert.Equal(t, 10*time.Second, time.Since(begun), "a request that hangs has a limit of its own")

		cancel()
		_, err = s.enforcer.Probe(ctx, s.HTTPSURL)
		assert.Error(t, err)
		s.Mend()
	})
}

// Each of many probes at once gets its own answer.
func TestProbeConcurrently(t *testing.T) {
	s := chainSetup{hops: []forwarded.Hop{chainALB()}, cfg: redirect.Config{Aliases: []string{"example.com"}}}.start(t)
	var all sync.WaitGroup
	for range 4 {
		for url, steps := range map[string]int{s.HTTPURL + "/a": 2, s.HTTPSURL + "/b": 1, "http://example.com/c": 3} {
			all.Go(func() {
				report, err := s.enforcer.Probe(t.Context(), url)
				assert.NoError(t, err)
				assert.True(t, report.OK(), report)
				assert.Len(t, report.Steps, steps)
				for _, step := range report.Steps {
					assert.True(t, step.Arrived)
					assert.Equal(t, step.URL[:5] == "https", step.Info.Scheme == forwarded.HTTPS)
				}
			})
		}
	}
	all.Wait()
	assert.Zero(t, s.served.Load())
}

// Several instances that start at the same time probe at the same time. That is no visitor going round.
func TestProbeIsNoCircle(t *testing.T) {
	s := chainSetup{hops: []forwarded.Hop{chainALB()}}.start(t)
	for range 8 {
		assert.True(t, chainProbe(t, s, s.HTTPURL).OK())
	}
	assert.Zero(t, s.enforcer.Stats()[redirect.ReasonLoopSuspected])
	assert.Empty(t, s.log.worst())
}

// Words that this process has not sent are no more than a header: they make nothing pass, and nobody learns anything
// from the answer.
func TestProbeForged(t *testing.T) {
	forged := []string{chainWord, "AAAAAAAAAAAAAAAAAAAAAAAAAA"}
	s := chainSetup{hops: []forwarded.Hop{chainALB()}}.start(t)
	answers := func() []int {
		var codes []int
		for _, target := range []string{s.HTTPSURL, s.HTTPURL, "http://evil.example"} {
			resp, _ := chainGet(t, s.Client(), target, forged...)
			codes = append(codes, resp.StatusCode)
		}
		resp, _ := chainGet(t, s.Client(), s.HTTPSURL, append([]string{chainWord, ""}, forged...)...)
		return append(codes, resp.StatusCode)
	}
	want := []int{200, 301, 421, 200}
	assert.Equal(t, want, answers())

	during := make(chan []int, 1) // while a probe is under way
	s.way.RoundTripper = chainRoundTrip(func(r *http.Request) (*http.Response, error) {
		during <- answers()
		return s.Client().Transport.RoundTrip(r)
	})
	assert.True(t, chainProbe(t, s, s.HTTPSURL).OK())
	assert.Equal(t, want, <-during)
	assert.EqualValues(t, 4, s.served.Load())
}

// A word that was on its way is worth nothing afterwards, and never more than one report.
func TestProbeReplayed(t *testing.T) {
	s := chainSetup{hops: []forwarded.Hop{chainALB()}}.start(t)
	var word string
	s.way.RoundTripper = chainRoundTrip(func(r *http.Request) (*http.Response, error) {
		word = r.Header.Get(chainWord)
		resp, err := s.Client().Transport.RoundTrip(r)
		for range 3 { // a retry of the same request
			again, body := chainGet(t, s.Client(), r.URL.String(), chainWord, word)
			assert.Equal(t, http.StatusNoContent, again.StatusCode)
			assert.Empty(t, body)
			assert.Equal(t, "private, no-store", again.Header.Get("Cache-Control"))
		}
		return resp, err
	})
	assert.True(t, chainProbe(t, s, s.HTTPSURL).OK())
	assert.GreaterOrEqual(t, len(word), 26)
	assert.Zero(t, s.served.Load())
	resp, body := chainGet(t, s.Client(), s.HTTPSURL, chainWord, word)
	assert.Equal(t, http.StatusOK, resp.StatusCode)
	assert.Equal(t, "https by GET", body)
}

type chainRoundTrip func(*http.Request) (*http.Response, error)

func (f chainRoundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Another instance behind the same balancer answers: this one cannot tell how it arrived there.
func TestProbeAnotherInstance(t *testing.T) {
	other := chainSetup{hops: []forwarded.Hop{chainALB()}}.start(t)
	s := chainSetup{hops: []forwarded.Hop{chainALB()}, cfg: redirect.Config{ProbeTransport: other.Client().Transport}}.start(t)
	report := chainProbe(t, s, s.HTTPURL)
	assert.False(t, report.OK())
	assert.Contains(t, report.Problem, "200, and not by this process")
	assert.Contains(t, report.Fix, "if several processes serve this host")
	require.Len(t, report.Steps, 2, "its redirect is as good as ours")
	assert.False(t, report.Steps[0].Arrived)
	assert.EqualValues(t, 1, other.served.Load())
}

// Without a transport of the user's, Probe has its own, which leaves no connection behind.
func TestProbeOwnTransport(t *testing.T) {
	e := redirect.Must(redirect.New(redirect.Config{Canonical: chainHost, DangerouslyAnyHost: true}))
	closed := make(chan struct{})
	srv := httptest.NewUnstartedServer(e.Wrap(http.NotFoundHandler()))
	var once sync.Once
	srv.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			once.Do(func() { close(closed) })
		}
	}
	srv.Start()
	defer srv.Close()
	_, port, err := net.SplitHostPort(srv.Listener.Addr().String())
	require.NoError(t, err)
	report, err := e.Probe(t.Context(), "http://localhost:"+port+"/x")
	require.NoError(t, err)
	require.NotEmpty(t, report.Steps)
	assert.True(t, report.Steps[0].Arrived, report)
	assert.Equal(t, "https://localhost/x", report.Steps[0].Location)
	<-closed
}
