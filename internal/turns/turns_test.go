package turns_test

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/knownhops/knownhops/internal/turns"
)

func TestOneTurnAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var l turns.Limiter
		take := func(key string) int {
			if n, ok := turns.Take(&l, key); ok {
				return n
			}
			return -1
		}
		assert.Equal(t, 0, take("a"))
		assert.Equal(t, -1, take("a"))
		others := 0
		for _, key := range []string{"b", "c", "d", "e"} { // that all share a's slot is unlikely enough
			if take(key) == 0 {
				others++
			}
		}
		assert.Positive(t, others, "each key has its own")
		time.Sleep(59 * time.Second)
		assert.Equal(t, -1, take("a"))
		time.Sleep(time.Second)
		assert.GreaterOrEqual(t, take("a"), 2, "how many were suppressed")
		time.Sleep(time.Minute)
		assert.Equal(t, 0, take("a"), "counted once")
	})
}

func TestManyKeysHaveNoMoreTurnsThanSlots(t *testing.T) {
	var l turns.Limiter
	n := 0
	for i := range 100_000 {
		if _, ok := turns.Take(&l, i); ok {
			n++
		}
	}
	assert.LessOrEqual(t, n, 1024)
	assert.Greater(t, n, 512, "and they are well spread")
}

func TestNetwork(t *testing.T) {
	for addr, want := range map[string]string{
		"198.51.100.9": "198.51.100.0/24", "2001:db8:1:2::9": "2001:db8:1::/48", "fe80::1%eth0": "fe80::/48",
	} {
		assert.Equal(t, want, turns.Network(netip.MustParseAddr(addr)).String())
	}
	assert.Equal(t, netip.Prefix{}, turns.Network(netip.Addr{}), "a unix socket")
}
