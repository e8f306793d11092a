package proxyload

import (
	"slices"
	"sync"
	"time"
)

const (
	patience = 10 * time.Second      // for an answer, after the end of a run
	pause    = 10 * time.Millisecond // after an error, so that a dead proxy is not hammered
)

// A Load is a number of connections to one proxy. Make one with New and Close it; its methods are for one goroutine.
type Load struct {
	clients []*client
}

// A Result says what came of one run.
type Result struct {
	Count   int           // right answers
	Errors  int           // wrong answers, and connections that broke
	Error   string        // the first of the errors
	Elapsed time.Duration // from the first request to the last answer
	P50     time.Duration // half of the answers came within
	P99     time.Duration
}

// New prepares connections to addr, "127.0.0.1:8080". It does not connect yet.
func New(c Case, addr string, connections int) *Load {
	l := &Load{}
	for range connections {
		l.clients = append(l.clients, newClient(c, addr))
	}
	return l
}

// Run asks on every connection, one request after the other, for that long. When it returns, nothing is under way, and
// the connections stay open for the next run.
func (l *Load) Run(d time.Duration) Result {
	start := time.Now()
	tallies := make([]tally, len(l.clients))
	var wg sync.WaitGroup
	for i, cl := range l.clients {
		wg.Go(func() { tallies[i].run(cl, start.Add(d)) })
	}
	wg.Wait()
	return sum(tallies, time.Since(start))
}

// Close ends the connections.
func (l *Load) Close() {
	for _, cl := range l.clients {
		cl.close()
	}
}

// A tally is what one connection counts.
type tally struct {
	took   []time.Duration
	errors int
	first  error
}

func (t *tally) run(cl *client, end time.Time) {
	if err := cl.until(end.Add(patience)); err != nil {
		t.fail(err)
		cl.close()
	}
	for start := time.Now(); start.Before(end); start = time.Now() {
		if err := cl.exchange(); err != nil {
			t.fail(err)
			time.Sleep(pause)
			continue
		}
		t.took = append(t.took, time.Since(start))
	}
}

func (t *tally) fail(err error) {
	t.errors++
	if t.first == nil {
		t.first = err
	}
}

func sum(tallies []tally, elapsed time.Duration) Result {
	r := Result{Elapsed: elapsed}
	var all []time.Duration
	for _, t := range tallies {
		all = append(all, t.took...)
		r.Errors += t.errors
		if r.Error == "" && t.first != nil {
			r.Error = t.first.Error()
		}
	}
	slices.Sort(all)
	r.Count, r.P50, r.P99 = len(all), percentile(all, 50), percentile(all, 99)
	return r
}

// percentile is the least value that p per cent of the sorted ones do not exceed; 0 if there is none.
func percentile(sorted []time.Duration, p int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := (len(sorted)*p + 99) / 100
	return sorted[max(rank, 1)-1]
}
