package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/proxy"
)

// logLines is an AccessLog's writer: one element for every Write.
type logLines chan string

func newLogLines() logLines { return make(logLines, 64) }

func (l logLines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}

// next waits, as a line may be written after the client has its answer.
func (l logLines) next(t *testing.T) string {
	t.Helper()
	select {
	case line := <-l:
		return line
	case <-time.After(20 * time.Second):
		require.FailNow(t, "no line was written")
		return ""
	}
}

// accessLine is the whole grammar of a line.
var accessLine = regexp.MustCompile(`^(\S+) - - \[(\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4})\] "([!-~]* [!-~]* [!-~]*)" (\d{3}|-) (\d+|-) "([ -~]*)" "([ -~]*)" (https|http|unknown) (\d+\.\d{6})( aborted)?\n$`)

// fields takes a line apart; what is in quotes must not end them early.
func fields(t *testing.T, line string) []string {
	t.Helper()
	m := accessLine.FindStringSubmatch(line)
	require.NotNil(t, m, "%q", line)
	require.Equal(t, 6, strings.Count(line, `"`), "%q", line)
	return m[1:]
}

// outcome is status, bytes and mark.
func outcome(t *testing.T, line string) string {
	t.Helper()
	f := fields(t, line)
	return f[3] + " " + f[4] + f[9]
}

// httpServer serves h over HTTP/1.1, or over HTTP/2 with TLS, until the test ends.
func httpServer(t *testing.T, h http.Handler, http2 bool) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = discardLog()
	s.EnableHTTP2 = http2
	if http2 {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s
}

func do(t *testing.T, s *httptest.Server, method, path string) (*http.Response, string, error) {
	t.Helper()
	req, err := http.NewRequest(method, s.URL+path, nil)
	require.NoError(t, err)
	resp, err := s.Client().Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, string(body), err
}

func TestAccessLogLine(t *testing.T) {
	lines := newLogLines()
	h := proxy.AccessLog(lines)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "hello")
	}))
	r := httptest.NewRequest("GET", "/a%2Fb?c=1&d=%41", nil)
	r.Header.Set("Referer", "https://example.com/from")
	r.Header.Set("User-Agent", "curl/8.5")
	r.SetBasicAuth("alice", "secret")
	info := forwarded.Info{Client: netip.MustParseAddr("2001:db8::7"), Scheme: forwarded.HTTPS}
	h.ServeHTTP(httptest.NewRecorder(), r.WithContext(forwarded.NewContext(r.Context(), info)))

	f := fields(t, lines.next(t))
	_, err := time.Parse("02/Jan/2006:15:04:05 -0700", f[1])
	require.NoError(t, err)
	f[1], f[8] = "time", "seconds"
	assert.Equal(t, []string{"2001:db8::7", "time", "GET /a%2Fb?c=1&d=%41 HTTP/1.1", "200", "5",
		"https://example.com/from", "curl/8.5", "https", "seconds", ""}, f)
}

func TestAccessLogDuration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lines := newLogLines()
		h := proxy.AccessLog(lines)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			time.Sleep(61*time.Second + 234567*time.Microsecond)
		}))
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
		assert.Equal(t, "61.234567", fields(t, lines.next(t))[8])
	})
}

// TestAccessLogOrder: gorilla's handler keeps the request it got, so an Info
// that is made further in is not seen.
func TestAccessLogOrder(t *testing.T) {
	hops := forwarded.Must(forwarded.New(forwarded.Config{
		Hops: []forwarded.Hop{forwarded.ALB("192.0.2.0/24")}, Logger: slog.New(slog.DiscardHandler),
	}))
	nothing := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	for _, c := range []struct {
		name         string
		chain        func(io.Writer) http.Handler
		sent         string
		client, said string
	}{
		{"inside Wrap", func(w io.Writer) http.Handler { return hops.Wrap(proxy.AccessLog(w)(nothing)) }, "203.0.113.7", "203.0.113.7", "https"},
		{"outside Wrap", func(w io.Writer) http.Handler { return proxy.AccessLog(w)(hops.Wrap(nothing)) }, "203.0.113.7", "-", "unknown"},
		{"no Wrap", func(w io.Writer) http.Handler { return proxy.AccessLog(w)(nothing) }, "203.0.113.7", "-", "unknown"},
		{"an unknown client", func(w io.Writer) http.Handler { return hops.Wrap(proxy.AccessLog(w)(nothing)) }, "unknown", "-", "https"},
	} {
		t.Run(c.name, func(t *testing.T) {
			lines := newLogLines()
			r := httptest.NewRequest("GET", "/", nil)
			r.RemoteAddr = "192.0.2.9:4711"
			r.Header.Set("X-Forwarded-For", c.sent)
			r.Header.Set("X-Forwarded-Proto", "https")
			c.chain(lines).ServeHTTP(httptest.NewRecorder(), r)
			f := fields(t, lines.next(t))
			assert.Equal(t, []string{c.client, c.said}, []string{f[0], f[7]})
		})
	}
}

