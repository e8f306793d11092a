package albtest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestConditions(t *testing.T) {
	const request = "GET /img/a%20B.png?Version=v1&flag&x=1 HTTP/1.1\r\nHost: WWW.Example.com:80\r\nUser-Agent: Chrome\r\nUser-Agent: Safari/5\r\n\r\n"
	m := came(t, 80, "192.0.2.1:1", request, false)
	for _, row := range []struct {
		condition Condition
		want      bool
	}{
		{HostHeader{"www.example.com"}, true},
		{HostHeader{"other.example", "*.EXAMPLE.com"}, true},
		{HostHeader{"example.com"}, false},
		{HostHeader{"???.example.com"}, true},
		{HostHeader{"??.example.com"}, false},
		{PathPattern{"/img/*"}, true},
		{PathPattern{"/IMG/*"}, false},
		{PathPattern{"/img/a%20?.png"}, true},
		{PathPattern{"/img"}, false},
		{PathPattern{"*"}, true},
		{HTTPHeader{"user-agent", []string{"*safari*"}}, true},
		{HTTPHeader{"User-Agent", []string{"chrome"}}, true},
		{HTTPHeader{"User-Agent", []string{"firefox*"}}, false},
		{HTTPHeader{"X-None", []string{"*"}}, false},
		{RequestMethod{"POST", "GET"}, true},
		{RequestMethod{"get"}, false},
		{QueryString{{"version", "V1"}}, true},
		{QueryString{{"", "v?"}}, true},
		{QueryString{{"flag", "x"}}, false},
		{QueryString{{"*", "1"}}, true},
		{SourceIP{"198.51.100.0/24", "192.0.2.0/24"}, true},
		{SourceIP{"192.0.2.2/32"}, false},
	} {
		assert.Equal(t, row.want, row.condition.holds(m), "%T%v", row.condition, row.condition)
	}
	mapped := came(t, 80, "[::ffff:192.0.2.1]:1", request, false)
	assert.True(t, SourceIP{"192.0.2.0/24"}.holds(mapped))
	bare := came(t, 80, "192.0.2.1:1", "GET /*x HTTP/1.1\r\nHost: example.com\r\n\r\n", false)
	assert.False(t, HostHeader{"*.example.com"}.holds(bare), "the name itself is not one of its subdomains")
}

func TestWildcard(t *testing.T) {
	for _, row := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true}, {"*", "", true}, {"?", "", false}, {"a*b*c", "aXbYbZc", true}, {"a*b*c", "aXbYbZ", false},
		{"**", "x", true}, {"*?", "x", true}, {"*a", "aab", false}, {strings.Repeat("*a", 20) + "b", strings.Repeat("a", 2000), false},
	} {
		assert.Equal(t, row.want, wildcard(row.pattern, row.s), "%q %q", row.pattern, row.s)
	}
}

func TestRedirectPlaceholders(t *testing.T) {
	const request = "GET /a/b?c=d HTTP/1.1\r\nHost: example.org:99\r\n\r\n"
	for _, row := range []struct {
		redirect Redirect
		request  string
		want     string
	}{
		{ToHTTPS(), request, "https://example.org:443/a/b?c=d"},
		{ToHTTPS(), "GET / HTTP/1.1\r\nHost: example.org\r\n\r\n", "https://example.org:443/"},
		{ToHTTPS(), "GET /? HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n\r\n", "https://[2001:db8::1]:443/"},
		{Redirect{Port: "443"}, request, "http://example.org:443/a/b?c=d"},
		{Redirect{Host: "www.#{host}"}, request, "http://www.example.org:8080/a/b?c=d"},
		{Redirect{Path: "/#{protocol}/#{host}/#{port}/#{path}", Query: "q=#{query}&n=1"}, request, "http://example.org:8080/http/example.org/8080/a/b?q=c=d&n=1"},
		{Redirect{Protocol: "#{protocol}", Host: "#{host}", Port: "81", Path: "/#{path}", Query: "#{query}"}, request, "http://example.org:81/a/b?c=d"},
	} {
		assert.Equal(t, row.want, row.redirect.location(came(t, 8080, "192.0.2.1:1", row.request, false)))
	}
}

