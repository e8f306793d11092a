package forwarded

// The header names that most hops use.
const (
	xff     = "X-Forwarded-For"
	xfProto = "X-Forwarded-Proto"
	xfHost  = "X-Forwarded-Host"
	xfPort  = "X-Forwarded-Port"
	xfPre   = "X-Forwarded-Prefix"
	rfc7239 = "Forwarded"
)

// Trusted is the plain trusted-proxy list: whoever connects from these
// addresses appends the client to X-Forwarded-For and sets X-Forwarded-Proto.
// It fits most proxies; the presets below know more about theirs.
func Trusted(from ...string) Hop {
	return Hop{Name: "trusted", From: from, For: Appends(xff), Proto: Sets(xfProto)}
}

// ALB is an AWS Application Load Balancer with its default attributes, in
// these subnets: its nodes connect from addresses of the subnets and change as
// it scales.
//
// It appends to X-Forwarded-For (with a port when client port preservation is
// on), sets X-Forwarded-Proto and X-Forwarded-Port, and passes everything
// else, X-Forwarded-Host included. With the attribute
// routing.http.xff_header_processing.mode=preserve set For to Passes(), with
// remove to Drops("X-Forwarded-For").
//
// Source: docs.aws.amazon.com/elasticloadbalancing/latest/application/x-forwarded-headers.html
func ALB(subnets ...string) Hop {
	return Hop{Name: "alb", From: subnets, For: Appends(xff), Proto: Sets(xfProto), Port: Sets(xfPort)}
}

// NLBTLS is an AWS Network Load Balancer with a TLS listener and PROXY
// protocol v2. It writes no HTTP header at all; the client is in the PROXY
// header, and its destination port, 443, is the only sign of TLS. Never use it
// for a TCP listener: that one passes whatever bytes come.
//
// Source: docs.aws.amazon.com/elasticloadbalancing/latest/network/load-balancer-target-groups.html
func NLBTLS(from ...string) Hop {
	return Hop{Name: "nlb-tls", From: from, For: FromPROXY(), Proto: FromPROXY(), Port: FromPROXY()}
}

// NLBTCP is an AWS Network Load Balancer (or any TCP proxy) with a TCP
// listener and PROXY protocol: bytes pass as they are, so the scheme is the
// socket's own.
func NLBTCP(from ...string) Hop {
	return Hop{Name: "nlb-tcp", From: from, For: FromPROXY(), Port: FromPROXY()}
}

// CloudFront is Amazon CloudFront as it reaches an origin. Without ranges it
// uses the embedded published list (see [CloudFrontRangesDate]).
//
// It appends the viewer to X-Forwarded-For and removes X-Forwarded-Proto. The
// viewer's scheme is unknown until you declare
// Proto: Sets("CloudFront-Forwarded-Proto"), which needs an origin request
// policy that adds the header. It sends the origin's name as Host unless the
// policy forwards the viewer's; then set ReplacesHost to false. Every AWS
// customer's distribution uses the same addresses: add a Secret, a custom
// origin header.
//
// Source: docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/RequestAndResponseBehaviorCustomOrigin.html
func CloudFront(ranges ...string) Hop {
	return Hop{
		Name: "cloudfront", From: orPublished(ranges, cloudFrontRanges()), Shared: true, ReplacesHost: true,
		For: Appends(xff), Proto: Drops(xfProto),
	}
}

// Cloudflare is Cloudflare's edge. Without ranges it uses the embedded
// published list (see [CloudflareRangesDate]). It replaces
// CF-Connecting-IP and X-Forwarded-Proto by its own values and passes the
// client's X-Forwarded-Host. Others' zones use the same addresses: add a
// Secret (a transform rule can set one) or authenticated origin pulls.
//
// Source: developers.cloudflare.com/fundamentals/reference/http-headers/
func Cloudflare(ranges ...string) Hop {
	return Hop{
		Name: "cloudflare", From: orPublished(ranges, cloudflareRanges()), Shared: true,
		For: Sets("CF-Connecting-IP"), Proto: Sets(xfProto),
	}
}

// GoogleCloud is Google Cloud's external Application Load Balancer, whose own
// addresses are vips. It appends two entries to X-Forwarded-For, the client
// and the address of its forwarding rule, and sets X-Forwarded-Proto. It
// connects from 35.191.0.0/16 and 130.211.0.0/22, and so does everybody's.
//
// Source: cloud.google.com/load-balancing/docs/https#x-forwarded-for_header
func GoogleCloud(vips ...string) Hop {
	return Hop{
		Name: "googlecloud", From: googleCloudRanges(), Self: vips, Shared: true,
		For: AppendsWithSelf(xff), Proto: Sets(xfProto),
	}
}

// Nginx is nginx with the usual lines: proxy_set_header Host $host,
// X-Forwarded-For $proxy_add_x_forwarded_for and X-Forwarded-Proto $scheme.
// It passes X-Forwarded-Host, -Port, -Prefix and Forwarded as they come.
//
// Behind another proxy that ends TLS, $scheme destroys what that one wrote;
// Lint says so. Where nginx leaves the header alone, or writes
// $http_x_forwarded_proto, set Proto to Passes().
//
// Source: nginx.org/en/docs/http/ngx_http_proxy_module.html
func Nginx(from ...string) Hop {
	return Hop{Name: "nginx", From: from, For: Appends(xff), Proto: Sets(xfProto)}
}

// NginxPassing is nginx with a bare proxy_pass: it says nothing of its own
// about who connected and replaces Host by the upstream's name, so the client
// stays unknown behind it. Declare it to be told so rather than misled.
func NginxPassing(from ...string) Hop {
	return Hop{Name: "nginx-passing", From: from, ReplacesHost: true}
}

