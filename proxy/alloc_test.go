package proxy

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

// The allocations of a whole request: net/http's server, which needs 22 with a
// handler that writes as much, and the proxy. Client and upstream have none.
// Measured were 43 and, with a body, 47.
func TestAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for name, row := range map[string]struct {
		request string
		size    int
		most    float64
	}{
		"GET 1 KiB":  {benchGet, 1 << 10, 45},
		"GET 64 KiB": {benchGet, 64 << 10, 45},
		"POST":       {benchPost, 1 << 10, 49},
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
