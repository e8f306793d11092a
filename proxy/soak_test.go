package proxy

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// soakTime is a second and a half, or what the environment says ("60s").
func soakTime(t *testing.T) time.Duration {
	text := os.Getenv("KNOWNHOPS_SOAK")
	if text == "" {
		return 1500 * time.Millisecond
	}
	d, err := time.ParseDuration(text)
	require.NoError(t, err, "KNOWNHOPS_SOAK")
	return d
}

// A ledger knows which requests were carried out, by their ids.
type ledger struct {
	mu   sync.Mutex
	done map[string]int
}

func (l *ledger) carriedOut(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done[id]++
}

func (l *ledger) times(id string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.done[id]
}

// A moody upstream answers, or fails in one of many ways. Now and then it is
// away altogether.
type moody struct {
	addr   string
	ledger *ledger
	seed   uint64
	b      *backend
}

// sumHeader carries the checksum of a body, both ways: half an answer cannot
// pass as a whole one.
const sumHeader = "X-Sum"

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

func (m *moody) script(c *backendConn) {
	random := rand.New(rand.NewPCG(m.seed, uint64(c.n)))
	for r := c.next(); r != nil; r = c.next() {
		if r.Header.Get("Upgrade") != "" {
			c.say(strings.Replace(switching, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", acceptFor(r.Header.Get("Sec-WebSocket-Key")), 1))
			io.Copy(c, c.r)
			return
		}
		if want := r.Header.Get(sumHeader); want != "" && want != sum([]byte(r.body)) {
			m.ledger.carriedOut("a body that was changed or cut")
		}
		m.ledger.carriedOut(r.Header.Get("X-Id"))
		if !m.answer(c, r, random) {
			return
		}
	}
}

// answer reports whether the connection goes on.
func (m *moody) answer(c *backendConn, r *asked, random *rand.Rand) bool {
	body := make([]byte, random.IntN(1<<random.IntN(19)+1))
	for i := range body {
		body[i] = byte('a' + i%26)
	}
	head := fmt.Sprintf("HTTP/1.1 200 OK\r\nX-Id: %s\r\n%s: %s\r\n", r.Header.Get("X-Id"), sumHeader, sum(body))
	switch mood := random.IntN(40); mood {
	case 0: // dies
		return false
	case 1:
		c.reset()
		return false
	case 2: // hangs
		c.gone()
		return false
	case 3:
		c.say("\x00\x01\x02 garbage\r\n\r\n")
		return false
	case 4: // breaks off
		c.say(head + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body)+1, body))
		return false
	case 5:
		c.say(head + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
		c.reset()
		return false
	case 6: // stops halfway
		c.say(head + fmt.Sprintf("Content-Length: %d\r\n\r\n", len(body)))
		c.gone()
		return false
	case 7:
		c.say(head + "Transfer-Encoding: chunked\r\n\r\nzz\r\n")
		return false
	case 8: // goes away after the answer, without a word
		c.say(head + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body))
		return false
	case 9, 10, 11, 12, 13, 14, 15:
		fmt.Fprintf(c, "%sTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", head, len(body), body)
	default:
		fmt.Fprintf(c, "%sContent-Length: %d\r\n\r\n%s", head, len(body), body)
	}
	return true
}

// live takes the upstream away from time to time, until end.
func (m *moody) live(t *testing.T, end <-chan struct{}) {
	random := rand.New(rand.NewPCG(m.seed, 0))
	for {
		select {
		case <-end:
			return
		case <-time.After(time.Duration(200+random.IntN(600)) * time.Millisecond):
		}
		m.b.stop()
		select {
		case <-end:
			return
		case <-time.After(time.Duration(random.IntN(100)) * time.Millisecond):
		}
		m.start(t)
	}
}

// start begins to listen, at the same address as before.
func (m *moody) start(t *testing.T) {
	l, err := net.Listen("tcp", m.addr)
	if !assert.NoError(t, err) {
		return
	}
	m.addr = l.Addr().String()
	m.seed++
	m.b = &backend{Listener: l, conns: make(map[net.Conn]struct{}), release: func() {}}
	m.b.wg.Go(func() { m.b.accept(m.script) })
}

