package proxy

import (
	"math/rand/v2"
	"net/http"
	"net/netip"
	"testing"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestElements is RFC 7239's list for the ways in which a request can come.
func TestElements(t *testing.T) {
	hop := hopOf("rfc7239", "10.0.16.0/20")
	set, add := Headers{Forwarded: Set}, Headers{Forwarded: Append}
	for name, c := range map[string]struct {
		hops []forwarded.Hop
		r    *http.Request
		h    Headers
		want string
	}{
		"set, direct":          {nil, requestFrom(clientAddr, "Forwarded: for=6.6.6.6"), set, `for="203.0.113.7:40000";host=good.test;proto=http`},
		"set, IPv6":            {nil, requestFrom("2001:db8::1"), set, `for="[2001:db8::1]:40000";host=good.test;proto=http`},
		"set, behind a hop":    {[]forwarded.Hop{albHop()}, behindALB(), set, `for=203.0.113.7;host=good.test;proto=https`},
		"set, pseudonym":       {[]forwarded.Hop{hop}, requestFrom(peerAddr, "Forwarded: for=_secret;proto=https"), set, `for=_secret;host=good.test;proto=https`},
		"set, unknown":         {[]forwarded.Hop{albHop()}, requestFrom(peerAddr), set, `for=unknown;host=good.test`},
		"append, direct":       {nil, requestFrom(clientAddr, "Forwarded: for=6.6.6.6"), add, `for="203.0.113.7:40000";host=good.test;proto=http`},
		"append, IPv6":         {[]forwarded.Hop{hop}, requestFrom(peerAddr, `Forwarded: for=6.6.6.6, for="[2001:db8::1]";proto=https`), add, `for="[2001:db8::1]";proto=https, for="10.0.16.9:40000";host=good.test;proto=http`},
		"append, no list left": {[]forwarded.Hop{albHop()}, behindALB("Forwarded: for=6.6.6.6"), add, `for=203.0.113.7;host=good.test;proto=https, for="10.0.16.9:40000";host=good.test;proto=http`},
		"append, unknown":      {[]forwarded.Hop{hop}, requestFrom(peerAddr, "Forwarded: for=bad:port:x"), add, `for=unknown;host=good.test, for="10.0.16.9:40000";host=good.test;proto=http`},
		"preserve":             {[]forwarded.Hop{hop}, requestFrom(peerAddr, "Forwarded: for=6.6.6.6", "Forwarded: for=203.0.113.7;proto=https"), Headers{Forwarded: Preserve}, `for=203.0.113.7;proto=https`},
		"preserve, direct":     {nil, requestFrom(clientAddr, "Forwarded: for=6.6.6.6"), Headers{Forwarded: Preserve}, ""},
		"auto":                 {[]forwarded.Hop{hop}, requestFrom(peerAddr, "Forwarded: for=203.0.113.7;proto=https"), Headers{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, c.want, line(t, sent(t, policyOf(t, c.hops...), c.r, c.h), "Forwarded"))
		})
	}
}

// TestElementCannotBeBroken: whatever an Info of somebody's own making or a
// Host holds, the value stays one element and says what it should.
func TestElementCannotBeBroken(t *testing.T) {
	client := netip.MustParseAddr(clientAddr)
	info := forwarded.Info{Client: client, Scheme: forwarded.HTTPS, Host: `a", for=6.6.6.6;x="\`}
	out := http.Header{}
	WriteHeaders(out, requestFrom(peerAddr), info, Headers{Forwarded: Set})
	assert.Equal(t, `for=203.0.113.7;host="a\", for=6.6.6.6;x=\"\\";proto=https`, line(t, out, "Forwarded"))

	WriteHeaders(out, requestFrom(peerAddr), forwarded.Info{ClientID: "_a, for=6.6.6.6"}, Headers{Forwarded: Set})
	assert.Equal(t, "for=unknown", line(t, out, "Forwarded"))

	r := requestFrom(peerAddr)
	r.Host = `a";for=6.6.6.6`
	WriteHeaders(out, r, forwarded.Info{Client: client}, Headers{Forwarded: Append})
	assert.Equal(t, "for=203.0.113.7", line(t, out, "Forwarded"))
}

// TestElementsParseBack: package forwarded reads all that is written.
func TestElementsParseBack(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7239, 0))
	hop := forwarded.Hop{From: []string{proxyAddr}, For: forwarded.Sets("Forwarded"), Proto: forwarded.Sets("Forwarded"), Host: forwarded.Sets("Forwarded")}
	pick := func(from ...string) string { return from[rnd.IntN(len(from))] }
	for range 2000 {
		info := forwarded.Info{Host: pick("", "a.test", "192.0.2.1", "2001:db8::5", "under_score.test"), Port: uint16(rnd.IntN(3) * 443), Scheme: forwarded.Scheme(rnd.IntN(3))}
		switch rnd.IntN(4) {
		case 0:
			info.ClientID = pick("", "unknown", "_hidden", "_a.b-c")
		case 1:
			info.Client = netip.AddrFrom4([4]byte{203, 0, 113, byte(rnd.IntN(256))})
		default:
			info.Client = netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: byte(1 + rnd.IntN(255))})
		}
		if info.Client.IsValid() {
			info.ClientPort = uint16(rnd.IntN(2) * rnd.IntN(65536))
		}
		out := http.Header{}
		WriteHeaders(out, requestFrom(peerAddr), info, Headers{Forwarded: Set})
		got := next(t, out, "upstream.test", hop)
		require.Equal(t, info.Client, got.Client, "%v", out)
		require.Equal(t, info.ClientPort, got.ClientPort, "%v", out)
		require.Equal(t, info.Scheme, got.Scheme, "%v", out)
		if info.Host != "" {
			require.Equal(t, info.Host, got.Host, "%v", out)
		}
		if !info.Client.IsValid() {
			require.Equal(t, forwarded.ReasonObfuscated, got.Reason, "%v", out)
		}
	}
}
