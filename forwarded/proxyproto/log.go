package proxyproto

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"strconv"

	"github.com/knownhops/knownhops/internal/turns"
)

// reasonOf says in the log's words why a header could not be read. What comes
// from the operating system means that the sender is gone, or that it was too
// slow.
func reasonOf(err error, begun bool) refusal {
	if r, ok := err.(refusal); ok {
		return r
	}
	late := errors.Is(err, os.ErrDeadlineExceeded)
	switch {
	case late && begun:
		return slow
	case late:
		return silent
	case begun:
		return cut
	}
	return left
}

// A turnKey is what has a turn of its own in the log.
type turnKey struct {
	why     refusal
	network netip.Prefix
}

// refuse closes a connection and names its sender in the log. b is what it sent.
func (l *Listener) refuse(a *arrival, why refusal, b []byte) {
	peer, unix := peerOf(a.inner)
	_ = a.inner.Close() // it is refused whether or not that fails
	logger := l.cfg.Logger
	if logger == nil {
		logger = slog.Default()
	}
	if !logger.Enabled(context.Background(), why.level()) {
		return
	}
	suppressed, ok := turns.Take(&l.turns, turnKey{why, turns.Network(peer.Addr())})
	if !ok {
		return
	}
	r := refusals[why]
	logger.Log(context.Background(), why.level(), "proxyproto: "+r.text, "reason", r.word, "fix", r.fix,
		"peer", peerName(peer, unix), "began", beginning(b, why), "suppressed", suppressed)
}

func peerName(peer netip.AddrPort, unix bool) string {
	switch {
	case unix:
		return "unix"
	case peer.IsValid():
		return peer.String()
	}
	return "unreadable"
}

// beginning is how much of what was sent is shown. Of what is no header that
// is enough to tell TLS from HTTP, and too little to hold a secret.
func beginning(b []byte, why refusal) string {
	n := longestV1
	if why == noHeader {
		n = 8
	}
	return strconv.QuoteToASCII(string(b[:min(len(b), n)]))
}
