package proxyproto_test

import (
	"errors"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/forwarded/proxyproto"
)

// say writes in the background: a pipe takes bytes only when they are read.
func say(conn net.Conn, text string) {
	go func() { _, _ = io.WriteString(conn, text) }() // ends with the connection
}

// What a connection looks like after each kind of header.
func TestWhatAHeaderMakes(t *testing.T) {
	socket := "10.0.0.2:8080"
	for _, c := range []struct {
		name, header, remote, local string
		transport                   forwarded.Transport
	}{
		{"a line", line, client, target, forwarded.Transport{Source: ap(client), Destination: ap(target)}},
		{"a block", block, client, target, forwarded.Transport{Source: ap(client), Destination: ap(target)}},
		{"IPv6", "PROXY TCP6 2001:db8::1 ::1 1 65535\r\n", "[2001:db8::1]:1", "[::1]:65535",
			forwarded.Transport{Source: ap("[2001:db8::1]:1"), Destination: ap("[::1]:65535")}},
		{"UNKNOWN", "PROXY UNKNOWN\r\n", balancer, socket, forwarded.Transport{}},
		{"UNSPEC", unspec, balancer, socket, forwarded.Transport{}},
		{"LOCAL with addresses", local, balancer, socket, forwarded.Transport{Local: true}},
		{"UNIX", "\r\n\r\n\x00\r\nQUIT\n\x21\x31\x00\xd8127.0.0.1:1" + strings.Repeat("\x00", 216-11), balancer, socket, forwarded.Transport{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ln := newFake()
				l := listen(t, ln, quiet())
				theirs, _ := ln.connect(balancer)
				defer theirs.Close()
				say(theirs, c.header+"GET")
				conn := accept(t, l)
				assert.Equal(t, c.remote, conn.RemoteAddr().String())
				assert.Equal(t, c.local, conn.LocalAddr().String())
				assert.Equal(t, "tcp", conn.LocalAddr().Network())
				assert.Equal(t, ap(c.remote), conn.RemoteAddr().(*net.TCPAddr).AddrPort(), "and not its IPv4-mapped form")
				c.transport.Peer = ap(balancer)
				assert.Equal(t, c.transport, transportOf(t, conn))
				rest := make([]byte, 3)
				_, err := io.ReadFull(conn, rest)
				assert.NoError(t, err)
				assert.Equal(t, "GET", string(rest))
			})
		})
	}
}

// The address decides, before a byte is read: a stranger's connection is the
// very same that came, its header still in it.
func TestStrangersAreHandedOnUntouched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := newFake()
		l := listen(t, ln, quiet())
		for range 3 {
			go ln.connect(stranger) // says nothing at all, and is accepted at once
			conn, err := l.Accept()
			require.NoError(t, err)
			assert.IsType(t, &pipeConn{}, conn)
			_ = conn.Close()
		}
		theirs, ours := ln.connect(stranger)
		conn := accept(t, l)
		assert.Same(t, ours, conn)
		say(theirs, line)
		got := make([]byte, len(line))
		_, err := io.ReadFull(conn, got)
		assert.NoError(t, err)
		assert.Equal(t, line, string(got))
	})
}

// Who is trusted: addresses are unmapped, and judged together with their zone
// where the list names one.
func TestTrust(t *testing.T) {
	for _, c := range []struct {
		from, peer string
		trusted    bool
	}{
		{"10.0.16.0/20", "10.0.16.0:1", true},
		{"10.0.16.0/20", "10.0.31.255:1", true},
		{"10.0.16.0/20", "10.0.32.0:1", false},
		{"10.0.16.0/20", "[::ffff:10.0.16.5]:1", true},
		{"::ffff:10.0.16.0/116", "10.0.16.5:1", true},
		{"2001:db8::/32", "[2001:db8::5]:1", true},
		{"2001:db8::/32", "10.0.16.5:1", false},
		{"fe80::1%eth0", "[fe80::1%eth0]:1", true},
		{"fe80::1%eth0", "[fe80::1%eth1]:1", false},
		{"fe80::1", "[fe80::1%eth1]:1", true},
		{"unix", "10.0.16.5:1", false},
	} {
		synctest.Test(t, func(t *testing.T) {
			cfg := quiet()
			cfg.From = []string{c.from}
			ln := newFake()
			l := listen(t, ln, cfg)
			theirs, _ := ln.connect(c.peer)
			defer theirs.Close()
			say(theirs, line)
			conn := accept(t, l)
			_, got := conn.LocalAddr().(forwarded.TransportAddr)
			assert.Equal(t, c.trusted, got, "%s from %s", c.peer, c.from)
			if got {
				assert.Equal(t, ap(c.peer).Addr().Unmap(), transportOf(t, conn).Peer.Addr())
			}
		})
	}
}

