package proxyproto

import "sync"

// A queue holds the arrivals whose header is not complete, the oldest first.
// Being in it decides who closes an arrival: whoever takes it out.
type queue struct {
	mu             sync.Mutex
	oldest, newest *arrival
	closed         bool
}

// add appends a; false: the queue has been closed.
func (q *queue) add(a *arrival) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false
	}
	a.queued, a.older = true, q.newest
	if q.newest == nil {
		q.oldest = a
	} else {
		q.newest.newer = a
	}
	q.newest = a
	return true
}

// take removes a; false: somebody else has taken it.
func (q *queue) take(a *arrival) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !a.queued {
		return false
	}
	q.unlink(a)
	return true
}

// takeOldest removes the oldest; nil: there is none.
func (q *queue) takeOldest() *arrival {
	q.mu.Lock()
	defer q.mu.Unlock()
	a := q.oldest
	if a != nil {
		q.unlink(a)
	}
	return a
}

// close lets nobody in any more.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
}

func (q *queue) unlink(a *arrival) {
	if a.older == nil {
		q.oldest = a.newer
	} else {
		a.older.newer = a.newer
	}
	if a.newer == nil {
		q.newest = a.older
	} else {
		a.newer.older = a.older
	}
	a.queued, a.older, a.newer = false, nil, nil
}
