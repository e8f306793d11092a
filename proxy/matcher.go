package proxy

import (
	"strings"
)

// A matcher is the set of statuses that a probe may be answered with.
type matcher []statusRange

type statusRange struct{ from, to int }

// has reports whether a status passes.
func (m matcher) has(status int) bool {
	for _, r := range m {
		if r.from <= status && status <= r.to {
			return true
		}
	}
	return false
}

// parseMatcher reads "200", "200,204" or "200-299", which is the grammar of an
// ALB target group's matcher; reason says what is wrong with it, if anything.
func parseMatcher(s string) (m matcher, reason string) {
	for item := range strings.SplitSeq(s, ",") {
		first, last, isRange := strings.Cut(item, "-")
		if !isRange {
			last = first
		}
		from, to := parseStatus(first), parseStatus(last)
		switch {
		case from == 0 || to == 0:
			return nil, "not a list of statuses from 200 to 599"
		case from > to:
			return nil, "a range that ends before it begins"
		}
		m = append(m, statusRange{from, to})
	}
	return m, ""
}

// parseStatus reads three digits, 200 to 599; 0: it is something else. What
// begins with 1 is never the last word of an answer.
func parseStatus(s string) (n int) {
	if len(s) != 3 || s[0] < '2' || s[0] > '5' {
		return 0
	}
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return 0
		}
		n = 10*n + int(c-'0')
	}
	return n
}
