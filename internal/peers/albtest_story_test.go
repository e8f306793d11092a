//go:build linux

package peers

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/proxy"
	"github.com/knownhops/knownhops/proxy/albtest"
)

// emulated puts albtest's balancer in front of something that listens on this machine. Its nodes connect from
// 127.0.0.1, as all programs here do, and its two listeners forward.
func emulated(t *testing.T, target string, edit func(*albtest.Config)) *albtest.Server {
	t.Helper()
	cfg := albtest.Config{
		TargetGroups: map[string]albtest.TargetGroup{"nginx": {Targets: []albtest.Target{{Addr: target}}}},
		Listeners: []albtest.Listener{
			{Port: 443, TLS: &albtest.TLS{}, Default: albtest.ForwardTo("nginx")},
			{Port: 80, Default: albtest.ForwardTo("nginx")},
		},
	}
	if edit != nil {
		edit(&cfg)
	}
	return albtest.Start(t, cfg)
}

// asked is the answer to a GET, all of it.
func asked(t *testing.T, c *http.Client, url string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := c.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp, string(body)
}

func latest(t *testing.T, s *albtest.Server) albtest.Entry {
	t.Helper()
	log := s.Log()
	require.NotEmpty(t, log)
	return log[len(log)-1]
}

// application answers with who the client is and the address it asked for, and redirects http to https.
func application(p *forwarded.Policy) http.Handler {
	return p.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i := forwarded.From(r)
		if i.Scheme == forwarded.HTTP {
			w.Header().Set("Location", "https://"+i.Host+r.URL.RequestURI())
			w.WriteHeader(http.StatusPermanentRedirect)
			return
		}
		fmt.Fprintf(w, "%v %v %v", i.Client, i.Scheme, i.URL(r))
	}))
}

// storyHops are nginx and the balancer, which both connect from 127.0.0.1: each is consumed once, nearest first.
func storyHops(edit func(forwarded.Hop) forwarded.Hop) []forwarded.Hop {
	return []forwarded.Hop{edit(forwarded.Nginx(nearNet)), forwarded.ALB(nearNet)}
}

func unedited(h forwarded.Hop) forwarded.Hop { return h }

// nginx with $scheme turns the balancer's https into http; an application that believes it redirects for ever. With the
// hops declared, the scheme is unknown; with the line taken out of nginx, it is known.
func TestALBStoryNginxScheme(t *testing.T) {
	naive := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Forwarded-Proto") != "https" {
			http.Redirect(w, r, "https://"+r.Host+r.URL.RequestURI(), http.StatusMovedPermanently)
		}
	})
	front, _ := startNginx(t, nginxConf{upstream: listenFront(t, "127.0.0.1:0", naive, false), lines: nginxUsual})
	s := emulated(t, front.addr, nil)
	resp, _ := asked(t, s.Client(), s.HTTPSURL+"/cart")
	assert.Equal(t, s.HTTPSURL+"/cart", resp.Header.Get("Location"), "round and round")
	assert.Equal(t, albtest.ByTarget, latest(t, s).AnsweredBy)
	assert.Contains(t, latest(t, s).Got, "X-Forwarded-Proto: https\r\n", "it was nginx, not the balancer")

	declared := listenFront(t, "127.0.0.1:0", application(policyOf(t, storyHops(unedited)...)), false)
	front, _ = startNginx(t, nginxConf{upstream: declared, lines: nginxUsual})
	s = emulated(t, front.addr, nil)
	resp, body := asked(t, s.ClientFrom(netip.MustParseAddr("203.0.113.77")), s.HTTPSURL+"/cart", "X-Forwarded-For", "6.6.6.6")
	assert.Equal(t, 200, resp.StatusCode)
	assert.Equal(t, "203.0.113.77 unknown <nil>", body)

	mended := listenFront(t, "127.0.0.1:0", application(policyOf(t, storyHops(passingProto)...)), false)
	front, _ = startNginx(t, nginxConf{upstream: mended, lines: nginxNoProto})
	s = emulated(t, front.addr, nil)
	_, body = asked(t, s.ClientFrom(netip.MustParseAddr("203.0.113.77")), s.HTTPSURL+"/cart", "X-Forwarded-For", "6.6.6.6")
	assert.Equal(t, "203.0.113.77 https https://www.example.com/cart", body)
	resp, _ = asked(t, s.Client(), s.HTTPURL+"/cart")
	assert.Equal(t, "https://www.example.com/cart", resp.Header.Get("Location"), "without any of the ports in between")
}

