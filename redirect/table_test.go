package redirect_test

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/redirect"
)

var discard = slog.New(slog.DiscardHandler)

// settings are the switches one by one, and those that have to do with each
// other together.
func settings() []setting {
	yes := func(forwarded.Info, string) bool { return true }
	no := func(forwarded.Info, string) bool { return false }
	week := setting{hsts: "max-age=604800", aliasHSTS: "max-age=604800"}
	list := []setting{
		{name: "defaults"},
		{name: "RefuseUnsafe", cfg: redirect.Config{RefuseUnsafe: true}},
		{name: "RefuseUnknown", cfg: redirect.Config{RefuseUnknown: true}},
		{name: "RequireProxy", cfg: redirect.Config{RequireProxy: true}},
		{name: "OneHop", cfg: redirect.Config{OneHop: true}},
		{name: "NoLoopMarker", cfg: redirect.Config{NoLoopMarker: true}},
		{name: "AnyHost", cfg: redirect.Config{DangerouslyAnyHost: true}},
		{name: "AnyHost, subdomains", cfg: redirect.Config{DangerouslyAnyHost: true, OneHop: true, HSTS: redirect.HSTS{MaxAge: redirect.OneWeek.MaxAge, IncludeSubDomains: true}},
			hsts: "max-age=604800; includeSubDomains", aliasHSTS: "max-age=604800"},
		{name: "HTTPSPort", cfg: redirect.Config{HTTPSPort: 8443, OneHop: true}},
		{name: "HTTPSPort 443", cfg: redirect.Config{HTTPSPort: 443}},
		{name: "proved", cfg: redirect.Config{Proof: yes, RefuseWithoutProof: true}, proved: true},
		{name: "not proved", cfg: redirect.Config{Proof: no}},
		{name: "not proved, no marker", cfg: redirect.Config{Proof: no, NoLoopMarker: true, RefuseUnsafe: true}},
		{name: "not proved, refused", cfg: redirect.Config{Proof: no, RefuseWithoutProof: true, RefuseUnsafe: true}},
		{name: "no memory of proof", cfg: redirect.Config{RefuseWithoutProof: true}},
		{name: "not proved, HSTS", cfg: redirect.Config{Proof: no, HSTS: redirect.OneWeek}, hsts: week.hsts, aliasHSTS: week.aliasHSTS},
		{name: "HSTS", cfg: redirect.Config{HSTS: redirect.OneHour}, hsts: "max-age=3600", aliasHSTS: "max-age=3600"},
		{name: "Preload", cfg: redirect.Config{HSTS: redirect.Preload}, hsts: "max-age=63072000; includeSubDomains; preload", aliasHSTS: "max-age=63072000"},
		{name: "Clear", cfg: redirect.Config{HSTS: redirect.Clear}, hsts: "max-age=0", aliasHSTS: "max-age=0"},
		{name: "strict", cfg: redirect.Config{RefuseUnsafe: true, RefuseUnknown: true, RequireProxy: true, HSTS: redirect.OneYear, Exempt: []string{}},
			hsts: "max-age=31536000", aliasHSTS: "max-age=31536000"},
	}
	for i := range list {
		c := &list[i].cfg
		c.Canonical, c.Aliases, c.PlainHosts, c.Logger = canonical, []string{apex, other, wildcard}, []string{plain}, discard
		if c.Exempt == nil {
			c.Exempt = []string{"/open"}
		}
	}
	return list
}

