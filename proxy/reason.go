package proxy

import "net/http"

// Reason is the stable, low-cardinality word for what happened to an exchange:
// the same in the log, in metrics and in the documentation.
type Reason uint8

// The reasons. Each comment says when it is given; the status is what the
// client gets.
const (
	ReasonNone Reason = iota

	// The upstream's.
	ReasonConnectionRefused // 502: nothing listens at the upstream's address
	ReasonUnreachable       // 502: no route to it, or the connection was not made for another reason
	ReasonDNS               // 502: its name does not resolve
	ReasonTLS               // 502: the handshake with it failed
	ReasonConnectionLost    // 502: it closed or reset the connection before it answered
	ReasonMalformedAnswer   // 502: what it sent is no HTTP, or contradicts itself
	ReasonHeadTooLarge      // 502: its answer's head exceeds Limits.ResponseHeader
	ReasonTruncated         // 502 if nothing was passed on yet: its answer broke off
	ReasonBroken            // 502: any other failure of the connection
	ReasonUpgradeRefused    // 502: it switched protocols unasked, or wrongly
	ReasonConnectTimeout    // 504: no connection within Timeouts.Dial or TLSHandshake
	ReasonAnswerTimeout     // 504: no head within Timeouts.Head
	ReasonBodyTimeout       // 504 if nothing was passed on yet: its body stopped for Timeouts.Idle
	ReasonWriteTimeout      // 504: it did not take the request for Timeouts.Idle
	ReasonTotalTimeout      // 504: the exchange took longer than Timeouts.Total

	// The proxy's own.
	ReasonNoUpstream   // 503: the active checks found no upstream healthy
	ReasonOverloaded   // 503: every upstream has Limits.InFlight requests
	ReasonShuttingDown // 503: Shutdown was called
	ReasonNoHijacker   // 500: a handler in front of the proxy hides http.Hijacker, which a WebSocket needs
	ReasonLoop         // 508: this proxy's own name stands in Via too often

	// The client's.
	ReasonBadRequest       // 400: the request cannot be passed on as it stands
	ReasonMalformedBody    // 400: its body is malformed
	ReasonBodyTooLarge     // 413: its body exceeds Limits.RequestBody
	ReasonClientSlow       // 408: its body stopped for Timeouts.Idle
	ReasonTargetTooLong    // 414: its target exceeds Limits.URI
	ReasonHeaderTooLarge   // 431: its header exceeds Limits.RequestHeader
	ReasonMethodRefused    // 405: TRACE
	ReasonConnectRefused   // 501: CONNECT
	ReasonClientGone       // 499, logged only: it left before the answer was complete
	ReasonClientUnreadable // 499, logged only: it did not take the answer for Timeouts.Idle
)

// A reasonInfo is what goes with a reason. proxyStatus is its error type in
// the Proxy-Status field (RFC 9209 §2.3).
type reasonInfo struct {
	name        string
	status      int
	proxyStatus string
	hint        string
}

