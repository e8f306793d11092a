//go:build linux

// Probecost measures what the answer to one health probe costs, here and in other libraries, and prints it as a Markdown
// table.
//
//	cd internal/peers && go run ./cmd/probecost
//
// Each library has two checks that do nothing and is used as its documentation shows it first. The handlers are called
// directly, without a network, in short rounds next to each other and in reverse order every other round. CPU time is
// that of the process, the least of all rounds, garbage collection included.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/knownhops/knownhops/internal/peers/cmd/probecost/contest"
)

// Bounds keep a slip of the finger from loading a machine for a day.
const (
	maxRounds = 1000
	maxProbes = 1_000_000
)

func main() {
	if err := start(os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "probecost:", err)
		os.Exit(1)
	}
}

func start(args []string, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet("probecost", flag.ContinueOnError)
	fs.SetOutput(stderr)
	rounds := fs.Int("rounds", 20, "how often every library is measured")
	probes := fs.Int("probes", 2000, "how many probes each time")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if *rounds < 1 || *rounds > maxRounds || *probes < 1 || *probes > maxProbes || fs.NArg() > 0 {
		return fmt.Errorf("-rounds from 1 to %d, -probes from 1 to %d, nothing else", maxRounds, maxProbes)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	costs, err := measure(ctx, contest.All(), *rounds, *probes)
	if err != nil {
		return err
	}
	_, err = io.WriteString(stdout, markdown(costs))
	return err
}
