package main

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

const small = `# a comment
property	ours	GET	301
property	ours	POST	308
property	theirs	GET	302
property	theirs	POST	302
fault	loop	case one	1
fault	loop	case ` + "`|`" + `	2
fault	rare	case one	1
asked	3	17
`

const smallTable = `|  | GET | POST |
| --- | --- | --- |
| ours | 301 | 308 |
| theirs | 302 | 302 |

| fault | answers of the 3 others | ours | kinds of request | for example |
| --- | ---: | ---: | ---: | --- |
| loop | 3 | 0 | 2 | ` + "`case '\\|'`" + ` |
| rare | 1 | 0 | 1 | ` + "`case one`" + ` |

The others gave 17 answers in all.
`

func TestMarkdown(t *testing.T) {
	l, err := parse(small)
	require.NoError(t, err)
	require.Equal(t, smallTable, l.markdown())
}

func TestParseRefuses(t *testing.T) {
	for _, line := range []string{"property\tours\tGET", "fault\tloop\tcase\tmany", "asked\t1\tx", "asked\tx\t1", "other\t1"} {
		_, err := parse(line + "\n")
		require.Error(t, err, line)
	}
}

// What readers see is what the tests found.
func TestPageIsUpToDate(t *testing.T) {
	text, err := os.ReadFile("../../" + ledgerFile)
	require.NoError(t, err)
	l, err := parse(string(text))
	require.NoError(t, err)
	page, err := os.ReadFile("../../../../docs/redirect-peers.md")
	require.NoError(t, err)
	require.Contains(t, string(page), l.markdown(), "put the output of go run ./cmd/redirecttable into the page")
}
