package proxy_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/http/httptrace"
	"net/netip"
	"net/textproto"
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/proxy"
)

// stripped sends target through StripPrefix and returns what the handler got,
// or nil and the status.
func stripped(prefix string, r *http.Request) (*http.Request, int) {
	var got *http.Request
	w := httptest.NewRecorder()
	proxy.StripPrefix(prefix)(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r })).ServeHTTP(w, r)
	return got, w.Code
}

func requestFor(target string) *http.Request {
	u, err := url.ParseRequestURI(target)
	if err != nil {
		panic(err)
	}
	return &http.Request{Method: "GET", URL: u, Host: "example.com", Header: http.Header{}, RequestURI: target}
}

func TestStripPrefixPaths(t *testing.T) {
	for _, c := range []struct{ target, want string }{ // "": 404
		{"/api", "/"},
		{"/api/", "/"},
		{"/api?a=b", "/?a=b"},
		{"/api/x", "/x"},
		{"/api/x/", "/x/"},
		{"/api/x?a=%2F&b;c", "/x?a=%2F&b;c"},
		{"/api/api", "/api"},
		{"/api/a%2Fb", "/a%2Fb"},
		{"/api/%61", "/%61"},
		{"/api/a%20b%25", "/a%20b%25"},
		{"/api/a!b'(c)*", "/a!b'(c)*"},
		{"/api//x", "//x"},
		{"/api/a/../b", "/a/../b"},
		{"/api/.../x", "/.../x"},
		{"/api/;x", "/;x"},

		{"/", ""},
		{"/apix", ""},
		{"/ap", ""},
		{"/API/x", ""},
		{"/x/api", ""},
		{"//api/x", ""},
		{"/api%2Fx", ""},
		{"/%61pi/x", ""},
		{"/api;v=1/x", ""},
		{"*", ""},

		// Not below the prefix for whoever resolves dots later.
		{"/api/..", ""},
		{"/api/../x", ""},
		{"/api/../api/x", ""},
		{"/api/a/../../x", ""},
		{"/api/%2e%2e/x", ""},
		{"/api/.%2E/x", ""},
		{"/api/..%2fx", ""},
		{"/api/..%5cx", ""},
		{"/api/..;/x", ""},
		{"/api/a//../../x", ""},
	} {
		r, status := stripped("/api", requestFor(c.target))
		if c.want == "" {
			assert.Nil(t, r, c.target)
			assert.Equal(t, 404, status, c.target)
			continue
		}
		require.NotNil(t, r, c.target)
		assert.Equal(t, c.want, r.URL.RequestURI(), c.target)
		assert.Equal(t, requestFor(c.want).URL, r.URL, c.target)
	}
}

// TestStripPrefixGHSA6jwx: Path and RawPath are made from one string, even when
// the two that came contradicted each other.
func TestStripPrefixGHSA6jwx(t *testing.T) {
	for _, u := range []url.URL{
		{Path: "/api/admin", RawPath: "/api/public"},
		{Path: "/api/a/b", RawPath: "/api/a%2Fb%2Fc"},
		{Path: "/api/a/b", RawPath: "/a%2Fb"},
		{Path: "/api/a b", RawPath: "/api/a b"},
	} {
		given := u
		r, _ := stripped("/api", &http.Request{Method: "GET", URL: &u})
		require.NotNil(t, r)
		again, err := url.ParseRequestURI(r.URL.EscapedPath())
		require.NoError(t, err)
		assert.Equal(t, again, r.URL)
		assert.Equal(t, "/api"+r.URL.Path, given.Path)
		assert.Equal(t, given, u, "the caller's URL")
	}
}

