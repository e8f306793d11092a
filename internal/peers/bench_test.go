//go:build linux

package peers

import (
	"flag"
	"net/http"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// The benchmarks compare this module with other libraries in one process, on requests as a balancer sends them and on
// hostile ones. cmd/table runs them and prints the tables.
//
// Peers do not all do the same job: this module finds address, scheme, host and port, gorilla's middleware scheme and
// host beside the address, the others the address alone.

var reverse = flag.Bool("reverse", false, "run the peers of each benchmark in reverse order")

// BenchmarkMiddleware is the whole way of a request: found, handed on and read by the next handler.
func BenchmarkMiddleware(b *testing.B) {
	for _, c := range benchCases() {
		b.Run(c.name, func(b *testing.B) { runTargets(b, c, middlewares(b, c, trust10)) })
	}
}

// BenchmarkResolve is the answer alone, for those that can give it without a middleware.
func BenchmarkResolve(b *testing.B) {
	for _, c := range benchCases() {
		b.Run(c.name, func(b *testing.B) { runTargets(b, c, functions(b, c, trust10)) })
	}
}

// BenchmarkGrowth is the whole way with longer and longer lists of trusted networks.
func BenchmarkGrowth(b *testing.B) {
	for _, c := range benchCases() {
		if !slices.Contains([]string{"b", "b6", "c"}, c.name) {
			continue
		}
		for _, size := range growthSizes {
			b.Run(c.name+"/"+size.name, func(b *testing.B) {
				runTargets(b, c, withLists(middlewares(b, c, trustList(size.n))))
			})
		}
	}
}

// A benchTarget is one contestant, ready to serve.
type benchTarget struct {
	name   string
	listed bool // the time may depend on the number of trusted networks
	serve  func(*http.Request)
	answer func() string // what the last request was answered; nil: a router without any of the work, to be subtracted
}

// withLists keeps those whose time can grow with the list.
func withLists(targets []benchTarget) []benchTarget {
	return slices.DeleteFunc(targets, func(t benchTarget) bool { return !t.listed })
}

func runTargets(b *testing.B, c benchCase, targets []benchTarget) {
	if *reverse {
		slices.Reverse(targets)
	}
	for _, target := range targets {
		b.Run(target.name, func(b *testing.B) { measure(b, c, target) })
	}
}

// measure reports the CPU time of the process per request, the garbage collector's included: on a machine that does
// other things too, the clock on the wall says little. The request is restored each time, since some contestants write
// into it. A contestant whose answer is not the right one reports wrong = 1.
func measure(b *testing.B, c benchCase, target benchTarget) {
	r := c.request()
	restore := func() { r.RemoteAddr, r.Host, r.URL.Scheme = c.remote, benchHost, "" }
	restore()
	target.serve(r)
	wrong := 0.0
	if target.answer != nil && !c.right(target.answer()) {
		wrong = 1
	}
	b.ReportAllocs()
	b.ResetTimer()
	start := cpuTime(b)
	for range b.N {
		restore()
		target.serve(r)
	}
	spent := cpuTime(b) - start
	b.StopTimer()
	b.ReportMetric(float64(spent)/float64(b.N), "cpu-ns/op")
	b.ReportMetric(wrong, "wrong")
}

// cpuTime is the CPU time that this process has used, in nanoseconds.
func cpuTime(b *testing.B) int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &ts); err != nil {
		b.Fatal(err)
	}
	return ts.Nano()
}
