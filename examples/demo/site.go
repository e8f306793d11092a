package main

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"time"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/healthcheck"
	"github.com/knownhops/knownhops/proxy"
	"github.com/knownhops/knownhops/proxy/albtest"
)

// A site is a host name with a target group of its own.
type site struct {
	Host    string
	Group   string
	Front   string // what stands on the port that the balancer connects to; "": nothing
	About   string // what there is to know of it
	group   albtest.TargetGroup
	backend *forwarded.Policy   // of the application behind it; nil: there is none
	checked *healthcheck.Health // answers the group's probes; nil: the application behind nginx does, or nobody
}

// The hosts, each of which reaches the balancer, but for the last.
const (
	hostWeb   = "www.example.com"
	hostAlias = "example.com"
	host443   = "port443.example.com"
	hostDown  = "down.example.com"
	hostNginx = "nginx.example.com"
	hostFixed = "fixed.example.com"
	hostLoop  = "loop.example.com"

	hostInside = "web.internal" // for programs inside, over http
)

// instance is the machine with the proxy and the application.
var instance = netip.MustParseAddr("10.0.20.10")

// group is a target group that is probed as often as AWS permits, because
// nobody wants to wait for a demo.
func group(t albtest.Target) albtest.TargetGroup {
	return albtest.TargetGroup{
		Targets:     []albtest.Target{t},
		HealthCheck: albtest.HealthCheck{Path: probePath, Interval: 5 * time.Second, Timeout: 2 * time.Second},
	}
}

// buildWeb makes the chain as it should be, and the same instance's port 443.
func (d *demo) buildWeb(context.Context) error {
	app, err := d.application(forwarded.Proxy("127.0.0.1"), forwarded.ALB(albtest.Subnets()...))
	if err != nil {
		return err
	}
	if d.ways.Inner, err = d.inner(app); err != nil {
		return err
	}
	if d.ways.App, err = d.door(app); err != nil {
		return err
	}
	front, health, err := d.proxy(d.ways.Inner, hostWeb, hostAlias)
	if err != nil {
		return err
	}
	if d.ways.Proxy, err = d.door(front); err != nil {
		return err
	}
	d.sites = append(d.sites, site{
		Host: hostWeb, Group: "web-80", Front: "the proxy", backend: app.policy, checked: health,
		About: "Our proxy, which decides about https, with the application behind it.",
		group: group(albtest.Target{Handler: front, IP: instance}),
	}, site{
		Host: host443, Group: "web-443",
		About: "The same instance, but the group's port is 443, and nobody listens there.",
		group: overTLS(group(albtest.Target{Absent: true, IP: instance})),
	})
	return nil
}

func overTLS(g albtest.TargetGroup) albtest.TargetGroup {
	g.Protocol, g.HealthCheck.Protocol = albtest.HTTPS, albtest.HTTPS
	return g
}

// nobody is an upstream at which nobody listens: port 1 was given to a service
// that no machine has any more.
const nobody = "http://127.0.0.1:1"

// buildDown makes the instance whose application has ended.
func (d *demo) buildDown(context.Context) error {
	front, health, err := d.proxy(nobody, hostDown)
	d.sites = append(d.sites, site{
		Host: hostDown, Group: "down", Front: "the proxy", checked: health,
		About: "Our proxy; the application behind it is down.",
		group: group(albtest.Target{Handler: front}),
	})
	return err
}

// proxy is what stands in nginx's place. It believes the balancer, and decides
// about https. Health checks are answered outside of both: they ask for an
// address, which the guard would refuse.
func (d *demo) proxy(upstream, canonical string, aliases ...string) (http.Handler, *healthcheck.Health, error) {
	hops, err := forwarded.New(forwarded.Config{
		Hops: []forwarded.Hop{forwarded.ALB(albtest.Subnets()...)}, Hosts: hosts, Logger: d.logs.logger(),
	})
	if err != nil {
		return nil, nil, err
	}
	p, err := proxy.New(proxy.Config{Upstreams: []string{upstream}, Policy: hops, Logger: d.logs.logger()})
	if err != nil {
		return nil, nil, err
	}
	d.closers = append(d.closers, func() error { return p.Shutdown(context.Background()) })
	g, err := d.guard("the proxy", hops, canonical, aliases...)
	if err != nil {
		return nil, nil, err
	}
	health, err := d.checked(upstream)
	if err != nil {
		return nil, nil, err
	}
	guarded := hops.Wrap(g.Wrap(p))
	outermost := health.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { guarded.ServeHTTP(w, arriving(r)) }))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if canonical == hostWeb && r.URL.Path == probePath && r.UserAgent() == probeAgent {
			d.probe.Store(&visit{Arrived: allLines(r), Believed: hops.Explain(r)}) // for the scene about it
		}
		outermost.ServeHTTP(w, r)
	}), health, nil
}

