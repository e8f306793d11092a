package albtest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// auditWay is how a request of the audit reaches the service.
type auditWay uint8

const (
	byHTTPS  auditWay = iota // listener 443, HTTP/1.1
	byHTTP                   // listener 80
	byHTTP2                  // listener 443, HTTP/2
	byDirect                 // past the balancer, from outside Subnets
	byNode                   // from a node of the balancer, as health checks come
)

// String is the way in an error.
func (w auditWay) String() string {
	return word(w, "over https through the balancer", "over http through the balancer",
		"over HTTP/2 through the balancer", "past the balancer", "as a health check")
}

// door is a way to a service behind a balancer with some setting.
type door struct {
	way     auditWay
	setting setting
}

// ask is one request. Zero fields are those of a plain one: GET Path from
// auditClient, with Host.
type ask struct {
	from    netip.Addr
	target  string
	host    string
	version string // of HTTP; HTTP/1.0 has no Host unless host is set
	lines   []string
	body    string
	whole   string // instead of all the others: the request as it is sent
}

// auditPatience is how long the service may take for an answer.
const auditPatience = 10 * time.Second

// maxAuditBody is how much of an answer is looked at.
const maxAuditBody = 1 << 20

// plainKey names an answer that others are compared with.
type plainKey struct {
	door
	from netip.Addr
}

// plain is the answer to a plain request that came the same way, from the same
// client.
func (a *audit) plain(d door, from netip.Addr) *reply {
	key := plainKey{d, from}
	if a.plains[key] == nil {
		a.plains[key] = a.send(d, ask{from: from})
	}
	return a.plains[key]
}

// send makes the request and reads the answer.
func (a *audit) send(d door, q ask) *reply {
	if !q.from.IsValid() {
		q.from = auditClient
	}
	r := &reply{door: d, ask: q, host: a.spec.Host, path: q.path(a.spec)}
	s, err := a.server(d.setting)
	if err != nil {
		r.err = err
		return r
	}
	ctx, cancel := context.WithTimeout(s.ctx, auditPatience)
	defer cancel()
	if d.way == byHTTP2 {
		r.sent = "GET " + r.path + "\n" + strings.Join(q.lines, "\n")
		r.err = r.read2(ctx, s)
		return r
	}
	r.sent, r.sessions = q.text(a.spec), a.sessions[d.setting]
	r.err = r.read1(ctx, s)
	return r
}

func (q ask) path(spec AuditSpec) string {
	if q.target != "" {
		return q.target
	}
	return spec.Path
}

// text is the request as it goes over the wire.
func (q ask) text(spec AuditSpec) string {
	if q.whole != "" {
		return q.whole
	}
	host, version := q.host, q.version
	if version == "" {
		version = "HTTP/1.1"
	}
	if host == "" && version == "HTTP/1.1" {
		host = spec.Host
	}
	var b strings.Builder
	fmt.Fprintf(&b, "GET %s %s\r\n", q.path(spec), version)
	if host != "" {
		fmt.Fprintf(&b, "Host: %s\r\n", host)
	}
	if !strings.Contains(strings.ToLower(strings.Join(q.lines, "\n")), "connection:") {
		b.WriteString("Connection: close\r\n")
	}
	for _, line := range q.lines {
		b.WriteString(line + "\r\n")
	}
	b.WriteString("\r\n" + q.body)
	return b.String()
}

// read1 sends the text and reads an answer of HTTP/1.1.
func (r *reply) read1(ctx context.Context, s *Server) error {
	c, err := r.dial(ctx, s)
	if err != nil {
		return err
	}
	defer c.Close()
	late, _ := ctx.Deadline()
	if err := c.SetDeadline(late); err != nil {
		return err
	}
	if _, err := io.WriteString(c, r.sent); err != nil {
		return err
	}
	from := bufio.NewReader(c)
	for {
		resp, err := http.ReadResponse(from, nil) // nil: a GET
		if err != nil {
			return err
		}
		if resp.StatusCode >= 200 || resp.StatusCode == http.StatusSwitchingProtocols {
			return r.take(resp)
		}
	}
}

