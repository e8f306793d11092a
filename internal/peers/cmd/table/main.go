// Table runs the benchmarks of this module in several short rounds and prints what they say as Markdown.
//
//	cd internal/peers && go run ./cmd/table
//
// The peers of a case run next to each other and in reverse order every other round, so that whatever else the machine
// does hits them alike. The figures are CPU time of the process per request, the least of all rounds; ratios within one
// run are what counts.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
)

// A plan is what to run, and how often.
type plan struct {
	rounds    int
	benchtime string
	filter    string
}

func main() {
	var p plan
	flag.IntVar(&p.rounds, "rounds", 12, "how often every benchmark runs")
	flag.StringVar(&p.benchtime, "benchtime", "4ms", "for how long each time, as in go test")
	flag.StringVar(&p.filter, "bench", "Middleware|Resolve|Growth", "which benchmarks, as in go test")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := p.run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "table:", err)
		os.Exit(1)
	}
}

// run compiles the tests once, runs them round by round and writes the tables.
func (p plan) run(ctx context.Context, w io.Writer) error {
	if p.rounds < 1 {
		return fmt.Errorf("-rounds %d: at least one is needed", p.rounds)
	}
	dir, err := os.MkdirTemp("", "peers")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "peers.test")
	if err := command(ctx, os.Stderr, "go", "test", "-c", "-o", binary, "."); err != nil {
		return fmt.Errorf("compiling: %w", err)
	}
	var results results
	for round := range p.rounds {
		fmt.Fprintf(os.Stderr, "round %d of %d\n", round+1, p.rounds)
		var out strings.Builder
		if err := command(ctx, &out, binary, p.args(round)...); err != nil {
			return fmt.Errorf("round %d: %w\n%s", round+1, err, out.String())
		}
		if err := results.add(out.String()); err != nil {
			return err
		}
	}
	_, err = io.WriteString(w, results.markdown(p.rounds))
	return err
}

func (p plan) args(round int) []string {
	return []string{
		"-test.run", "^$", "-test.bench", p.filter, "-test.benchtime", p.benchtime, "-test.cpu", "1", "-test.count", "1",
		fmt.Sprintf("-reverse=%t", round%2 == 1),
	}
}

// command runs a program with its output, errors included, in w.
func command(ctx context.Context, w io.Writer, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = w, w
	return cmd.Run()
}