func hostCases() []hostCase {
	return []hostCase{
		{canonical, canonicalHost, canonical},
		{canonical + ".", canonicalHost, canonical},
		{canonical + ":8080", canonicalHost, canonical},
		{"WWW.Example.COM", canonicalHost, canonical},
		{apex, apexHost, apex},
		{"EXAMPLE.com.:80", apexHost, apex},
		{other, otherHost, other},
		{"a.b.old.example", wildcardHost, "a.b.old.example"},
		{"X.OLD.example.:80", wildcardHost, "x.old.example"},
		{plain, plainHost, plain},
		{"Orders.Internal:8080", plainHost, plain},
		{"evil.example", strangeHost, "evil.example"},
		{"old.example", strangeHost, "old.example"}, // a wildcard is not its own name
		{"notold.example:443", strangeHost, "notold.example"},
		{"m.www.example.com", strangeHost, "m.www.example.com"},
		{"192.0.2.7", addressHost, ""},
		{"192.0.2.7:8080", addressHost, ""},
		{"[2001:db8::1]", addressHost, ""},
		{"[2001:DB8::1]:80", addressHost, ""},
		{"", emptyHost, ""},
		{"www.example.com,evil.example", malformedHost, ""},
		{"www.example.com..", malformedHost, ""},
		{"www.example.com:x", malformedHost, ""},
		{"www.example.com@evil.example", malformedHost, ""},
	}
}

// A worldCase is a way for requests to come in, and what is known on it.
type worldCase struct {
	name     string
	scheme   forwarded.Scheme
	why      forwarded.Reason
	hops     int
	complete bool
	lost     bool // a hop replaces the Host
	arrive   func(r *http.Request) *http.Request
	wrap     func(http.Handler) http.Handler // nil: nothing around the Enforcer
	policy   *forwarded.Policy               // for Config.Policy
	few      bool                            // only with the first load
}

var (
	client = netip.MustParseAddrPort("198.51.100.7:5000")
	node   = netip.MustParseAddrPort("10.0.16.5:5000")
)

func albPolicy() *forwarded.Policy {
	return forwarded.Must(forwarded.New(forwarded.Config{Hops: []forwarded.Hop{forwarded.ALB("10.0.16.0/20")}, Logger: discard}))
}

// fromNode is a request as an ALB sends it on. Header lines are "Name: value".
func fromNode(lines ...string) func(*http.Request) *http.Request {
	return func(r *http.Request) *http.Request {
		r.RemoteAddr = node.String()
		for _, line := range lines {
			name, value, _ := strings.Cut(line, ": ")
			r.Header.Add(name, value)
		}
		return r
	}
}

// told is a request with an Info from somewhere else.
func told(info forwarded.Info) func(*http.Request) *http.Request {
	return func(r *http.Request) *http.Request {
		about := info
		about.Peer, about.Host = node, r.Host
		if resolved := new(forwarded.Policy).Resolve(r); about.HostReason == 0 {
			about.Host, about.HostReason = resolved.Host, resolved.HostReason
		} else {
			about.Host = ""
		}
		return r.WithContext(forwarded.NewContext(r.Context(), about))
	}
}

