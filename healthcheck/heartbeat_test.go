package healthcheck

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestHeartbeat(t *testing.T) {
	for _, row := range []struct {
		kind                    Kind
		before, beating, missed [2]int // readiness and liveness
	}{
		{Dependency, [2]int{200, 200}, [2]int{200, 200}, [2]int{200, 200}},
		{Startup, [2]int{503, 200}, [2]int{200, 200}, [2]int{200, 200}},
		{Local, [2]int{503, 200}, [2]int{200, 200}, [2]int{503, 200}},
		{Watchdog, [2]int{200, 200}, [2]int{200, 200}, [2]int{503, 503}},
	} {
		t.Run(row.kind.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &Health{logTo: new(logLines).logger()}
				codes := func() [2]int { return [2]int{ask(t, h.Ready()), ask(t, h.Live())} }
				beat := h.Heartbeat("loop", time.Second, row.kind)
				assert.Equal(t, row.before, codes(), "before the first beat")
				for range 10 {
					beat()
					assert.Equal(t, row.beating, codes())
					time.Sleep(1900 * time.Millisecond)
				}
				assert.Equal(t, row.beating, codes())
				time.Sleep(101 * time.Millisecond)
				assert.Equal(t, row.missed, codes(), "twice the time without a beat")
				beat()
				assert.Equal(t, row.beating, codes(), "one beat is enough")
			})
		})
	}
}

func TestHeartbeatThatNeverCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &Health{logTo: new(logLines).logger()}
		h.Heartbeat("loop", time.Second, Watchdog)
		time.Sleep(2001 * time.Millisecond)
		assert.Equal(t, 503, ask(t, h.Live()))
		assert.ErrorIs(t, h.Snapshot().Checks[0].Err, errMissed)
	})
}

func TestHeartbeatTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &Health{logTo: new(logLines).logger()}
		h.Heartbeat("loop", time.Second, Dependency)()
		beat := h.Heartbeat("loop", time.Minute, Local)
		assert.Len(t, h.Snapshot().Checks, 1)
		time.Sleep(time.Minute)
		assert.Equal(t, 200, ask(t, h.Ready()))
		time.Sleep(61 * time.Second)
		assert.Equal(t, 503, ask(t, h.Ready()))
		beat()
		assert.Equal(t, 200, ask(t, h.Ready()))
	})
}

func TestHeartbeatMistakes(t *testing.T) {
	h := mustNew(t, Config{Checks: []Check{{Name: "db", Func: well}}})
	assert.Panics(t, func() { h.Heartbeat("loop", 0, Local) })
	assert.Panics(t, func() { h.Heartbeat("loop", time.Second, 9) })
	assert.Panics(t, func() { h.Heartbeat("db", time.Second, Local) })
	assert.NotPanics(t, func() { h.Snapshot() }, "the lock is free")
}

func TestBeatAllocatesNothing(t *testing.T) {
	beat := new(Health).Heartbeat("loop", time.Hour, Local)
	beat()
	assert.Zero(t, testing.AllocsPerRun(100, beat))
}
