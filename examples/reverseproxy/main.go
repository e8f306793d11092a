// Reverseproxy stands where nginx stands in many chains: behind a balancer that
// ends TLS, in front of an application on the same machine.
//
//	client ──https──► ALB ──http──► reverseproxy :80 ──http──► application :8080
//
//	go build ./examples/reverseproxy
//	reverseproxy -listen :80 -hops "alb=10.0.16.0/20,10.0.32.0/20" -hosts www.example.com \
//		-https www.example.com -alias example.com -static /srv/www -check /healthz
//
// Each flag can be given as an environment variable instead: -max-body is
// REVERSEPROXY_MAX_BODY. A flag wins over its variable, and an empty variable
// counts as none.
//
//	-listen ADDRESS       where to listen (127.0.0.1:8081; nginx's place is :80)
//	-upstream LIST        the application: http://…, https://…, h2c://… or unix:/path,
//	                      comma separated (http://127.0.0.1:8080)
//	-hops TOPOLOGY        the proxies in front, nearest first, as forwarded.ParseHops
//	                      reads them; empty: nobody is believed
//	-hosts LIST           names that X-Forwarded-Host may tell, comma separated; empty: any
//	-https HOST           where visitors should end up: http is redirected to https, and
//	                      https of an -alias to this host; any other host, and addresses,
//	                      get 421. Empty: nothing is redirected or refused
//	-alias LIST           other names of the same site, "*.old.example" among them, comma
//	                      separated; may be given several times
//	-plain-host LIST      names that are served over http as well, like "web.internal",
//	                      comma separated; may be given several times
//	-hsts TIME            how long browsers shall use https by themselves: off, 1h, 1w, 1y,
//	                      preload, or clear, which makes them forget (off). They cannot be
//	                      called back: begin with 1h
//	-require-proxy        421 to requests that did not come through all of -hops
//	-static DIR           files that are served before the application is asked
//	-strip-prefix PREFIX  is taken off the path; what is not below it gets 404
//	-balance POLICY       among several upstreams: round-robin, least-requests, client-hash
//	-check PATH           is asked of each upstream every 30 s; those that fail it twice
//	                      get no requests
//	-max-body SIZE        of requests, else 413: 10m, 512k; 0: any
//	-health PATH          answers the balancer's probes here (/healthz), beside /readyz, /livez
//	                      and /startupz: 200, or 503 when no upstream passes -check or this
//	                      process is about to end. "off": the application answers them, and
//	                      a drain waits for nobody
//	-shared-upstreams     the upstreams serve other instances as well: when none passes
//	                      -check this one stays in rotation, as no other would do better
//	-details PATH         shows callers on this machine why it is unhealthy, who probes and how
//	                      long a drain takes
//	-explain PATH         shows how a request is understood, to callers on this machine
//	-access-log FILE      combined format with scheme and duration; "-" is the standard
//	                      output, "off" none
//	-h2c                  also speak HTTP/2 without TLS, which target groups with
//	                      protocol version HTTP2 or GRPC need
//	-profile NAME         what is in front: alb, nlb, clb, gcp, cloudflare, cloudfront,
//	                      kubernetes or direct (alb). It says how long connections are kept,
//	                      how it probes and how long a drain may take; the five flags below
//	                      change that
//	-balancer-idle TIME   how long it keeps connections without a request: ALB's
//	                      idle_timeout.timeout_seconds. Here they are kept longer. Behind alb
//	                      and clb, the application must begin to answer 5 s earlier
//	-probe-interval TIME  how often each of its nodes probes
//	-drain-wait TIME      how long to go on serving after a signal, with -health at 503, until
//	                      those who probe have noticed; it ends as soon as they have
//	-drain-time TIME      how long requests under way may then take; at least 6s
//	-kill-budget TIME     how long after the signal the platform kills this process: ECS
//	                      stopTimeout, terminationGracePeriodSeconds, TimeoutStopSec. If that
//	                      is too short for the rest, the log says so at the start
//
// SIGTERM and SIGINT begin the drain; a second signal ends it at once. The exit
// code is 2 after mistakes in the configuration, all of which are printed, and 1
// after any other failure, such as a drain that lost a request.
//
// In a container, "reverseproxy healthcheck" is the container's health check: it
// asks /livez at the address in REVERSEPROXY_LISTEN, or at the URL that is given
// as a second argument, and exits with 0 or 1.
//
// A port below 1024 needs a right: setcap cap_net_bind_service=+ep reverseproxy,
// or AmbientCapabilities=CAP_NET_BIND_SERVICE in a systemd unit. Let nobody but
// the balancer reach it: whoever connects from an address in -hops is believed.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/healthcheck"
	"github.com/knownhops/knownhops/proxy"
	"github.com/knownhops/knownhops/redirect"
)

