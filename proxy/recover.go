package proxy

import (
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"runtime/debug"

	"github.com/gorilla/handlers"

	"github.com/knownhops/knownhops/forwarded"
)

// Recover answers 500 for a handler that panics, and tells logger the request's
// method, path and client, the panic and the stack. A nil logger is
// slog.Default, asked when it is needed. Clients learn nothing but the status:
// header fields that the handler had set are dropped, those from outside of
// Recover stay.
//
// An answer that has begun cannot be taken back, so its connection (or HTTP/2
// stream) is aborted after logging: the client must see that it is not
// complete. A connection that was taken over is closed.
//
// http.ErrAbortHandler is not a failure but the way to abort an answer; it goes
// on to net/http unchanged and unlogged.
func Recover(logger *slog.Logger) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return &recovery{logger: logger, next: next}
	}
}

type recovery struct {
	logger *slog.Logger
	next   http.Handler
}

func (h *recovery) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &rescue{responseTap: responseTap{ResponseWriter: w}, r: r, logger: h.logger, header: w.Header().Clone()}
	watched := func(_ http.ResponseWriter, r *http.Request) { h.next.ServeHTTP(c.writer(), r) }
	handlers.RecoveryHandler(handlers.RecoveryLogger(c))(http.HandlerFunc(watched)).ServeHTTP(c, r)
}

// A rescue is what gorilla's handler calls for one request after a panic: first
// WriteHeader with 500, then Println with the value.
type rescue struct {
	responseTap
	r      *http.Request
	logger *slog.Logger
	header http.Header // as it was before the handler
}

// WriteHeader leaves the answer to Println: what to do depends on the value.
func (c *rescue) WriteHeader(int) {}

// Println runs while the panicking handler is still on the stack.
func (c *rescue) Println(values ...any) {
	for _, v := range values {
		if v == any(http.ErrAbortHandler) {
			panic(http.ErrAbortHandler)
		}
	}
	c.log(fmt.Sprint(values...))
	if c.conn != nil {
		_ = c.conn.Close() // net/http no longer does
	}
	if c.status != 0 {
		panic(http.ErrAbortHandler)
	}
	c.answer()
}

// log leaves the query out, which may hold secrets.
func (c *rescue) log(what string) {
	logger := c.logger
	if logger == nil {
		logger = slog.Default()
	}
	logger.ErrorContext(c.r.Context(), "proxy: a handler panicked", "panic", what,
		"method", c.r.Method, "path", c.r.URL.EscapedPath(), "client", clientText(forwarded.From(c.r)),
		"status", c.status, "stack", string(debug.Stack()))
}

func (c *rescue) answer() {
	h := c.Header()
	clear(h)
	maps.Copy(h, c.header)
	h.Set("Cache-Control", "no-store")
	http.Error(&c.responseTap, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
}
