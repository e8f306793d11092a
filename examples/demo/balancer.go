package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A balancer treats requests as an AWS Application Load Balancer with its
// default attributes does. It is no model of how to do it: it passes whatever
// it has no opinion about, X-Forwarded-Host included.
//
// Source: docs.aws.amazon.com/elasticloadbalancing/latest/application/x-forwarded-headers.html
type balancer struct {
	target    string // host:port
	transport *http.Transport
	journal   *journal
	logger    *slog.Logger
	cancel    context.CancelFunc
	probing   sync.WaitGroup
}

// newBalancer connects to target from an address of its own.
func newBalancer(from, target string, j *journal, logger *slog.Logger) *balancer {
	return &balancer{
		target: target, journal: j, logger: logger, cancel: func() {},
		transport: &http.Transport{DialContext: dialFrom(from), DisableCompression: true},
	}
}

// listener handles what arrives on one of its listeners.
func (b *balancer) listener(scheme string, port uint16) http.Handler {
	proxy := &httputil.ReverseProxy{
		Transport: b.transport,
		ErrorLog:  slog.NewLogLogger(b.logger.Handler(), slog.LevelWarn),
		Rewrite:   func(r *httputil.ProxyRequest) { b.rewrite(r, scheme, port) },
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := traceID(r.Header.Values(traceHeader), time.Now())
		defer b.journal.note(id, r)()
		r = r.WithContext(context.WithValue(r.Context(), traceKey{}, id))
		proxy.ServeHTTP(w, r)
	})
}

type traceKey struct{}

// rewrite writes what the balancer says to the next hop. net/http has taken
// some headers out that it passes, and they are put back.
func (b *balancer) rewrite(r *httputil.ProxyRequest, scheme string, port uint16) {
	r.SetURL(&url.URL{Scheme: "http", Host: b.target})
	r.Out.URL.RawQuery = r.In.URL.RawQuery
	r.Out.Host = hostHeader(r.In.Host, port)
	for _, name := range []string{"Forwarded", "X-Forwarded-Host"} {
		if lines, ok := r.In.Header[name]; ok {
			r.Out.Header[name] = lines
		}
	}
	r.Out.Header.Set("X-Forwarded-For", appendPeer(r.In.Header["X-Forwarded-For"], r.In.RemoteAddr))
	r.Out.Header.Set("X-Forwarded-Proto", scheme)
	r.Out.Header.Set("X-Forwarded-Port", strconv.Itoa(int(port)))
	id, _ := r.In.Context().Value(traceKey{}).(string)
	r.Out.Header.Set(traceHeader, id)
}

// appendPeer keeps whatever came and adds the other end of the connection.
func appendPeer(lines []string, remote string) string {
	peer, _, err := net.SplitHostPort(remote)
	if err != nil {
		peer = remote // net/http writes both, always
	}
	return strings.Join(append(lines[:len(lines):len(lines)], peer), ", ")
}

// hostHeader is the Host that the target gets: without a port from the ports
// 80 and 443, with one from any other.
func hostHeader(host string, port uint16) string {
	name, written, err := net.SplitHostPort(host)
	switch standard := port == 80 || port == 443; {
	case err != nil && standard:
		return host
	case err != nil:
		return fmt.Sprintf("%s:%d", host, port)
	case standard && written != "":
		return name
	}
	return host
}

const traceHeader = "X-Amzn-Trace-Id"

// traceID is a new Root, or a Self in front of the Root that the client sent,
// in place of a Self that it sent.
func traceID(lines []string, now time.Time) string {
	random := make([]byte, 12)
	rand.Read(random) // never fails, by its documentation
	id := fmt.Sprintf("1-%08x-%s", now.Unix(), hex.EncodeToString(random))
	rooted, fields := false, []string{"Self=" + id}
	for field := range strings.SplitSeq(strings.Join(lines, ";"), ";") {
		field = strings.TrimSpace(field)
		if field == "" || strings.HasPrefix(field, "Self=") {
			continue
		}
		rooted = rooted || strings.HasPrefix(field, "Root=")
		fields = append(fields, field)
	}
	if !rooted {
		fields[0] = "Root=" + id
	}
	return strings.Join(fields, ";")
}

// The health check. The interval of an ALB is 30 seconds unless one says
// otherwise; here, nobody wants to wait for so long.
const (
	probePath  = "/healthz"
	probeAgent = "ELB-HealthChecker/2.0"
	probeEvery = 5 * time.Second
)

// watch probes once, and then until stop is called.
func (b *balancer) watch(ctx context.Context) error {
	if err := b.probe(ctx); err != nil {
		return fmt.Errorf("the first health check: %w", err)
	}
	ctx, b.cancel = context.WithCancel(ctx)
	b.probing.Go(func() {
		for tick := time.NewTicker(probeEvery); ; {
			select {
			case <-ctx.Done():
				tick.Stop()
				return
			case <-tick.C:
			}
			if err := b.probe(ctx); err != nil && ctx.Err() == nil {
				b.logger.Warn("balancer: the target is unhealthy", "reason", err)
			}
		}
	})
	return nil
}

// probe asks from the same address as for visitors, and says nothing about
// anybody: no X-Forwarded-For, no X-Forwarded-Proto, the target as Host.
func (b *balancer) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeEvery)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.target+probePath, nil)
	if err != nil {
		return err
	}
	r.Close = true
	r.Header.Set("User-Agent", probeAgent)
	resp, err := b.transport.RoundTrip(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("health checks failed with these codes: [%d]", resp.StatusCode)
	}
	return nil
}

// stop ends the probes and lets go of idle connections.
func (b *balancer) stop() {
	b.cancel()
	b.probing.Wait()
	b.transport.CloseIdleConnections()
}
