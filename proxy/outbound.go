package proxy

import (
	"io"
	"net/http"
	"sync"
)

// An outbound is a request as it goes to one upstream.
type outbound struct {
	req     *http.Request // method, URL, Trailer; its context ends the exchange
	host    string
	header  http.Header
	body    io.Reader // nil: none
	whole   []byte    // the body, if it is complete in memory
	length  int64     // of the body; -1: unknown
	upgrade string
	expect  bool // the body waits for "100 Continue"
	fresh   bool // on a new connection
	last    bool // which ends with this exchange
	onInfo  func(*head) error
	pumps   *sync.WaitGroup // counts the goroutines that send the body; nil: nobody waits for them
}

func (o *outbound) framing() framing {
	switch {
	case o.whole != nil || o.body != nil && o.length >= 0 && len(o.req.Trailer) == 0:
		return byLength
	case o.body != nil:
		return byChunks
	case o.req.Method == http.MethodPost || o.req.Method == http.MethodPut || o.req.Method == http.MethodPatch:
		return byLength
	}
	return noBody
}
