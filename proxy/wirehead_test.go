package proxy

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// parsed is the head at the start of raw, as an answer to a request with that
// method.
func parsed(raw, method string) (head, error) {
	h := head{header: make(http.Header)}
	end := headEnd([]byte(raw))
	if end < 0 {
		return h, io.ErrUnexpectedEOF
	}
	return h, h.parse([]byte(raw[:end]), method)
}

func TestHeadEnd(t *testing.T) {
	for raw, want := range map[string]int{
		"":                         -1,
		"HTTP/1.1 200 OK\r\n":      -1,
		"HTTP/1.1 200 OK\r\n\r":    -1,
		"HTTP/1.1 200 OK\r\n\r\n":  19,
		"HTTP/1.1 200 OK\n\nrest":  17,
		"A\r\nB\r\n\r\nrest\r\n\r": 8,
		"A\n\r\nrest":              4,
		"A\n\nrest":                3,
		"A\r\n\nrest":              4,
	} {
		assert.Equal(t, want, headEnd([]byte(raw)), "%q", raw)
	}
}

// A head may come in any number of pieces.
func TestHeadEndOfEveryPrefix(t *testing.T) {
	const raw = "HTTP/1.1 200 OK\r\nA: b\r\nC: d\r\n\r\n"
	for n := range len(raw) {
		assert.Equal(t, -1, headEnd([]byte(raw[:n])))
	}
}

func TestStatusLine(t *testing.T) {
	for line, status := range map[string]int{
		"HTTP/1.1 200 OK": 200, "HTTP/1.0 404 Not Found": 404, "HTTP/1.1 204": 204, "HTTP/1.1 299 ": 299, "HTTP/1.1 999 \xff\xfe": 999, "HTTP/1.1 100 Continue": 100,
	} {
		h, err := parsed(line+"\r\n\r\n", "GET")
		assert.NoError(t, err, line)
		assert.Equal(t, status, h.status)
		assert.Equal(t, strings.HasPrefix(line, "HTTP/1.0"), h.http10)
	}
	for _, line := range []string{
		"", "HTTP/1.1", "HTTP/1.1 ", "HTTP/1.1 20 OK", "HTTP/1.1 2000 OK", "HTTP/1.1 099 No", "HTTP/1.1 -10 No", "HTTP/1.1 +10 No", "HTTP/1.1 0x1 No", "HTTP/1.1 2 00",
		"HTTP/1.1  200 OK", " HTTP/1.1 200 OK", "HTTP/2 200", "HTTP/2.0 200 OK", "HTTP/1.2 200 OK", "http/1.1 200 OK", "HTTP/1.1\t200 OK", "ICY 200 OK", "HTTP/1.1 200 O\x00K", "HTTP/1.1 200 O\rK",
		"SSH-2.0-OpenSSH_9.2", "\x15\x03\x03\x00\x02\x02",
	} {
		_, err := parsed(line+"\r\n\r\n", "GET")
		assert.ErrorIs(t, err, errMalformed, "%q", line)
	}
}

func TestFields(t *testing.T) {
	h := make(http.Header)
	require.NoError(t, parseFields(h, "Content-Type: text/html\r\ncontent-length:5\r\nETag:\t\"x\" \r\nX-a_B.c: \xe4 \r\nset-cookie: a=b\r\nEmpty:\r\nSet-Cookie: c=d, e\r\n\r\nNot: mine\r\n"))
	assert.Equal(t, http.Header{"Content-Type": {"text/html"}, "Content-Length": {"5"}, "Etag": {`"x"`}, "X-A_b.c": {"\xe4"},
		"Set-Cookie": {"a=b", "c=d, e"}, "Empty": {""}}, h)
	h["Etag"] = append(h["Etag"], "more")
	assert.Equal(t, []string{"5"}, h["Content-Length"], "values do not share memory that can be written")
	assert.Equal(t, []string{"a=b", "c=d, e"}, h["Set-Cookie"])
	assert.Equal(t, []string{"\xe4"}, h["X-A_b.c"])
}

