package forwardedtest

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
)

// parse reads one file of vectors. An error names the file and the line.
func parse(file, text string) ([]Vector, error) {
	p := parser{stem: strings.TrimSuffix(file, ".txt"), names: map[string]bool{}}
	for i, line := range strings.Split(text, "\n") {
		p.line = i + 1
		if err := p.read(line); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", file, p.line, err)
		}
	}
	if err := p.finish(); err != nil {
		return nil, fmt.Errorf("%s:%d: %w", file, p.line, err)
	}
	return p.vectors, nil
}

// A parser is what is known between two lines of a file.
type parser struct {
	stem    string          // file name without its ending: the first part of every Name
	line    int             // number of the current line, from 1
	vectors []Vector        // finished
	names   map[string]bool // of the finished ones and the current one
	current Vector
	keys    map[string]bool // that the current vector has; nil between vectors
}

// read takes in one line.
func (p *parser) read(line string) error {
	if err := plain(line); err != nil {
		return err
	}
	switch {
	case line == "":
		return p.finish()
	case line[0] == '#':
		return nil
	}
	key, value, ok := strings.Cut(line, ":")
	if !ok {
		return errors.New(`not "key: value"`)
	}
	return p.set(key, strings.TrimLeft(value, " "))
}

// plain refuses what cannot be seen or what editors and version control change
// on their own; such bytes have escapes.
func plain(line string) error {
	for i := range len(line) {
		if line[i] < ' ' || line[i] > '~' {
			return fmt.Errorf(`byte %#02x in column %d; write \x%02x`, line[i], i+1, line[i])
		}
	}
	if strings.HasSuffix(line, " ") {
		return errors.New(`space at the end of the line; write \x20`)
	}
	return nil
}

// set handles one "key: value" line.
func (p *parser) set(key, value string) error {
	store, ok := fields[key]
	switch {
	case !ok:
		return fmt.Errorf("unknown key %q", key)
	case p.keys == nil && key != "vector":
		return fmt.Errorf("%q before the line that names the vector", key)
	case p.keys[key] && key != "header":
		return fmt.Errorf("second %q in the same vector", key)
	}
	if key == "vector" {
		return p.begin(value)
	}
	p.keys[key] = true
	if err := store(&p.current, value); err != nil {
		return fmt.Errorf("%s: %w", key, err)
	}
	return nil
}

// begin starts a vector.
func (p *parser) begin(name string) error {
	if !namePattern.MatchString(name) {
		return fmt.Errorf("vector: name %q; use small letters, digits and hyphens", name)
	}
	if p.names[name] {
		return fmt.Errorf("vector: second %q in this file", name)
	}
	p.names[name] = true
	p.keys = map[string]bool{"vector": true}
	p.current = Vector{Name: p.stem + "/" + name, Header: http.Header{}}
	return nil
}

// finish ends the current vector, if there is one.
func (p *parser) finish() error {
	if p.keys == nil {
		return nil
	}
	for _, key := range []string{"rule", "remote", "want-reason"} {
		if !p.keys[key] {
			return fmt.Errorf("vector %s ends without %q", p.current.Name, key)
		}
	}
	p.vectors = append(p.vectors, p.current)
	p.keys = nil
	return nil
}

// fields says how each key is stored. The key "vector" is the parser's own.
var fields = map[string]func(v *Vector, value string) error{
	"vector":      nil,
	"rule":        setRule,
	"hops":        func(v *Vector, value string) error { v.Hops = value; return nil },
	"remote":      func(v *Vector, value string) error { return setText(&v.RemoteAddr, value) },
	"tls":         setTLS,
	"host":        func(v *Vector, value string) error { return setText(&v.Host, value) },
	"header":      addHeader,
	"want-client": setWantClient,
	"want-scheme": setWantScheme,
	"want-host":   func(v *Vector, value string) error { return setText(&v.Want.Host, value) },
	"want-reason": setWantReason,
	"want-port":   setWantPort,
	"want-hops":   setWantHops,
}

var (
	namePattern   = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	reasonPattern = regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)
	tokenPattern  = regexp.MustCompile("^[!#$%&'*+.^_`|~0-9A-Za-z-]+$") // RFC 9110 section 5.6.2
)

func setText(to *string, value string) (err error) {
	*to, err = expand(value)
	return err
}

func setRule(v *Vector, value string) error {
	if !strings.HasSuffix(value, ".") {
		return errors.New("not a sentence: no full stop at its end")
	}
	v.Rule = value
	return nil
}

func setTLS(v *Vector, value string) error {
	if value != "yes" && value != "no" {
		return fmt.Errorf("%q is neither yes nor no", value)
	}
	v.TLS = value == "yes"
	return nil
}

func addHeader(v *Vector, value string) error {
	name, value, ok := strings.Cut(value, ":")
	if !ok || !tokenPattern.MatchString(name) {
		return errors.New(`not "Name: value"`)
	}
	value, err := expand(strings.TrimLeft(value, " "))
	if err != nil {
		return err
	}
	v.Header.Add(name, value)
	return nil
}

func setWantClient(v *Vector, value string) error {
	addr, err := netip.ParseAddr(value)
	if err != nil || addr.String() != value || addr.Zone() != "" || addr.Is4In6() {
		return fmt.Errorf("%q is not an address in its shortest form, unmapped and without a zone", value)
	}
	v.Want.Client = value
	return nil
}

func setWantScheme(v *Vector, value string) error {
	if value != "http" && value != "https" {
		return fmt.Errorf("%q is neither http nor https; leave the line out for unknown", value)
	}
	v.Want.Scheme = value
	return nil
}

func setWantReason(v *Vector, value string) error {
	if !reasonPattern.MatchString(value) {
		return fmt.Errorf("%q; use small letters and underscores", value)
	}
	v.Want.Reason = value
	return nil
}

func setWantPort(v *Vector, value string) error {
	port, err := strconv.ParseUint(value, 10, 16)
	if err != nil || port == 0 {
		return fmt.Errorf("%q is not a port; leave the line out for unknown", value)
	}
	v.Want.Port = uint16(port)
	return nil
}

func setWantHops(v *Vector, value string) error {
	n, err := strconv.ParseUint(value, 10, 8)
	if err != nil {
		return fmt.Errorf("%q is not a small number", value)
	}
	v.Want.Hops = int(n)
	return nil
}
