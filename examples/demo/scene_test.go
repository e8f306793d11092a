package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"html"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"
)

// Every line that the demo prints about an answer must be true.
func TestScenes(t *testing.T) {
	eachSetup(t, func(t *testing.T, d *demo) {
		trust := &tls.Config{RootCAs: d.balancer.CertPool()}
		for _, s := range d.scenes() {
			t.Run(s.Name, func(t *testing.T) {
				o, err := s.play(t.Context(), trust)
				if err != nil {
					t.Fatal(err)
				}
				assertShows(t, s.Shows, o.Text())
			})
		}
	})
}

// assertShows looks for lines that begin with what was promised.
func assertShows(t *testing.T, promised []string, answer string) {
	t.Helper()
	if len(promised) == 0 {
		t.Error("nothing is promised")
	}
	lines := strings.Split(answer, "\n")
	for i, line := range lines {
		lines[i] = strings.Join(strings.Fields(line), " ")
	}
	for _, want := range promised {
		if !slices.ContainsFunc(lines, func(line string) bool { return strings.HasPrefix(line, want) }) {
			t.Errorf("no line begins with\n\t%s\nin\n%s", want, answer)
		}
	}
}

// printed is one thing to try as it stands on the screen.
type printed struct {
	curl  string
	shows []string
}

func printedBy(d *demo) []printed {
	var out bytes.Buffer
	d.announce(&out)
	var list []printed
	for line := range strings.Lines(out.String()) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "curl ") {
			list = append(list, printed{curl: line})
		}
		if show, ok := strings.CutPrefix(line, "> "); ok {
			last := &list[len(list)-1]
			last.shows = append(last.shows, show)
		}
	}
	return list
}

// The printed lines themselves, by a shell and curl.
func TestPrintedLines(t *testing.T) {
	for _, program := range []string{"sh", "curl"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(err)
		}
	}
	eachSetup(t, func(t *testing.T, d *demo) {
		list := printedBy(d)
		if len(list) != len(d.scenes()) {
			t.Fatalf("%d lines for %d scenes", len(list), len(d.scenes()))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		for _, p := range list {
			answer, err := exec.CommandContext(ctx, "sh", "-c", p.curl+" --silent --show-error --noproxy '*'").Output()
			if err != nil {
				t.Errorf("%s: %v", p.curl, err)
			}
			assertShows(t, p.shows, string(answer))
		}
	})
}

// What the demo prints about the topologies is what Lint says: one finding, and
// it names nginx.
func TestAnnouncedFindings(t *testing.T) {
	d := startDemo(t, config{})
	var out bytes.Buffer
	d.announce(&out)
	if strings.Count(out.String(), "Lint:") != 1 ||
		!strings.Contains(out.String(), `Lint: "nginx" overwrites or drops X-Forwarded-Proto, which "alb" wrote`) {
		t.Errorf("not so in\n%s", out.String())
	}
	if len(d.logs.with("code=overwritten")) != 1 {
		t.Error("nor in the log")
	}
}

// The links on the page do what the curl lines do.
func TestScenesOnThePage(t *testing.T) {
	d := startDemo(t, config{})
	index := get(t, d, "/")
	for _, s := range d.scenes() {
		link := `href="/scenes/` + s.Name + `"`
		if !strings.Contains(index, link) {
			t.Errorf("no link to %s", s.Name)
		}
		page := html.UnescapeString(get(t, d, "/scenes/"+s.Name))
		for _, want := range []string{s.Curl(), s.Says, link + ` aria-current="page"`} {
			if !strings.Contains(page, want) {
				t.Errorf("%s: %q is missing", s.Name, want)
			}
		}
		assertShows(t, s.Shows, strings.ReplaceAll(page, `<pre class="box">`, ""))
	}
}
