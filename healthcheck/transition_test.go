package healthcheck

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// change is a transition without its time.
type change struct {
	check    string
	from, to Status
	draining bool
	err      error
}

func record(h *Health) *[]change {
	list := new([]change)
	h.hook = func(t Transition) { *list = append(*list, change{t.Check, t.From, t.To, t.Draining, t.Err}) }
	return list
}

func TestOnTransition(t *testing.T) {
	h := &Health{logTo: new(logLines).logger()}
	got := record(h)
	h.Report("db", nil)
	h.Report("db", errCanary)
	h.Report("db", errCanary)
	h.Report("db", nil)
	h.Heartbeat("loop", time.Hour, Local)()
	h.Drain()
	h.Drain()
	assert.Equal(t, []change{
		{"db", Pass, Warn, false, errCanary},
		{"", Pass, Warn, false, nil},
		{"db", Warn, Pass, false, nil},
		{"", Warn, Pass, false, nil},
		{"", Pass, Fail, false, nil}, // the heartbeat is registered
		{"loop", Fail, Pass, false, nil},
		{"", Fail, Pass, false, nil},
		{"", Pass, Fail, true, nil},
	}, *got)
}

// The hook may use the Health, and what it causes is told afterwards.
func TestHookMayUseTheHealth(t *testing.T) {
	h := &Health{logTo: new(logLines).logger()}
	var order []string
	h.hook = func(tr Transition) {
		order = append(order, tr.Check+" "+tr.To.String())
		h.Snapshot()
		if tr.Check == "db" {
			h.Drain()
		}
	}
	h.Report("db", errCanary)
	assert.Equal(t, []string{"db warn", " warn", " fail"}, order)
}

func TestHookThatPanics(t *testing.T) {
	var lines logLines
	h := &Health{logTo: lines.logger(), hook: func(Transition) { panic(canary) }}
	h.Report("db", errCanary)
	h.Report("db", nil)
	assert.Len(t, lines.with("OnTransition panicked\" stack"), 4)
}

// A hook that never returns holds up neither probes nor memory.
func TestHookThatBlocks(t *testing.T) {
	h := &Health{logTo: new(logLines).logger()}
	entered, leave := make(chan struct{}), make(chan struct{})
	var calls atomic.Int64
	h.hook = func(Transition) {
		if calls.Add(1) == 1 {
			close(entered)
			<-leave
		}
	}
	done := make(chan struct{})
	go func() { h.Report("db", errCanary); close(done) }()
	<-entered
	for range 2000 {
		h.Report("db", nil)
		h.Report("db", errCanary)
	}
	h.Drain()
	assert.Equal(t, 503, ask(t, h.Ready()))
	assert.EqualValues(t, 1, calls.Load(), "one at a time")
	h.mu.Lock()
	assert.LessOrEqual(t, len(h.queue), maxQueue)
	h.mu.Unlock()
	close(leave)
	<-done
}

// The text of an error is for level Debug only.
func TestNoSecretInLogs(t *testing.T) {
	var lines logLines
	h := &Health{logTo: lines.logger()}
	h.Report("db", errCanary)
	assert.Len(t, lines.with(canary), 1)
	assert.Contains(t, lines.with(canary)[0], "level=DEBUG")
	assert.Len(t, lines.with("level=WARN"), 2)
}

func TestProbesAreNotLogged(t *testing.T) {
	var lines logLines
	h := &Health{logTo: lines.logger()}
	app := h.Wrap(teapot)
	for range 10 {
		probe(t, app, "/healthz", "10.0.0.1")
		probe(t, app, "/orders", "10.0.0.1")
	}
	assert.Empty(t, lines.list())
}