// A peer whose address cannot be told is trusted only where everybody is.
func TestUnreadablePeer(t *testing.T) {
	for _, dangerously := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			cfg := quiet()
			if dangerously {
				cfg = proxyproto.Config{DangerouslyAnyPeer: true, Logger: cfg.Logger}
			}
			ln := newFake()
			l := listen(t, ln, cfg)
			for _, remote := range []net.Addr{nil, &net.IPNet{}} {
				theirs, ours := net.Pipe()
				say(theirs, line)
				ln.results <- &pipeConn{Conn: ours, local: tcpAddr("10.0.0.2:8080"), remote: remote}
				conn := accept(t, l)
				_, got := conn.LocalAddr().(forwarded.TransportAddr)
				assert.Equal(t, dangerously, got)
				if got {
					assert.Equal(t, forwarded.Transport{Source: ap(client), Destination: ap(target)}, transportOf(t, conn))
				}
				_ = theirs.Close()
			}
		})
	}
}

// A trusted sender must send a header: anything else ends its connection, and
// not the next one's.
func TestTrustedWithoutHeaderIsClosed(t *testing.T) {
	for _, text := range []string{"GET / HTTP/1.1\r\nHost: a.example\r\n\r\n", "P", "\x16\x03\x01", "PROXY TCP4 192.0.2.9 10.0.0.1 1000 65536\r\n", block[:13] + "\xff" + block[14:]} {
		synctest.Test(t, func(t *testing.T) {
			ln := newFake()
			l := listen(t, ln, quiet())
			theirs, _ := ln.connect(balancer)
			say(theirs, text)
			if len(text) < 2 {
				_ = theirs.Close()
			}
			requireEnded(t, theirs)
			good, _ := ln.connect(balancer)
			defer good.Close()
			say(good, block)
			assert.Equal(t, client, accept(t, l).RemoteAddr().String())
		})
	}
}

// A header that arrives one byte at a time is a header, if it is complete in
// time; the time is not prolonged by a byte.
func TestTimeout(t *testing.T) {
	for _, c := range []struct {
		name     string
		text     string
		pause    time.Duration // before each byte
		accepted bool
	}{
		{"a line in time", line, 3*time.Second/time.Duration(len(line)) - 1, true},
		{"a line too late", line, 3*time.Second/time.Duration(len(line)) + 1e6, false},
		{"a block in time", block, 3*time.Second/time.Duration(len(block)) - 1, true},
		{"a block too late", block, 3*time.Second/time.Duration(len(block)) + 1e6, false},
		{"silence", "", 0, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ln := newFake()
				l := listen(t, ln, quiet())
				start := time.Now()
				theirs, _ := ln.connect(balancer)
				var sender sync.WaitGroup
				defer sender.Wait()
				defer theirs.Close()
				sender.Go(func() {
					for i := range len(c.text) {
						time.Sleep(c.pause)
						if _, err := io.WriteString(theirs, c.text[i:i+1]); err != nil {
							return
						}
					}
				})
				if c.accepted {
					assert.Equal(t, client, accept(t, l).RemoteAddr().String())
					return
				}
				requireEnded(t, theirs)
				assert.Equal(t, 3*time.Second, time.Since(start))
			})
		})
	}
}

func TestTimeoutIsConfigurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := quiet()
		cfg.Timeout = 90 * time.Millisecond
		ln := newFake()
		listen(t, ln, cfg)
		start := time.Now()
		theirs, _ := ln.connect(balancer)
		requireEnded(t, theirs)
		assert.Equal(t, cfg.Timeout, time.Since(start))
	})
}

