//go:build unix

package proxyproto_test

import (
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/forwarded/proxyproto"
)

// Whoever reads the descriptor itself finds what follows the header.
func TestDescriptor(t *testing.T) {
	l := loopback(t, proxyproto.Config{})
	dial(t, l, line+"hello")
	raw, err := accept(t, l).(syscall.Conn).SyscallConn()
	require.NoError(t, err)
	buf := make([]byte, 9)
	var n int
	require.NoError(t, raw.Read(func(fd uintptr) bool {
		n, err = syscall.Read(int(fd), buf)
		return err != syscall.EAGAIN
	}))
	require.NoError(t, err)
	assert.Equal(t, "hello", string(buf[:n]))
}
