package healthcheck

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestProbe: 2xx is health; everything else is an error that says what came,
// and a redirect is not followed.
func TestProbe(t *testing.T) {
	var health Health
	other := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/empty":
			w.WriteHeader(http.StatusNoContent)
		case "/moved":
			http.Redirect(w, r, "/livez", http.StatusFound)
		case "/long":
			w.WriteHeader(http.StatusInternalServerError)
			w.Write([]byte(strings.Repeat("long ", 1000)))
		default:
			http.NotFound(w, r)
		}
	})
	srv := httptest.NewServer(health.Wrap(other))
	defer srv.Close()
	health.Drain()
	for path, want := range map[string]string{
		"/livez":  "",
		"/empty":  "",
		"/readyz": `answered 503 Service Unavailable: "draining"`,
		"/moved":  "answered 302 Found",
		"/other":  `answered 404 Not Found: "404 page not found"`,
		"/long":   `answered 500 Internal Server Error: "long long`,
	} {
		err := Probe(t.Context(), srv.URL+path)
		if want == "" {
			assert.NoError(t, err, path)
		} else if assert.ErrorContains(t, err, want) {
			assert.Less(t, len(err.Error()), 700)
		}
	}
}

// TestProbeTLS: a certificate for a public name is none for 127.0.0.1, where
// nobody could stand in between.
func TestProbeTLS(t *testing.T) {
	var health Health
	srv := httptest.NewTLSServer(health.Wrap(http.NotFoundHandler()))
	defer srv.Close()
	assert.NoError(t, Probe(t.Context(), srv.URL+"/livez"))
	assert.ErrorContains(t, Probe(t.Context(), srv.URL+"/other"), "404")
}

// TestProbeUnixSocket: with the path that is asked for by default, and another.
func TestProbeUnixSocket(t *testing.T) {
	var health Health
	socket := filepath.Join(t.TempDir(), "app.sock")
	l, err := net.Listen("unix", socket)
	require.NoError(t, err)
	srv := &http.Server{Handler: health.Wrap(http.NotFoundHandler())}
	served := make(chan error)
	go func() { served <- srv.Serve(l) }()
	assert.NoError(t, Probe(t.Context(), "unix:"+socket))
	assert.NoError(t, Probe(t.Context(), "unix:"+socket+":/readyz"))
	health.Drain()
	assert.NoError(t, Probe(t.Context(), "unix:"+socket))
	assert.ErrorContains(t, Probe(t.Context(), "unix:"+socket+":/readyz"), "draining")
	require.NoError(t, srv.Close())
	<-served
	assert.Error(t, Probe(t.Context(), "unix:"+socket))
}

// TestProbeIgnoresProxies: the environment of a container may name one, which
// would answer for the service.
func TestProbeIgnoresProxies(t *testing.T) {
	client := target{}.client()
	assert.Nil(t, client.Transport.(*http.Transport).Proxy)
}

// TestProbeTargets: what is a URL, and where certificates are not verified.
func TestProbeTargets(t *testing.T) {
	for text, want := range map[string]target{
		"http://127.0.0.1:8080/livez":  {url: "http://127.0.0.1:8080/livez", local: true},
		"https://[::1]:8443/livez":     {url: "https://[::1]:8443/livez", local: true},
		"https://localhost/livez":      {url: "https://localhost/livez", local: true},
		"https://www.example.com/":     {url: "https://www.example.com/"},
		"https://127.0.0.1.example/":   {url: "https://127.0.0.1.example/"},
		"unix:/run/app.sock":           {url: "http://localhost/livez", socket: "/run/app.sock", local: true},
		"unix:app.sock:/healthz?why=1": {url: "http://localhost/healthz?why=1", socket: "app.sock", local: true},
	} {
		got, err := probeTarget(text)
		assert.NoError(t, err, text)
		assert.Equal(t, want, got, text)
		assert.Equal(t, want.local, got.client().Transport.(*http.Transport).TLSClientConfig.InsecureSkipVerify, text)
	}
	for _, text := range []string{"", "8080", "127.0.0.1:8080", "/livez", "ftp://127.0.0.1/", "http:///livez", "unix:", "unix::/livez", "http://a b/"} {
		assert.Error(t, Probe(t.Context(), text), text)
	}
}

// TestProbeEnds: a service that accepts and says nothing is a failure after
// three seconds, and at once when the caller gives up.
func TestProbeEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		silent := target{url: "http://127.0.0.1/"}.client()
		silent.Transport.(*http.Transport).DialContext = func(context.Context, string, string) (net.Conn, error) {
			near, _ := net.Pipe() // nobody reads what is sent there
			return near, nil
		}
		began := time.Now()
		assert.ErrorIs(t, probeOnce(ctx, silent, "http://127.0.0.1/"), context.DeadlineExceeded)
		assert.Equal(t, probeTimeout, time.Since(began))
		cancel()
		assert.ErrorIs(t, probeOnce(ctx, silent, "http://127.0.0.1/"), context.Canceled)
		assert.Equal(t, probeTimeout, time.Since(began))
	})
}
