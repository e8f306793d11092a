package forwarded

import "slices"

// A Hop is one proxy in front of this process: where it connects from, and
// what it does with each header. Hops are listed nearest first, and each is
// consumed at most once, so their number is a promise: a proxy that is not
// declared is taken for the client.
//
// A Hop is plain data. The zero Hop is not legal: it names nobody.
type Hop struct {
	// Name stands in warnings and explanations. Presets fill it in.
	Name string

	// From lists who it is: addresses or CIDRs that it connects from as the
	// next hop inwards sees them, "unix" for the peer of a unix socket, or
	// [AnyPeer]. An empty list, or an empty string in it, is an error.
	From []string

	// Self lists addresses or CIDRs of its own, of which it appends one after
	// the client's (Google Cloud's load balancer does). Only for
	// [AppendsWithSelf]; the entry is checked against it.
	Self []string

	// Shared says that others rent the same addresses, as with every CDN: an
	// attacker's own distribution connects from them too. Without a Secret,
	// [Policy.Lint] and a warning at start-up say so.
	Shared bool

	// ReplacesHost says that it sends a Host of its own instead of the
	// client's: bare nginx, Apache without ProxyPreserveHost, CloudFront
	// without the viewer's Host.
	ReplacesHost bool

	// Secret is a header that proves that the hop is yours; zero: none. It is
	// removed from the request on every path.
	Secret Secret

	// Vouches lists further headers that it replaces or removes on every
	// request, such as X-Forwarded-User behind oauth2-proxy. They stay in
	// requests that came through it, as they are; Info does not read them. A
	// header that it may pass from a client must not stand here.
	Vouches []string

	// What it does with each kind of header; zero: it passes what came.
	// Host speaks of X-Forwarded-Host and of Forwarded's host parameter,
	// never of the Host header itself.
	For, Proto, Host, Port, Prefix, ClientCert Rule
}

// AnyPeer in [Hop.From] matches everybody. It is legal only spelled out, for
// platforms whose router is the only way in; anywhere else it lets every
// client write its own address.
const AnyPeer = "any"

// clone copies what a caller could still change.
func (h Hop) clone() Hop {
	h.From = slices.Clone(h.From)
	h.Self = slices.Clone(h.Self)
	h.Vouches = slices.Clone(h.Vouches)
	h.Secret.Values = slices.Clone(h.Secret.Values)
	return h
}

// speaksPROXY reports whether the hop says who the client is in a PROXY header.
func (h *Hop) speaksPROXY() bool { return h.For.op == fromPROXY }