// worlds are real policies, none, and every Info that there can be.
func worlds() []worldCase {
	const xff = "X-Forwarded-For: 198.51.100.7"
	alb := albPolicy()
	direct := func(r *http.Request) *http.Request { return r }
	directTLS := func(r *http.Request) *http.Request { r.TLS = &tls.ConnectionState{}; return r }
	list := []worldCase{
		{name: "direct http", scheme: forwarded.HTTP, arrive: direct},
		{name: "direct https", scheme: forwarded.HTTPS, arrive: directTLS},
		{name: "past the ALB", scheme: forwarded.HTTP, arrive: direct, wrap: alb.Wrap},
		{name: "past the ALB, lying", scheme: forwarded.HTTP, wrap: alb.Wrap, arrive: func(r *http.Request) *http.Request {
			r = fromNode(xff, "X-Forwarded-Proto: https")(r)
			r.RemoteAddr = client.String()
			return r
		}},
		{name: "ALB https", scheme: forwarded.HTTPS, hops: 1, complete: true, wrap: alb.Wrap, arrive: fromNode(xff, "X-Forwarded-Proto: https")},
		{name: "ALB http", scheme: forwarded.HTTP, hops: 1, complete: true, wrap: alb.Wrap, arrive: fromNode(xff, "X-Forwarded-Proto: http")},
		{name: "ALB http over TLS", scheme: forwarded.HTTP, hops: 1, complete: true, wrap: alb.Wrap, arrive: func(r *http.Request) *http.Request {
			return directTLS(fromNode(xff, "X-Forwarded-Proto: http")(r))
		}},
		{name: "ALB, no scheme", why: forwarded.ReasonSchemeMissing, hops: 1, complete: true, wrap: alb.Wrap, arrive: fromNode(xff)},
		{name: "ALB, bad scheme", why: forwarded.ReasonBadProto, hops: 1, complete: true, wrap: alb.Wrap, arrive: fromNode(xff, "X-Forwarded-Proto: https,http")},
		{name: "ALB, two schemes", why: forwarded.ReasonMismatch, hops: 1, complete: true, wrap: alb.Wrap, arrive: fromNode(xff, "X-Forwarded-Proto: http", "X-Forwarded-Proto: https")},
		{name: "ALB, bad client", why: forwarded.ReasonMalformed, hops: 1, complete: true, wrap: alb.Wrap, arrive: fromNode("X-Forwarded-For: junk", "X-Forwarded-Proto: https")},
		{name: "ALB itself", why: forwarded.ReasonLocal, hops: 1, complete: true, wrap: alb.Wrap, arrive: fromNode()},
		{name: "Config.Policy, https", scheme: forwarded.HTTPS, hops: 1, complete: true, policy: alb, arrive: fromNode(xff, "X-Forwarded-Proto: https")},
		{name: "Config.Policy, http", scheme: forwarded.HTTP, hops: 1, complete: true, policy: alb, arrive: fromNode(xff, "X-Forwarded-Proto: http")},
		{name: "no policy", why: forwarded.ReasonNoPolicy, arrive: fromNode("X-Forwarded-Proto: https")},
		{name: "no policy over TLS", why: forwarded.ReasonNoPolicy, arrive: func(r *http.Request) *http.Request { return directTLS(fromNode("X-Forwarded-Proto: http")(r)) }},
		{name: "told https", scheme: forwarded.HTTPS, hops: 2, complete: true},
		{name: "told http", scheme: forwarded.HTTP, hops: 2, complete: true},
		{name: "told http, not all hops", scheme: forwarded.HTTP, hops: 1},
		{name: "host replaced", scheme: forwarded.HTTPS, hops: 1, complete: true, lost: true},
	}
	for why := forwarded.Reason(0); why <= forwarded.ReasonNoPolicy; why++ {
		list = append(list, worldCase{name: "told unknown, " + why.String(), why: why, hops: 1, complete: true, few: why > 0})
	}
	for i, w := range list {
		if w.arrive == nil {
			info := forwarded.Info{Scheme: w.scheme, SchemeReason: w.why, Hops: w.hops, Complete: w.complete, Status: forwarded.StatusForwarded}
			if w.lost {
				info.HostReason = forwarded.ReasonHostReplaced
			}
			list[i].arrive = told(info)
		}
	}
	return list
}

// A loadCase is what a request carries.
type loadCase struct {
	target          string
	header          http.Header
	marker, secrets bool
}

func loads() []loadCase {
	return []loadCase{
		{target: "/orders/7?id=a%20b"},
		{target: "/orders", header: http.Header{"Cookie": {"a=b; __Host-https-redirect=1"}}, marker: true},
		{target: "/orders", header: http.Header{"Cookie": {"session=1; x__Host-https-redirect=1; __host-https-redirect=1"}}, secrets: true},
		{target: "/orders", header: http.Header{"Authorization": {"Basic eDp5"}}, secrets: true},
		{target: "/open?x=1", header: http.Header{"Cookie": {"__Host-https-redirect=1"}}, marker: true},
		{target: "/open/"},
		{target: starTarget},
		{target: opaqueTarget},
		{target: rootlessTarget},
	}
}

