package forwarded

import (
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/knownhops/knownhops/internal/family"
)

// A sighting is what one look over a request's headers found.
type sighting struct {
	drop        int  // headers that must go
	family      bool // a header of the family is there
	host        bool // X-Forwarded-Host or -Prefix that nobody vouches for
	rfc7239     bool // Forwarded, which no hop declares
	alias       bool // a name that only reads like one of the family
	hostDiffers bool // a Host header contradicts :authority
	nominates   bool // Connection names a header of the family
}

// scan looks over the header names once. It allocates nothing.
func (t *topology) scan(r *http.Request, w *walk) (seen sighting) {
	keeps, plain, left := t.keeps(w), len(t.extra)+len(t.secrets) == 0, len(r.Header)
	for name := range r.Header {
		if !plain || family.Might(name) {
			t.look(name, r, keeps, w, &seen)
		}
		if left--; left == 0 {
			break // saves the search for one more
		}
	}
	return seen
}

// look judges one header name.
func (t *topology) look(name string, r *http.Request, keeps []keep, w *walk, seen *sighting) {
	switch {
	case slices.Contains(t.secrets, name): // whatever else is said of it
		seen.drop++
	case w.keeps(keeps, name):
		seen.family = true
	case name == "Connection":
		seen.nominates = seen.nominates || nominatesFamily(r.Header[name])
	case name == "Host":
		seen.drop++
		seen.hostDiffers = contradicts(r.Header[name], r.Host)
	default:
		t.lookCloser(name, seen)
	}
}

// lookCloser judges a name that nothing in Info was read from.
func (t *topology) lookCloser(name string, seen *sighting) {
	member, alias := family.Has(name)
	if !member {
		if !t.isExtra(name) {
			return
		}
		alias = !t.declares(name)
	}
	seen.family = true
	seen.alias = seen.alias || alias
	seen.host = seen.host || (name == xfHost || name == xfPre) && !t.declares(name)
	seen.rfc7239 = seen.rfc7239 || name == rfc7239 && !t.declares(name)
	if !t.cfg.DangerouslyKeepUnverified {
		seen.drop++
	}
}

// keeps are the headers that answered for this walk; see walk.keeps.
func (t *topology) keeps(w *walk) []keep {
	if w.info.Hops == 0 {
		return nil
	}
	return t.nodes[w.info.Hops-1].keeps
}

// keeps reports whether name may stay: something of what Info says was read
// from it. A list of clients goes when the client is unknown.
func (w *walk) keeps(keeps []keep, name string) bool {
	for i := range keeps {
		if keeps[i].header == name {
			return w.answered(&keeps[i])
		}
	}
	return false
}

func (w *walk) answered(k *keep) bool {
	if k.vouched {
		return w.info.Status != StatusLocal
	}
	if k.kinds&(1<<kindFor) != 0 {
		return w.info.Status == StatusForwarded
	}
	return k.kinds&w.read != 0
}

// contradicts reports whether a Host header, which HTTP/2 allows beside
// :authority, says something else (RFC 9113 §8.3.1).
func contradicts(lines []string, host string) bool {
	return slices.ContainsFunc(lines, func(line string) bool { return !equalFold(line, host) })
}

// nominatesFamily reports whether a Connection header asks a proxy to remove
// a header of the family.
func nominatesFamily(lines []string) bool {
	for _, line := range lines {
		for rest := line[:min(len(line), maxScan)]; rest != ""; {
			var name string
			name, rest, _ = strings.Cut(rest, ",")
			if member, _ := family.Has(strings.Trim(name, " \t")); member {
				return true
			}
		}
	}
	return false
}

// cleaned is a copy of h without what nobody vouched for, its lists cut to the
// consumed entries. It shares no slice that it changes.
func (t *topology) cleaned(h http.Header, w *walk) http.Header {
	out := maps.Clone(h)
	keeps := t.keeps(w)
	for name := range h {
		if t.drops(name, keeps, w) {
			delete(out, name)
		}
	}
	if !t.cfg.DangerouslyKeepUnverified {
		for i := range keeps {
			cut(out, &keeps[i])
		}
	}
	return out
}

func (t *topology) drops(name string, keeps []keep, w *walk) bool {
	switch {
	case name == "Host" || slices.Contains(t.secrets, name):
		return true
	case t.cfg.DangerouslyKeepUnverified || w.keeps(keeps, name):
		return false
	}
	return t.forwards(name)
}

// forwards reports whether the name is one that a proxy uses to speak to the
// next hop.
func (t *topology) forwards(name string) bool {
	member, _ := family.Has(name)
	return member || t.isExtra(name) || slices.Contains(t.secrets, name)
}

// cut leaves the consumed entries of a list, as they stand there.
func cut(h http.Header, k *keep) {
	lines := h[k.header]
	if len(lines) == 0 || !k.list {
		return
	}
	l := newList(k.header, lines)
	for range k.count {
		if _, reason := l.prev(); reason != 0 {
			delete(h, k.header)
			return
		}
	}
	line, offset := l.place()
	lines = slices.Clone(lines[line:])
	lines[0] = lines[0][offset:]
	h[k.header] = lines
}

// cleanTrailer gives the copy a trailer of its own without forwarding headers.
// What net/http fills in at the end of the body goes through the same filter.
func (t *topology) cleanTrailer(copied *http.Request) {
	from := copied.Trailer
	copied.Trailer = make(http.Header, len(from))
	b := &trailerBody{ReadCloser: copied.Body, topo: t, from: from, to: copied.Trailer}
	b.merge()
	if copied.Body != nil {
		copied.Body = b
	}
}

// trailerBody copies the trailers that net/http has read by the end of a body.
type trailerBody struct {
	io.ReadCloser
	topo     *topology
	from, to http.Header
}

func (b *trailerBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.merge()
	}
	return n, err
}

func (b *trailerBody) merge() {
	for name, lines := range b.from {
		if !b.topo.drops(name, nil, &walk{}) {
			b.to[name] = lines
		}
	}
}