// HAProxy is HAProxy in http mode with "option forwardfor" (which adds a line
// of its own at the end) and "http-request set-header X-Forwarded-Proto". It
// passes the rest of the family.
//
// Source: docs.haproxy.org, "option forwardfor"
func HAProxy(from ...string) Hop {
	return Hop{Name: "haproxy", From: from, For: Appends(xff), Proto: Sets(xfProto)}
}

// Apache is Apache httpd's mod_proxy_http, which appends to X-Forwarded-For
// and X-Forwarded-Host and passes the client's X-Forwarded-Proto. With
// "RequestHeader set X-Forwarded-Proto" set Proto to
// Sets("X-Forwarded-Proto"), with ProxyPreserveHost set ReplacesHost to false.
//
// Source: httpd.apache.org/docs/2.4/mod/mod_proxy.html#x-headers
func Apache(from ...string) Hop {
	return Hop{Name: "apache", From: from, ReplacesHost: true, For: Appends(xff), Host: Appends(xfHost)}
}

// Caddy is Caddy's reverse_proxy without trusted_proxies, as it comes: it
// replaces X-Forwarded-For, -Proto and -Host and passes -Port and Forwarded.
// Where Caddy itself trusts a proxy in front, it appends to X-Forwarded-For
// and passes Proto and Host: say so.
//
// Source: caddyserver.com/docs/caddyfile/directives/reverse_proxy#defaults
func Caddy(from ...string) Hop {
	return Hop{Name: "caddy", From: from, For: Sets(xff), Proto: Sets(xfProto), Host: Sets(xfHost)}
}

// Traefik is Traefik without forwardedHeaders.trustedIPs, as it comes: it
// strips the client's X-Forwarded-* and writes For, Proto (ws and wss on an
// upgrade, which are read as http and https), Host and Port. Forwarded passes.
//
// Source: doc.traefik.io/traefik/routing/entrypoints/#forwarded-headers
func Traefik(from ...string) Hop {
	return Hop{
		Name: "traefik", From: from,
		For: Sets(xff), Proto: Sets(xfProto), Host: Sets(xfHost), Port: Sets(xfPort),
	}
}

// Envoy is Envoy with use_remote_address at the edge: it appends to
// X-Forwarded-For and sets X-Forwarded-Proto. With xff_num_trusted_hops above
// 0 it believes the X-Forwarded-Proto that came: set Proto to Passes().
//
// Source: envoyproxy.io/docs/envoy/latest/configuration/http/http_conn_man/headers
func Envoy(from ...string) Hop {
	return Hop{Name: "envoy", From: from, For: Appends(xff), Proto: Sets(xfProto)}
}

// AzureFrontDoor is Azure Front Door. Its ranges are shared by every profile,
// so the id that it sends in X-Azure-FDID is part of the preset: fdid.Header
// may stay empty. It sets X-Azure-SocketIP, X-Forwarded-Proto and
// X-Forwarded-Host.
//
// Source: learn.microsoft.com/azure/frontdoor/front-door-http-headers-protocol
func AzureFrontDoor(fdid Secret, ranges ...string) Hop {
	if fdid.Header == "" {
		fdid.Header = "X-Azure-Fdid"
	}
	return Hop{
		Name: "azurefrontdoor", From: ranges, Shared: true, Secret: fdid,
		For: Sets("X-Azure-SocketIP"), Proto: Sets(xfProto), Host: Sets(xfHost),
	}
}

// AzureAppGateway is Azure Application Gateway in these subnets. It appends
// address:port to X-Forwarded-For and sets X-Forwarded-Proto and -Port.
//
// Source: learn.microsoft.com/azure/application-gateway/how-application-gateway-works
func AzureAppGateway(subnets ...string) Hop {
	return Hop{Name: "azureappgateway", From: subnets, For: Appends(xff), Proto: Sets(xfProto), Port: Sets(xfPort)}
}

// Heroku is Heroku's router, the only way into a dyno, so every peer is it.
// It appends to X-Forwarded-For and sets X-Forwarded-Proto and -Port.
//
// Source: devcenter.heroku.com/articles/http-routing#heroku-headers
func Heroku() Hop {
	return Hop{Name: "heroku", From: []string{AnyPeer}, For: Appends(xff), Proto: Sets(xfProto), Port: Sets(xfPort)}
}

// Fly is Fly.io's proxy, the only way into a machine's public services. It
// sets Fly-Client-IP, X-Forwarded-Proto and Fly-Forwarded-Port; the client's
// own X-Forwarded-Port may pass. Machines of the same organisation can reach
// the service past it: leave Fly out for what listens on the private network.
//
// Source: fly.io/docs/networking/request-headers/
func Fly() Hop {
	return Hop{
		Name: "fly", From: []string{AnyPeer},
		For: Sets("Fly-Client-IP"), Proto: Sets(xfProto), Port: Sets("Fly-Forwarded-Port"),
	}
}

// Proxy is this module's own package proxy with its default headers: it
// appends to X-Forwarded-For, and writes the client's scheme, host and port, as
// it understood them, to X-Forwarded-Proto, -Host and -Port. Declare behind it
// the hops that it was told of itself.
func Proxy(from ...string) Hop {
	return Hop{
		Name: "proxy", From: from,
		For: Appends(xff), Proto: Relays(xfProto), Host: Relays(xfHost), Port: Relays(xfPort), Prefix: Relays(xfPre),
	}
}

func orPublished(ranges, list []string) []string {
	if len(ranges) > 0 {
		return ranges
	}
	return list
}