func main() {
	healthcheck.Main(livenessURL(os.Getenv))
	err := run(context.Background(), os.Args[1:], os.Getenv, os.Stdout, os.Stderr)
	if err != nil {
		fmt.Fprintf(os.Stderr, "reverseproxy: %v\n", err)
	}
	os.Exit(exitCode(err))
}

// livenessURL is what the container's health check asks, which knows the
// environment of this program but not its flags.
func livenessURL(env func(string) string) string {
	host, port, err := net.SplitHostPort(cmp.Or(env(variable("listen")), defaultListen))
	if err != nil {
		return "" // then Probe's own default is as good
	}
	if ip, err := netip.ParseAddr(host); host == "" || err == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port) + "/livez"
}

func exitCode(err error) int {
	switch {
	case err == nil:
		return 0
	case errors.As(err, new(mistakes)):
		return 2
	}
	return 1
}

// run is main without the process: it serves until a signal comes or ctx ends, and
// the drain is over.
func run(ctx context.Context, args []string, env func(string) string, stdout, stderr io.Writer) error {
	o := options{upstreams: []string{"http://127.0.0.1:8080"}, profile: healthcheck.ALB()}
	wrong, help := o.read(args, env)
	if help != "" {
		_, err := io.WriteString(stdout, help)
		return err
	}
	s := &site{options: o, logger: slog.New(slog.NewTextHandler(stderr, nil)), mistakes: wrong}
	defer s.close()
	s.build(stdout)
	if len(s.mistakes) > 0 {
		return s.mistakes
	}
	s.announce(stdout)
	return s.serve(ctx)
}

// mistakes is everything that is wrong with the configuration.
type mistakes []error

// Error lists them, one a line.
func (m mistakes) Error() string { return "cannot start:\n" + errors.Join(m...).Error() }

// options is what the flags say.
type options struct {
	listen, hops, static, stripPrefix, check, health, details, explain, accessLog string

	upstreams, hosts    []string
	https               string
	aliases, plainHosts []string
	hsts                redirect.HSTS
	requireProxy        bool
	balance             proxy.Balance
	maxBody             int64
	h2c                 bool
	sharedUpstreams     bool
	profile             healthcheck.Profile

	balancerIdle, probeInterval, drainWait, drainTime, killBudget time.Duration // zero: the profile's
}

const defaultListen = "127.0.0.1:8081"

