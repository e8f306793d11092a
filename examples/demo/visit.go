package main

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"sync"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/redirect"
)

// A visit is a request at a part of the chain: at the application's handlers, or
// where it is decided about https.
type visit struct {
	Number   int
	Part     string             // where it is decided about https
	Ruling   *redirect.Decision // nil: the visit is to the handlers
	TraceID  string             // which the balancer gave it; "": it did not come that way
	Arrived  http.Header        // as the last proxy wrote it
	Handed   http.Header        // as handlers get it; nil: it went to none
	Believed forwarded.Explanation
}

// trace takes the balancer's word for what it is about. Past the balancer, that
// is anybody's word.
func (v *visit) trace() {
	if v.Believed.Info.Complete {
		v.TraceID = v.Arrived.Get("X-Amzn-Trace-Id")
	}
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

// told is the visit that an answer's header names, or nil.
func (v *visits) told(number string) *visit {
	n, _ := strconv.Atoi(number)
	return v.number(n)
}

// traced returns what the application saw of the balancer's request, and what
// was decided about it. Each may be nil.
func (v *visits) traced(id string) (seen, ruled *visit) {
	if id == "" {
		return nil, nil
	}
	seen = v.find(func(x visit) bool { return x.TraceID == id && x.Ruling == nil })
	ruled = v.find(func(x visit) bool { return x.TraceID == id && x.Ruling != nil })
	return seen, ruled
}

// arrivalKey is for a request's lines as they came, which a policy's Wrap
// changes.
type arrivalKey struct{}

// arriving keeps them.
func arriving(r *http.Request) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), arrivalKey{}, allLines(r)))
}

func arrivedLines(r *http.Request) http.Header {
	arrived, _ := r.Context().Value(arrivalKey{}).(http.Header)
	return arrived
}

// allLines is a copy of the request's header with Host, which net/http keeps
// elsewhere.
func allLines(r *http.Request) http.Header {
	h := r.Header.Clone()
	h["Host"] = []string{r.Host}
	return h
}