func FuzzStripPrefix(f *testing.F) {
	for _, s := range []string{"/api", "/api/x?y", "/api%2fx", "/api/%2e%2e/x", "/api//h/", "/api/a!b%21", "/api/\\..\\", "/apix", "http://h/api/x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, target string) {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			return
		}
		in := &http.Request{Method: "GET", URL: u, RequestURI: target}
		before := *u
		r, _ := stripped("/api", in)
		assert.Equal(t, before, *in.URL, "the caller's URL")
		if r == nil {
			return
		}
		again, err := url.ParseRequestURI(r.URL.EscapedPath())
		require.NoError(t, err)
		assert.Equal(t, []string{again.Path, again.RawPath}, []string{r.URL.Path, r.URL.RawPath})
		if whole := before.EscapedPath(); whole != "/api" {
			if before.RawPath == "" || before.RawPath == whole { // nothing in it had to be escaped
				assert.Equal(t, whole, "/api"+r.URL.EscapedPath())
			}
			assert.Equal(t, before.Path, "/api"+r.URL.Path)
		}
		resolved := path.Clean("/root" + strings.ReplaceAll(r.URL.Path, `\`, "/"))
		assert.True(t, resolved == "/root" || strings.HasPrefix(resolved, "/root/"), resolved)
		assert.Equal(t, before.RawQuery, r.URL.RawQuery)
	})
}

func TestStripPrefixRefuses(t *testing.T) {
	for _, bad := range []string{"", "/", "api", "/api/", "//api", "/a//b", "/./a", "/a/..", "/a b", "/a%20b", "/ä", "/a;b", "/a,b", "/a?b", "/a#b", "/a\\b", "/a\"", "/a*", "/" + strings.Repeat("a", 256)} {
		assert.Panics(t, func() { proxy.StripPrefix(bad) }, bad)
	}
	assert.PanicsWithValue(t, `proxy: StripPrefix: "/api/": it ends in a slash, or has empty, . or .. elements; write it like "/api"`,
		func() { proxy.StripPrefix("/api/") })
	for _, good := range []string{"/api", "/a/b", "/v1.2", "/~me", "/@team", "/a-b_c", "/a+b=c&d$:", "/" + strings.Repeat("a", 255)} {
		r, _ := stripped(good, requestFor(good+"/x"))
		require.NotNil(t, r, good)
		assert.Equal(t, "/x", r.URL.Path, good)
	}
}

func TestStripPrefixInfo(t *testing.T) {
	outer := forwarded.Info{Client: netip.MustParseAddr("203.0.113.7"), Scheme: forwarded.HTTPS, Host: "example.com", Prefix: "/outer", Status: forwarded.StatusForwarded}
	in := requestFor("/api/x?y")
	in = in.WithContext(forwarded.NewContext(context.Background(), outer))
	r, _ := stripped("/api", in)
	want := outer
	want.Prefix = "/outer/api"
	assert.Equal(t, want, forwarded.From(r))
	assert.Equal(t, "https://example.com/outer/api/x?y", forwarded.From(r).URL(r).String())
	assert.Equal(t, outer, forwarded.From(in), "the caller's Info")
	assert.Equal(t, "/api/x?y", in.URL.RequestURI())
	assert.Equal(t, in.RequestURI, r.RequestURI)

	r, _ = stripped("/api", requestFor("/api"))
	assert.Equal(t, forwarded.Info{Prefix: "/api"}, forwarded.From(r))
}

// answer is the header that a client gets of a handler below /api, in which
// field was set to values.
func answer(t *testing.T, field string, values ...string) http.Header {
	t.Helper()
	r := requestFor("/api/x")
	info := forwarded.Info{Host: "www.example.com", Port: 8443, Prefix: "/outer"}
	r = r.WithContext(forwarded.NewContext(context.Background(), info))
	given := append([]string(nil), values...)
	w := httptest.NewRecorder()
	proxy.StripPrefix("/api")(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header()[field] = values
		w.WriteHeader(302)
		w.WriteHeader(303)
	})).ServeHTTP(w, r)
	assert.Equal(t, given, values, "the handler's own slice")
	return w.Result().Header
}

func TestStripPrefixLocation(t *testing.T) {
	const same = "="
	for _, c := range []struct{ location, want string }{
		{"/", "/api/"},
		{"/login", "/api/login"},
		{"/login?next=/x#f", "/api/login?next=/x#f"},
		{"/?a=/api", "/api/?a=/api"},
		{"/apix", "/api/apix"},
		{"/a%2Fb", "/api/a%2Fb"},
		{"/a:b", "/api/a:b"},
		{"  /padded ", "/api/padded"},
		{"/http://other.example/", "/api/http://other.example/"},
		{`/\other.example`, `/api/\other.example`},

		{"http://example.com/login", "http://example.com/api/login"},
		{"https://example.com/login?a#b", "https://example.com/api/login?a#b"},
		{"HTTPS://EXAMPLE.com:443/x", "HTTPS://EXAMPLE.com:443/api/x"},
		{"http://example.com:80/x", "http://example.com:80/api/x"},
		{"http://example.com", "http://example.com/api/"},
		{"http://example.com?a=b", "http://example.com/api/?a=b"},
		{"http://example.com#f", "http://example.com/api/#f"},
		{"//example.com/x", "//example.com/api/x"},
		{"//example.com", "//example.com/api/"},
		{"https://www.example.com:8443/x", "https://www.example.com:8443/api/x"},

		// Once: for handlers that know the prefix, or all of it.
		{"/api", same},
		{"/api/", same},
		{"/api/login", same},
		{"/api?x", same},
		{"/api#x", same},
		{"/outer/api/login", same},
		{"https://example.com/api/login", same},
		{"https://www.example.com:8443/outer/api/login", same},

		// Relative references are relative to the URL that the client has.
		{"login", same},
		{"../login", same},
		{"./a:b", same},
		{"?a=b", same},
		{"#f", same},
		{"", same},

		{"https://other.example/x", same},
		{"https://example.com.other.example/x", same},
		{"https://example.com:8080/x", same},
		{"https://www.example.com/x", same},
		{"https://example.com@other.example/x", same},
		{"https://user@example.com/x", same},
		{`https://example.com\@other.example/x`, same},
		{`https://other.example\@example.com/x`, same},
		{"//other.example/x", same},
		{"///other.example/x", same},
		{"https:///x", same},
		{"https:/x", same},
		{"https:x", same},
		{"ftp://example.com/x", same},
		{"javascript:alert(1)", same},
		{"mailto:a@example.com", same},
		{"https://[::1]/x", same},
		{"https://example.com:port/x", same},
	} {
		want := c.want
		if want == same {
			want = c.location
		}
		for _, field := range []string{"Location", "Content-Location"} {
			assert.Equal(t, []string{want}, answer(t, field, c.location)[field], "%s: %s", field, c.location)
		}
	}
}

func TestStripPrefixLeavesOtherFields(t *testing.T) {
	for _, field := range []string{"Link", "Refresh", "X-Accel-Redirect", "Destination"} {
		assert.Equal(t, []string{"/x"}, answer(t, field, "/x")[field], field)
	}
}

func TestStripPrefixCookies(t *testing.T) {
	const same = "="
	for _, c := range []struct{ cookie, want string }{
		{"a=b; Path=/", "a=b; Path=/api"},
		{"a=b; Path=/x", "a=b; Path=/api/x"},
		{"a=b; Path=/x/", "a=b; Path=/api/x/"},
		{"a=b; HttpOnly; path=/; Secure; SameSite=Lax", "a=b; HttpOnly; path=/api; Secure; SameSite=Lax"},
		{"a=b;PATH = / ;Secure", "a=b;PATH =/api;Secure"},
		{"a=b; Path=/; Path=/x", "a=b; Path=/api; Path=/api/x"},
		{`a="Path=/"; Path=/`, `a="Path=/"; Path=/api`},
		{"Path=/; Path=/", "Path=/; Path=/api"},
		{"=; Path=/", "=; Path=/api"},
		{"__Secure-a=b; Path=/; Secure", "__Secure-a=b; Path=/api; Secure"},
		{"a=b; Path=/apix", "a=b; Path=/api/apix"},

		{"a=b", same},
		{"a=b; Secure", same},
		{"a=b; Path", same},
		{"a=b; Path=", same},
		{"a=b; Path=x", same},
		{`a=b; Path="/"`, same},
		{"a=b; Domain=/", same},
		{"a=b; Path=/api", same},
		{"a=b; Path=/api/x", same},
		{"a=b; Path=/outer/api/", same},
		{"__Host-a=b; Path=/; Secure", same},
		{"__host-Http-a=b; Path=/; Secure", same},
		{"", same},
	} {
		want := c.want
		if want == same {
			want = c.cookie
		}
		assert.Equal(t, []string{want}, answer(t, "Set-Cookie", c.cookie)["Set-Cookie"], c.cookie)
	}
	assert.Equal(t, []string{"a=1; Path=/api", "b=2", "c=3; Path=/api/c"},
		answer(t, "Set-Cookie", "a=1; Path=/", "b=2", "c=3; Path=/c")["Set-Cookie"])
}

// TestStripPrefixBrowser: a client with a cookie jar, two prefixes one inside
// the other, and an application that knows of neither.
func TestStripPrefixBrowser(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "1", Path: "/"})
		http.Redirect(w, r, "/dir", http.StatusFound)
	})
	mux.HandleFunc("GET /dir/", func(w http.ResponseWriter, r *http.Request) {
		c, err := r.Cookie("session")
		fmt.Fprint(w, r.URL.Path, " ", forwarded.From(r).Prefix, " ", c, " ", err)
	})
	s := httpServer(t, proxy.StripPrefix("/outer")(proxy.StripPrefix("/api")(mux)), false)
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	client := s.Client()
	client.Jar = jar
	for _, start := range []string{"/outer/api", "/outer/api/"} {
		resp, err := client.Get(s.URL + start)
		require.NoError(t, err)
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		require.NoError(t, err)
		assert.Equal(t, "/dir/ /outer/api session=1 <nil>", string(body))
		assert.Equal(t, "/outer/api/dir/", resp.Request.URL.Path, "ServeMux's own redirect, too")
	}
}

