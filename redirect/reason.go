package redirect

// Reason says why a Decision is what it is, in one stable snake_case word: the
// same in logs, metrics and docs. The zero Reason stands for none.
type Reason uint8

// The reasons, in the order in which they are looked for.
const (
	ReasonNoPolicy       Reason = iota + 1 // no decision's: no Info, and forwarding headers that nobody has judged
	ReasonBadTarget                        // 400: CONNECT, or a target that is no path
	ReasonUnknownHost                      // 421: a host that is not ours, or none
	ReasonIPHost                           // 421: an address in place of a host name
	ReasonHostLost                         // 421: a hop sent a Host of its own
	ReasonDirectAccess                     // 421: RequireProxy, and not through all declared hops
	ReasonPlainHost                        // passes: one of PlainHosts
	ReasonPassedHTTPS                      // passes: https, canonical host
	ReasonHostRedirected                   // 301 or 308: https, another name of ours
	ReasonExempt                           // passes: http, one of Exempt
	ReasonLoopBroken                       // 500: the redirect would come back for ever
	ReasonNoProof                          // 503, or passes: nothing shows that https works
	ReasonWebSocket                        // 403: ws, which no browser lets itself be redirected
	ReasonRedirected                       // 301: http
	ReasonPreserved                        // 308: http, a method other than GET and HEAD
	ReasonUnsafeRefused                    // 403: the same with RefuseUnsafe
	ReasonBadScheme                        // 400: what the hops wrote about the scheme contradicts itself
	ReasonUnknownScheme                    // passes, or 400 with RefuseUnknown: nobody knows the scheme
	ReasonTooLong                          // 414: the Location would exceed 8 KiB
	ReasonLoopSuspected                    // no decision's, only counted: redirected in spite of signals
	reasons
)

var reasonNames = [reasons]string{
	"", "no_policy", "bad_target", "unknown_host", "ip_host", "host_lost", "direct_access", "plain_host", "passed_https",
	"host_redirected", "exempt", "loop_broken", "no_proof", "websocket", "redirected", "preserved", "unsafe_refused",
	"bad_scheme", "unknown_scheme", "too_long", "loop_suspected",
}

// String is the reason's word; "" for the zero Reason.
func (r Reason) String() string {
	if r < reasons {
		return reasonNames[r]
	}
	return "invalid"
}

// MarshalText is String, so that Stats is fit for JSON.
func (r Reason) MarshalText() ([]byte, error) { return []byte(r.String()), nil }
