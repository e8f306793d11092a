//go:build linux

package peers

import (
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/forwarded"
)

// truth is what is so, whatever the headers say: how the client reached the outermost proxy that was declared.
type truth struct {
	client netip.Addr
	scheme forwarded.Scheme
	host   string
	asSent string // the host as the client spelled it
	port   uint16
	chain  []string // the hops' addresses that may stand in X-Forwarded-For after the client's
}

// known says which parts of the truth the declared topology carries to the application.
type known struct{ client, scheme, host, port bool }

var everything = known{client: true, scheme: true, host: true}

// judge asserts that an application that asks package forwarded is never misled, and that it is told what can be known.
func judge(t *testing.T, want truth, know known, got seen) {
	t.Helper()
	info := got.Info
	if know.client || info.Client.IsValid() {
		assert.Equal(t, want.client, info.Client, "client")
	}
	if know.scheme || info.Scheme != forwarded.SchemeUnknown {
		assert.Equal(t, want.scheme.String(), info.Scheme.String(), "scheme")
	}
	if know.host || info.Host != "" {
		assert.Equal(t, want.host, info.Host, "host")
	}
	if know.port || info.Port != 0 {
		assert.Equal(t, want.port, info.Port, "port")
	}
	assert.Empty(t, info.Prefix, "prefix")
	assert.Empty(t, info.ClientID, "client id")
	assert.False(t, got.Cert, "a client certificate was believed")
	assert.Equal(t, info, got.Explained, "Explain disagrees")
	judgeURL(t, got)
	judgeHeader(t, want, info, got.Header, "header")
	judgeHeader(t, want, info, got.Trailer, "trailer")
	assert.Equal(t, []string{"kept"}, got.Header[control], "a header of no family")
	if t.Failed() {
		t.Logf("info: %v\narrived as: Host %q, %v", info.LogValue(), got.RawHost, got.Raw)
	}
}

// judgeURL asserts that there is a URL just where its parts are known.
func judgeURL(t *testing.T, got seen) {
	t.Helper()
	if got.Info.Scheme == forwarded.SchemeUnknown || got.Info.Host == "" {
		assert.Nil(t, got.URL)
		return
	}
	require.NotNil(t, got.URL)
	assert.Equal(t, got.Info.Scheme.String(), got.URL.Scheme)
	assert.Equal(t, got.Info.Host, got.URL.Hostname())
}

// judgeHeader asserts that a library further in, which believes what it finds, finds the truth or nothing.
func judgeHeader(t *testing.T, want truth, info forwarded.Info, h http.Header, where string) {
	t.Helper()
	for name, values := range h {
		if name == "Connection" || name == control {
			continue // which headers were nominated, not what they said
		}
		text := strings.Join(values, ", ")
		for _, forgery := range forgeries {
			assert.NotContains(t, text, forgery, "%s %s", where, name)
		}
		if allowed, ofFamily := allowedValue(want, info, name); ofFamily {
			assert.Contains(t, allowed, text, "%s %s", where, name)
		}
	}
}

// allowedValue returns the texts that a header of the family, or an alias of one, may have. Aliases may have none.
func allowedValue(want truth, info forwarded.Info, name string) (allowed []string, ofFamily bool) {
	switch name {
	case "X-Forwarded-For":
		if !info.Client.IsValid() {
			return nil, true
		}
		return chains(want), true
	case "X-Forwarded-Proto":
		return []string{want.scheme.String()}, true
	case "X-Forwarded-Host":
		return []string{want.host, want.asSent}, true
	case "X-Forwarded-Port":
		return []string{strconv.Itoa(int(want.port))}, true
	}
	folded := fold(name)
	return nil, strings.HasPrefix(folded, "x-forwarded") || slices.Contains(foldedFamily, folded)
}

// chains are the lists that the hops may have written: the client alone, or with the proxies it came through.
func chains(want truth) []string {
	list := want.client.String()
	lists := []string{list}
	for _, hop := range want.chain {
		list += ", " + hop
		lists = append(lists, list)
	}
	return lists
}

var foldedFamily = foldNames(family)

func foldNames(lines []string) []string {
	names := make([]string, len(lines))
	for i, line := range lines {
		name, _, _ := strings.Cut(line, ":")
		names[i] = fold(name)
	}
	return names
}

// fold maps a header name to what CGI, WSGI and their like make of it.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(name))
}

// A battery sends every attack through one door and judges what the application made of each.
type battery struct {
	app       *app
	door      door
	want      truth // what is zero in it is taken from the door
	know      known
	nominated *known // what is known where a nomination costs a proxy's own headers; nil: know
	http2     bool
	direct    bool // past every proxy: the port is the one that the Host names
}

func (b battery) run(t *testing.T) {
	t.Helper()
	b.fill()
	arrived := 0
	for _, a := range attacks {
		if b.http2 && a.h1only {
			continue
		}
		if b.want.scheme == forwarded.HTTPS {
			a = a.httpsInstead()
		}
		t.Run(a.name, func(t *testing.T) {
			if b.try(t, a) {
				arrived++
			}
		})
	}
	require.Greater(t, arrived, len(attacks)/2, "most attacks must get as far as the application")
}

func (b *battery) fill() {
	if !b.want.client.IsValid() {
		b.want.client = clientAddr
	}
	if b.want.scheme == forwarded.SchemeUnknown {
		b.want.scheme = b.door.scheme()
	}
	if b.want.host == "" {
		b.want.host = frontHost
	}
	if b.want.port == 0 {
		b.want.port = b.door.port()
	}
}

// portOf is the port that a Host header names for a plain connection.
func portOf(host string) uint16 {
	_, text, found := strings.Cut(host, ":")
	if !found {
		return 80
	}
	port, _ := strconv.ParseUint(text, 10, 16) // written by this test
	return uint16(port)
}

// try sends one attack and reports whether it arrived.
func (b battery) try(t *testing.T, a attack) bool {
	t.Helper()
	send := b.door.send
	if b.http2 {
		send = b.door.sendHTTP2
	}
	status := send(t, b.want.client, a)
	got, arrived := b.app.take(t)
	if a.mustRefuse {
		assert.False(t, arrived, "arrived: %v", got.Raw)
	}
	if !arrived {
		assert.True(t, a.mayRefuse || a.mustRefuse, "refused with status %d", status)
		assert.GreaterOrEqual(t, status, 400)
		t.Logf("refused with status %d", status)
		return false
	}
	assert.Equal(t, 200, status)
	b.want.asSent = or(a.host, frontHost)
	if b.direct {
		b.want.port = portOf(b.want.asSent)
	}
	know := b.know
	if b.nominated != nil && a.nominates() {
		know = *b.nominated
	}
	judge(t, b.want, know, got)
	return true
}
