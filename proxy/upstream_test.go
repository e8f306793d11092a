package proxy

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/internal/conferr"
)

func TestParseUpstreams(t *testing.T) {
	for _, row := range []struct{ text, scheme, network, addr, host string }{
		{"http://127.0.0.1:8080", "http", "tcp", "127.0.0.1:8080", "127.0.0.1:8080"},
		{"http://127.0.0.1", "http", "tcp", "127.0.0.1:80", "127.0.0.1"},
		{"http://app:80", "http", "tcp", "app:80", "app"},
		{"http://app:", "http", "tcp", "app:80", "app"},
		{"HTTP://App.Internal:443", "http", "tcp", "app.internal:443", "app.internal:443"},
		{"https://app.internal", "https", "tcp", "app.internal:443", "app.internal"},
		{"https://app.internal.", "https", "tcp", "app.internal.:443", "app.internal"},
		{"http://app.internal.:81", "http", "tcp", "app.internal.:81", "app.internal:81"},
		{"http://[::1]:8080", "http", "tcp", "[::1]:8080", "[::1]:8080"},
		{"https://[2001:DB8::1]", "https", "tcp", "[2001:db8::1]:443", "[2001:db8::1]"},
		{"h2c://127.0.0.1:50051", "h2c", "tcp", "127.0.0.1:50051", "127.0.0.1:50051"},
		{"h2c://grpc", "h2c", "tcp", "grpc:80", "grpc"},
		{"unix:/run/app.sock", "http", "unix", "/run/app.sock", "localhost"},
		{"unix:/run/../tmp/a:b?c@d", "http", "unix", "/tmp/a:b?c@d", "localhost"},
	} {
		var errs conferr.Errors
		ups := parseUpstreams(&errs, []string{row.text})
		require.NoError(t, errs.Err(), row.text)
		require.Len(t, ups, 1)
		u := ups[0]
		assert.Equal(t, [5]string{row.text, row.scheme, row.network, row.addr, row.host}, [5]string{u.name, u.scheme, u.network, u.addr, u.host})
	}
}

func TestParseUpstreamsMistakes(t *testing.T) {
	long := "/" + strings.Repeat("s", maxSocketPath)
	for _, row := range []struct{ text, want string }{
		{"", `Upstreams[0]: no scheme; write it like "http://127.0.0.1:8080"`},
		{"localhost:8080", `Upstreams[0]: "localhost:8080": no scheme; write "http://localhost:8080"`},
		{"ftp://app", `an unknown scheme; use "http://", "https://", "h2c://" or "unix:"`},
		{"http://app:8080/", `a slash at the end; write "http://app:8080": paths are passed on as they are`},
		{"http://app/api", `an upstream has no path; write "http://app", and wrap the proxy in StripPrefix`},
		{"http://app?a=b", `an upstream has no query; write "http://app": the client's query`},
		{"http://app#top", `an upstream has no fragment; write "http://app"`},
		{"http://", `no host; write one, like "127.0.0.1"`},
		{"http://:8080", `no host; write one, like "127.0.0.1:8080"`},
		{"http://app:0", "not a port; write a number from 1 to 65535"},
		{"http://app:65536", "not a port"},
		{"http://app:http", "not a port"},
		{"http://[::1]:x", "not a port"},
		{"http://[::1", "not a host"},
		{"http://::1", "not a host"},
		{"http://127.1", "not a host"},
		{"http://a b", "not a host"},
		{"http://[fe80::1%25eth0]:80", "not a host"},
		{"http://0.0.0.0:8080", "an address to listen on, not one to connect to; write 127.0.0.1"},
		{"http://[::]:8080", "an address to listen on"},
		{"unix:run/app.sock", `the path of a socket must be absolute; write it like "unix:/run/app.sock"`},
		{"unix:", "the path of a socket must be absolute"},
		{"unix:@abstract", "the path of a socket must be absolute"},
		{"unix:///run/app.sock", `a socket is named by its path, not by a URL; write "unix:/run/app.sock"`},
		{"unix:/run/\x00", "a control character in the path"},
		{"unix:" + long, "longer than the 107 bytes"},
	} {
		var errs conferr.Errors
		assert.Empty(t, parseUpstreams(&errs, []string{row.text}), row.text)
		require.Len(t, errs, 1, row.text)
		assert.Equal(t, "Upstreams[0]", errs[0].Field)
		assert.Contains(t, errs.Error(), row.want)
	}
}

func TestParseUpstreamsList(t *testing.T) {
	var errs conferr.Errors
	parseUpstreams(&errs, nil)
	assert.EqualError(t, errs, `Upstreams: there is none; name one, like "http://127.0.0.1:8080"`)

	errs = nil
	ups := parseUpstreams(&errs, []string{
		"http://app", "bad", "https://app", "http://APP:80", "http://app.", "h2c://app:443", "unix:/a", "unix:/b/../a"})
	assert.Len(t, ups, 3)
	var fields []string
	for _, e := range errs {
		fields = append(fields, e.Field)
	}
	assert.Equal(t, []string{"Upstreams[1]", "Upstreams[3]", "Upstreams[4]", "Upstreams[5]", "Upstreams[7]"}, fields)
	assert.EqualError(t, errs[3], `Upstreams[5]: "h2c://app:443": the same address as Upstreams[2]; name each upstream once`)
}

// Errors are logged and shown at start, so they must not hold passwords.
func TestUpstreamMistakesHideSecrets(t *testing.T) {
	for _, text := range []string{
		"http://user:hunter2@app", "http://user:hunter2@app/path", "http://app?token=hunter2", "http://app/?token=hunter2",
		"ftp://hunter2@app", "hunter2@app", "http://user:hunter2@app@b:0", "http://user:hunter2@[::1", "http://a:hunter2@b?x=@", "http://user:@hunter2@b",
	} {
		var errs conferr.Errors
		assert.Empty(t, parseUpstreams(&errs, []string{text}))
		require.Len(t, errs, 1, text)
		assert.NotContains(t, errs.Error(), "hunter2")
		assert.NotContains(t, errs.Error(), "user")
	}
	assert.Equal(t, "http://…@app/x?…", withoutSecrets("http://a:b@app/x?y"))
	assert.Equal(t, "…@app", withoutSecrets("a:b@app"))
}
