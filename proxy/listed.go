package proxy

import (
	"iter"
	"strings"
)

// listed yields the items of a comma-separated list over several lines, without
// blanks and empty ones.
func listed(lines []string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, line := range lines {
			for rest, more := line, true; more; {
				var item string
				item, rest, more = strings.Cut(rest, ",")
				if item = strings.Trim(item, " \t"); item != "" && !yield(item) {
					return
				}
			}
		}
	}
}

// hasToken looks for a token in such a list, in any case.
func hasToken(lines []string, token string) bool {
	for item := range listed(lines) {
		if strings.EqualFold(item, token) {
			return true
		}
	}
	return false
}
