package albtest

import "time"

// Fault makes something go wrong between the balancer and a target, on
// purpose. Server.Fault arms it; requests use it up.
type Fault struct {
	// Kind is what goes wrong. It is required.
	Kind FaultKind

	// Group is whose targets it happens to. Empty: any.
	Group string

	// Requests is how many it happens to. Zero: the next one. Negative: every
	// one until Server.Mend.
	Requests int

	// Delay is how long Latency, SlowClose and each piece of Slices waits.
	// Zero: 1 s.
	Delay time.Duration

	// Bytes is after how many bytes of the answer Cut ends it, how large the
	// pieces of Slices are, and how many bytes a second Bandwidth lets through.
	// Zero: 64.
	Bytes int
}

// FaultKind is what goes wrong. There is no useful zero value.
type FaultKind uint8

const (
	_ FaultKind = iota

	// IdleRace closes the connection from the target's side in the moment in
	// which the balancer sends a request on it, as a target does whose idle
	// time-out is shorter than the balancer's: 502, and the target never sees
	// the request.
	IdleRace
	// Reset resets the connection after the target has read the request, as a
	// process does that crashes: 502.
	Reset
	// Refuse refuses the connection, as a machine does on which nothing
	// listens: 502.
	Refuse
	// Unreachable lets the connection never come about, as a security group
	// does that drops the packets: 504 after 10 s.
	Unreachable
	// Hang keeps the answer back: 504 after the idle time-out.
	Hang
	// Latency delays the answer by Delay.
	Latency
	// Bandwidth lets through Bytes of the answer a second.
	Bandwidth
	// Slices hands the answer over in pieces of Bytes, Delay after each other.
	Slices
	// Cut ends the answer after Bytes, of its head and body together, and closes
	// the connection: 502 if the client has nothing of it yet, and a body that
	// breaks off otherwise. Over HTTP/2 it counts the body only.
	Cut
	// SlowClose keeps the connection open for Delay after the answer's end.
	SlowClose
	// Garbage answers something that is not HTTP: 502.
	Garbage
	// HugeHeader answers with a head of more than 32 KiB: 502.
	HugeHeader
	// ShortBody has a Content-Length that is larger than the body by one: 504
	// after the idle time-out, or a body that breaks off if it is longer than
	// 16 KiB. Answers without a length, and those over HTTP/2, are left alone.
	ShortBody
)

// String returns the name of the constant.
func (k FaultKind) String() string {
	return word(k, "invalid", "IdleRace", "Reset", "Refuse", "Unreachable", "Hang", "Latency",
		"Bandwidth", "Slices", "Cut", "SlowClose", "Garbage", "HugeHeader", "ShortBody")
}
