//go:build linux

package peers

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/proxy"
)

// curl runs curl until it ends and returns what it wrote to standard output and, with -v, what it says of the exchange.
func curl(t *testing.T, stdin io.Reader, args ...string) (answer, talk string) {
	t.Helper()
	return runTool(t, stdin, "curl", append(curlAlways(), args...)...)
}

func curlAlways() []string {
	return []string{"-q", "-sS", "-v", "-k", "--max-time", "20", "--noproxy", "*"}
}

// runTool runs a program that ends by itself, and requires that it succeeds.
func runTool(t *testing.T, stdin io.Reader, binary string, args ...string) (stdout, stderr string) {
	t.Helper()
	var out bytes.Buffer
	talk := runToolTo(t, &out, stdin, binary, args...)
	return out.String(), talk
}

func runToolTo(t *testing.T, stdout io.Writer, stdin io.Reader, binary string, args ...string) (stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, findPeer(t, binary), args...)
	var errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, &errs
	require.NoError(t, cmd.Run(), "%s %q:\n%s", binary, args, &errs)
	return errs.String()
}

// testBytes are n bytes of which no part equals another.
func testBytes(n int) []byte {
	b := make([]byte, 0, n+sha256.Size)
	for sum := sha256.Sum256(nil); len(b) < n; sum = sha256.Sum256(sum[:]) {
		b = append(b, sum[:]...)
	}
	return b[:n]
}

// digest answers with the number of bytes that came and their hash.
func digest(w http.ResponseWriter, r *http.Request) {
	sum := sha256.New()
	n, err := io.Copy(sum, r.Body)
	if err != nil {
		return // the client is gone
	}
	fmt.Fprintf(w, "%s %d %x", r.Method, n, sum.Sum(nil))
}

func digestOf(method string, body []byte) string {
	return fmt.Sprintf("%s %d %x", method, len(body), sha256.Sum256(body))
}

// frontArgs are the ways in which curl can reach our proxy.
var frontArgs = []struct {
	name   string
	secure bool
	args   []string
}{
	{"http1.1", false, []string{"--http1.1"}},
	{"https1.1", true, []string{"--http1.1"}},
	{"h2", true, []string{"--http2"}},
	{"h2c", false, []string{"--http2-prior-knowledge"}},
}

// curlFronts runs a test through each front of one proxy.
func curlFronts(t *testing.T, o *ourProxy, test func(t *testing.T, url string, args []string)) {
	for _, front := range frontArgs {
		d := o.plain
		if front.secure {
			d = o.secure
		}
		t.Run(front.name, func(t *testing.T) { test(t, d.url(""), front.args) })
	}
}

// An HTTP/1.0 client knows no chunks: a streamed answer ends with its connection.
func TestCurlHTTP10(t *testing.T) {
	body := testBytes(300 << 10)
	o := startOurs(t, startUpstream(t, "http", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			digest(w, r)
			return
		}
		for part := range 3 {
			_, _ = w.Write(body[part*100<<10 : (part+1)*100<<10])
			_ = http.NewResponseController(w).Flush()
		}
	})))
	answer, talk := curl(t, nil, "--http1.0", o.plain.url("/"))
	require.True(t, answer == string(body), "%d bytes", len(answer))
	require.NotContains(t, strings.ToLower(talk), "chunked")

	answer, _ = curl(t, nil, "--http1.0", "--data-binary", "hello", o.plain.url("/"))
	require.Equal(t, digestOf("POST", []byte("hello")), answer)
}

// A target is handed on to the letter.
func TestCurlPathAsIs(t *testing.T) {
	for _, kind := range upstreamKinds {
		t.Run(kind, func(t *testing.T) {
			o := startOurs(t, startUpstream(t, kind, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprint(w, r.RequestURI)
			})))
			curlFronts(t, o, func(t *testing.T, url string, args []string) {
				for _, target := range []string{
					"/a/../b/./c", "/a/%2e%2e/b", "//evil.example/x", "/a%2fb%5cc", "/a;b=c,d/e:f@g", "/%41%c3%a9", "/?", "/a?b=c&d=%41+e//f?g", "/a//b/",
				} {
					answer, _ := curl(t, nil, append(args, "--path-as-is", url+target)...)
					assert.Equal(t, target, answer)
				}
			})
		})
	}
}

// An upload of unknown length, whose sender waits for the upstream's "100 Continue".
func TestCurlUpload(t *testing.T) {
	body := testBytes(3 << 20)
	for _, kind := range upstreamKinds {
		t.Run(kind, func(t *testing.T) {
			o := startOurs(t, startUpstream(t, kind, http.HandlerFunc(digest)))
			curlFronts(t, o, func(t *testing.T, url string, args []string) {
				answer, talk := curl(t, bytes.NewReader(body), append(args, "-T", "-", "--expect100-timeout", "15", url+"/put")...)
				require.Equal(t, digestOf("PUT", body), answer)
				if strings.Contains(talk, "> Expect: 100-continue") {
					require.Contains(t, talk, "< HTTP/1.1 100 Continue")
				}
			})
		})
	}
}

