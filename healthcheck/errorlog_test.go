package healthcheck

import (
	"log/slog"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestSeverity: the checks of balancers and the knocking of scanners are not
// what somebody has to look at; a certificate that is missing is.
func TestSeverity(t *testing.T) {
	for line, want := range map[string]slog.Level{
		"http: TLS handshake error from 10.0.16.7:40000: EOF":                                     slog.LevelDebug,
		"http: TLS handshake error from 10.0.16.7:40000: read: connection reset by peer":          slog.LevelDebug,
		"http: TLS handshake error from 10.0.16.7:40000: write: broken pipe":                      slog.LevelDebug,
		"http: TLS handshake error from 10.0.16.7:40000: read: i/o timeout":                       slog.LevelDebug,
		"http: TLS handshake error from 10.0.16.7:40000: tls: no certificates configured":         slog.LevelWarn,
		"http: Accept error: accept tcp [::]:8080: too many open files; retrying in 5ms":          slog.LevelWarn,
		"http: panic serving 10.0.16.7:40000: runtime error: index out of range\ngoroutine 1 ...": slog.LevelError,
	} {
		assert.Equal(t, want, severity(line), line)
	}
}

// TestErrorLogWritesWholeMessages: the writer takes everything, as io.Writer asks.
func TestErrorLogWritesWholeMessages(t *testing.T) {
	n, err := errorLog{}.Write([]byte("http: TLS handshake error from 10.0.16.7:40000: EOF\n"))
	assert.NoError(t, err)
	assert.Equal(t, 52, n)
}
