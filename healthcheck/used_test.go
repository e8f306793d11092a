package healthcheck

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// A server that somebody shut down before serves nothing, and must not look as
// if it had served and lost nothing.
func TestShutDownBefore(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var base net.Listener
	srv := NewServer("", http.NotFoundHandler(), ALB())
	srv.BaseContext = func(l net.Listener) context.Context { base = l; return context.Background() }
	require.NoError(t, srv.Shutdown(t.Context()))
	err = ServeAll(t.Context(), new(Health), Endpoint{Server: srv, Listeners: []net.Listener{l}})
	assert.ErrorContains(t, err, "was shut down before")
	assert.Nil(t, base)
}

// What is no URL may hold a password all the same.
func TestProbeOfNoURL(t *testing.T) {
	for _, url := range []string{"http://user:hunter2@127.0.0.1:bad/", "ftp://user:hunter2@host/", "user:hunter2@host", "unix:@hunter2@"} {
		err := Probe(t.Context(), url)
		assert.Error(t, err, url)
		assert.NotContains(t, err.Error(), "user:hunter2", url)
	}
}

// Where nobody is observed, the page names nobody as the slowest.
func TestForecastOfSomebodyHidden(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &Health{logTo: new(logLines).logger()}
		p := ALB()
		p.KillBudget = p.wait()
		h.profile.Store(&p)
		h.probers.behind(p)
		relay(h)
		f := h.foresee()
		assert.Contains(t, f.who(), "through a proxy")
		assert.Contains(t, strings.Join(f.advice, "\n"), "kills the process", "and what does not fit is said as well")
	})
}
