package redirect_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/redirect"
)

const megabyte = 1 << 20

// hostileHeaders are as large as net/http lets through, about one megabyte in
// all. What they say must count exactly as if it were short, or not at all.
func hostileHeaders() map[string]http.Header {
	many := make([]string, 1000)
	for i := range many {
		many[i] = fmt.Sprintf("c%d=%s", i, strings.Repeat("v", 900))
	}
	return map[string]http.Header{
		"one cookie":            {"Cookie": {"a=" + strings.Repeat("b", megabyte)}},
		"semicolons":            {"Cookie": {strings.Repeat(";", megabyte)}},
		"cookies":               {"Cookie": {strings.Join(many, "; ")}},
		"cookie lines":          {"Cookie": many},
		"nearly the marker":     {"Cookie": {strings.Repeat("__Host-https-redirec=1;", megabyte/23)}},
		"commas":                {"X-Forwarded-Proto": {strings.Repeat(",", megabyte)}},
		"schemes":               {"X-Forwarded-Proto": {strings.Repeat("https,", megabyte/6)}},
		"ports":                 {"X-Forwarded-Port": {strings.Repeat("443 ", megabyte/4)}},
		"Forwarded":             {"Forwarded": {strings.Repeat("proto=http;", megabyte/11)}},
		"CF-Visitor":            {"Cf-Visitor": {strings.Repeat(`"https"`, megabyte/7)}},
		"Referer":               {"Referer": {"https://" + strings.Repeat("a.", megabyte/2)}},
		"Origin":                {"Origin": {"https://" + canonical + strings.Repeat(":", megabyte)}},
		"Upgrade":               {"Upgrade": {strings.Repeat("websocke,", megabyte/9)}},
		"Sec-Fetch":             {"Sec-Fetch-Site": {strings.Repeat("\xff", megabyte)}, "Sec-Fetch-Dest": {""}},
		"X-Arr-Ssl":             {"X-Arr-Ssl": {strings.Repeat("ü", megabyte/2)}},
		"User-Agent":            {"User-Agent": {strings.Repeat("x", megabyte)}},
		"lines of X-Forwarded-": {"X-Forwarded-Scheme": make([]string, 10_000)},
	}
}

// A log of one line for each request, with what may never stand in it.
func TestHostileHeaders(t *testing.T) {
	for name, header := range hostileHeaders() {
		var log bytes.Buffer
		e := redirect.Must(redirect.New(redirect.Config{Canonical: canonical, Policy: albPolicy(), Logger: slog.New(slog.NewTextHandler(&log, nil))}))
		r := fromNode("X-Forwarded-For: 198.51.100.7")(plainGet(canonical, "/x?token=hunter2"))
		if len(header["X-Forwarded-Proto"]) == 0 {
			r.Header.Set("X-Forwarded-Proto", "http")
		}
		for key, lines := range header {
			r.Header[key] = lines
		}
		r.Header.Set("Authorization", "Bearer hunter2")
		w := &tableWriter{header: http.Header{}}
		e.Wrap(http.NotFoundHandler()).ServeHTTP(w, r)
		want := 301
		if len(header["X-Forwarded-Proto"]) > 0 {
			want = 400
		}
		assert.Equal(t, want, w.status, name)
		assert.Less(t, log.Len(), 4<<10, name)
		assert.NotContains(t, log.String(), "hunter2", name)
		assert.NotContains(t, log.String(), "vvvv", name)
	}
}

