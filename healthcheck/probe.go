package healthcheck

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/knownhops/knownhops/internal/hostport"
)

const (
	probeTimeout = 3 * time.Second // of a whole probe
	probeAnswer  = 512             // bytes of an answer that are read
	livePath     = "/livez"
)

// Probe asks a health endpoint as a balancer does, and returns nil if the
// answer is 2xx. It takes three seconds at most, follows no redirect and uses
// no proxy.
//
// The URL is http, https or a unix socket: "unix:/run/app.sock" asks /livez
// there, "unix:/run/app.sock:/readyz" something else. A certificate is verified
// unless the address is a loopback one, where no certificate fits and nobody is
// in between.
func Probe(ctx context.Context, url string) error {
	t, err := probeTarget(url)
	if err != nil {
		return err
	}
	client := t.client()
	defer client.CloseIdleConnections()
	return probeOnce(ctx, client, t.url)
}

// probeOnce asks once.
func probeOnce(ctx context.Context, client *http.Client, url string) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("healthcheck: %w", err)
	}
	req.Header.Set("User-Agent", "healthcheck")
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("healthcheck: %w", err)
	}
	defer resp.Body.Close()
	return judge(resp)
}

// judge says what is wrong with an answer, if anything.
func judge(resp *http.Response) error {
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return nil
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, probeAnswer)) // for the message only: as much as came
	return fmt.Errorf("healthcheck: %s answered %s: %q", resp.Request.URL.Redacted(), resp.Status, strings.TrimSpace(string(body)))
}

// target is what is probed.
type target struct {
	url    string
	socket string // a unix socket; empty: the URL's host
	local  bool   // reached without leaving the machine
}

var errProbeURL = errors.New(`write one like "http://127.0.0.1:8080/livez", "https://127.0.0.1:8443/livez" or "unix:/run/app.sock"`)

// probeTarget understands a URL of Probe.
func probeTarget(text string) (target, error) {
	if socket, ok := strings.CutPrefix(text, "unix:"); ok {
		path := livePath
		if at := strings.Index(socket, ":/"); at >= 0 {
			socket, path = socket[:at], socket[at+1:]
		}
		if socket == "" {
			return target{}, fmt.Errorf("healthcheck: %s: no socket; %w", withoutPassword(text), errProbeURL)
		}
		return target{url: "http://localhost" + path, socket: socket, local: true}, nil
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return target{}, fmt.Errorf("healthcheck: %s: no URL; %w", withoutPassword(text), errProbeURL)
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return target{}, fmt.Errorf("healthcheck: %s: no address; %w", withoutPassword(text), errProbeURL)
	}
	return target{url: text, local: loopback(u.Hostname())}, nil
}

// withoutPassword quotes what was to be a URL, for a message that ends up in logs
// and in what docker inspect shows.
func withoutPassword(text string) string {
	if at := strings.LastIndexByte(text, '@'); at >= 0 {
		text = "…" + text[at:]
	}
	return strconv.Quote(text)
}

// loopback reports whether a host is this machine, by its name alone.
func loopback(host string) bool {
	addr, _, ok := hostport.ParseAddr(host)
	return ok && addr.IsLoopback() || strings.EqualFold(host, "localhost")
}

// client returns one for a single request.
func (t target) client() *http.Client {
	var dialer net.Dialer
	transport := &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: t.local},
		ForceAttemptHTTP2: true,
	}
	if t.socket != "" {
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", t.socket)
		}
	}
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
