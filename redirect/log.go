package redirect

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"

	"github.com/knownhops/knownhops/internal/turns"
)

// lines are what is said about the reasons that somebody should know of:
// operators what is broken, others what strangers do.
var lines = [reasons]struct {
	level   slog.Level
	message string // "": nothing is said
}{
	ReasonUnknownHost:   {slog.LevelInfo, "a host that is not ours"},
	ReasonIPHost:        {slog.LevelInfo, "an address in place of a host name"},
	ReasonHostLost:      {slog.LevelWarn, "a proxy replaced the Host"},
	ReasonDirectAccess:  {slog.LevelWarn, "a request that did not come through all declared hops"},
	ReasonLoopBroken:    {slog.LevelError, "a redirect loop: the client uses https, and here it looks like http"},
	ReasonNoProof:       {slog.LevelWarn, "http, and nothing shows that https works"},
	ReasonBadScheme:     {slog.LevelWarn, "what the hops wrote about the scheme contradicts itself"},
	ReasonUnknownScheme: {slog.LevelWarn, "nobody knows whether this was https; it is not redirected"},
}

// A turnKey is what has one line a minute.
type turnKey struct {
	what    string
	network netip.Prefix
	host    string
}

func (e *Enforcer) log(r *http.Request, v *verdict, suspected bool) {
	if v.Action == Redirect && !suspected && !e.greeted.Load() {
		e.greet(r, v)
	}
	line := lines[v.Reason]
	if v.noPolicy && v.Reason == ReasonUnknownScheme {
		line.message = "" // logNoPolicy has said it
	}
	if suspected {
		line.level, line.message = slog.LevelWarn, "a redirect that may never end"
	}
	if line.message != "" {
		e.write(r, v, line.level, line.message)
	}
	if v.exposed {
		n := *v
		n.Fix = fixCredentials
		e.write(r, &n, slog.LevelWarn, "credentials came over http, in clear")
	}
}

// greet says once how redirects come about here.
func (e *Enforcer) greet(r *http.Request, v *verdict) {
	if e.greeted.CompareAndSwap(false, true) && e.logger().Enabled(context.Background(), slog.LevelInfo) {
		e.logger().Log(context.Background(), slog.LevelInfo, "redirect: the first redirect since the start", e.attrs(r, v, 0)...)
	}
}

func (e *Enforcer) logNoPolicy(r *http.Request, v *verdict) {
	n := *v
	n.Reason, n.Fix = ReasonNoPolicy, fixOf(ReasonUnknownScheme, &v.info)
	e.write(r, &n, slog.LevelError, "forwarded.Wrap is missing or inside: forwarding headers that nobody has judged")
}

// write writes a line if it is its turn. The turn is the peer network's and,
// for hosts of ours, the host's: a stranger must not fill the log with names.
func (e *Enforcer) write(r *http.Request, v *verdict, level slog.Level, message string) {
	if !e.logger().Enabled(context.Background(), level) {
		return
	}
	key := turnKey{what: message, network: turns.Network(v.info.Peer.Addr())}
	if v.site != nil && v.site.needs != nil { // one of the Config's
		key.host = v.site.host
	}
	suppressed, ok := turns.Take(&e.turns, key)
	if !ok {
		return
	}
	e.logger().Log(context.Background(), level, "redirect: "+message, e.attrs(r, v, suppressed)...)
}

// attrs leaves out what says nothing, and whatever may hold a secret: the query,
// cookies, credentials.
func (e *Enforcer) attrs(r *http.Request, v *verdict, suppressed int) []any {
	attrs := []any{"reason", v.Reason.String()}
	if v.Fix != "" {
		attrs = append(attrs, "fix", v.Fix)
	}
	if len(v.Signals) > 0 {
		attrs = append(attrs, "signals", v.Signals)
	}
	attrs = append(attrs, "method", legible(r.Method), "host", legible(r.Host), "path", legible(pathOf(r)), "status", v.Status,
		"peer", peerName(v), "client", clientName(v), "scheme", v.info.Scheme.String(), "hops", v.info.Hops)
	if v.info.SchemeReason != 0 {
		attrs = append(attrs, "scheme_reason", v.info.SchemeReason.String())
	}
	return append(attrs, "suppressed", suppressed)
}

// pathOf leaves out the query, which may hold secrets.
func pathOf(r *http.Request) string {
	if r.URL == nil {
		return ""
	}
	return r.URL.EscapedPath()
}

func peerName(v *verdict) string {
	if v.info.Peer.IsValid() {
		return v.info.Peer.String()
	}
	return "unix"
}

func clientName(v *verdict) string {
	if v.info.Client.IsValid() {
		return v.info.Client.String()
	}
	return "unknown"
}
