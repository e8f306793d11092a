package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"time"
)

var (
	errMalformed    = errors.New("no valid HTTP/1.1 answer")
	errHeadTooLarge = errors.New("the answer's head is too large")
)

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errMalformed, fmt.Sprintf(format, args...))
}

// A head is the status line and the header of an answer, and what they say of
// the body and the connection.
type head struct {
	status int
	http10 bool
	header http.Header

	body   framing
	length int64 // of the body where it has one by length, or of what HEAD left out; -1: unknown
	close  bool  // the connection ends with this answer
}

// headEnd returns the length of the head at the start of b with its empty
// line, or -1 if that is not there yet.
func headEnd(b []byte) int {
	for i := 0; ; {
		j := bytes.IndexByte(b[i:], '\n')
		if j < 0 {
			return -1
		}
		i += j + 1
		switch {
		case i < len(b) && b[i] == '\n':
			return i + 1
		case i+1 < len(b) && b[i] == '\r' && b[i+1] == '\n':
			return i + 2
		}
	}
}

// parse reads a head that headEnd has found, for a request with that method.
// The header is the caller's map, which must be empty. It refuses what net/http
// refuses and, beyond that, names that are no tokens and folded lines: an
// answer that is read differently here and by the client can be split.
func (h *head) parse(raw []byte, method string) error {
	text := string(raw) // the one copy; names and values are parts of it
	line, rest := cutLine(text)
	if err := h.parseStatusLine(line); err != nil {
		return err
	}
	if err := parseFields(h.header, rest); err != nil {
		return err
	}
	return h.frame(method)
}

// parseFields adds the field lines of text, up to an empty one, to h. Text is
// not copied again.
func parseFields(h http.Header, text string) error {
	values := make([]string, 0, strings.Count(text, "\n"))
	for text != "" {
		var line string
		if line, text = cutLine(text); line == "" {
			break
		}
		name, value, ok := strings.Cut(line, ":")
		if !ok || !isToken(name) {
			return malformed("header line %.40q", line)
		}
		value = strings.Trim(value, " \t")
		if !isValue(value) {
			return malformed("value of %.40q", name)
		}
		name = canonical(name)
		values = append(values, value)
		if have := h[name]; have != nil {
			h[name] = append(have, value)
		} else {
			last := len(values)
			h[name] = values[last-1 : last : last]
		}
	}
	return nil
}

// cutLine takes the first line off; a lone LF ends one, too (RFC 9112 §2.2).
func cutLine(s string) (line, rest string) {
	i := strings.IndexByte(s, '\n')
	return strings.TrimSuffix(s[:i], "\r"), s[i+1:]
}

func (h *head) parseStatusLine(line string) error {
	version, rest, _ := strings.Cut(line, " ")
	if version != "HTTP/1.1" && version != "HTTP/1.0" {
		return malformed("status line %.40q", line)
	}
	h.http10 = version == "HTTP/1.0"
	code, _, _ := strings.Cut(rest, " ")
	status, err := strconv.ParseUint(code, 10, 16)
	if err != nil || len(code) != 3 || status < 100 || !isValue(rest) {
		return malformed("status line %.40q", line)
	}
	h.status = int(status)
	return nil
}

// frame finds out where the body ends (RFC 9112 §6.3).
func (h *head) frame(method string) error {
	h.close = h.http10 && !hasToken(h.header["Connection"], "keep-alive") || hasToken(h.header["Connection"], "close")
	h.length = -1
	if err := h.frameLength(); err != nil {
		return err
	}
	coding := h.header["Transfer-Encoding"]
	if coding != nil && !h.chunked(coding) {
		return malformed("Transfer-Encoding %.40q", coding)
	}
	switch {
	case h.status < 200 || h.status == http.StatusNoContent:
		h.body, h.length = noBody, -1
		delete(h.header, "Content-Length")
	case method == http.MethodHead || h.status == http.StatusNotModified:
		h.body = noBody
	case coding != nil: // it wins over a length, and the connection is not used again
		h.close = h.close || h.length >= 0
		h.body, h.length = byChunks, -1
		delete(h.header, "Content-Length")
	case h.length == 0:
		h.body = noBody
	case h.length > 0:
		h.body = byLength
	default:
		h.body, h.close = untilClose, true
	}
	return nil
}

func (h *head) frameLength() error {
	lines := h.header["Content-Length"]
	for _, line := range lines {
		n, err := strconv.ParseUint(line, 10, 63)
		if err != nil || line != lines[0] {
			return malformed("Content-Length %.40q", lines)
		}
		h.length = int64(n)
	}
	if len(lines) > 1 {
		h.header["Content-Length"] = lines[:1:1]
	}
	return nil
}

// chunked reports whether a coding is exactly "chunked": every other word has
// been read as it by somebody (CVE-2022-1705).
func (h *head) chunked(coding []string) bool {
	return !h.http10 && len(coding) == 1 && strings.EqualFold(coding[0], "chunked")
}

// keepAlive is how long the upstream says it keeps the unused connection, and
// whether it says so ("Keep-Alive: timeout=5, max=100").
func (h *head) keepAlive() (time.Duration, bool) {
	for _, line := range h.header["Keep-Alive"] {
		for part := range strings.SplitSeq(line, ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
			if seconds, err := strconv.ParseUint(value, 10, 31); err == nil && strings.EqualFold(name, "timeout") {
				return time.Duration(seconds) * time.Second, true
			}
		}
	}
	return 0, false
}

// canonical is textproto's form of a name; common names cost nothing.
func canonical(name string) string {
	if known, ok := commonNames[name]; ok {
		return known
	}
	return textproto.CanonicalMIMEHeaderKey(name)
}

// commonNames holds names of answers as servers write them.
var commonNames = func() map[string]string {
	m := make(map[string]string)
	for _, name := range []string{
		"Accept-Ranges", "Access-Control-Allow-Origin", "Age", "Alt-Svc", "Cache-Control", "Connection", "Content-Disposition",
		"Content-Encoding", "Content-Language", "Content-Length", "Content-Security-Policy", "Content-Type", "Date", "Etag",
		"Expires", "Keep-Alive", "Last-Modified", "Link", "Location", "Pragma", "Server", "Set-Cookie", "Strict-Transport-Security",
		"Trailer", "Transfer-Encoding", "Upgrade", "Vary", "Via", "X-Content-Type-Options", "X-Frame-Options", "X-Powered-By", "X-Request-Id",
	} {
		m[name] = name
		m[strings.ToLower(name)] = name
	}
	m["ETag"] = "Etag"
	return m
}()
