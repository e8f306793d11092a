package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/knownhops/knownhops/forwarded"
)

func TestJourney(t *testing.T) {
	d := startDemo(t, config{})
	page := get(t, d, d.ways.HTTPS+"/", "X-Forwarded-For: 6.6.6.6", "Cookie: session=secret")
	for _, want := range []string{
		`data-stage="sent">6.6.6.6</td><td class="code" data-stage="arrived">6.6.6.6, 127.0.0.1</td><td class="code" data-stage="handed on">127.0.0.1</td>`,
		"Sent to the balancer", "(not shown)",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is missing", want)
		}
	}
	if strings.Contains(page, "secret") {
		t.Error("a cookie is shown")
	}
	d.journal.sent.Range(func(id, _ any) bool { t.Errorf("%v is remembered for ever", id); return true })
}

// A visitor past the balancer cannot read what another one sent to it.
func TestJourneyOfADirectVisitor(t *testing.T) {
	d := startDemo(t, config{})
	r, _ := http.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("X-Other", "of another visitor")
	defer d.journal.note("Root=1-0-0", r)()
	page := get(t, d, d.ways.App+"/", traceHeader+": Root=1-0-0")
	if strings.Contains(page, "of another visitor") || strings.Contains(page, "Sent to the balancer") {
		t.Error("it can")
	}
}

func TestHostileLinesAreEscaped(t *testing.T) {
	d := startDemo(t, config{})
	const evil = `</main></head><main><script>alert(1)</script>"'`
	for _, url := range []string{d.ways.HTTPS + "/", d.ways.App + "/", d.ways.App + "/explain"} {
		page := get(t, d, url, "X-Forwarded-For: "+evil, "X-Other: "+evil, "User-Agent: "+evil, "Host: evil.example")
		if strings.Contains(page, "<script") || strings.Count(page, "<main>") != 1 || strings.Count(page, "</main>") != 1 {
			t.Errorf("%s: it gets through", url)
		}
	}
}

// The page must work where nothing may be loaded and nothing may run.
func TestPageNeedsNothing(t *testing.T) {
	d := startDemo(t, config{})
	resp, err := scene{URL: d.ways.HTTPS + "/"}.play(t.Context(), d.identity, "text/html")
	page := read(t, resp, err)
	for _, no := range []string{"<script", "<link", "<img", "src=", "url(", "@import", "onclick", "style="} {
		if strings.Contains(page, no) {
			t.Errorf("%q in the page", no)
		}
	}
	for name, want := range map[string]string{
		"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
		"Cache-Control":           "private, no-store",
		"X-Content-Type-Options":  "nosniff",
		"Vary":                    "Accept",
	} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// The page is made of the library's; if that changes its frame, this one must.
func TestPageIsTheLibrarys(t *testing.T) {
	page := string(inside(forwarded.Explanation{}.HTML(), "S", "B", "A"))
	for _, want := range []string{"S</head>", "<main>B", "A</main>"} {
		if strings.Count(page, want) != 1 {
			t.Errorf("%q stands in the page %d times", want, strings.Count(page, want))
		}
	}
}

func TestWhatIsNotThere(t *testing.T) {
	d := startDemo(t, config{})
	for _, path := range []string{"/no-such-page", "/scenes/none"} {
		resp, err := scene{URL: d.ways.App + path}.play(t.Context(), d.identity, "text/html")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s", path, resp.Status)
		}
	}
}
