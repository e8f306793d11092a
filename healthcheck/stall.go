package healthcheck

import (
	"io"
	"io/fs"
	"math"
	"net/http"
	"sync"
	"syscall"
	"time"
)

// stallPiece is how much of an answer is handed to net/http at a time, and so
// the least that a client has to take within the limit: 1.1 KB/s with 60 s.
const stallPiece = 64 << 10

// cutStalls ends the exchange with a client that for as long as the limit
// neither sends a byte of a body that the handler is reading nor takes a piece
// of its answer; not positive: never. It also has the server close HTTP/2
// connections that take nothing at all, which no stream can find out.
//
// The time runs only while the handler waits for the client, so a handler that
// does something else has all the time it wants. When it is over, a deadline in
// the past ends the waiting. Deadlines in the future would have to be taken
// back after every step, since those of an HTTP/2 stream break it whether or
// not anybody is waiting, and one left after the end of an HTTP/1 body would
// look like the client's leaving to net/http, which reads on.
func cutStalls(srv *http.Server, limit time.Duration, next http.Handler) http.Handler {
	if limit <= 0 {
		return next
	}
	var config http.HTTP2Config
	if srv.HTTP2 != nil {
		config = *srv.HTTP2
	}
	fill(&config.WriteByteTimeout, limit)
	srv.HTTP2 = &config
	return &stallCutter{next: next, limit: limit, readTimeout: srv.ReadTimeout > 0, writeTimeout: srv.WriteTimeout > 0}
}

// stallCutter is the handler of cutStalls.
type stallCutter struct {
	next                      http.Handler
	limit                     time.Duration
	readTimeout, writeTimeout bool // the server has one, for the whole message
}

// ServeHTTP hands on a writer with the abilities of net/http's and, if there is
// a body, a copy of the request: net/http looks at the type of the body of its own.
func (c *stallCutter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x := &stallExchange{limit: c.limit, w: w, http1: r.ProtoMajor == 1, whole: r.Body == nil || r.Body == http.NoBody}
	control := http.NewResponseController(w)
	x.body = stallSide{set: control.SetReadDeadline, timed: c.readTimeout}
	x.answer = stallSide{set: control.SetWriteDeadline, timed: c.writeTimeout}
	defer x.end()
	if !x.whole {
		own := r
		r = own.WithContext(own.Context())
		r.Body = &stallBody{ReadCloser: own.Body, exchange: x, own: own, handed: r}
		defer handBack(own, r)
	}
	out := &stallWriter{ResponseWriter: w, exchange: x}
	switch inner := w.(type) {
	case http.Hijacker:
		c.next.ServeHTTP(&stallHTTP1{stallWriter: out, Hijacker: inner}, r)
	case http.Pusher:
		c.next.ServeHTTP(&stallHTTP2{stallWriter: out, Pusher: inner}, r)
	default:
		c.next.ServeHTTP(out, r)
	}
}

// handBack gives net/http the form that a handler has parsed, whose temporary
// files it removes.
func handBack(own, handed *http.Request) {
	if own.MultipartForm == nil {
		own.MultipartForm = handed.MultipartForm
	}
}

// stallExchange is one request and its answer.
type stallExchange struct {
	limit time.Duration
	w     http.ResponseWriter // net/http's
	http1 bool

	mu           sync.Mutex
	over         bool // the handler has returned
	whole        bool // the body has come to its end
	duplex       bool // the handler reads and writes at the same time
	body, answer stallSide
}

// stallSide is one direction of an exchange.
type stallSide struct {
	set     func(time.Time) error // the deadline
	timed   bool                  // the server has set one for the whole message
	own     bool                  // the handler has set one: its wish holds
	cut     bool                  // we have
	waiting int                   // operations under way: Close may come during a Read
	until   time.Time             // when they have taken too long
	timer   *time.Timer
	running bool // the timer
}

// wait begins an operation that may wait for the client.
func (x *stallExchange) wait(side *stallSide) {
	x.mu.Lock()
	defer x.mu.Unlock()
	side.waiting++
	if x.over || side.own || side.cut {
		return
	}
	side.until = time.Now().Add(x.limit)
	if !side.running {
		x.run(side, x.limit)
	}
}

