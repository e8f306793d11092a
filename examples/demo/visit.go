package main

import (
	"net/http"
	"slices"
	"sync"

	"github.com/knownhops/knownhops/forwarded"
)

// A visit is a request that reached an application.
type visit struct {
	Number   int
	TraceID  string      // which the balancer gave it; "": it did not come that way
	Arrived  http.Header // as the last proxy wrote it
	Handed   http.Header // as handlers get it; nil: it was a health check, which goes to none
	Believed forwarded.Explanation
}

// visits are the latest.
type visits struct {
	mu   sync.Mutex
	last int
	list []visit
}

const maxVisits = 200

// add numbers a visit and keeps it.
func (v *visits) add(x visit) (number int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.last++
	x.Number = v.last
	v.list = append(v.list, x)
	v.list = v.list[max(0, len(v.list)-maxVisits):]
	return x.Number
}

// find returns the latest that is meant, or nil.
func (v *visits) find(meant func(visit) bool) *visit {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, x := range slices.Backward(v.list) {
		if meant(x) {
			return &x
		}
	}
	return nil
}

func (v *visits) number(n int) *visit {
	return v.find(func(x visit) bool { return x.Number == n })
}

func (v *visits) traced(id string) *visit {
	if id == "" {
		return nil
	}
	return v.find(func(x visit) bool { return x.TraceID == id })
}

// allLines is a copy of the request's header with Host, which net/http keeps
// elsewhere.
func allLines(r *http.Request) http.Header {
	h := r.Header.Clone()
	h["Host"] = []string{r.Host}
	return h
}
