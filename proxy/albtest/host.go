package albtest

import (
	"strconv"
	"strings"
)

// splitPort takes a port off a host, and keeps the brackets of an IPv6 address.
func splitPort(host string) (name, port string) {
	i := strings.LastIndexByte(host, ':')
	if i < 0 || i < strings.LastIndexByte(host, ']') || strings.Count(host, ":") > 1 && !strings.HasPrefix(host, "[") {
		return host, ""
	}
	return host[:i], host[i+1:]
}

// targetHost is the Host that the target sees: listeners 80 and 443 take a
// port away, the others add theirs.
//
// Source: docs.aws.amazon.com/elasticloadbalancing/latest/application/application-load-balancers.html#host-header-preservation
func targetHost(host string, listener int) string {
	name, port := splitPort(host)
	switch {
	case host == "":
		return ""
	case listener == 80 || listener == 443:
		return name
	case port != "":
		return host
	}
	return name + ":" + strconv.Itoa(listener)
}
