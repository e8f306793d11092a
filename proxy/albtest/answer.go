package albtest

import (
	"net/http"
	"strconv"
	"time"
)

// answer is the head of a response, and for the balancer's own also the body.
type answer struct {
	status int
	reason string // of the status line
	fields fields
	body   string // of the balancer's own answers
	length int64  // of the body; -1: it ends when it ends
	empty  bool   // there is no body, whatever length says
}

// Those of nginx's reason phrases and titles that are not RFC 9110's. The
// captured bodies of AWS are nginx's templates with another Server.
//
// Source: the status line of 301 and 302 and the size of their bodies, and the
// size of the body of 502, were seen; the others follow the same template.
func phrases(status int, standard bool) (reason, title string) {
	reason, title = http.StatusText(status), http.StatusText(status)
	switch status {
	case http.StatusFound:
		return "Moved Temporarily", title
	case http.StatusMethodNotAllowed:
		return "Not Allowed", "Not Allowed"
	case http.StatusRequestURITooLong:
		return "Request-URI Too Large", "Request-URI Too Large"
	case http.StatusServiceUnavailable:
		if !standard {
			return "Service Temporarily Unavailable", "Service Temporarily Unavailable"
		}
	case http.StatusGatewayTimeout:
		if !standard {
			return "Gateway Time-out", "Gateway Time-out"
		}
	}
	return reason, title
}

// page is an answer of the balancer's own in the template of its pages. Codes
// that are AWS's inventions (463, 464) have neither phrase nor page.
func page(status int, standard bool, now time.Time) *answer {
	reason, title := phrases(status, standard)
	if title == "" {
		return own(status, reason, "", "", now)
	}
	title = strconv.Itoa(status) + " " + title
	return own(status, reason, "text/html", "<html>\r\n<head><title>"+title+"</title></head>\r\n<body>\r\n"+
		"<center><h1>"+title+"</h1></center>\r\n</body>\r\n</html>\r\n", now)
}

// own is an answer of the balancer's own.
func own(status int, reason, contentType, body string, now time.Time) *answer {
	a := &answer{status: status, reason: reason, body: body, length: int64(len(body))}
	a.fields = fields{
		{name: "Server", value: "awselb/2.0"},
		{name: "Date", value: now.UTC().Format(http.TimeFormat)},
	}
	if contentType != "" {
		a.fields = append(a.fields, field{name: "Content-Type", value: contentType})
	}
	a.fields = append(a.fields, field{name: "Content-Length", value: strconv.Itoa(len(body))})
	return a
}

// answer of a FixedResponse.
func (f FixedResponse) answer(now time.Time) *answer {
	reason, _ := phrases(f.StatusCode, true)
	a := own(f.StatusCode, reason, or(f.ContentType, "text/plain"), f.MessageBody, now)
	if f.StatusCode == http.StatusNoContent {
		a.fields, a.body, a.empty = a.fields.without("Content-Length", "Content-Type"), "", true
	}
	return a
}

// answer of a Redirect that leads to a location.
func (r Redirect) answer(to string, now time.Time) *answer {
	a := page(r.status(), true, now)
	a.fields = append(a.fields, field{name: "Location", value: to})
	return a
}

// adorn does to a response what the listener's attributes ask for.
func (l *ListenerAttributes) adorn(fs fields) fields {
	if l.DisableServerHeader {
		fs = fs.without("Server")
	}
	for _, name := range sortedKeys(l.ResponseHeaders) {
		fs = append(fs.without(name), field{name: name, value: l.ResponseHeaders[name]})
	}
	return fs
}
