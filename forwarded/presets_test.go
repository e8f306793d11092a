package forwarded_test

import (
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/knownhops/knownhops/forwarded"
)

// presets are all of them beside the text that ParseHops reads.
func presets() map[string]forwarded.Hop {
	const a, b = "192.0.2.1", "198.51.100.0/24"
	fdid := forwarded.Secret{Header: "X-Azure-Fdid", Values: []string{"env:FDID"}}
	return map[string]forwarded.Hop{
		"trusted=192.0.2.1,198.51.100.0/24":         forwarded.Trusted(a, b),
		"alb=192.0.2.1,198.51.100.0/24":             forwarded.ALB(a, b),
		"nlb-tls=192.0.2.1,198.51.100.0/24":         forwarded.NLBTLS(a, b),
		"nlb-tcp=192.0.2.1,198.51.100.0/24":         forwarded.NLBTCP(a, b),
		"cloudfront=192.0.2.1,198.51.100.0/24":      forwarded.CloudFront(a, b),
		"cloudfront":                                forwarded.CloudFront(),
		"cloudflare=192.0.2.1,198.51.100.0/24":      forwarded.Cloudflare(a, b),
		"cloudflare=":                               forwarded.Cloudflare(),
		"googlecloud=192.0.2.1,198.51.100.0/24":     forwarded.GoogleCloud(a, b),
		"nginx=192.0.2.1,198.51.100.0/24":           forwarded.Nginx(a, b),
		"nginx-passing=192.0.2.1,198.51.100.0/24":   forwarded.NginxPassing(a, b),
		"haproxy=192.0.2.1,198.51.100.0/24":         forwarded.HAProxy(a, b),
		"apache=192.0.2.1,198.51.100.0/24":          forwarded.Apache(a, b),
		"caddy=192.0.2.1,198.51.100.0/24":           forwarded.Caddy(a, b),
		"traefik=192.0.2.1,198.51.100.0/24":         forwarded.Traefik(a, b),
		"envoy=192.0.2.1,198.51.100.0/24":           forwarded.Envoy(a, b),
		"azureappgateway=192.0.2.1,198.51.100.0/24": forwarded.AzureAppGateway(a, b),
		"heroku":                          forwarded.Heroku(),
		"fly":                             forwarded.Fly(),
		"proxy=192.0.2.1,198.51.100.0/24": forwarded.Proxy(a, b),
		"NGINX_Passing=192.0.2.1":         forwarded.NginxPassing(a),
		"azurefrontdoor=192.0.2.1;secret=X-Azure-FDID:env:FDID": forwarded.AzureFrontDoor(fdid, a),
	}
}

func TestPresets(t *testing.T) {
	t.Setenv("FDID", testSecret)
	for text, hop := range presets() {
		behind(t, hop)
		read, err := forwarded.ParseHops(text)
		if err != nil || len(read) != 1 || !reflect.DeepEqual(read[0], hop) {
			t.Errorf("%s is read as %+v (%v), want %+v", text, read, err, hop)
		}
		if again, err := forwarded.ParseHops(hop.String()); err != nil || !reflect.DeepEqual(again, []forwarded.Hop{hop}) {
			t.Errorf("%s is printed as %s, which is read as %+v (%v)", text, hop, again, err)
		}
		if hop.Name == "" {
			t.Errorf("%s has no name for warnings", text)
		}
	}
	if hop := forwarded.AzureFrontDoor(forwarded.Secret{Values: []string{"env:FDID"}}, "192.0.2.1"); hop.Secret.Header != "X-Azure-Fdid" {
		t.Errorf("the id stands in %q", hop.Secret.Header)
	}
}

// TestPresetsAreValues: whoever edits what a preset returned does not change
// what it returns next.
func TestPresetsAreValues(t *testing.T) {
	for name, preset := range map[string]func() forwarded.Hop{
		"cloudfront":  func() forwarded.Hop { return forwarded.CloudFront() },
		"cloudflare":  func() forwarded.Hop { return forwarded.Cloudflare() },
		"googlecloud": func() forwarded.Hop { return forwarded.GoogleCloud("192.0.2.1") },
		"heroku":      forwarded.Heroku,
	} {
		edited, want := preset(), preset()
		edited.From[0] = "0.0.0.0/1"
		if got := preset(); !reflect.DeepEqual(got, want) {
			t.Errorf("%s now begins with %s", name, got.From[0])
		}
	}
}

func TestPublishedRanges(t *testing.T) {
	for name, date := range map[string]string{"cloudfront": forwarded.CloudFrontRangesDate, "cloudflare": forwarded.CloudflareRangesDate} {
		if _, err := time.Parse(time.DateOnly, date); err != nil {
			t.Errorf("%s: the list's date: %v", name, err)
		}
	}
	for _, hop := range []forwarded.Hop{forwarded.CloudFront(), forwarded.Cloudflare(), forwarded.GoogleCloud("192.0.2.1")} {
		var prefixes []netip.Prefix
		v6 := false
		for _, text := range hop.From {
			p, err := netip.ParsePrefix(text)
			if err != nil || p != p.Masked() || !p.Addr().IsGlobalUnicast() || p.Addr().IsPrivate() || p.Bits() < 12 {
				t.Errorf("%s: %s is no published range (%v)", hop.Name, text, err)
			}
			if i := slices.IndexFunc(prefixes, p.Overlaps); i >= 0 {
				t.Errorf("%s: %s and %s overlap", hop.Name, prefixes[i], text)
			}
			prefixes, v6 = append(prefixes, p), v6 || p.Addr().Is6()
		}
		if len(prefixes) < 4 || !v6 {
			t.Errorf("%s: only %d ranges, IPv6: %v", hop.Name, len(prefixes), v6)
		}
	}
}

// TestCloudFrontOnALB is the way to the viewer's scheme, which CloudFront's own
// X-Forwarded-Proto does not tell.
func TestCloudFrontOnALB(t *testing.T) {
	edge := forwarded.CloudFront("198.51.100.0/24")
	r := get(albPeer, "X-Forwarded-For: 6.6.6.6, "+client+", 198.51.100.9", "X-Forwarded-Proto: http", "X-Forwarded-Port: 80", "Cloudfront-Forwarded-Proto: https")
	lost := behind(t, albHop(), edge).Resolve(r)
	if lost.Client.String() != client || lost.Scheme != forwarded.SchemeUnknown || lost.HostReason != forwarded.ReasonHostReplaced {
		t.Errorf("as it comes: %+v", lost)
	}
	edge.Proto, edge.ReplacesHost = forwarded.Sets("CloudFront-Forwarded-Proto"), false
	told := behind(t, albHop(), edge).Resolve(r)
	if told.Client.String() != client || told.Scheme != forwarded.HTTPS || told.Host != ourHost {
		t.Errorf("with the origin request policy: %+v", told)
	}
}
