package forwarded

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// A Rule says what one hop does with the headers of one kind. It decides what
// a client can forge: a header that a hop replaces cannot be, one that it
// passes can. The zero Rule passes. Rules are comparable and immutable.
type Rule struct {
	op     op
	header string // canonical; for drops: sorted names joined by commas, "" for all
}

type op uint8

const (
	passes op = iota
	sets
	appends
	appendsSelf
	relays
	drops
	fromPROXY
)

// Sets replaces whatever came in header by the hop's own value.
func Sets(header string) Rule { return Rule{sets, http.CanonicalHeaderKey(header)} }

// Appends adds the hop's own value at the right end of header, a list.
func Appends(header string) Rule { return Rule{appends, http.CanonicalHeaderKey(header)} }

// AppendsWithSelf adds two values at the right end of header: the client's
// address and then one of the hop's own, which [Hop.Self] must name. It is
// legal for the For rule only.
func AppendsWithSelf(header string) Rule {
	return Rule{appendsSelf, http.CanonicalHeaderKey(header)}
}

// Relays writes, in place of whatever came in header, what the hop itself has
// found out about the client's own connection, beyond the proxies in front of
// it. To a request that came straight to the hop that is [Sets]; what a hop
// further out wrote survives, as the hop understood it. It is what this module's
// package proxy does. It is not legal for the For rule, where each connection
// has an entry of its own.
func Relays(header string) Rule { return Rule{relays, http.CanonicalHeaderKey(header)} }

// Passes leaves whatever came, the client's own words included.
func Passes() Rule { return Rule{} }

// Drops removes the named headers, or every header of that kind if none is
// named.
func Drops(headers ...string) Rule {
	names := make([]string, len(headers))
	for i, h := range headers {
		names[i] = http.CanonicalHeaderKey(h)
	}
	slices.Sort(names)
	joined := strings.Join(slices.Compact(names), ",")
	if joined == "" && len(headers) > 0 {
		joined = "," // an empty name must not drop everything; New refuses it
	}
	return Rule{drops, joined}
}

// FromPROXY takes the value from the PROXY header of the connection, which
// package proxyproto reads. It is legal in the first hop only.
func FromPROXY() Rule { return Rule{op: fromPROXY} }

// writes reports whether the hop leaves a value of its own in a header.
func (r Rule) writes() bool {
	return r.op == sets || r.op == appends || r.op == appendsSelf || r.op == relays
}

// dropsHeader reports whether the rule removes header.
func (r Rule) dropsHeader(header string) bool {
	return r.op == drops && slices.Contains(strings.Split(r.header, ","), header)
}

// ruleWords are the words of the text form; those that end in a colon take a
// header name.
var ruleWords = [...]string{
	passes: "passes", sets: "sets:", appends: "appends:", appendsSelf: "appends-self:", relays: "relays:", drops: "drops", fromPROXY: "proxy",
}

// String is the text form that [ParseHops] reads: "appends:X-Forwarded-For".
func (r Rule) String() string {
	word := ruleWords[r.op]
	if r.op == drops && r.header != "" {
		word += ":"
	}
	return word + r.header
}

// MarshalText is String.
func (r Rule) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads what String writes.
func (r *Rule) UnmarshalText(text []byte) error {
	word, names, named := strings.Cut(string(text), ":")
	if named && names == "" {
		return fmt.Errorf("rule %q names no header", text)
	}
	switch {
	case word == "drops" && named:
		*r = Drops(strings.Split(names, ",")...)
		return nil
	case named:
		word += ":"
	}
	o := slices.Index(ruleWords[:], word)
	if o < 0 {
		return fmt.Errorf("rule %q is none of passes, sets:H, appends:H, appends-self:H, relays:H, drops, drops:H, proxy", text)
	}
	*r = Rule{op(o), http.CanonicalHeaderKey(names)}
	return nil
}

// kind is one of the six things that a hop may say about a connection.
type kind uint8

const (
	kindFor kind = iota
	kindProto
	kindHost
	kindPort
	kindPrefix
	kindCert
	kinds
)

var kindNames = [kinds]string{"For", "Proto", "Host", "Port", "Prefix", "ClientCert"}

func (k kind) String() string { return kindNames[k] }

// rule returns the hop's rule for one kind, for reading and setting.
func (h *Hop) rule(k kind) *Rule {
	return [...]*Rule{&h.For, &h.Proto, &h.Host, &h.Port, &h.Prefix, &h.ClientCert}[k]
}