// TestStripPrefixHeads: whichever way the head goes out, it is changed once.
func TestStripPrefixHeads(t *testing.T) {
	set := func(w http.ResponseWriter) {
		w.Header().Set("Set-Cookie", "a=b; Path=/")
		w.Header().Set("Location", "/x")
	}
	for name, h := range map[string]http.HandlerFunc{
		"nothing written": func(w http.ResponseWriter, _ *http.Request) { set(w) },
		"WriteHeader":     func(w http.ResponseWriter, _ *http.Request) { set(w); w.WriteHeader(201) },
		"Write":           func(w http.ResponseWriter, _ *http.Request) { set(w); _, _ = w.Write([]byte("x")) },
		"WriteString":     func(w http.ResponseWriter, _ *http.Request) { set(w); _, _ = io.WriteString(w, "x") },
		"io.Copy":         func(w http.ResponseWriter, _ *http.Request) { set(w); _, _ = io.Copy(w, repeated(5000)) },
		"Flush":           func(w http.ResponseWriter, _ *http.Request) { set(w); w.(http.Flusher).Flush() },
		"controller":      func(w http.ResponseWriter, _ *http.Request) { set(w); _ = http.NewResponseController(w).Flush() },
		"1xx first":       func(w http.ResponseWriter, _ *http.Request) { set(w); w.WriteHeader(103); w.WriteHeader(200) },
		"1xx alone":       func(w http.ResponseWriter, _ *http.Request) { set(w); w.WriteHeader(103) },
	} {
		for _, http2 := range []bool{false, true} {
			s := httpServer(t, proxy.StripPrefix("/api")(h), http2)
			var interim []string
			ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
				Got1xxResponse: func(_ int, h textproto.MIMEHeader) error { interim = append(interim, h.Get("Location")); return nil },
			})
			req, err := http.NewRequestWithContext(ctx, "GET", s.URL+"/api/", nil)
			require.NoError(t, err)
			resp, err := s.Client().Do(req)
			require.NoError(t, err, name)
			resp.Body.Close()
			assert.Equal(t, []string{"/api/x"}, resp.Header["Location"], name)
			assert.Equal(t, []string{"a=b; Path=/api"}, resp.Header["Set-Cookie"], name)
			if strings.HasPrefix(name, "1xx") {
				assert.Equal(t, []string{"/api/x"}, interim, name)
			}
		}
	}
}

