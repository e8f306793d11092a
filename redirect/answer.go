package redirect

import (
	"io"
	"net/http"
	"slices"
)

// texts are the bodies of the Enforcer's own answers. They tell strangers
// nothing: neither the canonical host nor what is wrong inside.
var texts = [reasons]string{
	ReasonBadTarget:      "Bad Request: the request's target is no path\n",
	ReasonUnknownHost:    misdirected,
	ReasonIPHost:         misdirected,
	ReasonHostLost:       misdirected,
	ReasonDirectAccess:   misdirected,
	ReasonHostRedirected: "Moved\n",
	ReasonLoopBroken:     "This site cannot be reached: it would redirect you to the page that you are on, again and again. Its operators find the reason in their log.\n",
	ReasonNoProof:        "This site is not available over https at the moment. Please try again later.\n",
	ReasonWebSocket:      "Use wss: WebSockets are not served over plain http.\n",
	ReasonRedirected:     "Moved to https\n",
	ReasonPreserved:      "Moved to https\n",
	ReasonUnsafeRefused:  "Use https: this request came over plain http, where everybody on the way can read it.\n",
	ReasonBadScheme:      "Bad Request: what proxies wrote about this request's scheme contradicts itself\n",
	ReasonUnknownScheme:  "Bad Request: it is not known whether this request came over https\n",
	ReasonTooLong:        "URI Too Long\n",
}

const misdirected = "Misdirected Request: this server does not answer for that host\n"

// retryAfter is for answers that a minute may change, in seconds.
const retryAfter = "60"

// answer writes a redirect or a refusal. No cache may keep it: a browser that
// kept a redirect would follow it for ever without asking, and a shared cache
// would hand the cookie to everybody.
func (e *Enforcer) answer(w http.ResponseWriter, r *http.Request, v *verdict) {
	h := w.Header()
	values := [...]string{"private, no-store", "text/plain; charset=utf-8", "nosniff", "Cookie, Upgrade", v.Location, markerField}
	one := func(i int) []string { return values[i : i+1 : i+1] }
	h["Cache-Control"], h["Content-Type"], h["X-Content-Type-Options"] = one(0), one(1), one(2)
	if dependsOnHeaders(v.Reason) {
		add(h, "Vary", one(3))
	}
	if v.Location != "" {
		h["Location"] = one(4)
	}
	if v.marker {
		add(h, "Set-Cookie", one(5))
	}
	switch v.Reason {
	case ReasonNoProof:
		h["Retry-After"] = []string{retryAfter}
	case ReasonUnsafeRefused:
		if v.info.Hops == 0 && r.ProtoMajor == 1 { // a hop's connection is not the client's alone
			h["Connection"] = []string{"close"} // what follows would come in clear as well
		}
	}
	w.WriteHeader(v.Status)
	if r.Method != http.MethodHead {
		io.WriteString(w, texts[v.Reason])
	}
}

// dependsOnHeaders: the same URL is answered otherwise to another client.
func dependsOnHeaders(reason Reason) bool {
	switch reason {
	case ReasonLoopBroken, ReasonNoProof, ReasonWebSocket, ReasonRedirected, ReasonPreserved, ReasonUnsafeRefused:
		return true
	}
	return false
}

// add appends to what a handler further out has set.
func add(h http.Header, name string, value []string) {
	if len(h[name]) == 0 {
		h[name] = value
		return
	}
	h[name] = slices.Concat(h[name], value) // its array may be shared
}
