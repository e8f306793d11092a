package healthcheck

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// limit is the Stall of these tests.
const limit = time.Minute

// pipes is a listener whose connections hold nothing: what one end writes waits
// until the other reads it.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes", Net: "unix"} }

func (p *pipes) dial() net.Conn {
	here, there := net.Pipe()
	p.conns <- there
	return here
}

// cutting serves a handler behind cutStalls, without TLS.
func cutting(t *testing.T, h http.HandlerFunc) *pipes {
	p := newPipes()
	srv := &http.Server{Protocols: new(http.Protocols), ErrorLog: NewServer("", nil, Direct()).ErrorLog}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	serveStalls(t, srv, h, func() error { return srv.Serve(p) })
	return p
}

// cuttingTLS serves HTTP/2 over TLS.
func cuttingTLS(t *testing.T, h http.HandlerFunc) *pipes {
	lender := httptest.NewUnstartedServer(nil) // of a certificate
	lender.StartTLS()
	defer lender.Close()
	p := newPipes()
	srv := &http.Server{TLSConfig: &tls.Config{Certificates: lender.TLS.Certificates}}
	serveStalls(t, srv, h, func() error { return srv.ServeTLS(p, "", "") })
	return p
}

func serveStalls(t *testing.T, srv *http.Server, h http.Handler, serve func() error) {
	srv.Handler = cutStalls(srv, limit, h)
	result := make(chan error, 1)
	go func() { result <- serve() }()
	t.Cleanup(func() {
		srv.Close()
		assert.ErrorIs(t, <-result, http.ErrServerClosed)
	})
}

// begin opens a connection and sends a request's beginning.
func (p *pipes) begin(t *testing.T, request ...string) net.Conn {
	c := p.dial()
	t.Cleanup(func() { c.Close() })
	_, err := io.WriteString(c, strings.Join(request, "\r\n"))
	require.NoError(t, err)
	return c
}

// answer reads an answer, and whether the connection ends with it.
func answer(t *testing.T, c io.Reader) (status int, body string, ended bool) {
	in := bufio.NewReader(c)
	resp, err := http.ReadResponse(in, nil)
	require.NoError(t, err)
	all, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	if resp.Close {
		_, err = in.ReadByte()
		assert.Equal(t, io.EOF, err)
	}
	return resp.StatusCode, string(all), resp.Close
}

// client asks over connections of pipes: HTTP/2 over TLS, or HTTP/1.
func (p *pipes) client(t *testing.T, http2 bool) *http.Client {
	tr := &http.Transport{
		DialContext:     func(context.Context, string, string) (net.Conn, error) { return p.dial(), nil },
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, Protocols: new(http.Protocols),
	}
	tr.Protocols.SetHTTP1(!http2)
	tr.Protocols.SetHTTP2(http2)
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr}
}

// bothProtocols runs a test over HTTP/1, and over HTTP/2 with TLS.
func bothProtocols(t *testing.T, h http.HandlerFunc, test func(t *testing.T, ask func(body io.Reader) *http.Response)) {
	for name, over2 := range map[string]bool{"HTTP 1": false, "HTTP 2": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				serve, url := cutting, "http://x/"
				if over2 {
					serve, url = cuttingTLS, "https://x/"
				}
				p := serve(t, h)
				client := p.client(t, over2)
				test(t, func(body io.Reader) *http.Response {
					resp, err := client.Post(url, "application/octet-stream", body)
					require.NoError(t, err)
					t.Cleanup(func() { resp.Body.Close() })
					return resp
				})
			})
		})
	}
}

// bubble is a test in which time passes only while everybody waits.
func bubble(t *testing.T, test func(t *testing.T)) { synctest.Test(t, test) }

// slowConn is read in pieces, with pauses.
type slowConn struct {
	net.Conn
	pause time.Duration
	most  int
}

func (c slowConn) Read(p []byte) (int, error) {
	time.Sleep(c.pause)
	return c.Conn.Read(p[:min(len(p), c.most)])
}

// mebibyte is an answer that no buffer takes.
var mebibyte = strings.Repeat("m", 1<<20)

