package main

import (
	"fmt"
	"strings"
)

// scenes are everything that there is to try on this demo, in an order that
// tells a story. What each shows depends on whether nginx is there and what it
// does with the scheme.
func (d *demo) scenes() []scene {
	list := append(d.visits(), d.forgeries()...)
	return append(list, d.shortcuts()...)
}

// visits are honest requests.
func (d *demo) visits() []scene {
	return []scene{{
		Name: "https", Title: "An ordinary visit", URL: d.ways.HTTPS + "/",
		Says: "The client is you, not the balancer that connected. The scheme is what you used, although the application was asked over plain http." + d.lossNote(),
		Shows: append([]string{
			"client 127.0.0.1 forwarded", d.schemeLine("https"), fmt.Sprintf("port %d known", portOf(d.doors.https)),
		}, d.lossCode()...),
	}, {
		Name: "http", Title: "The same over http", URL: d.ways.HTTP + "/",
		Says:  "The plain listener says http, and its own port." + d.lossNote(),
		Shows: []string{"client 127.0.0.1 forwarded", d.schemeLine("http"), fmt.Sprintf("port %d known", portOf(d.doors.http))},
	}, {
		Name: "json", Title: "For programs", URL: d.ways.HTTPS + "/explain.json",
		Says:  "The same explanation as JSON.",
		Shows: []string{`"client": "127.0.0.1",`, fmt.Sprintf(`"scheme": %q,`, d.scheme("https"))},
	}}
}

// forgeries go through the balancer, which passes most of them on.
func (d *demo) forgeries() []scene {
	return []scene{{
		Name: "forged-for", Title: "A forged X-Forwarded-For", URL: d.ways.HTTPS + "/",
		Lines: []string{"X-Forwarded-For: 6.6.6.6"},
		Says:  "The balancer appends your address to what you wrote. Only the entries that declared hops wrote are read, and only they are handed on: 6.6.6.6 is gone.",
		Shows: []string{
			"client 127.0.0.1 forwarded", fmt.Sprintf("header X-Forwarded-For %q kept", "6.6.6.6, "+d.chain()),
			"X-Forwarded-For | 6.6.6.6 | 6.6.6.6, " + d.chain() + " | " + d.chain(),
		},
	}, {
		Name: "alias", Title: "An alias of X-Forwarded-For", URL: d.ways.HTTPS + "/",
		Lines: []string{"X_Forwarded_For: 6.6.6.6"},
		Says:  "CGI, WSGI and PHP read this as X-Forwarded-For. " + d.aliasNote(),
		Shows: append([]string{"client 127.0.0.1 forwarded"}, d.aliasLines()...),
	}, {
		Name: "forged-proto", Title: "A forged scheme", URL: d.ways.HTTP + "/",
		Lines: []string{"X-Forwarded-Proto: https"},
		Says:  "The balancer replaces it by the truth." + d.lossNote(),
		Shows: []string{d.schemeLine("http"), "X-Forwarded-Proto | https | http | " + d.handedProto()},
	}, {
		Name: "forged-host", Title: "A forged X-Forwarded-Host", URL: d.ways.HTTPS + "/",
		Lines: []string{"X-Forwarded-Host: evil.example"},
		Says:  "The balancer passes it on. No hop vouches for it, so it is removed, and the warning says what to do if one should.",
		Shows: []string{"host " + d.hostSeen("localhost") + " localhost known", `header X-Forwarded-Host "evil.example" removed`, "W3:"},
	}, {
		Name: "foreign-host", Title: "A Host that is not ours", URL: d.ways.HTTPS + "/",
		Lines: []string{"Host: evil.example"},
		Says:  "Config.Hosts lists localhost and 127.0.0.1. No link is ever built with another name.",
		Shows: []string{"host " + d.hostSeen("evil.example") + " host_not_allowed", "W11:"},
	}}
}

// shortcuts leave proxies out.
func (d *demo) shortcuts() []scene {
	list := []scene{{
		Name: "direct", Title: "Past the balancer", URL: d.ways.App + "/",
		Says:  "The instance's own address. The other end of the socket is no declared hop, so it is the client.",
		Shows: []string{"client 127.0.0.1 direct", "scheme http known"},
	}, {
		Name: "direct-forged", Title: "Past the balancer, with forged headers", URL: d.ways.App + "/",
		Lines: []string{"X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https"},
		Says:  "Nobody vouches for either. Both are removed.",
		Shows: []string{
			"client 127.0.0.1 direct", "scheme http known",
			`header X-Forwarded-For "6.6.6.6" removed`, `header X-Forwarded-Proto "https" removed`, "W6:",
		},
	}}
	list = append(list, d.toNginx()...)
	list = append(list, d.impostor()...)
	return append(list, d.healthCheck())
}

