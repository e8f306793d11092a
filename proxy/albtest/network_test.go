package albtest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	somebody    = netip.MustParseAddr("198.51.100.7")
	machinePort = netip.MustParseAddrPort("10.0.32.10:8080")
)

// onEach runs the test on both networks: they are one thing with two bodies.
func onEach(t *testing.T, test func(t *testing.T, n network)) {
	t.Run("loopback", func(t *testing.T) { test(t, newLoopback(netip.MustParseAddr("203.0.113.10"))) })
	t.Run("memory", func(t *testing.T) { test(t, newMemory()) })
}

// connect returns both ends of a connection over the network.
func connect(t *testing.T, n network) (client, server net.Conn) {
	l, err := n.listen(machinePort)
	require.NoError(t, err)
	defer l.Close()
	client, err = n.dial(t.Context(), somebody, machinePort)
	require.NoError(t, err)
	server, err = l.Accept()
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = client.Close(), server.Close() })
	return client, server
}

func TestNetworkShowsEachEndTheOther(t *testing.T) {
	onEach(t, func(t *testing.T, n network) {
		client, server := connect(t, n)
		assert.Equal(t, machinePort.String(), client.RemoteAddr().String())
		assert.Equal(t, machinePort.String(), server.LocalAddr().String())
		assert.Equal(t, somebody, server.RemoteAddr().(*net.TCPAddr).AddrPort().Addr())
		assert.Equal(t, client.LocalAddr().String(), server.RemoteAddr().String())
	})
}

func TestNetworkCarriesBytesBothWays(t *testing.T) {
	onEach(t, func(t *testing.T, n network) {
		client, server := connect(t, n)
		text := bytes.Repeat([]byte("knownhops "), 100_000) // more than any window
		var received [sha256.Size]byte
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := client.Write(text)
			assert.NoError(t, err)
			assert.NoError(t, client.(halfCloser).CloseWrite())
		})
		wg.Go(func() {
			all, err := io.ReadAll(server)
			assert.NoError(t, err)
			received = sha256.Sum256(all)
			_, err = server.Write([]byte("got it"))
			assert.NoError(t, err, "only one direction has ended")
			assert.NoError(t, server.Close())
		})
		answer, err := io.ReadAll(client)
		wg.Wait()
		assert.NoError(t, err)
		assert.Equal(t, "got it", string(answer))
		assert.Equal(t, sha256.Sum256(text), received)
	})
}

func TestNetworkRefusesWhereNobodyListens(t *testing.T) {
	onEach(t, func(t *testing.T, n network) {
		l, err := n.listen(machinePort)
		require.NoError(t, err)

		_, err = n.dial(t.Context(), somebody, netip.AddrPortFrom(machinePort.Addr(), 443))
		assert.ErrorIs(t, err, syscall.ECONNREFUSED, "another port of the machine")

		n.reserve(somebody)
		_, err = n.dial(t.Context(), somebody, netip.AddrPortFrom(somebody, 80))
		assert.ErrorIs(t, err, syscall.ECONNREFUSED, "a machine on which nothing listens at all")

		_, err = n.listen(machinePort)
		assert.ErrorIs(t, err, syscall.EADDRINUSE)

		require.NoError(t, l.Close())
		_, err = n.dial(t.Context(), somebody, machinePort)
		assert.ErrorIs(t, err, syscall.ECONNREFUSED, "after the listener closed")
		_, err = l.Accept()
		assert.ErrorIs(t, err, net.ErrClosed)

		l, err = n.listen(machinePort)
		require.NoError(t, err, "the address is free again")
		require.NoError(t, l.Close())
	})
}

func TestNetworkSwallows(t *testing.T) {
	onEach(t, func(t *testing.T, n network) {
		l, err := n.listen(machinePort)
		require.NoError(t, err)
		defer l.Close()
		n.swallow(machinePort, true)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		_, err = n.dial(ctx, somebody, machinePort)
		var timeout net.Error
		require.ErrorAs(t, err, &timeout)
		assert.True(t, timeout.Timeout())

		n.swallow(machinePort, false)
		c, err := n.dial(t.Context(), somebody, machinePort)
		require.NoError(t, err)
		assert.NoError(t, c.Close())
	})
}

func TestNetworkResets(t *testing.T) {
	onEach(t, func(t *testing.T, n network) {
		client, server := connect(t, n)
		require.NoError(t, abort(server))
		_, err := client.Read(make([]byte, 1))
		assert.ErrorIs(t, err, syscall.ECONNRESET)
	})
}

// What the peer never read makes an orderly Close a reset, on the wire as in
// memory: the reason why a server that refuses an upload loses its answer.
func TestNetworkResetsWhatWasNotRead(t *testing.T) {
	onEach(t, func(t *testing.T, n network) {
		client, server := connect(t, n)
		_, err := client.Write([]byte("unread"))
		require.NoError(t, err)
		_, err = io.ReadFull(server, make([]byte, 2)) // the rest has arrived as well
		require.NoError(t, err)
		require.NoError(t, server.Close())
		_, err = client.Read(make([]byte, 1))
		assert.ErrorIs(t, err, syscall.ECONNRESET)
	})
}