// done ends it. The timer runs on, to find nothing that waits: there are more
// operations than limits in the life of an exchange. A client that takes an
// answer while its body is awaited, as in a stream of events that it subscribes
// to as it goes, is alive.
func (x *stallExchange) done(side *stallSide) {
	x.mu.Lock()
	defer x.mu.Unlock()
	side.waiting--
	if side == &x.answer && x.body.waiting > 0 {
		x.body.until = time.Now().Add(x.limit)
	}
}

// run starts the timer of a side. The caller holds the lock.
func (x *stallExchange) run(side *stallSide, d time.Duration) {
	side.running = true
	if side.timer == nil {
		side.timer = time.AfterFunc(d, func() { x.look(side) })
	} else {
		side.timer.Reset(d)
	}
}

// look ends an operation if it has taken too long. Two of them may wait for the
// other direction: a first write of HTTP/1, with which net/http reads what is
// left of the body, and a first read, with which it sends 100 Continue. So it
// is the reading that ends first, and the writing if after as long again that
// was not enough.
func (x *stallExchange) look(side *stallSide) {
	x.mu.Lock()
	defer x.mu.Unlock()
	side.running = false
	if x.over || side.waiting == 0 || side.own {
		return
	}
	if left := time.Until(side.until); left > 0 {
		x.run(side, left)
		return
	}
	reads := side == &x.body || x.http1 && !x.whole && !x.duplex
	if reads && !x.body.cut {
		x.body.end()
		x.run(side, x.limit)
		return
	}
	x.answer.end()
}

// end ends all waiting on a side, now and later, unless the handler's deadline
// holds there.
func (s *stallSide) end() {
	s.cut = true
	if !s.own {
		_ = s.set(time.Unix(1, 0)) // not supported: there is nothing that could be done
	}
}

// last is the deadline for what net/http itself has still to do.
func (s *stallSide) last(at time.Time) {
	if !s.timed && !s.own && !s.cut {
		_ = s.set(at)
	}
}

// end follows the handler: net/http has to read what is left of an HTTP/1 body,
// up to 256 KiB, and to send what is left of the answer, at most a few KiB. It
// takes the deadlines back afterwards. Whether the handler has taken the
// connection over, in whatever way, shows when nothing is written, as net/http
// is about to do itself.
func (x *stallExchange) end() {
	var taken bool
	if x.http1 {
		_, err := x.w.Write(nil)
		taken = err == http.ErrHijacked
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.stop(); taken {
		return
	}
	until := time.Now().Add(x.limit)
	if x.http1 && !x.whole {
		x.body.last(until)
		until = until.Add(x.limit)
	}
	x.answer.last(until)
}

// stop touches no deadline from here on: it would be that of somebody else, and
// HTTP/2's writers cannot be asked any more. The caller holds the lock.
func (x *stallExchange) stop() {
	x.over = true
	for _, side := range []*stallSide{&x.body, &x.answer} {
		if side.timer != nil {
			side.timer.Stop()
		}
	}
}

// wish sets a deadline of the handler's, which holds to the end of the exchange.
func (x *stallExchange) wish(side *stallSide, at time.Time) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	err := side.set(at)
	side.own = side.own || err == nil
	return err
}

// stallBody is the body of a request.
type stallBody struct {
	io.ReadCloser
	exchange    *stallExchange
	own, handed *http.Request // net/http's request, and the handler's copy
}

func (b *stallBody) Read(p []byte) (int, error) {
	x := b.exchange
	x.wait(&x.body)
	defer x.done(&x.body)
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		x.mu.Lock()
		x.whole = true
		x.mu.Unlock()
		if b.handed.Trailer == nil { // those that were not announced
			b.handed.Trailer = b.own.Trailer
		}
	}
	return n, err
}

// Close reads on for a while over HTTP/1.
func (b *stallBody) Close() error {
	x := b.exchange
	x.wait(&x.body)
	defer x.done(&x.body)
	return b.ReadCloser.Close()
}

