package proxy

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestCleanAnswer: what concerns the connection stays behind, the rest passes.
func TestCleanAnswer(t *testing.T) {
	h := http.Header{
		"Connection": {"", "close, X-Secret", "x-also"}, "Proxy-Connection": {"close"}, "Keep-Alive": {"timeout=5"}, "Proxy-Authenticate": {"Basic"},
		"Proxy-Authentication-Info": {"x"}, "Te": {"trailers"}, "Transfer-Encoding": {"chunked"}, "Transfer_Encoding": {"chunked"}, "Upgrade": {"h2c"},
		"Alt-Svc": {`h3=":443"`}, "X-Secret": {"s"}, "X-Also": {"s"},
		"Content-Length": {"5"}, "Content-Type": {"a/b"}, "Set-Cookie": {"a=b", "c=d"}, "Trailer": {"X-T"}, "Server": {"s"}, "X-Other": {"o"},
	}
	cleanAnswer(h)
	assert.Equal(t, http.Header{
		"Content-Length": {"5"}, "Content-Type": {"a/b"}, "Set-Cookie": {"a=b", "c=d"}, "Trailer": {"X-T"}, "Server": {"s"}, "X-Other": {"o"},
	}, h)
}

// TestAnswerNominationsAreBounded: what an answer means is not for the
// connection alone (RFC 9110 §7.6.1).
func TestAnswerNominationsAreBounded(t *testing.T) {
	for _, name := range []string{"Cache-Control", "Content-Type", "Content-Security-Policy", "Set-Cookie", "Vary", "Expires", "Date", "Location",
		"Www-Authenticate", "Strict-Transport-Security", "Trailer"} {
		h := http.Header{name: {"v"}, "Connection": {name + ", X-Gone"}, "X-Gone": {"v"}}
		cleanAnswer(h)
		assert.Equal(t, http.Header{name: {"v"}}, h)
	}
}

// TestSwitchIsClean: the answer that switches protocols is cleaned like any
// other.
func TestSwitchIsClean(t *testing.T) {
	h := http.Header{"Connection": {"Upgrade, X-Internal"}, "Upgrade": {"websocket"}, "X-Internal": {"10.0.0.1"}, "Keep-Alive": {"timeout=5"},
		"Alt-Svc": {"clear"}, "Sec-Websocket-Accept": {"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="}}
	cleanAnswer(h)
	assert.Equal(t, http.Header{"Sec-Websocket-Accept": {"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="}}, h)
}

func TestCleanAnswerAllocates(t *testing.T) {
	h := http.Header{"Content-Type": {"a/b"}, "Content-Length": {"5"}, "Connection": {"keep-alive"}, "Date": {"now"}}
	connection := h["Connection"]
	assert.Zero(t, testing.AllocsPerRun(100, func() {
		h["Connection"] = connection
		cleanAnswer(h)
	}))
}
