//go:build linux

package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/knownhops/knownhops/internal/peers/cmd/probecost/contest"
)

// Every library is in the table, in order, and ours runs no check for a probe and allocates once at most.
func TestMeasure(t *testing.T) {
	costs, err := measure(t.Context(), contest.All(), 3, 100)
	require.NoError(t, err)
	require.Len(t, costs, len(contest.All()))
	for i, c := range contest.All() {
		require.Equal(t, c.Title, costs[i].title)
	}
	require.Zero(t, costs[0].runs)
	require.LessOrEqual(t, costs[0].allocs, 1.5)
	require.Len(t, strings.Split(strings.TrimSpace(markdown(costs)), "\n"), 4+len(costs))
}

// A contestant that is not well is no measure of anything.
func TestMeasureRefuses(t *testing.T) {
	ill := contest.Contestant{Title: "ill", Start: func(context.Context, func(context.Context) error) (http.Handler, error) {
		return http.NotFoundHandler(), nil
	}}
	_, err := measure(t.Context(), []contest.Contestant{ill}, 1, 1)
	require.ErrorContains(t, err, "ill answers 404")
	ill.Start = func(context.Context, func(context.Context) error) (http.Handler, error) { return nil, errors.New("no") }
	_, err = measure(t.Context(), []contest.Contestant{ill}, 1, 1)
	require.ErrorContains(t, err, "no")
}

func TestFlags(t *testing.T) {
	for _, args := range []string{"-rounds 0", "-probes 0", "-rounds 1001", "more", "-what"} {
		require.Error(t, start(strings.Fields(args), io.Discard, io.Discard), args)
	}
}
