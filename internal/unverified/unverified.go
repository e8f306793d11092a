// Package unverified leads from a request that forwarded.Policy.Wrap handed on
// to what it removed from it: headers that nobody vouched for. They are good
// for one thing, to tell an operator what is wrong. No answer may depend on
// them.
package unverified

import (
	"context"
	"net/http"
)

// A Source is what Wrap keeps of a request.
type Source interface {
	Original() *http.Request // the request as it came
	HopName(k int) string    // of the k-th declared hop, the nearest being 1; "": there is none
}

// Key finds the Source in a context.
type Key struct{}

// From returns what the context's Wrap kept, or nil.
func From(ctx context.Context) Source {
	s, _ := ctx.Value(Key{}).(Source)
	return s
}