// repeated is a reader without WriteTo, so that io.Copy asks for ReadFrom.
func repeated(n int) io.Reader {
	return io.LimitReader(strings.NewReader(strings.Repeat("x", n)), int64(n))
}

// TestAccessLogOutcomes: status and bytes against a real server, over HTTP/1.1
// and HTTP/2.
func TestAccessLogOutcomes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, bytes.Repeat([]byte("f"), 100_000), 0o600))
	for _, c := range []struct {
		name    string
		method  string
		handler http.HandlerFunc
		want    string
		body    int // what the client gets
	}{
		{"nothing", "GET", func(http.ResponseWriter, *http.Request) {}, "200 0", 0},
		{"only a status", "GET", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) }, "404 0", 0},
		{"the first status counts", "GET", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(201); w.WriteHeader(500) }, "201 0", 0},
		{"Write", "GET", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(make([]byte, 7))
			_, _ = w.Write(make([]byte, 3))
		}, "200 10", 10},
		{"a status after Write is late", "GET", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("x")); w.WriteHeader(500) }, "200 1", 1},
		{"WriteString", "GET", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "12345") }, "200 5", 5},
		{"io.Copy, small", "GET", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, repeated(100)) }, "200 100", 100},
		{"io.Copy, large", "GET", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.Copy(w, repeated(200_000)) }, "200 200000", 200_000},
		{"io.Copy after a status", "GET", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(206); _, _ = io.Copy(w, repeated(70_000)) }, "206 70000", 70_000},
		{"a file", "GET", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) }, "200 100000", 100_000},
		{"a file, HEAD", "HEAD", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) }, "200 0", 0},
		{"an error while copying nothing leaves room", "GET", func(w http.ResponseWriter, _ *http.Request) {
			if _, err := io.Copy(w, io.MultiReader(brokenReader{})); err != nil {
				http.Error(w, "no", http.StatusBadGateway)
			}
		}, "502 3", 3},
		{"streamed", "GET", func(w http.ResponseWriter, _ *http.Request) {
			for range 5 {
				_, _ = w.Write([]byte("data: x\n\n"))
				_ = http.NewResponseController(w).Flush()
			}
		}, "200 45", 45},
		{"Flush alone begins the answer", "GET", func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush(); w.WriteHeader(500) }, "200 0", 0},
		{"HEAD", "HEAD", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1000)) }, "200 0", 0},
		{"304", "GET", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(304); _, _ = w.Write([]byte("no")) }, "304 0", 0},
		{"204", "GET", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204); _, _ = io.Copy(w, repeated(9)) }, "204 0", 0},
		{"1xx is not the status", "GET", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Link", "</a.css>; rel=preload")
			w.WriteHeader(103)
			w.WriteHeader(418)
			_, _ = w.Write([]byte("tea"))
		}, "418 3", 3},
		{"1xx and nothing", "GET", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(103) }, "200 0", 0},
	} {
		for name, http2 := range map[string]bool{"http1": false, "http2": true} {
			t.Run(c.name+"/"+name, func(t *testing.T) {
				lines := newLogLines()
				s := httpServer(t, proxy.AccessLog(lines)(c.handler), http2)
				_, body, err := do(t, s, c.method, "/")
				require.NoError(t, err)
				assert.Len(t, body, c.body)
				assert.Equal(t, c.want, outcome(t, lines.next(t)))
			})
		}
	}
}

