package main

import (
	"fmt"
	"html"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/knownhops/knownhops/forwarded"
)

// plain is a page without its markup, with single spaces.
func plain(page string) string {
	page = regexp.MustCompile(`<[^>]*>`).ReplaceAllString(page, " ")
	return strings.Join(strings.Fields(html.UnescapeString(page)), " ")
}

// overwrites is the fix of both requests of the loop.
const overwrites = `What to change: hop 1 ("nginx") or a hop nearer than it overwrites X-Forwarded-Proto with its own scheme: have it pass the header on ` +
	"(nginx: proxy_set_header X-Forwarded-Proto $http_x_forwarded_proto)"

// What a visitor reads on a scene's page, beside the answer.
func TestStories(t *testing.T) {
	d := startDemo(t, config{})
	for name, wants := range map[string][]string{
		"https": {
			"balancer 10.0.", "passed it on", "proxy 10.0.20.10:80 passed it on", "application answered 200",
			"Answered by target", "elb_status_code 200", "to group web-80, by rule 1 of listener 443",
			"X-Forwarded-Proto not there https https https", "What is known Client 203.0.113.10 forwarded Scheme https",
		},
		"http": {
			"balancer 10.0.", "answered 301 itself", "was not reached", "Answered by balancer", "target_status_code - no target was picked",
			"Action redirect to https://www.example.com:443/cart?item=1, by the default of listener 80",
			"Decided by the balancer redirected, by its own rule: nothing behind it was asked",
		},
		"http-arrives": {"Decided by the proxy let it pass Reason passed_https", "application answered 200"},
		"http-ours": {
			"the proxy 10.0.20.10:80 redirected (301) to https://example.com/cart?item=1", "application was not reached", "by rule 1 of listener 80",
			"Decided by the proxy redirected (301) to https://example.com/cart?item=1 Reason redirected",
			"What the proxy believes, and why", "Scheme http",
		},
		"alias-https":   {"Decided by the proxy redirected (301) to https://www.example.com/cart?item=1 Reason host_redirected", "Scheme https"},
		"foreign-host":  {"the proxy 10.0.20.10:80 refused (421)", "Reason unknown_host", "What to change: nothing, if strangers ask for it", "host_not_allowed", "W11"},
		"forged-for":    {"X-Forwarded-For 6.6.6.6 6.6.6.6, 203.0.113.10 203.0.113.10, 10.0.", "Client 203.0.113.10 forwarded"},
		"alias":         {"X_forwarded_for 6.6.6.6 6.6.6.6 not there not there"},
		"forged-proto":  {"X-Forwarded-Proto http https https https", "X-Forwarded-Port 80 443 443 443"},
		"forged-host":   {"X-Forwarded-Host evil.example evil.example www.example.com www.example.com"},
		"past-balancer": {"X-Forwarded-For 6.6.6.6 203.0.113.10 203.0.113.10", "X-Forwarded-Proto https http http", "Reason plain_host"},
		"past-balancer-ip": {
			"Decided by the proxy refused (421) Reason ip_host", "What to change: nothing, if strangers scan addresses", "What the proxy believes, and why",
		},
		"past-balancer-name": {
			"redirected (301) to https://www.example.com/ Reason redirected", "Signs that the client used https X-Forwarded-Proto: \"https\" (hint)",
			`What to change: if clients use https here: the peer's X-Forwarded-Proto says https, but no hop declares the peer: if it is your proxy, declare it`,
		},
		"past-proxy":   {"X-Forwarded-For 6.6.6.6 6.6.6.6 not there"},
		"impostor":     {"Client 6.6.6.6 forwarded"},
		"health-check": {"User-Agent ELB-HealthChecker/2.0"},
		"down": {
			"the proxy 10.0.16.10:80 answered 502 itself", "application was not reached", "Answered by target", "elb_status_code 502", "target_status_code 502",
			"The proxy's log", "level=ERROR", "reason=connection_refused", "upstream=" + nobody, "nothing listens there",
		},
		"port-443": {
			"answered 502 itself", "nobody listens 10.0.20.10:443 was not reached", "Answered by balancer",
			"target_status_code -", "ConnectionRefused",
		},
		"nginx": {
			"X-Forwarded-Proto not there https http not there", "Scheme unknown scheme_lost", "overwritten",
			"Decided by the application let it pass Reason unknown_scheme", "What to change: ", "Policy.Lint",
		},
		"nginx-fixed": {"X-Forwarded-Proto not there https https https", "Scheme https", "Decided by the application let it pass Reason passed_https"},
		"loop-1": {
			"nginx (imitated) 10.0.16.", "application redirected (301) to https://loop.example.com/", "X-Forwarded-Proto not there https http", "Reason redirected",
			`Signs that the client used https Sec-Fetch-Site: "none" (strong) X-Forwarded-Port: "443" (hint)`, overwrites, "level=WARN", "a redirect that may never end",
		},
		"loop-2": {
			"application refused (500)", "Reason loop_broken", "Signs that the client used https Cookie (proof)", overwrites, "level=ERROR", "a redirect loop",
			"Cookie (not shown) (not shown)",
		},
	} {
		t.Run(name, func(t *testing.T) {
			page := plain(get(t, d, "/scenes/"+name))
			for _, want := range wants {
				if !strings.Contains(page, want) {
					t.Errorf("%q is not in\n%s", want, page)
				}
			}
		})
	}
}

