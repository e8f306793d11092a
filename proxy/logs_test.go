package proxy

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// An answer that broke off is not logged like a complete one, whichever HTTP
// the client speaks.
func TestAccessLogOfATruncatedAnswer(t *testing.T) {
	for _, version := range []string{"1.0", "1.1"} {
		b := newBackend(t, func(c *backendConn) {
			c.next()
			c.say("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 1000))
			time.Sleep(30 * time.Millisecond) // the head has gone out by then
		})
		g := newGate(t, Config{Upstreams: []string{b.url()}})
		var log syncLog
		g.behind(func(next http.Handler) http.Handler { return AccessLog(&log)(next) })
		v := g.visit(t, "GET / HTTP/"+version+"\r\nHost: h\r\n\r\n")
		io.Copy(io.Discard, v.r)
		eventually(t, "a line", func() bool { return log.String() != "" })
		assert.Regexp(t, ` aborted\n$`, log.String(), version)
	}
}

// syncLog is what a journal is without JSON.
type syncLog struct{ journal }

func (l *syncLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// Whoever can write lines at the highest level can hide others among them: only
// what is wrong behind the proxy, or in it, is an error.
func TestLogLevels(t *testing.T) {
	for raw, want := range map[string]string{
		"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n": "DEBUG",
		"TRACE / HTTP/1.1\r\nHost: a\r\n\r\n":     "DEBUG",
		"GET / HTTP/1.1\r\nHost: a\r\nVia: 1.1 me, 1.1 me, 1.1 me, 1.1 me, 1.1 me, 1.1 me, 1.1 me, 1.1 me, 1.1 me, 1.1 me, 1.1 me, 1.1 me\r\n\r\n": "WARN",
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n":                                            "ERROR",
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n": "DEBUG",
	} {
		g := newGate(t, Config{Upstreams: []string{killing(t).url()}, Headers: Headers{Via: "me"}, Retry: Retry{Attempts: 1}})
		g.visit(t, raw)
		g.failure(t)
		g.server.Close()
		entries := g.book.entries(t)
		require.Len(t, entries, 1, raw)
		assert.Equal(t, want, entries[0]["level"], raw)
	}
}

// What a client wrote cannot end a line, for log handlers that quote nothing,
// and cannot fill a disk.
func TestLogFieldsAreEncodedAndCut(t *testing.T) {
	g := newGate(t, Config{Upstreams: []string{deaf(t)}})
	g.ask(t, "GET", "/a%0Alevel=ERROR%1B%5B2J/"+strings.Repeat("x", 5000), "")
	entries := g.book.entries(t)
	require.Len(t, entries, 1)
	path := entries[0]["path"].(string)
	assert.True(t, strings.HasPrefix(path, "/a%0Alevel=ERROR%1B%5B2J/xxx"), path)
	assert.LessOrEqual(t, len(path), 300)
	assert.LessOrEqual(t, len(cut(strings.Repeat("x", 5000))), 300)
	assert.Equal(t, "short", cut("short"))
}