func (d *demo) toNginx() []scene {
	if d.nginx == nil {
		return nil
	}
	s := scene{
		Name: "nginx", Title: "Past the balancer, to nginx", URL: d.ways.Nginx + "/",
		Lines: []string{"X-Forwarded-Proto: https"},
		Says:  "nginx says who connected to it: you. It passes the scheme on as it came, and it came from you, so the scheme is unknown.",
		Shows: []string{"client 127.0.0.1 forwarded", "scheme unknown scheme_lost", `header X-Forwarded-Proto "https" removed`},
	}
	if d.overwrites() {
		s.Says = "nginx says who connected to it, and over which scheme. With nobody further out, that is the client's."
		s.Shows = []string{"client 127.0.0.1 forwarded", "scheme X-Forwarded-Proto[-1] http known"}
	}
	return []scene{s}
}

// impostor asks from the balancer's own address. Where the balancer has one of
// IPv6, a visitor's door cannot be reached from it.
func (d *demo) impostor() []scene {
	if !d.network.v4() {
		return nil
	}
	s := scene{
		Name: "impostor", Title: "From the balancer's address", URL: d.ways.App + "/", From: d.network.balancer,
		Lines: []string{"X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https"},
		Says:  "The limit of trust in addresses: whoever connects from the balancer's is the balancer, and 6.6.6.6 is believed. Let the application's port admit nobody else.",
		Shows: []string{"client 6.6.6.6 forwarded", "scheme X-Forwarded-Proto[-1] https known"},
	}
	if d.nginx != nil {
		s.Says = "This address belongs to the outer hop, and nginx was left out. A skipped hop means that nothing can be believed, so nothing is."
		s.Shows = []string{"client unknown", "scheme unknown skipped_hop", "W12:"}
	}
	return []scene{s}
}

func (d *demo) healthCheck() scene {
	s := scene{
		Name: "health-check", Title: "The balancer's last health check", URL: d.ways.App + "/last-health-check",
		Says:  "The balancer speaks for itself, as " + probeAgent + ", and writes no forwarding header. There is no client, and its own address is not taken for one.",
		Shows: []string{"hop alb " + d.network.balancer, "entry alb X-Forwarded-For[-1] local", "client local", "scheme X-Forwarded-Proto[-1] unknown local"},
	}
	if d.nginx != nil {
		s.Says = "The balancer probes nginx, as " + probeAgent + ", and writes no forwarding header. nginx names the balancer, and the balancer names nobody: the client is unknown, and not the balancer."
		s.Shows = []string{"hop alb " + d.network.balancer, "entry alb X-Forwarded-For[-2] mismatch", "client unknown"}
	}
	return s
}

// overwrites reports whether nginx destroys the scheme that the balancer wrote.
func (d *demo) overwrites() bool { return d.nginx != nil && d.cfg.nginxScheme == schemeOwn }

// scheme is what the application knows where the visitor used it.
func (d *demo) scheme(used string) string {
	if d.overwrites() {
		return "unknown"
	}
	return used
}

func (d *demo) schemeLine(used string) string {
	verdict := "known"
	if d.overwrites() {
		verdict = "scheme_lost"
	}
	return "scheme X-Forwarded-Proto[-1] " + d.scheme(used) + " " + verdict
}

func (d *demo) lossNote() string {
	if d.overwrites() {
		return " But nginx overwrites what the balancer wrote, so the scheme is unknown here. Unknown is not http: nothing redirects on it, and nothing loops."
	}
	return ""
}

func (d *demo) lossCode() []string {
	if d.overwrites() {
		return []string{"overwritten:"}
	}
	return nil
}

// handedProto is what handlers get of X-Forwarded-Proto over http.
func (d *demo) handedProto() string {
	if d.overwrites() {
		return "-"
	}
	return "http"
}

// chain is what the declared hops write about who connected to each.
func (d *demo) chain() string {
	if d.nginx != nil {
		return "127.0.0.1, " + d.network.balancer
	}
	return "127.0.0.1"
}

// hostSeen is the Host that arrives at the application, quoted: the balancer
// adds its port to a name without one, and nginx takes it off.
func (d *demo) hostSeen(name string) string {
	if d.nginx == nil {
		name = hostHeader(name, portOf(d.doors.https))
	}
	return fmt.Sprintf("%q", strings.ToLower(name))
}

func (d *demo) aliasNote() string {
	if d.nginx != nil {
		return "nginx drops names with underscores, so it never arrives."
	}
	return "It is removed like the original, and warned about."
}

func (d *demo) aliasLines() []string {
	if d.nginx != nil {
		return []string{"X_forwarded_for | 6.6.6.6 | - | -"}
	}
	return []string{`header X_forwarded_for "6.6.6.6" removed`, "X_forwarded_for | 6.6.6.6 | 6.6.6.6 | -", "W8:"}
}