// nginx runs and the application does not: nginx answers 502, and the balancer says that its target did. When nginx is
// gone as well, the balancer answers itself. In nginx's place, this module's proxy says in its log what to do.
func TestALBStoryWhose502(t *testing.T) {
	dead := freeAddrs(t, 1)[0]
	front, _ := startNginx(t, nginxConf{upstream: dead, lines: nginxUsual})
	s := emulated(t, front.addr, nil)
	resp, body := asked(t, s.Client(), s.HTTPSURL)
	assert.Equal(t, 502, resp.StatusCode)
	assert.Contains(t, resp.Header.Get("Server"), "nginx")
	assert.Contains(t, body, "nginx")
	e := latest(t, s)
	assert.Equal(t, albtest.ByTarget, e.AnsweredBy)
	assert.Equal(t, albtest.Status(502), e.TargetStatusCode)
	h := s.TargetGroup("nginx").Health()[0]
	assert.Equal(t, albtest.ResponseCodeMismatch, h.Reason)
	assert.Equal(t, "Health checks failed with these codes: [502]", h.Description)

	s = emulated(t, freeAddrs(t, 1)[0], nil)
	resp, _ = asked(t, s.Client(), s.HTTPSURL)
	assert.Equal(t, "awselb/2.0", resp.Header.Get("Server"))
	e = latest(t, s)
	assert.Equal(t, albtest.ByBalancer, e.AnsweredBy)
	assert.Equal(t, albtest.NoStatus, e.TargetStatusCode)
	assert.Equal(t, "ConnectionRefused", e.ErrorReason)
	assert.Equal(t, albtest.FailedHealthChecks, s.TargetGroup("nginx").Health()[0].Reason)

	o := startOurs(t, proxy.Config{Upstreams: []string{"http://" + dead}, Policy: policyOf(t, forwarded.ALB(nearNet))})
	s = emulated(t, o.plain.addr, nil)
	resp, _ = asked(t, s.Client(), s.HTTPSURL)
	assert.Equal(t, 502, resp.StatusCode)
	assert.Contains(t, resp.Header.Get("Proxy-Status"), "error=connection_refused")
	assert.Equal(t, albtest.ByTarget, latest(t, s).AnsweredBy)
	assert.NotEmpty(t, o.log.containing("nothing listens there"))
	assert.NotEmpty(t, o.log.containing(dead))
}

// nginx redirects the balancer's health check to https like everything else that it got over http.
func TestALBStoryNginxRedirectsTheHealthCheck(t *testing.T) {
	a := startApp(t, "127.0.0.1:0")
	redirecting := []string{`if ($http_x_forwarded_proto != "https") { return 301 https://$host$request_uri; }`}
	front, _ := startNginx(t, nginxConf{upstream: a.addr, lines: append(redirecting, nginxNoProto...)})
	s := emulated(t, front.addr, nil)
	h := s.TargetGroup("nginx").Health()[0]
	assert.Equal(t, albtest.Unhealthy, h.State)
	assert.Equal(t, albtest.ResponseCodeMismatch, h.Reason)
	assert.Equal(t, "Health checks failed with these codes: [301]", h.Description)

	resp, _ := asked(t, s.Client(), s.HTTPURL+"/cart")
	assert.Equal(t, "https://www.example.com/cart", resp.Header.Get("Location"))
	e := latest(t, s)
	assert.Equal(t, albtest.ByTarget, e.AnsweredBy)
	assert.Contains(t, resp.Header.Get("Server"), "nginx", "of the three who could, nginx redirected")
}

// A target group with port 443, on which nginx does not listen, beside the one where it does.
func TestALBStoryTargetGroupOnPort443(t *testing.T) {
	a := startApp(t, "127.0.0.1:0")
	front, _ := startNginx(t, nginxConf{upstream: a.addr, lines: nginxUsual})
	s := emulated(t, front.addr, func(c *albtest.Config) {
		c.TargetGroups["nginx-443"] = albtest.TargetGroup{
			Protocol: albtest.HTTPS, Targets: []albtest.Target{{Addr: freeAddrs(t, 1)[0]}},
		}
		c.Listeners = append(c.Listeners, albtest.Listener{Port: 8443, TLS: &albtest.TLS{}, Default: albtest.ForwardTo("nginx-443")})
	})
	assert.Equal(t, albtest.Healthy, s.TargetGroup("nginx").Health()[0].State)
	h := s.TargetGroup("nginx-443").Health()[0]
	assert.Equal(t, albtest.Unhealthy, h.State)
	assert.Equal(t, albtest.FailedHealthChecks, h.Reason)
	resp, _ := asked(t, s.Client(), "https://www.example.com:8443/")
	assert.Equal(t, 502, resp.StatusCode)
	assert.Contains(t, latest(t, s).Why, "nothing listens on 127.0.0.1:")
}

// Straight to nginx, past the balancer: nginx redirects to the address that was asked for, for which there is no
// certificate. The application behind it, asked by a name that is not its own, refuses and redirects nobody.
func TestALBStoryStraightToTheInstance(t *testing.T) {
	a := startApp(t, "127.0.0.1:0")
	redirecting := []string{`if ($http_x_forwarded_proto != "https") { return 301 https://$host$request_uri; }`}
	front, _ := startNginx(t, nginxConf{upstream: a.addr, lines: append(redirecting, nginxNoProto...)})
	resp, _ := asked(t, emulated(t, front.addr, nil).Direct("nginx"), "http://192.0.2.1/cart")
	assert.Equal(t, "https://192.0.2.1/cart", resp.Header.Get("Location"))

	hops, err := forwarded.New(forwarded.Config{Hops: storyHops(passingProto), Hosts: []string{albtest.DefaultHost}})
	require.NoError(t, err)
	guarded := hops.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if forwarded.From(r).Host == "" {
			w.WriteHeader(http.StatusMisdirectedRequest)
		}
	}))
	front, _ = startNginx(t, nginxConf{upstream: listenFront(t, "127.0.0.1:0", guarded, false), lines: nginxNoProto})
	s := emulated(t, front.addr, nil)
	resp, _ = asked(t, s.Direct("nginx"), "http://192.0.2.1/cart")
	assert.Equal(t, http.StatusMisdirectedRequest, resp.StatusCode)
	assert.Empty(t, resp.Header.Get("Location"))
	resp, _ = asked(t, s.Client(), s.HTTPSURL)
	assert.Equal(t, 200, resp.StatusCode)
}