var reasonInfos = [...]reasonInfo{
	ReasonNone: {"none", http.StatusInternalServerError, "proxy_internal_error", ""},

	ReasonConnectionRefused: {"connection_refused", 502, "connection_refused",
		"nothing listens there: is the application started, and on this address and port?"},
	ReasonUnreachable: {"unreachable", 502, "destination_ip_unroutable",
		"the address cannot be reached: check it, the route and the firewall"},
	ReasonDNS: {"dns", 502, "dns_error",
		"the upstream's name does not resolve: check its spelling and the resolver"},
	ReasonTLS: {"tls", 502, "tls_protocol_error",
		"the TLS handshake failed: does it speak https there, with a certificate for this name?"},
	ReasonConnectionLost: {"connection_lost", 502, "connection_terminated",
		"it closed the connection before it answered: look for a crash or restart in its log, and compare its idle time-out with Timeouts.UpstreamIdle"},
	ReasonMalformedAnswer: {"malformed_answer", 502, "http_protocol_error",
		"what it sent is no valid HTTP/1.1: does another service, or https, listen there?"},
	ReasonHeadTooLarge: {"head_too_large", 502, "http_response_header_section_size",
		"its answer's head is too large: look for cookies that grow; Limits.ResponseHeader is the limit"},
	ReasonTruncated: {"truncated", 502, "http_response_incomplete",
		"its answer broke off: look for a crash or a kill in its log"},
	ReasonBroken: {"broken", 502, "connection_terminated",
		"the connection failed: the error says how"},
	ReasonUpgradeRefused: {"upgrade_refused", 502, "http_upgrade_failed",
		"it did not switch to WebSocket as asked: does this path speak it?"},
	ReasonConnectTimeout: {"connect_timeout", 504, "connection_timeout",
		"no connection in time: is the machine up, and does the firewall let this proxy through?"},
	ReasonAnswerTimeout: {"answer_timeout", 504, "http_response_timeout",
		"it did not answer in time: is it overloaded, or does the request need longer than Timeouts.Head?"},
	ReasonBodyTimeout: {"body_timeout", 504, "connection_read_timeout",
		"its answer stopped halfway: streams must send something within Timeouts.Idle"},
	ReasonWriteTimeout: {"write_timeout", 504, "connection_write_timeout",
		"it stopped reading the request: is it overloaded?"},
	ReasonTotalTimeout: {"total_timeout", 504, "http_response_timeout",
		"the exchange took longer than Timeouts.Total"},

	ReasonNoUpstream: {"no_upstream", 503, "destination_unavailable",
		"no upstream passes its health check: Status says why"},
	ReasonOverloaded: {"overloaded", 503, "connection_limit_reached",
		"every upstream has as many requests as Limits.InFlight allows"},
	ReasonShuttingDown: {"shutting_down", 503, "destination_unavailable",
		"this proxy is shutting down"},
	ReasonNoHijacker: {"no_hijacker", 500, "proxy_internal_error",
		"a handler in front of the proxy hides http.Hijacker, without which no WebSocket can be passed on: look for wrappers without Unwrap, such as http.TimeoutHandler"},
	ReasonLoop: {"loop", 508, "proxy_loop_detected",
		"the upstream sends requests back to this proxy: check its own upstreams and Config.Upstreams"},

	ReasonBadRequest:       {"bad_request", 400, "http_request_error", "the request is ambiguous or malformed"},
	ReasonMalformedBody:    {"malformed_body", 400, "http_request_error", "the client's body is malformed"},
	ReasonBodyTooLarge:     {"body_too_large", 413, "http_request_denied", "the client's body exceeds Limits.RequestBody"},
	ReasonClientSlow:       {"client_slow", 408, "http_request_error", "the client stopped sending its body"},
	ReasonTargetTooLong:    {"target_too_long", 414, "http_request_denied", "the request target exceeds Limits.URI"},
	ReasonHeaderTooLarge:   {"header_too_large", 431, "http_request_denied", "the request's header exceeds Limits.RequestHeader"},
	ReasonMethodRefused:    {"method_refused", 405, "http_request_denied", "TRACE shows the headers that this proxy adds, so it is refused"},
	ReasonConnectRefused:   {"connect_refused", 501, "http_request_denied", "CONNECT asks for a forward proxy, which this is not"},
	ReasonClientGone:       {"client_gone", statusClientGone, "connection_terminated", "the client left"},
	ReasonClientUnreadable: {"client_unreadable", statusClientGone, "connection_terminated", "the client stopped reading the answer"},
}

func (r Reason) info() reasonInfo {
	if int(r) < len(reasonInfos) {
		return reasonInfos[r]
	}
	return reasonInfos[ReasonNone]
}

// String is the reason as one snake_case word.
func (r Reason) String() string { return r.info().name }

// MarshalText is String.
func (r Reason) MarshalText() ([]byte, error) { return []byte(r.String()), nil }
