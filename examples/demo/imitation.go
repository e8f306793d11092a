package main

import (
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
)

// imitation does what nginx does with the lines that nginxTemplate has, for
// machines without nginx. Like nginx, it passes what no line speaks of.
func imitation(upstream string, scheme nginxScheme, transport http.RoundTripper) http.Handler {
	to := &url.URL{Scheme: "http", Host: strings.TrimPrefix(upstream, "http://")}
	return &httputil.ReverseProxy{
		Transport: transport,
		ErrorLog:  log.New(io.Discard, "", 0),
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host
			r.Out.Header["X-Forwarded-For"] = r.In.Header["X-Forwarded-For"]
			r.SetXForwarded() // appends to it
			pass(r, "X-Forwarded-Host")
			pass(r, "Forwarded")
			if scheme == schemePasses {
				pass(r, "X-Forwarded-Proto")
			}
		},
	}
}

// pass hands a header on as it came.
func pass(r *httputil.ProxyRequest, name string) {
	delete(r.Out.Header, name)
	if lines, ok := r.In.Header[name]; ok {
		r.Out.Header[name] = lines
	}
}
