package albtest

import (
	"net/netip"
	"strings"
)

// The advice of several rows.
const (
	whyClient    = "allow-lists, rate limits and logs go by the client's address; whoever can write it chooses what applies to him"
	readOneEntry = "take the rightmost entry of X-Forwarded-For, over all of its lines, and only from peers in the balancer's networks: it is the one that the balancer appended"
	readNoOther  = "read no header but X-Forwarded-For: the balancer passes every other one on as the client wrote it"
)

// clientHeaders are where other proxies write who connected. The balancer passes
// them on unchanged.
var clientHeaders = []string{
	"X-Real-IP", "True-Client-IP", "CF-Connecting-IP", "X-Client-IP", "Client-IP", "X-Cluster-Client-IP",
	"X-Original-Forwarded-For", "X-Originating-IP", "X-Remote-IP", "X-Remote-Addr", "X-Forwarded", "Forwarded-For",
	"Fastly-Client-IP", "Fly-Client-IP", "X-Azure-ClientIP", "X-Azure-SocketIP", "X-Envoy-External-Address",
	"X-ProxyUser-Ip", "WL-Proxy-Client-IP", "X-Appengine-User-Ip", "Do-Connecting-IP",
}

// clientRows are about who the client is, with headers that clients can write.
func clientRows() []auditRow {
	six := netip.MustParseAddr("2001:db8::7")
	rows := []auditRow{
		{
			name: "client/plain", over: doors(byHTTPS), judge: (*audit).isClient, client: true,
			why: whyClient, change: readOneEntry,
		},
		{
			name: "client/ipv6", over: doors(byHTTPS), send: ask{from: six}, judge: (*audit).isClient, client: true,
			why: "a dualstack balancer writes IPv6 addresses without brackets", change: "parse addresses as addresses; a colon does not begin a port here",
		},
		{
			name: "client/in-subnets", over: doors(byHTTPS), judge: (*audit).sameClient, client: true,
			send:   ask{from: netip.MustParseAddr(firstNode()).Next(), lines: []string{"X-Forwarded-For: " + forged}},
			why:    "a client in the balancer's own networks, such as another service, is skipped like a proxy by those who look for the first address that they do not trust, and forges what they find",
			change: "take the entry that the balancer wrote, by its position, whatever address stands there",
		},
	}
	for _, name := range clientHeaders {
		rows = append(rows, forgedClient("client/"+strings.ToLower(name), readNoOther, name+": "+forged))
	}
	rows = append(rows,
		forgedClient("client/forwarded", readNoOther, `Forwarded: for=`+forged+`;proto=https;host=www.example.com`),
	)
	for _, name := range []string{"X_Forwarded_For", "X.Forwarded.For", "X-Forwarded_For", "X_Real_IP", "Forwarded_For"} {
		rows = append(rows, forgedClient("client/alias-"+strings.ToLower(name),
			"where names become variables (CGI, WSGI, PHP), remove headers with underscores and dots first: they fall on the names with hyphens", name+": "+forged))
	}
	return append(append(rows, forwardedForRows()...), cdnRows()...)
}

// firstNode is the node of an audit's balancers.
func firstNode() string { return netip.MustParsePrefix(Subnets()[0]).Addr().Next().String() }

// forgedClient is a row whose lines must not change who the client is.
func forgedClient(name, change string, lines ...string) auditRow {
	return auditRow{
		name: name, over: doors(byHTTPS), send: ask{lines: lines}, judge: (*audit).sameClient, client: true,
		why: whyClient, change: change,
	}
}

// forwardedForRows are what can stand in X-Forwarded-For before the balancer
// appends to it.
func forwardedForRows() (rows []auditRow) {
	const xffName = "X-Forwarded-For"
	for _, r := range []struct{ name, value string }{
		{"", forged},
		{"-several", forged + ", 192.0.2.67, 192.0.2.68"},
		{"-29", manyEntries(29)},
		{"-30", manyEntries(30)},
		{"-port", forged + ":4711"},
		{"-ipv6", "2001:db8::66"},
		{"-ipv6-brackets", "[2001:db8::66]"},
		{"-ipv6-port", "[2001:db8::66]:4711"},
		{"-garbage", "garbage"},
		{"-quoted", `"` + forged + `, `},
		{"-empty", ""},
		{"-unknown", "unknown"},
		{"-loopback", "127.0.0.1"},
		{"-node", forged + ", " + firstNode()},
		{"-long", strings.Repeat("1", 4000)},
	} {
		rows = append(rows, forgedClient("client/x-forwarded-for"+r.name, readOneEntry, xffName+": "+r.value))
	}
	over2 := forgedClient("client/x-forwarded-for-http2", readOneEntry, xffName+": "+forged)
	over2.over = doors(byHTTP2)
	lines := forgedClient("client/x-forwarded-for-lines", readOneEntry, xffName+": "+forged, xffName+": 192.0.2.67")
	lines.over = []door{{byHTTPS, usual}, {byHTTPS, appendingToLast}, {byHTTPS, keepingAndAdding}}
	trailer := forgedClient("client/x-forwarded-for-trailer", "do not read trailers for headers", "Trailer: X-Forwarded-For", "Transfer-Encoding: chunked")
	trailer.send.body = "0\r\nX-Forwarded-For: " + forged + "\r\n\r\n"
	return append(rows, over2, lines, trailer)
}

