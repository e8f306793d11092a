package main

import (
	"fmt"
	"strings"
)

// scenes are everything that there is to try on this demo, in an order that
// tells a story.
func (d *demo) scenes() []scene {
	var list []scene
	for _, act := range [][]scene{d.visitors(), d.redirects(), d.forgeries(), d.shortcuts(), d.failures(), d.nginxes()} {
		list = append(list, act...)
	}
	return list
}

// through is a request to the balancer's https listener.
func (d *demo) through(host, name, title string, lines ...string) scene {
	return scene{Name: name, Title: title, URL: "https://" + host + "/", To: d.ways.HTTPS, Lines: lines}
}

const believed = "client 203.0.113.10 forwarded"

// visitors make honest requests.
func (d *demo) visitors() []scene {
	ordinary := d.through(hostWeb, "https", "An ordinary visit")
	ordinary.Says = "The client is you, not the proxy that connected, nor the balancer. Scheme and port are those that you used, although the application was asked over plain http."
	ordinary.Shows = []string{believed, "scheme X-Forwarded-Proto[-1] https known", "port 443 known"}

	program := d.through(hostWeb, "json", "For programs", "Accept: application/json")
	program.Says = "The same explanation as JSON."
	program.Shows = []string{`"client": "203.0.113.10",`, `"scheme": "https",`}
	return []scene{ordinary, program}
}

// redirects are who sends people to https, and where that ends.
func (d *demo) redirects() []scene {
	arrives := d.through(hostWeb, "http-arrives", "Where the balancer's redirect leads")
	arrives.URL = "https://" + hostWeb + ":443/cart?item=1"
	arrives.Says = "The address that the balancer's redirect names. The proxy enforces https too, finds that you used it, and lets you pass (passed_https). Two rules, one redirect: the outermost decides, and the inner one never sees what it would redirect."
	arrives.Shows = []string{believed, "scheme X-Forwarded-Proto[-1] https known"}

	alias := d.through(hostAlias, "alias-https", "https by another name")
	alias.Head, alias.URL = true, alias.URL+"cart?item=1"
	alias.Says = "Now it is https, and the host is an alias: the proxy redirects to the canonical one (host_redirected). Scheme first, host second is what preloading asks for, and the alias gets to send its HSTS."
	alias.Shows = []string{"HTTP/1.1 301 Moved Permanently", "Location: https://www.example.com/cart?item=1", "Strict-Transport-Security: max-age=3600"}
	return []scene{{
		Name: "http", Title: "Redirected by the balancer", URL: "http://" + hostWeb + "/cart?item=1", To: d.ways.HTTP, Head: true,
		Says:  "Listener 80 redirects by itself: no target is asked. So nobody behind the balancer has to, and nothing can loop. The balancer names the port even where it is the usual one.",
		Shows: []string{"HTTP/1.1 301 Moved Permanently", "Server: awselb/2.0", "Location: https://www.example.com:443/cart?item=1"},
	}, arrives, {
		Name: "http-ours", Title: "Redirected by the proxy", URL: "http://" + hostAlias + "/cart?item=1", To: d.ways.HTTP, Head: true,
		Says:  "For this name listener 80 forwards, so the proxy decides: you used http (redirected). No cache may keep the answer. The cookie is one that browsers neither take from http nor send over it: if it ever comes back, this was a loop.",
		Shows: []string{"HTTP/1.1 301 Moved Permanently", "Location: https://example.com/cart?item=1", "Cache-Control: private, no-store", "Set-Cookie: __Host-https-redirect=1; Path=/; Max-Age=60; Secure;"},
	}, alias}
}

