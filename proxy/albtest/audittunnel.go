package albtest

import "net/http"

// upgrade asks for a WebSocket, with the example key of RFC 6455.
var upgrade = []string{
	"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
}

// tunnelRows are about WebSockets, where AuditSpec.Path offers them.
func tunnelRows(spec AuditSpec) []auditRow {
	return []auditRow{
		{
			name: "websocket/origin", over: doors(byHTTPS), send: ask{lines: upgradeWith("Origin: https://" + spec.Host)},
			skip: noTunnel, judge: (*audit).upgraded,
			why:    "browsers send an Origin with https, while the service's own connection has http: a comparison of whole origins breaks every WebSocket behind the balancer",
			change: "compare the host of Origin with Host, and its scheme with the X-Forwarded-Proto of the balancer",
		},
		{
			name: "websocket/foreign-origin", over: doors(byHTTPS), skip: noTunnel, judge: (*audit).notUpgraded,
			send:   ask{lines: upgradeWith(foreignOrigin, "X-Forwarded-Host: "+evilHost, "X-Original-Host: "+evilHost, "Forwarded: host="+evilHost)},
			why:    "a page of the attacker's opens a WebSocket with the cookies of whoever looks at it",
			change: "compare the host of Origin with Host, and with no other header",
		},
	}
}

func upgradeWith(more ...string) []string { return append(append([]string(nil), upgrade...), more...) }

// noTunnel says why there is no WebSocket to look at.
func noTunnel(a *audit) string {
	if a.send(door{}, ask{lines: upgradeWith()}).status() == http.StatusSwitchingProtocols {
		return ""
	}
	return "AuditSpec.Path takes no WebSocket"
}

// upgraded wants a tunnel.
func (a *audit) upgraded(got *reply) string {
	if got.status() == http.StatusSwitchingProtocols {
		return ""
	}
	return "the service takes a WebSocket without an Origin, and none with its own"
}

// foreignOrigin is what a browser sends for a page of the attacker's.
const foreignOrigin = "Origin: https://" + evilHost

// notUpgraded wants no tunnel, unless the service asks for no Origin at all.
func (a *audit) notUpgraded(got *reply) string {
	alone := a.send(got.door, ask{lines: upgradeWith(foreignOrigin)})
	if got.status() != http.StatusSwitchingProtocols || alone.status() == http.StatusSwitchingProtocols {
		return ""
	}
	return "the service takes a WebSocket from a page of another host, because of a header that names that host"
}
