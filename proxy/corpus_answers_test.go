package proxy_test

import (
	"strings"
	"testing"
)

const ok200 = "HTTP/1.1 200 OK\r\n"

// TestAnswerCorpus lets an upstream answer as a broken or hijacked one would.
// Whatever it sends, the client gets one whole valid answer, a status that says
// who failed, or a visible break; never more than what was framed, and never a
// broken answer as a complete one.
func TestAnswerCorpus(t *testing.T) {
	for _, ac := range answers {
		t.Run(ac.name, func(t *testing.T) {
			t.Parallel()
			ac.run(t)
		})
	}
}

var answers = []answerCase{
	{name: "cl-dup-diff", want: "502", dirty: true, answer: ok200 + header("Content-Length: 2", "Content-Length: 3") + "okk",
		why: "RFC 9112 §6.3: an invalid length is unrecoverable"},
	{name: "cl+te", want: "200", dirty: true, body: "ok", header: []string{"Content-Length: 2"}, answer: ok200 + header("Content-Length: 4", chunked) + "2\r\nok\r\n0\r\n\r\n",
		why: "the coding overrides the length, which is not passed on (RFC 9112 §6.3); nobody trusts such a connection again"},
	{name: "te-x", want: "502", dirty: true, answer: ok200 + header("Transfer-Encoding: xchunked") + "2\r\nok\r\n0\r\n\r\n",
		why: "chunked is the only coding"},
	{name: "truncated-cl", want: "502|200 cut", ends: closes, answer: ok200 + header("Content-Length: 10") + "ok", body: "ok",
		why: "502 if the end was seen before the head was passed on, else broken; never complete"},
	{name: "truncated-chunk", want: "502|200 cut", ends: closes, answer: ok200 + header(chunked) + "5\r\nhello\r\n", body: "hello",
		why: "as truncated-cl"},
	{name: "nominate", want: "200", ends: closes, body: "ok", header: []string{"Content-Length: 2"},
		answer: ok200 + header("Connection: close, X-Secret", "X-Secret: s", "Proxy-Authenticate: Basic", "Keep-Alive: timeout=5", "Content-Length: 2") + "ok",
		why:    "what belongs to the upstream's connection stays there, also beside close (RFC 9110 §7.6.1)"},
	{name: "103", want: "103,200", body: "ok", answer: "HTTP/1.1 103 Early Hints\r\n" + header("Link: </a.css>") + ok200 + header("Content-Length: 2") + "ok",
		why: "interim answers are relayed"},
	{name: "101-unasked", want: "502", dirty: true, why: "nobody asked for another protocol",
		answer: "HTTP/1.1 101 Switching Protocols\r\n" + header("Connection: Upgrade", websocket) + ok200 + header("Content-Length: 4") + "evil"},
	{name: "204-body", want: "204", dirty: true, answer: "HTTP/1.1 204 No Content\r\n" + header("Content-Length: 4") + "evil",
		why: "204 has no body (RFC 9110 §15.3.5), so that the four bytes are nobody's and end the connection's use"},
	{name: "status-999", want: "999", body: "ok", answer: "HTTP/1.1 999 Odd\r\n" + header("Content-Length: 2") + "ok",
		why: "three digits are the grammar (RFC 9112 §4); what it means is between the two ends"},
	{name: "status-bad", want: "502", dirty: true, answer: "HTTP/1.1 2x0 Odd\r\n" + header("Content-Length: 2") + "ok", why: "3DIGIT"},
	{name: "garbage", want: "502", dirty: true, answer: "hello there\r\n\r\n", why: "no HTTP"},
	{name: "hdr-cr", want: "502", dirty: true, answer: ok200 + header("X-A: 1\rSet-Cookie: evil=1", "Content-Length: 2") + "ok", why: "response splitting"},
	{name: "hdr-space-name", want: "502", dirty: true, answer: ok200 + header("X A: 1", "Content-Length: 2") + "ok", why: "a name is a token"},
	{name: "trailers", want: "200", body: "ok", header: []string{"trailer X-T: t"}, answer: ok200 + header(chunked, "Trailer: X-T") + "2\r\nok\r\n0\r\nX-T: t\r\n\r\n",
		why: "trailers arrive, value and all"},
	{name: "close-now", want: "502 (2)", ends: closes, why: "GET may be tried again, on a connection of its own"},
	{name: "close-now-post", post: true, want: "502", ends: closes, why: "nobody knows whether the POST had its effect"},
	{name: "rst", want: "502 (2)", ends: resets, why: "as close-now"},
	{name: "no-cl-eof", want: "200", ends: closes, body: "until eof", answer: ok200 + header("X-A: 1") + "until eof",
		why: "the end of the connection is the end of the body (RFC 9112 §6.3); the client's connection need not end with it"},
	{name: "big-head", want: "502", dirty: true, answer: ok200 + header("X-A: "+strings.Repeat("a", 70<<10), "Content-Length: 2") + "ok",
		why: "above 64 KiB"},
}
