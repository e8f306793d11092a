package proxy

// Headers says what is written for the next hop. The zero value is what an
// application expects of a careful proxy: X-Forwarded-For appended to behind a
// trusted hop and set for everybody else, X-Forwarded-Proto, -Host, -Port and
// -Prefix set where they are known, no Forwarded and no X-Real-IP.
type Headers struct {
	For, Proto, Host, Port, Prefix Mode

	Forwarded Mode // RFC 7239; Auto: Remove, since two families that disagree are worse than one
	RealIP    Mode // X-Real-IP, the resolved client; Auto: Remove

	// Via is the pseudonym under which this proxy signs the Via header (RFC 9110
	// §7.6.3) and recognises requests that come back to it. Empty: New makes one
	// up, WriteHeaders writes none. "-": none, and loops go unnoticed.
	Via string

	// Keep names headers of the forwarding family that pass, as package forwarded
	// left them: identity or certificate headers of a trusted hop
	// ("X-Forwarded-User", "X-Amzn-Mtls-Clientcert-Leaf"). From others they are
	// removed all the same. Names that have a mode above never pass this way. No
	// Connection header can take a kept one out of a request, so names that code
	// in front of the proxy sets may stand here as well.
	Keep []string
}

// Mode is what becomes of one forwarding header.
type Mode uint8

// The modes. Nothing that a client forged passes in any of them.
const (
	Auto     Mode = iota // the default named at the field
	Set                  // write what is known, replacing everything
	Append               // write what forwarded left of the list, and add this hop's peer; For and Forwarded only
	Preserve             // pass on what forwarded left, and write nothing
	Remove               // write nothing, pass nothing on
)
