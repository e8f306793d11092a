//go:build linux

package rig

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// A checker asks for the health of instances, and tells an nginx after two answers that say otherwise than before.
type checker struct {
	nginx     nginx
	dir, addr string
	master    *process

	mu       sync.Mutex // guards nginx.down
	contrary [2]int     // answers in a row that contradict it; run's own
}

// run asks until the context ends, or nginx cannot be told.
func (c *checker) run(ctx context.Context) error {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: interval}
	for ctx.Err() == nil {
		for i, addr := range c.nginx.servers {
			if c.differs(i, healthy(ctx, client, addr)) {
				if err := c.reload(); err != nil {
					return err
				}
			}
		}
		rest(ctx, interval)
	}
	return nil
}

func healthy(ctx context.Context, client *http.Client, addr string) bool {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/healthz", nil)
	if err != nil {
		return false
	}
	resp, err := client.Do(r)
	if err != nil {
		return ctx.Err() != nil // asked in vain
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// differs reports whether an answer changes what nginx is to be told.
func (c *checker) differs(i int, ok bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if ok != c.nginx.down[i] {
		c.contrary[i] = 0
		return false
	}
	if c.contrary[i]++; c.contrary[i] < 2 {
		return false
	}
	c.contrary[i], c.nginx.down[i] = 0, !ok
	return true
}

// back waits until an instance is in nginx's list, and nginx has had time to read it.
func (c *checker) back(ctx context.Context, instance int) error {
	for ctx.Err() == nil {
		c.mu.Lock()
		down := c.nginx.down[instance]
		c.mu.Unlock()
		if !down {
			break
		}
		rest(ctx, 10*time.Millisecond)
	}
	return settled(ctx, instance)
}
