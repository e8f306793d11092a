//go:build !unix

package proxy

import "net"

// nonblocking needs what this system does not offer here: nothing is ever
// known to be there without waiting.
type nonblocking struct{}

func newNonblocking(net.Conn) nonblocking { return nonblocking{} }

func (r *nonblocking) read([]byte) (int, error) { return 0, nil }
func (r *nonblocking) works() bool              { return false }
func (r *nonblocking) quiet() bool              { return true }