// checked is the health of a proxy whose application is on the same machine: if
// that is down, this instance is of no use, and another one may be.
func (d *demo) checked(upstream string) (*healthcheck.Health, error) {
	health, err := healthcheck.New(healthcheck.Config{Logger: d.logs.logger(), Checks: []healthcheck.Check{{
		Name: "application", Kind: healthcheck.Local, Every: 5 * time.Second,
		Func: func(ctx context.Context) error { return healthcheck.Probe(ctx, upstream+probePath) },
	}}})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- health.Run(ctx) }()
	d.closers = append(d.closers, func() error { cancel(); return <-ended })
	return health, nil
}

// awaitChecks waits for the first result of each check, so that the balancer's
// first question finds an answer.
func (d *demo) awaitChecks(ctx context.Context) error {
	for _, s := range d.sites {
		for s.checked != nil && s.checked.Snapshot().Checks[0].Runs == 0 {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(time.Millisecond):
			}
		}
	}
	return nil
}

// Details reports whether healthcheck has a page about the site.
func (s site) Details() bool { return s.checked != nil }

// buildNginx makes instances with nginx, some of which overwrite what the
// balancer wrote. The applications behind them decide about https.
func (d *demo) buildNginx(ctx context.Context) error {
	sites := []site{{
		Host: hostNginx, Group: "nginx", About: "nginx, which overwrites X-Forwarded-Proto with its own $scheme.",
	}, {
		Host: hostFixed, Group: "nginx-fixed", About: "nginx, which passes X-Forwarded-Proto on.",
	}, {
		Host: hostLoop, Group: "nginx-loop", About: "nginx, which overwrites X-Forwarded-Proto, although the application was told that it passes.",
	}}
	build := d.imitateNginx
	if d.cfg.nginx {
		build = d.runNginx
	}
	err := build(ctx, sites)
	d.sites = append(d.sites, sites...)
	return err
}

// nginxSchemes are what each nginx does, and what its application was told.
var nginxSchemes = []struct{ does, told nginxScheme }{
	{schemeOwn, schemeOwn},
	{schemePasses, schemePasses},
	{schemeOwn, schemePasses},
}

// nginxHop is what an application says of the nginx in front of it.
func nginxHop(from string, scheme nginxScheme) forwarded.Hop {
	hop := forwarded.Nginx(from)
	if scheme == schemePasses {
		hop.Proto = forwarded.Passes()
	}
	return hop
}

// guarded is an application that decides about https itself.
func (d *demo) guarded(canonical string, hops ...forwarded.Hop) (*application, error) {
	app, err := d.application(hops...)
	if err != nil {
		return nil, err
	}
	app.guard, err = d.guard("the application", app.policy, canonical)
	return app, err
}

func (d *demo) imitateNginx(_ context.Context, sites []site) error {
	transport := &http.Transport{DisableCompression: true}
	d.closers = append(d.closers, func() error { transport.CloseIdleConnections(); return nil })
	for i, scheme := range nginxSchemes {
		app, err := d.guarded(sites[i].Host, nginxHop("127.0.0.1", scheme.told), forwarded.ALB(albtest.Subnets()...))
		if err != nil {
			return err
		}
		upstream, err := d.inner(app)
		if err != nil {
			return err
		}
		front := imitation(upstream, scheme.does, transport)
		sites[i].Front, sites[i].backend = "nginx (imitated)", app.policy
		sites[i].group = group(albtest.Target{Handler: front})
	}
	return nil
}

// runNginx has one nginx serve them all. The balancer's connections to a program of
// its own come from 127.0.0.1, so nginx's come through sockets.
func (d *demo) runNginx(ctx context.Context, sites []site) error {
	var servers []nginxServer
	for i, scheme := range nginxSchemes {
		app, err := d.guarded(sites[i].Host, nginxHop("unix", scheme.told), forwarded.ALB("127.0.0.1"))
		if err != nil {
			return err
		}
		socket := filepath.Join(d.dir, sites[i].Group+".sock")
		inner, err := net.Listen("unix", socket)
		if err != nil {
			return err
		}
		d.servers.serve(inner, app)
		addr, err := freeAddr()
		if err != nil {
			return err
		}
		servers = append(servers, nginxServer{addr: addr, socket: socket, scheme: scheme.does})
		sites[i].Front, sites[i].backend = "nginx", app.policy
		sites[i].group = group(albtest.Target{Addr: addr})
	}
	return d.nginx.start(ctx, d.dir, servers, d.failed)
}

// freeAddr is an address for somebody who opens it himself.
func freeAddr() (string, error) {
	ln, err := free()
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}
