package sqlstore

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"time"
)

// The pauses between attempts grow from the first to the longest.
const (
	firstPause   = 50 * time.Millisecond
	longestPause = time.Second
)

// retry repeats attempt while it fails for reasons that pass.
func retry(ctx context.Context, attempt func() error) error {
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		err := attempt()
		if err == nil || !passing(err) || !sleep(ctx, jitter(pause)) {
			return err
		}
	}
}

// passing reports whether an error is the connection's or a restarting
// server's, so that a new attempt may succeed.
func passing(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	if state := sqlState(err); state != "" {
		return passingState(state)
	}
	var network net.Error
	var unsent interface{ SafeToRetry() bool } // pgx: the connection had been closed before
	return errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, net.ErrClosed) || errors.As(err, &network) || errors.As(err, &unsent) && unsent.SafeToRetry()
}

// sqlState is the code of the server's error, "" if it is not one. pgx and
// lib/pq have the method.
func sqlState(err error) string {
	var server interface{ SQLState() string }
	if errors.As(err, &server) {
		return server.SQLState()
	}
	return ""
}

// passingState picks codes of PostgreSQL documentation, appendix A.
func passingState(state string) bool {
	switch state {
	case "57P01", "57P02", "57P03", // shut down by an administrator, after a crash, not yet started
		"40001", "40P01", // not serializable, deadlock
		"53300": // too many connections
		return true
	}
	return strings.HasPrefix(state, "08") // connection exceptions
}

// sleep reports whether the pause has passed before the context ended.
func sleep(ctx context.Context, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// jitter is d give or take a half, so that a fleet does not ask in step.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d) }