// writers are the ways to send a mebibyte.
func writers(t *testing.T) map[string]func(http.ResponseWriter, *http.Request) error {
	file := filepath.Join(t.TempDir(), "file.bin")
	require.NoError(t, os.WriteFile(file, []byte(mebibyte), 0o600))
	return map[string]func(http.ResponseWriter, *http.Request) error{
		"write": func(w http.ResponseWriter, _ *http.Request) error {
			_, err := w.Write([]byte(mebibyte))
			return err
		},
		"string": func(w http.ResponseWriter, _ *http.Request) error {
			_, err := io.WriteString(w, mebibyte)
			return err
		},
		"file": func(w http.ResponseWriter, _ *http.Request) error {
			f, err := os.Open(file)
			require.NoError(t, err)
			defer f.Close()
			_, err = io.Copy(w, f)
			return err
		},
		"reader": func(w http.ResponseWriter, _ *http.Request) error {
			_, err := io.Copy(w, struct{ io.Reader }{strings.NewReader(mebibyte)})
			return err
		},
		"flushes": func(w http.ResponseWriter, _ *http.Request) error {
			for i := 0; i < len(mebibyte); i += 1 << 10 {
				io.WriteString(w, mebibyte[i:i+1<<10])
				if err := http.NewResponseController(w).Flush(); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// TestSlowUploadLivesOn: a byte now and then is enough, for an hour if need be.
func TestSlowUploadLivesOn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := cutting(t, func(w http.ResponseWriter, r *http.Request) {
			n, err := io.Copy(io.Discard, r.Body)
			assert.NoError(t, err)
			fmt.Fprint(w, n)
		})
		c := p.begin(t, "POST / HTTP/1.1", "Host: x", "Content-Length: 64", "", "")
		for range 64 {
			time.Sleep(limit - time.Second)
			io.WriteString(c, "b")
		}
		_, body, ended := answer(t, c)
		assert.Equal(t, "64", body)
		assert.False(t, ended)
	})
}

// TestSlowDownloadLivesOn: however the answer is written, and although all of
// it takes much longer than the limit.
func TestSlowDownloadLivesOn(t *testing.T) {
	for name, write := range writers(t) {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := cutting(t, func(w http.ResponseWriter, r *http.Request) { assert.NoError(t, write(w, r)) })
				c := p.begin(t, "GET / HTTP/1.1", "Host: x", "", "")
				began := time.Now()
				_, body, ended := answer(t, slowConn{c, 2 * time.Second, 4 << 10})
				assert.Len(t, body, len(mebibyte))
				assert.False(t, ended)
				assert.Greater(t, time.Since(began), 8*limit)
			})
		})
	}
}

// TestStalledUploadIsCut: the handler learns of it, can still answer, and the
// connection ends with that.
func TestStalledUploadIsCut(t *testing.T) {
	for name, body := range map[string][]string{
		"length":  {"Content-Length: 64", "", "beginning"},
		"chunked": {"Transfer-Encoding: chunked", "", "9", "beginning", ""},
		"nothing": {"Content-Length: 64", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := cutting(t, func(w http.ResponseWriter, r *http.Request) {
					began := time.Now()
					_, err := io.Copy(io.Discard, r.Body)
					assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
					assert.Equal(t, limit, time.Since(began))
					w.WriteHeader(http.StatusRequestTimeout)
				})
				c := p.begin(t, append([]string{"POST / HTTP/1.1", "Host: x"}, body...)...)
				status, _, ended := answer(t, c)
				assert.Equal(t, http.StatusRequestTimeout, status)
				assert.True(t, ended)
			})
		})
	}
}

// TestStalledDownloadIsCut: however the answer is written.
func TestStalledDownloadIsCut(t *testing.T) {
	all := writers(t)
	all["early hints"] = func(w http.ResponseWriter, r *http.Request) error {
		w.WriteHeader(http.StatusEarlyHints)
		return r.Context().Err()
	}
	for name, write := range all {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				result := make(chan error, 1)
				p := cutting(t, func(w http.ResponseWriter, r *http.Request) {
					began := time.Now()
					result <- write(w, r)
					assert.Equal(t, limit, time.Since(began))
				})
				c := p.begin(t, "GET / HTTP/1.1", "Host: x", "", "")
				assert.Error(t, <-result)
				synctest.Wait()
				_, err := io.ReadAll(c)
				assert.NoError(t, err, "the connection is closed")
			})
		})
	}
}