// flags declares every flag. Values that only other packages can judge stay
// text here; -hops does so as well because package flag would print the secrets
// in it.
func (o *options) flags() *flag.FlagSet {
	f := flag.NewFlagSet("reverseproxy", flag.ContinueOnError)
	f.StringVar(&o.listen, "listen", defaultListen, "`address` to listen on; nginx's place is :80")
	f.Func("upstream", "`list` of http://…, https://…, h2c://… or unix:/path, comma separated (default http://127.0.0.1:8080)", list(&o.upstreams))
	f.StringVar(&o.hops, "hops", "", "`topology` in front, nearest first, like \"alb=10.0.16.0/20,10.0.32.0/20\"; empty: nobody is believed")
	f.Func("hosts", "`list` of names that X-Forwarded-Host may tell, comma separated; empty: any", list(&o.hosts))
	f.StringVar(&o.https, "https", "", "`host` to end up at: http is redirected to https, and aliases to this host; empty: nothing is redirected")
	f.Func("alias", "`list` of other names of the same site, like example.com or *.old.example; may be repeated", more(&o.aliases))
	f.Func("plain-host", "`list` of names that are served over http as well, like web.internal; may be repeated", more(&o.plainHosts))
	f.Func("hsts", "`time` for which browsers use https by themselves: off, 1h, 1w, 1y, preload or clear (default off)", o.setHSTS)
	f.BoolVar(&o.requireProxy, "require-proxy", false, "421 to requests that did not come through all of -hops")
	f.StringVar(&o.static, "static", "", "`directory` of files that are served before the application is asked")
	f.StringVar(&o.stripPrefix, "strip-prefix", "", "`prefix` to take off the path, like /api; what is not below it gets 404")
	f.Func("balance", "`policy` among several upstreams: round-robin, least-requests or client-hash (default round-robin)", o.setBalance)
	f.StringVar(&o.check, "check", "", "`path` that upstreams must answer with 200 to get requests")
	f.Func("max-body", "`size` of request bodies, like 512k, 10m or 1g, else 413; 0: any (default 0)", o.setMaxBody)
	f.StringVar(&o.health, "health", "/healthz", "`path` of the balancer's probes to answer here, beside /readyz, /livez and /startupz; \"off\": the application answers them")
	f.BoolVar(&o.sharedUpstreams, "shared-upstreams", false, "stay in rotation when no upstream passes -check, since they serve other instances as well")
	f.StringVar(&o.details, "details", "", "`path` that shows callers on this machine why it is unhealthy, who probes and how long a drain takes")
	f.StringVar(&o.explain, "explain", "", "`path` that shows callers on this machine how their request is understood")
	f.StringVar(&o.accessLog, "access-log", "-", "`file` to append to; \"-\" is the standard output, \"off\" none")
	f.BoolVar(&o.h2c, "h2c", false, "also speak HTTP/2 without TLS, for target groups with protocol version HTTP2 or GRPC")
	f.Func("profile", "`name` of what is in front: "+strings.Join(slices.Sorted(maps.Keys(profiles)), ", ")+" (default alb)", o.setProfile)
	f.DurationVar(&o.balancerIdle, "balancer-idle", 0, "`time` for which it keeps connections without a request; 0: the profile's")
	f.DurationVar(&o.probeInterval, "probe-interval", 0, "`time` between two probes of one of its nodes; 0: the profile's")
	f.DurationVar(&o.drainWait, "drain-wait", 0, "`time` to go on serving at most after a signal, until those who probe have noticed; 0: the profile's")
	f.DurationVar(&o.drainTime, "drain-time", 0, "`time` that requests under way may take after that, at least 6s; 0: the profile's")
	f.DurationVar(&o.killBudget, "kill-budget", 0, "`time` after which the platform kills this process; 0: the profile's")
	f.VisitAll(func(one *flag.Flag) { one.Usage += " [" + variable(one.Name) + "]" })
	f.SetOutput(io.Discard)
	return f
}

