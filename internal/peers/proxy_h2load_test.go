//go:build linux

package peers

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/proxy"
)

// mixed answers in every way that a server has: by length and by chunks, after early hints, with trailers.
func mixed(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/hints":
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		_, _ = io.WriteString(w, "after hints")
	case "/trailers":
		w.Header().Set("Trailer", "X-Sum")
		_, _ = io.WriteString(w, "before the trailer")
		w.Header().Set("X-Sum", "1")
	case "/large":
		_, _ = w.Write(make([]byte, 64<<10))
	case "/none":
		w.WriteHeader(http.StatusNoContent)
	default:
		digest(w, r)
	}
}

var succeeded = regexp.MustCompile(`requests: (\d+) total, (\d+) started, (\d+) done, (\d+) succeeded, 0 failed, 0 errored, 0 timeout`)

// Many streams and connections at once, from a client that is not Go's: every request succeeds.
func TestH2load(t *testing.T) {
	const requests = "600"
	data := writeFile(t, t.TempDir(), "data", string(testBytes(20<<10)))
	for _, kind := range upstreamKinds {
		t.Run(kind, func(t *testing.T) {
			failed := newReasons()
			cfg := startUpstream(t, kind, http.HandlerFunc(mixed))
			cfg.OnError = failed.note
			o := startOurs(t, cfg)
			for name, args := range map[string][]string{
				"h2":       {"-m", "20", o.secure.url("/small"), o.secure.url("/hints"), o.secure.url("/trailers"), o.secure.url("/large"), o.secure.url("/none")},
				"h2 body":  {"-m", "20", "-d", data, o.secure.url("/small")},
				"http/1.1": {"--h1", o.plain.url("/small"), o.plain.url("/large")},
			} {
				out, _ := runTool(t, nil, "h2load", append([]string{"-n", requests, "-c", "6", "-t", "1", "-T", "10", "-N", "10"}, args...)...)
				found := succeeded.FindStringSubmatch(out)
				if assert.NotNil(t, found, "%s:\n%s", name, out) {
					assert.Equal(t, []string{requests, requests, requests, requests}, found[1:], name)
				}
			}
			assert.Empty(t, failed)
			assert.Zero(t, o.proxy.Status().Upstreams[0].Failures)
		})
	}
}

// What a client of HTTP/2 sees of the answers that h2load only counts.
func TestHTTP2Front(t *testing.T) {
	for _, kind := range upstreamKinds {
		t.Run(kind, func(t *testing.T) {
			o := startOurs(t, startUpstream(t, kind, http.HandlerFunc(mixed)))
			for _, d := range []door{o.secure, o.plain} {
				hints := 0
				resp, body := fetch(t, d.client(t, true), withHints(t, &hints, d.url("/hints")))
				assert.Equal(t, 1, hints, "103 Early Hints")
				assert.Equal(t, "after hints", body)
				assert.Equal(t, 2, resp.ProtoMajor)

				resp, body = fetch(t, d.client(t, true), request(t, d.url("/trailers")))
				assert.Equal(t, "before the trailer", body)
				assert.Equal(t, http.Header{"X-Sum": {"1"}}, resp.Trailer)
			}
		})
	}
}

// A client that leaves takes its request away from the upstream.
func TestClientCancels(t *testing.T) {
	for _, kind := range upstreamKinds {
		t.Run(kind, func(t *testing.T) {
			arrived, ended := make(chan string, 1), make(chan string, 1)
			failed := newReasons()
			cfg := startUpstream(t, kind, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/streaming" {
					_, _ = io.WriteString(w, "the first piece")
					_ = http.NewResponseController(w).Flush()
				}
				arrived <- r.URL.Path
				<-r.Context().Done()
				ended <- r.URL.Path
			}))
			cfg.OnError = failed.note
			o := startOurs(t, cfg)
			for _, front := range []struct {
				door  door
				http2 bool
			}{{o.plain, false}, {o.secure, false}, {o.secure, true}} {
				for _, path := range []string{"/waiting", "/streaming"} {
					t.Run(fmt.Sprintf("%s http2=%t%s", front.door.scheme(), front.http2, path), func(t *testing.T) {
						client := front.door.client(t, front.http2)
						gone := cancelWhen(t, client, front.door.url(path), arrived)
						within(t, ended, time.Second, "the upstream does not know that the client is gone")
						<-gone
						assert.Equal(t, proxy.ReasonClientGone, failed.await(t))
					})
				}
			}
			assert.Zero(t, o.proxy.Status().Upstreams[0].Failures, "the upstream did nothing wrong")
		})
	}
}

// cancelWhen sends a request and leaves as soon as it has arrived. What it returns is closed when the client is done.
func cancelWhen(t *testing.T, client *http.Client, url string, arrived <-chan string) <-chan struct{} {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if !assert.NoError(t, err) {
			return
		}
		resp, err := client.Do(req)
		if err == nil {
			_, err = io.Copy(io.Discard, resp.Body)
			_ = resp.Body.Close()
		}
		assert.ErrorIs(t, err, context.Canceled)
	}()
	within(t, arrived, exchangeTime, "the request does not arrive")
	cancel()
	return gone
}

// within waits for something to be said.
func within(t *testing.T, said <-chan string, patience time.Duration, otherwise string) {
	t.Helper()
	select {
	case <-said:
	case <-time.After(patience):
		require.FailNow(t, otherwise)
	}
}

func request(t *testing.T, url string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	return req
}

// fetch returns an answer and its whole body.
func fetch(t *testing.T, client *http.Client, req *http.Request) (*http.Response, string) {
	t.Helper()
	resp, err := client.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp, string(body)
}

// withHints counts the 103s before an answer.
func withHints(t *testing.T, count *int, url string) *http.Request {
	t.Helper()
	trace := &httptrace.ClientTrace{Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
		if code == http.StatusEarlyHints && h.Get("Link") != "" {
			*count++
		}
		return nil
	}}
	req := request(t, url)
	return req.WithContext(httptrace.WithClientTrace(req.Context(), trace))
}
