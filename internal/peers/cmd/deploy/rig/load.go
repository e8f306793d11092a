//go:build linux

package rig

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	clients    = 16               // that ask at the same time, each over a connection of its own
	answerTime = 20 * time.Second // for one request
)

// A Count is how many requests of a method were sent, and how many of them failed: got no answer, another status than
// 200, or another body than the service's.
type Count struct {
	Sent, Failed int
	First        string // the first failure
}

// A load sends requests at random moments. Every other one is a POST whose body cannot be sent twice, so that nobody
// on this side repeats it.
type load struct {
	url    string
	client *http.Client

	mu     sync.Mutex
	counts map[string]Count
}

func newLoad(d door) *load {
	transport := &http.Transport{MaxIdleConnsPerHost: clients, DisableKeepAlives: d.fresh}
	return &load{
		url:    "http://" + d.addr,
		client: &http.Client{Transport: transport, Timeout: answerTime},
		counts: make(map[string]Count),
	}
}

// run sends rate requests a second until the context ends, and waits for the answers.
func (l *load) run(ctx context.Context, rate int) {
	defer l.client.CloseIdleConnections()
	pause := time.Second * clients / time.Duration(rate)
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				began := time.Now()
				l.one([]string{http.MethodGet, http.MethodPost}[n%2], fmt.Sprint("/", n))
				rest(ctx, rand.N(2*pause)-time.Since(began))
			}
		})
	}
	all.Wait()
}

// rest waits for d or the end of the context.
func rest(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

func (l *load) one(method, path string) {
	err := l.send(method, path)
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.counts[method]
	if c.Sent++; err != nil {
		if c.Failed++; c.First == "" {
			c.First = err.Error()
		}
	}
	l.counts[method] = c
}

func (l *load) send(method, path string) error {
	want, body := path, io.Reader(http.NoBody)
	if method == http.MethodPost {
		want, body = "hello"+path, io.LimitReader(strings.NewReader("hello"), 5)
	}
	r, err := http.NewRequest(method, l.url+path, body)
	if err != nil {
		return err
	}
	if method == http.MethodPost {
		r.ContentLength = 5
	}
	resp, err := l.client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	if err == nil && (resp.StatusCode != http.StatusOK || string(got) != want) {
		err = fmt.Errorf("%s %s: %s, %.40q", method, path, resp.Status, got)
	}
	return err
}
