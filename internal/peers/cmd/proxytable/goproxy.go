//go:build linux

package main

import (
	"fmt"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"

	"github.com/knownhops/knownhops/proxy"
)

// goProxy returns the proxy that a role is named after, in front of an address.
func goProxy(name, upstream string) (http.Handler, error) {
	target := &url.URL{Scheme: "http", Host: upstream}
	switch name {
	case "ours":
		return proxy.To(target.String())
	case "plain":
		return httputil.NewSingleHostReverseProxy(target), nil
	case "tuned":
		return tunedProxy(target), nil
	default:
		return nil, fmt.Errorf("no role %q", name)
	}
}

// tunedProxy is what somebody builds who has read about the cost of each default: connections kept for everyone who asks,
// buffers used again, nothing unpacked on the way.
func tunedProxy(target *url.URL) http.Handler {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConns = 0 // no limit
	transport.MaxIdleConnsPerHost = 512
	transport.DisableCompression = true
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host
			r.SetXForwarded()
		},
		Transport:  transport,
		BufferPool: &bufferPool{},
	}
}

// A bufferPool keeps buffers of the size that io.Copy would take.
type bufferPool struct{ pool sync.Pool }

const bufferSize = 32 << 10

func (b *bufferPool) Get() []byte {
	if buf, ok := b.pool.Get().(*[bufferSize]byte); ok {
		return buf[:]
	}
	return make([]byte, bufferSize)
}

func (b *bufferPool) Put(buf []byte) { b.pool.Put((*[bufferSize]byte)(buf)) }
