package forwarded_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/knownhops/knownhops/forwarded"
)

// TestRelays: a proxy that resolves the client by itself answers for the whole
// way, unless it did not know the hop in front of it.
func TestRelays(t *testing.T) {
	alb, outsider := "10.0.16.9", "203.0.113.7"
	hops := []forwarded.Hop{forwarded.Proxy("127.0.0.1"), forwarded.ALB("10.0.16.0/20")}
	for _, test := range []struct {
		name   string
		hops   []forwarded.Hop
		header map[string]string
		client string
		scheme forwarded.Scheme
		host   string
		port   uint16
		prefix string
	}{
		{"through both", hops, map[string]string{"X-Forwarded-For": outsider + ", " + alb, "X-Forwarded-Proto": "https", "X-Forwarded-Port": "443"},
			outsider, forwarded.HTTPS, "www.example.com", 443, ""},
		{"straight to the proxy", hops, map[string]string{"X-Forwarded-For": outsider, "X-Forwarded-Proto": "http", "X-Forwarded-Port": "80"},
			outsider, forwarded.HTTP, "www.example.com", 80, ""},
		{"a proxy that does not know the balancer", hops, map[string]string{"X-Forwarded-For": alb, "X-Forwarded-Proto": "http", "X-Forwarded-Port": "80"},
			"", forwarded.SchemeUnknown, "www.example.com", 0, ""},
		{"a client that the balancer does not name", hops, map[string]string{"X-Forwarded-For": "unknown, " + alb, "X-Forwarded-Proto": "https"},
			"", forwarded.HTTPS, "www.example.com", 0, ""},
		{"a scheme that the proxy does not know", hops, map[string]string{"X-Forwarded-For": outsider + ", " + alb},
			outsider, forwarded.SchemeUnknown, "www.example.com", 0, ""},
		{"a prefix of the proxy's own", hops, map[string]string{"X-Forwarded-For": outsider + ", " + alb, "X-Forwarded-Prefix": "/api", "X-Forwarded-Host": "shop.example.com"},
			outsider, forwarded.SchemeUnknown, "shop.example.com", 0, "/api"},
		{"overwritten further in", append([]forwarded.Hop{forwarded.Nginx("127.0.0.1")}, forwarded.Proxy("10.1.0.1"), forwarded.ALB("10.0.16.0/20")),
			map[string]string{"X-Forwarded-For": outsider + ", " + alb + ", 10.1.0.1", "X-Forwarded-Proto": "http"},
			outsider, forwarded.SchemeUnknown, "www.example.com", 0, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "/", nil)
			r.RemoteAddr, r.Host = "127.0.0.1:5000", "www.example.com"
			for name, value := range test.header {
				r.Header.Set(name, value)
			}
			info := forwarded.Must(forwarded.Behind(test.hops...)).Resolve(r)
			client := ""
			if info.Client.IsValid() {
				client = info.Client.String()
			}
			if client != test.client || info.Scheme != test.scheme || info.Host != test.host || info.Port != test.port || info.Prefix != test.prefix {
				t.Errorf("got %+v", info)
			}
		})
	}
}

func TestRelaysIsNoRuleForAddresses(t *testing.T) {
	hop := forwarded.Proxy("127.0.0.1")
	hop.For = forwarded.Relays("X-Forwarded-For")
	if _, err := forwarded.Behind(hop); err == nil {
		t.Error("accepted")
	}
}
