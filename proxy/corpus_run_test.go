package proxy_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/knownhops/knownhops/proxy"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// probeTarget is what exchange asks for to see whether a connection still works.
const probeTarget = "/probe"

// A talk is what a client heard after it had sent its bytes.
type talk struct {
	answers []*rawAnswer
	open    bool // a further request on the same connection was answered
}

// exchange sends raw and reads until the connection ends or a probe, sent after
// the first final answer, is answered. So nothing has to be waited for, and an
// answer to a smuggled request is heard too.
func exchange(t *testing.T, f *front, raw string) talk {
	t.Helper()
	c := f.dial(t)
	c.send(raw)
	var heard talk
	for probed := false; ; {
		a, err := c.read()
		if err != nil {
			return heard
		}
		if a.Header.Get("X-Target") == probeTarget {
			heard.open = true
			return heard
		}
		heard.answers = append(heard.answers, a)
		if !probed && a.StatusCode >= 200 {
			probed = true
			c.send(get(probeTarget))
		}
	}
}

// outcome puts a talk into a few letters:
//
//	F     a request was forwarded and its answer came; the connection stays open
//	Fc    the same, and the proxy closed the connection
//	400   refused with this status, and closed
//	400o  refused, and open
//	/F    behind a refusal: the request had been forwarded whole all the same
//
// Several answers are separated by commas.
func (k talk) outcome(forwarded int) string {
	if len(k.answers) == 0 {
		return "no answer"
	}
	var words []string
	for _, a := range k.answers {
		if a.Header.Get("X-Target") == "" {
			words = append(words, strconv.Itoa(a.StatusCode))
			continue
		}
		words = append(words, "F")
		forwarded--
	}
	return strings.Join(words, ",") + k.mark() + strings.Repeat("/F", forwarded)
}

// mark names the state of the connection that is not the usual one: open after
// the upstream's answer, closed after a refusal.
func (k talk) mark() string {
	passed := k.answers[len(k.answers)-1].Header.Get("X-Target") != ""
	switch {
	case passed && !k.open:
		return "c"
	case !passed && k.open:
		return "o"
	}
	return ""
}

// get is a request without a body; the lines come before Host's.
func get(target string, lines ...string) string {
	return "GET " + target + " HTTP/1.1\r\n" + header(append(lines, "Host: good.test")...)
}

// post is a POST with whatever framing the lines say.
func post(body string, lines ...string) string {
	return "POST /p HTTP/1.1\r\n" + header(append([]string{"Host: good.test"}, lines...)...) + body
}

func header(lines ...string) string {
	return strings.Join(append(lines, "", ""), "\r\n")
}

// A requestCase is a request, hostile or odd, and what must become of it.
type requestCase struct {
	name string
	raw  string
	want string // see outcome
	why  string // the rule, or the reason for a choice

	// What is forwarded, where something is.
	line    string   // the request line; "": that of get("/p?x=1")
	host    string   // "": good.test
	via     string   // "": 1.1 and a name
	header  []string // every line that is not the hop's own, sorted
	body    string
	trailer []string
}

func (rc *requestCase) run(t *testing.T) {
	backend := newRawBackend(t, serveCorpus)
	f := startProxy(t, proxy.Config{Upstreams: []string{backend.url}})
	heard := exchange(t, f, rc.raw)
	got := backend.got()
	require.Equal(t, rc.want, heard.outcome(len(got)), rc.why)
	if len(got) > 0 {
		rc.check(t, got[0])
	}
	for _, e := range f.failed() {
		assert.GreaterOrEqual(t, e.Stage, proxy.StageRequest, "a client's fault counts against the upstream: %v", e)
	}
}

// check compares a forwarded request as a whole: its line, the hop's own header
// lines, and that there is nothing beside those and the expected ones.
func (rc *requestCase) check(t *testing.T, r *rawRequest) {
	assert.Equal(t, or(rc.line, "GET /p?x=1 HTTP/1.1"), r.line)
	assert.Equal(t, rc.body, r.body)
	assert.Equal(t, rc.trailer, texts(r.trailer))
	checkHop(t, r, or(rc.host, "good.test"))
	via := r.values("Via")
	if assert.Len(t, via, 1) {
		assert.Regexp(t, "^"+or(rc.via, "1.1")+" [^ ,]+$", via[0])
	}
	assert.Equal(t, rc.header, endToEnd(r))
}

// checkHop wants what the proxy says of the client, once and right, and nothing
// in the client's own words.
func checkHop(t *testing.T, r *rawRequest, host string) {
	t.Helper()
	assert.Equal(t, []string{host}, r.values("Host"))
	assert.Equal(t, []string{"127.0.0.1"}, r.values("X-Forwarded-For"))
	assert.Equal(t, []string{"http"}, r.values("X-Forwarded-Proto"))
	assert.Equal(t, []string{host}, r.values("X-Forwarded-Host"))
	assert.Equal(t, []string{"80"}, r.values("X-Forwarded-Port"))
}