// A crowd is many clients of one gate, and what became of them.
type crowd struct {
	gate   *gate
	ledger *ledger
	client *http.Client
	ids    atomic.Int64

	mu    sync.Mutex
	posts []string       // ids that must not be carried out twice
	seen  map[string]int // what happened

	answers atomic.Int64
}

func (c *crowd) note(what string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen[what]++
}

// visitUntil is one client.
func (c *crowd) visitUntil(t *testing.T, seed uint64, end time.Time) {
	random := rand.New(rand.NewPCG(seed, 99))
	for time.Now().Before(end) {
		switch random.IntN(10) {
		case 0:
			c.leave(random)
		case 1:
			c.talk(t, random)
		case 2, 3:
			c.send(t, "POST", random.IntN(2000))
		case 4:
			c.send(t, "POST", 100_000+random.IntN(300_000))
		case 5:
			c.send(t, "PUT", random.IntN(100_000))
		default:
			c.send(t, "GET", 0)
		}
	}
}

// newID is the name of one request.
func (c *crowd) newID() string { return "id-" + strconv.FormatInt(c.ids.Add(1), 10) }

// send makes a request and checks that its answer is its own, and whole.
func (c *crowd) send(t *testing.T, method string, size int) {
	id, body := c.newID(), bytes.Repeat([]byte("x"), size)
	r, err := http.NewRequest(method, c.gate.server.URL+"/", bytes.NewReader(body))
	if !assert.NoError(t, err) {
		return
	}
	r.Header.Set("X-Id", id)
	if size > 0 {
		r.Header.Set(sumHeader, sum(body))
	}
	if method == "POST" {
		c.mu.Lock()
		c.posts = append(c.posts, id)
		c.mu.Unlock()
	}
	resp, err := c.client.Do(r)
	if err != nil {
		c.note("broken before the head")
		return
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	c.check(t, id, resp, got, err)
}

func (c *crowd) check(t *testing.T, id string, resp *http.Response, got []byte, err error) {
	switch {
	case err != nil:
		c.note("broken in the body")
	case resp.StatusCode == 200:
		c.note("200")
		c.answers.Add(1)
		assert.Equal(t, id, resp.Header.Get("X-Id"), "the answer to another request")
		assert.Equal(t, resp.Header.Get(sumHeader), sum(got), "a part was taken for the whole")
	default:
		c.note(strconv.Itoa(resp.StatusCode))
		assert.Contains(t, []int{502, 503, 504}, resp.StatusCode)
		assert.Empty(t, resp.Header.Get("X-Id"))
	}
}

// leave asks and does not wait for all of the answer.
func (c *crowd) leave(random *rand.Rand) {
	conn, err := net.Dial("tcp", c.gate.addr())
	if err != nil {
		return
	}
	defer conn.Close()
	c.note("left")
	fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: h\r\nX-Id: %s\r\nContent-Length: 100000\r\n\r\n%s", c.newID(), strings.Repeat("x", random.IntN(2)*99_999))
	time.Sleep(time.Duration(random.IntN(3)) * time.Millisecond)
	if random.IntN(2) == 0 {
		conn.(*net.TCPConn).SetLinger(0)
	}
}

// talk opens a WebSocket and speaks with the echo.
func (c *crowd) talk(t *testing.T, random *rand.Rand) {
	conn, err := net.Dial("tcp", c.gate.addr())
	if err != nil {
		return
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(soonEnough))
	io.WriteString(conn, handshake)
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil || resp.StatusCode != 101 {
		c.note("no tunnel")
		return
	}
	for range random.IntN(10) {
		said := bytes.Repeat([]byte{byte(random.IntN(256))}, random.IntN(5000)+1)
		heard := make([]byte, len(said))
		if _, err := conn.Write(said); err != nil {
			break
		}
		if _, err := io.ReadFull(r, heard); err != nil {
			break
		}
		assert.Equal(t, said, heard)
		c.note("frame")
	}
}

func TestSoak(t *testing.T) {
	noLeaks(t)
	books := &ledger{done: make(map[string]int)}
	var moodies []*moody
	cfg := Config{
		Timeouts: Timeouts{Dial: time.Second, Head: 150 * time.Millisecond, Idle: 150 * time.Millisecond},
		Check:    HealthCheck{EjectFor: 50 * time.Millisecond, SlowStart: 50 * time.Millisecond},
	}
	for i := range 4 {
		m := &moody{addr: "127.0.0.1:0", ledger: books, seed: uint64(i+1) << 32}
		m.start(t)
		moodies = append(moodies, m)
		cfg.Upstreams = append(cfg.Upstreams, "http://"+m.addr)
	}
	g := newGate(t, cfg)
	transport := &http.Transport{DisableCompression: true}
	c := &crowd{gate: g, ledger: books, client: &http.Client{Transport: transport}, seen: make(map[string]int)}

	end, over := make(chan struct{}), time.Now().Add(soakTime(t))
	var lives, clients sync.WaitGroup
	for _, m := range moodies {
		lives.Go(func() { m.live(t, end) })
	}
	var most uint64
	for i := range 12 {
		clients.Go(func() { c.visitUntil(t, uint64(i), over) })
	}
	clients.Go(func() { most = memoryUntil(over) })
	clients.Wait()
	close(end)
	lives.Wait()
	transport.CloseIdleConnections()

	c.report(t)
	failures := g.failures()
	for _, e := range failures {
		assert.False(t, e.Reason() == ReasonNone || e.Stage == StageNone || e.Hint() == "", "without a reason: %v", e)
	}
	assert.GreaterOrEqual(t, len(failures), c.failed(), "each failure that a client saw was told")
	assert.Less(t, most, uint64(200<<20), "bytes in use")
	eventually(t, "the end of all requests", func() bool { s := g.Status(); return s.InFlight == 0 && s.Tunnels == 0 })
	g.server.Close()
	require.NoError(t, g.Shutdown(t.Context()))
	for _, m := range moodies {
		eventually(t, "the end of all connections", func() bool { return m.b.open.Load() == 0 })
		m.b.stop()
	}
}

// report checks what was carried out, and that all of it did happen.
func (c *crowd) report(t *testing.T) {
	t.Logf("%v", c.seen)
	for _, id := range c.posts {
		assert.LessOrEqual(t, c.ledger.times(id), 1, "%s was carried out twice", id)
	}
	assert.Zero(t, c.ledger.times("a body that was changed or cut"))
	for _, what := range []string{"200", "502", "left", "frame"} {
		assert.Positive(t, c.seen[what], what)
	}
	assert.Positive(t, c.answers.Load())
}

// failed counts the failures that clients saw.
func (c *crowd) failed() int {
	return c.seen["502"] + c.seen["503"] + c.seen["504"] + c.seen["broken in the body"] + c.seen["broken before the head"] + c.seen["no tunnel"]
}

// memoryUntil returns the most that was in use, after collections.
func memoryUntil(end time.Time) (most uint64) {
	for time.Now().Before(end) {
		time.Sleep(200 * time.Millisecond)
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		most = max(most, m.HeapAlloc)
	}
	return most
}

// Every failure that a client sees is told to OnError, once, with a reason.
func TestEveryFailureIsTold(t *testing.T) {
	b := newBackend(t, func(c *backendConn) {
		random := rand.New(rand.NewPCG(7, uint64(c.n)))
		m := moody{ledger: &ledger{done: make(map[string]int)}}
		for r := c.next(); r != nil && m.answer(c, r, random); r = c.next() {
		}
	})
	g := newGate(t, Config{Upstreams: []string{b.url()}, Check: neverOut, Retry: Retry{Attempts: 1}, Timeouts: Timeouts{Head: 100 * time.Millisecond, Idle: 100 * time.Millisecond}})
	for range 80 {
		status, _, err := g.try("PATCH", "/", "")
		if err != nil || status != 200 {
			e := g.failure(t)
			assert.NotEqual(t, ReasonNone, e.Reason())
			assert.Equal(t, 1, e.Attempt)
			assert.True(t, err != nil || status == e.Status(), "%d %v", status, e)
			continue
		}
		assert.Empty(t, g.failures())
	}
}
