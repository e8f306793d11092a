package healthcheck

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestMainSubcommand: which URL is asked, and what the program does with the answer.
func TestMainSubcommand(t *testing.T) {
	var health Health
	srv := httptest.NewServer(health.Wrap(http.NotFoundHandler()))
	defer srv.Close()
	at, err := url.Parse(srv.URL)
	require.NoError(t, err)
	up, down := srv.URL+"/livez", srv.URL+"/nothing"
	for _, row := range []struct {
		name string
		args []string
		url  string
		env  map[string]string
		code int
		ok   bool
	}{
		{"no argument", nil, up, nil, 0, false},
		{"another argument", []string{"serve", "healthcheck"}, up, nil, 0, false},
		{"the program's URL", []string{"healthcheck"}, up, nil, 0, true},
		{"it fails", []string{"healthcheck"}, down, nil, 1, true},
		{"the environment's is before that", []string{"healthcheck"}, down, map[string]string{"HEALTHCHECK_URL": up}, 0, true},
		{"the argument is before both", []string{"healthcheck", down}, up, map[string]string{"HEALTHCHECK_URL": up}, 1, true},
		{"PORT", []string{"healthcheck"}, "", map[string]string{"PORT": at.Port()}, 0, true},
		{"not a URL", []string{"healthcheck", "8080"}, up, nil, 1, true},
	} {
		t.Run(row.name, func(t *testing.T) {
			var stderr strings.Builder
			code, ok := runMain(row.args, row.url, func(name string) string { return row.env[name] }, &stderr)
			assert.Equal(t, row.ok, ok)
			assert.Equal(t, row.code, code)
			assert.Equal(t, row.code == 1, stderr.Len() > 0, stderr.String())
		})
	}
}

// TestMainReturns: an ordinary start of the program goes on.
func TestMainReturns(t *testing.T) {
	Main("http://127.0.0.1:1/livez") // the arguments are those of go test
}
