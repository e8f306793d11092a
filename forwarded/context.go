package forwarded

import (
	"context"
	"fmt"
	"net/http"

	"github.com/knownhops/knownhops/internal/unverified"
)

// infoKey finds the *Info in a context, carrierKey what Wrap keeps beside it.
type (
	infoKey    struct{}
	carrierKey struct{}
)

// FromContext returns the Info that Wrap or NewContext put into ctx, and
// whether there is one.
func FromContext(ctx context.Context) (Info, bool) {
	info, ok := ctx.Value(infoKey{}).(*Info)
	if !ok {
		return Info{}, false
	}
	return *info, true
}

// NewContext returns a copy of ctx that carries info instead of what it
// carried: for tests, and for resolvers of your own. On a wrapped request only
// the Info changes; Explain still shows what Wrap saw.
func NewContext(ctx context.Context, info Info) context.Context {
	return context.WithValue(ctx, infoKey{}, &info)
}

// carrier is everything that Wrap hands on, in one allocation: the context
// with the Info, and the copy of the request that uses it. Whoever keeps the
// context keeps the request alive.
type carrier struct {
	context.Context
	walk walk
	topo *topology
	orig *http.Request
	req  http.Request
}

// Value answers for the Info and for the carrier itself.
func (c *carrier) Value(key any) any {
	switch key.(type) {
	case infoKey:
		return &c.walk.info
	case carrierKey, unverified.Key:
		return c
	}
	return c.Context.Value(key)
}

// Original and HopName make the carrier an unverified.Source, for diagnosis.
func (c *carrier) Original() *http.Request { return c.orig }

// HopName is the name of the k-th declared hop.
func (c *carrier) HopName(k int) string {
	if k < 1 || k > len(c.topo.nodes) {
		return ""
	}
	return c.topo.nodes[k-1].name
}

// Format keeps fmt from printing the request with its headers.
func (c *carrier) Format(f fmt.State, _ rune) { fmt.Fprint(f, c.Context, ".WithForwarded") }

// String is for package context, which asks its parents for it.
func (c *carrier) String() string { return fmt.Sprint(c) }

// carriedOrPrefix returns what an outer Wrap left, or nil and the prefix that
// was taken off in this process before any policy ran, which is all that an Info
// without a status can know.
func carriedOrPrefix(r *http.Request) (c *carrier, prefix string) {
	info, ok := r.Context().Value(infoKey{}).(*Info)
	if !ok {
		return nil, ""
	}
	if c = carried(r); c == nil && info.Status == StatusNone {
		prefix = info.Prefix
	}
	return c, prefix
}

// carried returns what an outer Wrap left, or nil.
func carried(r *http.Request) *carrier {
	c, _ := r.Context().Value(carrierKey{}).(*carrier)
	return c
}
