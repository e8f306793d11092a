package albtest

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func fetch(t *testing.T, c *http.Client, method, at, body string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, at, strings.NewReader(body))
	require.NoError(t, err)
	resp, err := c.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp, string(text)
}

func TestHTTP2Front(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := one(t, nil)
		resp, body := fetch(t, s.Client(), "POST", s.HTTPSURL+"/p%2Fq?x=1", "abc")
		assert.Equal(t, "HTTP/2.0", resp.Proto)
		assert.Regexp(t, `^POST www\.example\.com /p%2Fq\?x=1 from 10\.0\.[01]\.10:\d+: abc$`, body)
		e := latest(t, s)
		assert.Equal(t, "h2", e.Type)
		assert.Regexp(t, `^POST /p%2Fq\?x=1 HTTP/1\.1\r\nX-Forwarded-For: 203\.0\.113\.10\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Port: 443\r\nHost: www\.example\.com\r\nX-Amzn-Trace-Id: Root=[^\r]*\r\naccept-encoding: gzip\r\nuser-agent: Go-http-client/2\.0\r\ncontent-length: 3\r\n\r\n$`, e.Got)
	})
}

func TestHTTP2Off(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := one(t, func(c *Config) { c.Attributes.DisableHTTP2 = true })
		resp, _ := fetch(t, s.Client(), "GET", s.HTTPSURL, "")
		assert.Equal(t, "HTTP/1.1", resp.Proto)
	})
}

// TestProtocolVersions is what clients get from groups of each version.
func TestProtocolVersions(t *testing.T) {
	for _, row := range []struct {
		version  ProtocolVersion
		protocol Protocol
		http2    bool
		method   string
		kind     string
		want     int
		proto    string
	}{
		{HTTP1, HTTP, true, "GET", "", 200, "HTTP/1.1"},
		{HTTP1, HTTPS, true, "GET", "", 200, "HTTP/1.1"},
		{HTTP1, HTTP, true, "POST", "application/grpc", 464, ""},
		{HTTP2, HTTP, true, "POST", "", 200, "HTTP/2.0"},
		{HTTP2, HTTPS, true, "GET", "", 200, "HTTP/2.0"},
		{HTTP2, HTTP, false, "GET", "", 464, ""},
		{GRPC, HTTP, true, "POST", "application/grpc", 200, "HTTP/2.0"},
		{GRPC, HTTP, true, "GET", "", 464, ""},
		{GRPC, HTTP, false, "POST", "application/grpc", 464, ""},
	} {
		t.Run(fmt.Sprintf("%v %v %t %s %s", row.version, row.protocol, row.http2, row.method, row.kind), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				s := one(t, func(c *Config) {
					app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						body, _ := io.ReadAll(r.Body)
						w.Header().Set("Trailer", "Grpc-Status")
						fmt.Fprintf(w, "%s %s %s", r.Proto, r.Host, body)
						w.Header().Set("Grpc-Status", "12")
					})
					c.TargetGroups["app"] = TargetGroup{Targets: []Target{{Handler: app}}, Protocol: row.protocol, ProtocolVersion: row.version, HealthCheck: HealthCheck{Protocol: row.protocol}}
					c.Attributes.DisableHTTP2 = !row.http2
				})
				assert.Equal(t, Healthy, s.TargetGroup("app").Health()[0].State)
				req, err := http.NewRequestWithContext(t.Context(), row.method, s.HTTPSURL+"/x", strings.NewReader("abc"))
				require.NoError(t, err)
				req.Header.Set("Content-Type", row.kind)
				resp, err := s.Client().Do(req)
				require.NoError(t, err)
				defer resp.Body.Close()
				body, err := io.ReadAll(resp.Body)
				require.NoError(t, err)
				assert.Equal(t, row.want, resp.StatusCode)
				assert.Equal(t, Status(row.want), latest(t, s).ELBStatusCode)
				if row.want == 200 {
					assert.Equal(t, row.proto+" www.example.com abc", string(body))
					assert.Equal(t, "12", resp.Trailer.Get("Grpc-Status"))
				}
			})
		})
	}
}

