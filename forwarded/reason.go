package forwarded

// Reason says why an answer is what it is, in one stable snake_case word: the
// same in logs, metrics, the explain page and the docs. The zero Reason means
// that there is nothing to explain.
type Reason uint8

// Reasons of Info.Reason, the client's.
const (
	ReasonDirect     Reason = iota + 1 // the peer is no declared hop, so it is the client
	ReasonLocal                        // the first hop wrote nothing: it speaks for itself, as a health check does
	ReasonForwarded                    // every consumed hop wrote the entry that it should
	ReasonMismatch                     // a header has fewer or more entries than the hops should have written
	ReasonMalformed                    // the entry is not an address
	ReasonObfuscated                   // the hop said "unknown" or gave a pseudonym (RFC 7239 §6.2, §6.3)
	ReasonNotVisible                   // a hop does not write who connected, or one further in destroyed it
	ReasonTooLong                      // the entries exceed the budget for hostile headers
	ReasonSkippedHop                   // the address belongs to a hop further out than the next
	ReasonBadSecret                    // right addresses, wrong or missing secret
	ReasonBadPeer                      // the request's RemoteAddr is no address with a port
	ReasonConflict                     // two sources contradict each other; for Infos of your own, a Policy reads one per kind
)

// Reasons of Info.SchemeReason, beside those of the client.
const (
	ReasonSchemeLost    Reason = iota + ReasonConflict + 1 // the topology destroys it; Lint says where
	ReasonSchemeMissing                                    // the hop did not write it this time
	ReasonBadProto                                         // neither http nor https
)

// Reasons of Info.HostReason.
const (
	ReasonBadHost        Reason = iota + ReasonBadProto + 1 // no valid host name
	ReasonHostNotAllowed                                    // not in Config.Hosts
	ReasonHostReplaced                                      // a hop sent a Host of its own
)

// ReasonNoPolicy is for code that needs an Info and finds that no Policy ran.
const ReasonNoPolicy = ReasonHostReplaced + 1

var reasonNames = [...]string{
	"", "direct", "local", "forwarded", "mismatch", "malformed", "obfuscated", "not_visible", "too_long",
	"skipped_hop", "bad_secret", "bad_peer", "conflict",
	"scheme_lost", "scheme_missing", "bad_proto",
	"bad_host", "host_not_allowed", "host_replaced", "no_policy",
}

// String is the reason's word; "" for the zero Reason.
func (r Reason) String() string { return nameOf(reasonNames[:], int(r)) }

// MarshalText is String.
func (r Reason) MarshalText() ([]byte, error) { return []byte(r.String()), nil }
