package forwardedtest

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// maxExpanded bounds what one repetition may expand to, so that a slip of the
// pen in a vector does not fill the memory of everybody who runs the kit.
const maxExpanded = 1 << 20

// repeatPattern is {repeat N "text"}.
var repeatPattern = regexp.MustCompile(`^\{repeat ([0-9]+) "((?:[^"\\{]|\\.)*)"\}`)

// expand undoes the escapes in a value.
func expand(value string) (string, error) {
	var out strings.Builder
	for value != "" {
		text, rest, err := piece(value)
		if err != nil {
			return "", err
		}
		out.WriteString(text)
		value = rest
	}
	return out.String(), nil
}

// piece expands the first escape, repetition or run of plain text in s, which is
// not empty, and returns what follows it.
func piece(s string) (text, rest string, err error) {
	switch s[0] {
	case '\\':
		return unescape(s)
	case '{':
		return repetition(s)
	}
	end := strings.IndexAny(s, `\{`)
	if end < 0 {
		end = len(s)
	}
	return s[:end], s[end:], nil
}

// unescape expands the escape that s begins with.
func unescape(s string) (text, rest string, err error) {
	if len(s) < 2 {
		return "", "", errors.New(`single \ at the end; write \\`)
	}
	switch c := s[1]; c {
	case '\\', '"', '{':
		return s[1:2], s[2:], nil
	case 't':
		return "\t", s[2:], nil
	case 'x':
		return hexByte(s)
	default:
		return "", "", fmt.Errorf(`unknown escape \%c`, c)
	}
}

// hexByte expands the \xHH that s begins with.
func hexByte(s string) (text, rest string, err error) {
	if len(s) < 4 {
		return "", "", errors.New(`\x needs two hexadecimal digits`)
	}
	b, err := strconv.ParseUint(s[2:4], 16, 8)
	if err != nil {
		return "", "", fmt.Errorf(`\x needs two hexadecimal digits, not %q`, s[2:4])
	}
	return string([]byte{byte(b)}), s[4:], nil
}

// repetition expands the {repeat N "text"} that s begins with.
func repetition(s string) (text, rest string, err error) {
	m := repeatPattern.FindStringSubmatch(s)
	if m == nil {
		return "", "", errors.New(`{ that does not begin {repeat N "text"}; write \{`)
	}
	text, err = expand(m[2])
	if err != nil {
		return "", "", err
	}
	n, err := strconv.Atoi(m[1])
	if err != nil || n > maxExpanded/max(1, len(text)) {
		return "", "", fmt.Errorf("repetition of more than %d bytes", maxExpanded)
	}
	return strings.Repeat(text, n), s[len(m[0]):], nil
}
