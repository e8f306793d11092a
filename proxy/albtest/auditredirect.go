package albtest

// redirectRows are about where a service sends its clients.
func redirectRows() []auditRow {
	rows := []auditRow{{
		name: "redirect/port", over: []door{{byHTTP, port8080}, {byHTTPS, port8080}}, judge: (*audit).ownPort,
		why: "the port that the service listens on is not the one that clients connect to", change: "make addresses without a port, or with the client's, never with one's own",
	}}
	for _, r := range []struct{ name, target string }{
		{"double-slash", "//" + evilPath + "/"},
		{"double-slash-dots", "//" + evilPath + "/%2e%2e"},
		{"triple-slash", "///" + evilPath + "/.."},
		{"slash-dot", "/.//" + evilPath + "/"},
		{"backslash", `/\` + evilPath + "/"},
		{"backslash-encoded", "/%5c" + evilPath + "/"},
		{"slash-encoded", "/%2f%2f" + evilPath + "/"},
		{"tab", "/%09/" + evilPath + "/"},
		{"at", "/@" + evilPath + "/"},
	} {
		rows = append(rows, auditRow{
			name: "redirect/" + r.name, over: doors(byHTTP, byHTTPS), send: ask{target: r.target}, judge: (*audit).safe,
			why:    "a Location that begins with two slashes, or with what browsers take for them, names a host: a link to the service then leads to the attacker",
			change: "redirect to a whole address, with scheme and host, and keep the path as it was encoded",
		})
	}
	return append(rows, auditRow{
		name: "redirect/line-break", over: doors(byHTTP, byHTTPS), send: ask{target: "/%0d%0aX-Albtest-Audit:%20split%0d%0a"}, judge: (*audit).notSplit,
		why: "who writes a decoded line break into a header lets clients write headers of the answer", change: "keep the path as it was encoded",
	})
}

// notSplit wants no header of the client's making in the answer.
func (a *audit) notSplit(got *reply) string {
	if got.header("X-Albtest-Audit") != "" {
		return "the answer has a header that the client wrote"
	}
	return ""
}
