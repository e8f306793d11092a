package forwarded

// The ranges that vendors publish change. These lists are embedded for the
// presets that take none; refresh them by giving your own.
const (
	// CloudFrontRangesDate is the createDate of the list that CloudFront uses
	// without ranges. Its IPv6 part has grown within weeks before.
	CloudFrontRangesDate = "2026-10-06"

	// CloudflareRangesDate is the date on which the list that Cloudflare uses
	// without ranges was last seen unchanged.
	CloudflareRangesDate = "2026-10-08"
)

// googleCloudRanges are the sources of Google Cloud's proxies and probes.
//
// Source: cloud.google.com/load-balancing/docs/health-check-concepts#ip-ranges
func googleCloudRanges() []string {
	return []string{"35.191.0.0/16", "130.211.0.0/22", "2600:2d00:1:1::/64", "2600:2d00:1:b029::/64"}
}

// cloudflareRanges is Cloudflare's list.
//
// Source: www.cloudflare.com/ips/
func cloudflareRanges() []string {
	return []string{
		"103.21.244.0/22", "103.22.200.0/22", "103.31.4.0/22", "104.16.0.0/13", "104.24.0.0/14",
		"108.162.192.0/18", "131.0.72.0/22", "141.101.64.0/18", "162.158.0.0/15", "172.64.0.0/13",
		"173.245.48.0/20", "188.114.96.0/20", "190.93.240.0/20", "197.234.240.0/22", "198.41.128.0/17",
		"2400:cb00::/32", "2405:8100::/32", "2405:b500::/32", "2606:4700::/32", "2803:f800::/32",
		"2a06:98c0::/29", "2c0f:f248::/32",
	}
}

// cloudFrontRanges is what connects to origins, the service
// CLOUDFRONT_ORIGIN_FACING; viewers' addresses (CLOUDFRONT) do not.
//
// Source: ip-ranges.amazonaws.com/ip-ranges.json
func cloudFrontRanges() []string {
	return []string{
		"3.29.57.0/26", "3.172.0.0/18", "3.172.64.0/18", "13.124.199.0/24", "15.158.0.0/16", "18.68.0.0/16",
		"24.110.128.0/17", "52.46.0.0/18", "52.82.128.0/23", "52.82.134.0/23", "54.182.128.0/20", "54.182.144.0/21",
		"54.182.154.0/23", "54.182.156.0/22", "54.182.160.0/21", "54.182.172.0/22", "54.182.176.0/21",
		"54.182.184.0/22", "54.182.188.0/23", "54.182.224.0/21", "54.182.240.0/21", "54.182.248.0/22",
		"54.239.134.0/23", "54.239.170.0/23", "54.239.204.0/22", "54.239.208.0/21", "64.252.64.0/18",
		"64.252.128.0/18", "70.132.0.0/18", "130.176.0.0/18", "130.176.64.0/21", "130.176.72.0/22",
		"130.176.76.0/24", "130.176.78.0/23", "130.176.80.0/22", "130.176.86.0/23", "130.176.88.0/21",
		"130.176.96.0/19", "130.176.128.0/21", "130.176.136.0/23", "130.176.140.0/22", "130.176.144.0/20",
		"130.176.160.0/19", "130.176.192.0/19", "204.246.166.0/24", "205.251.218.0/24", "2406:da10:847f:a100::/56",
		"2406:da11:438:2300::/56", "2406:da12:4b:c200::/56", "2406:da12:8b2e:9c00::/56", "2406:da14:17bd:2f00::/56",
		"2406:da14:80bb:ea00::/56", "2406:da16:c01:c200::/56", "2406:da18:9fa:1b00::/56", "2406:da19:e19:4a00::/56",
		"2406:da1a:6df:6c00::/56", "2406:da1b:e7c:ad00::/56", "2406:da1c:787:2b00::/56", "2406:da1c:8d8c:4600::/56",
		"2406:da1e:705:1600::/56", "2406:da1f:396:9100::/56", "2600:1f11:e79:a800::/56", "2600:1f13:417:4d00::/56",
		"2600:1f16:1923:3000::/56", "2600:1f17:4356:f100::/56", "2600:1f18:7530:7200::/56",
		"2600:1f1a:4568:b500::/56", "2600:1f1c:da:600::/56", "2600:1f1e:a7:2300::/56", "2600:9000:1000::/36",
		"2600:9000:5200::/40", "2600:9000:6000::/36", "2a05:d011:531:1800::/56", "2a05:d012:581:b400::/56",
		"2a05:d014:1362:b000::/56", "2a05:d016:9ed:de00::/56", "2a05:d018:1a3a:2d00::/56", "2a05:d019:80b:e300::/56",
		"2a05:d01a:8a9:be00::/56", "2a05:d01c:343:c300::/56", "2a05:d025:e59:fb00::/56",
	}
}
