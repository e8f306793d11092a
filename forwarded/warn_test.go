package forwarded_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/knownhops/knownhops/forwarded"
)

// A warnCase is a request that must be warned about with exactly these codes.
type warnCase struct {
	name    string
	cfg     forwarded.Config
	r       *http.Request
	codes   string   // separated by blanks
	message []string // what the first warning's sentence must name
	fix     []string // and its fix
	level   slog.Level
}

func hops(list ...forwarded.Hop) forwarded.Config { return forwarded.Config{Hops: list} }

func warnCases() []warnCase {
	secret := albHop()
	secret.Secret = forwarded.Secret{Header: "X-Origin-Secret", Values: []string{testSecret}}
	vouching := albHop()
	vouching.Vouches = []string{"X-Acme-User"}
	reencrypted := get(albPeer, "X-Forwarded-For: "+client, "X-Forwarded-Proto: http")
	reencrypted.TLS = &tls.ConnectionState{}
	proxied := func(peer string) *http.Request {
		return refRequest{remote: peer, host: ourHost, header: http.Header{}, transport: &forwarded.Transport{
			Peer: netip.MustParseAddrPort(peer), Source: netip.MustParseAddrPort(client + ":5000"),
		}}.request()
	}
	plain := []string{"X-Forwarded-For: " + client, "X-Forwarded-Proto: https", "X-Forwarded-Port: 443"}
	with := func(more ...string) []string { return append(slices.Clone(plain), more...) }
	const warn, debug = slog.LevelWarn, slog.LevelDebug
	return []warnCase{
		{"nothing to say", hops(albHop()), get(albPeer, plain...), "", nil, nil, warn},
		{"a direct client", hops(albHop()), get(directPeer), "", nil, nil, warn},
		{"ALB not in append mode", hops(albHop()), get(albPeer, plain[1:]...), "W1",
			[]string{`"alb"`, "append mode"}, []string{"routing.http.xff_header_processing.mode"}, warn},
		{"a probe is worth knowing, no more", hops(albHop()), get(albPeer), "W1",
			[]string{`"alb"`, "health check"}, []string{"nothing, if these are health checks"}, debug},
		{"no PROXY header", hops(forwarded.NLBTLS("10.0.16.0/20")), get(albPeer), "W1",
			[]string{`"nlb-tls"`, "no PROXY header"}, []string{"PROXY protocol"}, warn},
		{"PROXY header of a stranger", hops(forwarded.NLBTLS("10.0.16.0/20")), proxied(directPeer), "W1",
			[]string{"PROXY header", "no PROXY hop declares"}, []string{"NLBTLS"}, warn},
		{"the outer hop is silent", hops(passingNginx(), albHop()), get(nginxPeer, "X-Forwarded-For: 10.0.16.5", "X-Forwarded-Proto: https"), "W1",
			[]string{`"alb"`, "wrote no client address"}, []string{"For rule"}, warn},
		{"nginx overwrites the scheme", hops(nginxHop(), albHop()),
			get(nginxPeer, "X-Forwarded-For: "+client+", 10.0.16.5", "X-Forwarded-Proto: http", "X-Forwarded-Port: 443"), "W2",
			[]string{`"alb"`, "443", `"nginx"`}, []string{`"nginx"`, "$http_x_forwarded_proto", "Passes()", "SchemeFromPort"}, warn},
		{"an nginx that should pass the scheme overwrites it", hops(passingNginx(), albHop()),
			get(nginxPeer, "X-Forwarded-For: "+client+", 10.0.16.5", "X-Forwarded-Proto: http", "X-Forwarded-Port: 443"), "W2",
			[]string{`"alb"`, "443", `"nginx"`}, []string{`"nginx"`, "$http_x_forwarded_proto", "as its Proto rule says"}, warn},
		{"X-Forwarded-Host that ALB passes", hops(albHop()), get(albPeer, with("X-Forwarded-Host: evil.example")...), "W3",
			[]string{"X-Forwarded-Host"}, []string{"Host or Prefix rule"}, warn},
		{"X-Forwarded-Prefix that ALB passes", hops(albHop()), get(albPeer, with("X-Forwarded-Prefix: /x")...), "W3", nil, nil, warn},
		{"Forwarded that ALB passes", hops(albHop()), get(albPeer, with("Forwarded: for=192.0.2.1")...), "W4",
			[]string{"Forwarded"}, []string{`Appends("Forwarded")`}, warn},
		{"a second proxy that is not declared", hops(forwarded.Trusted("10.0.0.0/8")), get(albPeer, "X-Forwarded-For: 10.9.9.9", "X-Forwarded-Proto: https"), "W5",
			[]string{"10.9.9.9"}, []string{"Behind(Trusted(c), Trusted(c))"}, warn},
		{"a stranger's forwarding headers", hops(albHop()), get(directPeer, plain[0]), "W6",
			[]string{"198.51.100.9", "believed"}, []string{"198.51.100.0/24", "From"}, warn},
		{"a stranger's, IPv6", hops(albHop()), get("[2001:db8:1:2::9]:40000", plain[0]), "W6",
			[]string{"2001:db8:1:2::9"}, []string{"2001:db8:1::/48"}, warn},
		{"nobody is declared", forwarded.Config{}, get(directPeer, plain...), "W6", []string{"198.51.100.9"}, nil, warn},
		{"no secret", hops(secret), get(albPeer, plain...), "W6",
			[]string{`"alb"`, "without its secret"}, []string{"secret header"}, warn},
		{"no secret, and it looks like a balancer", hops(secret), get(albPeer, with("X-Amzn-Trace-Id: Root=1-2-3")...), "W6",
			[]string{`"alb"`, "without its secret"}, []string{"secret header"}, warn},
		{"Connection nominates", hops(albHop()), get(albPeer, with("Connection: close, x-forwarded-for")...), "W7",
			[]string{"Connection"}, []string{"hop-by-hop"}, warn},
		{"Connection nominates an alias", hops(albHop()), get(albPeer, with("Connection: X_Real_Ip")...), "W7", nil, nil, warn},
		{"a stranger's copy of a vouched header", hops(vouching), get(directPeer, "X-Acme-User: ann"), "W6", nil, nil, warn},
		{"an alias of a vouched header", hops(vouching), get(albPeer, with("X_Acme_User: ann")...), "W8", nil, nil, warn},
		{"an alias", hops(albHop()), get(albPeer, with("X_Forwarded_For: 192.0.2.1")...), "W8",
			[]string{"CGI"}, []string{"drop_invalid_header_fields"}, warn},
		{"more entries than the hop writes", hops(forwarded.Caddy("127.0.0.1")),
			get(nginxPeer, "X-Forwarded-For: 192.0.2.1, "+client, "X-Forwarded-Proto: https", "X-Forwarded-Host: "+ourHost), "W9",
			[]string{`"caddy"`}, []string{"Appends"}, warn},
		{"two schemes where one is set", hops(albHop()), get(albPeer, plain[0], "X-Forwarded-Proto: http, https"), "W9",
			[]string{`"alb"`}, nil, warn},
		{"garbage for a client", hops(albHop()), get(albPeer, "X-Forwarded-For: localhost", "X-Forwarded-Proto: https"), "W10",
			[]string{`"alb"`, "malformed"}, []string{"explain page"}, warn},
		{"a hidden client", hops(albHop()), get(albPeer, "X-Forwarded-For: unknown", "X-Forwarded-Proto: https"), "W10",
			[]string{"obfuscated"}, nil, warn},
		{"too long a list", hops(albHop()), get(albPeer, "X-Forwarded-For: "+strings.Repeat(",", 5000), "X-Forwarded-Proto: https"), "W10",
			[]string{"too_long"}, nil, warn},
		{"a host that is not ours", forwarded.Config{Hosts: []string{"example.net"}}, get(directPeer), "W11",
			[]string{`"www.example.com"`, "host_not_allowed"}, []string{"Config.Hosts"}, warn},
		{"a host that a hop replaced", hops(forwarded.Apache("127.0.0.1")), get(nginxPeer, "X-Forwarded-For: "+client), "W11",
			[]string{"host_replaced"}, []string{"replaces Host"}, warn},
		{"a host that is not ours, by a hop's word", forwarded.Config{Hops: []forwarded.Hop{forwarded.Caddy("127.0.0.1")}, Hosts: []string{ourHost}},
			get(nginxPeer, "X-Forwarded-For: "+client, "X-Forwarded-Proto: https", "X-Forwarded-Host: evil.example"), "W11",
			[]string{`"evil.example"`, "host_not_allowed"}, []string{"Config.Hosts"}, warn},
		{"no host, by a hop's word", hops(forwarded.Caddy("127.0.0.1")),
			get(nginxPeer, "X-Forwarded-For: "+client, "X-Forwarded-Proto: https", "X-Forwarded-Host: a b"), "W11",
			[]string{`"a b"`, "bad_host"}, nil, warn},
		{"past the inner hop", hops(nginxHop(), albHop()), get(albPeer, plain...), "W12",
			[]string{`past hop "nginx"`}, []string{"remove it from Hops", "narrow From"}, warn},
		{"a re-encrypted leg", hops(albHop()), reencrypted, "W13",
			[]string{`"alb"`, "says nothing about the client"}, nil, debug},
		{"a balancer that nobody declared", hops(albHop()), get("10.0.48.7:40000", with("X-Amzn-Trace-Id: Root=1-2-3")...), "W14",
			[]string{"10.0.48.7", "load balancer"}, []string{"10.0.48.0/24"}, warn},
	}
}

