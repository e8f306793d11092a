//go:build linux

package main

import (
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/internal/peers/cmd/deploy/rig"
)

func TestFlags(t *testing.T) {
	p, err := parsePlan([]string{"-restarts", "3", "-rate", "50", "-only", "haproxy,alb"}, io.Discard)
	require.NoError(t, err)
	require.Equal(t, 3, p.restarts)
	require.Equal(t, 50, p.rate)
	require.Len(t, p.fronts, 2)
	require.Equal(t, "alb", p.fronts[1].Name)

	for _, args := range []string{"-restarts 0", "-restarts 1001", "-rate 0", "-rate 2001", "-only apache", "more"} {
		_, err := parsePlan(strings.Fields(args), io.Discard)
		require.Error(t, err, args)
	}
}

// The table has a row for each front that was run, and says what was lost by method.
func TestMarkdown(t *testing.T) {
	fronts := rig.Fronts()
	text := rig.Markdown([]rig.Result{
		{Front: fronts[0], Mode: rig.Drain, Restarts: 2, Get: rig.Count{Sent: 5}, Post: rig.Count{Sent: 6}},
		{Front: fronts[0], Mode: rig.Exit, Restarts: 2, Get: rig.Count{Sent: 5, Failed: 1}, Post: rig.Count{Sent: 6, Failed: 2}},
		{Front: fronts[1], Mode: rig.Drain},
	})
	lines := strings.Split(strings.TrimSpace(text), "\n")
	require.Len(t, lines, 3)
	require.Equal(t, "| "+fronts[0].Title+" | 0 of 11, 2 restarts, 0.0 s at most | – |"+
		" **3 of 11** (1 GET, 2 POST), 2 restarts, 0.0 s at most |", lines[2])
}

// An instance refuses what Run would never say.
func TestInstanceArguments(t *testing.T) {
	require.Error(t, start([]string{instanceWord}, io.Discard, io.Discard))
	require.Error(t, start([]string{instanceWord, "drain", "127.0.0.1:0", "no JSON"}, io.Discard, io.Discard))
	require.Error(t, start([]string{instanceWord, "otherwise", "127.0.0.1:0", "{}"}, io.Discard, io.Discard))
}
