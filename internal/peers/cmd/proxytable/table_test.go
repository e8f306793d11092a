//go:build linux

package main

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/internal/peers/proxyload"
)

func TestParseStat(t *testing.T) {
	for _, tt := range []struct {
		text       string
		pid, group int
		ok         bool
	}{
		{"42 (nginx) S 1 40 40 0 -1", 42, 40, true},
		{"42 (a) b) (c) R 1 7 7", 42, 7, true},
		{"42 (nginx) Z 1 40 40", 0, 0, false},
		{"42 (nginx) X 1 40 40", 0, 0, false},
		{"42 (nginx) S 1", 0, 0, false},
		{"x (nginx) S 1 40 40", 0, 40, false},
		{"", 0, 0, false},
	} {
		pid, group, ok := parseStat(tt.text)
		require.Equal(t, tt.ok, ok, tt.text)
		require.Equal(t, []int{tt.pid, tt.group}, []int{pid, group}, tt.text)
	}
}

func TestParsePeak(t *testing.T) {
	peak, err := parsePeak("VmPeak:\t  999 kB\nVmHWM:\t   12345 kB\nVmRSS:\t 5 kB\n")
	require.NoError(t, err)
	require.Equal(t, int64(12345<<10), peak)
	_, err = parsePeak("VmRSS:\t 5 kB\n")
	require.Error(t, err)
	_, err = parsePeak("VmHWM:\t many kB\n")
	require.Error(t, err)
}

func TestMedian(t *testing.T) {
	require.Zero(t, median(nil))
	require.Equal(t, 2.0, median([]float64{3, 1, 2}))
	require.Equal(t, 2.5, median([]float64{4, 1, 3, 2}))
}

func TestSchedule(t *testing.T) {
	require.Equal(t, []turn{
		{0, 0, 0}, {0, 0, 1}, {0, 0, 2}, {0, 1, 0}, {0, 1, 1}, {0, 1, 2},
		{1, 0, 2}, {1, 0, 1}, {1, 0, 0}, {1, 1, 2}, {1, 1, 1}, {1, 1, 0},
	}, schedule(2, 2, 3))
}

func TestRemaining(t *testing.T) {
	require.Empty(t, remaining(time.Second, 0, 10))
	require.Equal(t, " (6s to go)", remaining(4*time.Second, 4, 10))
}

// made is an outcome of 1000 requests in a second.
func made(cpu time.Duration, errors int) outcome {
	o := outcome{cpu: cpu, peak: 3 << 20}
	o.Result = proxyload.Result{Count: 1000, Errors: errors, Elapsed: time.Second, P50: 2 * time.Millisecond, P99: 9 * time.Millisecond}
	if errors > 0 {
		o.Error = "went wrong"
	}
	return o
}

func someResults() *results {
	all := contestants()
	rs := &results{contestants: []contestant{all[0], all[1], {name: reference, title: "nginx"}}}
	for i, cpu := range []time.Duration{30, 10, 20} {
		rs.add("1k", "ours", made(cpu*time.Millisecond, 0))
		rs.add("1k", "plain", made(90*time.Millisecond, i))
		rs.add("1k", reference, made(10*time.Millisecond, 0))
	}
	rs.add("ws", "ours", outcome{fault: "no start\nat all"})
	return rs
}

func TestTables(t *testing.T) {
	rs := someResults()
	kind, err := proxyload.CaseNamed("1k")
	require.NoError(t, err)
	got := rs.details(kind)
	require.Equal(t, [][]string{
		{"knownhops `proxy`", "1000", "2.00", "9.0", "0.0200", "0.0100 … 0.0300", "2.00", "50000", "3.0"},
		{"`httputil.ReverseProxy`, defaults ✗", "1000", "2.00", "9.0", "0.0900", "0.0900 … 0.0900", "9.00", "11111", "3.0"},
		{"nginx", "1000", "2.00", "9.0", "0.0100", "0.0100 … 0.0100", "1.00", "100000", "3.0"},
	}, got.rows)
	require.Equal(t, []string{"✗ `httputil.ReverseProxy`, defaults: 3 errors, the first: went wrong"}, got.notes)

	kind, err = proxyload.CaseNamed("ws")
	require.NoError(t, err)
	got = rs.details(kind)
	require.Equal(t, []string{"knownhops `proxy` ✗", none, none, none, none, none, none, none, none}, got.rows[0])
	require.Equal(t, []string{"✗ knownhops `proxy`: 1 errors, the first: no start"}, got.notes)
}

