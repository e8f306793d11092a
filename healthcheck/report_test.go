package healthcheck

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestReport(t *testing.T) {
	h := &Health{logTo: new(logLines).logger()}
	h.Report("db", nil)
	assert.Equal(t, Pass, h.Snapshot().Status)
	h.Report("db", errCanary)
	s := h.Snapshot()
	assert.Equal(t, Warn, s.Status)
	assert.Equal(t, "failing", s.Checks[0].Level)
	assert.Equal(t, Dependency, s.Checks[0].Kind)
	assert.Equal(t, 200, ask(t, h.Ready()))
	h.Report("db", nil)
	assert.Equal(t, Pass, h.Snapshot().Status)
	assert.NoError(t, h.Snapshot().Checks[0].Err)
}

// A report under a check's name is one of its results.
func TestReportAboutACheck(t *testing.T) {
	h := mustNew(t, Config{Checks: []Check{{Name: "disk", Kind: Local, Func: well}}})
	h.Report("disk", nil)
	assert.Equal(t, 200, ask(t, h.Ready()))
	h.Report("disk", errCanary)
	h.Report("disk", errCanary)
	assert.Equal(t, 200, ask(t, h.Ready()))
	h.Report("disk", errCanary)
	assert.Equal(t, 503, ask(t, h.Ready()))
}

func TestReportsAreBounded(t *testing.T) {
	var lines logLines
	h := &Health{logTo: lines.logger()}
	for i := range 1000 {
		h.Report(fmt.Sprint("name ", i), nil)
	}
	assert.Len(t, h.Snapshot().Checks, maxSources)
	assert.Len(t, lines.with("too many names"), 1)
}

func TestFloodOfReportsIsLoggedSparingly(t *testing.T) {
	var lines logLines
	h := &Health{logTo: lines.logger()}
	h.Report("db", nil)
	n := 0
	h.hook = func(tr Transition) {
		if tr.Check != "" {
			n++
		}
	}
	for range 500 {
		h.Report("db", errCanary)
		h.Report("db", nil)
	}
	assert.Equal(t, 1000, n, "the hook hears of each")
	assert.LessOrEqual(t, len(lines.with("level=WARN")), 2*linesPerMinute)
}
