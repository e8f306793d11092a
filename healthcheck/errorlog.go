package healthcheck

import (
	"context"
	"log/slog"
	"strings"
)

// errorLog takes what a server has to say to [slog.Default], and carries the
// server's profile.
type errorLog struct{ profile Profile }

// Write logs one message.
func (errorLog) Write(message []byte) (int, error) {
	line := strings.TrimSuffix(string(message), "\n")
	slog.Default().Log(context.Background(), severity(line), line)
	return len(message), nil
}

// severity tells what needs somebody's attention from the noise of balancers
// and scanners that open a TLS connection and leave, as the checks of an NLB do.
func severity(line string) slog.Level {
	switch {
	case strings.Contains(line, "TLS handshake error") && left(line):
		return slog.LevelDebug
	case strings.Contains(line, "panic serving"):
		return slog.LevelError
	default:
		return slog.LevelWarn
	}
}

// left reports whether a message says that the other side went away.
func left(line string) bool {
	for _, end := range []string{"EOF", "connection reset by peer", "broken pipe", "i/o timeout"} {
		if strings.HasSuffix(line, end) {
			return true
		}
	}
	return false
}
