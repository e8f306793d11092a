package forwarded

import (
	"net/http"
	"slices"
	"strings"

	"github.com/knownhops/knownhops/internal/family"
)

// isExtra reports whether name is one of the headers that only this topology
// knows, or an alias of one.
func (t *topology) isExtra(name string) bool {
	return slices.ContainsFunc(t.extra, func(extra string) bool {
		if len(extra) != len(name) {
			return false
		}
		for i := range len(name) {
			if family.Fold(name[i]) != extra[i] {
				return false
			}
		}
		return true
	})
}

// Strip removes the whole forwarding family with its aliases from a header
// and a trailer, either of which may be nil: what a proxy does before it
// writes its own. It changes the maps in place.
func Strip(header, trailer http.Header) {
	for _, h := range []http.Header{header, trailer} {
		for name := range h {
			if member, _ := family.Has(name); member {
				delete(h, name)
			}
		}
	}
}

func splitNames(joined string) []string { return strings.Split(joined, ",") }
