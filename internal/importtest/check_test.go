package importtest

import (
	"fmt"
	"go/ast"
	"maps"
	"path"
	"slices"
	"strings"
)

// check lists every way in which the tree breaks the rules.
func check(t tree, rules []rule, bans []ban) (problems []string) {
	for _, dir := range slices.Sorted(maps.Keys(t)) {
		if dir == "." {
			problems = append(problems, "the root holds Go files: the module has packages, and none is called like it")
			continue
		}
		r := ruleFor(dir, rules)
		if r == nil {
			problems = append(problems, fmt.Sprintf("%s: no rule says what it may import", dir))
			continue
		}
		for _, f := range t[dir] {
			problems = append(problems, checkImports(dir, f, *r, bans)...)
			problems = append(problems, checkEffects(f)...)
		}
	}
	return append(problems, t.checkRules(rules)...)
}

// ruleFor finds the rule of the package, nil if there is none.
func ruleFor(dir string, rules []rule) *rule {
	i := slices.IndexFunc(rules, func(r rule) bool { return covers(r.pkg, dir) })
	if i < 0 {
		return nil
	}
	return &rules[i]
}

// checkImports judges one file by the rule of its package, and by the bans.
func checkImports(dir string, f file, r rule, bans []ban) (problems []string) {
	allowed := strings.Fields(r.may)
	if f.test {
		allowed = append(allowed, strings.Fields(r.tests)...)
		allowed = append(allowed, dir)
	}
	for _, name := range f.imports() {
		if !standard(name) && !slices.ContainsFunc(allowed, func(a string) bool { return covers(full(a), name) }) {
			problems = append(problems, fmt.Sprintf("%s imports %s: %s", f.path, name, r.why))
		}
		for _, b := range bans {
			if covers(b.name, name) && (b.tests || !f.test) {
				problems = append(problems, fmt.Sprintf("%s imports %s: %s", f.path, name, b.why))
			}
		}
	}
	return problems
}

// checkRules finds names in the rules that no package bears.
func (t tree) checkRules(rules []rule) (problems []string) {
	for _, r := range rules {
		for name := range strings.FieldsSeq(r.pkg + " " + r.may + " " + r.tests) {
			if name != everything && standard(name) && !t.has(name) {
				problems = append(problems, fmt.Sprintf("the rule of %s names %s, which is gone", r.pkg, name))
			}
		}
		if r.why == "" {
			problems = append(problems, fmt.Sprintf("the rule of %s gives no reason", r.pkg))
		}
	}
	return problems
}

// has reports whether a package bears the name, or any does below "name/...".
func (t tree) has(name string) bool {
	for dir := range t {
		if covers(name, dir) {
			return true
		}
	}
	return false
}

// checkEffects finds what happens to a program only because it imports the
// package: an init function, or a handler on http.DefaultServeMux. Tests may.
func checkEffects(f file) (problems []string) {
	if f.test {
		return nil
	}
	found := func(what string) { problems = append(problems, f.path+" "+what+": importing a package has no effect") }
	for _, decl := range f.syntax.Decls {
		if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
			found("declares init")
		}
	}
	http := f.nameOf("net/http")
	ast.Inspect(f.syntax, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if x, ok := sel.X.(*ast.Ident); ok && x.Name == http && slices.Contains(globalMux, sel.Sel.Name) {
			found("uses http." + sel.Sel.Name)
		}
		return true
	})
	return problems
}

// globalMux are the names of net/http that reach the global mux.
var globalMux = []string{"DefaultServeMux", "Handle", "HandleFunc"}

// nameOf is the name under which the file imports a package, "" if it does not.
func (f file) nameOf(name string) string {
	for _, spec := range f.syntax.Imports {
		if importPath(spec) != name {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return path.Base(name)
	}
	return ""
}
