package forwarded_test

import (
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/knownhops/knownhops/forwarded"
)

// What stands left of the entries that the declared hops wrote is the client's
// own text. Nothing in it, and nothing in headers that no hop declares, may
// move the answer by one bit.

const interferenceTopologies = 2500

func TestNothingLeftOfTheConsumedMatters(t *testing.T) {
	s := &sim{Rand: rand.New(rand.NewPCG(simSetting(t, "KNOWNHOPS_PROPERTY_SEED", 20261122), 2)), count: map[string]int{}}
	runs := simSetting(t, "KNOWNHOPS_PROPERTY_RUNS", interferenceTopologies)
	for range runs {
		cfg := s.config()
		p := cfg.policy(t)
		f := s.flow(cfg)
		want := p.Resolve(f.request.request())
		if want.Status != forwarded.StatusForwarded || f.limit() {
			continue
		}
		s.count["compared"]++
		for range 3 {
			q := f.request
			q.header = s.interfere(f)
			if got := p.Resolve(q.request()); got != want {
				t.Fatalf("%s\nwith %q\ngot  %+v\nwant %+v", f, q.header, got, want)
			}
		}
	}
	if uint64(s.count["compared"])*4 < runs {
		t.Errorf("only %d of %d topologies were of use", s.count["compared"], runs)
	}
}

// interfere gives the request's headers with other junk left of what the
// consumed hops wrote.
func (s *sim) interfere(f *simFlow) http.Header {
	header := http.Header{}
	for name, lines := range f.request.header {
		header[name] = slices.Clone(lines)
	}
	for _, name := range simFamily {
		switch role := f.role(name); {
		case role == simUnheard:
			header[name] = s.junkLines(f.cfg)
		case role == simList && s.chance(50):
			header[name] = s.junkBefore(f.cfg, header[name])
		case role == simList:
			header[name] = slices.Concat(s.junkLines(f.cfg), s.withoutStrangers(f.header[name]))
		}
	}
	return header
}

type simRole int

const (
	simExact   simRole = iota // some consumed hop sets it: its length is checked
	simList                   // consumed hops only append
	simUnheard                // no hop speaks through it
)

// role says what the consumed hops have to do with a header.
func (f *simFlow) role(name string) simRole {
	role := simUnheard
	for _, hop := range f.cfg.hops[:f.k] {
		for _, r := range hop.rules {
			switch {
			case !slices.Contains(r.headers, name):
			case r.act == refSets, r.act == refDrops:
				return simExact
			default:
				role = simList
			}
		}
	}
	return role
}

// withoutStrangers keeps what declared hops wrote.
func (s *sim) withoutStrangers(lines [][]simEntry) []string {
	var kept []string
	for _, line := range lines {
		line = slices.DeleteFunc(slices.Clone(line), func(e simEntry) bool { return e.writer == simStranger })
		if len(line) > 0 {
			kept = append(kept, simJoin(s, line))
		}
	}
	return kept
}

func (s *sim) junkLines(cfg refConfig) []string {
	lines := make([]string, s.IntN(4))
	for i := range lines {
		lines[i] = s.junk(cfg)
	}
	return lines
}

// junkBefore puts junk into the same line, left of everything.
func (s *sim) junkBefore(cfg refConfig, lines []string) []string {
	if len(lines) == 0 {
		return s.junkLines(cfg)
	}
	lines = slices.Clone(lines)
	lines[0] = s.junk(cfg) + pick(s, ",", ", ", "\t,") + lines[0]
	return slices.Concat(s.junkLines(cfg), lines)
}

func (s *sim) junk(cfg refConfig) string {
	parts := make([]string, 1+s.IntN(4))
	for i := range parts {
		parts[i] = pick(s, s.forgery(cfg), pick(s, interferenceJunk...))
	}
	return strings.Join(parts, pick(s, ",", ";", "", "\\", `"`))
}

var interferenceJunk = []string{
	``, `"`, `""`, `\`, `\\`, `\"`, `\\"`, `for="`, `for="\`, `for="a\"`, `for=6.6.6.6;proto=https`, `;`, `=`,
	`for="6.6.6.6, for=6.6.6.7`, `host="evil.example`, `"for=6.6.6.6"`, `,`, `, ,`, ` `, "\t", "\x00", "\xff",
	`for="[::ffff:6.6.6.6`, `'`, `(`, `)`, `6.6.6.6`, strings.Repeat(`\`, 33), strings.Repeat(`"`, 33), strings.Repeat("x", 5000),
}

// TestLeftOfOneEntry tries every nasty left against every shape of the honest
// right, in the same line and in a line before.
func TestLeftOfOneEntry(t *testing.T) {
	cases := map[string][]string{
		"X-Forwarded-For": {"203.0.113.7", "203.0.113.7:4711", "2001:db8::7", "[2001:db8::7]:4711", "garbage", "unknown", "0.0.0.0"},
		"Forwarded": {
			"for=203.0.113.7", `for="203.0.113.7:4711";proto=https`, `proto=http;for="[2001:db8::7]"`, `for="a\"b\\";proto=https`,
			"for=unknown", `for=203.0.113.7;host="a,b\\"`, `x="\"";for=203.0.113.7`, "for=203.0.113.7;for=203.0.113.8", "proto=https", ";", "for",
		},
	}
	for header, rights := range cases {
		hop := refHop{from: []string{"10.0.0.0/8"}}
		hop.rules[refFor], hop.rules[refProto] = refWrites(refAppends, header), refWrites(refAppends, header)
		if header != "Forwarded" {
			hop.rules[refProto] = refRule{}
		}
		p := refConfig{hops: []refHop{hop}}.policy(t)
		resolve := func(lines ...string) forwarded.Info {
			return p.Resolve(refRequest{remote: "10.0.0.1:1024", header: http.Header{header: lines}}.request())
		}
		for _, right := range rights {
			want := resolve(right)
			for _, left := range interferenceJunk {
				for _, lines := range [][]string{{left, right}, {left + "," + right}, {left + ", " + right}, {left, left + "," + right}} {
					if got := resolve(lines...); got != want {
						t.Errorf("%s: %q\ngot  %+v\nwant %+v", header, lines, got, want)
					}
				}
			}
		}
	}
}
