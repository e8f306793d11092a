package proxy

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"html"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// ErrorPages says what clients see when an exchange fails. The zero value
// writes a short page in HTML, JSON or plain text, as the client accepts, with
// nothing of the inside: no address, no upstream, no text of an error. The
// Proxy-Status field names the kind of failure in the words of RFC 9209.
type ErrorPages struct {
	// Write writes the answer to a failed exchange, status and header included.
	// Retry-After, Connection and Proxy-Status are set already. Nil: the page
	// described above.
	Write func(w http.ResponseWriter, r *http.Request, page ErrorPage)

	RetryAfter time.Duration // in answers with 503: 5 s; negative: none
}

// An ErrorPage is what a client may know of a failure.
type ErrorPage struct {
	Status    int
	Title     string // the status in words: "Bad Gateway"
	Text      string // one sentence for people
	RequestID string // stands in the log as well
}

// fail ends an exchange that has failed: it is logged, and the client gets an
// error page or, if it has seen the head of an answer already, a broken
// connection. It must not take half an answer for a whole one.
func (p *Proxy) fail(x *exchange, e *Error) {
	id := requestID(x.r)
	p.log(x.r, e, id)
	if p.cfg.OnError != nil {
		p.cfg.OnError(x.r, e)
	}
	if x.started || e.Status() == statusClientGone {
		x.end(false)
		x.abort()
	}
	x.patience.limit = time.Time{} // a page comes after the end, too
	x.push()
	p.page(x, e, id)
	x.rc.Flush()
	x.end(true)
}

// abort breaks the client's connection or stream. HTTP/1.0 knows no length of a
// stream but its end, so that only a reset tells a broken one.
func (x *exchange) abort() {
	if !x.r.ProtoAtLeast(1, 1) {
		if conn, _, err := x.rc.Hijack(); err == nil {
			if t, ok := conn.(*net.TCPConn); ok {
				t.SetLinger(0)
			}
			conn.Close()
		}
	}
	panic(http.ErrAbortHandler)
}

// page writes the answer for a failure.
func (p *Proxy) page(x *exchange, e *Error, id string) {
	h := x.w.Header()
	h["Proxy-Status"] = []string{p.cfg.Headers.name() + "; error=" + e.reason.info().proxyStatus} // RFC 9209
	if e.Status() == http.StatusServiceUnavailable && p.cfg.Errors.RetryAfter >= 0 {
		h["Retry-After"] = []string{strconv.Itoa(int((p.cfg.Errors.RetryAfter + time.Second - 1) / time.Second))}
	}
	if e.Status() == http.StatusMethodNotAllowed {
		h["Allow"] = []string{"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"}
	}
	if x.mustClose() || x.r.ProtoMajor == 1 && e.Stage == StageRequest {
		h["Connection"] = []string{"close"}
	}
	write := p.cfg.Errors.Write
	if write == nil {
		write = writePage
	}
	write(x.w, x.r, ErrorPage{Status: e.Status(), Title: http.StatusText(e.Status()), Text: textFor(e.Status()), RequestID: id})
}

func textFor(status int) string {
	switch status {
	case http.StatusBadGateway:
		return "The service behind this address did not give a usable answer."
	case http.StatusServiceUnavailable:
		return "The service is not available at the moment. Please try again shortly."
	case http.StatusGatewayTimeout:
		return "The service behind this address did not answer in time."
	case http.StatusLoopDetected:
		return "This address leads back to itself."
	case http.StatusRequestEntityTooLarge:
		return "What you sent is larger than allowed here."
	case http.StatusRequestTimeout:
		return "Your request did not arrive completely in time."
	}
	return "The request could not be passed on."
}

// writePage writes the built-in page.
func writePage(w http.ResponseWriter, r *http.Request, page ErrorPage) {
	kind, body := page.render(strings.Join(r.Header["Accept"], ","))
	h := w.Header()
	h["Content-Type"] = []string{kind}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	h["Cache-Control"] = []string{"no-store"}
	h["X-Content-Type-Options"] = []string{"nosniff"}
	w.WriteHeader(page.Status)
	if r.Method != http.MethodHead {
		w.Write(body)
	}
}

// render makes the page in what the client accepts first: JSON, HTML or, for
// everybody else, plain text.
func (p ErrorPage) render(accept string) (kind string, body []byte) {
	j, h := mentions(accept, "application/json", "+json"), mentions(accept, "text/html", "application/xhtml+xml")
	switch {
	case j >= 0 && (h < 0 || j < h):
		body, _ = json.Marshal(map[string]any{"status": p.Status, "title": p.Title, "detail": p.Text, "request_id": p.RequestID})
		return "application/json", append(body, '\n')
	case h >= 0:
		return "text/html; charset=utf-8", p.html()
	}
	return "text/plain; charset=utf-8", fmt.Appendf(nil, "%d %s\n%s\nRequest: %s\n", p.Status, p.Title, p.Text, p.RequestID)
}

// mentions returns where the first of the types stands in accept, or -1.
func mentions(accept string, types ...string) int {
	first := -1
	for _, t := range types {
		if i := strings.Index(accept, t); i >= 0 && (first < 0 || i < first) {
			first = i
		}
	}
	return first
}

func (p ErrorPage) html() []byte {
	return fmt.Appendf(nil, `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>%[1]d %[2]s</title>
<style>body{font:16px/1.5 system-ui,sans-serif;max-width:34em;margin:15vh auto;padding:0 1em;color:#222;background:#fff}
h1{font-size:1.4em}small{color:#666}@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}small{color:#999}}</style></head>
<body><h1>%[2]s</h1><p>%[3]s</p><p><small>Error %[1]d · request %[4]s</small></p></body></html>
`, p.Status, html.EscapeString(p.Title), html.EscapeString(p.Text), html.EscapeString(p.RequestID))
}

// requestID is how the failure can be found in the log: the id that a balancer
// or the client gave the request or, without one, a new one.
func requestID(r *http.Request) string {
	for _, name := range []string{"X-Amzn-Trace-Id", "X-Request-Id"} {
		if lines := r.Header[name]; len(lines) == 1 && harmless(lines[0]) {
			return lines[0]
		}
	}
	return strings.ToLower(rand.Text()[:16])
}

// harmless reports whether an id may be shown and logged as it is.
func harmless(id string) bool {
	for i := range len(id) {
		if c := id[i]; !tokenBytes[c] && c != '=' && c != ';' {
			return false
		}
	}
	return id != "" && len(id) <= 128
}

// pseudonym makes up a name under which this proxy recognises itself.
func pseudonym() string { return "knownhops-" + strings.ToLower(rand.Text()[:8]) }

// name is the proxy's name in fields that need one.
func (h *Headers) name() string {
	if h.Via == "-" {
		return "knownhops"
	}
	return h.Via
}
