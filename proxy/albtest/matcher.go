package albtest

import (
	"fmt"
	"strconv"
	"strings"
)

// matcher is the set of status codes that pass a health check.
type matcher []codeRange

// codeRange is from one code to another, both included.
type codeRange struct{ low, high int }

// parseMatcher reads "200", "200,202" and "200-299". Codes outside the limits
// are an error: a 5xx, say, can never be a success.
func parseMatcher(text string, limits codeRange) (matcher, error) {
	var m matcher
	for part := range strings.SplitSeq(text, ",") {
		r, err := parseRange(part)
		if err != nil {
			return nil, err
		}
		if r.low < limits.low || r.high > limits.high || r.low > r.high {
			return nil, fmt.Errorf("%q is not within %d-%d", part, limits.low, limits.high)
		}
		m = append(m, r)
	}
	return m, nil
}

func parseRange(text string) (r codeRange, err error) {
	low, high, isRange := strings.Cut(text, "-")
	if !isRange {
		high = low
	}
	if r.low, err = parseCode(low); err != nil {
		return r, err
	}
	r.high, err = parseCode(high)
	return r, err
}

// parseCode takes digits only, where Atoi takes a sign as well.
func parseCode(text string) (int, error) {
	code, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("%q is not a status code", text)
	}
	return int(code), nil
}

// matches reports whether the code passes.
func (m matcher) matches(code int) bool {
	for _, r := range m {
		if r.low <= code && code <= r.high {
			return true
		}
	}
	return false
}

// matcher parses Matcher, for a group whose targets speak the version.
func (c HealthCheck) matcher(v ProtocolVersion) (matcher, error) {
	if v == GRPC {
		return parseMatcher(c.withDefaults(v).Matcher, codeRange{0, 99})
	}
	return parseMatcher(c.withDefaults(v).Matcher, codeRange{200, 499})
}