// The time for the header is not the connection's: afterwards a client may
// think for as long as it likes.
func TestDeadlineEndsWithTheHeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := newFake()
		l := listen(t, ln, quiet())
		theirs, _ := ln.connect(balancer)
		defer theirs.Close()
		say(theirs, block)
		conn := accept(t, l)
		go func() {
			time.Sleep(time.Hour)
			_, _ = io.WriteString(theirs, "x") // fails only if the test does
		}()
		n, err := conn.Read(make([]byte, 1))
		assert.NoError(t, err)
		assert.Equal(t, 1, n)
	})
}

// MaxHeader bounds what a sender can make this process hold.
func TestMaxHeader(t *testing.T) {
	for limit, accepted := range map[int]bool{len(line): false, 107: true} {
		synctest.Test(t, func(t *testing.T) {
			cfg := quiet()
			cfg.MaxHeader = max(limit, 52)
			ln := newFake()
			l := listen(t, ln, cfg)
			theirs, _ := ln.connect(balancer)
			defer theirs.Close()
			say(theirs, "PROXY UNKNOWN "+strings.Repeat("x", 91)+"\r\n")
			if accepted {
				accept(t, l)
				return
			}
			requireEnded(t, theirs)
		})
	}
}

// The silent wait, everybody else does not, and the one who has been silent
// longest makes room.
func TestOldestMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := quiet()
		cfg.MaxPending, cfg.Timeout = 3, time.Hour
		ln := newFake()
		l := listen(t, ln, cfg)
		start := time.Now()
		var silent []net.Conn
		for range 3 {
			theirs, _ := ln.connect(balancer)
			silent = append(silent, theirs)
			time.Sleep(time.Second)
		}
		for i := range 3 {
			theirs, _ := ln.connect(balancer)
			say(theirs, block)
			assert.Equal(t, client, accept(t, l).RemoteAddr().String())
			if i == 0 {
				requireEnded(t, silent[0])
			}
			_ = theirs.Close()
		}
		_, err := io.WriteString(silent[1], block[:1])
		assert.NoError(t, err, "one made room, and no more")
		another, _ := ln.connect(balancer) // the slot that was freed is taken again, and then the next oldest goes
		_, _ = ln.connect(balancer)
		requireEnded(t, silent[1])
		assert.Equal(t, 3*time.Second, time.Since(start), "nobody waited")
		for _, conn := range []net.Conn{silent[2], another} {
			say(conn, block)
			assert.Equal(t, client, accept(t, l).RemoteAddr().String(), "the others still may")
		}
	})
}

// A sender whose goroutine comes to read only when the next one already waits
// for its slot is silent from then on, and makes room at once.
func TestLateReaderMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := quiet()
		cfg.MaxPending, cfg.Timeout = 1, time.Hour
		ln := newFake()
		l := listen(t, ln, cfg)
		start := time.Now()
		silent, ours := net.Pipe()
		ln.results <- &tardyConn{
			pipeConn: &pipeConn{Conn: ours, local: tcpAddr(target), remote: tcpAddr(balancer)}, deadline: time.Second,
		}
		theirs, _ := ln.connect(balancer)
		defer theirs.Close()
		say(theirs, block)
		assert.Equal(t, client, accept(t, l).RemoteAddr().String())
		assert.Equal(t, time.Second, time.Since(start))
		requireEnded(t, silent)
	})
}

// Whoever has sent its header is never sent away, however long Accept takes.
func TestCompleteIsNeverEvicted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := quiet()
		cfg.MaxPending = 2
		ln := newFake()
		l := listen(t, ln, cfg)
		for _, port := range []string{"1", "2", "3"} { // the third waits in the operating system's queue
			theirs, _ := ln.connect(balancer)
			defer theirs.Close()
			say(theirs, "PROXY TCP4 192.0.2.9 10.0.0.1 "+port+" 443\r\n")
			synctest.Wait()
		}
		time.Sleep(time.Hour)
		seen := map[string]bool{}
		for range 3 {
			seen[accept(t, l).RemoteAddr().String()] = true
		}
		assert.Equal(t, map[string]bool{"192.0.2.9:1": true, "192.0.2.9:2": true, "192.0.2.9:3": true}, seen)
	})
}

// A burstListener accepts without ever waiting, and what it accepts has its
// header ready.
type burstListener struct {
	*fakeListener
	left int
}

type readyConn struct {
	*pipeConn
	strings.Reader
}

