package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"time"
)

// A scene is one request that is worth a look. The curl line that is printed,
// the link on the page and the test all send exactly this.
type scene struct {
	Name  string // in the link
	Title string
	URL   string
	To    string   // host:port to connect to instead of what URL says; "": that
	Lines []string // header lines
	Head  bool     // show the answer's head as well
	Says  string   // what happens, and why

	// Shows are the beginnings of lines in the answer, with single spaces
	// where that has columns.
	Shows []string
}

// Curl is the scene as a line for a shell.
func (s scene) Curl() string {
	words := []string{"curl"}
	if s.Head {
		words = append(words, "-i")
	}
	if s.secure() {
		words = append(words, "-k")
		if s.Head {
			words = append(words, "--http1.1") // an answer's head is easier to read there
		}
	}
	if s.To != "" {
		words = append(words, "--connect-to", "::"+s.To)
	}
	for _, line := range s.Lines {
		words = append(words, "-H", "'"+line+"'") // no line holds a quote
	}
	url := s.URL
	if strings.Contains(url, "?") {
		url = "'" + url + "'" // some shells take it for a pattern
	}
	return strings.Join(append(words, url), " ")
}

func (s scene) secure() bool { return strings.HasPrefix(s.URL, "https:") }

// An outcome is what was sent and what came back.
type outcome struct {
	Sent   http.Header
	Port   uint16 // that it was sent from
	Answer *http.Response
	Body   []byte
}

// play sends the request.
func (s scene) play(ctx context.Context, trust *tls.Config) (o outcome, err error) {
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) {
		o.Port = c.Conn.LocalAddr().(*net.TCPAddr).AddrPort().Port()
	}})
	r, err := s.request(ctx)
	if err != nil {
		return o, err
	}
	o.Sent = allLines(r)
	t := s.transport(trust)
	defer t.CloseIdleConnections()
	if o.Answer, err = t.RoundTrip(r); err != nil {
		return o, err
	}
	defer o.Answer.Body.Close()
	o.Body, err = io.ReadAll(o.Answer.Body)
	return o, err
}

func (s scene) request(ctx context.Context) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("User-Agent", "knownhops-demo")
	r.Header.Set("Accept", "*/*")
	for _, line := range s.Lines {
		name, value, _ := strings.Cut(line, ": ")
		if name == "Host" {
			r.Host = value
			continue
		}
		r.Header[name] = []string{value} // as it is spelt
	}
	return r, nil
}

// transport is for one request: http.Transport changes the tls.Config it is
// given.
func (s scene) transport(trust *tls.Config) *http.Transport {
	dialer := net.Dialer{Timeout: 5 * time.Second}
	return &http.Transport{
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			if s.To != "" {
				addr = s.To
			}
			return dialer.DialContext(ctx, network, addr)
		},
		TLSClientConfig:    trust.Clone(),
		ForceAttemptHTTP2:  !s.Head,
		DisableCompression: true,
	}
}

// Text is the answer as curl prints it, with the head in any case.
func (o outcome) Text() string {
	var b bytes.Buffer
	b.WriteString(o.Answer.Proto + " " + o.Answer.Status + "\n")
	for _, name := range slices.Sorted(maps.Keys(o.Answer.Header)) {
		b.WriteString(name + ": " + strings.Join(o.Answer.Header[name], "\n"+name+": ") + "\n")
	}
	b.WriteByte('\n')
	b.Write(o.Body)
	return b.String()
}
