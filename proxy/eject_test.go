package proxy

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// exchanged is one exchange with u that ended so.
func exchanged(u *upstream, verdicts ...verdict) {
	for _, v := range verdicts {
		u.take(0)
		u.done(v)
	}
}

func TestEjection(t *testing.T) {
	const none, good, bad = verdictNone, verdictGood, verdictBad
	for _, row := range []struct {
		name     string
		failures int
		verdicts []verdict
		want     State
	}{
		{"three in a row", 0, []verdict{bad, bad, bad}, StateEjected},
		{"two in a row", 0, []verdict{bad, bad}, StateUnknown},
		{"a good one between", 0, []verdict{bad, bad, good, bad, bad}, StateHealthy},
		{"good ones before", 0, []verdict{good, good, bad, bad, bad}, StateEjected},
		{"the client's faults do not count", 0, []verdict{bad, none, none, bad}, StateUnknown},
		{"the client's faults prove nothing", 0, []verdict{bad, none, bad, none, bad}, StateEjected},
		{"one is enough", 1, []verdict{bad}, StateEjected},
		{"never", -1, []verdict{bad, bad, bad, bad, bad}, StateUnknown},
	} {
		f := testFleet(t, 2, Config{Check: HealthCheck{Failures: row.failures}})
		exchanged(f.ups[0], row.verdicts...)
		assert.Equal(t, row.want, stateOf(f, f.ups[0]), row.name)
	}
}

func TestLastOneStays(t *testing.T) {
	const bad = verdictBad
	alone := testFleet(t, 1, Config{})
	exchanged(alone.ups[0], bad, bad, bad, bad)
	assert.Equal(t, StateUnknown, stateOf(alone, alone.ups[0]))

	f := testFleet(t, 3, Config{})
	sicken(t, f, f.ups[0])
	unhealthy(f, f.ups[1])
	exchanged(f.ups[2], bad, bad, bad, bad)
	assert.Equal(t, StateUnknown, stateOf(f, f.ups[2]))
}

// When the last one does nothing but fail, those that are left out are tried,
// too: one of them may work again. Once it has one success, they wait on.
func TestLastOneGetsHelp(t *testing.T) {
	const bad = verdictBad
	for _, balance := range []Balance{RoundRobin, LeastRequests} {
		f := testFleet(t, 3, Config{Balance: balance})
		sicken(t, f, f.ups[0])
		sicken(t, f, f.ups[1])
		assert.Equal(t, 100, shares(t, f, 100)[f.ups[2]])
		exchanged(f.ups[2], bad, bad, bad)
		got := shares(t, f, 300)
		for i, u := range f.ups {
			assert.GreaterOrEqual(t, got[u], 20, "%d: upstream %d", balance, i)
		}
		assert.NotSame(t, f.ups[2], picked(t, f, nobodyKnown, f.ups[2]))
		exchanged(f.ups[2], verdictGood)
		assert.Equal(t, 100, shares(t, f, 100)[f.ups[2]])
	}
}

// If the others become unhealthy, one that is left out is better than none.
func TestEjectedRatherThanNone(t *testing.T) {
	f := testFleet(t, 2, Config{})
	sicken(t, f, f.ups[0])
	unhealthy(f, f.ups[1])
	assert.Equal(t, 100, shares(t, f, 100)[f.ups[0]])
}

// outFor is how long u, which has just been left out, stays so.
func outFor(t *testing.T, f *fleet, u *upstream) time.Duration {
	t.Helper()
	begin := time.Now()
	for stateOf(f, u) == StateEjected {
		require.Less(t, time.Since(begin), time.Hour)
		time.Sleep(time.Second)
	}
	return time.Since(begin)
}

func TestEjectionGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := testFleet(t, 2, Config{Check: HealthCheck{SlowStart: -1}})
		u := f.ups[0]
		for _, want := range []time.Duration{10, 20, 40, 80, 100, 100, 100} {
			sicken(t, f, u)
			assert.Equal(t, want*time.Second, outFor(t, f, u))
			assert.Equal(t, StateHealthy, stateOf(f, u))
			time.Sleep(99 * time.Second)
		}
		time.Sleep(2 * time.Second)
		sicken(t, f, u)
		assert.Equal(t, 10*time.Second, outFor(t, f, u), "it worked for more than ten times EjectFor")
	})
}