// Wherever the marker stands, it is found.
func TestHostileCookiesHideNoMarker(t *testing.T) {
	const marker = "__Host-https-redirect=1"
	pad := strings.Repeat("a=b; ", megabyte/5)
	lines := make([]string, 64)
	for i := range lines {
		lines[i] = fmt.Sprintf("session%d=%d", i, i)
	}
	e := locationEnforcer(redirect.Config{})
	for _, c := range []struct {
		cookies []string
		found   bool
	}{
		{[]string{pad + marker}, true},
		{[]string{marker + "; " + pad}, true},
		{[]string{strings.Join(lines, "; ") + ";" + marker}, true},
		{append(lines[:64:64], marker), true},
		{append(lines[:64:64], "x="+marker), false},
		{[]string{"\t" + marker + " "}, true},
		{[]string{"__Host-https-redirect"}, false},
		{[]string{"x__Host-https-redirect=1"}, false},
		{[]string{"__Host-https-redirectx=1"}, false},
		{[]string{"__host-HTTPS-redirect=1"}, false}, // names of cookies are case-sensitive
		{lines, false},
	} {
		r := plainGet(canonical, "/")
		r.Header["Cookie"] = c.cookies
		d := e.Decide(r)
		assert.Equal(t, c.found, d.Reason == redirect.ReasonLoopBroken, "%.60q", c.cookies)
		for _, s := range d.Signals {
			assert.Empty(t, s.Value, "a cookie's value is nobody's business")
		}
	}
}

// Long and strange hosts are refused, and logged in a few bytes.
func TestHostileHosts(t *testing.T) {
	for _, host := range []string{
		strings.Repeat("a", megabyte), strings.Repeat("a.", megabyte/2), strings.Repeat(".", megabyte), canonical + ":" + strings.Repeat("0", megabyte) + "80",
		"[" + strings.Repeat(":", megabyte) + "]", strings.Repeat("1.", megabyte/2), canonical + strings.Repeat(".", 2), strings.Repeat("a.", 130) + canonical,
		canonical + "\r\nX: y", "www.example.com\x00", "wwẃ.example.com", "www。example。com", "WWW.EXAMPLE.COM\u212a", "www.example.com%00", "www.example.com%2eevil", "%77ww.example.com",
		" www.example.com", "www.example.com ", "xn--ls8h.example", "..", ":", ":80", "[", "[]", "[::1", "::1", "1", "1.2.3", "0x1.2.3.4", "1.2.3.4.", "www.example.com:+80", "www.example.com:-1",
	} {
		var log bytes.Buffer
		e := redirect.Must(redirect.New(redirect.Config{Canonical: canonical, Aliases: []string{apex, wildcard}, HSTS: redirect.OneHour, Logger: slog.New(slog.NewTextHandler(&log, nil))}))
		w := &tableWriter{header: http.Header{}}
		e.Wrap(http.NotFoundHandler()).ServeHTTP(w, plainGet(host, "/"))
		assert.Equal(t, 421, w.status, "%.60q", host)
		assert.Empty(t, w.header["Location"])
		assert.Less(t, log.Len(), 2<<10, "%.60q", host)
		assert.Equal(t, 1, strings.Count(log.String(), "\n"), "%.60q", host)
	}
}

// DangerouslyAnyHost reflects names, and nothing that is no name.
func TestHostileHostsUnderAnyHost(t *testing.T) {
	e := locationEnforcer(redirect.Config{DangerouslyAnyHost: true})
	for host, want := range map[string]string{
		"Evil.Example.:81": "https://evil.example/", "a_b.example": "https://a_b.example/", "192.0.2.7": "", "[2001:db8::1]:80": "", "": "", "a,b": "", "a@b": "", "127.1": "", "a..b": "",
	} {
		d := e.Decide(plainGet(host, "/"))
		assert.Equal(t, want, d.Location, host)
		assert.Equal(t, want == "", d.Status == 421, host)
	}
}

// One megabyte of header is legal for net/http, so it comes through a socket too.
func TestHostileHeadersOnTheWire(t *testing.T) {
	s := startWire(t, func(p *http.Protocols) { p.SetHTTP1(true) })
	for _, line := range []string{
		"Cookie: " + strings.Repeat("a=b; ", 180_000) + "__Host-https-redirect=1",
		strings.Repeat("Cookie: a=b\r\n", 60_000) + "Cookie: __Host-https-redirect=1",
	} {
		resp, _ := exchange(t, s.addr, "GET /a HTTP/1.1\r\nHost: "+canonical+"\r\nX-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Proto: http\r\nConnection: close\r\n"+line+"\r\n\r\n")
		assert.Equal(t, 500, resp.StatusCode)
		told := s.takeDecision()
		require.Len(t, told, 1)
		assert.Equal(t, redirect.ReasonLoopBroken, told[0].Reason)
	}
}
