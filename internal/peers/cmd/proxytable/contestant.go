//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// reference is whom the others' CPU time is divided by.
const reference = "nginx"

// A contestant is one proxy, or none: the backend alone.
type contestant struct {
	name    string // for -only
	title   string // for readers
	rare    bool   // runs only when named
	binary  string // of an installed program; "" for a role of this one
	version string // the argument that makes the program say which version it is

	// args writes what the program needs into the site's directory and returns its arguments. For a role, and for the
	// backend alone, it is nil.
	args func(site) ([]string, error)
}

// A site is where a proxy stands.
type site struct {
	dir      string // of its own, empty
	listen   string // address and port
	upstream string // address and port
}

func contestants() []contestant {
	return []contestant{
		{name: "ours", title: "knownhops `proxy`"},
		{name: "plain", title: "`httputil.ReverseProxy`, defaults"},
		{name: "tuned", title: "`httputil.ReverseProxy`, tuned"},
		{name: "caddy", title: "Caddy", binary: "caddy", version: "version", args: caddyArgs},
		{name: "haproxy", title: "HAProxy", binary: "haproxy", version: "-v", args: haproxyArgs},
		{name: reference, title: "nginx", binary: "nginx", version: "-v", args: nginxArgs},
		{name: "apache", title: "Apache httpd", rare: true, binary: "apache2", version: "-v", args: apacheArgs},
		{name: direct, title: "no proxy", rare: true},
	}
}

// direct is the name of the contestant that is no proxy at all.
const direct = "direct"

// choose returns the named contestants in the order of the tables; without names all that are not rare.
func choose(only string) ([]contestant, error) {
	wanted := map[string]bool{}
	for name := range strings.SplitSeq(only, ",") {
		wanted[name] = true
	}
	var chosen []contestant
	for _, c := range contestants() {
		if wanted[c.name] || only == "" && !c.rare {
			chosen = append(chosen, c)
		}
		delete(wanted, c.name)
	}
	delete(wanted, "")
	for name := range wanted {
		return nil, fmt.Errorf("-only %s: there are %s", name, names(contestants()))
	}
	return chosen, nil
}

func names(list []contestant) string {
	var all []string
	for _, c := range list {
		all = append(all, c.name)
	}
	return strings.Join(all, ",")
}

// find returns the path of the contestant's program, "" if it is not installed. Daemons live where an ordinary user's
// PATH does not lead.
func (c contestant) find() string {
	if c.binary == "" {
		path, _ := os.Executable() // without it this process could not have been started on Linux
		return path
	}
	for _, candidate := range []string{c.binary, "/usr/sbin/" + c.binary, "/usr/local/sbin/" + c.binary} {
		if path, err := exec.LookPath(candidate); err == nil {
			return path
		}
	}
	return ""
}

// command returns the command line for a site. profile goes to this module's proxy only.
func (c contestant) command(s site, profile string) ([]string, error) {
	if c.args == nil {
		line := []string{c.find(), roleWord, c.name, s.listen, s.upstream}
		if c.name == "ours" && profile != "" {
			line = append(line, profile)
		}
		return line, nil
	}
	args, err := c.args(s)
	return append([]string{c.find()}, args...), err
}

// write puts a configuration into the site's directory and returns its path.
func (s site) write(name, text string) (string, error) {
	path := filepath.Join(s.dir, name)
	return path, os.WriteFile(path, []byte(text), 0o644)
}
