//go:build linux

package peers

import (
	"bytes"
	"context"
	"encoding/json"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A nodeQuestion is one line of what npm/answers.js reads.
type nodeQuestion struct {
	Peer   string   `json:"peer"`
	Lines  []string `json:"lines"`
	Hops   int      `json:"hops"`
	Remote string   `json:"remote"`
	Trust  []string `json:"trust"`
}

// startNode asks a package from npm about the whole corpus at once: starting node is what takes time.
func startNode(peer string) func(*testing.T) func(*testing.T, diffCase) string {
	return func(t *testing.T) func(*testing.T, diffCase) string {
		cases, questions := diffCases(), []nodeQuestion{}
		for _, c := range cases {
			questions = append(questions, nodeQuestion{peer, c.lines, c.hops, "127.0.0.1", diffTrust})
		}
		answers := askNode(t, questions)
		require.Len(t, answers, len(cases))
		known := map[string]string{}
		for i, c := range cases {
			known[c.key()] = answers[i]
		}
		return func(_ *testing.T, c diffCase) string {
			if c.header == rfc7239 {
				return readElement(known[c.key()])
			}
			return known[c.key()]
		}
	}
}

func askNode(t *testing.T, questions []nodeQuestion) (answers []string) {
	t.Helper()
	node := findPeer(t, "node")
	if _, err := os.Stat("npm/node_modules"); err != nil {
		require.NotEqual(t, "required", os.Getenv("PEERS"), "a required peer is missing: run npm ci in npm")
		t.Skip("peer left out: run npm ci in npm")
	}
	input, err := json.Marshal(questions)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, node, "answers.js")
	cmd.Dir, cmd.Stdin = "npm", bytes.NewReader(input)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	output, err := cmd.Output()
	require.NoError(t, err, stderr.String())
	require.NoError(t, json.Unmarshal(output, &answers))
	return answers
}

// readElement turns the parameters of one element into an answer. The package takes the header apart and leaves the
// values as text, so the address in a node and the case of a scheme are read here.
func readElement(element string) string {
	node, proto, _ := strings.Cut(element, "\t")
	return join(nodeAddr(node), strings.ToLower(proto))
}

func nodeAddr(node string) string {
	if ap, err := netip.ParseAddrPort(node); err == nil {
		return ap.Addr().Unmap().String()
	}
	if addr, err := netip.ParseAddr(strings.Trim(node, "[]")); err == nil {
		return addr.Unmap().String()
	}
	return node
}
