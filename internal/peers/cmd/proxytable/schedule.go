//go:build linux

package main

import (
	"fmt"
	"time"
)

// A turn is one run: indexes into the rounds, cases and contestants.
type turn struct{ round, kind, contestant int }

// schedule orders the runs: round by round and case by case, the contestants of a case next to each other, in reverse
// order every other round.
func schedule(rounds, kinds, contestants int) (turns []turn) {
	for round := range rounds {
		for kind := range kinds {
			for i := range contestants {
				if round%2 == 1 {
					i = contestants - 1 - i
				}
				turns = append(turns, turn{round, kind, i})
			}
		}
	}
	return turns
}

// remaining estimates the time left from the runs so far.
func remaining(spent time.Duration, done, all int) string {
	if done == 0 {
		return ""
	}
	left := spent / time.Duration(done) * time.Duration(all-done)
	return fmt.Sprintf(" (%v to go)", left.Round(time.Second))
}
