package albtest

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestRealTarget has something that runs already behind the balancer, as a
// real nginx would.
func TestRealTarget(t *testing.T) {
	before := runtime.NumGoroutine()
	app := httptest.NewServer(hello)
	s, err := New(Config{
		TargetGroups: map[string]TargetGroup{"app": {Targets: []Target{{Addr: app.Listener.Addr().String()}}}},
		Listeners:    []Listener{{Port: 8443, TLS: &TLS{}, Default: ForwardTo("app")}},
	})
	require.NoError(t, err)
	assert.Empty(t, s.HTTPURL)
	assert.Equal(t, "https://www.example.com:8443", s.HTTPSURL)
	assert.Equal(t, Healthy, s.TargetGroup("app").Health()[0].State)

	client := s.ClientFrom(netip.MustParseAddr("2001:db8::7"))
	_, body := fetch(t, client, "GET", s.HTTPSURL+"/x", "")
	assert.Contains(t, body, "GET www.example.com:8443 /x from 127.0.0.1:")
	assert.Contains(t, latest(t, s).Got, "X-Forwarded-For: 2001:db8::7\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 8443\r\n")
	_, err = client.Get("https://www.example.com/") //nolint:bodyclose // there is none
	require.ErrorContains(t, err, "listener 443")

	outside, err := tls.Dial("tcp", s.Addr(8443), &tls.Config{RootCAs: s.CertPool()})
	require.NoError(t, err, "the certificate fits the loopback address")
	got := converse(t, outside, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
	assert.Contains(t, got, "200 OK")
	assert.Contains(t, latest(t, s).Got, "X-Forwarded-For: 203.0.113.10\r\n")
	require.NoError(t, outside.Close())
	assert.Empty(t, s.Addr(80))

	app.Close()
	resp, _ := fetch(t, s.Client(), "GET", s.HTTPSURL, "")
	assert.Equal(t, 502, resp.StatusCode)
	assert.Equal(t, "ConnectionRefused", latest(t, s).ErrorReason)

	at := s.Addr(8443)
	s.Close()
	_, err = net.Dial("tcp", at)
	require.Error(t, err, "nothing listens any more")
	for range 1000 {
		if runtime.NumGoroutine() <= before {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	stacks := make([]byte, 1<<16)
	t.Errorf("goroutines are left:\n%s", stacks[:runtime.Stack(stacks, true)])
}

func TestDirectGoesPast(t *testing.T) {
	s := NewServer(t, hello)
	resp, err := s.Direct(DefaultGroup).Get("http://anything.example/x")
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	_, from, _ := strings.Cut(string(body), " from ")
	from, _, _ = strings.Cut(from, ": ")
	peer, err := netip.ParseAddrPort(from)
	require.NoError(t, err)
	assert.False(t, inSubnets(peer.Addr()), "%s is not a node", peer)
	assert.Empty(t, s.Log())
}

func TestTargetThatIsAbsent(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := one(t, func(c *Config) {
			c.TargetGroups["app"] = TargetGroup{Targets: []Target{{Absent: true}}, Port: 443}
			c.Listeners = onlyHTTP(80)
		})
		h := s.TargetGroup("app").Health()[0]
		assert.Equal(t, FailedHealthChecks, h.Reason, "the target group for port 443 in front of a service that listens on 80")
		resp, _ := fetch(t, s.Client(), "GET", s.HTTPURL, "")
		assert.Equal(t, 502, resp.StatusCode, "all are unhealthy, so all get requests")
	})
}

func TestGroupsOfWeights(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		say := func(text string) TargetGroup {
			return TargetGroup{Targets: []Target{{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, text) })}}}
		}
		s := Start(t, Config{
			InMemory:     true,
			TargetGroups: map[string]TargetGroup{"blue": say("blue"), "green": say("green")},
			Listeners:    []Listener{{Port: 80, Default: Forward{{"blue", 1}, {"green", 3}}}},
		})
		got := map[string]int{}
		for range 8 {
			_, body := fetch(t, s.Client(), "GET", s.HTTPURL, "")
			got[body]++
		}
		assert.Equal(t, map[string]int{"blue": 2, "green": 6}, got)
		assert.PanicsWithValue(t, `albtest: no target group "red"; there are ["blue" "green"]`, func() { s.TargetGroup("red") })
		assert.Panics(t, func() { s.Fault(Fault{}) })
		s.Fault(Fault{Kind: Refuse, Group: "blue", Requests: -1})
		codes := map[int]int{}
		for range 8 {
			resp, _ := fetch(t, s.Client(), "GET", s.HTTPURL, "")
			codes[resp.StatusCode]++
		}
		assert.Equal(t, map[int]int{502: 2, 200: 6}, codes)
		s.Mend()
		for range 4 {
			resp, _ := fetch(t, s.Client(), "GET", s.HTTPURL, "")
			assert.Equal(t, 200, resp.StatusCode)
		}
	})
}