func TestWarnings(t *testing.T) {
	for _, c := range warnCases() {
		t.Run(c.name, func(t *testing.T) {
			var log logbook
			c.cfg.Logger = log.logger()
			p := newPolicy(t, c.cfg)
			log.take()
			if got := p.Resolve(c.r); log.take() != nil {
				t.Errorf("Resolve logged something about %+v", got)
			}
			pass(p, c.r)
			list := log.take()
			if got := strings.Join(codes(list), " "); got != c.codes {
				t.Fatalf("logged %q, want %q: %+v", got, c.codes, list)
			}
			var explained []string
			for _, w := range p.Explain(c.r).Warnings {
				explained = append(explained, w.Code)
			}
			if got := strings.Join(explained, " "); got != c.codes {
				t.Errorf("Explain warns of %q, want %q", got, c.codes)
			}
			if len(list) > 0 {
				c.check(t, list[0])
			}
		})
	}
}

func (c warnCase) check(t *testing.T, e logged) {
	t.Helper()
	for _, part := range c.message {
		if !strings.Contains(e.message, part) {
			t.Errorf("the message does not name %q: %s", part, e.message)
		}
	}
	for _, part := range c.fix {
		if !strings.Contains(e.attrs["fix"], part) {
			t.Errorf("the fix does not name %q: %s", part, e.attrs["fix"])
		}
	}
	if e.level != c.level {
		t.Errorf("level %v, want %v", e.level, c.level)
	}
	if peer := e.attrs["peer"]; peer != c.r.RemoteAddr {
		t.Errorf("peer is %q, want %q", peer, c.r.RemoteAddr)
	}
}

