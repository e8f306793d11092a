package redirect_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/knownhops/knownhops/redirect"
)

// Inside of http.StripPrefix the path as sent may begin with an escaped slash,
// which divides no host from a path: "https://www.example.com%2F@evil.example/".
func TestInsideStripPrefix(t *testing.T) {
	e := redirect.Must(redirect.HTTPS("www.example.com", "example.com"))
	h := http.StripPrefix("/shop", e.Wrap(http.NotFoundHandler()))
	for target, want := range map[string]string{
		"/shop%2F@evil.example/x": "",
		"/shop%2f.evil.example":   "",
		"/shop/a%2Fb":             "https://www.example.com/a%2Fb",
		"/shop/@evil.example/x":   "https://www.example.com/@evil.example/x",
		"/shop":                   "https://www.example.com/",
	} {
		r := httptest.NewRequest("GET", target, nil)
		r.Host = "www.example.com"
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		assert.Equal(t, want, w.Header().Get("Location"), target)
		if want == "" {
			assert.Equal(t, http.StatusBadRequest, w.Code, target)
		}
	}
}
