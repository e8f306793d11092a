//go:build linux

package peers

import (
	"cmp"
	"flag"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The ledger holds one line for each input on which a peer answers something else than this module, and why. It is
// rewritten with go test -run TestLedger -update; the reasons come from the corpus, so that a difference without one
// fails.
const ledgerFile = "testdata/ledger.tsv"

var update = flag.Bool("update", false, "rewrite "+ledgerFile)

const ledgerHead = `# Where this module and its peers answer differently. A line is: header, input (⏎ between lines), hops declared to this
# module, peer, its answer, our answer, our reason. Peers trust the same networks as one flat set; the request comes from
# 127.0.0.1 with the Host orig.example. Neither answer is called wrong here: what is right depends on what was asked.
`

// key identifies a case: the same input with other hops is another one.
func (c diffCase) key() string {
	return strings.Join([]string{c.header, c.input(), strconv.Itoa(c.hops)}, "\t")
}

// whyNot is the reason for which a peer may answer something else than we do; "" if there is none.
func (c diffCase) whyNot(p diffPeer) string {
	if p.leftmost {
		return cmp.Or(c.leftmost, c.why)
	}
	return c.why
}

// differences asks a peer about every case that it reads, and returns the lines of the ledger.
func differences(t *testing.T, p diffPeer) (lines []string) {
	answer := p.start(t)
	for _, c := range diffCases() {
		if !slices.Contains(p.headers, c.header) {
			continue
		}
		theirs := cmp.Or(visible(answer(t, c)), diffNone)
		ours, reason := c.resolve(t)
		if theirs == ours || theirs == diffNotAsked {
			continue
		}
		if reason != "" {
			ours += " (" + reason + ")"
		}
		why := c.whyNot(p)
		require.NotEmpty(t, why, "%s differs on %s %q: %q; the corpus gives no reason", p.name, c.header, c.input(), theirs)
		lines = append(lines, strings.Join([]string{c.key(), p.name, theirs, ours, why}, "\t"))
	}
	return lines
}

// visible writes a tab, and a blank at the end, so that they can be seen and do no harm in the file.
func visible(answer string) string {
	answer = strings.ReplaceAll(answer, "\t", `\t`)
	if rest, ok := strings.CutSuffix(answer, " "); ok {
		return rest + `\x20`
	}
	return answer
}

func TestLedger(t *testing.T) {
	recorded, found := readLedger(t), map[string][]string{}
	for _, p := range diffPeers {
		t.Run(p.name, func(t *testing.T) {
			lines := differences(t, p)
			found[p.name] = lines
			if !*update {
				require.Equal(t, recorded[p.name], lines, "run go test -run TestLedger -update and review the change")
			}
		})
		delete(recorded, p.name)
	}
	if *update {
		writeLedger(t, found)
		return
	}
	require.Empty(t, recorded, "peers that nobody asks")
}

// readLedger returns the lines of the file by peer.
func readLedger(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(ledgerFile)
	if *update && os.IsNotExist(err) {
		return nil
	}
	require.NoError(t, err)
	byPeer := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "#") {
			continue
		}
		fields := strings.Split(line, "\t")
		require.Len(t, fields, 7, line)
		byPeer[fields[3]] = append(byPeer[fields[3]], line)
	}
	return byPeer
}

func writeLedger(t *testing.T, found map[string][]string) {
	t.Helper()
	text := ledgerHead
	for _, p := range diffPeers {
		require.Contains(t, found, p.name, "the ledger needs every peer; install %s", p.name)
		text += strings.Join(found[p.name], "\n") + "\n"
	}
	require.NoError(t, os.WriteFile(ledgerFile, []byte(text), 0o644))
}

// On well-formed chains every walker answers the same, and so do we.
func TestAgreement(t *testing.T) {
	for _, p := range diffPeers {
		if p.leftmost || !slices.Contains(p.headers, xff) {
			continue
		}
		t.Run(p.name, func(t *testing.T) {
			answer := p.start(t)
			for _, c := range agreement {
				ours, _ := c.resolve(t)
				require.Equal(t, c.want, ours, c.input())
				require.Equal(t, c.want, answer(t, c), c.input())
			}
		})
	}
}

// The ledger and the packages from npm are matched with cases by key, so no two may share one.
func TestCorpusKeys(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range diffCases() {
		require.False(t, seen[c.key()], c.key())
		seen[c.key()] = true
	}
}
