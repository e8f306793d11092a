package proxy

import (
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestStateWords(t *testing.T) {
	for state, word := range map[State]string{StateUnknown: "unknown", StateHealthy: "healthy", StateUnhealthy: "unhealthy",
		StateEjected: "ejected", StateReturning: "returning", StateReturning + 1: "invalid"} {
		assert.Equal(t, word, state.String())
		text, err := json.Marshal(state)
		require.NoError(t, err)
		assert.JSONEq(t, `"`+word+`"`, string(text))
	}
}

func TestFleetStatus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := fleetOf(t, Config{Upstreams: []string{"unix:/run/app.sock", "https://app", "h2c://app:81"}})
		begin := time.Now()
		time.Sleep(time.Second)
		exchanged(f.ups[0], verdictGood, verdictNone)
		f.ups[0].take(0)
		exchanged(f.ups[1], verdictBad, verdictBad, verdictNone, verdictBad)
		f.ups[2].carrier = idleCarrier{}
		assert.Equal(t, []UpstreamStatus{
			{Upstream: "unix:/run/app.sock", State: StateHealthy, Since: begin.Add(time.Second), InFlight: 1, Requests: 2},
			{Upstream: "https://app", State: StateEjected, Reason: "3 exchanges in a row failed; left out for 10s",
				Since: begin.Add(time.Second), Requests: 4, Failures: 3},
			{Upstream: "h2c://app:81", Since: begin, Idle: 7},
		}, f.status())
	})
}

type idleCarrier struct{ carrier }

func (idleCarrier) idle() int { return 7 }
