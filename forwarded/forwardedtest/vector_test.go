package forwardedtest

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

func TestVectors(t *testing.T) {
	vectors := Vectors()
	if len(vectors) < 250 {
		t.Errorf("%d vectors: some files are missing", len(vectors))
	}
	names := map[string]bool{}
	for _, v := range vectors {
		if names[v.Name] {
			t.Errorf("%s: second vector of that name", v.Name)
		}
		names[v.Name] = true
		if len(strings.Fields(v.Rule)) < 4 {
			t.Errorf("%s: %q is no rule", v.Name, v.Rule)
		}
	}
}

// TestVectorsAreConsistent checks what holds for every answer, whatever the rule.
func TestVectorsAreConsistent(t *testing.T) {
	known := map[string]bool{"direct": true, "forwarded": true}
	for _, v := range Vectors() {
		w := v.Want
		switch {
		case (w.Client != "") != known[w.Reason]:
			t.Errorf("%s: client %q with reason %q", v.Name, w.Client, w.Reason)
		case w.Reason == "direct" && (w.Hops != 0 || w.Scheme == "" || w.Port == 0):
			t.Errorf("%s: a direct client has a scheme and a port, and no hops: %+v", v.Name, w)
		case w.Reason == "forwarded" && w.Hops == 0:
			t.Errorf("%s: forwarded by nobody", v.Name)
		case w.Hops > len(strings.Fields(v.Hops)):
			t.Errorf("%s: %d of the hops %q", v.Name, w.Hops, v.Hops)
		case w.Hops > 0 && v.TLS && w.Scheme == "https" && v.Header.Get("X-Forwarded-Proto") != "https":
			t.Errorf("%s: https because of the socket", v.Name)
		}
	}
}

// TestVectorsDoNotContradict finds the same question with two answers.
func TestVectorsDoNotContradict(t *testing.T) {
	type question struct{ hops, remote, host string }
	asked := map[question][]Vector{}
	for _, v := range Vectors() {
		q := question{v.Hops, v.RemoteAddr, v.Host}
		for _, other := range asked[q] {
			if v.TLS == other.TLS && reflect.DeepEqual(v.Header, other.Header) && v.Want != other.Want {
				t.Errorf("%s and %s ask the same and want different answers", v.Name, other.Name)
			}
		}
		asked[q] = append(asked[q], v)
	}
}

func TestVectorsAreCopies(t *testing.T) {
	mine := Vectors()[0]
	mine.Header.Set("X-Forwarded-For", "changed")
	if again := Vectors()[0]; reflect.DeepEqual(again, mine) {
		t.Error("two calls share a header map")
	}
}

// TestREADME holds the vectors to what testdata/README.md explains: every row
// that a rule cites, every reason, and every preset and key of the topologies.
func TestREADME(t *testing.T) {
	text, err := os.ReadFile("testdata/README.md")
	if err != nil {
		t.Fatal(err)
	}
	readme := string(text)
	row := regexp.MustCompile(`[Rr]ows? (\d+a?)`)
	for _, v := range Vectors() {
		for _, m := range row.FindAllStringSubmatch(v.Rule, -1) {
			if !strings.Contains(readme, "\n| "+m[1]+" |") {
				t.Errorf("%s: README.md has no row %s", v.Name, m[1])
			}
		}
		if !strings.Contains(readme, "| "+v.Want.Reason+" |") {
			t.Errorf("%s: README.md has no reason %s", v.Name, v.Want.Reason)
		}
		for _, word := range hopWords(v.Hops) {
			if !strings.Contains(readme, "`"+word+"`") {
				t.Errorf("%s: README.md does not explain %s", v.Name, word)
			}
		}
	}
}

// hopWords returns the presets and keys in a topology.
func hopWords(hops string) (words []string) {
	for _, hop := range strings.Fields(hops) {
		for _, pair := range strings.Split(hop, ";") {
			word, _, _ := strings.Cut(pair, "=")
			words = append(words, word)
		}
	}
	return words
}
