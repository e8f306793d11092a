package redirect

// A Decision is what an Enforcer does with a request, and why.
type Decision struct {
	Action   Action
	Status   int      // of the answer; 0 for Pass
	Location string   // absolute, for Redirect only
	Reason   Reason   // never zero
	Signals  []Signal // that the client used https although the request says http
	Fix      string   // what an operator should change, in one sentence; "": nothing
}

// Action is who answers. The zero value is Refuse.
type Action uint8

// The actions.
const (
	Refuse   Action = iota // the Enforcer, with an error
	Redirect               // the Enforcer, with a Location
	Pass                   // the next handler
)

var actionNames = [...]string{"refuse", "redirect", "pass"}

// String is the action in one lower-case word.
func (a Action) String() string {
	if int(a) < len(actionNames) {
		return actionNames[a]
	}
	return "invalid"
}

// MarshalText is String.
func (a Action) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// A Signal is a sign, in a request that seems to have come over http, that the
// client used https: a proxy further out ended TLS, and the request lost the
// word of it. Redirecting such a client to https sends it in a circle.
//
// Clients can forge signals. One may turn a redirect into an error, never into
// a pass: otherwise whoever can change plain http could have it served.
type Signal struct {
	Strength Strength
	Header   string // that shows it
	Value    string // of that header, quoted and cut for the log; never a cookie's
}

// String is the signal in one line.
func (s Signal) String() string {
	if s.Value == "" {
		return s.Header + " (" + s.Strength.String() + ")"
	}
	return s.Header + ": " + s.Value + " (" + s.Strength.String() + ")"
}

// Strength is how much a Signal says. The zero value is Hint.
type Strength uint8

// The strengths. Proof ends the loop with an error; the others are only told
// to the operator.
const (
	Hint   Strength = iota // another header of the request says https
	Strong                 // browsers send the header to https only (Fetch Metadata)
	Proof                  // a cookie came back that browsers keep from http
)

var strengthNames = [...]string{"hint", "strong", "proof"}

// String is the strength in one lower-case word.
func (s Strength) String() string {
	if int(s) < len(strengthNames) {
		return strengthNames[s]
	}
	return "invalid"
}

// MarshalText is String.
func (s Strength) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
