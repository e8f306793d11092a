package albtest

import (
	"bufio"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestClassify(t *testing.T) {
	for _, row := range []struct {
		request string
		want    finding
	}{
		{"GET / HTTP/1.1\r\nHost: a\r\n", finding{}},
		{"POST / HTTP/1.1\r\nContent-Length: 3\r\n", finding{}},
		{"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n", finding{}},
		{"GET / HTTP/1.1\r\nContent-Length: 0\r\n", finding{acceptable, "GetHeadZeroContentLength"}},
		{"GET /a b HTTP/1.1\r\n", finding{acceptable, "SpaceInUri"}},
		{"GET / HTTP/1.1\r\nX: \x01\r\n", finding{acceptable, "NonCompliantHeader"}},
		{"GET / HTTP/1.1\r\nX: \xc3\xa9\r\n", finding{acceptable, "NonCompliantHeader"}},
		{"GET / HTTP/1.3\r\n", finding{acceptable, "NonCompliantVersion"}},
		{"GET / HTTP/1.1\r\nContent-Length: 3\r\n", finding{ambiguous, "UndefinedContentLengthSemantics"}},
		{"HEAD / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n", finding{ambiguous, "UndefinedTransferEncodingSemantics"}},
		{"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n", finding{ambiguous, "BothTeClPresent"}},
		{"POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 3\r\n", finding{ambiguous, "DuplicateContentLength"}},
		{"GET /\x01 HTTP/1.1\r\n", finding{ambiguous, "AmbiguousUri"}},
		{"GET / HTTP/1.1\r\nTransfer_Encoding: chunked\r\n", finding{ambiguous, "SuspiciousHeader"}},
		{"GET / HTTP/1.1\r\nContent-Length : 3\r\n", finding{ambiguous, "SuspiciousHeader"}},
		{"GET / HTTP/1.1\r\nX: y\r\n Transfer-Encoding: chunked\r\n", finding{ambiguous, "SuspiciousHeader"}},
		{"GET / HTTP/1.1\r\n: y\r\n", finding{ambiguous, "EmptyHeader"}},
		{"GET / HTTP/1.1\r\nX: y\r\n \r\n", finding{ambiguous, "EmptyHeader"}},
		{"POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n", finding{severe, "MultipleContentLength"}},
		{"POST / HTTP/1.1\r\nContent-Length: +3\r\n", finding{severe, "BadContentLength"}},
		{"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", finding{severe, "MultipleTransferEncodingChunked"}},
		{"POST / HTTP/1.1\r\nTransfer-Encoding: \x0bchunked\r\n", finding{severe, "BadTransferEncoding"}},
		{"GET / HTTP/1.1\r\nX: a\rb\r\n", finding{severe, "BadHeader"}},
		{"GET /\x00 HTTP/1.1\r\n", finding{severe, "BadUri"}},
		{"G(T / HTTP/1.1\r\n", finding{severe, "BadMethod"}},
	} {
		m, err := readRequest(bufio.NewReader(strings.NewReader(row.request+"\r\n")), false)
		require.NoError(t, err, "%q", row.request)
		assert.Equal(t, row.want, classify(m), "%q", row.request)
	}
}

// TestDesyncModes is what becomes of each tier in each mode.
func TestDesyncModes(t *testing.T) {
	requests := []string{
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\na",
		"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na",
	}
	want := map[DesyncMode][]string{
		Defensive: {"200 keep-alive", "200 keep-alive", "200 close", "400 close"},
		Monitor:   {"200 keep-alive", "200 keep-alive", "200 keep-alive", "400 keep-alive"}, // the last by the target
		Strictest: {"200 keep-alive", "400 close", "400 close", "400 close"},
	}
	for mode, rows := range want {
		for i, request := range requests {
			t.Run(mode.String()+" "+tier(i).String(), func(t *testing.T) {
				inBubble(t, func(t *testing.T) {
					s := one(t, func(c *Config) {
						c.Listeners = onlyHTTP(80)
						c.Attributes.DesyncMitigation = mode
					})
					got := say(t, s, 80, request)
					status, connection := got[9:12], "keep-alive"
					if strings.Contains(got, "\r\nConnection: close\r\n") {
						connection = "close"
					}
					assert.Equal(t, rows[i], status+" "+connection, got)
					e := latest(t, s)
					assert.Equal(t, tier(i).String(), e.Classification)
					byTarget := !strings.HasPrefix(rows[i], "400") || mode == Monitor
					assert.Equal(t, byTarget, e.AnsweredBy == ByTarget)
				})
			})
		}
	}
}