func TestRulesInOrder(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		say1 := FixedResponse{StatusCode: 404, MessageBody: "one"}
		say2 := FixedResponse{StatusCode: 200, ContentType: "application/json", MessageBody: "{}"}
		s := one(t, func(c *Config) {
			c.Listeners = onlyHTTP(80,
				Rule{Priority: 20, Conditions: []Condition{PathPattern{"/x*"}}, Action: say2},
				Rule{Priority: 10, Conditions: []Condition{PathPattern{"/x*"}, RequestMethod{"GET"}}, Action: say1},
				Rule{Priority: 30, Conditions: []Condition{PathPattern{"/to"}}, Action: Redirect{Host: strings.Repeat("a", 50) + ".example", StatusCode: 302}},
				Rule{Priority: 40, Conditions: []Condition{PathPattern{"/empty"}}, Action: FixedResponse{StatusCode: 204}})
			c.Listeners[0].Attributes = ListenerAttributes{DisableServerHeader: true, ResponseHeaders: map[string]string{"Content-Type": "text/x"}}
			c.Unknowns.MaxLocation = 80
		})
		const end = " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
		assert.Equal(t, "HTTP/1.1 404 Not Found\r\n"+dateLine+"Content-Length: 3\r\nConnection: close\r\nContent-Type: text/x\r\n\r\none", say(t, s, 80, "GET /x"+end))
		assert.Equal(t, 10, latest(t, s).Rule)
		assert.Contains(t, say(t, s, 80, "POST /x"+end), "200 OK")
		assert.Equal(t, 20, latest(t, s).Rule)
		assert.Contains(t, say(t, s, 80, "GET /to"+end), "HTTP/1.1 302 Moved Temporarily\r\n")
		assert.Contains(t, say(t, s, 80, "GET /to?"+strings.Repeat("b", 30)+end), "HTTP/1.1 507 ")
		assert.Equal(t, "HTTP/1.1 204 No Content\r\n"+dateLine+"Content-Type: text/x\r\nConnection: close\r\n\r\n", say(t, s, 80, "GET /empty"+end))
		assert.Contains(t, say(t, s, 80, "GET /y"+end), "GET a /y from")
		assert.Zero(t, latest(t, s).Rule)
		assert.Contains(t, say(t, s, 80, "HEAD /x"+end), "Content-Type: text/x\r\n\r\n")
	})
}

func TestWeights(t *testing.T) {
	to := newTurns(Forward{{"a", 3}, {"b", 1}, {"none", 0}})
	got := map[string]int{}
	for range 40 {
		got[to.next()]++
	}
	assert.Equal(t, map[string]int{"a": 30, "b": 10}, got)
	assert.Equal(t, "a", newTurns(ForwardTo("a")).next())
	assert.Empty(t, newTurns(Forward{{"a", 0}, {"b", 0}}).next())
}

// TestUnknowns turns each switch that the front has.
func TestUnknowns(t *testing.T) {
	thirty := strings.TrimSuffix(strings.Repeat("a,", 30), ",")
	for _, row := range []struct {
		name, request string
		switched      Unknowns
		off, on       string
	}{
		{"limit", "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: " + thirty + "\r\n\r\n", Unknowns{XFFLimitCountsPeer: true}, "200 OK", "463 "},
		{"names", "GET / HTTP/1.1\r\nHost: a\r\nX_Y: 1\r\n\r\n", Unknowns{RejectInvalidNames: true}, "200 OK", "400 Bad Request"},
		{"LF", "GET / HTTP/1.1\nHost: a\n\n", Unknowns{RejectBareLF: true}, "200 OK", "400 Bad Request"},
		{"title", "GET /none HTTP/1.1\r\nHost: a\r\n\r\n", Unknowns{StandardTitles: true}, "503 Service Temporarily Unavailable", "503 Service Unavailable"},
	} {
		for want, u := range map[string]Unknowns{row.off: {}, row.on: row.switched} {
			t.Run(fmt.Sprintf("%s %s", row.name, want), func(t *testing.T) {
				inBubble(t, func(t *testing.T) {
					s := one(t, func(c *Config) {
						c.Unknowns = u
						c.TargetGroups["none"] = TargetGroup{}
						c.Listeners = onlyHTTP(80, Rule{Priority: 1, Conditions: []Condition{PathPattern{"/none"}}, Action: ForwardTo("none")})
					})
					assert.True(t, strings.HasPrefix(say(t, s, 80, row.request), "HTTP/1.1 "+want))
				})
			})
		}
	}
}

func TestPipelinedRequests(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := one(t, func(c *Config) { c.Listeners = onlyHTTP(80) })
		got := say(t, s, 80, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /3 HTTP/1.0\r\n\r\n")
		assert.Equal(t, 3, strings.Count(got, "HTTP/1.1 200 OK\r\n"), got)
		log := s.Log()
		require.Len(t, log, 3)
		assert.Contains(t, log[2].Got, "GET /3 HTTP/1.1\r\n")
		assert.Contains(t, log[2].Got, "\r\nHost: balancer.example.com\r\n")
		assert.Less(t, time.Since(log[2].Time), time.Minute)
	})
}