func TestNetworkDeadlines(t *testing.T) {
	onEach(t, func(t *testing.T, n network) {
		client, server := connect(t, n)
		require.NoError(t, client.SetReadDeadline(time.Now().Add(5*time.Millisecond)))
		_, err := client.Read(make([]byte, 1))
		assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
		var timeout net.Error
		require.ErrorAs(t, err, &timeout)
		assert.True(t, timeout.Timeout())

		require.NoError(t, client.SetReadDeadline(time.Time{}))
		_, err = server.Write([]byte("x"))
		require.NoError(t, err)
		_, err = client.Read(make([]byte, 1))
		assert.NoError(t, err, "the deadline was taken back")

		require.NoError(t, server.SetDeadline(time.Now().Add(-time.Second)))
		_, err = server.Write([]byte("x"))
		assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
		_, err = server.Read(make([]byte, 1))
		assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
	})
}

func TestNetworkCloseWakesTheReader(t *testing.T) {
	onEach(t, func(t *testing.T, n network) {
		client, _ := connect(t, n)
		got := make(chan error, 1)
		go func() {
			_, err := client.Read(make([]byte, 1))
			got <- err
		}()
		require.NoError(t, client.Close())
		assert.ErrorIs(t, <-got, net.ErrClosed)
		assert.ErrorIs(t, client.Close(), net.ErrClosed)
		_, err := client.Write([]byte("x"))
		assert.ErrorIs(t, err, net.ErrClosed)
	})
}

// A program outside the emulator has no emulated address; and the port it gets
// may be one that a dialler of ours had a moment ago.
func TestLoopbackStranger(t *testing.T) {
	n := newLoopback(netip.MustParseAddr("203.0.113.10"))
	l, err := n.listen(machinePort)
	require.NoError(t, err)
	defer l.Close()
	for range 3 {
		ours, err := n.dial(t.Context(), somebody, machinePort)
		require.NoError(t, err)
		accepted, err := l.Accept()
		require.NoError(t, err)
		_, _ = ours.Close(), accepted.Close()
	}
	assert.Empty(t, l.(*loopbackListener).claims, "a note is taken once")

	c, err := net.Dial("tcp", l.Addr().String())
	require.NoError(t, err)
	defer c.Close()
	accepted, err := l.Accept()
	require.NoError(t, err)
	defer accepted.Close()
	assert.Equal(t, "203.0.113.10", accepted.RemoteAddr().(*net.TCPAddr).IP.String())
}

// Each end sees the other whatever the order in which the dialler and the
// accepting side get to run.
func TestLoopbackClaimsAreNotLost(t *testing.T) {
	n := newLoopback(netip.MustParseAddr("203.0.113.10"))
	l, err := n.listen(machinePort)
	require.NoError(t, err)
	defer l.Close()
	const dials = 100
	var wg sync.WaitGroup
	for i := range dials {
		wg.Go(func() {
			from := netip.AddrFrom4([4]byte{10, 0, 16, byte(i)})
			c, err := n.dial(t.Context(), from, machinePort)
			if !assert.NoError(t, err) {
				return
			}
			defer c.Close()
			seen, err := io.ReadAll(c)
			assert.NoError(t, err)
			assert.Equal(t, from.String(), string(seen))
		})
	}
	for range dials {
		c, err := l.Accept()
		require.NoError(t, err)
		wg.Go(func() {
			_, _ = io.WriteString(c, c.RemoteAddr().(*net.TCPAddr).IP.String())
			_ = c.Close()
		})
	}
	wg.Wait()
}

func TestLoopbackDialsRealAddresses(t *testing.T) {
	real, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	defer real.Close()
	n := newLoopback(somebody)
	c, err := n.dial(t.Context(), somebody, netip.MustParseAddrPort(real.Addr().String()))
	require.NoError(t, err)
	defer c.Close()
	accepted, err := real.Accept()
	require.NoError(t, err)
	defer accepted.Close()
	assert.True(t, accepted.RemoteAddr().(*net.TCPAddr).IP.IsLoopback())
}

func TestMemoryInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := connect(t, newMemory())
		start := time.Now()
		require.NoError(t, client.SetReadDeadline(start.Add(time.Hour)))
		_, err := client.Read(make([]byte, 1))
		assert.ErrorIs(t, err, os.ErrDeadlineExceeded)
		assert.Equal(t, time.Hour, time.Since(start))

		wrote := make(chan int)
		go func() {
			n, err := server.Write(make([]byte, memoryWindow+1))
			assert.ErrorIs(t, err, syscall.ECONNRESET)
			wrote <- n
		}()
		synctest.Wait()
		require.NoError(t, client.Close())
		assert.Equal(t, memoryWindow, <-wrote, "the writer waits once the window is full, not before")
	})
}

func TestMemoryBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newMemory()
		l, err := n.listen(machinePort)
		require.NoError(t, err)
		var first net.Conn
		for range backlog {
			c, err := n.dial(t.Context(), somebody, machinePort)
			require.NoError(t, err)
			first = c
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err = n.dial(ctx, somebody, machinePort)
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		require.NoError(t, l.Close())
		_, err = first.Read(make([]byte, 1))
		assert.ErrorIs(t, err, syscall.ECONNRESET, "nobody accepted it")
	})
}

func TestMemoryHandsOutPortsInTurn(t *testing.T) {
	n := newMemory()
	n.port = 65534
	l, err := n.listen(netip.AddrPortFrom(somebody, 0))
	require.NoError(t, err)
	defer l.Close()
	assert.EqualValues(t, 65535, portOf(l.Addr()))
	assert.EqualValues(t, firstEphemeral, n.nextPort())
}

func TestMemoryDialFailsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("irrelevant"))
	_, err := newMemory().dial(ctx, somebody, machinePort)
	assert.ErrorIs(t, err, context.Canceled)
}
