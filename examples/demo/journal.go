package main

import (
	"net/http"
	"sync"
)

// A journal tells the application's page what the visitor sent to the
// balancer, by the trace id that the balancer gave the request. No real
// application could know that; here, both are in one process.
type journal struct {
	sent sync.Map // of http.Header
}

// note remembers a request until the returned function is called.
func (j *journal) note(id string, r *http.Request) (forget func()) {
	j.sent.Store(id, allLines(r))
	return func() { j.sent.Delete(id) }
}

// lookUp returns what was sent under a trace id, or nil.
func (j *journal) lookUp(id string) http.Header {
	h, _ := j.sent.Load(id)
	sent, _ := h.(http.Header)
	return sent
}

// allLines is a copy of the request's header with Host, which net/http keeps
// elsewhere.
func allLines(r *http.Request) http.Header {
	h := r.Header.Clone()
	h["Host"] = []string{r.Host}
	return h
}
