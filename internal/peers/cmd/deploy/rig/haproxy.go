//go:build linux

package rig

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// A haproxy checks the health of its servers, reuses connections to them wherever it can, and tries nothing twice, so
// that what it meets is what its clients are told.
type haproxy struct {
	plain bool // says nothing of the client, so that requests and checks look alike
}

func (h haproxy) start(ctx context.Context, s *stage) (door, error) {
	return h.before(ctx, s, s.instances)
}

// before starts it in front of some addresses.
func (h haproxy) before(ctx context.Context, s *stage, servers []string) (door, error) {
	addr, err := s.run(ctx, "haproxy", "haproxy", func(dir, addr string) ([]string, error) {
		config := filepath.Join(dir, "haproxy.cfg")
		return []string{"-db", "-f", config}, os.WriteFile(config, []byte(h.text(addr, servers)), 0o644)
	})
	return door{addr: addr, back: settled}, err
}

func (h haproxy) text(addr string, servers []string) string {
	forward := "option forwardfor"
	if h.plain {
		forward = ""
	}
	return fmt.Sprintf(`
global
	maxconn 256
defaults
	mode http
	timeout connect 2s
	timeout client 60s
	timeout server 60s
frontend front
	bind %s
	%s
	default_backend app
backend app
	retries 0
	http-reuse always
	option httpchk GET /healthz
	default-server check inter %dms fall 2 rise 2
	server one %s
	server two %s
`, addr, forward, interval.Milliseconds(), servers[0], servers[1])
}
