package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/proxy/albtest"
)

// A demo is everything that runs: the balancer, what stands behind it, and the
// page about them.
type demo struct {
	cfg      config
	dir      string // temporary files
	note     string // about the page's port; "": nothing
	pageDoor net.Listener
	ways     ways
	sites    []site
	balancer *albtest.Server
	nginx    *nginx // nil: none
	servers  *servers
	closers  []func() error // of what else there is to end
	visits   visits
	probe    atomic.Pointer[visit] // the balancer's last health check at the proxy
	deploys  deployments
	logs     logbook
	failed   chan error // a part ended although nobody stopped it
}

// ways are the addresses that a visitor can ask, on 127.0.0.1.
type ways struct {
	HTTPS, HTTP string // the balancer's listeners, as host:port
	Page        string // the demo's page; this one and the rest are URLs without a path
	Proxy       string // the proxy, past the balancer
	App         string // the application, past all proxies
	Inner       string // the application, where the proxy connects to it
}

// Secure is the balancer's listener 443 as a URL.
func (w ways) Secure() string { return "https://" + w.HTTPS }

// local names an address of this machine as the chain's proxies do, which
// answer for no address.
func local(url string) string { return strings.Replace(url, "127.0.0.1", "localhost", 1) }

// hosts are all names that the applications know as their own.
var hosts = []string{
	hostWeb, hostAlias, host443, hostDown, hostNginx, hostFixed, hostLoop, hostInside, "127.0.0.1", "localhost",
}

// start brings everything up, from the inside out, and lets the balancer probe
// its targets once. Whatever fails, nothing is left behind.
func start(ctx context.Context, cfg config) (*demo, error) {
	d := &demo{cfg: cfg, failed: make(chan error, maxParts)}
	d.servers = &servers{failed: d.failed}
	for _, step := range []func(context.Context) error{
		d.prepare, d.buildWeb, d.buildDown, d.buildNginx, d.awaitChecks, d.startBalancer,
	} {
		if err := errors.Join(ctx.Err(), step(ctx)); err != nil {
			return nil, errors.Join(err, d.close())
		}
	}
	d.servers.serve(d.pageDoor, d.page())
	return d, nil
}

// maxParts bounds how many parts can fail at once: seven servers and nginx.
const maxParts = 8

// prepare finds what the rest stands on: nginx, a place for files, a port for
// the page.
func (d *demo) prepare(context.Context) (err error) {
	if d.cfg.nginx {
		if d.nginx, err = findNginx(nginxPlaces...); err != nil {
			return err
		}
		if d.dir, err = os.MkdirTemp("", "knownhops-demo"); err != nil {
			return err
		}
	}
	if d.pageDoor, d.note, err = listen(d.cfg.page); err != nil {
		return err
	}
	d.ways.Page = urlOf(d.pageDoor)
	return nil
}

// application is one with these proxies in front, nearest first.
func (d *demo) application(hops ...forwarded.Hop) (*application, error) {
	policy, err := forwarded.New(forwarded.Config{Hops: hops, Hosts: hosts, Logger: d.logs.logger()})
	if err != nil {
		return nil, err
	}
	return &application{policy: policy, visits: &d.visits, page: d.ways.Page, lastProbe: &d.probe}, nil
}

// inner lets the proxy in, on the application's own machine.
func (d *demo) inner(h http.Handler) (url string, err error) {
	ln, err := free()
	if err != nil {
		return "", err
	}
	d.servers.serve(ln, h)
	return urlOf(ln), nil
}

// door lets visitors in past what is meant to be in front.
func (d *demo) door(h http.Handler) (url string, err error) {
	ln, err := free()
	if err != nil {
		return "", err
	}
	d.servers.serve(visitorsDoor{ln}, h)
	return urlOf(ln), nil
}

// startBalancer puts the balancer in front of every site. It forwards by host
// name, and whatever it does not know to the first. Its listener 80 redirects,
// but for one name, which is left to the proxy.
func (d *demo) startBalancer(context.Context) (err error) {
	secure := albtest.Listener{Port: 443, TLS: &albtest.TLS{}, Default: albtest.ForwardTo(d.sites[0].Group)}
	groups := make(map[string]albtest.TargetGroup)
	for i, s := range d.sites {
		groups[s.Group] = s.group
		secure.Rules = append(secure.Rules, albtest.Rule{
			Priority:   i + 1,
			Conditions: []albtest.Condition{albtest.HostHeader{s.Host}},
			Action:     albtest.ForwardTo(s.Group),
		})
	}
	plain := albtest.Listener{Port: 80, Default: albtest.ToHTTPS(), Rules: []albtest.Rule{{
		Priority:   1,
		Conditions: []albtest.Condition{albtest.HostHeader{hostAlias}},
		Action:     albtest.ForwardTo(d.sites[0].Group),
	}}}
	d.balancer, err = albtest.New(albtest.Config{
		Listeners:    []albtest.Listener{secure, plain},
		TargetGroups: groups,
		ClientAddr:   visitor,
	})
	if err != nil {
		return err
	}
	d.ways.HTTPS, d.ways.HTTP = d.balancer.Addr(443), d.balancer.Addr(80)
	return nil
}

// close ends everything, from the outside in, and removes what was written.
func (d *demo) close() error {
	var errs []error
	if d.balancer != nil {
		d.balancer.Close()
	}
	errs = append(errs, d.servers.shutdown())
	for _, end := range slices.Backward(d.closers) {
		errs = append(errs, end())
	}
	if d.nginx != nil {
		errs = append(errs, d.nginx.stop())
	}
	if d.pageDoor != nil {
		d.pageDoor.Close() // it is closed already, unless the start failed
	}
	if d.dir != "" {
		errs = append(errs, os.RemoveAll(d.dir))
	}
	return errors.Join(errs...)
}