// stallWriter is the writer of an answer. Its deadlines are the handler's;
// those that it sets past us, with Unwrap, hold until a client stalls.
type stallWriter struct {
	http.ResponseWriter
	exchange *stallExchange
}

func (w *stallWriter) WriteHeader(status int) {
	x := w.exchange
	x.wait(&x.answer)
	defer x.done(&x.answer)
	w.ResponseWriter.WriteHeader(status)
}

func (w *stallWriter) Write(p []byte) (int, error) {
	return inPieces(w.exchange, p, w.ResponseWriter.Write)
}

func (w *stallWriter) WriteString(p string) (int, error) {
	return inPieces(w.exchange, p, func(p string) (int, error) { return io.WriteString(w.ResponseWriter, p) })
}

// inPieces writes a long answer piece by piece: a single write of all of it
// could take longer than the limit, however steadily the client takes it.
func inPieces[P string | []byte](x *stallExchange, p P, write func(P) (int, error)) (n int, err error) {
	for {
		size := min(len(p), stallPiece)
		m, err := writePiece(x, p[:size], write)
		n, p = n+m, p[size:]
		if err != nil || len(p) == 0 {
			return n, err
		}
	}
}

func writePiece[P string | []byte](x *stallExchange, p P, write func(P) (int, error)) (int, error) {
	x.wait(&x.answer)
	defer x.done(&x.answer)
	return write(p)
}

func (w *stallWriter) Flush() { _ = w.FlushError() }

func (w *stallWriter) FlushError() error {
	x := w.exchange
	x.wait(&x.answer)
	defer x.done(&x.answer)
	return http.NewResponseController(w.ResponseWriter).Flush()
}

func (w *stallWriter) SetReadDeadline(at time.Time) error {
	return w.exchange.wish(&w.exchange.body, at)
}

func (w *stallWriter) SetWriteDeadline(at time.Time) error {
	return w.exchange.wish(&w.exchange.answer, at)
}

func (w *stallWriter) EnableFullDuplex() error {
	err := http.NewResponseController(w.ResponseWriter).EnableFullDuplex()
	w.exchange.mu.Lock()
	defer w.exchange.mu.Unlock()
	w.exchange.duplex = err == nil
	return err
}

func (w *stallWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *stallWriter) CloseNotify() <-chan bool {
	return (&closing{ResponseWriter: w.ResponseWriter}).CloseNotify()
}

// stallHTTP1 is one over HTTP/1.
type stallHTTP1 struct {
	*stallWriter
	http.Hijacker
}

// ReadFrom has files go out without a copy. Others it reads itself: while one
// waits for a source, the client is not to blame.
func (w *stallHTTP1) ReadFrom(src io.Reader) (n int64, err error) {
	to, ok := w.ResponseWriter.(io.ReaderFrom)
	limited, _ := src.(*io.LimitedReader)
	if limited == nil {
		limited = &io.LimitedReader{R: src, N: math.MaxInt64}
	}
	if !ok || !regular(limited.R) {
		return io.Copy(struct{ io.Writer }{w.stallWriter}, src)
	}
	for {
		size := min(limited.N, stallPiece)
		m, err := w.sendPiece(to, &io.LimitedReader{R: limited.R, N: size})
		n, limited.N = n+m, limited.N-m
		if err != nil || m < size || limited.N <= 0 {
			return n, err
		}
	}
}

func (w *stallHTTP1) sendPiece(to io.ReaderFrom, piece *io.LimitedReader) (int64, error) {
	x := w.exchange
	x.wait(&x.answer)
	defer x.done(&x.answer)
	return to.ReadFrom(piece)
}

// regular reports whether a source is a file on a disk, as which net/http can
// send it.
func regular(src io.Reader) bool {
	file, ok := src.(interface {
		fs.File
		syscall.Conn
	})
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode().IsRegular()
}

// stallHTTP2 is one over HTTP/2.
type stallHTTP2 struct {
	*stallWriter
	http.Pusher
}