// TestAccessLogCountsNoBodyThatIsNone: for writers that are not as strict as
// net/http's.
func TestAccessLogCountsNoBodyThatIsNone(t *testing.T) {
	for _, status := range []int{http.StatusNoContent, http.StatusNotModified} {
		lines := newLogLines()
		proxy.AccessLog(lines)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "body")
		})).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
		assert.Equal(t, fmt.Sprint(status, " 0"), outcome(t, lines.next(t)))
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// TestAccessLogAborted: a panic is not an end, and still no line is lost.
func TestAccessLogAborted(t *testing.T) {
	for _, c := range []struct {
		name    string
		handler http.HandlerFunc
		want    string
	}{
		{"before the head", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "- 0 aborted"},
		{"after an interim head", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(103); panic(http.ErrAbortHandler) }, "- 0 aborted"},
		{"in the body", func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(make([]byte, 6))
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, "200 6 aborted"},
		{"any other panic", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(201); panic("boom") }, "201 0 aborted"},
	} {
		t.Run(c.name, func(t *testing.T) {
			lines := newLogLines()
			s := httpServer(t, proxy.AccessLog(lines)(c.handler), false)
			_, _, err := do(t, s, "GET", "/")
			require.Error(t, err)
			assert.Equal(t, c.want, outcome(t, lines.next(t)))
		})
	}
}

// TestAccessLogKeepsThePanic: not recovered, so that the stack that is printed
// is the handler's.
func TestAccessLogKeepsThePanic(t *testing.T) {
	lines := newLogLines()
	h := proxy.AccessLog(lines)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("boom") }))
	assert.PanicsWithValue(t, "boom", func() { h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil)) })
	assert.Equal(t, "- 0 aborted", outcome(t, lines.next(t)))
}

func TestAccessLogHijacked(t *testing.T) {
	lines := newLogLines()
	release := make(chan struct{})
	s := httpServer(t, proxy.AccessLog(lines)(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		_ = rw.Flush()
		<-release
	})), false)
	conn, err := net.Dial("tcp", s.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	_, err = io.WriteString(conn, "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	require.NoError(t, err)
	status, err := bufio.NewReader(conn).ReadString('\n')
	require.NoError(t, err)
	assert.Contains(t, status, "101")
	assert.Empty(t, lines, "the line is written when the tunnel ends")
	close(release)
	assert.Equal(t, "101 -", outcome(t, lines.next(t)))
}

// TestAccessLogInjection: whatever stands in a request stays in its field.
func TestAccessLogInjection(t *testing.T) {
	hostile := "x\" 200 1\r\n203.0.113.9 - - [now] \"GET / HTTP/1.1\x00\x1b[31m\\\u202e\xff\x7f"
	const escaped = `x\x22 200 1\x0D\x0A203.0.113.9 - - [now] \x22GET / HTTP/1.1\x00\x1B[31m\x5C\xE2\x80\xAE\xFF\x7F`
	spaceless := strings.ReplaceAll(escaped, " ", `\x20`)
	r := &http.Request{
		Method: hostile, RequestURI: hostile, Proto: hostile, Host: hostile, RemoteAddr: hostile,
		URL:    &url.URL{Path: hostile, RawQuery: hostile, User: url.UserPassword(hostile, hostile)},
		Header: http.Header{"Referer": {hostile}, "User-Agent": {hostile}},
	}
	r.SetBasicAuth(hostile, hostile)
	info := forwarded.Info{Client: netip.MustParseAddr("fe80::1").WithZone(hostile), ClientID: hostile, Host: hostile}
	lines := newLogLines()
	h := proxy.AccessLog(lines)(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	h.ServeHTTP(httptest.NewRecorder(), r.WithContext(forwarded.NewContext(context.Background(), info)))

	f := fields(t, lines.next(t))
	assert.Equal(t, "fe80::1", f[0])
	assert.Equal(t, spaceless+" "+spaceless+" "+spaceless, f[2])
	assert.Equal(t, []string{escaped, escaped}, f[5:7])
}

func FuzzAccessLog(f *testing.F) {
	f.Add("GET", "/a?b", "https://example.com/", "curl/8")
	f.Add("GET\n", "http://u:p@h/ HTTP/1.1\" 200", "\\\"", "\x1b]0;\x07")
	f.Fuzz(func(t *testing.T, method, target, referer, agent string) {
		lines := newLogLines()
		r := &http.Request{Method: method, RequestURI: target, Proto: "HTTP/1.1", URL: &url.URL{Path: "/"},
			Header: http.Header{"Referer": {referer}, "User-Agent": {agent}}}
		proxy.AccessLog(lines)(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), r)
		line := lines.next(t)
		assert.Equal(t, "404", fields(t, line)[3])
		assert.Less(t, len(line), 4*(5*8<<10))
	})
}

// TestAccessLogSecrets: user information is no part of what is logged.
func TestAccessLogSecrets(t *testing.T) {
	for _, c := range []struct{ target, referer, wantTarget, wantReferer string }{
		{"http://u:secret@example.com/a?b=c@d", "https://u:secret@example.com/", "http://example.com/a?b=c@d", "https://example.com/"},
		{"http://u:se@cret@example.com", "https://example.com/@me", "http://example.com", "https://example.com/@me"},
		{"/go?to=https://u:p@example.com/", "-", "/go?to=https://u:p@example.com/", "-"},
		{"example.com:443", "", "example.com:443", "-"},
		{"*", "mailto:a@example.com", "*", "mailto:a@example.com"},
	} {
		lines := newLogLines()
		r := httptest.NewRequest("GET", "/", nil)
		r.RequestURI = c.target
		r.Header.Set("Referer", c.referer)
		r.SetBasicAuth("u", "secret")
		proxy.AccessLog(lines)(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), r)
		line := lines.next(t)
		f := fields(t, line)
		assert.Equal(t, []string{"GET " + c.wantTarget + " HTTP/1.1", c.wantReferer}, []string{f[2], f[5]})
		assert.NotContains(t, line, "secret")
	}
}