func TestReport(t *testing.T) {
	rs := someResults()
	rs.absent = []contestant{{name: "x", title: "Some proxy", binary: "x"}}
	p := plan{rounds: 3, span: time.Second, connections: 8, cases: proxyload.Cases()[:1], markdown: true}
	text := rs.report(p)
	require.Contains(t, text, "8 connections over loopback; medians of 3 rounds of 1s each.\n")
	require.Contains(t, text, "Some proxy is left out: it is not installed.\n")
	require.Contains(t, text, "|  | GET, 1 KiB |\n|---|---:|\n| knownhops `proxy` | 0.0200 (2.00×) |\n")
	require.Contains(t, text, "\n### GET, 1 KiB\n")

	p.markdown = false
	text = rs.report(p)
	require.NotContains(t, text, "|")
	require.Regexp(t, `(?m)^knownhops proxy +1000 +2.00 +9.0 +0.0200 `, text)
}

// The ratio is of what ran in the same round, not of two medians.
func TestRatioWithinTheRound(t *testing.T) {
	rs := &results{}
	for _, load := range []time.Duration{1, 5, 9} { // the machine is busy with something else, more and more
		rs.add("1k", "ours", made(load*20*time.Millisecond, 0))
		rs.add("1k", reference, made(load*10*time.Millisecond, 0))
	}
	rs.add("1k", "ours", outcome{})
	rs.add("1k", reference, made(time.Millisecond, 0))
	require.Equal(t, 2.0, rs.ratio("1k", "ours", reference))
	require.Zero(t, rs.ratio("1k", "ours", "caddy"))
}

func TestPlans(t *testing.T) {
	p, err := parsePlan([]string{"-rounds", "2", "-seconds", "0.5", "-only", "nginx,ours", "-cases", "64k,ws", "-profile", "/x/a.pprof"}, nil)
	require.NoError(t, err)
	require.Equal(t, 500*time.Millisecond, p.span)
	require.Equal(t, "ours,nginx", names(p.contestants), "in the order of the tables")
	require.Equal(t, "/x/a-ws.pprof", p.profileFor(p.cases[1]))
	p.cases = p.cases[1:]
	require.Equal(t, "/x/a.pprof", p.profileFor(p.cases[0]))

	p, err = parsePlan(nil, nil)
	require.NoError(t, err)
	require.Equal(t, "ours,plain,tuned,caddy,haproxy,nginx", names(p.contestants))
	require.Equal(t, proxyload.Cases(), p.cases)
	runs := p.rounds * len(p.contestants) * len(p.cases)
	require.Less(t, time.Duration(runs)*(p.span+p.span/3), 4*time.Minute, "the default must stay short")
}

func TestWrongPlans(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"-rounds 0", "-rounds 0: from 1 to 100"},
		{"-seconds 0", "-seconds 0: more than 0, and at most 600"},
		{"-connections 5000", "-connections 5000: from 1 to 1024"},
		{"-only nginx,apage", "-only apage: there are ours,plain,tuned,caddy,haproxy,nginx,apache,direct"},
		{"-cases 1k,2k", `no case "2k"`},
		{"more", `unexpected "more"`},
	} {
		_, err := parsePlan(strings.Fields(tt.args), nil)
		require.ErrorContains(t, err, tt.want)
	}
}