// TestEveryWarningIsTested keeps the table complete: W1 to W14.
func TestEveryWarningIsTested(t *testing.T) {
	tested := map[string]bool{}
	for _, c := range warnCases() {
		tested[c.codes] = true
	}
	for i := 1; i <= 14; i++ {
		if code := fmt.Sprintf("W%d", i); !tested[code] {
			t.Errorf("no request is warned about with %s alone", code)
		}
	}
}

func TestWarningsOncePerMinuteAndNetwork(t *testing.T) {
	type step struct {
		wait       time.Duration
		peer       string
		header     string
		times      int
		suppressed string // of the one that is logged; "": none is
	}
	for name, steps := range map[string][]step{
		"a minute": {
			{0, "198.51.100.9:1", "X-Forwarded-For: 192.0.2.1", 5, "0"},
			{59 * time.Second, "198.51.100.9:2", "X-Forwarded-For: 192.0.2.1", 3, ""},
			{time.Second, "198.51.100.9:3", "X-Forwarded-For: 192.0.2.1", 1, "7"},
			{time.Minute, "198.51.100.9:4", "X-Forwarded-For: 192.0.2.1", 1, "0"},
		},
		"one turn for a /24": {
			{0, "198.51.100.1:1", "X-Forwarded-For: 192.0.2.1", 1, "0"},
			{0, "198.51.100.254:1", "X-Forwarded-For: 192.0.2.1", 1, ""},
			{0, "198.51.101.1:1", "X-Forwarded-For: 192.0.2.1", 1, "0"},
		},
		"one turn for a /48": {
			{0, "[2001:db8:1:1::1]:1", "X-Forwarded-For: 192.0.2.1", 1, "0"},
			{0, "[2001:db8:1:ffff::1]:1", "X-Forwarded-For: 192.0.2.1", 1, ""},
			{0, "[2001:db8:2:1::1]:1", "X-Forwarded-For: 192.0.2.1", 1, "0"},
		},
		"a mapped address is the IPv4 one": {
			{0, "198.51.100.1:1", "X-Forwarded-For: 192.0.2.1", 1, "0"},
			{0, "[::ffff:198.51.100.2]:1", "X-Forwarded-For: 192.0.2.1", 1, ""},
		},
		"one turn for each code": {
			{0, "10.0.16.1:1", "X-Forwarded-For: unknown", 2, "0"},
			{0, "10.0.16.1:1", "X-Forwarded-For: 10.0.16.9", 1, "0"},
			{0, "10.0.16.1:1", "X-Forwarded-For: unknown", 1, ""},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log logbook
				p := newPolicy(t, forwarded.Config{Hops: []forwarded.Hop{albHop()}, Logger: log.logger()})
				for i, s := range steps {
					time.Sleep(s.wait)
					for range s.times {
						pass(p, get(s.peer, s.header))
					}
					list, want := log.take(), 1
					if s.suppressed == "" {
						want = 0
					}
					if len(list) != want || want == 1 && list[0].attrs["suppressed"] != s.suppressed {
						t.Errorf("step %d: logged %+v, want %d with %q suppressed", i, list, want, s.suppressed)
					}
				}
			})
		})
	}
}