func TestSlowReturn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := testFleet(t, 2, Config{Check: HealthCheck{SlowStart: 30 * time.Second}})
		u := f.ups[0]
		sicken(t, f, u)
		since := time.Now()
		exchanged(u, verdictBad, verdictBad, verdictBad, verdictGood, verdictBad) // were under way
		assert.Equal(t, 10*time.Second, outFor(t, f, u))
		assert.Equal(t, StateReturning, stateOf(f, u))
		exchanged(u, verdictNone, verdictGood)
		assert.Equal(t, StateReturning, stateOf(f, u))
		exchanged(u, verdictBad)
		assert.Equal(t, StateEjected, stateOf(f, u), "one failure is enough")
		assert.Equal(t, 20*time.Second, outFor(t, f, u))

		time.Sleep(29 * time.Second)
		assert.Equal(t, StateReturning, stateOf(f, u))
		time.Sleep(time.Hour)
		status := f.status()[0]
		assert.Equal(t, StateHealthy, status.State)
		assert.Equal(t, since.Add(60*time.Second), status.Since, "not when somebody looked")
		exchanged(u, verdictBad, verdictBad)
		assert.Equal(t, StateHealthy, stateOf(f, u), "the count begins anew")
	})
}

// Nobody asks for the status; requests alone bring it back.
func TestReturnIsNoticedByRequests(t *testing.T) {
	for _, balance := range []Balance{RoundRobin, LeastRequests, ClientHash} {
		synctest.Test(t, func(t *testing.T) {
			f := testFleet(t, 2, Config{Balance: balance})
			sicken(t, f, f.ups[0])
			time.Sleep(20 * time.Second)
			info := clientInfo("192.0.2.1")
			for range 2 {
				picked(t, f, info, f.ups[1])
			}
			assert.Equal(t, StateHealthy, f.ups[0].health.state)
		})
	}
}

// A logBook is a logger and what was written to it, without the time.
func logBook() (*slog.Logger, *bytes.Buffer) {
	var book bytes.Buffer
	noTime := func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}
	return slog.New(slog.NewTextHandler(&book, &slog.HandlerOptions{ReplaceAttr: noTime})), &book
}

func lines(book *bytes.Buffer) []string {
	text := strings.TrimSuffix(book.String(), "\n")
	book.Reset()
	return strings.Split(text, "\n")
}

func TestEjectionIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logger, book := logBook()
		f := testFleet(t, 2, Config{Logger: logger})
		exchanged(f.ups[0], verdictGood)
		sicken(t, f, f.ups[0])
		exchanged(f.ups[0], verdictBad, verdictBad, verdictBad)
		time.Sleep(10 * time.Second)
		for range 100 {
			exchanged(f.ups[1], verdictGood)
			picked(t, f, nobodyKnown, nil)
		}
		time.Sleep(10 * time.Second)
		for range 100 {
			picked(t, f, nobodyKnown, nil)
		}
		assert.Equal(t, []string{
			`level=WARN msg="upstream ejected" upstream=http://10.0.0.1 from=healthy to=ejected reason="3 exchanges in a row failed; left out for 10s" check="the failed exchanges with it are in this log"`,
			`level=INFO msg="upstream returning" upstream=http://10.0.0.1 from=ejected to=returning reason="its time out is over"`,
			`level=INFO msg="upstream healthy" upstream=http://10.0.0.1 from=returning to=healthy reason="it has its full share again"`,
		}, lines(book))
	})
}

// A handler that asks for the status must not wait for itself.
type curious struct {
	slog.Handler
	f *fleet
}

func (c *curious) Enabled(context.Context, slog.Level) bool { return true }

func (c *curious) Handle(ctx context.Context, r slog.Record) error {
	c.f.status()
	return c.Handler.Handle(ctx, r)
}

func TestLogHandlerMayAskForStatus(t *testing.T) {
	h := &curious{Handler: slog.DiscardHandler}
	f := testFleet(t, 2, Config{Logger: slog.New(h)})
	h.f = f
	sicken(t, f, f.ups[0])
}
