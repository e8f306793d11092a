// Package redirect sends clients to https, where they really used http, and
// nowhere else.
//
//	hops := forwarded.Must(forwarded.Behind(forwarded.ALB("10.0.16.0/20")))
//	https := redirect.Must(redirect.HTTPS("www.example.com", "example.com"))
//	http.ListenAndServe(":8080", hops.Wrap(https.Wrap(app)))
//
// An Enforcer decides about each request by what package forwarded knows of it,
// which is not the same as what its headers say. Three schemes there are: https
// passes, http is redirected, and unknown passes with a warning, since to take
// it for http is how services behind a proxy come to redirect for ever. Decide
// says what Wrap would do; the reasons are those of type Reason.
//
// # Hosts
//
// A Location is always made of a name from the Config. Requests for other
// names, for addresses, and without a host get 421 Misdirected Request, which
// tells nobody what is served here. A balancer's health checks ask for an
// address: answer them outside of Wrap.
//
// # Loops
//
// When a proxy ends TLS and the word of it is lost on the way, the client's
// https looks like http, and the redirect leads to where the client is. Three
// things show it. Browsers send Sec-Fetch-Site and Sec-Fetch-Dest to https only
// (W3C Fetch Metadata): the loop is reported at its first request. Other
// headers of the request may still say https: they tell which hop is wrong. And
// a redirect to https sets a cookie that browsers neither take from http nor
// send over it: when it comes back, the answer is an error instead of the next
// redirect. The log names the hop and the fix.
//
// No such sign makes a request pass that would have been redirected. Signs can
// be forged, and whoever can change plain http must not get plain answers by
// it. There is one exception: where no policy ran, and Config.Policy is nil, a
// forwarding header makes the scheme unknown, since to redirect every request of
// a service behind a proxy would be worse. A service that no proxy stands before
// sets Policy: new(forwarded.Policy).
//
// # Caches
//
// Redirects are 301, or 308 where the method must stay, and carry
// "Cache-Control: private, no-store": a browser that has kept a redirect goes
// on following it when the mistake is long mended, without asking.
//
// # Dead ends
//
// A redirect to https is of no use where nobody answers https: the balancer
// that had the certificate is gone, say. Config.Proof and RefuseWithoutProof
// redirect only where https is known to work, and Probe tries it out.
package redirect
