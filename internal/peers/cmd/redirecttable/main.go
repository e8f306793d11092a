// Redirecttable prints what the tests keep in testdata/redirect-ledger.tsv as Markdown: how each peer sends http to
// https, and how often which fault came up with a corpus of raw requests.
//
//	cd internal/peers && go test -run TestRedirectOpponents -update . && go run ./cmd/redirecttable
//
// The first command runs the peers and writes the ledger; without -update it fails where the ledger is out of date.
package main

import (
	"fmt"
	"os"
)

const ledgerFile = "testdata/redirect-ledger.tsv"

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "redirecttable:", err)
		os.Exit(1)
	}
}

func run() error {
	text, err := os.ReadFile(ledgerFile)
	if err != nil {
		return err
	}
	l, err := parse(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", ledgerFile, err)
	}
	_, err = os.Stdout.WriteString(l.markdown())
	return err
}