func TestEntryString(t *testing.T) {
	e := Entry{Type: "https", Client: netip.MustParseAddrPort("192.0.2.1:5"), Target: "10.0.16.10:80", ELBStatusCode: 502, AnsweredBy: ByBalancer, Why: "nothing listens on 10.0.16.10:80"}
	assert.Equal(t, "https 192.0.2.1:5 10.0.16.10:80 elb_status_code=502 target_status_code=- answered by balancer: nothing listens on 10.0.16.10:80", e.String())
}

// TestPoolOverTLS keeps connections to targets with TLS as well, whose reads
// are interrupted each time a request takes one.
func TestPoolOverTLS(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := one(t, func(c *Config) {
			c.TargetGroups["app"] = TargetGroup{Targets: []Target{{Handler: hello}}, Protocol: HTTPS, HealthCheck: HealthCheck{Protocol: HTTPS}}
			c.Listeners = onlyHTTP(80)
		})
		peers := map[string]int{}
		for range 3 {
			_, body := fetch(t, s.Client(), "POST", s.HTTPURL, "abc")
			_, from, _ := strings.Cut(body, "from ")
			peers[from]++
			time.Sleep(30 * time.Second)
		}
		assert.Len(t, peers, 1)
	})
}

// TestManyClientsAtOnce is for the race detector: nobody gets another one's
// answer.
func TestManyClientsAtOnce(t *testing.T) {
	for _, version := range []ProtocolVersion{HTTP1, HTTP2} {
		s := Start(t, Config{TargetGroups: map[string]TargetGroup{"app": {Targets: []Target{{Handler: hello}, {Handler: hello}}, ProtocolVersion: version}}})
		s.Fault(Fault{Kind: IdleRace, Requests: 5})
		var work sync.WaitGroup
		var failed atomic.Int32
		for i := range 8 {
			client := s.ClientFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}))
			work.Go(func() {
				for j := range 15 {
					path, text := fmt.Sprintf("/%d/%d", i, j), strings.Repeat("x", 3000*(j%3))
					resp, err := client.Post(s.HTTPSURL+path, "text/plain", strings.NewReader(text))
					if !assert.NoError(t, err) {
						return
					}
					body, err := io.ReadAll(resp.Body)
					assert.NoError(t, err)
					resp.Body.Close()
					if resp.StatusCode == 502 {
						failed.Add(1)
						continue
					}
					assert.True(t, strings.HasPrefix(string(body), "POST www.example.com "+path+" from ") && strings.HasSuffix(string(body), ": "+text), "%.200s", body)
				}
			})
		}
		work.Wait()
		assert.EqualValues(t, 5, failed.Load())
		assert.Len(t, s.Log(), 120)
	}
}

// TestRefusalArrives has a client that is still sending when it is refused: the
// connection has an orderly end, for a reset could overtake the answer.
func TestRefusalArrives(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := one(t, nil)
		c, err := s.Dial(t.Context(), netip.MustParseAddr("203.0.113.7"), 80)
		require.NoError(t, err)
		defer c.Close()
		_, err = io.WriteString(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n"+strings.Repeat("x", 200<<10))
		require.NoError(t, err)
		answer, err := io.ReadAll(c)
		require.NoError(t, err)
		assert.True(t, strings.HasPrefix(string(answer), "HTTP/1.1 400 "), "%.100q", answer)
	})
}

// A target that names no address gets one that no other target names.
func TestAddressesDoNotCollide(t *testing.T) {
	answer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {})
	s, err := New(Config{InMemory: true, TargetGroups: map[string]TargetGroup{
		"a": {Targets: []Target{{Handler: answer}}},
		"b": {Targets: []Target{{Handler: answer, IP: netip.MustParseAddr(firstMachine)}}},
	}, Listeners: []Listener{{Port: 80, Default: ForwardTo("a")}}})
	require.NoError(t, err)
	s.Close()
}
