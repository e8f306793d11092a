package healthcheck

import (
	"log/slog"
	"strings"
	"sync"
)

// logLines keeps what is logged, one string a line. It may be used concurrently.
type logLines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logLines) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func (l *logLines) list() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := strings.TrimSuffix(l.text.String(), "\n")
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}

// with returns the lines that have a text in them.
func (l *logLines) with(text string) (found []string) {
	for _, line := range l.list() {
		if strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	return found
}
