package proxy

import (
	"errors"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"strings"
)

// Static serves the files of root and leaves everything else to the next
// handler: what nginx's try_files does in front of an application.
//
// Permitted: GET and HEAD of a regular file, with conditions, ranges and
// content types as http.ServeContent has them; for a directory, its index.html.
// A directory without the slash at the end of its path is redirected there, by
// a relative Location that cannot name another host, with 307, as what is a
// directory today may belong to the application tomorrow.
//
// Not served, but handed to next: other methods, absent files and those that
// cannot be opened, directories without index.html (nothing is ever listed),
// what is no regular file, paths of which an element begins with a dot (except
// ".well-known") or is empty, and encoded slashes, backslashes and NULs, which
// programs read differently.
//
// What lies in root is root's to say. os.DirFS follows symbolic links out of
// its directory; the FS of an os.Root does not. Files must be io.Seekers, as
// those of both, and of embed.FS, are; others are answered with 500. A nil root
// panics here and now.
func Static(root fs.FS) func(http.Handler) http.Handler {
	if root == nil {
		panic("proxy: Static of a nil fs.FS; open one with os.OpenRoot")
	}
	return func(next http.Handler) http.Handler {
		return &static{root: root, next: next}
	}
}

type static struct {
	root fs.FS
	next http.Handler
}

func (s *static) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, slash := staticName(r)
	index := path.Join(name, indexFile)
	switch {
	case name == "":
		s.next.ServeHTTP(w, r)
	case !slash && s.regular(name):
		s.file(w, r, name)
	case !s.regular(index):
		s.next.ServeHTTP(w, r)
	case slash:
		s.file(w, r, index)
	default:
		w.Header().Set("Location", toDirectory(r.URL))
		w.WriteHeader(http.StatusTemporaryRedirect)
	}
}

const indexFile = "index.html"

// regular looks before anything is opened: opening a named pipe would wait for
// somebody to write into it.
func (s *static) regular(name string) bool {
	info, err := fs.Stat(s.root, name)
	return err == nil && info.Mode().IsRegular()
}

// file serves name, or leaves the request to next if it cannot be opened.
func (s *static) file(w http.ResponseWriter, r *http.Request, name string) {
	f, err := s.root.Open(name)
	if err != nil {
		s.next.ServeHTTP(w, r)
		return
	}
	defer f.Close()
	serveOpen(w, r, f)
}

func serveOpen(w http.ResponseWriter, r *http.Request, f fs.File) {
	info, err := f.Stat()
	content, ok := f.(io.ReadSeeker)
	if err == nil && !ok {
		err = errors.ErrUnsupported
	}
	if err != nil {
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	http.ServeContent(w, r, info.Name(), info.ModTime(), content)
}

// staticName returns the name in root that a request asks for, and whether its
// path ends in a slash; "" if the request is not for files at all.
func staticName(r *http.Request) (name string, slash bool) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return "", false
	}
	if !strings.HasPrefix(r.URL.Path, "/") || ambiguous(r.URL) {
		return "", false
	}
	name, slash = strings.CutSuffix(r.URL.Path[1:], "/")
	if r.URL.Path == "/" {
		return ".", true
	}
	for element := range strings.SplitSeq(name, "/") {
		if element == "" || element[0] == '.' && element != ".well-known" {
			return "", false
		}
	}
	if !fs.ValidPath(name) {
		return "", false
	}
	return name, slash
}

// ambiguous reports what one program takes for a separator, or for the end,
// and another does not.
func ambiguous(u *url.URL) bool {
	return strings.ContainsAny(u.Path, "\\\x00") || strings.Contains(strings.ToLower(escapedPath(u)), "%2f")
}

// toDirectory is relative, so that it holds below a prefix that somebody took
// off, and begins with "./", so that no first element reads as a scheme.
func toDirectory(u *url.URL) string {
	escaped := escapedPath(u)
	to := "./" + escaped[strings.LastIndexByte(escaped, '/')+1:] + "/"
	if u.RawQuery != "" {
		to += "?" + u.RawQuery
	}
	return to
}
