package proxy

import (
	"net/http"
	"strings"
	"testing"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/stretchr/testify/assert"
)

// TestVia: one entry more, on one line, with the version that was received.
func TestVia(t *testing.T) {
	for _, c := range []struct {
		via          []string
		major, minor int
		name         string
		want         []string
	}{
		{nil, 1, 1, "me", []string{"1.1 me"}},
		{nil, 1, 0, "me", []string{"1.0 me"}},
		{nil, 2, 0, "me", []string{"2.0 me"}},
		{[]string{"1.0 fred", "1.1 p.example.net (Apache, 1.1)"}, 1, 1, "me", []string{"1.0 fred, 1.1 p.example.net (Apache, 1.1), 1.1 me"}},
		{[]string{"1.0 fred"}, 1, 1, "", []string{"1.0 fred"}},
		{[]string{"1.0 fred"}, 1, 1, "-", []string{"1.0 fred"}},
	} {
		r := requestFrom(clientAddr)
		r.ProtoMajor, r.ProtoMinor = c.major, c.minor
		if c.via != nil {
			r.Header["Via"] = c.via
		}
		out := http.Header{}
		outgoing(out, r, forwarded.Info{}, &Headers{Via: c.name})
		assert.Equal(t, c.want, out["Via"])
	}
}

// TestLoop: the third visit is refused, wherever the entries stand.
func TestLoop(t *testing.T) {
	for _, c := range []struct {
		via  []string
		want bool
	}{
		{nil, false},
		{[]string{"1.1 me, 1.1 me"}, false},
		{[]string{"1.1 me, 1.1 me, 1.1 me"}, true},
		{[]string{"1.1 me", "2.0 other", "1.1 me, 1.0   me (with a comment)"}, true},
		{[]string{"HTTP/1.1 me", "1.1\tme,1.1 me,1.1 me"}, true},
		{[]string{strings.Repeat("1.1 me2, 1.1 notme, me, 1.1 other me,", 5)}, false},
		{[]string{strings.Repeat("1.1 ", 5), ",,,"}, false},
	} {
		assert.Equal(t, c.want, loops(c.via, "me"), "%q", c.via)
	}
	assert.False(t, loops([]string{"1.1 -, 1.1 -, 1.1 -"}, "-"))
	assert.False(t, loops([]string{"1.1 , 1.1 , 1.1 "}, ""))
}

// TestLoopEnds: a request that goes round is refused after three visits.
func TestLoopEnds(t *testing.T) {
	h := &Headers{Via: "me"}
	r, visits := requestFrom(clientAddr), 0
	for judge(r, &Limits{}, h) == ReasonNone {
		visits++
		out := http.Header{}
		outgoing(out, r, forwarded.Info{}, h)
		r.Header = out
	}
	assert.Equal(t, 3, visits)
	assert.Equal(t, ReasonLoop, judge(r, &Limits{}, h))
}