// manyEntries is a list as long as the balancer still takes: to more than 30 it
// answers 463 itself.
func manyEntries(n int) string {
	return strings.TrimSuffix(strings.Repeat(forged+", ", n), ", ")
}

// cdnRows are what a CDN writes, without one in front.
func cdnRows() (rows []auditRow) {
	for _, r := range []struct {
		name   string
		scheme bool // it tells that as well
		lines  []string
	}{
		{"cloudfront", true, []string{"CloudFront-Viewer-Address: " + forged + ":4711", "CloudFront-Forwarded-Proto: https", "Via: 2.0 x.cloudfront.net (CloudFront)", "X-Amz-Cf-Id: x"}},
		{"cloudflare", true, []string{"CF-Connecting-IP: " + forged, "CF-Connecting-IPv6: 2001:db8::66", `CF-Visitor: {"scheme":"https"}`, "CF-Ray: x", "CDN-Loop: cloudflare"}},
		{"akamai", false, []string{"True-Client-IP: " + forged, "Akamai-Origin-Hop: 1", "Via: 1.1 akamai.net(ghost) (AkamaiGHost)"}},
		{"fastly", true, []string{"Fastly-Client-IP: " + forged, "Fastly-SSL: 1", "Fastly-Client: 1"}},
		{"frontdoor", false, []string{"X-Azure-ClientIP: " + forged, "X-Azure-SocketIP: " + forged, "X-Azure-FDID: x"}},
	} {
		row := forgedClient("cdn/"+r.name+"-client", "read a CDN's headers only if yours is in front, and proves itself by a secret header", r.lines...)
		rows = append(rows, row)
		if r.scheme {
			row.name, row.over, row.judge, row.client, row.why = "cdn/"+r.name+"-scheme", doors(byHTTP), (*audit).sameAnswer, false, whyScheme
			rows = append(rows, row)
		}
	}
	return rows
}

// modeRows are about the other settings of X-Forwarded-For.
func modeRows() []auditRow {
	other := []string{
		"X-Real-IP: " + forged, "True-Client-IP: " + forged, "CF-Connecting-IP: " + forged, "X-Client-IP: " + forged,
		"Forwarded: for=" + forged, "X_Forwarded_For: " + forged,
	}
	const silence = "take a peer in the balancer's networks that sends no X-Forwarded-For for the balancer itself, whose clients are unknown"
	const whySilence = "in modes preserve and remove the balancer says nothing about the client, and who falls back on something else believes the client, or takes the balancer for an internal one"
	const port = "parse entries of X-Forwarded-For with and without a port: 192.0.2.1:5678, [2001:db8::1]:5678"
	const whyPort = "with routing.http.xff_client_port.enabled the balancer appends the client's port, too"
	both := []door{{byHTTPS, preservingXFF}, {byHTTPS, removingXFF}}
	six := netip.MustParseAddr("2001:db8::7")
	return []auditRow{
		{name: "mode/silent", over: both, judge: (*audit).unknownClient, client: true, why: whySilence, change: silence},
		{name: "mode/silent-other-headers", over: both, send: ask{lines: other}, judge: (*audit).unknownClient, client: true, why: whySilence, change: silence},
		{
			name: "mode/remove", over: both[1:], send: ask{lines: []string{"X-Forwarded-For: " + forged}},
			judge: (*audit).unknownClient, client: true, why: whySilence, change: silence,
		},
		{name: "mode/client-port", over: []door{{byHTTPS, clientPort}}, judge: (*audit).isClient, client: true, why: whyPort, change: port},
		{name: "mode/client-port-ipv6", over: []door{{byHTTPS, clientPort}}, send: ask{from: six}, judge: (*audit).isClient, client: true, why: whyPort, change: port},
		{
			name: "mode/client-port-forged", over: []door{{byHTTPS, clientPort}}, send: ask{lines: []string{"X-Forwarded-For: " + forged + ":4711"}},
			judge: (*audit).sameClient, client: true, why: whyClient, change: readOneEntry,
		},
	}
}