func TestFieldsRefused(t *testing.T) {
	for _, line := range []string{
		"no colon", ": no name", "a b: space in the name", "a : space behind the name", " a: folded", "\ta: folded", "a\x00: b", "\xc3\xa4: b", "a\r: b", "a: b\x00c", "a: b\rc", "a: \x7f", "a: \x1b[31m", "a\"b: c", "(a): b",
	} {
		assert.ErrorIs(t, parseFields(make(http.Header), "First: line\r\n"+line+"\r\n"), errMalformed, "%q", line)
	}
}

// Where the body ends is the question of all smuggling (RFC 9112 §6.3).
func TestFraming(t *testing.T) {
	for _, row := range []struct {
		method, head string
		body         framing
		length       int64
		close        bool
	}{
		{"GET", "HTTP/1.1 200 OK\r\nContent-Length: 5", byLength, 5, false},
		{"GET", "HTTP/1.1 200 OK\r\nContent-Length: 0", noBody, 0, false},
		{"GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5", byLength, 5, false},
		{"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked", byChunks, -1, false},
		{"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked", byChunks, -1, false},
		{"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5", byChunks, -1, true},
		{"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 0", byChunks, -1, true},
		{"GET", "HTTP/1.1 200 OK", untilClose, -1, true},
		{"GET", "HTTP/1.0 200 OK\r\nContent-Length: 5", byLength, 5, true},
		{"GET", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive", byLength, 5, false},
		{"GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: x, Close", byLength, 5, true},
		{"GET", "HTTP/1.1 204 No Content\r\nContent-Length: 5", noBody, -1, false},
		{"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5", noBody, 5, false},
		{"GET", "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked", noBody, -1, false},
		{"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 5", noBody, 5, false},
		{"HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked", noBody, -1, false},
		{"HEAD", "HTTP/1.1 200 OK", noBody, -1, false},
		{"GET", "HTTP/1.1 103 Early Hints\r\nContent-Length: 5", noBody, -1, false},
	} {
		h, err := parsed(row.head+"\r\n\r\n", row.method)
		require.NoError(t, err, row.head)
		assert.Equal(t, row.body, h.body, row.head)
		assert.Equal(t, row.length, h.length, row.head)
		assert.Equal(t, row.close, h.close, row.head)
		assert.Less(t, len(h.header["Content-Length"]), 2)
		if h.body == byChunks {
			assert.NotContains(t, h.header, "Content-Length", "only one of the two is believed, by everybody behind")
		}
	}
}

func TestFramingRefused(t *testing.T) {
	for _, fields := range []string{
		"Content-Length: ", "Content-Length: -1", "Content-Length: +5", "Content-Length: 5, 5", "Content-Length: 0x5", "Content-Length: 5 6", "Content-Length: 1_0",
		"Content-Length: 9223372036854775808", "Content-Length: 5\r\nContent-Length: 6", "Content-Length: 5\r\nContent-Length: 05", "Content-Length: 5\r\nContent-Length: ",
		"Transfer-Encoding: ", "Transfer-Encoding: gzip", "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: chunked, chunked", "Transfer-Encoding: chunked;q=1",
		"Transfer-Encoding: identity", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "Transfer-Encoding: \vchunked", "Transfer-Encoding: xchunked",
	} {
		for _, start := range []string{"HTTP/1.1 200 OK", "HTTP/1.1 304 Not Modified", "HTTP/1.1 204 No Content"} {
			for _, method := range []string{"GET", "HEAD"} {
				_, err := parsed(start+"\r\n"+fields+"\r\n\r\n", method)
				assert.ErrorIs(t, err, errMalformed, "%s %s %q", method, start, fields)
			}
		}
	}
	_, err := parsed("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "GET")
	assert.ErrorIs(t, err, errMalformed, "HTTP/1.0 knows no chunks")
}

func TestKeepAliveField(t *testing.T) {
	for field, want := range map[string]time.Duration{
		"timeout=5": 5 * time.Second, "timeout=5, max=100": 5 * time.Second, "max=100, Timeout=75": 75 * time.Second, " max=1 ,timeout=0": 0,
	} {
		h := head{header: http.Header{"Keep-Alive": {field}}}
		said, ok := h.keepAlive()
		assert.True(t, ok, field)
		assert.Equal(t, want, said, field)
	}
	for _, field := range []string{"", "max=5", "timeout", "timeout=", "timeout=-1", "timeout=x", "timeout=99999999999999999999", "xtimeout=5"} {
		h := head{header: http.Header{"Keep-Alive": {field}}}
		_, ok := h.keepAlive()
		assert.False(t, ok, field)
	}
}

func TestCommonNamesAreCanonical(t *testing.T) {
	for written, name := range commonNames {
		assert.Equal(t, http.CanonicalHeaderKey(written), name)
	}
}

func FuzzHead(f *testing.F) {
	for _, raw := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
		"HTTP/1.0 200\nServer: x\n\nall of it", "HTTP/1.1 304 Not Modified\r\nEtag: \"a\"\r\nContent-Length: 7\r\n\r\n", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: gzip\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 05\r\n\r\nhello", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", "HTTP/1.1 200 OK\r\nA: b\r\n folded\r\n\r\n", "HTTP/1.1 200 OK\r\nTrailer: Content-Length\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nConnection: close\r\nSet-Cookie: a\r\nset-cookie: b\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n", "HTTP/1.1 200 \r\n: x\r\n\r\n", "HTTP/1.1 199 x\r\nTransfer-Encoding: foo\r\n\r\n",
	} {
		f.Add([]byte(raw), "GET")
		f.Add([]byte(raw), "HEAD")
	}
	f.Fuzz(func(t *testing.T, raw []byte, method string) {
		if method != "HEAD" {
			method = "GET"
		}
		h, err := parsed(string(raw), method)
		if err != nil {
			return
		}
		theirs, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(raw)), &http.Request{Method: method})
		if err != nil && strings.HasPrefix(err.Error(), "bad trailer key") {
			return // what Trailer announces is not believed here, but picked from
		}
		if err != nil {
			t.Fatalf("net/http refuses it: %v", err)
		}
		defer theirs.Body.Close()
		compareHeads(t, &h, theirs)
	})
}

