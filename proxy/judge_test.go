package proxy

import (
	"bufio"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// generous are limits as New fills them in.
var generous = Limits{URI: 16 << 10, RequestHeader: 64 << 10}

// read is the request that net/http makes of the text, which ends its lines in
// "\n" here.
func read(t testing.TB, text string) *http.Request {
	t.Helper()
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(strings.ReplaceAll(text, "\n", "\r\n"))))
	require.NoError(t, err, "net/http refuses %q", text)
	return r
}

// TestJudge: each text is one that net/http lets through.
func TestJudge(t *testing.T) {
	const host = "Host: good.test\n"
	for _, c := range []struct {
		text string
		want Reason
	}{
		{"GET /p?x=1 HTTP/1.1\n" + host + "\n", ReasonNone},
		{"GET /p HTTP/1.0\n\n", ReasonNone},
		{"GET /p HTTP/1.0\n" + host + "\n", ReasonNone},
		{"get /p HTTP/1.1\n" + host + "\n", ReasonNone},
		{"GET /p HTTP/1.1\n" + host + "Content-Length: 5\n\nhello", ReasonNone},
		{"OPTIONS * HTTP/1.1\n" + host + "\n", ReasonNone},
		{"GET http://good.test HTTP/1.1\n" + host + "\n", ReasonNone},
		{"GET http://good.test/a HTTP/1.1\nHost: other.test\n\n", ReasonNone},
		{"GET https://good.test:8443/a HTTP/1.1\n" + host + "\n", ReasonNone},
		{"GET //evil.test/x HTTP/1.1\n" + host + "\n", ReasonNone},
		{"GET /a/../b/%2e%2e/c%2fd HTTP/1.1\n" + host + "\n", ReasonNone},
		{"GET /p?a=1;b=2&c=%zz HTTP/1.1\n" + host + "\n", ReasonNone},
		{"GET /p HTTP/1.1\nHost: [2001:db8::1]:8080\n\n", ReasonNone},
		{"GET /p HTTP/1.1\nHost: GOOD.test.:80\n\n", ReasonNone},

		{"CONNECT evil.test:80 HTTP/1.1\nHost: evil.test:80\n\n", ReasonConnectRefused},
		{"CONNECT /p HTTP/1.1\n" + host + "\n", ReasonConnectRefused},
		{"TRACE /p HTTP/1.1\n" + host + "Max-Forwards: 0\n\n", ReasonMethodRefused},

		{"GET /a#b HTTP/1.1\n" + host + "\n", ReasonBadRequest},
		{"GET /a?b#c HTTP/1.1\n" + host + "\n", ReasonBadRequest},
		{"GET http://good.test/#b HTTP/1.1\n" + host + "\n", ReasonBadRequest},
		{"GET * HTTP/1.1\n" + host + "\n", ReasonBadRequest},
		{"GET http:foo HTTP/1.1\n" + host + "\n", ReasonBadRequest},
		{"GET http:/foo HTTP/1.1\n" + host + "\n", ReasonBadRequest},
		{"GET ftp://good.test/ HTTP/1.1\n" + host + "\n", ReasonBadRequest},
		{"GET http://a@evil.test/ HTTP/1.1\n" + host + "\n", ReasonBadRequest},

		{"GET /p HTTP/1.1\nHost:\n\n", ReasonBadRequest},
		{"GET /p HTTP/1.1\nHost: a@evil.test\n\n", ReasonBadRequest},
		{"GET /p HTTP/1.1\nHost: a.test,b.test\n\n", ReasonBadRequest},
		{"GET /p HTTP/1.1\nHost: good.test/evil?\n\n", ReasonBadRequest},
		{"GET /p HTTP/1.1\nHost: good.test:0\n\n", ReasonBadRequest},
		{"GET /p HTTP/1.1\nHost: good.test:80:80\n\n", ReasonBadRequest},
		{"GET /p HTTP/1.1\nHost: 127.1\n\n", ReasonBadRequest},
		{"GET /p HTTP/1.1\nHost: [fe80::1%eth0]\n\n", ReasonBadRequest},
		{"GET /p HTTP/1.0\nHost: a@evil.test\n\n", ReasonBadRequest},

		{"GET /p HTTP/1.1\n" + host + "Connection: Upgrade\nUpgrade: websocket\n\n", ReasonNone},
		{"POST /p HTTP/1.0\nTransfer-Encoding: chunked\n\n5\nhello\n0\n\n", ReasonBadRequest},
		{"PUT /p HTTP/1.0\n" + host + "\n", ReasonBadRequest},
		{"PATCH /p HTTP/1.0\n" + host + "\n", ReasonBadRequest},
		{"POST /p HTTP/1.0\n" + host + "Content-Length: 0\n\n", ReasonNone},
		{"POST /p HTTP/1.0\n" + host + "Content-Length: 5\n\nhello", ReasonNone},
		{"POST /p HTTP/1.1\n" + host + "\n", ReasonNone},
		{"DELETE /p HTTP/1.0\n" + host + "\n", ReasonNone},

		{"GET /p HTTP/1.1\n" + host + "Via: 1.1 me, 1.1 me\n\n", ReasonNone},
		{"GET /p HTTP/1.1\n" + host + "Via: 1.1 me, 1.1 me\nVia: 1.1 me\n\n", ReasonLoop},
	} {
		assert.Equal(t, c.want, judge(read(t, c.text), &generous, &Headers{Via: "me"}), "%q", c.text)
	}
}