// A kindCase is a method, or a WebSocket handshake.
type kindCase struct {
	method    string
	webSocket bool
	few       bool // only with the first load
}

func kinds() []kindCase {
	return []kindCase{
		{method: "GET"}, {method: "POST"}, {method: "OPTIONS"}, {method: "GET", webSocket: true},
		{method: "HEAD", few: true}, {method: "PUT", few: true}, {method: "DELETE", few: true}, {method: "CONNECT", few: true},
	}
}

// Every row, on every way in, for every host and method, under every setting.
func TestTable(t *testing.T) {
	ways, hosts := worlds(), hostCases()
	for _, s := range settings() {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			seen := map[redirect.Reason]int{}
			for _, w := range ways {
				b := newTableBench(t, s, w)
				for i, h := range hosts {
					respelt := i > 0 && h.kind == hosts[i-1].kind
					if respelt && w.few {
						continue
					}
					for _, k := range kinds() {
						if respelt && k.few {
							continue
						}
						for j, l := range loads() {
							if j > 0 && (k.few || w.few || respelt || h.kind >= emptyHost) {
								break
							}
							seen[b.check(t, h, k, l)]++
						}
					}
				}
			}
			assert.Greater(t, len(seen), 7, "the table was hardly asked: %v", seen)
		})
	}
}

// A tableBench asks one setting in one world.
type tableBench struct {
	s       setting
	w       worldCase
	chain   http.Handler
	front   *redirect.Enforcer
	next    tableNext
	told    redirect.Decision
	entered tableNext // what the Enforcer's handler was called with
	failed  int       // only the first ones are told
}

// A tableNext notes what it was called with.
type tableNext struct {
	w http.ResponseWriter
	r *http.Request
}

func (n *tableNext) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n.w, n.r = w, r
	w.WriteHeader(http.StatusNoContent)
}

func newTableBench(t *testing.T, s setting, w worldCase) *tableBench {
	b := &tableBench{s: s, w: w}
	b.s.cfg.OnDecision = func(_ *http.Request, d redirect.Decision) { b.told = d }
	b.s.cfg.Policy = w.policy
	var err error
	b.front, err = redirect.New(b.s.cfg)
	require.NoError(t, err)
	inner := b.front.Wrap(&b.next)
	b.chain = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b.entered = tableNext{w, r}
		inner.ServeHTTP(w, r)
	})
	if b.w.wrap != nil {
		b.chain = b.w.wrap(b.chain)
	}
	return b
}

func (b *tableBench) check(t *testing.T, h hostCase, k kindCase, l loadCase) redirect.Reason {
	q := question{method: k.method, webSocket: k.webSocket, target: l.target, host: h, marker: l.marker, secrets: l.secrets,
		scheme: b.w.scheme, why: b.w.why, hops: b.w.hops, complete: b.w.complete}
	if b.w.lost {
		q.host.kind = lostHost
	}
	want := oracle(b.s, q)
	w := &tableWriter{header: http.Header{}}
	b.next, b.told, b.entered = tableNext{}, redirect.Decision{}, tableNext{}
	b.chain.ServeHTTP(w, b.w.arrive(buildRequest(k, h, l)))
	if got := b.got(w); got != want || !b.clean(w, want) {
		if b.failed++; b.failed > 3 {
			return want.reason
		}
		t.Errorf("%s: %s %s (ws %v) host %q cookies %q\n got %+v %v\nwant %+v", b.w.name, k.method, l.target, k.webSocket, h.raw, l.header, got, w.header, want)
	}
	return want.reason
}

