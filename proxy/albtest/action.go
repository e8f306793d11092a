package albtest

// Action is Forward, Redirect or FixedResponse.
type Action interface {
	check(field string, l *Listener, cfg *Config, errs *ConfigErrors)
}

// Forward sends the request to a target of one of the groups.
type Forward []WeightedGroup

// WeightedGroup is one of the groups that an action forwards to.
type WeightedGroup struct {
	// Group is its name in Config.TargetGroups.
	Group string
	// Weight is its share, 0 to 999; a group with weight 0 gets nothing. It
	// does not matter where there is one group only.
	Weight int
}

// ForwardTo is the Forward to a single group.
func ForwardTo(group string) Forward { return Forward{{Group: group}} }

// Redirect answers with another address of the same resource. Fields that are
// empty keep what the request has. In Host, Path and Query, #{protocol},
// #{host}, #{port}, #{path} (without its first slash) and #{query} stand for
// the request's own; Location always names a port, even the scheme's own.
//
// The zero value is refused, since it redirects to itself.
//
// Source: docs.aws.amazon.com/elasticloadbalancing/latest/application/rule-action-types.html
type Redirect struct {
	// Protocol is "HTTP", "HTTPS" or "#{protocol}". An HTTPS listener cannot
	// redirect to HTTP.
	Protocol string
	// Port is "1" to "65535", or "#{port}".
	Port string
	// Host is a host, or has #{host} in it.
	Host string
	// Path begins with a slash. Empty: "/#{path}".
	Path string
	// Query has no question mark at its start. Empty: "#{query}".
	Query string
	// StatusCode is 301 or 302. Zero: 301.
	StatusCode int
}

// ToHTTPS is the redirect that AWS's console makes for listener 80: the same
// address with https and port 443, permanently.
func ToHTTPS() Redirect { return Redirect{Protocol: "HTTPS", Port: "443"} }

// FixedResponse is an answer of the balancer's own.
type FixedResponse struct {
	// StatusCode is 2xx, 4xx or 5xx.
	StatusCode int
	// ContentType is text/plain, text/css, text/html, application/javascript
	// or application/json. Empty: text/plain.
	ContentType string
	// MessageBody is at most 1024 bytes.
	MessageBody string
}