// TestStallAroundTheHandler: what net/http does for a handler before its answer
// goes out and after it, it does not do for ever.
func TestStallAroundTheHandler(t *testing.T) {
	ignoring := map[string]http.HandlerFunc{
		"nothing":   func(http.ResponseWriter, *http.Request) {},
		"short":     func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "short") },
		"long":      func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, mebibyte) },
		"flush":     func(w http.ResponseWriter, _ *http.Request) { w.(http.Flusher).Flush() },
		"body shut": func(_ http.ResponseWriter, r *http.Request) { r.Body.Close() },
	}
	for name, h := range ignoring {
		t.Run("unread body, "+name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				began := time.Now()
				c := cutting(t, h).begin(t, "POST / HTTP/1.1", "Host: x", "Content-Length: 64", "", "beginning")
				status, _, ended := answer(t, c)
				assert.Equal(t, 200, status, "the client gets its answer all the same")
				assert.True(t, ended)
				assert.Less(t, time.Since(began), limit+time.Second)
			})
		})
	}
	for name, h := range map[string]http.HandlerFunc{
		"last flush":   ignoring["short"],
		"panic":        func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"100 Continue": func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) },
	} {
		t.Run("taking nothing, "+name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				c := cutting(t, h).begin(t, "POST / HTTP/1.1", "Host: x", "Content-Length: 64", "Expect: 100-continue", "", "")
				time.Sleep(3*limit + 2*time.Second)
				_, err := c.Read(make([]byte, 1))
				assert.Equal(t, io.EOF, err)
			})
		})
	}
}

// TestSilentHandlerLivesOn: one that neither reads nor writes has all the time
// it wants, before, between and after.
func TestSilentHandlerLivesOn(t *testing.T) {
	half := make([]byte, 100<<10)
	bothProtocols(t, func(w http.ResponseWriter, r *http.Request) {
		for range 2 {
			time.Sleep(time.Hour)
			_, err := io.ReadFull(r.Body, half)
			assert.NoError(t, err)
		}
		_, err := r.Body.Read(half)
		assert.Equal(t, io.EOF, err)
		for range 2 {
			time.Sleep(time.Hour)
			_, err := w.Write(half)
			assert.NoError(t, err)
			w.(http.Flusher).Flush()
		}
		time.Sleep(time.Hour)
		assert.NoError(t, r.Context().Err())
	}, func(t *testing.T, ask func(io.Reader) *http.Response) {
		for range 2 {
			body, err := io.ReadAll(ask(bytes.NewReader(make([]byte, 200<<10))).Body)
			assert.NoError(t, err)
			assert.Len(t, body, 200<<10)
		}
	})
}

// TestSilentSource: a client is not to blame for what the handler copies from.
func TestSilentSource(t *testing.T) {
	bothProtocols(t, func(w http.ResponseWriter, r *http.Request) {
		out, in := io.Pipe()
		go func() {
			for range 3 {
				time.Sleep(time.Hour)
				io.WriteString(in, "late")
			}
			in.Close()
		}()
		_, err := w.(io.Writer).Write(nil)
		assert.NoError(t, err)
		_, err = io.Copy(w, out)
		assert.NoError(t, err)
	}, func(t *testing.T, ask func(io.Reader) *http.Response) {
		body, err := io.ReadAll(ask(http.NoBody).Body)
		assert.NoError(t, err)
		assert.Equal(t, "latelatelate", string(body))
	})
}

// TestAnswerThatMovesKeepsTheBodyOpen: a client that listens is alive, though it
// has nothing to say; once nothing is said to it either, it is cut off.
func TestAnswerThatMovesKeepsTheBodyOpen(t *testing.T) {
	bothProtocols(t, func(w http.ResponseWriter, r *http.Request) {
		assert.NoError(t, http.NewResponseController(w).EnableFullDuplex())
		result := make(chan error, 1)
		began := time.Now()
		go func() {
			_, err := io.Copy(io.Discard, r.Body)
			result <- err
		}()
		for range 5 {
			io.WriteString(w, "news")
			w.(http.Flusher).Flush()
			time.Sleep(limit - time.Second)
		}
		assert.ErrorIs(t, <-result, os.ErrDeadlineExceeded)
		assert.Equal(t, 5*limit-4*time.Second, time.Since(began))
	}, func(t *testing.T, ask func(io.Reader) *http.Response) {
		out, in := io.Pipe()
		defer in.Close()
		go io.WriteString(in, "hello")
		body, _ := io.ReadAll(ask(out).Body)
		assert.Equal(t, strings.Repeat("news", 5), string(body))
	})
}

