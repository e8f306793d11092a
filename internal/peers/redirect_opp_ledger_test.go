//go:build linux

package peers

import (
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// The ledger holds what the opponents do with the corpus, so that a change shows, and cmd/redirecttable makes a table of
// it. Lines "property" say by name how a peer means to work. Lines "fault" say how many set-ups a case brings to a
// fault, without their names: who finds a flaw in somebody's program tells him, not everybody. It is rewritten with
// go test -run TestRedirectOpponents -update.
const redirectLedgerFile = "testdata/redirect-ledger.tsv"

const redirectLedgerHead = `# What sends http to https, and what a corpus of raw requests makes of it. Lines are:
#   property, peer, property, value
#   fault, fault, case, number of other set-ups that have it there
#   asked, number of set-ups other than this module's, cases put to them in all
`

// namesFaults is for whoever looks into a change.
var namesFaults = flag.Bool("faults", false, "log each fault with the peer that has it (TestRedirectOpponents)")

// A fault is found in the answer to one case.
type fault struct{ what, name string }

func TestRedirectOpponents(t *testing.T) {
	cases, list := rawCases(), opponents()
	counts, lines, asked := map[fault]int{}, []string{}, 0
	for _, o := range list {
		answers := askAll(t, o)
		faults := judgeAll(t, cases, answers)
		if o.name == redirectOurs {
			assert.Empty(t, faults)
			ourAnswers(t, cases, answers)
		} else {
			asked += len(answers)
		}
		for _, f := range faults {
			counts[f]++
			if *namesFaults {
				t.Logf("%s: %s: %s: %q", o.name, f.name, f.what, answers[f.name].location())
			}
		}
		lines = append(lines, properties(o, answers)...)
	}
	lines = append(lines, faultLines(cases, counts)...)
	lines = append(lines, fmt.Sprintf("asked\t%d\t%d", len(list)-1, asked))
	compareRedirectLedger(t, lines)
}

// judgeAll reads all Locations at once, and returns the faults in the order of the corpus.
func judgeAll(t *testing.T, cases []rawCase, answers map[string]rawAnswer) (faults []fault) {
	var urls []string
	for _, c := range cases {
		urls = append(urls, answers[c.name].location())
	}
	read := readWHATWG(t, urls)
	for i, c := range cases {
		if a, ok := answers[c.name]; ok {
			for _, what := range faultsOf(c, a, read[i]) {
				faults = append(faults, fault{what, c.name})
			}
		}
	}
	return faults
}

// ourAnswers asserts more of this module than that it has no fault.
func ourAnswers(t *testing.T, cases []rawCase, answers map[string]rawAnswer) {
	for _, c := range cases {
		a := answers[c.name]
		assert.Equal(t, c.ours, a.status, c.name)
		assert.Equal(t, a.reached, c.ours == http.StatusOK && c.method() != http.MethodOptions, c.name)
		if a.reached || fromNetHTTP(c, a) {
			continue
		}
		assert.Equal(t, "private, no-store", a.header.Get("Cache-Control"), c.name)
		if a.status == http.StatusMisdirectedRequest {
			assert.Empty(t, a.location(), c.name)
			assert.NotContains(t, fmt.Sprint(a.header, a.body), "example.com", c.name)
		}
	}
}

// fromNetHTTP tells the answers that the server gives without asking anybody.
func fromNetHTTP(c rawCase, a rawAnswer) bool {
	return a.header.Get("X-Content-Type-Options") == "" && (a.status == http.StatusBadRequest || c.target() == "*")
}

// properties are what a peer's documentation says or leaves open on purpose, as its answers show it.
func properties(o opponent, answers map[string]rawAnswer) (lines []string) {
	add := func(property, value string) {
		lines = append(lines, strings.Join([]string{"property", o.name, property, value}, "\t"))
	}
	plain := answers["target /a?x=1"]
	add("GET", statusWord(plain))
	add("POST", statusWord(answers["POST"]))
	add("WebSocket", statusWord(answers["WebSocket"]))
	add("redirect may be cached", yesNo(cacheable(plain)))
	add("body repeats the target", yesNo(strings.Contains(plain.body, "/a?x=1")))
	add("host of somebody else", sentTo(answers["host of somebody else"], "evil.example"))
	add("address as host", sentTo(answers["host IPv4"], "192.0.2.7"))
	unclear := "not told of one"
	if o.balancer {
		unclear = statusWord(answers["balancer without a word"])
	}
	add("balancer says no scheme", unclear)
	return lines
}

func statusWord(a rawAnswer) string {
	if a.reached {
		return "passes"
	}
	return strconv.Itoa(a.status)
}

// sentTo tells where a request for somebody else's host is sent.
func sentTo(a rawAnswer, named string) string {
	switch {
	case !a.redirects():
		return statusWord(a)
	case strings.Contains(a.location(), named):
		return "copied"
	}
	return "own name"
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// cacheable tells whether a cache may keep a redirect that does not say for how long (RFC 9111 §4.2.2, RFC 9110 §15.1).
func cacheable(a rawAnswer) bool {
	cc := a.header.Get("Cache-Control")
	lasting := a.status == http.StatusMovedPermanently || a.status == http.StatusPermanentRedirect
	return lasting && !strings.Contains(cc, "no-store") && !strings.Contains(cc, "no-cache")
}

// faultLines are sorted by fault, and in the order of the corpus within one.
func faultLines(cases []rawCase, counts map[fault]int) (lines []string) {
	place := map[string]int{}
	for i, c := range cases {
		place[c.name] = i
	}
	keys := slices.SortedFunc(maps.Keys(counts), func(a, b fault) int {
		if a.what != b.what {
			return strings.Compare(a.what, b.what)
		}
		return place[a.name] - place[b.name]
	})
	for _, f := range keys {
		lines = append(lines, strings.Join([]string{"fault", f.what, f.name, strconv.Itoa(counts[f])}, "\t"))
	}
	return lines
}

func compareRedirectLedger(t *testing.T, lines []string) {
	t.Helper()
	text := redirectLedgerHead + strings.Join(lines, "\n") + "\n"
	if *update {
		require.NoError(t, os.WriteFile(redirectLedgerFile, []byte(text), 0o644))
		return
	}
	recorded, err := os.ReadFile(redirectLedgerFile)
	require.NoError(t, err)
	require.Equal(t, string(recorded), text,
		"run go test -run TestRedirectOpponents -update and review the change; -faults names who changed")
}
