//go:build linux

package peers

import (
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Faults of an answer. Each is something that a browser, a cache or a person would suffer from.
const (
	faultOtherHost   = "the Location leads to a host that is neither ours nor the one asked for"
	faultForeignHost = "the Location leads to whatever host the request named"
	faultAddress     = "an address is redirected, for which there is no certificate"
	faultInvalid     = "the Location is no URL"
	faultNotHTTPS    = "the Location is not https"
	faultUser        = "the Location has a user name"
	faultPort        = "the Location has a port on which nobody speaks TLS"
	faultFinalDot    = "the Location's host ends in a dot"
	faultFragment    = "the Location has a fragment, which a client never sends"
	faultPath        = "path or query are not the ones asked for"
	faultBytes       = "the Location has bytes that no URL may have"
	faultNoPath      = "a target that is no path is redirected"
	faultInjected    = "the answer has a header that the client made up"
	faultBody        = "the body holds markup that the client wrote"
	faultServed      = "served, over http"
	faultLoop        = "the client used https and is redirected to it"
	faultUnclear     = "nobody knows what the client used, and it is redirected to https"
	faultHSTS        = "Strict-Transport-Security over http (RFC 6797 §7.2)"
	faultServerError = "a server error"
	faultNoAnswer    = "there is no answer that a client can read"
)

// faultsOf judges an answer. to is the Location as a browser reads it.
func faultsOf(c rawCase, a rawAnswer, to whatwgURL) (faults []string) {
	add := func(fault string, has bool) {
		if has {
			faults = append(faults, fault)
		}
	}
	plain := !c.via || c.was == "http"
	add(faultNoAnswer, a.status == 0)
	add(faultServerError, a.status >= 500)
	add(faultServed, plain && a.reached)
	add(faultHSTS, plain && a.header.Get("Strict-Transport-Security") != "")
	add(faultInjected, strings.Contains(strings.Join(a.header["Set-Cookie"], ";"), "x=1"))
	if !a.redirects() {
		return faults
	}
	_, isPath := askedPath(c.target())
	add(faultNoPath, !isPath)
	add(faultLoop, c.via && c.was == "https")
	add(faultUnclear, c.via && c.was == "")
	add(faultBody, strings.Contains(a.body, "<script>"))
	return append(faults, locationFaults(c, a.location(), to)...)
}

func locationFaults(c rawCase, location string, to whatwgURL) (faults []string) {
	add := func(fault string, has bool) {
		if has {
			faults = append(faults, fault)
		}
	}
	add(faultBytes, strings.ContainsFunc(location, notInURL))
	rest, absolute := strings.CutPrefix(location, "https://")
	if to == (whatwgURL{}) || !absolute || strings.HasPrefix(rest, "/") {
		return append(faults, faultInvalid)
	}
	host := strings.TrimSuffix(to.host, ".")
	ours := host == redirectCanonical || host == redirectAlias
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	add(faultNotHTTPS, to.protocol != "https:")
	add(faultAddress, err == nil)
	add(faultForeignHost, !ours && err != nil && host == namedHost(c))
	add(faultOtherHost, !ours && err != nil && host != namedHost(c))
	add(faultUser, to.username+to.password != "")
	add(faultPort, to.port != "")
	add(faultFinalDot, host != to.host)
	add(faultFragment, strings.Contains(rest, "#"))
	asked, isPath := askedPath(c.target())
	add(faultPath, isPath && canonicalBytes(afterHost(rest)) != canonicalBytes(asked))
	return faults
}

// namedHost is the host that a request names, without port and final dot: the target's if it has one (RFC 9112 §3.2.2).
func namedHost(c rawCase) string {
	host := c.hostValue()
	if u, err := url.Parse(c.target()); err == nil && u.Host != "" && !strings.HasPrefix(c.target(), "/") {
		host = u.Host
	}
	host, _, _ = strings.Cut(host, ":")
	return strings.TrimSuffix(strings.ToLower(host), ".")
}

// afterHost is the path and query of a URL without its scheme; an empty path is "/".
func afterHost(rest string) string {
	switch i := strings.IndexAny(rest, "/?"); {
	case i < 0:
		return "/"
	case rest[i] == '?':
		return "/" + rest[i:]
	default:
		return rest[i:]
	}
}

// notInURL reports what must be percent-encoded everywhere in a URL (RFC 3986 §2).
func notInURL(r rune) bool {
	return r <= ' ' || r >= 0x7f || strings.ContainsRune("\"<>\\^`{|}", r)
}

// canonicalBytes writes a path and query in one way: what is encoded and need not be is not, and what is not and must
// be is. Two are equal if every server takes them for the same (RFC 3986 §6.2.2).
func canonicalBytes(s string) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		c, encoded := s[i], false
		if raw, err := url.PathUnescape(s[i:min(i+3, len(s))]); c == '%' && err == nil {
			c, encoded, i = raw[0], true, i+2
		}
		if isUnreserved(c) || !encoded && strings.IndexByte("!$&'()*+,;=:@/?", c) >= 0 {
			b.WriteByte(c)
			continue
		}
		b.Write([]byte{'%', digits[c>>4], digits[c&15]})
	}
	return b.String()
}

func isUnreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

// The judge knows each fault when it sees it, and no others.
func TestFaultsOf(t *testing.T) {
	direct, https := rawCase{line: "GET /a%2Fb?x"}, "https://example.com"
	good := whatwgURL{protocol: "https:", host: "example.com", path: "/a%2Fb"}
	with80 := whatwgURL{protocol: "https:", host: "example.com", port: "80"}
	withUser := whatwgURL{protocol: "https:", host: "example.com", username: "u"}
	browser := func(host string) whatwgURL { return whatwgURL{protocol: "https:", host: host} }
	found := func(location string) rawAnswer {
		return rawAnswer{status: 301, header: map[string][]string{"Location": {location}}}
	}
	tests := []struct {
		name string
		c    rawCase
		to   string
		url  whatwgURL
		want []string
	}{
		{"none", direct, https + "/a%2fb?x", good, nil},
		{"decoded", direct, https + "/a/b?x", good, []string{faultPath}},
		{"query lost", direct, https + "/a%2Fb", good, []string{faultPath}},
		{"fragment", direct, https + "/a%2Fb?x#y", good, []string{faultFragment, faultPath}},
		{"raw", rawCase{line: "GET /<"}, https + "/<", good, []string{faultBytes}},
		{"relative", direct, "/a%2Fb?x", good, []string{faultInvalid}},
		{"no host", direct, "https:///a%2Fb?x", good, []string{faultInvalid}},
		{"unreadable", direct, https + "/a%2Fb?x", whatwgURL{}, []string{faultInvalid}},
		{"port", direct, https + ":80/a%2Fb?x", with80, []string{faultPort}},
		{"user", direct, "https://u@example.com/a%2Fb?x", withUser, []string{faultUser}},
		{"dot", direct, "https://example.com./a%2Fb?x", browser("example.com."), []string{faultFinalDot}},
		{"address", direct, "https://192.0.2.7/a%2Fb?x", browser("192.0.2.7"), []string{faultAddress}},
		{"address 6", direct, "https://[::1]/a%2Fb?x", browser("[::1]"), []string{faultAddress}},
		{"other host", direct, "https://evil.example/a%2Fb?x", browser("evil.example"), []string{faultOtherHost}},
		{"foreign host", rawCase{host: "evil.example"}, "https://evil.example/", browser("evil.example"), []string{faultForeignHost}},
		{"rootless", rawCase{line: "GET x:@evil.example"}, https + "/", good, []string{faultNoPath}},
		{"loop", rawCase{via: true, was: "https"}, https + "/", good, []string{faultLoop}},
		{"unclear", rawCase{via: true}, https + "/", good, []string{faultUnclear}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			require.Equal(t, test.want, faultsOf(test.c, found(test.to), test.url))
		})
	}
	answer := rawAnswer{status: 503, reached: true, header: map[string][]string{
		"Set-Cookie": {"x=1"}, "Strict-Transport-Security": {"max-age=1"},
	}}
	require.Equal(t, []string{faultServerError, faultServed, faultHSTS, faultInjected}, faultsOf(direct, answer, whatwgURL{}))
	require.Equal(t, []string{faultNoAnswer}, faultsOf(direct, rawAnswer{}, whatwgURL{}))
	repeats := found(https + "/a%2fb?x")
	repeats.body = `<a href="/?q="><script>alert(1)</script>">`
	require.Equal(t, []string{faultBody}, faultsOf(direct, repeats, good))
}
