package proxyload

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const moment = 30 * time.Millisecond

// run loads a handler directly for a moment, twice on the same connections.
func run(t *testing.T, c Case, h http.Handler) Result {
	t.Helper()
	server := httptest.NewServer(h)
	defer server.Close()
	load := New(c, server.Listener.Addr().String(), 3)
	defer load.Close()
	first, second := load.Run(moment), load.Run(moment)
	require.Equal(t, first.Errors > 0, second.Errors > 0)
	return second
}

// Every case gets right answers from the backend itself.
func TestEveryCase(t *testing.T) {
	for _, c := range Cases() {
		t.Run(c.Name, func(t *testing.T) {
			r := run(t, c, Backend())
			require.Empty(t, r.Error)
			require.Positive(t, r.Count)
			require.GreaterOrEqual(t, r.Elapsed, moment)
			require.Positive(t, r.P50)
			require.GreaterOrEqual(t, r.P99, r.P50)
		})
	}
}

// What a proxy might do wrong must be counted, and never as an answer.
func TestWrongAnswers(t *testing.T) {
	get, err := CaseNamed("1k")
	require.NoError(t, err)
	socket, err := CaseNamed("ws")
	require.NoError(t, err)
	answer := func(status int, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	for _, tt := range []struct {
		name string
		c    Case
		h    http.Handler
		want string
	}{
		{"status", get, answer(502, filler(small)), "status 502 and 1024 bytes, not 200 and 1024"},
		{"short", get, answer(200, filler(small-1)), "status 200 and 1023 bytes, not 200 and 1024"},
		{"cut", get, http.HandlerFunc(cut), "unexpected EOF"},
		{"no WebSocket", socket, answer(200, ""), `status 200, Sec-WebSocket-Accept "" instead of a WebSocket`},
		{"other message", socket, http.HandlerFunc(mumble), "another message came back"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := run(t, tt.c, tt.h)
			require.Zero(t, r.Count)
			require.Positive(t, r.Errors)
			require.Equal(t, tt.want, r.Error)
		})
	}
}

// cut announces more than it sends.
func cut(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Length", fmt.Sprint(small))
	_, _ = w.Write([]byte("begun"))
	panic(http.ErrAbortHandler)
}

// mumble answers each message with one of the right length and the wrong text.
func mumble(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Connection", "Upgrade")
	w.Header().Set("Upgrade", "websocket")
	w.Header().Set("Sec-WebSocket-Accept", wsAccept(r.Header.Get("Sec-WebSocket-Key")))
	w.WriteHeader(http.StatusSwitchingProtocols)
	conn, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer conn.Close()
	frame := wsFrame([]byte(strings.Repeat("y", messageSize)), false)
	for buf := make([]byte, messageSize); readMasked(rw, buf) == nil; {
		_, _ = conn.Write(frame)
	}
}

// An end that the answer announces is no error: servers end connections after so many requests.
func TestAnnouncedEnd(t *testing.T) {
	c, err := CaseNamed("1k")
	require.NoError(t, err)
	backend := Backend()
	r := run(t, c, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "close")
		backend.ServeHTTP(w, r)
	}))
	require.Empty(t, r.Error)
	require.Positive(t, r.Count)
}

func TestNobodyListens(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, ln.Close())
	load := New(Cases()[0], ln.Addr().String(), 1)
	defer load.Close()
	r := load.Run(moment)
	require.Zero(t, r.Count)
	require.Contains(t, r.Error, "refused")
	require.Less(t, r.Errors, int(moment/pause)+2, "errors must not come in a busy loop")
}

func TestSwallowRefusesParts(t *testing.T) {
	w := httptest.NewRecorder()
	Backend().ServeHTTP(w, httptest.NewRequest("POST", "/post", strings.NewReader("short")))
	require.Equal(t, http.StatusBadRequest, w.Code)
}

func TestHeads(t *testing.T) {
	for _, tt := range []struct {
		text string
		want head
		bad  bool
	}{
		{text: "HTTP/1.1 200 OK\r\ncontent-length: 7\r\nX: y\r\n\r\n", want: head{status: 200, length: 7}},
		{text: "HTTP/1.1 200\nTransfer-Encoding: Chunked\n\n", want: head{status: 200, length: -1, chunked: true}},
		{text: "HTTP/1.1 204 No\r\nConnection: Close\r\n\r\n", want: head{status: 204, length: -1, last: true}},
		{text: "HTTP/1.0 200 OK\r\n\r\n", bad: true},
		{text: "HTTP/1.1 2\r\n\r\n", bad: true},
		{text: "HTTP/1.1 200 OK\r\nno colon\r\n\r\n", bad: true},
		{text: "HTTP/1.1 200 OK\r\nContent-Length: -x\r\n\r\n", bad: true},
		{text: "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n", bad: true},
	} {
		h, err := readHead(bufio.NewReader(strings.NewReader(tt.text)))
		require.Equal(t, tt.bad, err != nil, "%q: %v", tt.text, err)
		if !tt.bad {
			require.Equal(t, tt.want, h, "%q", tt.text)
		}
	}
}

func TestChunks(t *testing.T) {
	for _, tt := range []struct {
		text string
		want int64
		bad  bool
	}{
		{text: "5\r\nhello\r\n0\r\n\r\n", want: 5},
		{text: "5;a=b\r\nhello\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n", want: 15},
		{text: "5\r\nhello!\r\n0\r\n\r\n", bad: true},
		{text: "5\r\nhello\r\n", bad: true},
		{text: "-5\r\nhello\r\n0\r\n\r\n", bad: true},
		{text: "5\r\nhello\r\n0\r\n", bad: true},
	} {
		n, err := discardChunks(bufio.NewReader(strings.NewReader(tt.text)))
		require.Equal(t, tt.bad, err != nil, "%q: %v", tt.text, err)
		if !tt.bad {
			require.Equal(t, tt.want, n, "%q", tt.text)
		}
	}
}

func TestPercentile(t *testing.T) {
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(i+1))
	}
	require.Equal(t, time.Duration(50), percentile(hundred, 50))
	require.Equal(t, time.Duration(99), percentile(hundred, 99))
	require.Equal(t, time.Duration(7), percentile([]time.Duration{7}, 99))
	require.Equal(t, time.Duration(2), percentile([]time.Duration{1, 2, 3}, 50))
	require.Zero(t, percentile(nil, 50))
}

// The example of RFC 6455, section 1.3.
func TestAccept(t *testing.T) {
	require.Equal(t, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", wsAccept("dGhlIHNhbXBsZSBub25jZQ=="))
}

func TestCaseNamed(t *testing.T) {
	_, err := CaseNamed("2k")
	require.EqualError(t, err, `no case "2k": there are 1k, 64k, stream, post, ws`)
}
