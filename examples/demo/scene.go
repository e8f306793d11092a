package main

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"strings"
	"time"
)

// A scene is one request that is worth a look. The curl line that is printed,
// the link on the page and the test all send exactly this.
type scene struct {
	Name  string // in the link
	Title string
	URL   string
	Lines []string // header lines
	From  string   // a loopback address to ask from; "": 127.0.0.1
	Says  string   // what happens, and why

	// Shows are the beginnings of lines in the answer, with single spaces
	// where that has columns.
	Shows []string
}

// Curl is the scene as a line for a shell.
func (s scene) Curl() string {
	words := []string{"curl"}
	if strings.HasPrefix(s.URL, "https:") {
		words = append(words, "-k")
	}
	if s.From != "" {
		words = append(words, "--interface", s.From)
	}
	for _, line := range s.Lines {
		words = append(words, "-H", "'"+line+"'") // no line holds a quote
	}
	return strings.Join(append(words, s.URL), " ")
}

// play sends the request and returns the answer, whose body the caller closes.
func (s scene) play(ctx context.Context, id identity, accept string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL, nil)
	if err != nil {
		return nil, err
	}
	r.Header.Set("User-Agent", "knownhops-demo")
	r.Header.Set("Accept", accept)
	for _, line := range s.Lines {
		name, value, _ := strings.Cut(line, ": ")
		if name == "Host" {
			r.Host = value
			continue
		}
		r.Header[name] = []string{value} // as it is spelt
	}
	return s.client(id).Do(r)
}

// client connects over IPv4, as every door for visitors is there, and keeps no
// connection.
func (s scene) client(id identity) *http.Client {
	dial := dialFrom(s.From)
	return &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			return dial(ctx, "tcp4", addr)
		},
		TLSClientConfig:    &tls.Config{RootCAs: id.pool, ServerName: "localhost"},
		DisableKeepAlives:  true,
		DisableCompression: true,
	}}
}