// TestOwnDeadlinesWin: what a handler asks for replaces the profile's limit.
func TestOwnDeadlinesWin(t *testing.T) {
	const never = 100 * time.Hour
	for name, row := range map[string]struct{ ask, want time.Duration }{
		"longer": {2 * time.Hour, 2 * time.Hour}, "shorter": {time.Second, time.Second}, "none": {0, never},
	} {
		at := func() time.Time {
			if row.ask == 0 {
				return time.Time{}
			}
			return time.Now().Add(row.ask)
		}
		check := func(t *testing.T, do func() error) {
			began := time.Now()
			err := do()
			assert.Equal(t, row.want, time.Since(began))
			if row.want == never {
				assert.NoError(t, err)
			} else {
				assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
			}
		}
		t.Run(name+", reading", func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := cutting(t, func(w http.ResponseWriter, r *http.Request) {
					assert.NoError(t, http.NewResponseController(w).SetReadDeadline(at()))
					check(t, func() error { _, err := io.Copy(io.Discard, r.Body); return err })
				})
				c := p.begin(t, "POST / HTTP/1.1", "Host: x", "Content-Length: 1", "", "")
				if row.want == never {
					time.Sleep(never)
					io.WriteString(c, "b")
				}
				answer(t, c)
			})
		})
		t.Run(name+", writing", func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				over := make(chan bool)
				p := cutting(t, func(w http.ResponseWriter, r *http.Request) {
					defer close(over)
					assert.NoError(t, http.NewResponseController(w).SetWriteDeadline(at()))
					check(t, func() error { _, err := io.WriteString(w, mebibyte); return err })
				})
				c := p.begin(t, "GET / HTTP/1.1", "Host: x", "", "")
				if row.want == never {
					time.Sleep(never)
					answer(t, c)
				}
				<-over
			})
		})
	}
	t.Run("past us", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			p := cutting(t, func(w http.ResponseWriter, r *http.Request) {
				began, inner := time.Now(), w.(interface{ Unwrap() http.ResponseWriter }).Unwrap()
				assert.NoError(t, http.NewResponseController(inner).SetReadDeadline(time.Now().Add(time.Second)))
				_, err := io.Copy(io.Discard, r.Body)
				assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
				assert.Equal(t, time.Second, time.Since(began))
			})
			answer(t, p.begin(t, "POST / HTTP/1.1", "Host: x", "Content-Length: 1", "", ""))
		})
	})
}

// TestServersOwnTimeouts: where the server has time-outs for whole messages, the
// end of a request does not put them off.
func TestServersOwnTimeouts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := newPipes()
		srv := &http.Server{ReadTimeout: 5 * time.Second, WriteTimeout: 10 * time.Second}
		serveStalls(t, srv, http.NotFoundHandler(), func() error { return srv.Serve(p) })
		c := p.begin(t, "POST / HTTP/1.1", "Host: x", "Content-Length: 64", "", "")
		time.Sleep(11 * time.Second)
		_, err := c.Read(make([]byte, 1))
		assert.Equal(t, io.EOF, err)
	})
}

// TestHijackedConnectionsHaveNoDeadline: however the handler came by them.
func TestHijackedConnectionsHaveNoDeadline(t *testing.T) {
	for name, take := range map[string]func(http.ResponseWriter) (net.Conn, *bufio.ReadWriter, error){
		"assertion": func(w http.ResponseWriter) (net.Conn, *bufio.ReadWriter, error) { return w.(http.Hijacker).Hijack() },
		"controller": func(w http.ResponseWriter) (net.Conn, *bufio.ReadWriter, error) {
			return http.NewResponseController(w).Hijack()
		},
		"past us": func(w http.ResponseWriter) (net.Conn, *bufio.ReadWriter, error) {
			return w.(interface{ Unwrap() http.ResponseWriter }).Unwrap().(http.Hijacker).Hijack()
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				taken := make(chan net.Conn, 1)
				p := cutting(t, func(w http.ResponseWriter, r *http.Request) {
					conn, _, err := take(w)
					assert.NoError(t, err)
					_, _, err = w.(http.Hijacker).Hijack()
					assert.ErrorIs(t, err, http.ErrHijacked)
					taken <- conn
				})
				c := p.begin(t, "GET / HTTP/1.1", "Host: x", "", "")
				go io.Copy(c, c)
				conn := <-taken
				defer conn.Close()
				time.Sleep(time.Hour)
				_, err := io.WriteString(conn, "echo")
				require.NoError(t, err)
				time.Sleep(time.Hour)
				echo := make([]byte, 4)
				_, err = io.ReadFull(conn, echo)
				assert.NoError(t, err)
				assert.Equal(t, "echo", string(echo))
			})
		})
	}
}

