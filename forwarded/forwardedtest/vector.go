package forwardedtest

import (
	"embed"
	"fmt"
	"net/http"
	"path"
)

// A Vector is one request, the topology it came through, and the right answer.
type Vector struct {
	Name       string      // "file/vector"; unique
	Rule       string      // the rule it checks, in a sentence that cites its source
	Hops       string      // the declared topology as text, nearest hop first; "": none
	RemoteAddr string      // as in http.Request, and not always well-formed
	Host       string      // as in http.Request; "": the request had none
	TLS        bool        // the socket itself was encrypted
	Header     http.Header // lines of the same name keep their order
	Want       Want
}

// Want is what there is to know about a request. The zero value of a field other
// than Reason means unknown.
type Want struct {
	Client string // the client's address, without port or zone; "": unknown
	Scheme string // "http" or "https"; "": unknown
	Host   string // lower case, without port; "": unknown
	Reason string // why the client is known or unknown: "direct", "forwarded", "mismatch", …
	Port   uint16 // the port that the client used; 0: unknown
	Hops   int    // how many of the declared hops the request came through
}

//go:embed testdata/*.txt
var files embed.FS

// Vectors returns all vectors in a fixed order, sorted by file. The caller owns
// what it gets, header maps included.
func Vectors() []Vector {
	vectors, err := load(files)
	if err != nil {
		// The files are part of this package and its tests parse them:
		// only a broken copy of the module gets here.
		panic("forwardedtest: " + err.Error())
	}
	return vectors
}

// load parses every file in testdata.
func load(fsys embed.FS) ([]Vector, error) {
	const dir = "testdata"
	entries, err := fsys.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", dir, err)
	}
	var all []Vector
	for _, entry := range entries {
		text, err := fsys.ReadFile(path.Join(dir, entry.Name()))
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", entry.Name(), err)
		}
		vectors, err := parse(entry.Name(), string(text))
		if err != nil {
			return nil, err
		}
		all = append(all, vectors...)
	}
	return all, nil
}
