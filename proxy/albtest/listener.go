package albtest

import (
	"crypto/tls"
	"crypto/x509"
)

// Listener accepts clients on one port.
type Listener struct {
	// Port is the one that clients believe to be connected to, 1 to 65535, and
	// what X-Forwarded-Port, the Host rules and #{port} go by. On loopback the
	// real port is another one: Server.Addr has it.
	Port int

	// TLS makes it an HTTPS listener, which speaks HTTP/2 as well. Nil: HTTP.
	TLS *TLS

	// Rules are tried by ascending priority; the first that matches decides.
	Rules []Rule

	// Default is done when no rule matches. It is required.
	Default Action

	// Attributes are the listener's own. Zero: AWS's defaults.
	Attributes ListenerAttributes
}

// TLS is what an HTTPS listener ends TLS with. The zero value presents a
// certificate of the server's own authority for any name that is asked for.
type TLS struct {
	// Certificates replace those of the server's own authority. Clients of
	// Server.Client then trust Server.CertPool no longer for this listener:
	// they must be told.
	Certificates []tls.Certificate

	// MinVersion is the oldest version accepted. Zero: TLS 1.2.
	MinVersion uint16

	// MutualAuthentication asks clients for a certificate. Zero: off.
	MutualAuthentication MutualMode

	// TrustStore is who may have signed the clients' certificates. It is
	// required with Verify, and not permitted otherwise.
	TrustStore *x509.CertPool
}

// MutualMode is how an HTTPS listener deals with client certificates.
//
// Source: docs.aws.amazon.com/elasticloadbalancing/latest/application/mutual-authentication.html
type MutualMode uint8

const (
	// Off asks for no certificate.
	Off MutualMode = iota
	// Passthrough hands the client's chain on, unverified, in
	// X-Amzn-Mtls-Clientcert.
	Passthrough
	// Verify ends handshakes whose certificate the trust store does not cover,
	// and hands the certificate on in five X-Amzn-Mtls-Clientcert- headers.
	Verify
)

// String returns AWS's word for the mode.
func (m MutualMode) String() string { return word(m, "off", "passthrough", "verify") }

// ListenerAttributes are a listener's own, by AWS's names.
//
// Source: docs.aws.amazon.com/elasticloadbalancing/latest/application/header-modification.html
type ListenerAttributes struct {
	// DisableServerHeader removes Server from every response
	// (routing.http.response.server.enabled=false).
	DisableServerHeader bool

	// ResponseHeaders are put on every response and replace the target's, for
	// example Strict-Transport-Security
	// (routing.http.response.strict_transport_security.header_value and its
	// like).
	ResponseHeaders map[string]string

	// RenameHeaders gives X-Amzn-Mtls-Clientcert, its five relatives,
	// X-Amzn-Tls-Version and X-Amzn-Tls-Cipher-Suite another name each
	// (routing.http.request.x_amzn_….header_name).
	RenameHeaders map[string]string
}
