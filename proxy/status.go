package proxy

import "time"

// Status is a snapshot of a proxy for operators: it names upstreams and says
// why they fail, so it is never shown to strangers.
type Status struct {
	Upstreams []UpstreamStatus // in the order of Config.Upstreams
	InFlight  int64            // requests being served
	Tunnels   int              // WebSocket connections open
	Retries   uint64           // requests sent once more, since the start
	Draining  bool             // Shutdown was called
}

// UpstreamStatus is what is known of one upstream.
type UpstreamStatus struct {
	Upstream string    // as in Config.Upstreams
	State    State     // whether it takes requests
	Reason   string    // why it is in that state, or what the last probe saw; "": nothing happened yet
	Since    time.Time // when it came into that state
	InFlight int64     // requests that it has now
	Requests uint64    // exchanges that ended there, failed ones and retries included
	Failures uint64    // those of them that count against it
	Idle     int       // unused connections kept
}

// State is whether an upstream takes requests.
type State uint8

// The states. Where every other upstream is out as well, those that are
// StateEjected are used all the same; those that are StateUnhealthy never are.
const (
	StateUnknown   State = iota // used: no probe yet and, without active checks, no good exchange yet
	StateHealthy                // used
	StateUnhealthy              // not used: the active checks fail
	StateEjected                // not used for HealthCheck.EjectFor: exchanges failed
	StateReturning              // used with a share that grows for HealthCheck.SlowStart
)

var stateNames = [...]string{"unknown", "healthy", "unhealthy", "ejected", "returning"}

// String is the state as one word.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "invalid"
}

// MarshalText is String.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// status describes every upstream, in configured order.
func (f *fleet) status() []UpstreamStatus {
	list := make([]UpstreamStatus, len(f.ups))
	f.update(func(now time.Time) {
		for i, u := range f.ups {
			f.settle(u, now)
			list[i] = UpstreamStatus{
				Upstream: u.name,
				State:    u.health.state, Reason: u.health.reason, Since: u.health.since,
				InFlight: u.inFlight.Load(), Requests: u.ended.Load(), Failures: u.failures.Load(),
			}
		}
	})
	for i, u := range f.ups {
		if u.carrier != nil {
			list[i].Idle = u.carrier.idle()
		}
	}
	return list
}