// forgeries go through the balancer, which passes most of them on.
func (d *demo) forgeries() []scene {
	client := d.through(hostWeb, "forged-for", "A forged X-Forwarded-For", "X-Forwarded-For: 6.6.6.6")
	client.Says = "The balancer appends your address to what you wrote. The proxy reads only the entry that the balancer wrote, and hands nothing else on."
	client.Shows = []string{believed}

	alias := d.through(hostWeb, "alias", "An alias of X-Forwarded-For", "X_Forwarded_For: 6.6.6.6")
	alias.Says = "CGI, WSGI and PHP read this as X-Forwarded-For. The balancer passes it; the proxy removes it like the original."
	alias.Shows = []string{believed}

	scheme := d.through(hostWeb, "forged-proto", "A forged scheme", "X-Forwarded-Proto: http", "X-Forwarded-Port: 80")
	scheme.Says = "The balancer replaces both by the truth."
	scheme.Shows = []string{"scheme X-Forwarded-Proto[-1] https known", "port 443 known"}

	host := d.through(hostWeb, "forged-host", "A forged X-Forwarded-Host", "X-Forwarded-Host: evil.example")
	host.Says = "The balancer passes it on. Nobody vouches for it, so the proxy removes it and writes the Host that you asked for."
	host.Shows = []string{`host "www.example.com" www.example.com known`}

	foreign := d.through(hostWeb, "foreign-host", "A Host that is not ours", "Host: evil.example")
	foreign.Head = true
	foreign.Says = "The balancer forwards what it has no rule for to its default group. Config.Hosts does not list this name, so no link is ever built with it, and the proxy answers for its own names only (unknown_host): no Location, and nothing that tells which names those are."
	foreign.Shows = []string{"HTTP/1.1 421 Misdirected Request", "Misdirected Request: this server does not answer for that host"}
	return []scene{client, alias, scheme, host, foreign}
}

// shortcuts leave parts of the chain out.
func (d *demo) shortcuts() []scene {
	forged := []string{"X-Forwarded-For: 6.6.6.6", "X-Forwarded-Proto: https"}
	proxy := strings.TrimPrefix(d.ways.Proxy, "http://")
	return []scene{{
		Name: "past-balancer", Title: "Past the balancer, to the proxy", URL: "http://" + hostInside + "/", To: proxy, Lines: forged,
		Says:  "The instance's own port, by a name from PlainHosts, which is served over http. For the proxy, who connects is no declared hop, and so the client: it tells the application that, and nothing of what was forged.",
		Shows: []string{believed, "scheme X-Forwarded-Proto[-1] http known"},
	}, {
		Name: "past-balancer-ip", Title: "Past the balancer, by address", URL: d.ways.Proxy + "/", Head: true,
		Says:  "A redirect to https and this address would lead to where nobody has a certificate; one to the site's name would tell scanners what is behind the address. So neither: 421, without a Location (ip_host).",
		Shows: []string{"HTTP/1.1 421 Misdirected Request", "Misdirected Request: this server does not answer for that host"},
	}, {
		Name: "past-balancer-name", Title: "Past the balancer, by the site's name", URL: "http://" + hostWeb + "/", To: proxy, Lines: forged, Head: true,
		Says:  "The name has a certificate, at the balancer, and that is where the redirect leads. That a header says https makes nothing pass. It is a sign, though, that a proxy was forgotten, so the log says how to declare it.",
		Shows: []string{"HTTP/1.1 301 Moved Permanently", "Location: https://www.example.com/"},
	}, {
		Name: "past-proxy", Title: "Past everybody, to the application", URL: d.ways.App + "/", Lines: forged,
		Says:  "The other end of the socket is no declared hop, so it is the client. Nobody vouches for the headers, and both are removed.",
		Shows: []string{"client 203.0.113.10 direct", "scheme http known", `header X-Forwarded-For "6.6.6.6" removed`, `header X-Forwarded-Proto "https" removed`, "W6:"},
	}, {
		Name: "impostor", Title: "From the proxy's own machine", URL: d.ways.Inner + "/", Lines: forged,
		Says:  "The limit of trust in addresses: whoever connects from 127.0.0.1 to the port that the proxy connects to is the proxy, and 6.6.6.6 is believed. Let nobody on that machine whom you would not believe.",
		Shows: []string{"client 6.6.6.6 forwarded", "scheme X-Forwarded-Proto[-1] https known"},
	}, {
		Name: "health-check", Title: "The balancer's last health check", URL: d.ways.App + "/last-health-check",
		Says:  "The balancer speaks for itself, as " + probeAgent + ", and writes no forwarding header. There is no client, and nobody takes the balancer's address for one. It asks for an address, which gets 421 from what decides about https; so package healthcheck answers it, outside of everything else. This is how the proxy would have understood it.",
		Shows: []string{"entry alb X-Forwarded-For[-1] local", "client local", "scheme X-Forwarded-Proto[-1] unknown local"},
	}}
}

