package albtest

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"strings"
)

// refusal is an error of the balancer's own: the code, a fixed word for the
// log, and the reason in one sentence.
type refusal struct {
	status int
	word   string
	why    string
}

// refuseHead is for a head that could not be read. ok is false where there is
// nobody to answer.
func refuseHead(err error) (r refusal, ok bool) {
	switch {
	case errors.Is(err, errLineTooLong):
		return refusal{http.StatusRequestURITooLong, "RequestLineTooLong", "the request line is longer than 16 KiB"}, true
	case errors.Is(err, errFieldTooLong):
		return refusal{http.StatusBadRequest, "HeaderTooLong", "a header line is longer than 16 KiB"}, true
	case errors.Is(err, errHeadTooLong):
		return refusal{http.StatusBadRequest, "HeaderTooLong", "the header is longer than 64 KiB"}, true
	case errors.Is(err, errBareLF):
		return refusal{http.StatusBadRequest, "BareLF", "a line ends without a carriage return, which Unknowns.RejectBareLF refuses"}, true
	case errors.Is(err, errMalformedHead):
		return refusal{http.StatusBadRequest, "MalformedRequest", "the request line is malformed"}, true
	case isTimeout(err):
		return refusal{http.StatusRequestTimeout, "ClientTimeout", "the client did not finish its header within the idle time-out"}, true
	}
	return refusal{http.StatusBadRequest, "ClientClosed", "the client closed the connection within its header"}, false
}

// examine is the balancer's own look at a request, before any rule. What it
// checks first is a guess: AWS documents the checks, not their order.
func (s *Server) examine(m *message) *refusal {
	worst := classify(m)
	if m.http2 {
		worst = finding{} // HTTP/2 frames its bodies itself
	}
	m.tier, m.cause = worst.tier, worst.word
	for _, check := range []func(*message) *refusal{s.checkLine, s.checkFields, s.checkDesync} {
		if r := check(m); r != nil {
			return r
		}
	}
	return nil
}

func (s *Server) checkLine(m *message) *refusal {
	switch {
	case m.method == http.MethodTrace:
		return &refusal{http.StatusMethodNotAllowed, "MethodTrace", "the balancer takes no TRACE"}
	case !m.http2 && !strings.HasPrefix(m.version, "HTTP/1."):
		return &refusal{http.StatusHTTPVersionNotSupported, "VersionNotSupported", "it is no version of HTTP/1: " + m.version}
	case len(m.target) > maxRequestLine:
		return &refusal{http.StatusRequestURITooLong, "RequestLineTooLong", "the request line is longer than 16 KiB"}
	case m.method == http.MethodConnect || !strings.HasPrefix(m.path, "/") && m.path != "*":
		return &refusal{http.StatusBadRequest, "BadTarget", "the request target is neither a path nor an http address"}
	case m.version == "HTTP/1.1" && m.host == "" && len(m.fields.values("Host")) == 0:
		return &refusal{http.StatusBadRequest, "NoHost", "a request in HTTP/1.1 has no Host"}
	case m.upgrade() && (m.method != http.MethodGet || bodyOf(nil, m.fields) != nil):
		return &refusal{http.StatusBadRequest, "BadUpgrade", "only a GET without body can be upgraded"}
	}
	return nil
}

func (s *Server) checkFields(m *message) *refusal {
	switch {
	case s.rewriter.tooManyForwarded(m):
		return &refusal{463, "TooManyForwarded", "X-Forwarded-For has more than 30 addresses"}
	case unknownCoding(m.fields):
		return &refusal{http.StatusNotImplemented, "TransferEncoding", "Transfer-Encoding is neither chunked nor identity"}
	}
	for _, f := range m.fields {
		if len(f.value) > maxHeaderLine {
			return &refusal{http.StatusBadRequest, "HeaderTooLong", "a header line is longer than 16 KiB"}
		}
		if s.cfg.Unknowns.RejectInvalidNames && !s.cfg.Attributes.DisableHTTP2 && !isValidName(f.name) {
			return &refusal{http.StatusBadRequest, "InvalidHeaderName", "a header name is not letters, digits and hyphens, which Unknowns.RejectInvalidNames refuses"}
		}
	}
	return nil
}

// unknownCoding finds codings that are well-formed, yet not the two known.
func unknownCoding(fs fields) bool {
	for _, value := range fs.values("Transfer-Encoding") {
		for item := range strings.SplitSeq(value, ",") {
			item = strings.TrimSpace(item)
			if isToken(item) && !strings.EqualFold(item, "chunked") && !strings.EqualFold(item, "identity") {
				return true
			}
		}
	}
	return false
}

func (s *Server) checkDesync(m *message) *refusal {
	mode := s.cfg.Attributes.DesyncMitigation
	if mode == Defensive && m.tier == severe || mode == Strictest && m.tier != compliant {
		return &refusal{http.StatusBadRequest, m.cause, "the desync mitigation mode is " + mode.String() + " and the request is " + m.tier.String() + ": " + m.cause}
	}
	return nil
}

// bodyOf finds the body of a request. In mode monitor it may be framed in
// several ways; chunks win, then the first length that is one.
func bodyOf(r *bufio.Reader, fs fields) *payload {
	if fs.has("Transfer-Encoding", "chunked") {
		return newPayload(r, true, -1)
	}
	for _, value := range fs.values("Content-Length") {
		if n, ok := parseLength(value); ok && n > 0 {
			return newPayload(r, false, n)
		}
	}
	return nil
}

// refuseBody is for a client's body that broke off.
func refuseBody(err error) refusal {
	switch {
	case errors.Is(err, errBody):
		return refusal{http.StatusBadRequest, "MalformedBody", "the chunks of the body are malformed"}
	case isTimeout(err):
		return refusal{http.StatusRequestTimeout, "ClientTimeout", "the client sent nothing of its body for the idle time-out"}
	case errors.Is(err, io.ErrUnexpectedEOF):
		return refusal{http.StatusBadRequest, "ClientClosed", "the client closed the connection before the end of its body"}
	}
	return refusal{http.StatusBadRequest, "ClientClosed", "the client's connection broke before the end of its body"}
}
