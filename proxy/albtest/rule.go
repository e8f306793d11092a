package albtest

// Rule is one of a listener's rules.
//
// Source: docs.aws.amazon.com/elasticloadbalancing/latest/application/listener-update-rules.html
type Rule struct {
	// Priority is 1 to 50000 and unique on its listener; the smallest is tried
	// first.
	Priority int

	// Conditions must all hold. At least one is required.
	Conditions []Condition

	// Action is done when they do.
	Action Action
}

// Condition is HostHeader, PathPattern, HTTPHeader, RequestMethod, QueryString
// or SourceIP. It holds when one of its values matches. In values, * stands for
// any characters, also none, and ? for exactly one, where the condition says
// so; a rule may have five values and five wildcards in all.
type Condition interface {
	holds(m *message) bool
	words() []string // its values, as the limits count them
	check(field string, errs *ConfigErrors)
}

// HostHeader looks at the host without its port, in either case, with
// wildcards: "www.example.com", "*.example.com". The latter does not match
// example.com.
type HostHeader []string

// PathPattern looks at the path as it came, without the query, in exact case,
// with wildcards: "/img/*". It changes nothing in the path.
type PathPattern []string

// HTTPHeader looks at the lines of one header, in order, in either case, with
// wildcards.
type HTTPHeader struct {
	Name   string // at most 40 characters, in either case
	Values []string
}

// RequestMethod looks at the method in exact case, without wildcards.
type RequestMethod []string

// QueryString looks at the pairs of the query as they came, not decoded, in
// either case, with wildcards.
type QueryString []KeyValue

// KeyValue is one pair of a query. Without a Key, Value matches a parameter of
// any name.
type KeyValue struct{ Key, Value string }

// SourceIP looks at who connected to the balancer, never at X-Forwarded-For. Its
// values are networks, "192.0.2.0/24".
type SourceIP []string