// failures are 502s, of which two are not the same.
func (d *demo) failures() []scene {
	down := d.through(hostDown, "down", "The application is down")
	down.Head = true
	down.Says = "The proxy works, and says that it got nothing from the application: Proxy-Status is the proxy's, and no Server line the balancer's. Its log names the upstream and what to check. For the balancer, the answer is the target's."
	down.Shows = []string{"HTTP/1.1 502 Bad Gateway", "Proxy-Status: knownhops-", "The service behind this address did not give a usable answer."}

	port := d.through(host443, "port-443", "A group on port 443, where nobody listens")
	port.Head = true
	port.Says = "The balancer could not connect: Server: awselb/2.0 says that the answer is its own. The target is unhealthy with " +
		"Target.FailedHealthChecks, while port 80 of the same instance is healthy. It gets the request all the same, since a group without a healthy target sends to all that it has."
	port.Shows = []string{"HTTP/1.1 502 Bad Gateway", "Server: awselb/2.0"}
	return []scene{down, port}
}

// nginxes show the line that decides whether the client's scheme survives.
func (d *demo) nginxes() []scene {
	own := d.through(hostNginx, "nginx", "nginx overwrites the scheme")
	own.Says = fmt.Sprintf("proxy_set_header X-Forwarded-Proto %s turns the https that the balancer wrote into http. The application was told that this nginx does so: the scheme is unknown to it. Unknown is not http, so it passes with a warning (unknown_scheme), and nothing loops.", schemeOwn)
	own.Shows = []string{believed, "scheme X-Forwarded-Proto[-1] unknown scheme_lost", "overwritten:"}

	fixed := d.through(hostFixed, "nginx-fixed", "nginx passes the scheme")
	fixed.Says = fmt.Sprintf("With %s instead, and Proto: forwarded.Passes() in the application, the balancer's word arrives.", schemePasses)
	fixed.Shows = []string{believed, "scheme X-Forwarded-Proto[-1] https known"}
	return append([]scene{own, fixed}, d.loops()...)
}

// loops are two requests of one browser, whose https is hidden from the
// application. The line says that it sends what browsers send to https only.
func (d *demo) loops() []scene {
	browser := []string{"Sec-Fetch-Site: none", "Sec-Fetch-Dest: document"}
	first := d.through(hostLoop, "loop-1", "A loop, at request 1", browser...)
	first.Head = true
	first.Says = "nginx overwrites the scheme here too, but the application was told that it passes it: your https is http to it, and it redirects you to where you are. " +
		"At this first request already, two signs say that you used https: what browsers send to https only, and the port that the balancer wrote. The log names the hop and the fix."
	first.Shows = []string{"HTTP/1.1 301 Moved Permanently", "Location: https://loop.example.com/", "Set-Cookie: __Host-https-redirect=1;"}

	second := d.through(hostLoop, "loop-2", "A loop, broken at request 2", append(browser, "Cookie: __Host-https-redirect=1")...)
	second.Head = true
	second.Says = "The browser follows, and brings the cookie that it would have kept from http. That is proof (loop_broken): an error that somebody reads, instead of twenty redirects. It is no pass: whoever can change plain http could send the cookie too."
	second.Shows = []string{"HTTP/1.1 500 Internal Server Error", "Cache-Control: private, no-store", "This site cannot be reached: it would redirect you to the page that you are on"}
	return []scene{first, second}
}
