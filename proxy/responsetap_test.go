package proxy_test

import (
	"bufio"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/proxy"
)

// discardLog is for servers whose handlers panic on purpose.
func discardLog() *log.Logger { return log.New(io.Discard, "", 0) }

// middlewares are those that stand between a handler and its ResponseWriter.
func middlewares() map[string]func(http.Handler) http.Handler {
	return map[string]func(http.Handler) http.Handler{
		"AccessLog":   proxy.AccessLog(io.Discard),
		"Recover":     proxy.Recover(nil),
		"StripPrefix": proxy.StripPrefix("/api"),
		"all": func(h http.Handler) http.Handler {
			return proxy.AccessLog(io.Discard)(proxy.Recover(nil)(proxy.StripPrefix("/api")(h)))
		},
	}
}

// abilities lists what a handler finds by type assertions.
func abilities(w http.ResponseWriter) string {
	var found []string
	note := func(name string, ok bool) {
		if ok {
			found = append(found, name)
		}
	}
	_, ok := w.(http.Flusher)
	note("flush", ok)
	_, ok = w.(http.Hijacker)
	note("hijack", ok)
	_, ok = w.(io.ReaderFrom)
	note("readfrom", ok)
	_, ok = w.(io.StringWriter)
	note("string", ok)
	return strings.Join(found, " ")
}

// bare hides everything; wrapped hides everything but Unwrap.
type (
	bare    struct{ http.ResponseWriter }
	wrapped struct{ http.ResponseWriter }
)

func (w wrapped) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// through serves one request with what wrap makes of the server's own writer.
func through(t *testing.T, http2 bool, wrap func(http.ResponseWriter) http.ResponseWriter, mw func(http.Handler) http.Handler, h http.HandlerFunc) (string, error) {
	t.Helper()
	inner := mw(h)
	s := httpServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { inner.ServeHTTP(wrap(w), r) }), http2)
	_, body, err := do(t, s, "GET", "/api/")
	s.Close() // the handler has returned
	return body, err
}

// TestWritersKeepAbilities: neither fewer than the server's writer has, nor
// any that would not work.
func TestWritersKeepAbilities(t *testing.T) {
	same := func(w http.ResponseWriter) http.ResponseWriter { return w }
	hidden := func(w http.ResponseWriter) http.ResponseWriter { return bare{w} }
	unwrapping := func(w http.ResponseWriter) http.ResponseWriter { return wrapped{w} }
	for name, mw := range middlewares() {
		for _, c := range []struct {
			name  string
			http2 bool
			wrap  func(http.ResponseWriter) http.ResponseWriter
			want  string
		}{
			{"http1", false, same, "flush hijack readfrom string"},
			{"http2", true, same, "flush readfrom string"},
			{"http1, hidden", false, hidden, "readfrom string"},
			{"http1, behind Unwrap", false, unwrapping, "flush hijack readfrom string"},
			{"http2, behind Unwrap", true, unwrapping, "flush readfrom string"},
		} {
			t.Run(name+"/"+c.name, func(t *testing.T) {
				got, err := through(t, c.http2, c.wrap, mw, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, abilities(w)) })
				require.NoError(t, err)
				assert.Equal(t, c.want, got)
			})
		}
	}
}

