package proxy

import (
	"net/http"
	"strconv"
	"strings"
)

// maxVisits is how often a request may have come through this proxy. Once and
// twice happen (an application that calls itself by its public name); the
// third time is a loop.
const maxVisits = 3

// signs reports whether a pseudonym for Via is set.
func signs(pseudonym string) bool { return pseudonym != "" && pseudonym != "-" }

// appendVia appends what came in Via, as one line, and this proxy's own entry:
// the version in which the request was received, and the pseudonym (RFC 9110
// §7.6.3).
func appendVia(b []byte, in *http.Request, pseudonym string) []byte {
	if b = appendJoined(b, in.Header["Via"]); len(in.Header["Via"]) > 0 {
		b = append(b, ", "...)
	}
	b = strconv.AppendInt(b, int64(in.ProtoMajor), 10)
	b = append(b, '.')
	b = strconv.AppendInt(b, int64(in.ProtoMinor), 10)
	b = append(b, ' ')
	return append(b, pseudonym...)
}

// loops reports whether the pseudonym stands in Via maxVisits times. Somebody
// who writes it there himself keeps himself out, and nobody else.
func loops(lines []string, pseudonym string) bool {
	if len(lines) == 0 || !signs(pseudonym) {
		return false
	}
	visits := 0
	for entry := range listed(lines) {
		if receivedBy(entry) == pseudonym {
			visits++
		}
	}
	return visits >= maxVisits
}

// receivedBy is the second word of an entry: "1.1 name (comment)".
func receivedBy(entry string) string {
	_, rest, _ := strings.Cut(entry, " ")
	rest = strings.Trim(rest, " \t")
	if end := strings.IndexAny(rest, " \t"); end >= 0 {
		rest = rest[:end]
	}
	return rest
}