// TestFaultsOverHTTP2 is TestTargetCodes for the faults that HTTP/2 knows.
func TestFaultsOverHTTP2(t *testing.T) {
	for kind, want := range map[FaultKind]int{
		IdleRace: 502, Reset: 502, Refuse: 502, Unreachable: 504, Hang: 504, Garbage: 502, HugeHeader: 502, Latency: 200, Slices: 200, Bandwidth: 200, Cut: 502,
	} {
		t.Run(kind.String(), func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				s := one(t, func(c *Config) {
					c.TargetGroups["app"] = TargetGroup{Targets: []Target{{Handler: hello}}, ProtocolVersion: HTTP2}
					c.Attributes.IdleTimeout = 15 * time.Second
				})
				s.Fault(Fault{Kind: kind, Bytes: 10})
				resp, _ := fetch(t, s.Client(), "GET", s.HTTPSURL, "")
				assert.Equal(t, want, resp.StatusCode, latest(t, s))
				resp, _ = fetch(t, s.Client(), "GET", s.HTTPSURL, "")
				assert.Equal(t, 200, resp.StatusCode)
			})
		})
	}
}

// identity is a client certificate, and the pool that has its authority.
func identity(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(0x03a5b1), Subject: pkix.Name{CommonName: "a client", Organization: []string{"Some, Inc."}},
		NotBefore: time.Date(1999, 9, 21, 1, 50, 17, 0, time.UTC), NotAfter: time.Date(2034, 9, 20, 1, 50, 17, 0, time.UTC),
		IsCA: true, BasicConstraintsValid: true, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// overTLS sends a request over TLS with a certificate and returns the answer.
func overTLS(t *testing.T, s *Server, cfg *tls.Config, text string) string {
	t.Helper()
	raw, err := s.Dial(t.Context(), netip.MustParseAddr("203.0.113.7"), 443)
	require.NoError(t, err)
	defer raw.Close()
	cfg.RootCAs, cfg.ServerName = s.CertPool(), "any.example"
	c := tls.Client(raw, cfg)
	if _, err := io.WriteString(c, text); err != nil {
		return err.Error()
	}
	require.NoError(t, c.SetReadDeadline(time.Now().Add(20*time.Second)))
	answer, _ := io.ReadAll(c)
	return string(answer)
}

func TestTLSHeaders(t *testing.T) {
	const request = "GET / HTTP/1.1\r\nHost: any.example\r\nConnection: close\r\nX-Amzn-Tls-Version: forged\r\n\r\n"
	inBubble(t, func(t *testing.T) {
		cert, pool := identity(t)
		listen := func(mode MutualMode) *Server {
			return one(t, func(c *Config) {
				c.Attributes.TLSVersionAndCipherSuite = true
				l := Listener{Port: 443, TLS: &TLS{MutualAuthentication: mode}, Default: ForwardTo("app")}
				if mode == Verify {
					l.TLS.TrustStore = pool
					l.Attributes.RenameHeaders = map[string]string{"x-amzn-tls-version": "X-Their-Version"}
				}
				c.Listeners = []Listener{l}
			})
		}
		lines := func(s *Server) string {
			_, own, _ := strings.Cut(latest(t, s).Got, "X-Forwarded-Port: 443\r\n")
			own, _, _ = strings.Cut(own, "Host: ")
			return own
		}
		client := &tls.Config{Certificates: []tls.Certificate{cert}}

		s := listen(Off)
		assert.Contains(t, overTLS(t, s, &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}}, request), "200 OK")
		assert.Equal(t, "X-Amzn-Tls-Version: TLSv1.2\r\nX-Amzn-Tls-Cipher-Suite: ECDHE-ECDSA-AES128-GCM-SHA256\r\n", lines(s))
		assert.NotContains(t, latest(t, s).Got, "forged")

		s = listen(Passthrough)
		assert.Contains(t, overTLS(t, s, client, request), "200 OK")
		_, escaped, ok := strings.Cut(lines(s), "X-Amzn-Mtls-Clientcert: ")
		require.True(t, ok)
		assert.True(t, strings.HasPrefix(escaped, "-----BEGIN%20CERTIFICATE-----%0A"), escaped)
		text, err := url.PathUnescape(strings.TrimSpace(escaped))
		require.NoError(t, err)
		assert.True(t, x509.NewCertPool().AppendCertsFromPEM([]byte(text)))

		s = listen(Verify)
		assert.Contains(t, overTLS(t, s, client, request), "200 OK")
		assert.Regexp(t, `^X-Their-Version: TLSv1\.3\r\nX-Amzn-Tls-Cipher-Suite: TLS_[A-Z0-9_]+\r\nX-Amzn-Mtls-Clientcert-Serial-Number: 03A5B1\r\n`+
			`X-Amzn-Mtls-Clientcert-Issuer: CN=a client,O=Some\\, Inc\.\r\nX-Amzn-Mtls-Clientcert-Subject: CN=a client,O=Some\\, Inc\.\r\n`+
			`X-Amzn-Mtls-Clientcert-Validity: NotBefore=1999-09-21T01:50:17Z;NotAfter=2034-09-20T01:50:17Z\r\nX-Amzn-Mtls-Clientcert-Leaf: -----BEGIN[^\r]*\r\n$`, lines(s))
		before := len(s.Log())
		assert.NotContains(t, overTLS(t, s, &tls.Config{}, request), "200 OK", "no certificate")
		assert.Len(t, s.Log(), before)
	})
}