// An upstream that refuses before the body is sent spares the client from sending it.
func TestCurlExpectRefused(t *testing.T) {
	file := writeFile(t, t.TempDir(), "body", string(testBytes(3<<20)))
	o := startOurs(t, startUpstream(t, "http", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
	})))
	answer, talk := curl(t, nil, "-T", file, "--expect100-timeout", "15", "-o", os.DevNull, "-w", "%{http_code} %{size_upload}", o.plain.url("/put"))
	require.Equal(t, "403 0", answer)
	require.NotContains(t, talk, "100 Continue")
}

// refuseEarly answers each connection with 413 as soon as a head is there, reads a little more and goes.
func refuseEarly(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			refuseConn(conn)
		}
	}()
	t.Cleanup(func() { _ = ln.Close(); <-done })
	return ln.Addr().String()
}

// refuse does the same on a server of Go.
func refuse(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "too much", http.StatusRequestEntityTooLarge)
}

func refuseConn(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(exchangeTime))
	head := make([]byte, 4<<10)
	if _, err := conn.Read(head); err != nil {
		return
	}
	_, _ = io.WriteString(conn, "HTTP/1.1 413 Content Too Large\r\nContent-Length: 8\r\nConnection: close\r\n\r\ntoo much")
	_ = conn.(*net.TCPConn).CloseWrite()
	_, _ = io.CopyN(io.Discard, conn, 64<<10)
	time.Sleep(50 * time.Millisecond) // for the answer to get away before the reset
}

// The answer to an upload of 20 MB comes before the upload is over, and must not be lost with it.
func TestCurlEarlyAnswer(t *testing.T) {
	file := filepath.Join(t.TempDir(), "body")
	require.NoError(t, os.WriteFile(file, make([]byte, 20<<20), 0o644))
	upstream := refuseEarly(t)
	limited := startUpstream(t, "http", http.HandlerFunc(digest))
	limited.Limits.RequestBody = 1 << 20
	tests := []struct {
		name string
		cfg  proxy.Config
	}{
		{"by the upstream", proxy.Config{Upstreams: []string{"http://" + upstream}}},
		{"by an upstream with TLS", startUpstream(t, "https", http.HandlerFunc(refuse))},
		{"by an upstream with h2c", startUpstream(t, "h2c", http.HandlerFunc(refuse))},
		{"by us", limited},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			o := startOurs(t, test.cfg)
			for _, d := range []door{o.plain, o.secure} {
				for _, how := range [][]string{{"-H", "Expect:"}, {"-H", "Expect:", "-H", "Transfer-Encoding: chunked"}} {
					args := append(how, "--http1.1", "-T", file, "-o", os.DevNull, "-w", "%{http_code}", d.url("/put"))
					answer, _ := curl(t, nil, args...)
					assert.Equal(t, "413", answer, "%q", how)
				}
				uploadHTTP2(t, d, file)
			}
			assert.Zero(t, o.proxy.Status().Upstreams[0].Failures, "the upstream did nothing wrong")
		})
	}
}

// uploadHTTP2 is net/http's client: to curl of this age, an answer before the end of an upload is an error of HTTP/2.
func uploadHTTP2(t *testing.T, d door, file string) {
	t.Helper()
	for _, length := range []int64{20 << 20, -1} {
		f, err := os.Open(file)
		require.NoError(t, err)
		req, err := http.NewRequest(http.MethodPut, d.url("/put"), f)
		require.NoError(t, err)
		req.ContentLength = length
		resp, err := d.client(t, true).Do(req)
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, resp.Body)
		assert.NoError(t, err)
		_ = resp.Body.Close()
		assert.Equal(t, http.StatusRequestEntityTooLarge, resp.StatusCode)
	}
}

// A client that reads or writes slowly gets everything, and so does the upstream.
func TestCurlSlowClient(t *testing.T) {
	body := testBytes(6 << 20)
	o := startOurs(t, startUpstream(t, "http", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			_, _ = w.Write(body)
			return
		}
		digest(w, r)
	})))
	for _, d := range []door{o.plain, o.secure} {
		t.Run(d.scheme().String()+" reader", func(t *testing.T) {
			t.Parallel()
			var got bytes.Buffer
			args := append(curlAlways(), "--limit-rate", "20M", d.url("/"))
			runToolTo(t, slowWriter{&got}, nil, "curl", args...)
			require.True(t, bytes.Equal(body, got.Bytes()), "%d bytes", got.Len())
		})
		t.Run(d.scheme().String()+" writer", func(t *testing.T) {
			t.Parallel()
			answer, _ := curl(t, slowReader{bytes.NewReader(body)}, "--limit-rate", "20M", "-T", "-", d.url("/"))
			require.Equal(t, digestOf("PUT", body), answer)
		})
	}
}

// pause is what a slow side waits at each piece of 32 KiB. (The limit that curl sets itself is only an average.)
const pause = 5 * time.Millisecond

type slowReader struct{ r io.Reader }

func (s slowReader) Read(p []byte) (int, error) {
	time.Sleep(pause)
	return s.r.Read(p)
}

type slowWriter struct{ w io.Writer }

func (s slowWriter) Write(p []byte) (int, error) {
	time.Sleep(pause)
	return s.w.Write(p)
}
