package proxyproto_test

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/forwarded/proxyproto"
)

func TestConfig(t *testing.T) {
	from := []string{"10.0.16.0/20"}
	for _, c := range []struct {
		name   string
		cfg    proxyproto.Config
		fields []string // of the mistakes, in order; none: it is legal
	}{
		{"nobody named", proxyproto.Config{}, []string{"From"}},
		{"an empty list", proxyproto.Config{From: []string{}}, []string{"From"}},
		{"a subnet", proxyproto.Config{From: from}, nil},
		{"everything that a hop may name", proxyproto.Config{From: []string{"10.0.0.1", "10.0.16.0/20", "2001:db8::/32", "fe80::1%eth0", "unix"}}, nil},
		{"an empty string", proxyproto.Config{From: []string{"10.0.0.1", ""}}, []string{"From[1]"}},
		{"no address", proxyproto.Config{From: []string{"balancer", "10.0.0.1/20", "0.0.0.0/0"}}, []string{"From[0]", "From[1]", "From[2]"}},
		{"anybody", proxyproto.Config{From: []string{"10.0.0.1", "any"}}, []string{"From[1]"}},
		{"anybody, dangerously", proxyproto.Config{DangerouslyAnyPeer: true}, nil},
		{"anybody, twice", proxyproto.Config{From: []string{"any"}, DangerouslyAnyPeer: true}, nil},
		{"anybody and somebody", proxyproto.Config{From: []string{"any", "10.0.0.1"}, DangerouslyAnyPeer: true}, []string{"From[1]"}},
		{"the smallest", proxyproto.Config{From: from, Timeout: 1, MaxHeader: 52, MaxPending: 1}, nil},
		{"the largest", proxyproto.Config{From: from, Timeout: time.Hour, MaxHeader: 65551, MaxPending: 1 << 20}, nil},
		{"below zero", proxyproto.Config{From: from, Timeout: -1, MaxHeader: -1, MaxPending: -1}, []string{"Timeout", "MaxHeader", "MaxPending"}},
		{"too small", proxyproto.Config{From: from, MaxHeader: 51}, []string{"MaxHeader"}},
		{"too large", proxyproto.Config{From: from, MaxHeader: 65552}, []string{"MaxHeader"}},
		{"everything wrong", proxyproto.Config{From: []string{"x"}, Timeout: -1, MaxHeader: 1, MaxPending: -1}, []string{"From[0]", "Timeout", "MaxHeader", "MaxPending"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ln := newFake()
			l, err := proxyproto.Listen(ln, c.cfg)
			if c.fields == nil {
				require.NoError(t, err)
				assert.NoError(t, l.Close())
				return
			}
			assert.Nil(t, l)
			var errs proxyproto.ConfigErrors
			require.True(t, errors.As(err, &errs))
			var fields []string
			for _, e := range errs {
				fields = append(fields, e.Field)
				assert.NotEmpty(t, e.Reason)
				assert.NotEmpty(t, e.Fix)
			}
			assert.Equal(t, c.fields, fields)
			select {
			case <-ln.closed:
				t.Error("the caller's listener is closed")
			default:
			}
		})
	}
}

// The configuration is copied in: what the caller changes later is nobody's trust.
func TestConfigIsCopied(t *testing.T) {
	from := []string{"127.0.0.1"}
	l := loopback(t, proxyproto.Config{From: from})
	from[0] = "10.0.0.1"
	dial(t, l, line)
	assert.Equal(t, client, accept(t, l).RemoteAddr().String())
}

func TestAddrIsTheInnerListeners(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	assert.Equal(t, ln.Addr(), listen(t, ln, quiet()).Addr())
}
