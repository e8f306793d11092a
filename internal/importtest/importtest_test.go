package importtest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestImports(t *testing.T) {
	root := os.DirFS(filepath.Join("..", ".."))
	all, err := load(root)
	require.NoError(t, err)
	require.Contains(t, all, "internal/importtest", "the module's root is somewhere else")
	for _, problem := range check(all, rules, bans) {
		t.Error(problem)
	}
}

// The rules of the small module that TestViolations changes in one place each.
var smallRules = []rule{
	{pkg: "api", may: "internal/leaf", tests: "api/kit " + testify, why: "api stays small"},
	{pkg: "api/kit", why: "kit judges api"},
	{pkg: "internal/leaf", why: "leaf is a leaf"},
	{pkg: "examples/...", may: everything, why: "an example may do anything"},
}

// small returns a module that keeps smallRules, with files changed or added.
func small(changes map[string]string) fstest.MapFS {
	files := map[string]string{
		"go.mod":                   "module " + module,
		"api/api.go":               source("api", "net/http", module+"/internal/leaf"),
		"api/api_test.go":          source("api_test", "testing", module+"/api", module+"/api/kit", "github.com/stretchr/testify/require"),
		"api/kit/kit.go":           source("kit", "testing"),
		"api/testdata/bad.go":      "no Go",
		"examples/demo/main.go":    source("main", module+"/api", "example.org/else"),
		"internal/leaf/leaf.go":    source("leaf"),
		"internal/peers/go.mod":    "module " + module + "/internal/peers",
		"internal/peers/peer.go":   source("peers", "example.org/else"),
		"node_modules/x/script.go": "no Go",
	}
	for name, text := range changes {
		files[name] = text
	}
	fsys := fstest.MapFS{}
	for name, text := range files {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return fsys
}

// source is a file that imports what is named.
func source(pkg string, imports ...string) string {
	var b strings.Builder
	b.WriteString("package " + pkg + "\n")
	for _, name := range imports {
		b.WriteString("import _ \"" + name + "\"\n")
	}
	return b.String()
}

func TestViolations(t *testing.T) {
	tests := []struct {
		name, file, text string
		want             []string
	}{
		{name: "none"},
		{name: "a package of this module", file: "internal/leaf/leaf.go", text: source("leaf", module+"/api/kit"),
			want: []string{"internal/leaf/leaf.go imports " + module + "/api/kit: leaf is a leaf"}},
		{name: "a module of others", file: "api/api.go", text: source("api", "example.org/else"),
			want: []string{"api/api.go imports example.org/else: api stays small"}},
		{name: "what only tests may", file: "api/api.go", text: source("api", module+"/api/kit"),
			want: []string{"api/api.go imports " + module + "/api/kit: api stays small"}},
		{name: "the reverse, from a test", file: "api/kit/kit_test.go", text: source("kit", module+"/api"),
			want: []string{"api/kit/kit_test.go imports " + module + "/api: kit judges api"}},
		{name: "another system's file", file: "api/api_plan9.go", text: source("api", "example.org/else"),
			want: []string{"api/api_plan9.go imports example.org/else: api stays small"}},
		{name: "an example by an example", file: "examples/other/main.go", text: source("main", module+"/examples/demo"),
			want: []string{"examples/other/main.go imports " + module + "/examples/demo: " + bans[0].why}},
		{name: "peers by a test", file: "examples/demo/main_test.go", text: source("main", module+"/internal/peers"),
			want: []string{"examples/demo/main_test.go imports " + module + "/internal/peers: " + bans[1].why}},
		{name: "a package that registers", file: "api/api.go", text: source("api", "expvar"),
			want: []string{"api/api.go imports expvar: " + bans[2].why}},
		{name: "the same in a test", file: "api/other_test.go", text: source("api", "expvar")},
		{name: "no rule", file: "stray/stray.go", text: source("stray"),
			want: []string{"stray: no rule says what it may import"}},
		{name: "Go files in the root", file: "knownhops.go", text: source("knownhops"),
			want: []string{"the root holds Go files: the module has packages, and none is called like it"}},
		{name: "init", file: "internal/leaf/leaf.go", text: "package leaf\nfunc init() {}",
			want: []string{"internal/leaf/leaf.go declares init: importing a package has no effect"}},
		{name: "a method called init", file: "internal/leaf/leaf.go", text: "package leaf\ntype T int\nfunc (T) init() {}"},
		{name: "the global mux", file: "api/api.go", text: "package api\nimport web \"net/http\"\nvar mux = web.DefaultServeMux",
			want: []string{"api/api.go uses http.DefaultServeMux: importing a package has no effect"}},
		{name: "a mux of one's own", file: "api/api.go", text: "package api\nimport \"net/http\"\nfunc F(mux *http.ServeMux) { mux.Handle(\"/\", nil) }"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			changes := map[string]string{}
			if tt.file != "" {
				changes[tt.file] = tt.text
			}
			all, err := load(small(changes))
			require.NoError(t, err)
			assert.Equal(t, tt.want, check(all, smallRules, bans))
		})
	}
}

func TestStaleRules(t *testing.T) {
	all, err := load(small(nil))
	require.NoError(t, err)
	for _, tt := range []struct {
		stale rule
		want  string
	}{
		{rule{pkg: "gone", why: "w"}, "the rule of gone names gone, which is gone"},
		{rule{pkg: "gone/...", why: "w"}, "the rule of gone/... names gone/..., which is gone"},
		{rule{pkg: "api", may: "internal/gone", why: "w"}, "the rule of api names internal/gone, which is gone"},
		{rule{pkg: "api", tests: "api/gone", why: "w"}, "the rule of api names api/gone, which is gone"},
		{rule{pkg: "api"}, "the rule of api gives no reason"},
	} {
		problems := check(all, append(smallRules[:len(smallRules):len(smallRules)], tt.stale), bans)
		assert.Equal(t, []string{tt.want}, problems)
	}
}

func TestLoadRefusesWhatIsNoGo(t *testing.T) {
	_, err := load(small(map[string]string{"api/broken.go": "no Go"}))
	assert.Error(t, err)
}