// A level is a logbook that refuses what is less important.
type level struct {
	*logbook
	min slog.Level
}

// Enabled makes a level differ from its logbook.
func (l level) Enabled(_ context.Context, at slog.Level) bool { return at >= l.min }

// TestProbesTakeNoTurn: health checks come every few seconds from the same
// subnet as the mistake that W1 is there for.
func TestProbesTakeNoTurn(t *testing.T) {
	for _, c := range []struct {
		min  slog.Level
		want string // levels, in order
	}{
		{slog.LevelDebug, "DEBUG WARN"},
		{slog.LevelInfo, "WARN"},
		{slog.LevelError, ""},
	} {
		synctest.Test(t, func(t *testing.T) {
			var log logbook
			p := newPolicy(t, forwarded.Config{Hops: []forwarded.Hop{albHop()}, Logger: slog.New(level{&log, c.min})})
			for range 3 {
				pass(p, get(albPeer))
			}
			time.Sleep(time.Second)
			for range 3 {
				pass(p, get(albPeer, "X-Forwarded-Proto: https"))
				pass(p, get(albPeer))
			}
			var levels []string
			list := log.take()
			for _, e := range list {
				levels = append(levels, e.level.String())
				if e.attrs["code"] != "W1" || e.attrs["suppressed"] != "0" {
					t.Errorf("from %v: %+v, want W1 with none suppressed", c.min, e)
				}
			}
			if got := strings.Join(levels, " "); got != c.want {
				t.Errorf("from %v: logged at %q, want %q: %+v", c.min, got, c.want, list)
			}
			time.Sleep(time.Minute)
			pass(p, get(albPeer, "X-Forwarded-Proto: https"))
			for _, e := range log.take() {
				if e.attrs["suppressed"] != "2" {
					t.Errorf("from %v: %s suppressed, want the two mistakes without the probes", c.min, e.attrs["suppressed"])
				}
			}
		})
	}
}

