package forwarded_test

import (
	"bytes"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"

	"github.com/knownhops/knownhops/forwarded"
)

// TestMultipartFilesAreRemoved: net/http removes the temporary files of the
// request that it made, and of no copy.
func TestMultipartFilesAreRemoved(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	t.Setenv("TMP", dir)
	count := func() int {
		files, err := os.ReadDir(dir)
		if err != nil {
			t.Error(err)
		}
		return len(files)
	}
	during := 0
	p := newPolicy(t, forwarded.Config{RewriteRemoteAddr: true})
	srv := httptest.NewServer(p.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if err := r.ParseMultipartForm(1 << 10); err != nil {
			t.Error(err)
		}
		during = count()
	})))
	defer srv.Close()
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	file, err := form.CreateFormFile("file", "large")
	if err != nil {
		t.Fatal(err)
	}
	file.Write(make([]byte, 12<<20))
	form.Close()
	resp, err := srv.Client().Post(srv.URL, form.FormDataContentType(), &body)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	srv.Close() // waits until the request is finished, which comes after the answer
	if during != 1 {
		t.Errorf("%d files while the handler ran, want 1: the test shows nothing", during)
	}
	if left := count(); left != 0 {
		t.Errorf("%d temporary files left behind", left)
	}
}

// TestParsedFormIsLeftAlone: a form that an outer middleware parsed stays its.
func TestParsedFormIsLeftAlone(t *testing.T) {
	r := get(directPeer)
	outer, inner := &multipart.Form{}, &multipart.Form{}
	r.MultipartForm = outer
	var p forwarded.Policy
	p.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.MultipartForm != outer {
			t.Error("next does not see the form that was parsed already")
		}
		r.MultipartForm = inner
	})).ServeHTTP(nopWriter{}, r)
	if r.MultipartForm != outer {
		t.Error("the form was replaced")
	}
}
