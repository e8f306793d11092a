package proxyload

import (
	"fmt"
	"strings"
)

const (
	small       = 1 << 10
	big         = 64 << 10
	flushes     = 8 // of a streamed answer; together they are as long as the big one
	upload      = 16 << 10
	messageSize = 128
	receipt     = "received\n" // what answers an upload that came whole
)

// A Case is one kind of traffic. The zero value is none; Cases lists them.
type Case struct {
	Name      string // short, for flags
	Title     string // for readers
	Unit      string // what is counted: "request" or "message"
	Method    string
	Path      string
	Upload    int  // bytes of request body
	Length    int  // bytes of body that the right answer has; of a WebSocket: of each message
	WebSocket bool // text messages that come back, instead of requests
}

// Cases returns every kind of traffic that Backend answers, in the order of the tables.
func Cases() []Case {
	return []Case{
		{Name: "1k", Title: "GET, 1 KiB", Unit: "request", Method: "GET", Path: "/1k", Length: small},
		{Name: "64k", Title: "GET, 64 KiB", Unit: "request", Method: "GET", Path: "/64k", Length: big},
		{Name: "stream", Title: "GET, streamed (chunked), 8 × 8 KiB", Unit: "request", Method: "GET", Path: "/stream", Length: big},
		{Name: "post", Title: "POST, 16 KiB", Unit: "request", Method: "POST", Path: "/post", Upload: upload, Length: len(receipt)},
		{Name: "ws", Title: "WebSocket, messages of 128 B there and back", Unit: "message", Method: "GET", Path: "/ws",
			Length: messageSize, WebSocket: true},
	}
}

// CaseNamed returns the case of that name.
func CaseNamed(name string) (Case, error) {
	var names []string
	for _, c := range Cases() {
		if c.Name == name {
			return c, nil
		}
		names = append(names, c.Name)
	}
	return Case{}, fmt.Errorf("no case %q: there are %s", name, strings.Join(names, ", "))
}

// host is the name that clients ask for: the proxies hand it on, and nobody looks it up.
const host = "bench.example"

// request returns the bytes of one request, or of the one that opens a WebSocket. The header fields are those that every
// HTTP client sends; browsers send more.
func (c Case) request() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: proxyload\r\nAccept: */*\r\nAccept-Encoding: gzip\r\n", c.Method, c.Path, host)
	switch {
	case c.WebSocket:
		fmt.Fprintf(&b, "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n", wsKey)
	case c.Upload > 0:
		fmt.Fprintf(&b, "Content-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n%s", c.Upload, filler(c.Upload))
	default:
		b.WriteString("\r\n")
	}
	return []byte(b.String())
}

// filler is a body of n bytes.
func filler(n int) string { return strings.Repeat("x", n) }