func TestPlainOnTLSPort(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := one(t, nil)
		assert.True(t, strings.HasPrefix(say(t, s, 443, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), "HTTP/1.1 400 Bad Request\r\nServer: awselb/2.0\r\n"))
		assert.Equal(t, "PlainOnTLS", latest(t, s).ErrorReason)
	})
}

// serveWith is a server in memory whose target is the handler.
func serveWith(t *testing.T, h http.HandlerFunc, change func(*Config)) *Server {
	return one(t, func(c *Config) {
		probed := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Forwarded-Proto") != "" {
				h(w, r)
			}
		})
		c.TargetGroups["app"] = TargetGroup{Targets: []Target{{Handler: probed}}}
		c.Listeners = onlyHTTP(80)
		if change != nil {
			change(c)
		}
	})
}

func TestClientLeaves(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		cancelled := make(chan bool, 1)
		s := serveWith(t, func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
				cancelled <- true
			case <-time.After(time.Minute):
				cancelled <- false
			}
		}, nil)
		c, err := s.Dial(t.Context(), netip.MustParseAddr("203.0.113.7"), 80)
		require.NoError(t, err)
		_, err = io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		require.NoError(t, err)
		time.Sleep(time.Second)
		require.NoError(t, c.Close())
		assert.True(t, <-cancelled, "the target sees that the client left")
		time.Sleep(time.Second)
		e := latest(t, s)
		assert.Equal(t, Status(460), e.ELBStatusCode)
		assert.Equal(t, "-", e.TargetStatusCode.String())
		assert.Equal(t, ByNobody, e.AnsweredBy)
	})
}

func TestClientLeavesHTTP2(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := serveWith(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, func(c *Config) { c.Listeners = nil })
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, "GET", s.HTTPSURL, nil)
		require.NoError(t, err)
		_, err = s.Client().Do(req) //nolint:bodyclose // there is none
		require.ErrorIs(t, err, context.DeadlineExceeded)
		time.Sleep(time.Second)
		assert.Equal(t, Status(460), latest(t, s).ELBStatusCode)
	})
}

func TestStreamingBothWays(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := serveWith(t, func(w http.ResponseWriter, r *http.Request) {
			flow := http.NewResponseController(w)
			_ = flow.EnableFullDuplex()
			w.WriteHeader(http.StatusEarlyHints)
			w.Header().Set("Trailer", "X-After")
			r2 := bufio.NewReader(r.Body)
			for {
				line, err := r2.ReadString('\n')
				io.WriteString(w, strings.ToUpper(line))
				_ = flow.Flush()
				if err != nil {
					w.Header().Set("X-After", r.Trailer.Get("X-Client-After"))
					return
				}
			}
		}, nil)
		c, err := s.Dial(t.Context(), netip.MustParseAddr("203.0.113.7"), 80)
		require.NoError(t, err)
		defer c.Close()
		write := func(text string) {
			_, err := io.WriteString(c, text)
			require.NoError(t, err)
		}
		write("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Client-After\r\n\r\n4\r\none\n\r\n")
		r := bufio.NewReader(c)
		early, err := http.ReadResponse(r, nil)
		require.NoError(t, err)
		assert.Equal(t, 103, early.StatusCode)
		resp, err := http.ReadResponse(r, nil)
		require.NoError(t, err)
		body := bufio.NewReader(resp.Body)
		line, err := body.ReadString('\n')
		require.NoError(t, err)
		assert.Equal(t, "ONE\n", line)
		write("4\r\ntwo\n\r\n")
		line, err = body.ReadString('\n')
		require.NoError(t, err)
		assert.Equal(t, "TWO\n", line)
		write("0\r\nX-Client-After: end\r\n\r\n")
		_, err = body.ReadString('\n')
		require.ErrorIs(t, err, io.EOF)
		assert.Equal(t, "end", resp.Trailer.Get("X-After"))
		write("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
		_, err = http.ReadResponse(r, nil)
		require.NoError(t, err, "the connection takes another request")
	})
}