// TestTemporaryFilesAreRemoved: those of a form that the handler has parsed.
func TestTemporaryFilesAreRemoved(t *testing.T) {
	var form bytes.Buffer
	m := multipart.NewWriter(&form)
	part, err := m.CreateFormFile("file", "file.bin")
	require.NoError(t, err)
	io.WriteString(part, mebibyte)
	require.NoError(t, m.Close())
	bubble(t, func(t *testing.T) {
		t.Setenv("TMPDIR", t.TempDir())
		p := cutting(t, func(w http.ResponseWriter, r *http.Request) {
			r.Header.Set("Content-Type", m.FormDataContentType())
			assert.NoError(t, r.ParseMultipartForm(1))
			files, err := os.ReadDir(os.TempDir())
			assert.NoError(t, err)
			assert.Len(t, files, 1)
		})
		resp, err := p.client(t, false).Post("http://x/", m.FormDataContentType(), &form)
		require.NoError(t, err)
		resp.Body.Close()
		synctest.Wait()
		files, err := os.ReadDir(os.TempDir())
		assert.NoError(t, err)
		assert.Empty(t, files)
	})
}

// TestTrailersAndExpectations pass as they do without us.
func TestTrailersAndExpectations(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := cutting(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Trailer", "Sum")
			if r.URL.Path == "/unread" {
				return
			}
			io.Copy(io.Discard, r.Body)
			fmt.Fprint(w, r.Trailer.Get("Told"), r.Trailer.Get("Untold"))
			w.Header().Set("Sum", "42")
		})
		const trailer = "3\r\nabc\r\n0\r\nTold: a\r\nUntold: b\r\n\r\n"
		for _, announce := range []string{"X: ", "Trailer: Told\r\nX: "} {
			c := p.begin(t, "POST / HTTP/1.1", "Host: x", "Expect: 100-continue", announce, "Transfer-Encoding: chunked", "", "")
			in := bufio.NewReader(c)
			line, err := in.ReadString('\n')
			require.NoError(t, err)
			assert.Equal(t, "HTTP/1.1 100 Continue\r\n", line)
			in.ReadString('\n')
			io.WriteString(c, trailer)
			resp, err := http.ReadResponse(in, nil)
			require.NoError(t, err)
			body, _ := io.ReadAll(resp.Body)
			assert.Equal(t, "ab", string(body))
			assert.Equal(t, "42", resp.Trailer.Get("Sum"))
		}
		c := p.begin(t, "POST /unread HTTP/1.1", "Host: x", "Expect: 100-continue", "Content-Length: 5", "", "")
		status, _, ended := answer(t, c)
		assert.Equal(t, 200, status, "no 100 for a body that nobody reads")
		assert.True(t, ended)
	})
}

// TestStalledStreams: over HTTP/2 it is the stream that ends; others on the
// connection live on.
func TestStalledStreams(t *testing.T) {
	bubble(t, func(t *testing.T) {
		results := make(chan error, 1)
		p := cuttingTLS(t, func(w http.ResponseWriter, r *http.Request) {
			began := time.Now()
			switch r.URL.Path {
			case "/upload":
				_, err := io.Copy(io.Discard, r.Body)
				assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
				assert.Equal(t, limit, time.Since(began))
				w.WriteHeader(http.StatusRequestTimeout)
			case "/download":
				_, err := io.WriteString(w, strings.Repeat(mebibyte, 16))
				assert.Equal(t, limit, time.Since(began))
				results <- err
			}
			fmt.Fprint(w, r.RemoteAddr)
		})
		client := p.client(t, true)
		out, in := io.Pipe()
		defer in.Close()
		go io.WriteString(in, "beginning")
		resp, err := client.Post("https://x/upload", "", out)
		require.NoError(t, err)
		assert.Equal(t, http.StatusRequestTimeout, resp.StatusCode)
		resp.Body.Close()

		resp, err = client.Get("https://x/download")
		require.NoError(t, err)
		require.Error(t, <-results)
		_, err = io.Copy(io.Discard, resp.Body)
		assert.Error(t, err)
		resp.Body.Close()

		client.Transport.(*http.Transport).DialContext = nil // the connection is still the first
		resp, err = client.Get("https://x/")
		require.NoError(t, err)
		assert.Equal(t, 200, resp.StatusCode)
		resp.Body.Close()
	})
}

