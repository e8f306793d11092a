package redirect

import (
	"fmt"
	"net/http"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/internal/turns"
	"github.com/knownhops/knownhops/internal/unverified"
)

// cause finds who turned a client's https into http, and says what to change.
// What only a hint shows, a client may have made up.
func cause(info *forwarded.Info, r, original *http.Request, signals []Signal) string {
	s := whoLostIt(info, r, original, bestHint(signals))
	if len(signals) > 0 && signals[0].Strength == Hint {
		return "if clients use https here: " + s
	}
	return s
}

func whoLostIt(info *forwarded.Info, r, original *http.Request, h *hint) string {
	if info.Hops == 0 {
		return causeUndeclared(info, original, h)
	}
	last := hopName(r, info.Hops)
	switch {
	case h == nil:
		return fmt.Sprintf("a proxy in front of %s ends TLS and asks it over http: have it ask over https, or declare it in Hops after %[1]s with the header in which it says the scheme", last)
	case h.key == "Cloudfront-Forwarded-Proto":
		return fmt.Sprintf("CloudFront asks %s over http: have it ask over https, or declare it after %[1]s, as CloudFront() with %s and ReplacesHost: false", last, h.rule)
	case h.key == "Cf-Visitor":
		return fmt.Sprintf("Cloudflare asks %s over http: set its encryption mode to Full (strict) instead of Flexible", last)
	case info.Hops > 1:
		return fmt.Sprintf("%s or a hop nearer than it overwrites X-Forwarded-Proto with its own scheme: have it pass the header on (%s), as Hops says that it does", hopName(r, info.Hops-1), nginxPasses)
	}
	return fmt.Sprintf("%s says http, but %s shows that TLS ends further out: have the proxy that ends TLS ask %[1]s over https; "+
		"or have %[1]s pass X-Forwarded-Proto on (%[3]s), with Proto: Passes(), and declare the proxy that ends TLS after it", last, h.name, nginxPasses)
}

const nginxPasses = "nginx: proxy_set_header X-Forwarded-Proto $http_x_forwarded_proto"

// causeUndeclared is for requests that no declared hop handed on.
func causeUndeclared(info *forwarded.Info, original *http.Request, h *hint) string {
	if h == nil {
		return "TLS ends in front of this process, and no header says so: use a balancer that sends X-Forwarded-Proto and declare it in Hops, " +
			"or, for an NLB's TLS listener, the PROXY protocol with forwarded.NLBTLS"
	}
	from := "unix"
	if info.Peer.IsValid() {
		from = turns.Network(info.Peer.Addr()).String()
	}
	s := fmt.Sprintf("the peer's %s says https, but no hop declares the peer: if it is your proxy, ", h.name)
	switch h.rule {
	case usual:
		return s + fmt.Sprintf("declare it, for example forwarded.Behind(forwarded.%s(%q))", preset(original.Header), from)
	case "":
		return s + fmt.Sprintf("have it send X-Forwarded-Proto too, and declare it, for example as forwarded.Trusted(%q)", from)
	}
	return s + fmt.Sprintf("declare it, for example as forwarded.Trusted(%q) with %s, or have it send X-Forwarded-Proto", from, h.rule)
}

// preset guesses who the peer is.
func preset(h http.Header) string {
	switch {
	case len(h["X-Amzn-Trace-Id"]) > 0:
		return "ALB"
	case len(h["Cf-Visitor"]) > 0:
		return "Cloudflare"
	}
	return "Trusted"
}

// bestHint is the hint behind the first signal that is one, or nil.
func bestHint(signals []Signal) *hint {
	for _, s := range signals {
		for i := range hints {
			if hints[i].name == s.Header {
				return &hints[i]
			}
		}
	}
	return nil
}

// hopName is the k-th hop's name as the policy around r has it.
func hopName(r *http.Request, k int) string {
	if s := unverified.From(r.Context()); s != nil && s.HopName(k) != "" {
		return fmt.Sprintf("hop %d (%q)", k, s.HopName(k))
	}
	return fmt.Sprintf("hop %d", k)
}
