package albtest

import (
	"bufio"
	"errors"
	"io"
	"strings"
)

// The sizes that the balancer takes.
//
// Source: docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-limits.html
const (
	maxRequestLine  = 16 << 10
	maxHeaderLine   = 16 << 10
	maxRequestHead  = 64 << 10
	maxResponseHead = 32 << 10
	maxBlankLines   = 8 // before a message; nothing is documented
)

// Reasons why a head cannot be read, beside those of the connection.
var (
	errLineTooLong   = errors.New("the first line is too long")
	errFieldTooLong  = errors.New("a header line is too long")
	errHeadTooLong   = errors.New("the header is too long")
	errBareLF        = errors.New("a line ends without a carriage return")
	errMalformedHead = errors.New("the first line is malformed")
)

// headReader reads the head of a message line by line, within limits.
type headReader struct {
	from        *bufio.Reader
	first, each int // the longest line, without its end
	all         int // the longest head
	rejectLF    bool

	head strings.Builder
}

// read returns the first line and the header lines of a message; head has it
// all as it came. Empty lines before a message are skipped, as RFC 9112,
// section 2.2, asks for.
func (h *headReader) read() (first string, lines []string, err error) {
	for blank := 0; first == ""; blank++ {
		if blank > maxBlankLines {
			return "", nil, errMalformedHead
		}
		h.head.Reset()
		if first, err = h.line(h.first, errLineTooLong); err != nil {
			return "", nil, err
		}
	}
	for {
		line, err := h.line(h.each, errFieldTooLong)
		if err != nil || line == "" {
			return first, lines, err
		}
		lines = append(lines, line)
	}
}

// line reads one line and takes its end off.
func (h *headReader) line(limit int, tooLong error) (string, error) {
	start := h.head.Len()
	for {
		part, err := h.from.ReadSlice('\n')
		h.head.Write(part)
		line := h.head.String()[start:]
		switch {
		case len(strings.TrimRight(line, "\r\n")) > limit:
			return "", tooLong
		case h.head.Len() > h.all:
			return "", errHeadTooLong
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && h.head.Len() > 0:
			return "", io.ErrUnexpectedEOF
		case err != nil:
			return "", err
		}
		return h.trim(line[:len(line)-1])
	}
}

// trim takes the carriage return off.
func (h *headReader) trim(line string) (string, error) {
	bare, ok := strings.CutSuffix(line, "\r")
	if !ok && h.rejectLF {
		return "", errBareLF
	}
	return bare, nil
}

// parseFields splits header lines at their colons.
func parseFields(lines []string) fields {
	list := make(fields, 0, len(lines))
	for _, line := range lines {
		name, value, ok := strings.Cut(line, ":")
		if !ok || name == "" || line[0] == ' ' || line[0] == '\t' {
			list = append(list, field{raw: strings.TrimSuffix(line, ":")})
			continue
		}
		list = append(list, field{name: name, value: strings.Trim(value, " \t")})
	}
	return list
}

// readRequest reads the head of a request.
func readRequest(from *bufio.Reader, rejectLF bool) (*message, error) {
	h := headReader{from: from, first: maxRequestLine, each: maxHeaderLine, all: maxRequestHead, rejectLF: rejectLF}
	first, lines, err := h.read()
	m := &message{head: h.head.String(), fields: parseFields(lines)}
	if err != nil {
		return m, err
	}
	i, j := strings.IndexByte(first, ' '), strings.LastIndexByte(first, ' ')
	if i < 0 || i == j {
		return m, errMalformedHead
	}
	m.method, m.target, m.version = first[:i], first[i+1:j], first[j+1:]
	if m.target == "" || !isVersion(m.version) {
		return m, errMalformedHead
	}
	return m, nil
}

// isVersion is RFC 9112, section 2.3.
func isVersion(s string) bool {
	return len(s) == len("HTTP/1.1") && strings.HasPrefix(s, "HTTP/") && s[6] == '.' &&
		s[5] >= '0' && s[5] <= '9' && s[7] >= '0' && s[7] <= '9'
}

// readAnswer reads the head of a target's response to a request with that
// method.
func readAnswer(from *bufio.Reader, method string) (*answer, error) {
	h := headReader{from: from, first: maxResponseHead, each: maxResponseHead, all: maxResponseHead}
	first, lines, err := h.read()
	if err != nil {
		return nil, err
	}
	version, rest, _ := strings.Cut(first, " ")
	code, reason, _ := strings.Cut(rest, " ")
	status, ok := parseLength(code)
	if !isVersion(version) || version[5] != '1' || !ok || len(code) != 3 || status < 100 {
		return nil, errMalformedHead
	}
	a := &answer{status: int(status), reason: reason, fields: parseFields(lines)}
	if version == "HTTP/1.0" && !a.fields.has("Connection", "keep-alive") {
		a.fields = append(a.fields, field{name: "Connection", value: "close"})
	}
	return a, a.frame(method)
}

// frame finds out where the body ends.
func (a *answer) frame(method string) error {
	for _, f := range a.fields {
		if f.raw != "" || strings.ContainsAny(f.value, "\x00\r") || !isToken(f.name) {
			return errMalformedHead
		}
	}
	a.length = -1
	a.empty = method == "HEAD" || a.status < 200 || a.status == 204 || a.status == 304
	if a.fields.has("Transfer-Encoding", "chunked") {
		return nil
	}
	lengths := a.fields.values("Content-Length")
	for _, value := range lengths {
		n, ok := parseLength(value)
		if !ok || value != lengths[0] {
			return errMalformedHead
		}
		a.length = n
	}
	return nil
}

// chunked reports whether the target frames the body in chunks.
func (a *answer) chunked() bool { return a.fields.has("Transfer-Encoding", "chunked") }