// variable is the environment's name for a flag.
func variable(flag string) string {
	return "REVERSEPROXY_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// read takes the flags from args and then, for those that are not there, from
// the environment. It goes on after a mistake. help is the text for -help.
func (o *options) read(args []string, env func(string) string) (wrong mistakes, help string) {
	f := o.flags()
	for err := f.Parse(args); err != nil; err = f.Parse(args) {
		if errors.Is(err, flag.ErrHelp) {
			return nil, helpText(f)
		}
		if f.NArg() == len(args) {
			break // it cannot even take this one off
		}
		wrong, args = append(wrong, err), f.Args()
	}
	if f.NArg() > 0 {
		wrong = append(wrong, fmt.Errorf("%q is no flag, and nothing after it was read", f.Arg(0)))
	}
	given := map[string]bool{}
	f.Visit(func(one *flag.Flag) { given[one.Name] = true })
	f.VisitAll(func(one *flag.Flag) {
		value := env(variable(one.Name))
		if value == "" || given[one.Name] {
			return
		}
		if err := f.Set(one.Name, value); err != nil {
			wrong = append(wrong, fmt.Errorf("invalid value %q in %s: %w", value, variable(one.Name), err))
		}
	})
	return append(wrong, o.judge()...), ""
}

func helpText(f *flag.FlagSet) string {
	var b strings.Builder
	b.WriteString("A reverse proxy behind a balancer. Flags, each with its [environment variable], over which it wins:\n\n")
	f.SetOutput(&b)
	f.PrintDefaults()
	return b.String()
}

// judge finds what is wrong with the values that concern this program alone, and
// puts together what it takes from several.
func (o *options) judge() (wrong mistakes) {
	taken := []string{o.health, "/readyz", "/livez", "/startupz"}
	for _, path := range []struct{ flag, value string }{{"-details", o.details}, {"-explain", o.explain}} {
		switch {
		case path.value == "":
		case path.value[0] != '/':
			wrong = append(wrong, fmt.Errorf("%s: %q: does not begin with a slash", path.flag, path.value))
		case slices.Contains(taken, path.value):
			wrong = append(wrong, fmt.Errorf("%s: %q: has another meaning already", path.flag, path.value))
		}
		taken = append(taken, path.value)
	}
	for _, span := range []struct {
		flag  string
		value time.Duration
		least time.Duration
		to    *time.Duration
	}{
		{"-balancer-idle", o.balancerIdle, time.Second, &o.profile.Idle},
		{"-probe-interval", o.probeInterval, time.Second, &o.profile.ProbeInterval},
		{"-drain-wait", o.drainWait, time.Second, &o.profile.Wait},
		{"-drain-time", o.drainTime, 6 * time.Second, &o.profile.Shutdown},
		{"-kill-budget", o.killBudget, time.Second, &o.profile.KillBudget},
	} {
		switch {
		case span.value == 0:
		case span.value < span.least:
			wrong = append(wrong, fmt.Errorf("%s: %v: is less than %v", span.flag, span.value, span.least))
		default:
			*span.to = span.value
		}
	}
	o.profile.H2C = o.h2c
	return append(wrong, o.judgeHTTPS()...)
}

// judgeHTTPS refuses what would have no effect, or too much of it.
func (o *options) judgeHTTPS() (wrong mistakes) {
	if o.requireProxy && strings.TrimSpace(o.hops) == "" {
		wrong = append(wrong, errors.New("-require-proxy: nobody could ask anything, since -hops declares no proxy"))
	}
	if o.https != "" {
		return wrong
	}
	for _, needs := range []struct {
		flag  string
		given bool
	}{
		{"-alias", o.aliases != nil},
		{"-plain-host", o.plainHosts != nil},
		{"-hsts", o.hsts != redirect.HSTS{}},
		{"-require-proxy", o.requireProxy},
	} {
		if needs.given {
			wrong = append(wrong, fmt.Errorf("%s: has no effect without -https", needs.flag))
		}
	}
	return wrong
}

func list(to *[]string) func(string) error {
	return func(s string) error {
		*to = split(s)
		return nil
	}
}

// more is list for a flag that may be given several times.
func more(to *[]string) func(string) error {
	return func(s string) error {
		*to = append(*to, split(s)...)
		return nil
	}
}

func split(s string) []string {
	return strings.FieldsFunc(s, func(c rune) bool { return c == ',' || c == ' ' })
}

func (o *options) setHSTS(s string) error {
	presets := map[string]redirect.HSTS{
		"off": {}, "1h": redirect.OneHour, "1w": redirect.OneWeek, "1y": redirect.OneYear,
		"preload": redirect.Preload, "clear": redirect.Clear,
	}
	hsts, ok := presets[s]
	if !ok {
		return errors.New("write off, 1h, 1w, 1y, preload or clear")
	}
	o.hsts = hsts
	return nil
}

func (o *options) setBalance(s string) error {
	policies := []string{proxy.RoundRobin: "round-robin", proxy.LeastRequests: "least-requests", proxy.ClientHash: "client-hash"}
	i := slices.Index(policies, s)
	if i < 0 {
		return errors.New("write " + strings.Join(policies, ", "))
	}
	o.balance = proxy.Balance(i)
	return nil
}

// profiles are what can be in front.
var profiles = map[string]func() healthcheck.Profile{
	"alb": healthcheck.ALB, "nlb": healthcheck.NLB, "clb": healthcheck.CLB, "gcp": healthcheck.GoogleCloud,
	"cloudflare": healthcheck.Cloudflare, "cloudfront": healthcheck.CloudFront,
	"kubernetes": healthcheck.Kubernetes, "direct": healthcheck.Direct,
}

func (o *options) setProfile(s string) error {
	preset, ok := profiles[s]
	if !ok {
		return errors.New("write " + strings.Join(slices.Sorted(maps.Keys(profiles)), ", "))
	}
	o.profile = preset()
	return nil
}

// answersProbes reports whether this program does, and not the application.
func (o *options) answersProbes() bool { return o.health != "off" && o.health != "" }

func (o *options) setMaxBody(s string) error {
	number, shift := s, 0
	if i := strings.IndexAny(s, "kmg"); i > 0 && i == len(s)-1 {
		number, shift = s[:i], 10*(1+strings.IndexByte("kmg", s[i]))
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64>>shift {
		return errors.New("write a number of bytes, like 512k, 10m or 1g")
	}
	o.maxBody = n << shift
	return nil
}

// A site is everything that runs.
type site struct {
	options
	logger   *slog.Logger
	mistakes mistakes
	closers  []io.Closer

	policy   *forwarded.Policy
	proxy    *proxy.Proxy
	health   *healthcheck.Health
	server   *http.Server
	listener net.Listener
}

// build makes the parts, from the inside out, and notes what is wrong with
// each: whoever configures it wants to read all of it at once.
func (s *site) build(stdout io.Writer) {
	s.makePolicy()
	s.makeProxy()
	s.makeHealth()
	var inner http.Handler = s.proxy
	inner = s.withStripPrefix(inner)
	inner = s.withStatic(inner)
	inner = s.withHTTPS(inner)
	inner = at(s.explain, s.policy.ExplainHandler(s.isLocal), inner) // outside: whoever explains has an address for a host
	inner = proxy.Recover(s.logger)(inner)
	inner = s.withAccessLog(inner, stdout)
	inner = s.policy.Wrap(inner) // inside it, the client is known; what nobody vouches for is gone
	inner = at(s.details, s.health.Details(s.forOperators), inner)
	if s.answersProbes() {
		inner = s.health.Wrap(inner) // outermost: no log, no host list and no redirect meets a probe
	}
	s.server = healthcheck.NewServer("", inner, s.profile)
	s.server.ErrorLog = slog.NewLogLogger(s.logger.Handler(), slog.LevelWarn)
	s.listen()
}

// makePolicy falls back to believing nobody, so that the parts that need a
// policy can be judged as well.
func (s *site) makePolicy() {
	hops, err := forwarded.ParseHops(s.hops)
	if err != nil {
		s.wrong("-hops", err)
	}
	s.policy, err = forwarded.New(forwarded.Config{Hops: hops, Hosts: s.hosts, Logger: s.logger})
	if err != nil {
		s.wrong("", err)
		s.policy = new(forwarded.Policy)
	}
}

// withHTTPS decides by what the policy knows, so it goes inside of that. What
// asks for an address is refused: the balancer's probes are answered outside.
func (s *site) withHTTPS(next http.Handler) http.Handler {
	if s.https == "" {
		return next
	}
	e, err := redirect.New(redirect.Config{
		Canonical: s.https, Aliases: s.aliases, PlainHosts: s.plainHosts,
		HSTS: s.hsts, RequireProxy: s.requireProxy, Logger: s.logger,
	})
	if err != nil {
		s.wrong("-https", err)
		return next
	}
	return e.Wrap(next)
}

// maxHeader is more than a balancer lets through: ALB takes 64 K, and adds its
// own.
const maxHeader = 128 << 10

func (s *site) makeProxy() {
	p, err := proxy.New(proxy.Config{
		Upstreams: s.upstreams,
		Balance:   s.balance,
		Check:     proxy.HealthCheck{Path: s.check},
		Limits:    proxy.Limits{RequestBody: s.maxBody, RequestHeader: maxHeader},
		Timeouts:  proxy.Timeouts{Head: s.answerTime()},
		Logger:    s.logger,
	})
	if err != nil {
		s.wrong("", err)
		p = new(proxy.Proxy)
	}
	s.proxy = p
}

// withStripPrefix turns into a mistake what is a panic for a prefix in source
// code.
func (s *site) withStripPrefix(next http.Handler) (h http.Handler) {
	if s.stripPrefix == "" {
		return next
	}
	defer func() {
		if r := recover(); r != nil {
			s.wrong("-strip-prefix", fmt.Errorf("%v", r))
			h = next
		}
	}()
	return proxy.StripPrefix(s.stripPrefix)(next)
}

// withStatic serves from an os.Root, which no symbolic link leads out of.
func (s *site) withStatic(next http.Handler) http.Handler {
	if s.static == "" {
		return next
	}
	root, err := os.OpenRoot(s.static)
	if err != nil {
		s.wrong("-static", err)
		return next
	}
	s.closers = append(s.closers, root)
	return proxy.Static(root.FS())(next)
}

func (s *site) withAccessLog(next http.Handler, stdout io.Writer) http.Handler {
	switch s.accessLog {
	case "off", "":
		return next
	case "-":
		return proxy.AccessLog(stdout)(next)
	}
	file, err := os.OpenFile(s.accessLog, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640)
	if err != nil {
		s.wrong("-access-log", err)
		return next
	}
	s.closers = append(s.closers, file)
	return proxy.AccessLog(file)(next)
}

// isLocal admits who connects from this machine without a declared hop in
// between: behind one on this machine, everybody's peer is local. A proxy on
// this machine that is not declared would let its clients in.
func (s *site) isLocal(r *http.Request) bool {
	info := forwarded.From(r)
	return info.Status == forwarded.StatusDirect && info.Client.IsLoopback()
}

// forOperators admits the same to what is answered outside of the policy's Wrap.
func (s *site) forOperators(r *http.Request) bool {
	return healthcheck.Loopback(r) && s.policy.Resolve(r).Status == forwarded.StatusDirect
}

// at lets h answer one exact path, if there is one.
func at(path string, h, next http.Handler) http.Handler {
	if path == "" {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == path {
			h.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// makeHealth says what makes this instance unfit for requests: that none of its
// upstreams can take one. Without -check none is ever known not to. Each upstream
// has a line of its own as well, for those who look, and that only warns.
func (s *site) makeHealth() {
	all := healthcheck.Check{Name: "upstreams", Kind: healthcheck.Local, Func: s.anyUpstream}
	if s.sharedUpstreams {
		all.Kind = healthcheck.Dependency
	}
	cfg := healthcheck.Config{Logger: s.logger, Every: time.Second, Checks: []healthcheck.Check{all}}
	for i := range s.upstreams {
		cfg.Checks = append(cfg.Checks, healthcheck.Check{Name: fmt.Sprintf("upstream-%d", i+1), Func: s.oneUpstream(i)})
	}
	for i := range cfg.Checks { // the proxy has counted already
		cfg.Checks[i].Failures, cfg.Checks[i].Successes = 1, 1
	}
	if s.answersProbes() {
		cfg.Paths.Health = s.options.health
	}
	var err error
	if s.health, err = healthcheck.New(cfg); err != nil {
		s.wrong("", err)
		s.health = new(healthcheck.Health)
	}
}

func (s *site) anyUpstream(context.Context) error {
	for _, u := range s.proxy.Status().Upstreams {
		if u.State != proxy.StateUnhealthy {
			return nil
		}
	}
	return fmt.Errorf("no upstream passes -check %s", s.check)
}

func (s *site) oneUpstream(i int) func(context.Context) error {
	return func(context.Context) error {
		all := s.proxy.Status().Upstreams
		if i >= len(all) || all[i].State != proxy.StateUnhealthy && all[i].State != proxy.StateEjected {
			return nil
		}
		return fmt.Errorf("%s is %v: %s", all[i].Upstream, all[i].State, all[i].Reason)
	}
}

// answerTime is how long the application may take to begin to answer. Where the
// balancer gives up after its idle time, a 504 of this proxy's comes first: it
// says in the log which upstream is slow, and the balancer's would say nothing.
// Zero is the proxy's own.
func (s *site) answerTime() time.Duration {
	if idle, name := s.profile.Idle, s.profile.Name; name == healthcheck.ALB().Name || name == healthcheck.CLB().Name {
		return max(idle-5*time.Second, idle/2)
	}
	return 0
}

// listen comes last of all that can fail, so that nobody connects in vain.
func (s *site) listen() {
	ln, err := net.Listen("tcp", s.options.listen)
	if err != nil {
		s.wrong("-listen", err)
		return
	}
	s.listener = ln
	s.closers = append(s.closers, ln)
}

// wrong notes the mistakes of one part. Those that name a field of a Config are
// told by the flag that it was read from.
func (s *site) wrong(flag string, err error) {
	var fields forwarded.ConfigErrors // those of the other packages are the same type
	if !errors.As(err, &fields) {
		s.mistakes = append(s.mistakes, fmt.Errorf("%s: %w", flag, err))
		return
	}
	flags := map[string]string{
		"Hops": "-hops", "Hosts": "-hosts", "Upstreams": "-upstream", "Check.Path": "-check", "Paths.Health": "-health",
		"Canonical": "-https", "Aliases": "-alias", "PlainHosts": "-plain-host", "HSTS": "-hsts",
	}
	for _, e := range fields {
		name, index, _ := strings.Cut(e.Field, "[")
		if name = cmp.Or(flags[name], name); index != "" {
			name += "[" + index
		}
		e.Field = name
		s.mistakes = append(s.mistakes, e)
	}
}

// announce says what listens where, whom it believes, and what cannot be known.
func (s *site) announce(stdout io.Writer) {
	var b strings.Builder
	fmt.Fprintf(&b, "Listening on %s for %s.\n", s.listener.Addr(), strings.Join(s.upstreams, ", "))
	fmt.Fprintf(&b, "In front, nearest first:\n  %s\n", strings.ReplaceAll(s.policy.String(), "\n", "\n  "))
	for _, f := range s.policy.Lint() {
		fmt.Fprintf(&b, "Lint: %s.\n  Fix: %s.\n", f.Message, f.Fix)
	}
	if s.https != "" {
		fmt.Fprintf(&b, "Visitors end up at https://%s/; HSTS: %s.\n", s.https, cmp.Or(s.hsts.String(), "off"))
	}
	if s.https != "" && !s.answersProbes() {
		b.WriteString("Note: a balancer's probes, which ask for an address, get 421 with -health off.\n")
	}
	io.WriteString(stdout, b.String())
}

// serve returns when it is told to end and everything under way has ended,
// WebSockets among it, or when the listener fails. The error says what was lost.
func (s *site) serve(ctx context.Context) error {
	return healthcheck.ServeAll(ctx, s.health, healthcheck.Endpoint{Server: s.server, Listeners: []net.Listener{s.listener}})
}

// close ends what is left: the proxy's checks, and WebSockets for which there was
// no time.
func (s *site) close() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	s.proxy.Shutdown(ctx)
	for _, c := range s.closers {
		c.Close()
	}
}
