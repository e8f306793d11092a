//go:build linux

package peers

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// openTab opens the tab, and waits until it is empty.
func (b *browser) openTab(t *testing.T) {
	t.Helper()
	var target struct{ TargetID string }
	b.devtools.call(t, "", "Target.createTarget", map[string]any{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	b.devtools.call(t, "", "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached)
	b.session = attached.SessionID
	b.call(t, "Page.enable", nil, nil)
	b.call(t, "Network.enable", nil, nil)
	mark := b.mark()
	b.call(t, "Page.setLifecycleEventsEnabled", map[string]any{"enabled": true}, nil)
	b.awaitLoad(t, mark)
}

// call is devtools.call for the tab.
func (b *browser) call(t *testing.T, method string, params, result any) {
	t.Helper()
	if params == nil {
		params = struct{}{}
	}
	b.devtools.call(t, b.session, method, params, result)
}

// A landing is where a navigation led to.
type landing struct {
	way    []string // every answer, in order: "301 http://www.example/"
	failed string   // "net::ERR_TOO_MANY_REDIRECTS"; "": it did not
	url    string   // what the address bar shows
	text   string   // what the page shows
}

// open navigates to a URL as if it were typed.
func (b *browser) open(t *testing.T, url string) landing {
	t.Helper()
	return b.follow(t, func() { b.call(t, "Page.navigate", map[string]any{"url": url}, nil) })
}

// follow waits for the page to which something leads.
func (b *browser) follow(t *testing.T, lead func()) landing {
	t.Helper()
	mark := b.mark()
	lead()
	events := b.awaitLoad(t, mark)
	var l landing
	for _, m := range events {
		b.note(t, &l, m)
	}
	if l.failed == "" {
		l.url = b.eval(t, "location.href")
		l.text = b.eval(t, "document.body.innerText")
	}
	return l
}

// awaitLoad waits until another document than the last has been loaded.
func (b *browser) awaitLoad(t *testing.T, mark int) []devtoolsMessage {
	t.Helper()
	return b.await(t, mark, func(m devtoolsMessage) bool {
		var p struct{ Name, LoaderID string }
		if m.Method != "Page.lifecycleEvent" || json.Unmarshal(m.Params, &p) != nil || p.Name != "load" || p.LoaderID == b.loader {
			return false
		}
		b.loader = p.LoaderID
		return true
	})
}

// A netEvent is what the Network domain says about one request. That of a document has the document's own name.
type netEvent struct {
	RequestID, ErrorText       string
	RedirectResponse, Response *netAnswer
}

type netAnswer struct {
	URL           string
	Status        int
	FromDiskCache bool
	Headers       map[string]string
}

// String marks what never reached a server.
func (a *netAnswer) String() string {
	s := fmt.Sprintf("%d %s", a.Status, a.URL)
	switch {
	case a.Headers["Non-Authoritative-Reason"] != "":
		s += " by " + a.Headers["Non-Authoritative-Reason"]
	case a.FromDiskCache:
		s += " from the cache"
	}
	return s
}

// note writes down what an event tells of the document's way.
func (b *browser) note(t *testing.T, l *landing, m devtoolsMessage) {
	if !strings.HasPrefix(m.Method, "Network.") {
		return
	}
	var e netEvent
	require.NoError(t, json.Unmarshal(m.Params, &e))
	switch {
	case e.RequestID != b.loader:
	case m.Method == "Network.requestWillBeSent" && e.RedirectResponse != nil:
		l.way = append(l.way, e.RedirectResponse.String())
	case m.Method == "Network.responseReceived":
		l.way = append(l.way, e.Response.String())
	case m.Method == "Network.loadingFailed":
		l.failed = e.ErrorText
	}
}

// eval runs a script in the page and returns its result, a string or a promise of one. What it throws comes back as
// text.
func (b *browser) eval(t *testing.T, script string) string {
	t.Helper()
	var answer struct {
		Result struct {
			Value       any
			Description string
		}
	}
	b.call(t, "Runtime.evaluate", map[string]any{"expression": script, "awaitPromise": true, "returnByValue": true}, &answer)
	if s, ok := answer.Result.Value.(string); ok {
		return s
	}
	return answer.Result.Description
}

// cookies names the cookies that the browser keeps, of all sites.
func (b *browser) cookies(t *testing.T) (names []string) {
	t.Helper()
	var answer struct{ Cookies []struct{ Name string } }
	b.call(t, "Network.getAllCookies", nil, &answer)
	for _, c := range answer.Cookies {
		names = append(names, c.Name)
	}
	return names
}
