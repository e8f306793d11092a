package proxy

import "net/http"

// A carrier takes an exchange to one upstream and brings the answer.
type carrier interface {
	// send sends the exchange's request and returns the answer, whose body is
	// still to be read. What it needs of the exchange it may use until the answer
	// is closed.
	send(x *exchange) (answer, *Error)
	idle() int // unused connections
}

// An answer is what an upstream sent, its body still to come.
type answer interface {
	status() int
	header() http.Header // hop-by-hop fields included
	length() int64       // of the body; -1: unknown

	// next returns the next piece of the body, valid until the next call. It
	// gathers what is there, and waits only if nothing is and wait is set. The end
	// is io.EOF, alone or with the last piece; without it, more is to come.
	next(wait bool) ([]byte, error)

	trailer() http.Header // after the end
	received() int64      // bytes read so far, head included

	// upgraded hands over the connection after status 101.
	upgraded() (tunnelEnd, error)

	// close gives the connection back, if all is well with it, or closes it.
	close()
}