func (c *readyConn) Read(p []byte) (int, error)       { return c.Reader.Read(p) }
func (c *readyConn) WriteTo(io.Writer) (int64, error) { return 0, errors.ErrUnsupported }

func (l *burstListener) Accept() (net.Conn, error) {
	if l.left == 0 {
		return l.fakeListener.Accept()
	}
	l.left--
	_, ours := net.Pipe()
	return &readyConn{&pipeConn{ours, tcpAddr("10.0.0.2:8080"), tcpAddr(balancer)}, *strings.NewReader(block)}, nil
}

// Senders who come faster than their headers can be read are not silent: none
// of them is sent away for the sake of the next.
func TestBurst(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // the loop runs until it waits
	synctest.Test(t, func(t *testing.T) {
		cfg := quiet()
		cfg.MaxPending = 4
		l := listen(t, &burstListener{newFake(), 500}, cfg)
		for range 500 {
			_ = accept(t, l).Close()
		}
	})
}

// A temporary error; net/http asks for these two methods.
type temporary struct{}

func (temporary) Error() string   { return "too many open files" }
func (temporary) Timeout() bool   { return false }
func (temporary) Temporary() bool { return true }

// An error of the inner listener is the caller's to judge; the next call tries
// again. Descriptors may have run out, so a silent connection makes room.
func TestAcceptErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := newFake()
		l := listen(t, ln, quiet())
		older, _ := ln.connect(balancer)
		synctest.Wait()
		newer, _ := ln.connect(balancer)
		synctest.Wait()
		start := time.Now()
		for range 2 {
			go func() { ln.results <- temporary{} }()
			conn, err := l.Accept()
			assert.Nil(t, conn)
			assert.Equal(t, temporary{}, err)
		}
		requireEnded(t, older)
		requireEnded(t, newer)
		assert.Zero(t, time.Since(start))
		go ln.connect(stranger)
		_ = accept(t, l).Close()
	})
}

// Close ends what waits for its header, what waits for Accept, and Accept. That
// no goroutine is left is what a bubble ends with.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := quiet()
		cfg.Timeout = time.Hour
		ln := newFake()
		l := listen(t, ln, cfg)
		silent, _ := ln.connect(balancer)
		slow, _ := ln.connect(balancer)
		_, err := io.WriteString(slow, "PROXY ")
		require.NoError(t, err)
		complete, _ := ln.connect(balancer)
		_, err = io.WriteString(complete, block)
		require.NoError(t, err)
		plain, _ := ln.connect(stranger)
		require.NoError(t, l.Close())
		for _, conn := range []net.Conn{silent, slow, complete, plain} {
			requireEnded(t, conn)
		}
		for range 2 {
			conn, err := l.Accept()
			assert.Nil(t, conn)
			assert.ErrorIs(t, err, net.ErrClosed)
			assert.EqualError(t, err, "accept tcp 10.0.0.2:8080: use of closed network connection")
		}
		assert.NoError(t, l.Close())
	})
}

// A tardyConn is slow to take a deadline, and to notice that it is closed.
type tardyConn struct {
	*pipeConn
	deadline, noticing time.Duration
}

func (c *tardyConn) SetReadDeadline(at time.Time) error {
	time.Sleep(c.deadline)
	return c.pipeConn.SetReadDeadline(at)
}

func (c *tardyConn) Read(p []byte) (int, error) {
	n, err := c.pipeConn.Read(p)
	if err != nil {
		time.Sleep(c.noticing)
	}
	return n, err
}

// Close waits for every goroutine, and closes a connection too whose goroutine
// has not come to read.
func TestCloseWaits(t *testing.T) {
	for _, tardy := range []tardyConn{{noticing: time.Second}, {deadline: 2 * time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			cfg := quiet()
			cfg.Timeout = time.Hour
			ln := newFake()
			l := listen(t, ln, cfg)
			theirs, ours := net.Pipe()
			conn := tardy
			conn.pipeConn = &pipeConn{Conn: ours, local: tcpAddr(target), remote: tcpAddr(balancer)}
			ln.results <- &conn
			time.Sleep(time.Second)
			start := time.Now()
			require.NoError(t, l.Close())
			assert.Equal(t, time.Second, time.Since(start))
			requireEnded(t, theirs)
		})
	}
}

