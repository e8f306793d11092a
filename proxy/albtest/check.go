package albtest

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// What a check reads of an answer at most. The head is bounded like those of
// the answers that are forwarded; the body only has to come to an end.
const (
	maxCheckHead = 32 << 10
	maxCheckBody = 1 << 20
)

// withDefaults returns the settings with AWS's defaults filled in.
func (c HealthCheck) withDefaults(v ProtocolVersion) HealthCheck {
	path, codes := "/", "200"
	if v == GRPC {
		path, codes = "/AWS.ALB/healthcheck", "12"
	}
	c.Path = cmp.Or(c.Path, path)
	c.Matcher = cmp.Or(c.Matcher, codes)
	c.Interval = cmp.Or(c.Interval, 30*time.Second)
	c.Timeout = cmp.Or(c.Timeout, 5*time.Second)
	c.HealthyThreshold = cmp.Or(c.HealthyThreshold, 5)
	c.UnhealthyThreshold = cmp.Or(c.UnhealthyThreshold, 2)
	return c
}

// verdict is what one check found: the zero value is that it passed.
type verdict struct {
	reason      ReasonCode
	description string
}

func (v verdict) passed() bool { return v.reason == "" }

// prober sends the checks of one node to one target.
type prober struct {
	network  network
	node     netip.Addr
	to       netip.AddrPort
	check    HealthCheck // with its defaults
	version  ProtocolVersion
	matcher  matcher
	unknowns Unknowns
}

// probe checks the target once. Connecting, TLS and the whole answer share the
// time-out.
func (p *prober) probe(ctx context.Context) verdict {
	ctx, cancel := context.WithTimeout(ctx, p.check.Timeout)
	defer cancel()
	ask := p.ask1
	if p.version != HTTP1 {
		ask = p.ask2
	}
	code, err := ask(ctx)
	switch {
	case isTimeout(err):
		return verdict{Timeout, "Request timed out"}
	case err != nil:
		return verdict{FailedHealthChecks, "Health checks failed"}
	case !p.matcher.matches(code):
		return verdict{ResponseCodeMismatch, fmt.Sprintf("Health checks failed with these codes: [%d]", code)}
	}
	return verdict{}
}

// ask1 asks over HTTP/1.1 and returns the status code. Redirects are answers
// like any other.
func (p *prober) ask1(ctx context.Context) (code int, err error) {
	wire, err := p.network.dial(ctx, p.node, p.to)
	if err != nil {
		return 0, err
	}
	defer wire.Close()
	defer context.AfterFunc(ctx, func() { _ = wire.SetDeadline(time.Unix(1, 0)) })()
	c := wire
	if p.check.Protocol == HTTPS {
		c = tls.Client(wire, p.tlsConfig())
	}
	if _, err := c.Write(p.request()); err != nil {
		return 0, err
	}
	return readStatus(c)
}

// tlsConfig accepts any certificate, as a balancer does with its targets.
func (p *prober) tlsConfig() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, ServerName: p.unknowns.SNI}
}

// request is the check as it goes over the wire.
func (p *prober) request() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "GET %s HTTP/1.1\r\nHost: %s\r\n", p.check.Path, p.host())
	b.WriteString("Connection: close\r\nUser-Agent: ELB-HealthChecker/2.0\r\n")
	if p.unknowns.HealthCheckAcceptEncoding {
		b.WriteString("Accept-Encoding: gzip, compressed\r\n")
	}
	if p.unknowns.HealthCheckTraceID {
		fmt.Fprintf(&b, traceHeader+": Root=%s\r\n", newTraceID(time.Now()))
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

// host is the address of the target, without a port that is the protocol's own.
func (p *prober) host() string {
	port := p.to.Port()
	plain := p.check.Protocol == HTTP && port == 80
	secure := p.check.Protocol == HTTPS && port == 443 && !p.unknowns.HealthCheckHostWithPort443
	if !plain && !secure {
		return p.to.String()
	}
	if a := p.to.Addr(); a.Is6() {
		return "[" + a.String() + "]"
	}
	return p.to.Addr().String()
}

// readStatus reads a whole answer and returns its code.
func readStatus(c io.Reader) (int, error) {
	limited := &io.LimitedReader{R: c, N: maxCheckHead}
	r := bufio.NewReader(limited)
	resp, err := readFinal(r)
	if err != nil {
		return 0, err
	}
	limited.N = math.MaxInt64
	_, err = io.CopyN(io.Discard, resp.Body, maxCheckBody)
	if err != nil && err != io.EOF {
		return 0, err
	}
	return resp.StatusCode, nil
}

// readFinal skips interim answers.
func readFinal(r *bufio.Reader) (*http.Response, error) {
	for {
		resp, err := http.ReadResponse(r, nil) // nil: a GET
		if err != nil || resp.StatusCode >= 200 {
			return resp, err
		}
		if resp.StatusCode == http.StatusSwitchingProtocols {
			return nil, errors.New("101 to a request that asked for no upgrade")
		}
	}
}

// ask2 asks over HTTP/2 and returns the status code, for gRPC that of the call.
func (p *prober) ask2(ctx context.Context) (int, error) {
	req, err := p.request2(ctx)
	if err != nil {
		return 0, err
	}
	t := p.transport2()
	defer t.CloseIdleConnections()
	resp, err := t.RoundTrip(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.CopyN(io.Discard, resp.Body, maxCheckBody)
	if err != nil && err != io.EOF {
		return 0, err
	}
	if p.version == GRPC {
		return grpcStatus(resp)
	}
	return resp.StatusCode, nil
}

// request2 is request for HTTP/2, and for gRPC a call with an empty message.
func (p *prober) request2(ctx context.Context) (*http.Request, error) {
	method, body := http.MethodGet, io.Reader(nil)
	if p.version == GRPC {
		method, body = http.MethodPost, bytes.NewReader(make([]byte, 5)) // not compressed, 0 bytes
	}
	url := strings.ToLower(p.check.Protocol.String()) + "://" + p.host() + p.check.Path
	req, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "ELB-HealthChecker/2.0")
	if p.version == GRPC {
		req.Header.Set("Content-Type", "application/grpc")
		req.Header.Set("Te", "trailers")
	}
	if p.unknowns.HealthCheckAcceptEncoding {
		req.Header.Set("Accept-Encoding", "gzip, compressed")
	}
	if p.unknowns.HealthCheckTraceID {
		req.Header.Set(traceHeader, "Root="+newTraceID(time.Now()))
	}
	return req, nil
}

// transport2 speaks HTTP/2 only, for a single request.
func (p *prober) transport2() *http.Transport {
	t := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return p.network.dial(ctx, p.node, p.to)
		},
		TLSClientConfig:        p.tlsConfig(),
		DisableCompression:     true,
		DisableKeepAlives:      true,
		MaxResponseHeaderBytes: maxCheckHead,
		Protocols:              new(http.Protocols),
	}
	t.Protocols.SetHTTP2(true)
	t.Protocols.SetUnencryptedHTTP2(p.check.Protocol == HTTP)
	return t
}

// grpcStatus reads the status of a call from the trailer, or from the header of
// an answer that has nothing else.
func grpcStatus(resp *http.Response) (int, error) {
	text := cmp.Or(resp.Trailer.Get("Grpc-Status"), resp.Header.Get("Grpc-Status"))
	code, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("grpc-status %q is not a number", text)
	}
	return int(code), nil
}
