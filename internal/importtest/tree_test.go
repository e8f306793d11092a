package importtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"strconv"
	"strings"
)

// A file is one parsed Go file.
type file struct {
	path   string
	test   bool
	syntax *ast.File
}

// A tree is the Go source of one module by package, named as in the rules;
// the root is ".".
type tree map[string][]file

// load parses every Go file of the module at the root of fsys.
func load(fsys fs.FS) (tree, error) {
	t := tree{}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && skipped(fsys, name):
			return fs.SkipDir
		case d.IsDir() || path.Ext(name) != ".go":
			return nil
		}
		return t.add(fsys, name)
	})
	return t, err
}

// skipped reports whether the go command leaves the folder out, too.
func skipped(fsys fs.FS, dir string) bool {
	base := path.Base(dir)
	if base == "testdata" || base == "vendor" || base == "node_modules" || base[0] == '.' || base[0] == '_' {
		return true
	}
	_, err := fs.Stat(fsys, path.Join(dir, "go.mod"))
	return err == nil
}

func (t tree) add(fsys fs.FS, name string) error {
	src, err := fs.ReadFile(fsys, name)
	if err != nil {
		return err
	}
	syntax, err := parser.ParseFile(token.NewFileSet(), name, src, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	dir := path.Dir(name)
	t[dir] = append(t[dir], file{path: name, test: strings.HasSuffix(name, "_test.go"), syntax: syntax})
	return nil
}

// imports lists the import paths that stand in the file.
func (f file) imports() []string {
	names := make([]string, len(f.syntax.Imports))
	for i, spec := range f.syntax.Imports {
		names[i] = importPath(spec)
	}
	return names
}

// importPath assumes a spec that the parser accepted.
func importPath(spec *ast.ImportSpec) string {
	name, _ := strconv.Unquote(spec.Path.Value)
	return name
}

// standard reports whether an import path is the standard library's: those
// have no dot in their first element.
func standard(name string) bool {
	first, _, _ := strings.Cut(name, "/")
	return !strings.Contains(first, ".")
}

// full is the import path, or pattern, of a name in the rules.
func full(name string) string {
	if name != everything && standard(name) {
		return module + "/" + name
	}
	return name
}

const everything = "..."

// covers reports whether an import path is the one named, or below "name/...".
func covers(pattern, name string) bool {
	if below, ok := strings.CutSuffix(pattern, "/..."); ok {
		return name == below || strings.HasPrefix(name, below+"/")
	}
	return pattern == everything || pattern == name
}