// The target groups' states and reasons, in AWS's words.
func TestHealthOnThePage(t *testing.T) {
	d := startDemo(t, config{})
	markup := get(t, d, "/")
	if good, bad := strings.Count(markup, `<tr class="good">`), strings.Count(markup, `<tr class="bad">`); good != 4 || bad != 2 {
		t.Errorf("%d rows look good and %d bad", good, bad)
	}
	page := plain(markup)
	for _, want := range []string{
		"web-80 www.example.com 10.0.20.10:80 healthy Our proxy",
		"web-443 port443.example.com 10.0.20.10:443 unhealthy Target.FailedHealthChecks Health checks failed The same",
		":80 unhealthy Target.ResponseCodeMismatch Health checks failed with these codes: [503] Our proxy",
		":80 healthy nginx, which passes", ":80 healthy nginx, which overwrites X-Forwarded-Proto, although",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is not in\n%s", want, page)
		}
	}
}

// Whoever came by curl or by a browser finds his request as well.
func TestLogOnThePage(t *testing.T) {
	d := startDemo(t, config{})
	visit := d.through(hostWeb, "", "", "Cookie: session=secret", "Accept: text/html")
	visit.URL += "mine?a=1&b=2"
	j, err := d.travel(visit, &http.Request{})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(j.Answer, "303 See Other") || !strings.Contains(j.Answer, "Location: "+d.ways.Page+"/visits/2\n") {
		t.Errorf("a browser is not sent to the page:\n%s", j.Answer)
	}
	n := len(d.balancer.Log())
	if index := get(t, d, "/"); !strings.Contains(index, fmt.Sprintf(`<a href="/log/%d">GET /mine?a=1&amp;b=2 www.example.com</a>`, n)) {
		t.Error("the log does not have it")
	}
	for _, path := range []string{fmt.Sprintf("/log/%d", n), "/visits/1", "/visits/2"} {
		page := get(t, d, path)
		for _, want := range []string{"Answered by target", "Decided by the proxy let it pass Reason passed_https", "Cookie (not shown) (not shown)", "What the application believes"} {
			if !strings.Contains(plain(page), want) {
				t.Errorf("%s: %q is missing", path, want)
			}
		}
		if strings.Contains(page, "secret") {
			t.Errorf("%s: a cookie is shown", path)
		}
	}
}

