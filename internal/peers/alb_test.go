//go:build linux

package peers

import (
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// albAddr is where the balancer of the story connects from.
const albAddr = "127.0.0.2"

// startALB puts a balancer in front of a proxy, as AWS documents it: X-Forwarded-For is appended to, X-Forwarded-Proto
// and X-Forwarded-Port are set, and Host, X-Forwarded-Host, Forwarded and all the rest pass as the client wrote them.
// The ports it tells are those of a real listener, 80 and 443, whatever port it has here.
func startALB(t *testing.T, upstream string) (plain, secure door) {
	t.Helper()
	plainLn, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	secureLn, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	serve(t, plainLn, newALB(t, upstream, "http", "80"))
	serveTLS(t, secureLn, newALB(t, upstream, "https", "443"))
	return door{addr: plainLn.Addr().String()}, door{addr: secureLn.Addr().String(), tls: true}
}

func newALB(t *testing.T, upstream, scheme, port string) http.Handler {
	transport := &http.Transport{
		DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(albAddr)}}).DialContext,
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &httputil.ReverseProxy{Transport: transport, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: upstream})
		r.Out.Host = r.In.Host
		for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host"} { // net/http took them out
			if values, ok := r.In.Header[name]; ok {
				r.Out.Header[name] = values
			}
		}
		client, _, _ := net.SplitHostPort(r.In.RemoteAddr) // written by net/http
		list := append(append([]string(nil), r.In.Header["X-Forwarded-For"]...), client)
		r.Out.Header["X-Forwarded-For"] = []string{strings.Join(list, ", ")}
		r.Out.Header["X-Forwarded-Proto"] = []string{scheme}
		r.Out.Header["X-Forwarded-Port"] = []string{port}
	}}
}