// TestWarningsOnUnixSockets: there is no address to name.
func TestWarningsOnUnixSockets(t *testing.T) {
	for _, c := range []struct{ header, code string }{
		{"X-Forwarded-For: " + client, "W6"},
		{"X-Amzn-Trace-Id: Root=1-2-3", "W14"},
	} {
		var log logbook
		p := newPolicy(t, forwarded.Config{Hops: []forwarded.Hop{albHop()}, Logger: log.logger()})
		pass(p, refRequest{remote: "@", unix: true, host: ourHost, header: lines("X-Forwarded-Proto: https", c.header)}.request())
		list := log.take()
		if len(list) != 1 || list[0].attrs["code"] != c.code {
			t.Errorf("logged %+v, want %s", list, c.code)
			continue
		}
		e := list[0]
		if !strings.Contains(e.message, "unix socket") || !strings.Contains(e.attrs["fix"], "(unix, say)") || e.attrs["peer"] != "unix" {
			t.Errorf("%s does not say that it was a unix socket: %+v", c.code, e)
		}
		if strings.Contains(e.message+e.attrs["fix"], "invalid") {
			t.Errorf("%s names an address that there is not: %+v", c.code, e)
		}
	}
}

// TestReconfigureKeepsTurns: swapping the configuration does not let an
// attacker's warnings through again.
func TestReconfigureKeepsTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log logbook
		cfg := forwarded.Config{Hops: []forwarded.Hop{albHop()}, Logger: log.logger()}
		p := newPolicy(t, cfg)
		for range 3 {
			pass(p, get(directPeer, "X-Forwarded-For: 192.0.2.1"))
			if err := p.Reconfigure(cfg); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(log.take()); n != 1 {
			t.Errorf("%d warnings within a minute, want 1", n)
		}
	})
}

// TestManyNetworksFillNothing: whoever owns many networks can neither fill the
// log nor the memory.
func TestManyNetworksFillNothing(t *testing.T) {
	const networks = 50_000
	synctest.Test(t, func(t *testing.T) {
		var log logbook
		p := newPolicy(t, forwarded.Config{Hops: []forwarded.Hop{albHop()}, Logger: log.logger()})
		attack := func() {
			for i := range networks {
				peer := fmt.Sprintf("[2001:db8:%x::1]:1", i)
				pass(p, get(peer, "X-Forwarded-For: 192.0.2.1"))
			}
		}
		attack()
		n := len(log.take())
		if n > 1024 {
			t.Errorf("%d lines in a minute, want at most 1024", n)
		}
		if n < 512 {
			t.Errorf("only %d of %d networks were ever warned about: the turns are badly spread", n, networks)
		}
		before := heap()
		attack()
		if grown := heap() - before; grown > 256<<10 {
			t.Errorf("the heap grew by %d bytes for %d networks", grown, networks)
		}
		if n := len(log.take()); n != 0 {
			t.Errorf("%d more lines in the same minute", n)
		}
		runtime.KeepAlive(p)
	})
}

func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestLogInjection: nothing that a stranger writes can begin a line of its own
// or steer a terminal, whatever handler writes the log.
func TestLogInjection(t *testing.T) {
	const evil = "x\r\n\x1b[2Jlevel=ERROR msg=\"all is well\"\u0085\x00"
	cfg := forwarded.Config{Hosts: []string{"example.net"}}
	cfg.Hops = []forwarded.Hop{passingNginx(), albHop()}
	requests := map[string]*http.Request{
		"host":        get(directPeer),
		"header name": get(directPeer, "X-Forwarded-"+evil+": 1", "X_Real_IP"+evil+": 1", "X-Forwarded-For: 1"),
		"value":       get(nginxPeer, "X-Forwarded-For: "+evil, "X-Forwarded-Host: "+evil, "Forwarded: "+evil, "Connection: "+evil),
		"outer value": get(nginxPeer, "X-Forwarded-For: "+evil+", 10.0.16.5", "X-Forwarded-Proto: "+evil, "X-Forwarded-Port: "+evil),
		"peer":        get(evil, "X-Forwarded-For: 1"),
		"balancer":    get(directPeer, "X-Amzn-Trace-Id: "+evil, "X-Forwarded-Proto: https"),
	}
	for name, r := range requests {
		var log logbook
		cfg.Logger = log.logger()
		p := newPolicy(t, cfg)
		r.Host = evil + strings.Repeat("a", 10_000)
		log.take()
		pass(p, r)
		list := log.take()
		if len(list) == 0 {
			t.Errorf("%s: nothing was logged", name)
		}
		for _, e := range list {
			if e.unprintable() {
				t.Errorf("%s: %q %q", name, e.message, e.attrs)
			}
			if n := len(e.attrs["host"]); n > 1000 {
				t.Errorf("%s: the host takes %d bytes of the log", name, n)
			}
		}
	}
}
