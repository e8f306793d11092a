package albtest

import (
	"net/http"
	"strconv"
	"strings"
)

// location fills the placeholders in. Location always names the port, as the
// real one does: https://www.example.com:443/.
func (r Redirect) location(m *message) string {
	host, _ := splitPort(m.host)
	fill := strings.NewReplacer(
		"#{protocol}", m.scheme(),
		"#{host}", host,
		"#{port}", strconv.Itoa(m.listener.Port),
		"#{path}", strings.TrimPrefix(m.path, "/"),
		"#{query}", m.query,
	)
	at := fill.Replace(strings.ToLower(or(r.Protocol, "#{protocol}"))) + "://" +
		fill.Replace(or(r.Host, "#{host}")) + ":" +
		fill.Replace(or(r.Port, "#{port}")) +
		fill.Replace(or(r.Path, "/#{path}"))
	if query := fill.Replace(or(r.Query, "#{query}")); query != "" {
		at += "?" + query
	}
	return at
}

func (r Redirect) status() int {
	if r.StatusCode == 0 {
		return http.StatusMovedPermanently
	}
	return r.StatusCode
}

// or returns s unless it is empty.
func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
