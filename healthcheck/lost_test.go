package healthcheck

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

// TestLostErrorText: one sentence that says what was lost, and why.
func TestLostErrorText(t *testing.T) {
	many := make([]LostRequest, 11)
	for i := range many {
		many[i] = LostRequest{Method: "GET", Path: fmt.Sprintf("/%d", i), Age: time.Duration(i) * time.Second}
	}
	for want, e := range map[string]LostError{
		"healthcheck: lost 1 request in flight (POST /orders after 1.5s): the time was up": {
			Requests: []LostRequest{{"POST", "/orders", 1500 * time.Millisecond}}, Cause: "the time was up"},
		"healthcheck: lost 2 tracked connections (chat), 1 tracked connection (feed): a second signal": {
			Tracked: map[string]int{"feed": 1, "chat": 2}, Cause: "a second signal"},
		"healthcheck: lost 3 requests that came too late": {Dropped: 3},
		"healthcheck: lost 11 requests in flight (GET /0 after 0s, GET /1 after 1s, GET /2 after 2s, GET /3 after 3s, " +
			"GET /4 after 4s, GET /5 after 5s, GET /6 after 6s, GET /7 after 7s, 3 more)": {Requests: many},
	} {
		assert.Equal(t, want, e.Error())
		assert.False(t, e.none())
	}
	assert.True(t, new(LostError).none())
}

// TestLostErrorIsFound: a caller asks with errors.As, also when there is more.
func TestLostErrorIsFound(t *testing.T) {
	var lost *LostError
	s := &service{ended: make(chan error)}
	s.failed = []error{errors.New("accept")}
	assert.ErrorAs(t, s.verdict(&LostError{Dropped: 1}), &lost)
	assert.Equal(t, 1, lost.Dropped)
	assert.Error(t, s.verdict(nil))
	assert.Equal(t, &LostError{Dropped: 1}, new(service).verdict(&LostError{Dropped: 1}))
	assert.NoError(t, new(service).verdict(nil), "a nil *LostError is no error")
}
