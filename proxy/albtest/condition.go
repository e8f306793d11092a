package albtest

import (
	"net/netip"
	"strings"
)

func (c HostHeader) holds(m *message) bool {
	host, _ := splitPort(m.host)
	return anyMatch(c, strings.ToLower(host), strings.ToLower)
}

func (c PathPattern) holds(m *message) bool { return anyMatch(c, m.path, nil) }

func (c HTTPHeader) holds(m *message) bool {
	for _, value := range m.fields.values(c.Name) {
		if anyMatch(c.Values, strings.ToLower(value), strings.ToLower) {
			return true
		}
	}
	return false
}

func (c RequestMethod) holds(m *message) bool {
	for _, method := range c {
		if method == m.method {
			return true
		}
	}
	return false
}

func (c QueryString) holds(m *message) bool {
	for pair := range strings.SplitSeq(strings.ToLower(m.query), "&") {
		key, value, _ := strings.Cut(pair, "=")
		for _, want := range c {
			if (want.Key == "" || wildcard(strings.ToLower(want.Key), key)) && wildcard(strings.ToLower(want.Value), value) {
				return true
			}
		}
	}
	return false
}

func (c SourceIP) holds(m *message) bool {
	for _, text := range c {
		prefix, err := netip.ParsePrefix(text)
		if err == nil && prefix.Contains(m.client.Addr().Unmap()) {
			return true
		}
	}
	return false
}

func (c HostHeader) words() []string    { return c }
func (c PathPattern) words() []string   { return c }
func (c HTTPHeader) words() []string    { return c.Values }
func (c RequestMethod) words() []string { return c }
func (c SourceIP) words() []string      { return c }
func (c QueryString) words() []string {
	list := make([]string, len(c))
	for i, pair := range c {
		list[i] = pair.Key + pair.Value
	}
	return list
}

func anyMatch(patterns []string, s string, fold func(string) string) bool {
	for _, pattern := range patterns {
		if fold != nil {
			pattern = fold(pattern)
		}
		if wildcard(pattern, s) {
			return true
		}
	}
	return false
}

// wildcard matches with * and ?. It goes back to the last star only, so that a
// pattern costs at most its length times that of s.
func wildcard(pattern, s string) bool {
	p, i, star, retry := 0, 0, -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, retry = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			retry++
			p, i = star+1, retry
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
