package forwarded_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/knownhops/knownhops/forwarded"
)

// trailerHop is on this machine, has a secret, and writes a header of its own.
func trailerHop() forwarded.Hop {
	return forwarded.Hop{
		Name: "edge", From: []string{"127.0.0.1"}, For: forwarded.Sets("Edge-Client"),
		Secret: forwarded.Secret{Header: "X-Origin-Secret", Values: []string{testSecret}},
	}
}

// sentTrailer is what clients send in these tests; only the checksums are
// theirs to send.
var sentTrailer = []string{
	"X-Checksum: abc", "X-Forwarded-For: 6.6.6.6", "X_Forwarded_Proto: https", "Forwarded: for=6.6.6.6",
	"X-Origin-Secret: " + testSecret, "Edge-Client: 6.6.6.6", "X-Real-Ip: 6.6.6.6",
}

// A trailerReport is what the next handler found.
type trailerReport struct {
	proto         string
	before, after http.Header
}

// trailerServer reports the trailer before the body was read and after it.
func trailerServer(t *testing.T) (*httptest.Server, <-chan trailerReport) {
	t.Helper()
	reports := make(chan trailerReport, 1)
	p := behind(t, trailerHop())
	srv := httptest.NewUnstartedServer(p.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		report := trailerReport{proto: r.Proto, before: r.Trailer.Clone()}
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Error(err)
		}
		report.after = r.Trailer.Clone()
		reports <- report
	})))
	t.Cleanup(srv.Close)
	return srv, reports
}

func TestTrailersHTTP1(t *testing.T) {
	declare := func(names ...string) string { return "Trailer: " + strings.Join(names, ", ") + "\r\n" }
	all := declare("X-Checksum", "X-Forwarded-For", "X_Forwarded_Proto", "Forwarded", "X-Origin-Secret", "Edge-Client", "X-Real-Ip")
	for _, c := range []struct {
		name, declared string
		before, after  http.Header
	}{
		{"all declared", all, http.Header{"X-Checksum": nil}, lines("X-Checksum: abc")},
		{"the family undeclared", declare("X-Checksum"), http.Header{"X-Checksum": nil}, lines("X-Checksum: abc")},
		{"the family declared, nothing else", declare("X-Forwarded-For"), http.Header{}, lines("X-Checksum: abc")},
		{"none declared", "", nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv, reports := trailerServer(t)
			srv.Start()
			conn, err := net.Dial("tcp", srv.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n%s\r\n3\r\nabc\r\n0\r\n%s\r\n\r\n",
				ourHost, c.declared, strings.Join(sentTrailer, "\r\n"))
			if _, err := io.ReadAll(conn); err != nil {
				t.Fatal(err)
			}
			got := <-reports
			if !reflect.DeepEqual(got.before, c.before) || !reflect.DeepEqual(got.after, c.after) {
				t.Errorf("next found %v, then %v; want %v, then %v", got.before, got.after, c.before, c.after)
			}
		})
	}
}

func TestTrailersHTTP2(t *testing.T) {
	srv, reports := trailerServer(t)
	srv.EnableHTTP2 = true
	srv.StartTLS()
	r, err := http.NewRequest("POST", srv.URL, struct{ io.Reader }{strings.NewReader("abc")})
	if err != nil {
		t.Fatal(err)
	}
	r.Trailer = lines(sentTrailer...)
	resp, err := srv.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	got := <-reports
	if got.proto != "HTTP/2.0" {
		t.Fatalf("the request came over %s", got.proto)
	}
	if want := lines("X-Checksum: abc"); !reflect.DeepEqual(got.after, want) {
		t.Errorf("next found %v, want %v", got.after, want)
	}
	if want := (http.Header{"X-Checksum": nil}); !reflect.DeepEqual(got.before, want) {
		t.Errorf("before the body was read next found %v, want %v", got.before, want)
	}
}
