package forwardedtest

import (
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

var example = Vector{
	Name: "file/example", Rule: "An example.", Hops: "trusted=127.0.0.1", RemoteAddr: "127.0.0.1:5555", Host: "Host.Example",
	Header: map[string][]string{"X-Forwarded-For": {"1.2.3.4\x00", "2001:db8::7"}, "A": {strings.Repeat("a", 300) + "z"}},
	Want:   Want{Client: "2001:db8::7", Scheme: "https", Host: "host.example", Reason: "forwarded", Port: 443, Hops: 1},
}

func answer(w Want) Resolver { return func(Vector) (Want, error) { return w, nil } }

func TestCheckFindsEveryDifference(t *testing.T) {
	if problem := check(example, answer(example.Want)); problem != "" {
		t.Errorf("the right answer: %s", problem)
	}
	tests := []struct {
		want   string
		change func(*Want)
	}{
		{"client: got 6.6.6.6, want 2001:db8::7", func(w *Want) { w.Client = "6.6.6.6" }},
		{"client: got unknown, want 2001:db8::7", func(w *Want) { w.Client = "" }},
		{"client: got unknown, want 2001:db8::7", func(w *Want) { w.Client = "invalid IP" }},
		{"client: got 2001:db8::7%eth0, want", func(w *Want) { w.Client = "2001:db8::7%eth0" }},
		{"scheme: got http, want https", func(w *Want) { w.Scheme = "http" }},
		{"scheme: got unknown, want https", func(w *Want) { w.Scheme = "unknown" }},
		{"host:   got evil.example, want host.example", func(w *Want) { w.Host = "evil.example" }},
		{"host:   got unknown, want host.example", func(w *Want) { w.Host = "" }},
		{"port:   got 80, want 443", func(w *Want) { w.Port = 80 }},
		{"port:   got unknown, want 443", func(w *Want) { w.Port = 0 }},
		{"hops:   got 0, want 1", func(w *Want) { w.Hops = 0 }},
		{"reason: got direct, want forwarded", func(w *Want) { w.Reason = "direct" }},
	}
	for _, tt := range tests {
		w := example.Want
		tt.change(&w)
		problem := check(example, answer(w))
		if !strings.Contains(problem, tt.want) {
			t.Errorf("report %q does not say %q", problem, tt.want)
		}
		if strings.Count(problem, "got ") != 1 {
			t.Errorf("report %q names more than one difference", problem)
		}
	}
}

func TestCheckAcceptsOtherSpellings(t *testing.T) {
	w := example.Want
	w.Client = "2001:DB8:0:0::7"
	if problem := check(example, answer(w)); problem != "" {
		t.Errorf("another spelling of the address: %s", problem)
	}
	v := example
	v.Want.Client, v.Want.Scheme, v.Want.Reason = "", "", "malformed"
	w = v.Want
	w.Client, w.Scheme = (netip.Addr{}).String(), "unknown"
	if problem := check(v, answer(w)); problem != "" {
		t.Errorf("unknown in words: %s", problem)
	}
}

func TestCheckDoesNotFoldMappedAddresses(t *testing.T) {
	v := example
	v.Want.Client = "203.0.113.7"
	w := v.Want
	w.Client = "::ffff:203.0.113.7"
	if check(v, answer(w)) == "" {
		t.Error("a mapped address passes for its IPv4 address")
	}
}

func TestReport(t *testing.T) {
	v := example
	v.TLS = true
	got := check(v, func(Vector) (Want, error) { return Want{}, errors.New("no such preset") })
	const want = `An example.
  error: no such preset
  asked:
    hops "trusted=127.0.0.1"
    from "127.0.0.1:5555", TLS, Host "Host.Example"
    A: (301 bytes) …`
	if !strings.HasPrefix(got, want) || !strings.Contains(got, "az\"\n    X-Forwarded-For: \"1.2.3.4\\x00\"\n") {
		t.Errorf("report:\n%s", got)
	}
}

func TestResolverMayChangeItsVector(t *testing.T) {
	check(example, func(v Vector) (Want, error) {
		v.Header["X-Forwarded-For"][0] = "changed"
		v.Header.Del("A")
		return Want{}, nil
	})
	if example.Header["X-Forwarded-For"][0] == "changed" || len(example.Header["A"]) == 0 {
		t.Error("the header of the vector was changed")
	}
}

// TestWellKnownMistakes lets resolvers loose that make the mistakes of real
// libraries. The vectors must find each out, in every file that is about it.
func TestWellKnownMistakes(t *testing.T) {
	mistakes := []struct {
		name    string
		resolve Resolver
		files   []string
	}{
		{"leftmost entry", mistake(leftmost), []string{"interference", "presets", "table", "xff"}},
		{"any peer is believed", mistake(anyPeer), []string{"peers", "presets", "table"}},
		{"the proxy's address for want of a better", mistake(fallBack), []string{"budgets", "obfuscated", "table", "xff"}},
		{"an unknown scheme is http", mistake(httpByDefault), []string{"proto", "table", "topology"}},
		{"TLS on the socket is https", mistake(socketScheme), []string{"table"}},
		{"X-Forwarded-Host from anybody", mistake(forwardedHost), []string{"forwarded-host", "presets", "table"}},
	}
	for _, m := range mistakes {
		found := map[string]bool{}
		for _, v := range Vectors() {
			if check(v, m.resolve) != "" {
				file, _, _ := strings.Cut(v.Name, "/")
				found[file] = true
			}
		}
		for _, file := range m.files {
			if !found[file] {
				t.Errorf("%s: no vector in %s objects", m.name, file)
			}
		}
	}
}

// mistake answers every vector rightly, but for one slip.
func mistake(slip func(Vector, *Want)) Resolver {
	return func(v Vector) (Want, error) {
		w := v.Want
		slip(v, &w)
		return w, nil
	}
}

func entries(v Vector) []string {
	list := strings.Split(strings.Join(v.Header["X-Forwarded-For"], ","), ",")
	for i := range list {
		list[i] = strings.Trim(list[i], " \t")
	}
	return slices.DeleteFunc(list, func(s string) bool { return s == "" })
}

func leftmost(v Vector, w *Want) {
	if list := entries(v); w.Reason == "forwarded" && len(list) > 0 {
		w.Client = list[0]
	}
}

func anyPeer(v Vector, w *Want) {
	if list := entries(v); w.Reason == "direct" && len(list) > 0 {
		w.Client = list[len(list)-1]
	}
}

func fallBack(v Vector, w *Want) {
	if peer, err := netip.ParseAddrPort(v.RemoteAddr); w.Client == "" && err == nil {
		w.Client = peer.Addr().String()
	}
}

func httpByDefault(_ Vector, w *Want) {
	if w.Scheme == "" {
		w.Scheme = "http"
	}
}

func socketScheme(v Vector, w *Want) {
	if v.TLS {
		w.Scheme = "https"
	}
}

func forwardedHost(v Vector, w *Want) {
	if host := v.Header.Get("X-Forwarded-Host"); host != "" {
		w.Host = host
	}
}

// child tells the test binary that it was started by TestRun.
const child = "FORWARDEDTEST_CHILD"

// TestRun runs this test binary again, because a failing Run fails its test.
func TestRun(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	run := func(mode string) (string, error) {
		cmd := exec.CommandContext(t.Context(), exe, "-test.run=^TestRunChild$", "-test.v")
		cmd.Env = append(os.Environ(), child+"="+mode)
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := run("right"); err != nil || strings.Count(out, "\n    --- PASS") != len(Vectors()) {
		t.Errorf("a right resolver: %v\n%s", err, tail(out))
	}
	out, err := run("wrong")
	if err == nil || strings.Count(out, "\n    --- FAIL") != 1 {
		t.Errorf("a resolver with one wrong answer: %v\n%s", err, tail(out))
	}
	for _, part := range []string{"TestRunChild/table/row1-plain", "the peer is the client", "client: got 6.6.6.6, want 198.51.100.9"} {
		if !strings.Contains(out, part) {
			t.Errorf("the failure does not show %q", part)
		}
	}
}

func tail(s string) string { return s[max(0, len(s)-2000):] }

func TestRunChild(t *testing.T) {
	mode := os.Getenv(child)
	if mode == "" {
		t.Skip("only for TestRun")
	}
	Run(t, func(v Vector) (Want, error) {
		if mode == "wrong" && v.Name == "table/row1-plain" {
			return Want{Client: "6.6.6.6", Scheme: "http", Host: v.Want.Host, Reason: "direct", Port: 80}, nil
		}
		return v.Want, nil
	})
}