// TestStripPrefixHijack: a tunnel below a prefix.
func TestStripPrefixHijack(t *testing.T) {
	s := httpServer(t, proxy.StripPrefix("/api")(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n%s\n", r.URL.Path)
		_ = rw.Flush()
	})), false)
	req, err := http.NewRequest("GET", s.URL+"/api/ws", nil)
	require.NoError(t, err)
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "echo")
	resp, err := s.Client().Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	assert.Equal(t, 101, resp.StatusCode)
	line, err := bufio.NewReader(resp.Body).ReadString('\n')
	require.NoError(t, err)
	assert.Equal(t, "/ws\n", line)
}

// TestStripPrefixPanic: a panic goes on, and the form is given back.
func TestStripPrefixPanic(t *testing.T) {
	r := httptest.NewRequest("POST", "/api/", strings.NewReader("--b\r\nContent-Disposition: form-data; name=\"f\"\r\n\r\nx\r\n--b--\r\n"))
	r.Header.Set("Content-Type", "multipart/form-data; boundary=b")
	h := proxy.StripPrefix("/api")(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_ = r.ParseMultipartForm(1 << 10)
		panic(http.ErrAbortHandler)
	}))
	assert.PanicsWithValue(t, http.ErrAbortHandler, func() { h.ServeHTTP(httptest.NewRecorder(), r) })
	require.NotNil(t, r.MultipartForm)
	assert.Equal(t, []string{"x"}, r.MultipartForm.Value["f"])
}

