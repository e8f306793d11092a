package proxy

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// The allocations of a whole request: net/http's server and the proxy; client
// and upstream have none. What net/http's server needs by itself, with a
// handler that writes a few headers and as much, is about 22.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for name, row := range map[string]struct {
		request string
		size    int
		most    float64
	}{
		"GET 1 KiB":  {benchGet, 1 << 10, 60},
		"GET 64 KiB": {benchGet, 64 << 10, 60},
		"POST":       {benchPost, 1 << 10, 60},
	} {
		t.Run(name, func(t *testing.T) {
			c := bench(t, row.request, row.size)
			for range 100 {
				c.call(t)
			}
			got := testing.AllocsPerRun(200, func() { c.call(t) })
			t.Logf("%.0f allocations", got)
			assert.LessOrEqual(t, got, row.most)
		})
	}
}