// compareHeads demands the same reading. net/http keeps some fields elsewhere,
// and reads HTTP/1.0 in its own way.
func compareHeads(t *testing.T, h *head, theirs *http.Response) {
	t.Helper()
	if h.status != theirs.StatusCode || h.http10 != (theirs.ProtoMinor == 0) {
		t.Fatalf("status %d, net/http %s", h.status, theirs.Status)
	}
	for _, elsewhere := range []string{"Transfer-Encoding", "Content-Length", "Trailer", "Connection"} {
		delete(h.header, elsewhere)
		theirs.Header.Del(elsewhere)
	}
	for name := range theirs.Header {
		if !slices.Equal(h.header[name], theirs.Header[name]) {
			t.Fatalf("%s is %q, net/http %q", name, h.header[name], theirs.Header[name])
		}
	}
	if len(h.header) != len(theirs.Header) {
		t.Fatalf("header %q, net/http %q", h.header, theirs.Header)
	}
	want := framingOf(theirs)
	if h.body != want || h.body == byLength && h.length != theirs.ContentLength {
		t.Fatalf("framing %d, %d bytes; net/http %d, %d bytes", h.body, h.length, want, theirs.ContentLength)
	}
}

// framingOf is how net/http reads the body of an answer.
func framingOf(r *http.Response) framing {
	switch {
	case r.Body == http.NoBody:
		return noBody
	case len(r.TransferEncoding) > 0:
		return byChunks
	case r.ContentLength >= 0:
		return byLength
	}
	return untilClose
}