func TestEarlyAnswerEndsTheUpload(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := serveWith(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Connection", "close")
			w.WriteHeader(http.StatusRequestEntityTooLarge)
		}, nil)
		got := say(t, s, 80, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nabc")
		assert.True(t, strings.HasPrefix(got, "HTTP/1.1 413 "), got)
		assert.Equal(t, ByTarget, latest(t, s).AnsweredBy)
	})
}

func TestAnswerThatBreaksOff(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := serveWith(t, func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, "some")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, func(c *Config) {
			c.Listeners = append(onlyHTTP(80), Listener{Port: 443, TLS: &TLS{}, Default: ForwardTo("app")})
		})
		for _, at := range []string{s.HTTPURL, s.HTTPSURL} {
			resp, err := s.Client().Get(at)
			require.NoError(t, err)
			_, err = io.ReadAll(resp.Body)
			require.Error(t, err, "a part is never passed on as the whole")
			assert.NotErrorIs(t, err, io.EOF)
			resp.Body.Close()
			assert.Equal(t, "AnswerBrokeOff", latest(t, s).ErrorReason)
		}
	})
}

func TestWebSocketTunnel(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := serveWith(t, func(w http.ResponseWriter, r *http.Request) {
			assert.Equal(t, "upgrade", r.Header.Get("Connection"))
			c, rw, err := http.NewResponseController(w).Hijack()
			if !assert.NoError(t, err) {
				return
			}
			defer c.Close()
			io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhi ")
			_, _ = io.Copy(c, rw)
		}, nil)
		dial := func() (*bufio.Reader, io.WriteCloser) {
			c, err := s.Dial(t.Context(), netip.MustParseAddr("203.0.113.7"), 80)
			require.NoError(t, err)
			_, err = io.WriteString(c, "GET /ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\r\nearly ")
			require.NoError(t, err)
			r := bufio.NewReader(c)
			resp, err := http.ReadResponse(r, nil)
			require.NoError(t, err)
			assert.Equal(t, 101, resp.StatusCode)
			assert.Equal(t, "Upgrade", resp.Header.Get("Connection"))
			return r, c
		}
		r, c := dial()
		_, err := io.WriteString(c, "bytes.")
		require.NoError(t, err)
		echo, err := r.ReadString('.')
		require.NoError(t, err)
		assert.Equal(t, "hi early bytes.", echo)
		e := latest(t, s)
		assert.Equal(t, "ws", e.Type)
		assert.Equal(t, Status(101), e.ELBStatusCode)
		for range 3 {
			time.Sleep(40 * time.Second)
			_, err = io.WriteString(c, ".")
			require.NoError(t, err)
			_, err = r.ReadString('.')
			require.NoError(t, err, "bytes keep it open")
		}
		require.NoError(t, c.Close())

		r, c = dial()
		defer c.Close()
		began := time.Now()
		_, err = r.ReadString('.')
		require.Error(t, err)
		assert.Equal(t, time.Minute, time.Since(began), "the idle time-out ends a tunnel")
	})
}

