package proxy

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
)

// retries asks n times.
func retries(b *budget, n int) (allowed int) {
	for range n {
		if b.retry() {
			allowed++
		}
	}
	return allowed
}

func requests(b *budget, n int) {
	for range n {
		b.request()
	}
}

func TestBudgetBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(0, 3)
		assert.Equal(t, 3, retries(b, 10), "at the start")
		time.Sleep(time.Second)
		assert.Equal(t, 3, retries(b, 10), "a second later")
		time.Sleep(time.Minute)
		assert.Equal(t, 3, retries(b, 10), "what was not used is not saved up")
		time.Sleep(time.Second / 2)
		assert.Equal(t, 1, retries(b, 10))
	})
}

func TestBudgetPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(0.2, 0)
		assert.Zero(t, retries(b, 10), "no requests, no retries")
		requests(b, 1000)
		assert.Equal(t, 200, retries(b, 1000))
		requests(b, 50)
		assert.Equal(t, 10, retries(b, 1000))
		time.Sleep(time.Minute)
		assert.LessOrEqual(t, retries(b, 1000), 1, "old requests fade")
	})
}

// Every request fails and wants a retry, for two minutes.
func TestBudgetInAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(0.2, 3)
		allowed := 0
		for range 120 {
			for range 100 {
				b.request()
				allowed += retries(b, 1)
				time.Sleep(time.Second / 100)
			}
		}
		assert.InDelta(t, 0.2*12000+3*120, allowed, 40)
	})
}

// The requests of a time in which nobody asked count at their rate: an hour of
// traffic is no credit for an hour of retries.
func TestBudgetAfterQuietTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBudget(0.2, 0)
		requests(b, 360_000)
		time.Sleep(time.Hour)
		assert.InDelta(t, 200, retries(b, 10_000), 2, "100 requests a second, ten seconds of them")
	})
}

func TestBudgetOddNumbers(t *testing.T) {
	b := newBudget(-1, -1)
	requests(b, 100)
	assert.Zero(t, retries(b, 10))
}

func TestBudgetConcurrently(t *testing.T) {
	b := newBudget(0.5, 0)
	var wg sync.WaitGroup
	var allowed atomic.Int64
	for range 4 {
		wg.Go(func() {
			requests(b, 1000)
			allowed.Add(int64(retries(b, 1000)))
		})
	}
	wg.Wait()
	assert.LessOrEqual(t, allowed.Load(), int64(2000))
	assert.GreaterOrEqual(t, allowed.Load()+int64(retries(b, 4000)), int64(1900), "nothing is lost")
}

func BenchmarkBudgetRequest(b *testing.B) {
	budget := newBudget(0.2, 3)
	b.ReportAllocs()
	for b.Loop() {
		budget.request()
	}
}
