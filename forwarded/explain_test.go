package forwarded_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/knownhops/knownhops/forwarded"
)

// storyRequest came through ALB and nginx, which overwrites the scheme.
func storyRequest(more ...string) *http.Request {
	return get(nginxPeer, append([]string{"X-Forwarded-For: 6.6.6.6, " + client + ", 10.0.16.5", "X-Forwarded-Proto: http", "X-Forwarded-Port: 443"}, more...)...)
}

// TestExplainStory reads the explanation as an operator would: who was taken
// for whom, on whose word, and who destroyed the scheme.
func TestExplainStory(t *testing.T) {
	e := behind(t, nginxHop(), albHop()).Explain(storyRequest("X-Forwarded-Host: evil.example"))
	var got []string
	for _, s := range e.Steps {
		got = append(got, strings.TrimSpace(fmt.Sprintf("%s %s %s[%d] %s: %s", s.Subject, s.Name, s.Header, s.Index, s.Value, s.Verdict)))
	}
	want := []string{
		"peer  [0] 127.0.0.1:40000: known",
		"hop nginx [0] 127.0.0.1 in 127.0.0.1/32: matched",
		"entry nginx X-Forwarded-For[1] 10.0.16.5: believed",
		"hop alb [0] 10.0.16.5 in 10.0.16.0/20: matched",
		"entry alb X-Forwarded-For[2] 203.0.113.7: believed",
		"client  [0] 203.0.113.7: forwarded",
		"scheme  X-Forwarded-Proto[1] unknown: scheme_lost",
		"port  [0] 443: known",
		"host  [0] www.example.com: known",
		"header X-Forwarded-For [0] : kept",
		"header X-Forwarded-Host [0] : removed",
		"header X-Forwarded-Port [0] : kept",
		"header X-Forwarded-Proto [0] : removed",
	}
	if !slices.Equal(got, want) {
		t.Errorf("steps:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	text := e.String()
	for _, part := range []string{`"nginx", further in, overwrites`, "W2: ", "W3: ", `"6.6.6.6, 203.0.113.7, 10.0.16.5"`, "no hop vouches for it"} {
		if !strings.Contains(text, part) {
			t.Errorf("the text does not say %s:\n%s", part, text)
		}
	}
}

func TestExplainVerdicts(t *testing.T) {
	secret := albHop()
	secret.Secret = forwarded.Secret{Header: "X-Origin-Secret", Values: []string{testSecret}}
	for _, c := range []struct {
		name string
		p    *forwarded.Policy
		r    *http.Request
		want string
	}{
		{"bad secret", behind(t, secret), get(albPeer), "bad_secret"},
		{"skipped hop", behind(t, nginxHop(), albHop()), get(albPeer), "skipped_hop"},
		{"a probe", behind(t, albHop()), get(albPeer), "local"},
		{"malformed", behind(t, albHop()), get(albPeer, "X-Forwarded-For: x"), "malformed"},
		{"not visible", behind(t, forwarded.NginxPassing("127.0.0.1")), get(nginxPeer), "not_visible"},
		{"bad peer", behind(t, albHop()), get("x"), "bad_peer"},
		{"a stranger's PROXY header", behind(t, albHop()), refRequest{remote: directPeer, transport: through(directPeer, client+":1", "")}.request(), "mismatch"},
		{"bad host", behind(t, albHop()), refRequest{remote: directPeer, host: "a b"}.request(), "bad_host"},
	} {
		e := c.p.Explain(c.r)
		if !slices.ContainsFunc(e.Steps, func(s forwarded.Step) bool { return s.Verdict == c.want && (s.Rule != "" || s.Subject == "host") }) {
			t.Errorf("%s: no step with verdict %q and a rule:\n%v", c.name, c.want, e)
		}
		if e.Info != c.p.Resolve(c.r) {
			t.Errorf("%s: Explain says %+v, Resolve %+v", c.name, e.Info, c.p.Resolve(c.r))
		}
	}
}

const evil = "\"'><script>alert(1)</script>&\r\n\x1b[31m\u202e\x00"

// evilRequests put markup and control characters wherever a stranger can.
func evilRequests() []*http.Request {
	var list []*http.Request
	for _, peer := range []string{nginxPeer, albPeer, directPeer, evil} {
		r := storyRequest("X-Forwarded-Host: "+evil, "Forwarded: for=\""+evil+"\"", "X-Forwarded-"+evil+": 1", "X_Real_Ip"+evil+": "+evil, "Connection: "+evil, "Host: "+evil)
		r.RemoteAddr, r.Host = peer, evil
		bad := get(peer, "X-Forwarded-For: "+evil+", "+evil, "X-Forwarded-Proto: "+evil, "X-Forwarded-Port: "+evil, "X-Forwarded-For: "+evil)
		bad.Host = evil
		list = append(list, r, bad)
	}
	return list
}

func TestExplanationsEscapeEverything(t *testing.T) {
	hop := albHop()
	hop.Name = `"'><script>alert(1)</script>&`
	for _, p := range []*forwarded.Policy{behind(t, nginxHop(), albHop()), behind(t, nginxHop(), hop), behind(t, hop)} {
		for _, r := range evilRequests() {
			e := p.Explain(r)
			page := string(e.HTML())
			if strings.Contains(page, "<script") || strings.Contains(page, "'>") || strings.Contains(page, "\x1b") {
				t.Errorf("the page of a request from %q:\n%s", r.RemoteAddr, page)
			}
			if n := strings.Count(page, "<main>") + strings.Count(page, "</main>") + strings.Count(page, "</html>"); n != 3 {
				t.Errorf("the page is not one page:\n%s", page)
			}
			if !strings.Contains(page, "&lt;script&gt;") {
				t.Error("the page does not show what came")
			}
			if !json.Valid(e.JSON()) || strings.Contains(string(e.JSON()), "<script") {
				t.Errorf("JSON:\n%s", e.JSON())
			}
		}
	}
	for _, r := range evilRequests() {
		e := behind(t, nginxHop(), albHop()).Explain(r)
		text := e.String()
		if i := strings.IndexFunc(text, func(c rune) bool { return c != '\n' && !unicode.IsPrint(c) }); i >= 0 {
			t.Errorf("unprintable %q in the text:\n%s", text[i], text)
		}
		if n, want := strings.Count(text, "\n"), len(e.Steps)+len(e.Warnings); n != want {
			t.Errorf("%d lines for %d steps and warnings", n, want)
		}
	}
}

func TestExplanationsAreCapped(t *testing.T) {
	p := behind(t, nginxHop(), albHop())
	r := storyRequest("X-Forwarded-Host: "+strings.Repeat("<", megabyte), "X_Forwarded_"+strings.Repeat("x", megabyte)+": 1")
	r.Host = strings.Repeat("&", megabyte)
	r.Header["X-Real-Ip"] = slices.Repeat([]string{"192.0.2.1"}, 50_000)
	e := p.Explain(r)
	for name, size := range map[string]int{"text": len(e.String()), "JSON": len(e.JSON()), "HTML": len(e.HTML())} {
		if size > 64<<10 {
			t.Errorf("%s has %d bytes for a hostile request", name, size)
		}
	}
	if text := e.String(); !strings.Contains(text, "(1048576 bytes)") || !strings.Contains(text, "more lines") {
		t.Errorf("the text does not say what was left out:\n%s", text)
	}
}

// TestExplanationsHideCredentials: whatever hop wrote it and however it is
// spelled, a header that is called a token or the like is named, not shown.
func TestExplanationsHideCredentials(t *testing.T) {
	hop := albHop()
	hop.Secret = forwarded.Secret{Header: "X-Forwarded-Proof", Values: []string{testSecret}}
	hop.Vouches = []string{"X-Forwarded-Access-Token", "X-Acme-Password"}
	p := behind(t, hop)
	names := strings.Fields("X-Amzn-Oidc-Accesstoken X_Amzn_Oidc_Accesstoken x.amzn.oidc.accesstoken X-Forwarded-Access-Token X_Forwarded_Access_Token " +
		"X-Auth-Request-Access-Token X-Auth-Request-Set-Cookie X-Forwarded-Authorization X-Forwarded-Client-Secret X-Forwarded-Cookie X-Ms-Token-Aad-Id-Token " +
		"X-Ms-Client-Principal X-Azure-Fdid X_AZURE_FDID X-Forwarded-Assertion X-Acme-Password X_Acme_Password X-Forwarded-Proof X_Forwarded_Proof x-forwarded-proof")
	for _, peer := range []string{albPeer, directPeer} {
		sent := []string{"X-Forwarded-For: " + client, "X-Forwarded-Proto: https", "X-Forwarded-Email: shown", "Authorization: hunter2", "Cookie: a=hunter2"}
		for _, name := range names {
			sent = append(sent, name+": hunter2", name+": hunter2, hunter2")
		}
		proven := get(peer, append(slices.DeleteFunc(slices.Clone(sent), func(line string) bool { return strings.HasPrefix(line, "X-Forwarded-Proof: ") }),
			"X-Forwarded-Proof: "+testSecret)...)
		for _, r := range []*http.Request{get(peer, sent...), proven} {
			e := p.Explain(r)
			for how, text := range map[string]string{"text": e.String(), "JSON": string(e.JSON()), "HTML": string(e.HTML()), "fmt": fmt.Sprintf("%+v %#v", e, e)} {
				if strings.Contains(text, "hunter2") || strings.Contains(text, testSecret) {
					t.Errorf("%s shows a credential:\n%s", how, text)
				}
				if !strings.Contains(text, "shown") {
					t.Errorf("%s shows nothing at all:\n%s", how, text)
				}
				for _, name := range names {
					if !strings.Contains(text, name) {
						t.Errorf("%s does not name %s", how, name)
					}
				}
			}
		}
		e := p.Explain(proven)
		kept := slices.ContainsFunc(e.Steps, func(s forwarded.Step) bool { return s.Name == "X-Forwarded-Access-Token" && s.Verdict == "kept" })
		if kept != (peer == albPeer) {
			t.Errorf("from %s: the fate of a hidden header that the hop vouches for is told wrongly:\n%v", peer, e)
		}
	}
}

// TestExplanationsOfManyHeaders: many names are as well bounded as many lines.
func TestExplanationsOfManyHeaders(t *testing.T) {
	r := get(albPeer, "X-Forwarded-For: "+client, "X-Forwarded-Proto: https")
	for i := range 10_000 {
		r.Header[fmt.Sprintf("X-Forwarded-%d", i)] = []string{strings.Repeat("x", 60)}
	}
	e := behind(t, albHop()).Explain(r)
	for name, size := range map[string]int{"text": len(e.String()), "JSON": len(e.JSON()), "HTML": len(e.HTML())} {
		if size > 300_000 {
			t.Errorf("%s has %d bytes, in %d steps", name, size, len(e.Steps))
		}
	}
	if !strings.Contains(e.String(), "more") {
		t.Error("nothing says that headers were left out")
	}
}

// TestExplainSchemeFromPROXY: the scheme behind an NLB that ends TLS comes
// from the PROXY header, not from the socket.
func TestExplainSchemeFromPROXY(t *testing.T) {
	for _, c := range []struct {
		hop         forwarded.Hop
		tls         bool
		destination string
		scheme      string
		rule        string
	}{
		{forwarded.NLBTLS("10.0.16.0/20"), false, "10.0.16.5:443", "https", "PROXY header"},
		{forwarded.NLBTLS("10.0.16.0/20"), true, "10.0.16.5:80", "http", "PROXY header"},
		{forwarded.NLBTCP("10.0.16.0/20"), true, "10.0.16.5:443", "https", "socket"},
	} {
		e := behind(t, c.hop).Explain(refRequest{remote: albPeer, host: ourHost, tls: c.tls, transport: through(albPeer, client+":5000", c.destination)}.request())
		i := slices.IndexFunc(e.Steps, func(s forwarded.Step) bool { return s.Subject == "scheme" })
		if i < 0 || e.Steps[i].Value != c.scheme || e.Steps[i].Verdict != "known" || !strings.Contains(e.Steps[i].Rule, c.rule) {
			t.Errorf("%s, %s: want %s by the %s:\n%v", c.hop.Name, c.destination, c.scheme, c.rule, e)
		}
	}
}

func TestExplanationJSON(t *testing.T) {
	var got struct {
		Info     map[string]any
		Steps    []map[string]any
		Warnings []map[string]any
	}
	e := behind(t, nginxHop(), albHop()).Explain(storyRequest())
	if err := json.Unmarshal(e.JSON(), &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"status": "forwarded", "reason": "forwarded", "client": client, "scheme": "unknown", "scheme_reason": "scheme_lost",
		"host": ourHost, "port": 443.0, "peer": nginxPeer, "hops": 2.0, "complete": true,
	}
	if !reflect.DeepEqual(got.Info, want) {
		t.Errorf("info %v, want %v", got.Info, want)
	}
	if len(got.Steps) != len(e.Steps) || len(got.Warnings) != 1 || got.Warnings[0]["code"] != "W2" {
		t.Errorf("%d steps of %d, warnings %v", len(got.Steps), len(e.Steps), got.Warnings)
	}
	quiet := behind(t, albHop()).Explain(get(directPeer))
	if !strings.Contains(string(quiet.JSON()), `"warnings": []`) {
		t.Error("no warnings are not an empty list")
	}
}

// TestExplainOnWrappedRequest: what came is explained, not what Wrap left of
// it, and by the Policy that decided.
func TestExplainOnWrappedRequest(t *testing.T) {
	p := newPolicy(t, forwarded.Config{Hops: []forwarded.Hop{nginxHop(), albHop()}, RewriteRemoteAddr: true})
	r := storyRequest("X-Forwarded-Host: evil.example")
	want := p.Explain(r)
	wrapped, _ := pass(p, r)
	other := forwarded.Info{Status: forwarded.StatusDirect, Host: "other.example"}
	replaced := wrapped.WithContext(forwarded.NewContext(wrapped.Context(), other))
	for name, e := range map[string]forwarded.Explanation{
		"wrapped":          p.Explain(wrapped),
		"another Policy":   behind(t).Explain(wrapped),
		"a replaced Info":  p.Explain(replaced),
		"through Resolve":  {Info: p.Resolve(wrapped), Steps: want.Steps, Warnings: want.Warnings},
		"another resolves": {Info: behind(t).Resolve(wrapped), Steps: want.Steps, Warnings: want.Warnings},
	} {
		if !reflect.DeepEqual(e, want) {
			t.Errorf("%s:\n%v\nwant\n%v", name, e, want)
		}
	}
	if forwarded.From(replaced) != other || p.Resolve(replaced) != other {
		t.Errorf("NewContext did not replace the Info: %+v", forwarded.From(replaced))
	}
	if err := p.Reconfigure(forwarded.Config{Logger: p.Config().Logger}); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(p.Explain(wrapped), want) {
		t.Error("a request under way is explained by the new configuration")
	}
}

func TestExplainHandlerRefuses(t *testing.T) {
	p := behind(t, albHop())
	for name, allow := range map[string]func(*http.Request) bool{
		"nobody is allowed": nil,
		"not this one":      func(*http.Request) bool { return false },
	} {
		rec := httptest.NewRecorder()
		p.Wrap(p.ExplainHandler(allow)).ServeHTTP(rec, get(directPeer, "Accept: text/html"))
		if rec.Code != http.StatusNotFound || strings.Contains(rec.Body.String(), "198.51.100.9") {
			t.Errorf("%s: %d %s", name, rec.Code, rec.Body)
		}
		if got := rec.Header().Get("Cache-Control"); !strings.Contains(got, "no-store") {
			t.Errorf("%s: the refusal may be cached: %q", name, got)
		}
	}
}

func TestExplainHandler(t *testing.T) {
	p := behind(t, nginxHop(), albHop())
	allow := func(r *http.Request) bool { return forwarded.From(r).Client.String() == client }
	for accept, want := range map[string]string{
		"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8": "text/html; charset=utf-8",
		"application/json": "application/json",
		"":                 "text/plain; charset=utf-8",
		"*/*":              "text/plain; charset=utf-8",
	} {
		rec := httptest.NewRecorder()
		p.Wrap(p.ExplainHandler(allow)).ServeHTTP(rec, storyRequest("Accept: "+accept))
		h := rec.Header()
		if rec.Code != http.StatusOK || h.Get("Content-Type") != want {
			t.Errorf("Accept %q: %d %v, want %s", accept, rec.Code, h, want)
		}
		if !strings.Contains(h.Get("Cache-Control"), "no-store") || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Vary") != "Accept" {
			t.Errorf("Accept %q: %v", accept, h)
		}
		if !strings.Contains(rec.Body.String(), "6.6.6.6") {
			t.Errorf("Accept %q: the answer does not show what came", accept)
		}
		if csp := h.Get("Content-Security-Policy"); strings.HasPrefix(want, "text/html") && !strings.Contains(csp, "default-src 'none'") {
			t.Errorf("the page may load things: %q", csp)
		}
	}
}

// TestExplainHandlerVaries: what an outer middleware varies by stays.
func TestExplainHandlerVaries(t *testing.T) {
	p := behind(t, albHop())
	page := p.ExplainHandler(func(*http.Request) bool { return true })
	rec := httptest.NewRecorder()
	rec.Header().Set("Vary", "Origin")
	page.ServeHTTP(rec, get(directPeer, "Accept: application/json"))
	if got := rec.Header().Values("Vary"); !slices.Equal(got, []string{"Origin", "Accept"}) {
		t.Errorf("Vary is %q, want Origin and Accept", got)
	}
}
