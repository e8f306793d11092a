package albtest

import (
	"slices"
	"sync"
	"time"
)

// journal keeps the entries of the log. The zero value is empty.
type journal struct {
	mu      sync.Mutex
	entries []Entry
}

func (j *journal) add(e Entry) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = append(j.entries, e)
}

func (j *journal) all() []Entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.entries)
}

// newEntry begins the record of a request.
func newEntry(m *message, now time.Time) Entry {
	e := Entry{
		Time:     now,
		Type:     m.scheme(),
		Client:   m.client,
		Listener: m.listener.Port,
		Node:     m.node,
		Sent:     m.head,
	}
	switch {
	case m.http2 && m.isGRPC():
		e.Type = "grpcs"
	case m.http2:
		e.Type = "h2"
	case m.upgrade() && m.fields.has("Upgrade", "websocket"):
		e.Type = map[string]string{"http": "ws", "https": "wss"}[e.Type]
	}
	return e
}