func TestCloseWakesAccept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := listen(t, newFake(), quiet())
		done := make(chan error)
		go func() { _, err := l.Accept(); done <- err }()
		synctest.Wait()
		assert.NoError(t, l.Close())
		assert.ErrorIs(t, <-done, net.ErrClosed)
	})
}

// Slots that are all held by those who wait for Accept keep the loop waiting;
// Close ends that too.
func TestCloseWhileFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := quiet()
		cfg.MaxPending = 1
		ln := newFake()
		l := listen(t, ln, cfg)
		complete, _ := ln.connect(balancer)
		_, err := io.WriteString(complete, block)
		require.NoError(t, err)
		waiting, _ := ln.connect(balancer)
		synctest.Wait()
		require.NoError(t, l.Close())
		requireEnded(t, complete)
		requireEnded(t, waiting)
	})
}

// A failing Close is the caller's to know, each time.
type failingListener struct{ *fakeListener }

func (l failingListener) Close() error { _ = l.fakeListener.Close(); return temporary{} }

func TestCloseFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := listen(t, failingListener{newFake()}, quiet())
		assert.Equal(t, temporary{}, l.Close())
		assert.Equal(t, temporary{}, l.Close())
	})
}

// The inner listener's end is told for as long as somebody asks, and does not
// keep Close from ending everything.
func TestInnerListenerCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := newFake()
		l := listen(t, ln, quiet())
		require.NoError(t, ln.Close())
		for range 3 {
			_, err := l.Accept()
			assert.ErrorIs(t, err, net.ErrClosed)
		}
	})
}

// A connection that cannot be given a deadline might never end: it is closed.
type noDeadline struct{ *pipeConn }

func (noDeadline) SetReadDeadline(time.Time) error { return errors.ErrUnsupported }

func (c noDeadline) Read([]byte) (int, error) { panic("nothing bounds this read") }

func TestNoDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := newFake()
		listen(t, ln, quiet())
		theirs, ours := net.Pipe()
		ln.results <- noDeadline{&pipeConn{Conn: ours, local: tcpAddr(target), remote: tcpAddr(balancer)}}
		requireEnded(t, theirs)
	})
}

// Two thousand silent senders, on real sockets, delay nobody: neither another
// sender nor a stranger.
func TestSilentSendersDelayNobody(t *testing.T) {
	const crowd = 2000
	before := runtime.NumGoroutine()
	l := loopback(t, proxyproto.Config{From: []string{"127.0.0.1"}, Timeout: time.Hour})
	for range crowd {
		conn, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Skip("so many sockets are not to be had here:", err)
		}
		defer conn.Close()
	}
	within(t, func() {
		for range 20 {
			theirs := dial(t, l, block+"x")
			conn := accept(t, l)
			assert.Equal(t, client, conn.RemoteAddr().String())
			assert.Equal(t, theirs.LocalAddr().String(), transportOf(t, conn).Peer.String())
			_ = conn.Close()
		}
		assert.LessOrEqual(t, runtime.NumGoroutine()-before, 1024+5, "goroutines are bounded")
	})
	require.NoError(t, l.Close())
	requireNoMore(t, before)
}

// Everything at once, for the race detector: good and bad senders, strangers,
// several callers of Accept, and Close in the midst of it.
func TestConcurrently(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 5 {
		l := loopback(t, proxyproto.Config{From: []string{"127.0.0.1"}, MaxPending: 4})
		var all sync.WaitGroup
		for range 3 {
			all.Go(func() {
				for {
					conn, err := l.Accept()
					if err != nil {
						assert.ErrorIs(t, err, net.ErrClosed)
						return
					}
					assert.Equal(t, client, conn.RemoteAddr().String())
					_ = conn.Close()
				}
			})
		}
		for i := range 8 {
			all.Go(func() {
				for range 10 {
					conn, err := net.Dial("tcp", l.Addr().String())
					if err != nil {
						return // closed already
					}
					_, _ = io.WriteString(conn, []string{line, block, "", "GET / HTTP/1.1\r\n"}[i%4]) // refused or not
					_ = conn.Close()
				}
			})
		}
		time.Sleep(5 * time.Millisecond)
		var closers sync.WaitGroup
		for range 2 {
			closers.Go(func() { assert.NoError(t, l.Close()) })
		}
		closers.Wait()
		all.Wait()
	}
	requireNoMore(t, before)
}
