package healthcheck

import (
	"net/http"
	"sync/atomic"
)

// codes are the statuses that probes get. Answers over gRPC count as 200 and 503.
var codes = [...]int{http.StatusOK, http.StatusNoContent, http.StatusMethodNotAllowed, http.StatusServiceUnavailable}

// counts holds how many probes of each endpoint got which code. The zero value
// is ready for use, concurrently too.
type counts [endpoints][len(codes)]atomic.Uint64

func (c *counts) add(end endpoint, code int) {
	for i := range codes {
		if codes[i] == code {
			c[end][i].Add(1)
			return
		}
	}
}

// A ProbeCount is how many probes of an endpoint got a code.
type ProbeCount struct {
	Endpoint string `json:"endpoint"` // "ready", "live", "startup", "grpc", "grpc_watch", "grpc_alb"
	Code     int    `json:"code"`     // gRPC: 200 for serving, 503 for not
	Count    uint64 `json:"count"`
}

// list returns what was counted, without zeros.
func (c *counts) list() []ProbeCount {
	var list []ProbeCount
	for end := range c {
		for i := range codes {
			if n := c[end][i].Load(); n > 0 {
				list = append(list, ProbeCount{endpointNames[end], codes[i], n})
			}
		}
	}
	return list
}
