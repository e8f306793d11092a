package albtest

import (
	"strings"
)

// tier is how far a request is from RFC 7230.
type tier uint8

const (
	compliant tier = iota
	acceptable
	ambiguous
	severe
)

func (t tier) String() string { return word(t, "Compliant", "Acceptable", "Ambiguous", "Severe") }

// finding is one thing noticed about a request: its tier, and AWS's word.
type finding struct {
	tier tier
	word string
}

// classify finds the worst there is to say about a request.
//
// Source: github.com/aws/http-desync-guardian;
// docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-access-logs.html#classification-reasons
func classify(m *message) (worst finding) {
	note := func(f finding) {
		if f.tier > worst.tier {
			worst = f
		}
	}
	note(judgeLine(m))
	for _, f := range m.fields {
		note(judgeField(f))
	}
	note(judgeFraming(m))
	return worst
}

// judgeLine looks at the request line.
func judgeLine(m *message) finding {
	switch {
	case !isToken(m.method):
		return finding{severe, "BadMethod"}
	case strings.ContainsAny(m.target, "\x00\r"):
		return finding{severe, "BadUri"}
	case hasControl(m.target):
		return finding{ambiguous, "AmbiguousUri"}
	case strings.Contains(m.target, " "):
		return finding{acceptable, "SpaceInUri"}
	case m.version != "HTTP/1.0" && m.version != "HTTP/1.1":
		return finding{acceptable, "NonCompliantVersion"}
	}
	return finding{}
}

// judgeField looks at one header line by itself.
func judgeField(f field) finding {
	line := f.name + f.value + f.raw
	switch {
	case strings.ContainsAny(line, "\x00\r"):
		return finding{severe, "BadHeader"}
	case f.name == "" && (strings.TrimSpace(f.raw) == "" || f.raw[0] == ':'):
		return finding{ambiguous, "EmptyHeader"}
	case suspicious(f):
		return finding{ambiguous, "SuspiciousHeader"}
	case hasControl(line) || !isASCII(line):
		return finding{acceptable, "NonCompliantHeader"}
	}
	return finding{}
}

// suspicious finds names that somebody may take for one of the two that frame
// a body: Transfer_Encoding, " Content-Length".
func suspicious(f field) bool {
	name := f.name
	if f.raw != "" {
		name, _, _ = strings.Cut(f.raw, ":")
	}
	if strings.EqualFold(name, "Transfer-Encoding") || strings.EqualFold(name, "Content-Length") {
		return f.raw != ""
	}
	letters := strings.Map(func(r rune) rune {
		if r|0x20 >= 'a' && r|0x20 <= 'z' {
			return r | 0x20
		}
		return -1
	}, name)
	return letters == "transferencoding" || letters == "contentlength"
}

// judgeFraming looks at what says where the body ends.
func judgeFraming(m *message) finding {
	lengths, codings := m.fields.values("Content-Length"), m.fields.values("Transfer-Encoding")
	if worst := judgeLengths(lengths); worst.tier == severe {
		return worst
	}
	if worst := judgeCodings(codings); worst.tier == severe {
		return worst
	}
	bodiless := m.method == "GET" || m.method == "HEAD"
	switch {
	case len(lengths) > 0 && len(codings) > 0:
		return finding{ambiguous, "BothTeClPresent"}
	case len(lengths) > 1:
		return finding{ambiguous, "DuplicateContentLength"}
	case bodiless && len(codings) > 0:
		return finding{ambiguous, "UndefinedTransferEncodingSemantics"}
	case bodiless && len(lengths) > 0 && strings.Trim(lengths[0], "0") == "":
		return finding{acceptable, "GetHeadZeroContentLength"}
	case bodiless && len(lengths) > 0:
		return finding{ambiguous, "UndefinedContentLengthSemantics"}
	}
	return finding{}
}

func judgeLengths(lengths []string) finding {
	for _, value := range lengths {
		if _, ok := parseLength(value); !ok {
			return finding{severe, "BadContentLength"}
		}
		if value != lengths[0] {
			return finding{severe, "MultipleContentLength"}
		}
	}
	return finding{}
}

func judgeCodings(codings []string) finding {
	chunked := 0
	for _, value := range codings {
		switch {
		case strings.EqualFold(value, "chunked"):
			chunked++
		case !strings.EqualFold(value, "identity"):
			return finding{severe, "BadTransferEncoding"}
		}
	}
	if chunked > 1 {
		return finding{severe, "MultipleTransferEncodingChunked"}
	}
	return finding{}
}

// parseLength reads a Content-Length: digits and nothing else.
func parseLength(s string) (int64, bool) {
	var n int64
	if s == "" || len(s) > 18 {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int64(s[i]-'0')
	}
	return n, true
}

// isToken is RFC 9110, section 5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		if !isNameByte(s[i]) && !strings.ContainsRune("!#$%&'*+.^_`|~", rune(s[i])) {
			return false
		}
	}
	return s != ""
}

// isValidName is what drop_invalid_header_fields keeps: [-A-Za-z0-9]+.
func isValidName(s string) bool {
	for i := range len(s) {
		if !isNameByte(s[i]) {
			return false
		}
	}
	return s != ""
}

func isNameByte(c byte) bool {
	return c == '-' || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
}

func hasControl(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
