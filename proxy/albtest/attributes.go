package albtest

import "time"

// Attributes are the balancer's, by AWS's names; the zero value of each field
// is AWS's default.
//
// Source: docs.aws.amazon.com/elasticloadbalancing/latest/application/application-load-balancers.html
type Attributes struct {
	// XFFHeaderProcessing says what happens to X-Forwarded-For
	// (routing.http.xff_header_processing.mode). Zero: Append.
	XFFHeaderProcessing XFFMode

	// XFFClientPort adds the client's port to the appended entry
	// (routing.http.xff_client_port.enabled): 192.0.2.1:5678, [2001:db8::1]:5678.
	// It matters in mode Append only.
	XFFClientPort bool

	// PreserveHostHeader passes Host as it came
	// (routing.http.preserve_host_header.enabled). Otherwise listeners 80 and
	// 443 remove a port, other listeners add theirs, and the authority of an
	// absolute request target replaces Host.
	PreserveHostHeader bool

	// DropInvalidHeaderFields removes fields whose names are not letters,
	// digits and hyphens (routing.http.drop_invalid_header_fields.enabled).
	DropInvalidHeaderFields bool

	// DesyncMitigation says what happens to requests that could be framed in
	// two ways (routing.http.desync_mitigation_mode). Zero: Defensive.
	DesyncMitigation DesyncMode

	// IdleTimeout is how long a connection to a client or to a target may move
	// no byte (idle_timeout.timeout_seconds), 1 to 4000 s. Zero: 60 s. A
	// target that closes its idle connections earlier causes 502s.
	IdleTimeout time.Duration

	// ClientKeepAlive is how old a client's connection gets before the
	// balancer ends it after one more request (client_keep_alive.seconds), 60
	// to 604800 s. Zero: 3600 s.
	ClientKeepAlive time.Duration

	// DisableHTTP2 offers clients of HTTPS listeners HTTP/1.1 only
	// (routing.http2.enabled=false).
	DisableHTTP2 bool

	// TLSVersionAndCipherSuite adds X-Amzn-Tls-Version and
	// X-Amzn-Tls-Cipher-Suite to requests that came over TLS
	// (routing.http.x_amzn_tls_version_and_cipher_suite.enabled).
	TLSVersionAndCipherSuite bool
}

// XFFMode says what the balancer does to X-Forwarded-For.
type XFFMode uint8

const (
	// Append adds the client to what the client itself sent, so that only the
	// rightmost entry is the balancer's. It is AWS's default.
	Append XFFMode = iota
	// Preserve passes what the client sent, and adds nothing.
	Preserve
	// Remove lets nothing through, and adds nothing.
	Remove
)

// String returns AWS's word for the mode.
func (m XFFMode) String() string { return word(m, "append", "preserve", "remove") }

// DesyncMode says what the balancer does to requests that could be framed in
// two ways.
//
// Source: docs.aws.amazon.com/elasticloadbalancing/latest/application/application-load-balancers.html#desync-mitigation-mode
type DesyncMode uint8

const (
	// Defensive forwards ambiguous requests and closes both connections after
	// them, and answers severe ones with 400. It is AWS's default.
	Defensive DesyncMode = iota
	// Monitor forwards everything that can be forwarded.
	Monitor
	// Strictest answers everything that does not comply with RFC 7230 with 400.
	Strictest
)

// String returns AWS's word for the mode.
func (m DesyncMode) String() string { return word(m, "defensive", "monitor", "strictest") }

// word names a small enumeration's value.
func word[E ~uint8](e E, words ...string) string {
	if int(e) < len(words) {
		return words[e]
	}
	return "invalid"
}