// frozen is a connection that can be made to read nothing any more.
type frozen struct {
	net.Conn
	cold chan struct{}
	dead chan struct{}
}

func (c *frozen) Read(p []byte) (int, error) {
	select {
	case <-c.cold:
		<-c.dead
		return 0, net.ErrClosed
	default:
		return c.Conn.Read(p)
	}
}

// TestStalledHTTP2Connection: one that takes no frame does not take that which
// ends the stream either.
func TestStalledHTTP2Connection(t *testing.T) {
	bubble(t, func(t *testing.T) {
		results := make(chan error, 1)
		p := cuttingTLS(t, func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush()
			time.Sleep(time.Second)
			_, err := io.WriteString(w, mebibyte)
			results <- err
		})
		client := p.client(t, true)
		var conn *frozen
		client.Transport.(*http.Transport).DialContext = func(context.Context, string, string) (net.Conn, error) {
			conn = &frozen{Conn: p.dial(), cold: make(chan struct{}), dead: make(chan struct{})}
			return conn, nil
		}
		resp, err := client.Get("https://x/")
		require.NoError(t, err)
		began := time.Now()
		close(conn.cold)
		assert.Error(t, <-results)
		assert.Less(t, time.Since(began), 3*limit)
		close(conn.dead)
		resp.Body.Close()
	})
}

// TestStreamWithoutAWindow: an answer that the client lets wait at the very end
// of the handler, where no handler is left to learn of it.
func TestStreamWithoutAWindow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := cutting(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "short") })
		c := p.begin(t, http2Preface, // SETTINGS with INITIAL_WINDOW_SIZE 0, and HEADERS of GET / at x
			"\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00"+
				"\x00\x00\x06\x01\x05\x00\x00\x00\x01\x82\x86\x84\x41\x01x")
		began := time.Now()
		for {
			var head [9]byte
			_, err := io.ReadFull(c, head[:])
			require.NoError(t, err)
			_, err = io.CopyN(io.Discard, c, int64(binary.BigEndian.Uint32(head[:4])>>8))
			require.NoError(t, err)
			if head[3] == 3 { // RST_STREAM
				assert.Equal(t, limit, time.Since(began))
				return
			}
		}
	})
}

// http2Preface is the connection preface without its last line's end (RFC 9113, 3.4).
const http2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n"

// TestBodyOutlivesTheHandler: what reads it then gets an error, and touches
// nothing of HTTP/2's, whose writer is somebody else's by then.
func TestBodyOutlivesTheHandler(t *testing.T) {
	bothProtocols(t, func(w http.ResponseWriter, r *http.Request) {
		go func() {
			time.Sleep(limit + 5*time.Second) // net/http may read for as long as the limit
			_, err := io.Copy(io.Discard, r.Body)
			assert.Error(t, err)
		}()
	}, func(t *testing.T, ask func(io.Reader) *http.Response) {
		out, in := io.Pipe()
		defer in.Close()
		go io.WriteString(in, "hello")
		ask(out)
		time.Sleep(2 * limit)
	})
}

// TestNothingIsTouchedAfterTheEnd: whoever still waits for the body then.
func TestNothingIsTouchedAfterTheEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var body, answer []time.Time
		x := &stallExchange{
			limit:  limit,
			body:   stallSide{set: func(at time.Time) error { body = append(body, at); return nil }},
			answer: stallSide{set: func(at time.Time) error { answer = append(answer, at); return nil }},
		}
		x.wait(&x.body)
		x.end()
		x.wait(&x.body)
		time.Sleep(3 * limit)
		assert.Empty(t, body)
		assert.Len(t, answer, 1)
	})
}

// TestOwnDeadlineDuringAnOperation: it holds for one that has begun already.
func TestOwnDeadlineDuringAnOperation(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var body []time.Time
		x := &stallExchange{limit: limit, body: stallSide{set: func(at time.Time) error { body = append(body, at); return nil }}}
		x.wait(&x.body)
		assert.NoError(t, x.wish(&x.body, time.Time{}))
		time.Sleep(3 * limit)
		assert.Equal(t, []time.Time{{}}, body)
	})
}

