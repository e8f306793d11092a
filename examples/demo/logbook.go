package main

import (
	"log/slog"
	"strings"
	"sync"
)

// A logbook keeps the latest lines that the parts of the chain have logged, so
// that the page can show them.
type logbook struct {
	mu    sync.Mutex
	lines []string
}

const maxLines = 500

// Write takes one line, as a handler of package slog writes it.
func (b *logbook) Write(line []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lines = append(b.lines, strings.TrimSpace(string(line)))
	b.lines = b.lines[max(0, len(b.lines)-maxLines):]
	return len(line), nil
}

func (b *logbook) logger() *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }

// with returns the lines that have a text in them.
func (b *logbook) with(text string) (found []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, line := range b.lines {
		if strings.Contains(line, text) {
			found = append(found, line)
		}
	}
	return found
}
