package redirect_test

import (
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/redirect"
)

// chainAgain sends the same request several times and returns how many loops were suspected.
func chainAgain(e *redirect.Enforcer, times int, pause time.Duration, path, client, agent string) uint64 {
	info := forwarded.Info{
		Status: forwarded.StatusForwarded, Scheme: forwarded.HTTP, Host: chainHost, Hops: 1,
		Client: netip.MustParseAddr(client), Peer: netip.MustParseAddrPort("10.0.0.1:1"),
	}
	for i := range times {
		if i > 0 && pause > 0 {
			time.Sleep(pause)
		}
		chainServe(e, chainRequest("GET", "http://"+chainHost+path, "10.0.0.1:1", &info, "User-Agent", agent))
	}
	return e.Stats()[redirect.ReasonLoopSuspected]
}

// The fifth redirect of one client to one place within ten seconds is one too many.
func TestRepeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		chainTries(t, func() {
			e, log := chainEnforcer(t, redirect.Config{})
			assert.Zero(t, chainAgain(e, 4, time.Second, "/a", "203.0.113.1", "curl"))
			assert.Empty(t, log.worst())
			assert.EqualValues(t, 1, chainAgain(e, 1, 0, "/a", "203.0.113.1", "curl"))
			line := log.oneOrAgain(t, slog.LevelWarn, "redirected")
			assert.Contains(t, line.text("fix"), "see Probe")
			assert.EqualValues(t, 2, chainAgain(e, 1, 0, "/a", "203.0.113.1", "curl"), "and so is the sixth")
			time.Sleep(11 * time.Second)
			assert.EqualValues(t, 2, chainAgain(e, 4, time.Second, "/a", "203.0.113.1", "curl"), "it is forgotten")
		})
	})
}

func TestRepeatsSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, _ := chainEnforcer(t, redirect.Config{})
		assert.Zero(t, chainAgain(e, 50, 3*time.Second, "/a", "203.0.113.1", "curl"))
	})
}

// Another page, another client or another program is no repetition. The table may push something out, but never adds
// one to the other.
func TestRepeatsOfOthers(t *testing.T) {
	e, _ := chainEnforcer(t, redirect.Config{})
	for i := range 200 {
		chainAgain(e, 1, 0, fmt.Sprintf("/%d", i), "203.0.113.1", "curl")
		chainAgain(e, 1, 0, "/a", fmt.Sprintf("203.0.113.%d", i), "curl")
		chainAgain(e, 1, 0, "/a", "203.0.113.1", fmt.Sprintf("curl/%d", i))
	}
	assert.Zero(t, e.Stats()[redirect.ReasonLoopSuspected])
}

// Only redirects count: a client may ask for a page as often as it likes.
func TestRepeatsOfRefusals(t *testing.T) {
	e, _ := chainEnforcer(t, redirect.Config{})
	for range 10 {
		chainServe(e, chainRequest("GET", "http://evil.example/", "198.51.100.1:1", nil))
		chainServe(e, chainRequest("GET", "http://"+chainHost+"/", "198.51.100.1:1", nil, "Cookie", chainMarker+"=1"))
	}
	assert.Zero(t, e.Stats()[redirect.ReasonLoopSuspected])
}

// Where the client is unknown, the peer stands for it; behind a unix socket there is none.
func TestRepeatsWithoutClient(t *testing.T) {
	chainTries(t, func() {
		for _, peer := range []netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:1"), {}} {
			e, log := chainEnforcer(t, redirect.Config{})
			info := forwarded.Info{Status: forwarded.StatusUnknown, Scheme: forwarded.HTTP, Host: chainHost, Hops: 1, Peer: peer}
			for range 5 {
				chainServe(e, chainRequest("GET", "http://"+chainHost+"/", "@", &info))
			}
			assert.EqualValues(t, 1, e.Stats()[redirect.ReasonLoopSuspected])
			log.oneOrAgain(t, slog.LevelWarn, "redirected")
		}
	})
}

// It never changes the answer.
func TestRepeatsChangeNothing(t *testing.T) {
	e, _ := chainEnforcer(t, redirect.Config{})
	for range 30 {
		w := chainServe(e, chainRequest("GET", "http://"+chainHost+"/a", "198.51.100.1:1", nil))
		assert.Equal(t, 301, w.Code)
		assert.Equal(t, "https://"+chainHost+"/a", w.Header().Get("Location"))
	}
	assert.EqualValues(t, 26, e.Stats()[redirect.ReasonLoopSuspected])
}