// TestStalledDuplex: the time of a handler that reads and writes at once is not
// that of net/http's reading.
func TestStalledDuplex(t *testing.T) {
	bubble(t, func(t *testing.T) {
		took := make(chan time.Duration, 1)
		p := cutting(t, func(w http.ResponseWriter, _ *http.Request) {
			assert.NoError(t, http.NewResponseController(w).EnableFullDuplex())
			began := time.Now()
			_, err := io.WriteString(w, mebibyte)
			assert.Error(t, err)
			took <- time.Since(began)
		})
		p.begin(t, "POST / HTTP/1.1", "Host: x", "Content-Length: 64", "", "")
		assert.Equal(t, limit, <-took)
	})
}

// TestPanicInsideAWrite: one that was recovered from waits for nobody any more.
func TestPanicInsideAWrite(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := cutting(t, func(w http.ResponseWriter, r *http.Request) {
			assert.Panics(t, func() { w.WriteHeader(-1) })
			time.Sleep(time.Hour)
			io.WriteString(w, "well")
		})
		_, body, _ := answer(t, p.begin(t, "GET / HTTP/1.1", "Host: x", "", ""))
		assert.Equal(t, "well", body)
	})
}

// fileTaker is a writer that can send files, and notes what it is given.
type fileTaker struct {
	httptest.ResponseRecorder
	http.Hijacker // of which only the type is looked at
	sizes         []int64
}

func (w *fileTaker) ReadFrom(r io.Reader) (int64, error) {
	limited := r.(*io.LimitedReader)
	_ = limited.R.(interface{ Fd() uintptr }) // as sendfile wants it
	w.sizes = append(w.sizes, limited.N)
	return io.Copy(io.Discard, r)
}

// TestFilesGoOutWithoutACopy: in pieces, and a part of a file as well.
func TestFilesGoOutWithoutACopy(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file.bin")
	require.NoError(t, os.WriteFile(name, make([]byte, 150<<10), 0o600))
	for _, row := range []struct {
		send func(w http.ResponseWriter, f *os.File) (int64, error)
		want []int64
		n    int64
	}{
		{func(w http.ResponseWriter, f *os.File) (int64, error) { return io.Copy(w, f) }, []int64{64 << 10, 64 << 10, 64 << 10}, 150 << 10},
		{func(w http.ResponseWriter, f *os.File) (int64, error) { return io.CopyN(w, f, 100<<10) }, []int64{64 << 10, 36 << 10}, 100 << 10},
		{func(w http.ResponseWriter, f *os.File) (int64, error) { return io.CopyN(w, f, 128<<10) }, []int64{64 << 10, 64 << 10}, 128 << 10},
	} {
		w := new(fileTaker)
		r := httptest.NewRequestWithContext(t.Context(), "GET", "/", nil)
		cutStalls(new(http.Server), limit, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			f, err := os.Open(name)
			require.NoError(t, err)
			defer f.Close()
			n, err := row.send(w, f)
			assert.NoError(t, err)
			assert.Equal(t, row.n, n)
		})).ServeHTTP(w, r)
		assert.Equal(t, row.want, w.sizes)
	}
}

// TestPipesAreNoFiles: net/http would wait for them at the client's expense.
func TestPipesAreNoFiles(t *testing.T) {
	out, in, err := os.Pipe()
	require.NoError(t, err)
	defer out.Close()
	io.WriteString(in, "piped")
	in.Close()
	w := &fileTaker{ResponseRecorder: *httptest.NewRecorder()}
	cutStalls(new(http.Server), limit, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, err := io.Copy(w, out)
		assert.NoError(t, err)
	})).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", "/", nil))
	assert.Empty(t, w.sizes)
	assert.Equal(t, "piped", w.Body.String())
}

// abilities is what a writer can do.
func abilities(t *testing.T, w http.ResponseWriter) []bool {
	_, reads := w.(io.ReaderFrom)
	_, hijacks := w.(http.Hijacker)
	_, pushes := w.(http.Pusher)
	_, flushes := w.(http.Flusher)
	_, strings := w.(io.StringWriter)
	notifier, notifies := w.(interface{ CloseNotify() <-chan bool })
	control := http.NewResponseController(w)
	assert.NoError(t, control.SetReadDeadline(time.Now().Add(time.Hour)))
	assert.NoError(t, control.SetWriteDeadline(time.Now().Add(time.Hour)))
	assert.NoError(t, control.EnableFullDuplex())
	assert.NoError(t, control.Flush())
	return []bool{reads, hijacks, pushes, flushes, strings, notifies && notifier.CloseNotify() != nil}
}