func TestAccessLogWithoutRequestURI(t *testing.T) {
	lines := newLogLines()
	r := &http.Request{Method: "GET", Proto: "HTTP/1.1", URL: &url.URL{Path: "/a b", RawQuery: "c"}}
	proxy.AccessLog(lines)(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), r)
	assert.Equal(t, "GET /a%20b?c HTTP/1.1", fields(t, lines.next(t))[2])
}

func TestAccessLogCutsLongFields(t *testing.T) {
	lines := newLogLines()
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("User-Agent", strings.Repeat("a", 1<<20))
	proxy.AccessLog(lines)(http.NotFoundHandler()).ServeHTTP(httptest.NewRecorder(), r)
	assert.Equal(t, strings.Repeat("a", 8<<10)+"...", fields(t, lines.next(t))[6])
}

// overlapping notices Writes that run at once: the race detector would, too.
type overlapping struct {
	mu    sync.Mutex
	lines []string
}

func (o *overlapping) Write(p []byte) (int, error) {
	if !o.mu.TryLock() {
		panic("two Writes at once")
	}
	defer o.mu.Unlock()
	o.lines = append(o.lines, string(p))
	time.Sleep(10 * time.Microsecond)
	return len(p), nil
}

func TestAccessLogOneWriteALine(t *testing.T) {
	out := &overlapping{}
	log := proxy.AccessLog(out)
	a, b := log(http.NotFoundHandler()), log(http.NotFoundHandler())
	var wg sync.WaitGroup
	for i := range 50 {
		for _, h := range []http.Handler{a, b} {
			wg.Go(func() {
				h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", fmt.Sprintf("/%d", i), nil))
			})
		}
	}
	wg.Wait()
	require.Len(t, out.lines, 100)
	for _, line := range out.lines {
		fields(t, line)
	}
}

func TestAccessLogWriterFails(t *testing.T) {
	h := proxy.AccessLog(failingWriter{})(http.NotFoundHandler())
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	assert.Equal(t, 404, w.Code)
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestAccessLogOfNothing(t *testing.T) {
	assert.PanicsWithValue(t, "proxy: AccessLog of a nil io.Writer; give it os.Stdout", func() { proxy.AccessLog(nil) })
}

// TestAccessLogLeavesNoTemporaryFiles: gorilla's handler removes the form's
// files, and a log line is written all the same.
func TestAccessLogLeavesNoTemporaryFiles(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	lines := newLogLines()
	hops := forwarded.Must(forwarded.Behind())
	form := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseMultipartForm(1 << 10); err != nil {
			http.Error(w, err.Error(), 400)
		}
	})
	s := httpServer(t, hops.Wrap(proxy.AccessLog(lines)(proxy.StripPrefix("/api")(form))), false)
	body := "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f\"\r\n\r\n" + strings.Repeat("x", 12<<20) + "\r\n--b--\r\n"
	resp, err := s.Client().Post(s.URL+"/api/", "multipart/form-data; boundary=b", strings.NewReader(body))
	require.NoError(t, err)
	resp.Body.Close()
	assert.Equal(t, "200 0", outcome(t, lines.next(t)))
	s.Close()
	left, err := os.ReadDir(os.Getenv("TMPDIR"))
	require.NoError(t, err)
	assert.Empty(t, left)
}