// got puts together what was answered.
func (b *tableBench) got(w *tableWriter) answer {
	status := w.status
	if b.told.Action == redirect.Pass && status == http.StatusNoContent {
		status = 0
	}
	return answer{action: b.told.Action, status: status, reason: b.told.Reason, location: w.header.Get("Location"), hsts: w.header.Get("Strict-Transport-Security"),
		marker: w.header.Get("Set-Cookie") == "__Host-https-redirect=1; Path=/; Max-Age=60; Secure; HttpOnly; SameSite=Lax",
		vary:   w.header.Get("Vary") == "Cookie, Upgrade", retry: w.header.Get("Retry-After") != ""}
}

// clean looks at what every answer has in common.
func (b *tableBench) clean(w *tableWriter, want answer) bool {
	d := b.front.Decide(b.entered.r)
	if d.Action != b.told.Action || d.Status != b.told.Status || d.Location != b.told.Location || d.Reason != b.told.Reason || d.Location != want.location || d.Status != want.status {
		return false
	}
	for name, lines := range w.header {
		if len(lines) != 1 || http.CanonicalHeaderKey(name) != name {
			return false
		}
	}
	if want.action == redirect.Pass {
		return b.next == b.entered && w.header.Get("Cache-Control") == "" && w.header.Get("Vary") == ""
	}
	return (want.action == redirect.Redirect || b.keepsSecrets(w)) && b.next == tableNext{} && w.header.Get("Cache-Control") == "private, no-store" &&
		(w.body == "") == (b.entered.r.Method == "HEAD") && (want.marker || w.header.Get("Set-Cookie") == "") && (want.vary || w.header.Get("Vary") == "")
}

// keepsSecrets reports whether a refusal names no host of ours.
func (b *tableBench) keepsSecrets(w *tableWriter) bool {
	for _, lines := range w.header {
		if strings.Contains(strings.ToLower(lines[0]), "example") {
			return false
		}
	}
	return !strings.Contains(strings.ToLower(w.body), "example")
}

// A tableWriter is a ResponseWriter that keeps everything.
type tableWriter struct {
	header http.Header
	status int
	body   string
}

func (w *tableWriter) Header() http.Header    { return w.header }
func (w *tableWriter) WriteHeader(status int) { w.status = status }
func (w *tableWriter) Write(p []byte) (int, error) {
	w.body += string(p)
	return len(p), nil
}

func buildRequest(k kindCase, h hostCase, l loadCase) *http.Request {
	r := &http.Request{Method: k.method, Host: h.raw, RemoteAddr: client.String(), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}}
	for name, lines := range l.header {
		r.Header[name] = append([]string(nil), lines...)
	}
	if k.webSocket {
		r.Header["Connection"], r.Header["Upgrade"] = []string{"keep-alive, Upgrade"}, []string{"websocket"}
	}
	switch l.target {
	case starTarget:
		r.URL = &url.URL{Path: "*"}
	case opaqueTarget:
		r.URL = &url.URL{Scheme: "http", Opaque: ".evil.example/x"}
	case rootlessTarget:
		r.URL = &url.URL{Path: "orders"}
	default:
		path, query, _ := strings.Cut(l.target, "?")
		r.URL = &url.URL{Path: path, RawQuery: query}
	}
	return r.WithContext(context.Background())
}

// Browsers keep Secure cookies for these names over http, so a marker that
// comes back proves nothing, and Fetch Metadata neither.
func TestLocalNamesHaveNoMarker(t *testing.T) {
	for _, host := range []string{"localhost", "app.localhost", "a.onion", "notlocalhost", "localhost.example", "onion"} {
		e := redirect.Must(redirect.New(redirect.Config{Canonical: canonical, Aliases: []string{host}, Logger: discard}))
		r := plainGet(host, "/")
		local := host == "localhost" || host == "app.localhost" || host == "a.onion"
		w := &tableWriter{header: http.Header{}}
		e.Wrap(http.NotFoundHandler()).ServeHTTP(w, r)
		assert.Equal(t, 301, w.status)
		assert.Equal(t, local, len(w.header["Set-Cookie"]) == 0, host)
		r.Header.Set("Cookie", "__Host-https-redirect=1")
		r.Header.Set("Sec-Fetch-Site", "none")
		r.Header.Set("Sec-Fetch-Dest", "document")
		d := e.Decide(r)
		assert.Equal(t, local, d.Reason == redirect.ReasonRedirected, host)
		assert.Equal(t, local, len(d.Signals) == 0, host)
	}
}