// TestAbilitiesWithALimit: what a handler can do without one, it can do with it,
// during a drain as well.
func TestAbilitiesWithALimit(t *testing.T) {
	for _, over2 := range []bool{false, true} {
		var want []bool
		for _, p := range []Profile{{Stall: -1}, {Stall: limit}} {
			for _, drain := range []bool{false, true} {
				found := make(chan []bool, 1)
				srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { found <- abilities(t, w) }))
				Configure(srv.Config, p)
				health := mustNew(t, Config{})
				newService(health, []Endpoint{{Server: srv.Config, Listeners: []net.Listener{srv.Listener}}})
				if drain {
					health.Drain()
				}
				srv.EnableHTTP2 = over2
				srv.StartTLS()
				resp, err := srv.Client().Get(srv.URL)
				require.NoError(t, err)
				resp.Body.Close()
				got := <-found
				srv.Close()
				if want == nil {
					want = got
				}
				assert.Equal(t, want, got)
			}
		}
		assert.Equal(t, []bool{!over2, !over2, over2, true, true, true}, want)
	}
}

// TestStallDuringADrain: Serve enforces the limit of the profile, an exchange
// that stalls does not hold up the end, and answers end their connections.
func TestStallDuringADrain(t *testing.T) {
	for name, p := range map[string]Profile{"with a limit": {Stall: 3 * time.Second}, "without": {Stall: -1}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				in := newPipes()
				health := mustNew(t, Config{})
				srv := NewServer("", health.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_, err := io.Copy(io.Discard, r.Body)
					assert.Equal(t, p.Stall > 0, errors.Is(err, os.ErrDeadlineExceeded))
					io.WriteString(w, mebibyte)
				})), p)
				ctx, cancel := context.WithCancel(t.Context())
				result := make(chan error, 1)
				go func() { result <- serveAll(ctx, nil, health, []Endpoint{{Server: srv, Listeners: []net.Listener{in}}}) }()
				synctest.Wait() // until it serves
				health.Drain()
				upload := in.begin(t, "POST / HTTP/1.1", "Host: x", "Content-Length: 64", "", "")
				synctest.Wait()
				cancel()
				began := time.Now()
				if p.Stall < 0 {
					var lost *LostError
					require.ErrorAs(t, <-result, &lost)
					assert.Len(t, lost.Requests, 1)
					return
				}
				status, body, ended := answer(t, upload)
				assert.Equal(t, 200, status)
				assert.Len(t, body, len(mebibyte))
				assert.True(t, ended)
				assert.NoError(t, <-result)
				assert.Less(t, time.Since(began), leastShutdown)
			})
		})
	}
}

// TestNoLimitCostsNothing: neither the server nor the handler is touched.
func TestNoLimitCostsNothing(t *testing.T) {
	for _, p := range presets() {
		srv := NewServer("", http.NotFoundHandler(), p)
		newService(mustNew(t, Config{}), []Endpoint{{Server: srv, Listeners: []net.Listener{nil}}})
		_, limited := srv.Handler.(*served).next.(*stallCutter)
		assert.Equal(t, p.Name == "direct", limited, p.name())
		assert.Equal(t, limited, srv.HTTP2 != nil, p.name())
	}
}

// TestHTTP2SettingsStay: those of the server's user, whose value is not changed.
func TestHTTP2SettingsStay(t *testing.T) {
	own := &http.HTTP2Config{MaxConcurrentStreams: 7}
	srv := &http.Server{HTTP2: own}
	cutStalls(srv, limit, http.NotFoundHandler())
	assert.Equal(t, http.HTTP2Config{MaxConcurrentStreams: 7, WriteByteTimeout: limit}, *srv.HTTP2)
	assert.Zero(t, own.WriteByteTimeout)
	srv.HTTP2.WriteByteTimeout = time.Second
	cutStalls(srv, limit, http.NotFoundHandler())
	assert.Equal(t, time.Second, srv.HTTP2.WriteByteTimeout)
}