// TestWritersKeepTheController: deadlines, full duplex, flush with its error.
func TestWritersKeepTheController(t *testing.T) {
	for name, mw := range middlewares() {
		t.Run(name, func(t *testing.T) {
			var errs []error
			body, err := through(t, false, func(w http.ResponseWriter) http.ResponseWriter { return w }, mw,
				func(w http.ResponseWriter, _ *http.Request) {
					c := http.NewResponseController(w)
					errs = append(errs, c.EnableFullDuplex(), c.SetReadDeadline(time.Now().Add(time.Hour)), c.SetWriteDeadline(time.Now().Add(time.Hour)), c.Flush())
					_, _ = io.WriteString(w, "ok")
				})
			require.NoError(t, err)
			assert.Equal(t, "ok", body)
			assert.Equal(t, make([]error, 4), errs)
		})
		t.Run(name+"/a deadline is kept", func(t *testing.T) {
			var wrote error
			_, err := through(t, false, func(w http.ResponseWriter) http.ResponseWriter { return w }, mw,
				func(w http.ResponseWriter, _ *http.Request) {
					c := http.NewResponseController(w)
					_ = c.SetWriteDeadline(time.Now().Add(-time.Second))
					_, _ = io.WriteString(w, "late")
					wrote = c.Flush()
				})
			require.Error(t, err)
			assert.Error(t, wrote, "FlushError must not become Flush")
		})
		t.Run(name+"/not supported", func(t *testing.T) {
			w := bare{httptest.NewRecorder()}
			mw(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				c := http.NewResponseController(w)
				assert.ErrorIs(t, c.Flush(), http.ErrNotSupported)
				_, _, err := c.Hijack()
				assert.ErrorIs(t, err, http.ErrNotSupported)
				assert.ErrorIs(t, c.EnableFullDuplex(), http.ErrNotSupported)
				assert.ErrorIs(t, w.(http.Pusher).Push("/a", nil), http.ErrNotSupported)
				w.WriteHeader(204)
			})).ServeHTTP(w, httptest.NewRequest("GET", "/api", nil))
			assert.Equal(t, 204, w.ResponseWriter.(*httptest.ResponseRecorder).Code, "a Flush that is not supported begins no answer")
		})
	}
}

// TestAccessLogBehindUnwrap: what a ResponseController reaches by Unwrap is
// seen all the same.
func TestAccessLogBehindUnwrap(t *testing.T) {
	lines := newLogLines()
	hijack := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err == nil {
			conn.Close()
		}
	})
	_, err := through(t, false, func(w http.ResponseWriter) http.ResponseWriter { return wrapped{w} }, proxy.AccessLog(lines), hijack.ServeHTTP)
	require.Error(t, err)
	assert.Equal(t, "101 -", outcome(t, lines.next(t)))
}

// talented is a ResponseWriter that remembers how it was used.
type talented struct {
	*httptest.ResponseRecorder
	used []string
}

func (w *talented) ReadFrom(src io.Reader) (int64, error) {
	w.used = append(w.used, "readfrom")
	return io.Copy(w.ResponseRecorder, src)
}

func (w *talented) Push(target string, _ *http.PushOptions) error {
	w.used = append(w.used, "push "+target)
	return nil
}

func (w *talented) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.used = append(w.used, "hijack")
	return nil, nil, io.ErrClosedPipe
}

func (w *talented) FlushError() error {
	w.used = append(w.used, "flush")
	return nil
}

// TestWritersCallThrough: ReadFrom above all, without which no file is sent by
// the kernel.
func TestWritersCallThrough(t *testing.T) {
	for name, mw := range middlewares() {
		t.Run(name, func(t *testing.T) {
			w := &talented{ResponseRecorder: httptest.NewRecorder()}
			mw(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				_, _, err := w.(http.Hijacker).Hijack()
				assert.ErrorIs(t, err, io.ErrClosedPipe)
				assert.NoError(t, w.(http.Pusher).Push("/a", nil))
				w.(http.Flusher).Flush()
				n, err := io.Copy(w, repeated(3000))
				assert.NoError(t, err)
				assert.EqualValues(t, 3000, n)
			})).ServeHTTP(w, httptest.NewRequest("GET", "/api", nil))
			assert.Equal(t, []string{"hijack", "push /a", "flush", "readfrom"}, w.used)
			assert.Equal(t, 3000, w.Body.Len())
		})
	}
}

// TestWritersCopyLikeNetHTTP: the beginning of a source is read before the
// answer begins, and no byte is lost at the seam.
func TestWritersCopyLikeNetHTTP(t *testing.T) {
	for _, size := range []int{0, 1, 511, 512, 513, 5000} {
		w := &talented{ResponseRecorder: httptest.NewRecorder()}
		proxy.StripPrefix("/api")(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			n, err := io.Copy(w, repeated(size))
			assert.NoError(t, err)
			assert.EqualValues(t, size, n)
		})).ServeHTTP(w, httptest.NewRequest("GET", "/api", nil))
		assert.Equal(t, size, w.Body.Len())
		assert.Equal(t, size >= 512, slices.Contains(w.used, "readfrom"))
	}
}