// A visitor past the balancer is not taken for somebody who came through it,
// whatever he says.
func TestTraceIDThatIsForged(t *testing.T) {
	d := startDemo(t, config{})
	first, err := d.travel(d.through(hostWeb, "", "", "X-Other: of another visitor"), &http.Request{})
	if err != nil {
		t.Fatal(err)
	}
	forged := scene{URL: d.ways.App + "/", Lines: []string{"X-Amzn-Trace-Id: " + first.Entry.TraceID}}
	second, err := d.travel(forged, &http.Request{})
	if err != nil {
		t.Fatal(err)
	}
	if second.Entry != nil {
		t.Error("he is")
	}
	if page := get(t, d, "/visits/3"); strings.Contains(page, "of another visitor") {
		t.Error("and reads what another one sent")
	}
}

func TestHostileLinesAreEscaped(t *testing.T) {
	d := startDemo(t, config{})
	const evil = `</main></head><main><script>alert(1)</script>"'`
	hostile := d.through(hostWeb, "", "", "X-Forwarded-For: "+evil, "X-Other: "+evil, "User-Agent: "+evil, "Host: evil.example")
	sign := d.through(hostLoop, "", "", "Sec-Fetch-Site: "+evil, "Sec-Fetch-Dest: document")
	for _, to := range []scene{hostile, {URL: d.ways.App + "/", Lines: hostile.Lines}, sign} {
		if _, err := d.travel(to, &http.Request{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{"/", "/log/1", "/visits/1", "/visits/2", "/visits/3"} {
		page := get(t, d, path)
		if strings.Contains(page, "<script") || strings.Count(page, "<main>") != 1 || strings.Count(page, "</main>") != 1 {
			t.Errorf("%s: it gets through", path)
		}
	}
}

// The page must work where nothing may be loaded and nothing may run.
func TestPageNeedsNothing(t *testing.T) {
	d := startDemo(t, config{})
	o, err := scene{URL: d.ways.Page + "/scenes/https"}.play(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, no := range []string{"<script", "<link", "<img", "src=", "url(", "@import", "onclick", "style="} {
		if strings.Contains(string(o.Body), no) {
			t.Errorf("%q in the page", no)
		}
	}
	for name, want := range map[string]string{
		"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
		"Cache-Control":           "private, no-store",
		"X-Content-Type-Options":  "nosniff",
	} {
		if got := o.Answer.Header.Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// Parts of the page are the library's; if that changes its frame, this one
// must.
func TestPartsOfTheLibrarysPage(t *testing.T) {
	inner := string(mainOf(forwarded.Explanation{}.HTML()))
	if !strings.Contains(inner, "What is known") || strings.Contains(inner, "<h1>") || strings.Contains(inner, "main>") {
		t.Errorf("not its middle: %s", inner)
	}
	if s := string(style()); !strings.Contains(s, "--ink") {
		t.Errorf("not its style: %s", s)
	}
}

func TestWhatIsNotThere(t *testing.T) {
	d := startDemo(t, config{})
	for _, path := range []string{"/no-such-page", "/scenes/none", "/log/1", "/log/0", "/log/-1", "/log/x", "/visits/1", "/visits/x"} {
		o, err := scene{URL: d.ways.Page + path}.play(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if o.Answer.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s", path, o.Answer.Status)
		}
	}
}

// What is kept does not grow.
func TestMemoryIsBounded(t *testing.T) {
	var v visits
	var b logbook
	for range maxLines + 1 {
		v.add(visit{})
		fmt.Fprintln(&b, "line")
	}
	if len(v.list) != maxVisits || v.number(maxLines+1) == nil || v.number(1) != nil {
		t.Errorf("%d visits", len(v.list))
	}
	if len(b.lines) != maxLines {
		t.Errorf("%d lines", len(b.lines))
	}
}

// The proxy writes one line a second for each reason: without one of its own, a
// failure has that of the last one, and the page says so.
func TestLogLineOfAnother(t *testing.T) {
	d := startDemo(t, config{})
	get(t, d, "/scenes/down")
	line, ofAnother := d.complaint("nobody's")
	if !ofAnother || !strings.Contains(line, "reason=connection_refused") {
		t.Errorf("of another: %v, %q", ofAnother, line)
	}
	if line, _ := new(demo).complaint("nobody's"); line != "" {
		t.Errorf("out of nothing: %q", line)
	}
}
