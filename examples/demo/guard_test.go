package main

import (
	"crypto/tls"
	"net/http"
	"strings"
	"testing"
)

// named plays one of the scenes.
func named(t *testing.T, d *demo, name string) outcome {
	t.Helper()
	for _, s := range d.scenes() {
		if s.Name != name {
			continue
		}
		o, err := s.play(t.Context(), &tls.Config{RootCAs: d.balancer.CertPool()})
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	t.Fatalf("there is no scene %s", name)
	return outcome{}
}

// Whoever asks for what is not ours learns neither where to go nor what is here.
func TestRefusalsLeadNowhere(t *testing.T) {
	d := startDemo(t, config{})
	for _, name := range []string{"foreign-host", "past-balancer-ip"} {
		o := named(t, d, name)
		if o.Answer.StatusCode != http.StatusMisdirectedRequest || o.Answer.Header["Location"] != nil || strings.Contains(o.Text(), "example.com") {
			t.Errorf("%s:\n%s", name, o.Text())
		}
	}
}

// Where the balancer redirects and the proxy would, a visitor is redirected
// once; where only the proxy does, to https first and to the host after that.
func TestRedirectsEnd(t *testing.T) {
	d := startDemo(t, config{})
	for _, test := range []struct {
		host string
		by   []string
	}{
		{hostWeb, []string{"the balancer"}},
		{hostAlias, []string{"the proxy", "the proxy"}},
	} {
		s := scene{URL: "http://" + test.host + "/cart", To: d.ways.HTTP}
		for step := 0; ; step++ {
			j, err := d.travel(s, (&http.Request{}).WithContext(t.Context()))
			if err != nil {
				t.Fatal(err)
			}
			if step == len(test.by) {
				if !strings.Contains(j.Answer, " 200 OK\n") {
					t.Errorf("%s does not end:\n%s", test.host, j.Answer)
				}
				break
			}
			if j.Ruling == nil || j.Ruling.By != test.by[step] {
				t.Fatalf("%s, step %d: %+v", test.host, step, j.Ruling)
			}
			s = scene{URL: head(j.Answer).Get("Location"), To: d.ways.HTTPS}
		}
	}
}

// The cookie of the loop's first answer is the one that breaks it.
func TestLoopBreaksByItsOwnCookie(t *testing.T) {
	eachSetup(t, func(t *testing.T, d *demo) {
		first := named(t, d, "loop-1")
		pair, _, _ := strings.Cut(first.Answer.Header.Get("Set-Cookie"), ";")
		second := d.through(hostLoop, "", "", "Cookie: "+pair)
		o, err := second.play(t.Context(), &tls.Config{RootCAs: d.balancer.CertPool()})
		if err != nil {
			t.Fatal(err)
		}
		if o.Answer.StatusCode != http.StatusInternalServerError {
			t.Errorf("%s", o.Text())
		}
		if lines := d.logs.with("reason=loop_broken"); len(lines) != 1 || !strings.Contains(lines[0], "level=ERROR") {
			t.Errorf("the log: %q", lines)
		}
	})
}

// The page's links for browsers name this machine as the chain's hosts do.
func TestBrowsersComeIn(t *testing.T) {
	d := startDemo(t, config{})
	index := get(t, d, "/")
	for _, url := range []string{d.ways.Secure(), d.ways.Proxy} {
		link := local(url) + "/"
		if !strings.Contains(index, `href="`+link+`"`) {
			t.Errorf("no link to %s", link)
		}
		s := scene{URL: link, To: strings.TrimPrefix(strings.TrimPrefix(url, "https://"), "http://"), Lines: []string{"Accept: text/html"}}
		o, err := s.play(t.Context(), &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // as browsers do once their user has agreed
		if err != nil {
			t.Fatal(err)
		}
		if o.Answer.StatusCode != http.StatusSeeOther || !strings.HasPrefix(o.Answer.Header.Get("Location"), d.ways.Page) {
			t.Errorf("%s:\n%s", link, o.Text())
		}
	}
}
