package albtest

import "strings"

const whyScheme = "who makes a request over http pass for one over https escapes the redirect, and has cookies and pages sent in the clear"

// schemeRows are about a client on listener 80 who says that he uses https, and
// about identities that nobody has checked.
func schemeRows() (rows []auditRow) {
	for _, line := range []string{
		"X_Forwarded_Proto: https", "X.Forwarded.Proto: https", "X-Forwarded-Protocol: https", "X-Forwarded-Scheme: https",
		"X-Forwarded-Ssl: on", "X_Forwarded_Port: 443", "X-Scheme: https", "X-Url-Scheme: https", "X-Original-Proto: https", "Front-End-Https: on",
		"Forwarded: proto=https", "CloudFront-Forwarded-Proto: https", `CF-Visitor: {"scheme":"https"}`, "X-ARR-SSL: x",
		"X-Amzn-Tls-Version: TLSv1.3",
	} {
		name := "scheme/" + strings.ToLower(strings.SplitN(line, ":", 2)[0])
		rows = append(rows, auditRow{
			name: name, over: doors(byHTTP), send: ask{lines: []string{line}}, judge: (*audit).sameAnswer,
			why: whyScheme, change: "read the scheme from the X-Forwarded-Proto of the balancer, which replaces what clients write, and from nothing else",
		})
	}
	return append(rows,
		auditRow{
			name: "scheme/http-over-https", over: doors(byHTTPS), judge: (*audit).sameAnswer,
			send:   ask{lines: []string{"X-Forwarded-Scheme: http", "X_Forwarded_Proto: http", "Forwarded: proto=http", "X-Forwarded-Ssl: off"}},
			why:    "a client over https who is redirected to https goes round in a circle, and an answer that is cached takes others with him",
			change: "read the scheme from the X-Forwarded-Proto of the balancer, and from nothing else",
		},
		auditRow{
			name: "identity/forged", over: doors(byHTTP, byHTTPS), judge: (*audit).sameAnswer,
			send: ask{lines: []string{
				"X-Remote-User: root", "Remote-User: root", "X-Forwarded-User: root", "X-Auth-Request-User: root", "X-Amzn-Oidc-Identity: root",
				"X-Amzn-Mtls-Clientcert-Subject: CN=root", "X-SSL-Client-Verify: SUCCESS", "X-Forwarded-Client-Cert: Subject=\"CN=root\"",
			}},
			why:    "the balancer passes identities on that it did not write, and who believes them logs anybody in",
			change: "read identity headers only where the balancer is set up to write them on every listener, or where they are signed",
		},
	)
}

// nominationRows have a Connection that nominates the balancer's headers. The
// balancer was seen to take Connection away, but nothing documents it, so these
// requests come as from a node that does not.
func nominationRows(spec AuditSpec) []auditRow {
	head := func(nominated string) ask {
		q := ask{target: spec.Path, lines: []string{
			"X-Forwarded-For: " + auditClient.String(), "X-Forwarded-Proto: https", "X-Forwarded-Port: 443", "Connection: close, " + nominated,
		}}
		return ask{whole: q.text(spec)}
	}
	const why = "a proxy in front of the service, or in it, that removes what a client nominates in Connection lets the client remove what the balancer wrote"
	const change = "let Connection remove no forwarding header, and take no missing header for a sign of something internal"
	return []auditRow{
		{
			name: "connection/x-forwarded-for", over: doors(byNode), send: head("X-Forwarded-For"), judge: (*audit).asOverHTTPS, client: true,
			why: why, change: change,
		},
		{
			name: "connection/x-forwarded-proto", over: doors(byNode), send: head("X-Forwarded-Proto, X-Forwarded-Port"), judge: (*audit).asOverHTTPS,
			why: why, change: change,
		},
	}
}

// asOverHTTPS wants the answer of a plain request over https.
func (a *audit) asOverHTTPS(got *reply) string {
	plain := a.plain(door{byHTTPS, got.setting}, got.ask.from)
	if isRefusal(got.status()) && !isRefusal(plain.status()) {
		return ""
	}
	return a.alike(got, plain, "without the nomination")
}
