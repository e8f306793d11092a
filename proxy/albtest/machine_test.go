package albtest

import (
	"bytes"
	"context"
	"log"
	"net/http"
	"net/netip"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The log of a test shows what a handler does wrong, and not what the test does
// to the connections.
func TestTargetsLogHandlersMistakesOnly(t *testing.T) {
	var logged bytes.Buffer
	usual := log.Writer()
	log.SetOutput(&logged)
	defer log.SetOutput(usual)
	synctest.Test(t, func(t *testing.T) {
		s := one(t, func(c *Config) {
			c.TargetGroups["app"] = TargetGroup{
				Targets: []Target{{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/panic" {
						panic("a mistake")
					}
				})}},
				Protocol: HTTPS, HealthCheck: HealthCheck{Protocol: HTTPS},
			}
			c.Listeners = onlyHTTP(80)
		})
		target := netip.MustParseAddrPort(s.TargetGroup("app").Health()[0].Target)
		c, err := s.env.network.dial(context.Background(), netip.MustParseAddr("198.51.100.1"), target)
		require.NoError(t, err)
		_, err = c.Write([]byte("this is not TLS\r\n\r\n"))
		require.NoError(t, err)
		synctest.Wait()
		require.NoError(t, c.Close())
		synctest.Wait()
		assert.Empty(t, logged.String())

		resp, _ := fetch(t, s.Client(), "GET", s.HTTPURL+"/panic", "")
		assert.Equal(t, 502, resp.StatusCode)
		synctest.Wait()
		assert.Contains(t, logged.String(), "a mistake")
	})
}