// dial connects by the way of the request.
func (r *reply) dial(ctx context.Context, s *Server) (net.Conn, error) {
	target := s.group(DefaultGroup).targets[0].addr
	switch r.way {
	case byDirect:
		return s.env.network.dial(ctx, netip.MustParseAddr(directAddr), target)
	case byNode:
		return s.env.network.dial(ctx, s.env.nodes[0], target)
	case byHTTP:
		return s.Dial(ctx, r.ask.from, 80)
	}
	c, err := s.Dial(ctx, r.ask.from, 443)
	if err != nil {
		return nil, err
	}
	return tls.Client(c, s.auditTLS(r.host, r.sessions)), nil
}

// auditTLS is of a client who comes often: TLS 1.2 resumes a session without
// any arithmetic, which is most of what an audit would cost otherwise.
func (s *Server) auditTLS(host string, sessions tls.ClientSessionCache) *tls.Config {
	return &tls.Config{RootCAs: s.authority.pool, ServerName: host, MaxVersion: tls.VersionTLS12, ClientSessionCache: sessions}
}

// read2 makes the request over HTTP/2.
func (r *reply) read2(ctx context.Context, s *Server) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+r.host+r.path, nil)
	if err != nil {
		return err
	}
	for _, line := range r.ask.lines {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Add(name, value)
	}
	resp, err := s.ClientFrom(r.ask.from).Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return r.take(resp)
}

// take keeps an answer. A body that breaks off is as good as a whole one here.
func (r *reply) take(resp *http.Response) error {
	r.resp = resp
	if resp.StatusCode == http.StatusSwitchingProtocols {
		resp.Body = http.NoBody
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAuditBody))
	r.body = body
	if isTimeout(err) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("the answer did not end within %v", auditPatience)
	}
	return nil
}

// reply is the answer to one request of the audit.
type reply struct {
	door
	ask  ask
	host string // the service's
	path string // what was asked for, with its query
	sent string
	err  error // there is no answer

	sessions tls.ClientSessionCache

	resp *http.Response
	body []byte
}

// status of the answer; 0: there was none.
func (r *reply) status() int {
	if r.err != nil {
		return 0
	}
	return r.resp.StatusCode
}

// header of the answer; empty: there was none.
func (r *reply) header(name string) string {
	if r.err != nil {
		return ""
	}
	return r.resp.Header.Get(name)
}

// answer is a copy of the answer whose body can be read.
func (r *reply) answer() *http.Response {
	resp := *r.resp
	resp.Header = r.resp.Header.Clone()
	resp.Body = io.NopCloser(bytes.NewReader(r.body))
	return &resp
}

// at is the address that the client asked for, as a browser has it.
func (r *reply) at() *url.URL {
	u := &url.URL{Path: r.path}
	if path, err := url.ParseRequestURI(r.path); err == nil {
		u.Path, u.RawPath, u.RawQuery = path.Path, path.RawPath, path.RawQuery
	}
	u.Scheme, u.Host = "http", r.host
	if r.way == byHTTPS || r.way == byHTTP2 {
		u.Scheme = "https"
	}
	return u
}

// String describes request and answer for an error.
func (r *reply) String() string {
	sent := strings.NewReplacer("\r\n", " | ", "\n", " | ").Replace(strings.TrimSpace(r.sent))
	if len(sent) > 400 {
		sent = sent[:400] + "…"
	}
	if r.err != nil {
		return fmt.Sprintf("sent %v: %s\n\tgot: no answer: %v", r.way, sent, r.err)
	}
	got := r.resp.Status
	if to := r.header("Location"); to != "" {
		got += ", Location: " + to
	}
	return fmt.Sprintf("sent %v: %s\n\tgot: %s", r.way, sent, got)
}
