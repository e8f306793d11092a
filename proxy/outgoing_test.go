package proxy

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/stretchr/testify/assert"
)

// browserLines are nine headers of which all but the last two are a browser's.
func browserLines() []string {
	return []string{"User-Agent: Mozilla/5.0", "Accept: */*", "Accept-Encoding: gzip", "Accept-Language: en", "Cookie: session=1234", "Referer: http://good.test/"}
}

func TestEndToEndHeadersPass(t *testing.T) {
	lines := append(browserLines(), "X-A: 1", "X-A: 2", "X-Amzn-Trace-Id: Root=1-2", "Traceparent: 00-1", "Under_score: v", "Authorization: Bearer a", "Expectation: none", "Content-Type: a/b")
	out := sent(t, policyOf(t, albHop()), behindALB(lines...), Headers{})
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		assert.Contains(t, out[http.CanonicalHeaderKey(name)], value, name)
	}
	assert.Equal(t, []string{"1", "2"}, out["X-A"])
}

// framingNames are hop-by-hop or written by the engine.
var framingNames = []string{"Connection", "Proxy-Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Authentication-Info", "Te", "Trailer",
	"Transfer-Encoding", "Upgrade", "Http2-Settings", "Content-Length", "Host", "Expect"}

// TestFramingStays: neither the names nor anything that reads like them.
func TestFramingStays(t *testing.T) {
	for _, name := range framingNames {
		for _, alias := range []string{name, strings.ToLower(name), strings.ReplaceAll(name, "-", "_"), strings.ReplaceAll(name, "-", "."), name + "_", "_" + name, strings.ToUpper(name) + "."} {
			in := requestFrom(clientAddr)
			in.Header[alias] = []string{"5"}
			out := http.Header{}
			outgoing(out, in, forwarded.Info{}, &Headers{})
			assert.NotContains(t, out, alias)
		}
		for _, other := range []string{"Q-" + name, name + "s", name + "-Q"} {
			in := requestFrom(clientAddr)
			in.Header[other] = []string{"5"}
			out := http.Header{}
			outgoing(out, in, forwarded.Info{}, &Headers{})
			assert.Contains(t, out, other)
		}
	}
}

// TestTE: a proxy promises trailers for others, and no coding.
func TestTE(t *testing.T) {
	for te, want := range map[string][]string{"trailers": {"trailers"}, "Trailers, deflate": {"trailers"}, "deflate": nil, "trailersx": nil, "": nil} {
		out := sent(t, policyOf(t), requestFrom(clientAddr, "Te: "+te, "Connection: TE"), Headers{})
		assert.Equal(t, want, out["Te"], te)
		assert.NotContains(t, out, "Connection")
	}
}

// nomination is a request of a client that wants everything removed.
func nomination(connection ...string) *http.Request {
	r := behindALB("Authorization: Bearer a", "Cookie: a=b", "Content-Type: a/b", "Cache-Control: no-cache", "X-Amzn-Oidc-Data: jwt", "X-Forwarded-User: alice",
		"X-Keep: k", "Via: 1.0 fred")
	r.Header["Connection"] = connection
	return r
}

// nominateEverything checks what a nomination may remove and what not.
func nominateEverything(t *testing.T, connection ...string) {
	t.Helper()
	hop := albHop()
	hop.Vouches = []string{"X-Forwarded-User"}
	h := Headers{Keep: []string{"X-Forwarded-User"}, RealIP: Set, Forwarded: Set, Via: "me"}
	without := sent(t, policyOf(t, hop), nomination(), h)
	assert.Equal(t, []string{"k"}, without["X-Keep"])
	delete(without, "X-Keep")
	assert.Equal(t, without, sent(t, policyOf(t, hop), nomination(connection...), h))
	assert.Len(t, without, 13)
}

const everyName = "close, X-Forwarded-For, x-forwarded-proto, X-Forwarded-Host, X-Forwarded-Port, X-Real-IP, Forwarded, Authorization, cookie, Content-Type, " +
	"Cache-Control, X-Amzn-Oidc-Data, x-forwarded-user, X-Keep, Via, Host"

// The first line is empty, or says nothing.
func TestCVE_2021_33197(t *testing.T) {
	nominateEverything(t, "", everyName)
	nominateEverything(t, ",", "keep-alive", everyName)
}

// What the proxy sets cannot be nominated.
func TestGolangIssue50580(t *testing.T)    { nominateEverything(t, everyName) }
func TestCVE_2022_31813(t *testing.T)      { nominateEverything(t, everyName) }
func TestGHSA_m697_4v8f_55qg(t *testing.T) { nominateEverything(t, strings.ToLower(everyName)) }
func TestGHSA_62c8_mh53_4cqv(t *testing.T) { nominateEverything(t, strings.ToUpper(everyName)) }
func TestCVE_2025_48865(t *testing.T)      { nominateEverything(t, strings.Split(everyName, ", ")...) }
func TestNominationIsNotPassedOn(t *testing.T) {
	assert.NotContains(t, sent(t, policyOf(t, albHop()), nomination(everyName), Headers{}), "Connection")
}

// TestCVE_2016_5385 is httpoxy: CGI programs take the header for
// the variable HTTP_PROXY.
func TestCVE_2016_5385(t *testing.T) {
	assert.NotContains(t, sent(t, policyOf(t), requestFrom(clientAddr, "Proxy: http://evil.test"), Headers{}), "Proxy")
}

// outgoingCase is the usual request behind a balancer.
func outgoingCase(t testing.TB) (in *http.Request, info forwarded.Info) {
	in = wrapped(t, policyOf(t, albHop()), behindALB(browserLines()...))
	return in, forwarded.From(in)
}

// TestOutgoingAllocates: one text for all values that are written, and one
// slice.
func TestOutgoingAllocates(t *testing.T) {
	in, info := outgoingCase(t)
	for name, c := range map[string]struct {
		h    Headers
		want float64
	}{"auto": {Headers{}, 2}, "via": {Headers{Via: "me"}, 2}, "all": {Headers{Via: "me", RealIP: Set, Forwarded: Append}, 2}} {
		out := http.Header{}
		got := testing.AllocsPerRun(100, func() {
			clear(out)
			outgoing(out, in, info, &c.h)
		})
		assert.LessOrEqual(t, got, c.want, name)
	}
}

func BenchmarkOutgoing(b *testing.B) {
	in, info := outgoingCase(b)
	hostile := in.Clone(in.Context())
	hostile.Header["Connection"] = []string{strings.Repeat("x,", 20000)}
	many := in.Clone(in.Context())
	for i := range 500 {
		many.Header.Set(fmt.Sprintf("X-A-%d", i), "v")
	}
	for _, c := range []struct {
		name string
		in   *http.Request
		h    Headers
	}{{"usual", in, Headers{}}, {"all", in, Headers{Via: "me", RealIP: Set, Forwarded: Append}}, {"nominations", hostile, Headers{}}, {"500 headers", many, Headers{}}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			out := http.Header{}
			for b.Loop() {
				clear(out)
				outgoing(out, c.in, info, &c.h)
			}
		})
	}
}