// TestStripPrefixBeforeProxy: a Proxy below a prefix, without a Wrap around
// both, finds out who the client is as it does without the prefix, and tells
// the next hop of the prefix.
func TestStripPrefixBeforeProxy(t *testing.T) {
	var got http.Header
	upstream := httpServer(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Clone() }), false)
	for _, c := range []struct {
		name, client, proto string
		policy              *forwarded.Policy
	}{
		{"no policy", "127.0.0.1", "http", nil},
		{"the Proxy's own policy", "203.0.113.7, 127.0.0.1", "https", forwarded.Must(forwarded.Behind(forwarded.ALB("127.0.0.1")))},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := proxy.Must(proxy.New(proxy.Config{Upstreams: []string{upstream.URL}, Policy: c.policy}))
			defer func() { assert.NoError(t, p.Shutdown(context.Background())) }()
			s := httpServer(t, proxy.StripPrefix("/api")(p), false)
			req, err := http.NewRequest("GET", s.URL+"/api/x", nil)
			require.NoError(t, err)
			req.Header.Set("X-Forwarded-For", "203.0.113.7")
			req.Header.Set("X-Forwarded-Proto", "https")
			resp, err := s.Client().Do(req)
			require.NoError(t, err)
			resp.Body.Close()
			assert.Equal(t, c.client, got.Get("X-Forwarded-For"))
			assert.Equal(t, c.proto, got.Get("X-Forwarded-Proto"))
			assert.Equal(t, "/api", got.Get("X-Forwarded-Prefix"))
		})
	}
}
