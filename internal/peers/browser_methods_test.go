//go:build linux

package peers

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	coder "github.com/coder/websocket"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/redirect"
)

// postForm sends a form to /order of the page's host.
const postForm = `(() => {
	const f = document.createElement("form");
	f.method = "post"; f.action = "/order";
	for (const [name, value] of [["item", "a&b=ä"], ["n", "2"]]) {
		const i = document.createElement("input");
		i.name = name; i.value = value; f.append(i);
	}
	document.body.append(f); f.submit();
})()`

const formBody = "item=a%26b%3D%C3%A4&n=2"

// bodyBack answers with the method and the body.
var bodyBack = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // what is missing is missed by the test
	fmt.Fprintf(w, "%s %s", r.Method, body)
})

// A form that is posted to http arrives over https with its body, which everybody on the way could read the first time.
// RefuseUnsafe says so instead. After a 301 it would not arrive at all.
func TestBrowserPost(t *testing.T) {
	s := startSite(t)
	b := startBrowser(t, s)
	cfg := redirect.Config{Canonical: "www.example", Exempt: []string{"/page"}}
	s.enforce(t, cfg, bodyBack, declared())
	b.open(t, "http://www.example/page")
	s.came()
	l := b.follow(t, func() { b.eval(t, postForm) })
	assert.Equal(t, []string{"308 http://www.example/order", "200 https://www.example/order"}, l.way)
	assert.Equal(t, "POST "+formBody, l.text)
	visits, came := s.came()
	require.Equal(t, []string{"308 POST http://www.example/order", "200 POST https://www.example/order"}, came)
	assert.Equal(t, formBody, visits[0].body, "in clear")
	assert.Equal(t, formBody, visits[1].body)

	cfg.RefuseUnsafe = true
	s.enforce(t, cfg, bodyBack, declared())
	b.open(t, "http://www.example/page")
	s.came()
	l = b.follow(t, func() { b.eval(t, postForm) })
	assert.Equal(t, []string{"403 http://www.example/order"}, l.way)
	assert.Contains(t, l.text, "everybody on the way can read it")

	s.use(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { // as most programs do it
		if r.URL.Path == "/order" && r.Header.Get("X-Forwarded-Proto") == "http" {
			http.Redirect(w, r, "https://"+r.Host+r.URL.Path, http.StatusMovedPermanently)
			return
		}
		bodyBack(w, r)
	}))
	b.open(t, "http://www.example/page")
	l = b.follow(t, func() { b.eval(t, postForm) })
	assert.Equal(t, []string{"301 http://www.example/order", "200 https://www.example/order"}, l.way)
	assert.Equal(t, "GET", strings.TrimSpace(l.text), "the body is lost without a word")
}

// What scripts post to http is lost: no redirect helps them, as none was meant to. Some of it is read on the way first.
func TestBrowserFetch(t *testing.T) {
	s := startSite(t)
	b := startBrowser(t, s)
	s.enforce(t, redirect.Config{
		Canonical: "www.example", Exempt: []string{"/page"}, PlainHosts: []string{"other.example"},
	}, bodyBack, declared())
	for _, c := range []struct {
		name, page, kind, api string
		text                  string // that the script gets
		came                  []string
	}{
		{
			"a preflight cannot be redirected, and nothing follows", "http://other.example/page", "application/json", "http://www.example/api",
			"failed", []string{"308 OPTIONS http://www.example/api"},
		},
		{
			"what needs none is out before anybody can say no", "http://other.example/page", "text/plain", "http://www.example/api",
			"failed", []string{"308 POST http://www.example/api"},
		},
		{
			"https of the same host is another origin, whose answer the script may not read", "http://www.example/page", "text/plain", "http://www.example/api",
			"failed", []string{"308 POST http://www.example/api", "200 POST https://www.example/api"},
		},
		{
			"and is asked before it gets more than a form could send", "http://www.example/page", "application/json", "http://www.example/api",
			"failed", []string{"308 POST http://www.example/api", "200 OPTIONS https://www.example/api"},
		},
		{
			"over https", "https://www.example/page", "application/json", "https://www.example/api",
			`200 POST {"n":1}`, []string{"200 POST https://www.example/api"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			b.open(t, c.page)
			s.came()
			text := b.eval(t, fmt.Sprintf(`fetch(%q, {method: "POST", headers: {"Content-Type": %q}, body: '{"n":1}'})
				.then(async r => r.status + " " + await r.text(), () => "failed")`, c.api, c.kind))
			assert.Equal(t, c.text, text)
			visits, came := s.came()
			assert.Equal(t, c.came, came)
			for _, v := range visits {
				assert.Equal(t, v.method == http.MethodPost, v.body == `{"n":1}`, "%s %q", v.method, v.body)
			}
		})
	}
}

// say opens a WebSocket, says something and waits for the answer.
const say = `new Promise(done => {
	const s = new WebSocket(%q);
	s.onopen = () => s.send("hello");
	s.onmessage = e => { done(e.data); s.close(); };
	s.onerror = () => done("failed");
})`

// ws is refused, since no browser follows a redirect of it; wss works through everything.
func TestBrowserWebSocket(t *testing.T) {
	s := startSite(t)
	b := startBrowser(t, s)
	e := s.enforce(t, redirect.Config{Canonical: "www.example", Exempt: []string{"/page"}}, http.HandlerFunc(echoSocket), declared())
	b.open(t, "http://www.example/page")
	s.came()
	assert.Equal(t, "failed", b.eval(t, fmt.Sprintf(say, "ws://www.example/socket")))
	_, came := s.came()
	assert.Equal(t, []string{"403 GET http://www.example/socket"}, came)
	assert.EqualValues(t, 1, e.Stats()[redirect.ReasonWebSocket])

	assert.Equal(t, "hello yourself", b.eval(t, fmt.Sprintf(say, "wss://www.example/socket")))
	_, came = s.came()
	assert.Equal(t, []string{"101 GET https://www.example/socket"}, came)
}

// echoSocket answers one message over a WebSocket; other requests get a page.
func echoSocket(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/socket" {
		return
	}
	conn, err := coder.Accept(w, r, nil)
	if err != nil {
		return // it has answered
	}
	defer conn.CloseNow()
	if kind, text, err := conn.Read(r.Context()); err == nil {
		_ = conn.Write(r.Context(), kind, append(text, " yourself"...)) // the page waits for it
		_, _, _ = conn.Read(r.Context())                                // until the page closes
	}
}
