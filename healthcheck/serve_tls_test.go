package healthcheck

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestServeTLS: with a TLSConfig the server ends TLS, and speaks HTTP/2 to those
// who offer it. All of its listeners do, also the second, when the first one has
// given the server a TLSConfig of its own.
func TestServeTLS(t *testing.T) {
	lender := httptest.NewUnstartedServer(nil) // of a certificate
	lender.StartTLS()
	defer lender.Close()
	for name, secure := range map[string]bool{"tls": true, "plain": false} {
		t.Run(name, func(t *testing.T) {
			var listeners []net.Listener
			for range 2 {
				l, err := net.Listen("tcp", "127.0.0.1:0")
				require.NoError(t, err)
				listeners = append(listeners, l)
			}
			health := mustNew(t, Config{})
			srv := NewServer("", health.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) })), Direct())
			want, scheme := "HTTP/1.1", "http://"
			if secure {
				srv.TLSConfig = &tls.Config{Certificates: lender.TLS.Certificates}
				want, scheme = "HTTP/2.0", "https://"
			}
			ctx, cancel := context.WithCancel(t.Context())
			result := make(chan error, 1)
			go func() { result <- ServeAll(ctx, health, Endpoint{Server: srv, Listeners: listeners}) }()
			transport := lender.Client().Transport.(*http.Transport).Clone()
			transport.ForceAttemptHTTP2 = true
			for _, l := range listeners {
				assert.NoError(t, Probe(t.Context(), scheme+l.Addr().String()+"/livez"))
				resp, err := (&http.Client{Transport: transport}).Get(scheme + l.Addr().String())
				require.NoError(t, err)
				body, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				assert.Equal(t, want, string(body))
			}
			transport.CloseIdleConnections()
			cancel()
			assert.NoError(t, <-result)
		})
	}
}

// TestServeListens: on the server's own address.
func TestServeListens(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	health := mustNew(t, Config{})
	bound := make(chan net.Addr, 1)
	srv := NewServer("127.0.0.1:0", health.Wrap(http.NotFoundHandler()), ALB())
	srv.BaseContext = func(l net.Listener) context.Context {
		bound <- l.Addr()
		return context.Background()
	}
	result := make(chan error, 1)
	go func() { result <- Serve(ctx, srv, health) }()
	assert.NoError(t, Probe(t.Context(), "http://"+(<-bound).String()+"/livez"))
	cancel()
	assert.NoError(t, <-result)
}