// hopLines are the header lines that the proxy writes itself, or that frame the
// message; rawConn has checked the framing.
var hopLines = []string{"Host", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port",
	"Via", "Content-Length", "Transfer-Encoding"}

// endToEnd are the other lines, sorted.
func endToEnd(r *rawRequest) []string {
	rest := slices.DeleteFunc(slices.Clone(r.fields), func(f rawField) bool {
		return slices.ContainsFunc(hopLines, func(name string) bool { return strings.EqualFold(name, f.name) })
	})
	return texts(rest)
}

func texts(fields []rawField) []string {
	var all []string
	for _, f := range fields {
		all = append(all, f.String())
	}
	slices.Sort(all)
	return all
}

func or(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// serveCorpus is serveOK for a server that says 100 when it is asked to.
func serveCorpus(c *rawConn) {
	for {
		r, err := c.head()
		if err != nil {
			return
		}
		if len(r.values("Expect")) > 0 {
			c.write("HTTP/1.1 100 Continue\r\n\r\n")
		}
		if c.rest(r) != nil {
			return
		}
		c.ok(r)
	}
}

// An answerCase is an answer of an upstream, and what the client must get.
type answerCase struct {
	name   string
	answer string
	ends   ending
	want   string // statuses as in outcome, c: closed, (2): asked twice; alternatives by |
	why    string

	post   bool     // the request is a POST; otherwise get("/p?x=1")
	header []string // the answer's header lines that matter, sorted; none: not compared
	body   string
	dirty  bool // the upstream's connection must not be used again
}

// An ending is what an upstream does with the connection after its answer.
type ending int

const (
	stays ending = iota
	closes
	resets
)

func (ac *answerCase) run(t *testing.T) {
	backend := newRawBackend(t, ac.serve)
	f := startProxy(t, proxy.Config{Upstreams: []string{backend.url}})
	raw := get("/p?x=1")
	if ac.post {
		raw = post("hello", "Content-Length: 5")
	}
	heard := exchange(t, f, raw)
	got := backend.got()
	require.NotEmpty(t, got)
	require.Contains(t, strings.Split(ac.want, "|"), heard.verdict(len(got)), ac.why)
	ac.check(t, heard, backend)
}

// check looks at the last answer; the probe came after it.
func (ac *answerCase) check(t *testing.T, heard talk, backend *rawBackend) {
	last := heard.answers[len(heard.answers)-1]
	if last.StatusCode >= 500 {
		assert.NotContains(t, last.body, backend.url[len("http://"):], "the upstream's address is nobody's business")
		assert.NotContains(t, last.body, "evil")
	} else {
		assert.Equal(t, ac.body, last.body)
	}
	if ac.header != nil {
		assert.Equal(t, ac.header, relevant(last))
	}
	if ac.dirty && heard.open {
		backend.freshForProbe(t)
	}
}

// freshForProbe wants the probe, the last request, to have come on another
// connection than the first.
func (b *rawBackend) freshForProbe(t *testing.T) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	first, probe := b.requests[0], b.requests[len(b.requests)-1]
	if first != probe {
		assert.NotEqual(t, first.conn, probe.conn, "a connection in an unknown state is used again")
	}
}

// verdict is outcome for a known number of attempts: the statuses, a cut or
// closed connection, and how often the upstream was asked if not once.
func (k talk) verdict(attempts int) string {
	var words []string
	for _, a := range k.answers {
		words = append(words, strconv.Itoa(a.StatusCode))
	}
	s := strings.Join(words, ",")
	switch last := k.answers; {
	case len(last) == 0:
		s = "no answer"
	case last[len(last)-1].cut != nil:
		s += " cut"
	case !k.open:
		s += "c"
	}
	if attempts != 1 {
		s += fmt.Sprintf(" (%d)", attempts)
	}
	return s
}

func relevant(a *rawAnswer) []string {
	var all []string
	for name, values := range a.Header {
		if name != "Date" && name != "Content-Type" {
			all = append(all, name+": "+strings.Join(values, ", "))
		}
	}
	for name, values := range a.Trailer {
		all = append(all, "trailer "+name+": "+strings.Join(values, ", "))
	}
	slices.Sort(all)
	return all
}

// serve answers the case's request with the case's bytes, and probes properly.
func (ac *answerCase) serve(c *rawConn) {
	for {
		r, err := c.next()
		if err != nil {
			return
		}
		if r.target() == probeTarget {
			c.ok(r)
			continue
		}
		c.write(ac.answer)
		switch ac.ends {
		case resets:
			c.reset()
			return
		case closes:
			return
		}
	}
}