// Decide is for tests and explain pages: asking must not count.
func TestDecideLeavesNoTrace(t *testing.T) {
	told := 0
	e := redirect.Must(redirect.New(redirect.Config{Canonical: canonical, Logger: discard, OnDecision: func(*http.Request, redirect.Decision) { told++ }}))
	r := plainGet(canonical, "/")
	r.Header.Set("X-Forwarded-Proto", "https")
	for range 10 {
		e.Decide(r)
		e.Decide(plainGet(canonical, "/"))
	}
	assert.Empty(t, e.Stats())
	assert.Zero(t, told)
}

// OnDecision comes before the answer, once for each request, and Stats counts
// by the same reasons.
func TestDecisionsAreTold(t *testing.T) {
	w := &tableWriter{}
	var told []redirect.Reason
	e := redirect.Must(redirect.New(redirect.Config{Canonical: canonical, Logger: discard, OnDecision: func(_ *http.Request, d redirect.Decision) {
		assert.Zero(t, w.status, "answered already")
		told = append(told, d.Reason)
	}}))
	h := e.Wrap(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	for _, host := range []string{canonical, canonical, "192.0.2.7", "evil.example"} {
		w.header, w.status = http.Header{}, 0
		h.ServeHTTP(w, plainGet(host, "/"))
	}
	r := fromNode("X-Forwarded-Proto: https")(plainGet(canonical, "/"))
	w.status = 0
	h.ServeHTTP(w, r)
	assert.Equal(t, []redirect.Reason{redirect.ReasonRedirected, redirect.ReasonRedirected, redirect.ReasonIPHost, redirect.ReasonUnknownHost, redirect.ReasonUnknownScheme}, told)
	assert.Equal(t, map[redirect.Reason]uint64{redirect.ReasonRedirected: 2, redirect.ReasonIPHost: 1, redirect.ReasonUnknownHost: 1,
		redirect.ReasonUnknownScheme: 1, redirect.ReasonNoPolicy: 1}, e.Stats())
}

// What a handler further out has put into the header is added to, not lost,
// and its slices stay its own.
func TestOuterHeadersStay(t *testing.T) {
	e := redirect.Must(redirect.HTTPS(canonical))
	vary := append(make([]string, 0, 4), "Accept-Encoding")
	cookies := append(make([]string, 0, 4), "a=b")
	w := &tableWriter{header: http.Header{"Vary": vary, "Set-Cookie": cookies}}
	e.Wrap(http.NotFoundHandler()).ServeHTTP(w, plainGet(canonical, "/"))
	assert.Equal(t, []string{"Accept-Encoding", "Cookie, Upgrade"}, w.header["Vary"])
	assert.Len(t, w.header["Set-Cookie"], 2)
	assert.Equal(t, []string{"", "", ""}, vary[1:4], "somebody else's slice was written to")
	assert.Equal(t, []string{"", "", ""}, cookies[1:4])
}

// Whoever sends more after a refused request would send it in clear as well.
func TestUnsafeRefusedClosesTheConnection(t *testing.T) {
	h := redirect.Must(redirect.New(redirect.Config{Canonical: canonical, RefuseUnsafe: true, Logger: discard})).Wrap(http.NotFoundHandler())
	for method, want := range map[string]string{"GET": "", "PUT": "close"} {
		w := &tableWriter{header: http.Header{}}
		r := plainGet(canonical, "/")
		r.Method = method
		h.ServeHTTP(w, r)
		assert.Equal(t, want, w.header.Get("Connection"), method)
	}
}
