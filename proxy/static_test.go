package proxy_test

import (
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/proxy"
)

// site is what the tests serve; "next" stands for the application.
func site() fstest.MapFS {
	files := fstest.MapFS{}
	for _, name := range []string{
		"index.html", "app.js", "docs/index.html", "docs/page.html", "empty/file.txt", ".env", ".git/config", "docs/.secret",
		".well-known/security.txt", ".well-known/.hidden", "a:b/index.html", "sp ace/index.html", "a/b", "trap/index.html/x",
		"%2e%2e", "back\\slash", "..hidden", "dot.", "q?/index.html",
	} {
		files[name] = &fstest.MapFile{Data: []byte(name), ModTime: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	}
	files["pipe"] = &fstest.MapFile{Mode: fs.ModeNamedPipe}
	return files
}

func application(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-From", "next")
	_, _ = io.WriteString(w, "next")
}

func serveStatic(root fs.FS, method, target string, header ...string) *httptest.ResponseRecorder {
	u, err := url.ParseRequestURI(target)
	if err != nil {
		panic(err)
	}
	r := &http.Request{Method: method, URL: u, Header: http.Header{}}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	proxy.Static(root)(http.HandlerFunc(application)).ServeHTTP(w, r)
	return w
}

func TestStatic(t *testing.T) {
	const next, redirected = "next", "-> "
	for _, c := range []struct{ target, want string }{
		{"/", "index.html"},
		{"/app.js", "app.js"},
		{"/app.js?v=1", "app.js"},
		{"/%61pp.js", "app.js"},
		{"/index.html", "index.html"},
		{"/docs/index.html", "docs/index.html"},
		{"/docs/", "docs/index.html"},
		{"/docs/page.html", "docs/page.html"},
		{"/.well-known/security.txt", ".well-known/security.txt"},
		{"/dot.", "dot."},
		{"/%252e%252e", "%2e%2e"},
		{"/a/b", "a/b"},

		{"/docs", redirected + "./docs/"},
		{"/docs?a=b&c=%2F", redirected + "./docs/?a=b&c=%2F"},
		{"/a:b", redirected + "./a:b/"},
		{"/sp%20ace", redirected + "./sp%20ace/"},
		{"/q%3F", redirected + "./q%3F/"},

		{"/absent", next},
		{"/absent/", next},
		{"/docs/absent", next},
		{"/app.js/", next},
		{"/app.js/x", next},
		{"/empty", next},
		{"/empty/", next},
		{"/trap", next},
		{"/trap/", next},
		{"/pipe", next},
		{"/.env", next},
		{"/%2eenv", next},
		{"/.git/config", next},
		{"/.git", next},
		{"/docs/.secret", next},
		{"/.well-known/.hidden", next},
		{"/..hidden", next},
		{"/docs/../app.js", next},
		{"/docs/%2e%2e/app.js", next},
		{"/./app.js", next},
		{"/../app.js", next},
		{"//app.js", next},
		{"//example.com/", next},
		{"//docs", next},
		{"/docs//", next},
		{"/docs//page.html", next},
		{"/docs%2Fpage.html", next},
		{"/docs%2fpage.html", next},
		{"/docs/%2F", next},
		{"/%2Fdocs", next},
		{"/back%5Cslash", next},
		{"/back%5cslash", next},
		{"/app.js%00", next},
		{"/app.js%00.html", next},
		{"/app.js%ff", next},
		{"*", next},
		{"http://example.com", next},
		{"http://example.com/app.js", "app.js"},
	} {
		for _, method := range []string{"GET", "HEAD"} {
			w := serveStatic(site(), method, c.target)
			got := w.Body.String()
			switch {
			case w.Header().Get("X-From") == "next":
				got = next
			case w.Code == http.StatusTemporaryRedirect:
				got = redirected + w.Header().Get("Location")
			case method == "HEAD":
				assert.Empty(t, got, "HEAD %s", c.target)
				got = c.want
			}
			assert.Equal(t, c.want, got, "%s %s", method, c.target)
		}
	}
}

func TestStaticMethods(t *testing.T) {
	for _, method := range []string{"POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE", "get", ""} {
		assert.Equal(t, "next", serveStatic(site(), method, "/app.js").Body.String(), method)
	}
}

// TestStaticContent: what http.ServeContent does is reached.
func TestStaticContent(t *testing.T) {
	w := serveStatic(site(), "GET", "/app.js")
	assert.Equal(t, 200, w.Code)
	assert.Contains(t, w.Header().Get("Content-Type"), "javascript")
	assert.Equal(t, "Fri, 02 Jan 2026 03:04:05 GMT", w.Header().Get("Last-Modified"))
	assert.Contains(t, serveStatic(site(), "GET", "/docs/").Header().Get("Content-Type"), "text/html")

	w = serveStatic(site(), "GET", "/app.js", "If-Modified-Since", "Fri, 02 Jan 2026 03:04:05 GMT")
	assert.Equal(t, []any{304, ""}, []any{w.Code, w.Body.String()})
	w = serveStatic(site(), "GET", "/app.js", "Range", "bytes=1-3")
	assert.Equal(t, []any{206, "pp.", "bytes 1-3/6"}, []any{w.Code, w.Body.String(), w.Header().Get("Content-Range")})
	w = serveStatic(site(), "GET", "/app.js", "Range", "bytes=99-")
	assert.Equal(t, 416, w.Code)
}

// TestStaticStaysInRoot: on a disk, with links that lead out of it.
func TestStaticStaysInRoot(t *testing.T) {
	dir := t.TempDir()
	outside := filepath.Join(dir, "outside")
	require.NoError(t, os.WriteFile(outside, []byte("secret"), 0o600))
	inside := filepath.Join(dir, "root")
	require.NoError(t, os.MkdirAll(filepath.Join(inside, "sub"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(inside, "sub", "file"), []byte("file"), 0o600))
	for name, to := range map[string]string{"absolute": outside, "relative": "../outside", "up": "..", "within": "sub/file"} {
		require.NoError(t, os.Symlink(to, filepath.Join(inside, name)))
	}
	root, err := os.OpenRoot(inside)
	require.NoError(t, err)
	defer root.Close()
	for target, want := range map[string]string{
		"/sub/file": "file", "/within": "file",
		"/absolute": "next", "/relative": "next", "/up/outside": "next", "/up": "next", "/sub/../../outside": "next", "/%2e%2e/outside": "next",
		"/sub/file/x": "next", "/" + strings.Repeat("long", 2000): "next",
	} {
		assert.Equal(t, want, serveStatic(root.FS(), "GET", target).Body.String(), target)
	}
}

// oddFS has files that cannot be opened, cannot seek or cannot be told apart.
type oddFS struct {
	fs.FS
	open func(fs.File) (fs.File, error)
}

func (o oddFS) Open(name string) (fs.File, error) {
	f, err := o.FS.Open(name)
	if err != nil {
		return nil, err
	}
	return o.open(f)
}

func (o oddFS) Stat(name string) (fs.FileInfo, error) { return fs.Stat(o.FS, name) }

type onlyFile struct{ fs.File }

type statless struct{ fs.File }

func (statless) Stat() (fs.FileInfo, error) { return nil, errors.New("disk on fire at /srv/secret") }

func TestStaticOddFiles(t *testing.T) {
	refused := oddFS{site(), func(f fs.File) (fs.File, error) { return nil, errors.Join(fs.ErrPermission, f.Close()) }}
	assert.Equal(t, "next", serveStatic(refused, "GET", "/app.js").Body.String())
	for name, wrap := range map[string]func(fs.File) fs.File{
		"no Seeker": func(f fs.File) fs.File { return onlyFile{f} },
		"no Stat":   func(f fs.File) fs.File { return statless{f} },
	} {
		w := serveStatic(oddFS{site(), func(f fs.File) (fs.File, error) { return wrap(f), nil }}, "GET", "/app.js")
		assert.Equal(t, []any{500, "Internal Server Error\n"}, []any{w.Code, w.Body.String()}, name)
	}
}

// TestStaticCloses: every file that was opened.
func TestStaticCloses(t *testing.T) {
	open := 0
	counted := oddFS{site(), func(f fs.File) (fs.File, error) {
		open++
		return closing{f.(io.ReadSeeker), f, func() { open-- }}, nil
	}}
	for _, target := range []string{"/", "/app.js", "/docs", "/docs/", "/empty/", "/absent"} {
		serveStatic(counted, "GET", target)
	}
	assert.Zero(t, open)
}

type closing struct {
	io.ReadSeeker
	file   fs.File
	closed func()
}

func (c closing) Stat() (fs.FileInfo, error) { return c.file.Stat() }
func (c closing) Close() error               { c.closed(); return c.file.Close() }

// TestStaticBelowAPrefix: the redirect of a directory holds below a prefix.
func TestStaticBelowAPrefix(t *testing.T) {
	s := httpServer(t, proxy.StripPrefix("/api")(proxy.Static(site())(http.NotFoundHandler())), false)
	resp, body, err := do(t, s, "GET", "/api/docs?x=1")
	require.NoError(t, err)
	assert.Equal(t, "docs/index.html", body)
	assert.Equal(t, "/api/docs/?x=1", resp.Request.URL.RequestURI())
}

func TestStaticOfNothing(t *testing.T) {
	assert.PanicsWithValue(t, "proxy: Static of a nil fs.FS; open one with os.OpenRoot", func() { proxy.Static(nil) })
}

// FuzzStatic: no target reaches a name outside the rules, or another host.
func FuzzStatic(f *testing.F) {
	for _, s := range []string{"/", "/docs", "/.env", "//docs", "/docs%2f..%2f.env", "/docs/..;/.env", "/\\docs", "/docs%5c.secret", "/a:b?//x", "/app.js%ff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, target string) {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			return
		}
		w := httptest.NewRecorder()
		seen := &watchedFS{FS: site()}
		proxy.Static(seen)(http.HandlerFunc(application)).ServeHTTP(w, &http.Request{Method: "GET", URL: u})
		for _, name := range seen.opened {
			assert.True(t, fs.ValidPath(name), name)
			hidden := strings.ReplaceAll("/"+name, "/.well-known/", "/")
			assert.NotContains(t, strings.TrimSuffix(hidden, "/.well-known"), "/.", target)
		}
		if to := w.Header().Get("Location"); to != "" {
			base := &url.URL{Scheme: "http", Host: "h", Path: u.Path, RawPath: u.RawPath}
			resolved, err := base.Parse(to)
			require.NoError(t, err, to)
			assert.Equal(t, "http://h"+u.EscapedPath()+"/", (&url.URL{Scheme: resolved.Scheme, Host: resolved.Host, Path: resolved.Path, RawPath: resolved.RawPath}).String())
		}
	})
}

type watchedFS struct {
	fs.FS
	opened []string
}

func (w *watchedFS) Open(name string) (fs.File, error) {
	w.opened = append(w.opened, name)
	return w.FS.Open(name)
}
