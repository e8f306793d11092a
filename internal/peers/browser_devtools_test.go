//go:build linux

package peers

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"testing"
	"time"

	coder "github.com/coder/websocket"
	"github.com/stretchr/testify/require"
)

// devtools is a connection to a browser's DevTools protocol: calls that are answered in any order, and events in
// between.
type devtools struct {
	conn *coder.Conn
	done chan struct{} // closed when nothing more is read

	mu      sync.Mutex
	last    int
	calls   map[int]chan devtoolsMessage // those without an answer
	events  []devtoolsMessage            // all since the start
	changed chan struct{}                // closed, and replaced, at each event
}

// A devtoolsMessage is a call, its answer or an event.
type devtoolsMessage struct {
	ID      int                      `json:"id,omitempty"`
	Session string                   `json:"sessionId,omitempty"`
	Method  string                   `json:"method,omitempty"`
	Params  json.RawMessage          `json:"params,omitempty"`
	Result  json.RawMessage          `json:"result,omitempty"`
	Error   struct{ Message string } `json:"error,omitzero"`
}

// dialDevtools connects until the end of the test.
func dialDevtools(t *testing.T, url string) *devtools {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), exchangeTime)
	defer cancel()
	conn, _, err := coder.Dial(ctx, url, nil)
	require.NoError(t, err)
	conn.SetReadLimit(16 << 20)
	d := &devtools{
		conn: conn, done: make(chan struct{}),
		calls: make(map[int]chan devtoolsMessage), changed: make(chan struct{}),
	}
	go d.read()
	return d
}

// close ends the connection and the goroutine that reads it.
func (d *devtools) close() {
	_ = d.conn.CloseNow() // the browser may have ended first
	<-d.done
}

func (d *devtools) read() {
	defer close(d.done)
	for {
		_, text, err := d.conn.Read(context.Background()) // until close
		if err != nil {
			return
		}
		var m devtoolsMessage
		if json.Unmarshal(text, &m) == nil {
			d.take(m)
		}
	}
}

// take hands an answer to its caller and keeps an event.
func (d *devtools) take(m devtoolsMessage) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if m.ID != 0 {
		if c := d.calls[m.ID]; c != nil {
			c <- m
		}
		delete(d.calls, m.ID)
		return
	}
	d.events = append(d.events, m)
	close(d.changed)
	d.changed = make(chan struct{})
}

// call sends a method with its parameters and reads the answer into result, unless that is nil.
func (d *devtools) call(t *testing.T, session, method string, params, result any) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), exchangeTime)
	defer cancel()
	raw, err := json.Marshal(params)
	require.NoError(t, err)
	answered := make(chan devtoolsMessage, 1)
	d.mu.Lock()
	d.last++
	m := devtoolsMessage{ID: d.last, Session: session, Method: method, Params: raw}
	d.calls[m.ID] = answered
	d.mu.Unlock()
	text, err := json.Marshal(m)
	require.NoError(t, err)
	require.NoError(t, d.conn.Write(ctx, coder.MessageText, text))
	select {
	case answer := <-answered:
		require.Empty(t, answer.Error.Message, method)
		if result != nil {
			require.NoError(t, json.Unmarshal(answer.Result, result), method)
		}
	case <-ctx.Done():
		require.FailNowf(t, "the browser does not answer", "%s %s", method, raw)
	}
}

// mark is where the next event will be.
func (d *devtools) mark() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.events)
}

// await returns the events since a mark, once one of them is as wanted.
func (d *devtools) await(t *testing.T, mark int, wanted func(devtoolsMessage) bool) []devtoolsMessage {
	t.Helper()
	deadline := time.After(exchangeTime)
	for {
		d.mu.Lock()
		since, changed := slices.Clone(d.events[mark:]), d.changed
		d.mu.Unlock()
		if slices.ContainsFunc(since, wanted) {
			return since
		}
		select {
		case <-changed:
		case <-d.done:
			require.FailNow(t, "the browser has ended")
		case <-deadline:
			require.FailNow(t, "the browser does not get on", "%d events", len(since))
		}
	}
}
