package albtest

// Unknowns decide what AWS does not document. The zero value is the likeliest
// guess of each; a service that is right under every other value as well does
// not depend on the guess.
type Unknowns struct {
	// SeveralXFF is what mode Append does to several X-Forwarded-For lines. At
	// Lambda targets KeepAndAdd was seen; nothing is known about others.
	// Zero: JoinLines.
	SeveralXFF SeveralXFF

	// XFFLimitCountsPeer counts the entry that the balancer appends among the
	// 30 addresses it takes. Zero: it counts what the client sent, as the text
	// about 463 says.
	XFFLimitCountsPeer bool

	// DropClientAmzn removes X-Amzn-Mtls-, X-Amzn-Tls- and X-Amzn-Oidc- headers
	// that a client sends. Zero: those that the balancer does not write itself
	// pass, since no page says otherwise.
	DropClientAmzn bool

	// RejectInvalidNames answers 400 to names that are not letters, digits and
	// hyphens where HTTP/2 is enabled; a comment in AWS's SDK speaks of
	// stricter checks there. Zero: they pass, as drop_invalid_header_fields
	// promises.
	RejectInvalidNames bool

	// RejectBareLF answers 400 to lines that end without a carriage return.
	// Zero: they pass, and the target gets both.
	RejectBareLF bool

	// HealthCheckAcceptEncoding adds "Accept-Encoding: gzip, compressed" to
	// health checks, which some remember and no page shows. Zero: it is absent.
	HealthCheckAcceptEncoding bool

	// HealthCheckTraceID adds X-Amzn-Trace-Id to health checks. Zero: it is
	// absent, as in every capture that was found.
	HealthCheckTraceID bool

	// HealthCheckHostWithPort443 names port 443 in the Host of health checks
	// over HTTPS. Zero: it is left out, like port 80 over HTTP, which AWS's
	// example shows.
	HealthCheckHostWithPort443 bool

	// InitialUntilThreshold keeps a new target initial until as many checks have
	// failed as make a healthy one unhealthy. Zero: the first check decides, as
	// it does when it passes.
	InitialUntilThreshold bool

	// SNI is the server name that HTTPS targets see. Zero: none.
	SNI string

	// StandardTitles titles 503 and 504 bodies as RFC 9110 names the codes.
	// Zero: as nginx does, from whose templates the known bodies come.
	StandardTitles bool

	// MaxLocation is how long a redirect's Location gets before the balancer
	// answers 507; no page gives a number. Zero: 8192 bytes.
	MaxLocation int
}

// SeveralXFF is what happens to several X-Forwarded-For lines.
type SeveralXFF uint8

const (
	// JoinLines makes them one line, and appends to it.
	JoinLines SeveralXFF = iota
	// AppendToLast appends to the last line and leaves the others.
	AppendToLast
	// KeepAndAdd leaves them and adds a line with the client alone.
	KeepAndAdd
)

// String returns the name of the constant.
func (s SeveralXFF) String() string { return word(s, "JoinLines", "AppendToLast", "KeepAndAdd") }
