package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const twoRounds = `goos: linux
BenchmarkMiddleware/b/knownhops.Wrap 	1000	120 ns/op	100.0 cpu-ns/op	0 wrong	416 B/op	1 allocs/op
BenchmarkMiddleware/b/gin            	1000	250 ns/op	220.0 cpu-ns/op	1.000 wrong	16 B/op	1 allocs/op
BenchmarkGrowth/b/1000/gin           	1000	250 ns/op	12345.0 cpu-ns/op	0 wrong	16 B/op	1 allocs/op
BenchmarkMiddleware/b/knownhops.Wrap 	1000	120 ns/op	110.0 cpu-ns/op	0 wrong	416 B/op	1 allocs/op
BenchmarkMiddleware/b/gin            	1000	250 ns/op	200.0 cpu-ns/op	1.000 wrong	17 B/op	1 allocs/op
PASS
`

func TestLeastOfRounds(t *testing.T) {
	var rs results
	require.NoError(t, rs.add(twoRounds))
	require.Equal(t, results{
		{bench: "Middleware", row: "b", column: "knownhops.Wrap", cpu: 100, bytes: 416, allocs: 1},
		{bench: "Middleware", row: "b", column: "gin", cpu: 200, bytes: 16, allocs: 1, wrong: true},
		{bench: "Growth", row: "b/1000", column: "gin", cpu: 12345, bytes: 16, allocs: 1},
	}, rs)
}

func TestMarkdown(t *testing.T) {
	var rs results
	require.NoError(t, rs.add(twoRounds))
	text := rs.markdown(2)
	require.Contains(t, text, "| knownhops.Wrap | 100 / 416 / 1 |\n")
	require.Contains(t, text, "| gin | 200 / 16 / 1 (2.00×) ✗ |\n")
	require.Contains(t, text, "| gin | 12k / 16 / 1 |\n")
	require.NotContains(t, text, "answer alone", "a table without figures")
	require.Contains(t, text, "least of 2 rounds")
}

func TestUnreadableLine(t *testing.T) {
	for _, line := range []string{"BenchmarkMiddleware 1 2", "BenchmarkMiddleware/b/gin 10 x cpu-ns/op"} {
		require.Error(t, new(results).add(strings.TrimSpace(line)+"\n"), line)
	}
}
