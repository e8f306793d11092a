package healthcheck

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// A drain is for good, whatever happens to the checks.
func TestLatchedDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var disk flag
		h := mustNew(t, Config{Checks: []Check{{Name: "disk", Kind: Local, Func: disk.check, Failures: 1, Successes: 1}}})
		stop := start(t, h)
		synctest.Wait()
		draining := h.Draining()
		select {
		case <-draining:
			t.Error("closed too early")
		default:
		}
		h.Drain()
		<-draining
		<-h.Draining()
		for _, bad := range []bool{true, false} {
			disk.bad.Store(bad)
			time.Sleep(time.Minute)
			h.Report("disk", nil)
			h.Report("other", nil)
			h.Heartbeat("loop", time.Hour, Local)()
			h.Drain()
			assert.Equal(t, 503, ask(t, h.Ready()))
			assert.Equal(t, 200, ask(t, h.Live()))
			assert.Equal(t, 200, ask(t, h.Startup()))
			assert.Equal(t, Fail, h.Snapshot().Status)
			assert.True(t, h.Snapshot().Draining)
		}
		stop()
	})
}

func TestDrainOfTheZeroHealth(t *testing.T) {
	var h Health
	h.Drain()
	<-h.Draining()
	assert.Equal(t, 503, ask(t, h.Ready()))
}

func TestTrack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h Health
		h.awaitTracked(t.Context()) // nothing is tracked
		one, two := h.Track("websocket"), h.Track("websocket")
		three := h.Track("events")
		assert.Equal(t, map[string]int{"websocket": 2, "events": 1}, h.trackedNames())
		done := make(chan struct{})
		for range 2 {
			go func() {
				h.awaitTracked(context.Background())
				done <- struct{}{}
			}()
		}
		one()
		one()
		three()
		synctest.Wait()
		assert.Equal(t, map[string]int{"websocket": 1}, h.trackedNames())
		select {
		case <-done:
			t.Error("one is left")
		default:
		}
		two()
		<-done
		<-done
		assert.Empty(t, h.trackedNames())
	})
}

func TestAwaitTrackedIsCutShort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h Health
		defer h.Track("websocket")()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		h.awaitTracked(ctx)
		assert.Equal(t, time.Second, time.Since(begin))
	})
}