// TestTargetOfAnotherMaking: code in between may have replaced the URL.
func TestTargetOfAnotherMaking(t *testing.T) {
	for _, u := range []*url.URL{nil, {Scheme: "http", Host: "good.test", Opaque: "//evil.test/"}, {Path: "relative"}, {Host: "good.test", Path: "/"}} {
		r := requestFrom(clientAddr)
		r.URL = u
		assert.Equal(t, ReasonBadRequest, judge(r, &generous, &Headers{}), "%v", u)
	}
}

// TestRFC9931: nothing is sent optimistically through a tunnel that this proxy
// does not make.
func TestRFC9931(t *testing.T) {
	r := read(t, "CONNECT evil.test:80 HTTP/1.1\nHost: evil.test:80\n\nGET /smug HTTP/1.1\n\n")
	assert.Equal(t, ReasonConnectRefused, judge(r, &generous, &Headers{}))
}

// TestCVE_2026_58055: a body behind an upgrade ends where nobody knows.
func TestCVE_2026_58055(t *testing.T) {
	const upgrade = "POST /p HTTP/1.1\nHost: good.test\nConnection: Upgrade\nUpgrade: websocket\n"
	for _, body := range []string{"Content-Length: 35\n\nGET /smug HTTP/1.1", "Transfer-Encoding: chunked\n\n5\nhello\n0\n\n"} {
		assert.Equal(t, ReasonBadRequest, judge(read(t, upgrade+body), &generous, &Headers{}))
	}
	assert.Equal(t, ReasonNone, judge(read(t, upgrade+"Content-Length: 0\n\n"), &generous, &Headers{}))
}

// TestHostBesideAuthority: HTTP/2 allows both if they say the same.
func TestHostBesideAuthority(t *testing.T) {
	r := requestFrom(clientAddr, "Host: Good.Test")
	r.ProtoMajor, r.ProtoMinor = 2, 0
	assert.Equal(t, ReasonNone, judge(r, &generous, &Headers{}))
	r.Header.Add("Host", "evil.test")
	assert.Equal(t, ReasonBadRequest, judge(r, &generous, &Headers{}))
	r.Header.Del("Host")
	r.Host = ""
	assert.Equal(t, ReasonBadRequest, judge(r, &generous, &Headers{}))
}

// TestRequestLimits: at the limit a request passes, a byte above it not; zero
// and negative limits are none.
func TestRequestLimits(t *testing.T) {
	post := "POST /p HTTP/1.1\nHost: good.test\nContent-Length: 5\nX-A: a\nX-A: b\n\nhello"
	header := len("Host: good.test\r\nContent-Length: 5\r\nX-A: a\r\nX-A: b\r\n")
	for _, c := range []struct {
		limits Limits
		want   Reason
	}{
		{Limits{}, ReasonNone},
		{Limits{URI: -1, RequestHeader: -1, RequestBody: -1}, ReasonNone},
		{Limits{URI: 2}, ReasonNone},
		{Limits{URI: 1}, ReasonTargetTooLong},
		{Limits{RequestHeader: header}, ReasonNone},
		{Limits{RequestHeader: header - 1}, ReasonHeaderTooLarge},
		{Limits{RequestBody: 5}, ReasonNone},
		{Limits{RequestBody: 4}, ReasonBodyTooLarge},
	} {
		assert.Equal(t, c.want, judge(read(t, post), &c.limits, &Headers{}), "%+v", c.limits)
	}
	chunked := read(t, "POST /p HTTP/1.1\nHost: good.test\nTransfer-Encoding: chunked\n\n5\nhello\n0\n\n")
	assert.Equal(t, ReasonNone, judge(chunked, &Limits{RequestBody: 1}, &Headers{}), "how long it is nobody knows yet")
}

func TestJudgeAllocatesNothing(t *testing.T) {
	h := &Headers{Via: "me"}
	r := read(t, "GET /p?x=1 HTTP/1.1\nHost: good.test:8080\n"+strings.Join(browserLines(), "\n")+"\nVia: 1.1 fred, 1.1 me\n\n")
	require.Equal(t, ReasonNone, judge(r, &generous, h))
	assert.Zero(t, testing.AllocsPerRun(100, func() { judge(r, &generous, h) }))
}

func BenchmarkJudge(b *testing.B) {
	r := read(b, "GET /p?x=1 HTTP/1.1\nHost: good.test\n"+strings.Join(browserLines(), "\n")+"\n\n")
	hostile := read(b, "GET /p HTTP/1.1\nHost: good.test\nVia: "+strings.Repeat("1.1 me2,", 8000)+"\n\n")
	for name, r := range map[string]*http.Request{"usual": r, "via": hostile} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				judge(r, &generous, &Headers{Via: "me"})
			}
		})
	}
}
