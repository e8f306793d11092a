package albtest

// directRows go past the balancer, as anybody can who finds the target's
// address where no security group keeps him out.
func directRows() []auditRow {
	const believe = "believe forwarding headers only from peers in the balancer's networks; from all others, the client is who connected"
	const noIP = "redirect to no address: answer 421 to hosts that are not the service's"
	var vendors []string
	for _, name := range clientHeaders {
		vendors = append(vendors, name+": "+forged)
	}
	row := func(name string, lines ...string) auditRow {
		return auditRow{
			name: "direct/" + name, over: doors(byDirect), send: ask{lines: lines}, judge: (*audit).peerOrNobody, client: true,
			why: whyClient, change: believe,
		}
	}
	proto := row("x-forwarded-proto", "X-Forwarded-For: "+forged, "X-Forwarded-Proto: https", "X-Forwarded-Port: 443", "X-Amzn-Trace-Id: Root=1-63441c4a-abcdef012345678912345678")
	proto.judge, proto.client, proto.why = (*audit).sameAnswer, false, whyScheme
	list := row("x-forwarded-proto-list", "X-Forwarded-For: "+forged, "X-Forwarded-Proto: https,http")
	list.judge, list.client, list.why = (*audit).sameAnswer, false, whyScheme
	host := row("host-headers", "X-Forwarded-Host: "+evilHost, "X-Forwarded-Server: "+evilHost, "X-Original-Host: "+evilHost, "Forwarded: host="+evilHost)
	host.judge, host.client, host.why, host.change = (*audit).safeAndSame, false, whyHost, readHost
	ip := row("ip")
	ip.send.host, ip.judge, ip.client, ip.change = firstMachine, (*audit).safe, false, noIP
	ip.why = "whoever opens the target's address in a browser is sent to https://" + firstMachine + ", for which nobody has a certificate, and takes the service to be down"
	forgedIP := ip
	forgedIP.name, forgedIP.send.lines = "direct/ip-forged", []string{"X-Forwarded-For: " + forged, "X-Forwarded-Proto: http", "X-Forwarded-Port: 80"}
	noHost := ip
	noHost.name, noHost.send = "direct/no-host", ask{version: "HTTP/1.0"}
	noHost.why, noHost.change = "HTTP/1.0 need not name a host, and an address made without one is none", "answer 400 or 421 where Host is empty"
	return []auditRow{
		row("plain"),
		row("x-forwarded-for", "X-Forwarded-For: "+forged),
		row("x-forwarded-for-31", "X-Forwarded-For: "+manyEntries(31)),
		row("x-forwarded-for-node", "X-Forwarded-For: "+forged+", "+firstNode()),
		row("forwarded", "Forwarded: for="+forged),
		row("other-headers", vendors...),
		proto, list, host, ip, forgedIP, noHost,
	}
}