// TestDeregistrationCutsOff tells the delay that a request outlives from the
// one that it does not.
func TestDeregistrationCutsOff(t *testing.T) {
	for _, row := range []struct {
		takes time.Duration
		want  int
	}{{290 * time.Second, 200}, {310 * time.Second, 502}} {
		inBubble(t, func(t *testing.T) {
			s := serveWith(t, func(w http.ResponseWriter, r *http.Request) {
				select {
				case <-time.After(row.takes):
				case <-r.Context().Done():
				}
			}, func(c *Config) { c.Attributes.IdleTimeout = 4000 * time.Second })
			time.AfterFunc(time.Millisecond, func() { _ = s.TargetGroup("app").Deregister() })
			resp, _ := fetch(t, s.Client(), "GET", s.HTTPURL, "")
			assert.Equal(t, row.want, resp.StatusCode)
			resp, _ = fetch(t, s.Client(), "GET", s.HTTPURL, "")
			assert.Equal(t, 503, resp.StatusCode, "nobody is left")
			assert.Equal(t, "NoTarget", latest(t, s).ErrorReason)
		})
	}
}

func TestClientKeepAliveIsAnAge(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := serveWith(t, func(http.ResponseWriter, *http.Request) {}, nil)
		c, err := s.Dial(t.Context(), netip.MustParseAddr("203.0.113.7"), 80)
		require.NoError(t, err)
		defer c.Close()
		r := bufio.NewReader(c)
		requests := 0
		for range 100 {
			_, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")
			require.NoError(t, err)
			resp, err := http.ReadResponse(r, nil)
			require.NoError(t, err)
			requests++
			if resp.Close {
				break
			}
			time.Sleep(50 * time.Second)
		}
		assert.Equal(t, 74, requests, "one request after 3600 s")
	})
}

func TestCloseCutsOff(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := serveWith(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, func(c *Config) { c.Listeners = nil })
		failed := make(chan error, 1)
		go func() {
			resp, err := s.Client().Get(s.HTTPSURL)
			if err == nil {
				err = errors.New(resp.Status)
				resp.Body.Close()
			}
			failed <- err
		}()
		time.Sleep(time.Second)
		s.Close()
		require.Error(t, <-failed)
		s.Close()
	})
}

func TestKilledTarget(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := serveWith(t, func(http.ResponseWriter, *http.Request) {}, nil)
		resp, _ := fetch(t, s.Client(), "GET", s.HTTPURL, "")
		assert.Equal(t, 200, resp.StatusCode)
		require.NoError(t, s.TargetGroup("app").Kill())
		time.Sleep(time.Second)
		resp, _ = fetch(t, s.Client(), "GET", s.HTTPURL, "")
		assert.Equal(t, 502, resp.StatusCode)
		assert.Equal(t, "nothing listens on 10.0.16.10:80", latest(t, s).Why)
		require.NoError(t, s.TargetGroup("app").Revive())
		resp, _ = fetch(t, s.Client(), "GET", s.HTTPURL, "")
		assert.Equal(t, 200, resp.StatusCode)
	})
}

// TestTargetWithShorterKeepAlive has a target that closes its idle connections
// before the balancer does. Most of the time the balancer notices; the fault is
// the time when it does not.
func TestTargetWithShorterKeepAlive(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := one(t, func(c *Config) {
			c.Listeners = onlyHTTP(80)
			c.TargetGroups["app"] = TargetGroup{Targets: []Target{{Handler: hello, Configure: func(s *http.Server) { s.IdleTimeout = 10 * time.Second }}}}
		})
		for range 5 {
			resp, _ := fetch(t, s.Client(), "GET", s.HTTPURL, "")
			assert.Equal(t, 200, resp.StatusCode)
			time.Sleep(11 * time.Second)
		}
		s.Fault(Fault{Kind: IdleRace})
		resp, _ := fetch(t, s.Client(), "GET", s.HTTPURL, "")
		assert.Equal(t, 502, resp.StatusCode)
		assert.Contains(t, latest(t, s).Why, "keep-alive must outlast")
	})
}

func TestAmbiguousRequestsShareNoConnection(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		s := one(t, func(c *Config) { c.Listeners = onlyHTTP(80) })
		peers := map[string]bool{}
		for range 4 {
			got := say(t, s, 80, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na")
			_, from, ok := strings.Cut(got, "from ")
			require.True(t, ok, got)
			peers[from] = true
		}
		assert.Len(t, peers, 4)
	})
}
