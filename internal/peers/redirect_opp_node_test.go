//go:build linux

package peers

import (
	"bytes"
	"context"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A whatwgURL is how a browser takes a URL apart (npm/whatwg.js). The zero value is one that it cannot.
type whatwgURL struct {
	protocol, username, password, host, port, path, query, fragment string
}

// readWHATWG takes all URLs apart in one run of node: starting it is what takes time. A URL has no line feed in it.
func readWHATWG(t *testing.T, urls []string) []whatwgURL {
	t.Helper()
	node := findPeer(t, "node")
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, node, "npm/whatwg.js")
	cmd.Stdin = strings.NewReader(strings.Join(urls, "\n") + "\n")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	output, err := cmd.Output()
	require.NoError(t, err, stderr.String())
	read := make([]whatwgURL, 0, len(urls))
	for line := range strings.Lines(string(output)) {
		read = append(read, parseWHATWG(strings.TrimSuffix(line, "\n")))
	}
	require.Len(t, read, len(urls), "one answer for each URL")
	return read
}

func parseWHATWG(line string) whatwgURL {
	f := strings.Split(line, "\t")
	if len(f) != 8 {
		return whatwgURL{}
	}
	return whatwgURL{f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7]}
}
