package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/knownhops/knownhops/forwarded"
)

// A demo is everything that runs: the balancer, perhaps nginx, the application.
type demo struct {
	cfg      config
	network  network
	dir      string // temporary files
	notes    []string
	doors    doors
	ways     ways
	policy   *forwarded.Policy
	identity identity
	journal  journal
	nginx    *nginx // nil: none
	balancer *balancer
	servers  *servers
	failed   chan error // a part ended although nobody stopped it
}

// doors are the listeners.
type doors struct {
	https, http net.Listener // the balancer's
	app         net.Listener // the application's, for visitors and, if it can be, for the proxy in front
	inner       net.Listener // the application's for that proxy alone; nil: none
}

// ways are the addresses that a visitor can ask, as URLs without a path.
type ways struct {
	HTTPS, HTTP string // the balancer's listeners
	App         string // the application, past all proxies
	Nginx       string // nginx, past the balancer; "": there is none
}

// start brings everything up, from the inside out, and lets the balancer probe
// its target once. Whatever fails, nothing is left behind.
func start(ctx context.Context, cfg config) (*demo, error) {
	d := &demo{cfg: cfg, network: cfg.network, failed: make(chan error, maxParts)}
	d.servers = newServers(cfg.logger, d.failed)
	for _, step := range []func(context.Context) error{
		d.prepare, d.declare, d.listen, d.serveApplication, d.startNginx, d.serveBalancer,
	} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, d.close())
		}
	}
	return d, nil
}

// maxParts bounds how many parts can fail at once: three servers, one more for
// a listener of its own, and nginx.
const maxParts = 5

// prepare finds what the rest stands on: nginx, addresses, a place for files,
// a certificate.
func (d *demo) prepare(context.Context) (err error) {
	if d.cfg.nginx {
		if d.nginx, err = findNginx(nginxPlaces...); err != nil {
			return err
		}
	}
	if d.network == (network{}) {
		if d.network, err = findNetwork(); err != nil {
			return err
		}
	}
	if d.dir, err = os.MkdirTemp("", "knownhops-demo"); err != nil {
		return err
	}
	d.identity, err = newIdentity()
	return err
}

// declare says who stands in front of the application, nearest first. This is
// all that a service behind a balancer configures.
func (d *demo) declare(context.Context) (err error) {
	hops := []forwarded.Hop{forwarded.ALB(d.network.balancer)}
	if d.cfg.nginx {
		nginx := forwarded.Nginx(d.network.nginx)
		if d.cfg.nginxScheme == schemePasses {
			nginx.Proto = forwarded.Passes()
		}
		hops = []forwarded.Hop{nginx, hops[0]}
	}
	d.policy, err = forwarded.New(forwarded.Config{
		Hops:   hops,
		Hosts:  []string{"localhost", "127.0.0.1"},
		Logger: d.cfg.logger,
	})
	return err
}

// listen opens every door before anybody is told of one.
func (d *demo) listen(context.Context) (err error) {
	for _, want := range []struct {
		door    *net.Listener
		purpose string
		port    uint
	}{
		{&d.doors.https, "https", d.cfg.https},
		{&d.doors.http, "http", d.cfg.http},
		{&d.doors.app, "application", d.cfg.app},
	} {
		if *want.door, err = d.open(want.purpose, want.port); err != nil {
			return err
		}
	}
	d.ways = ways{
		HTTPS: localhost("https", d.doors.https),
		HTTP:  localhost("http", d.doors.http),
		App:   "http://" + addressOf(d.doors.app),
	}
	if !d.network.v4() {
		if d.doors.inner, err = d.network.inner(d.cfg.nginx, d.dir); err != nil {
			return err
		}
	}
	return d.choosePort()
}

// choosePort finds a port for nginx, which opens it itself.
func (d *demo) choosePort() error {
	if d.nginx == nil {
		return nil
	}
	ln, err := d.open("nginx", d.cfg.nginxPort)
	if err != nil {
		return err
	}
	d.nginx.port = portOf(ln)
	d.ways.Nginx = "http://" + addressOf(ln)
	return ln.Close()
}

// open listens, and notes what the visitor should know about it.
func (d *demo) open(purpose string, port uint) (net.Listener, error) {
	ln, note, err := listen(purpose, port)
	if note != "" {
		d.notes = append(d.notes, note)
	}
	return ln, err
}

// backend is the application's listener for whoever stands in front of it.
func (d *demo) backend() net.Listener {
	if d.doors.inner != nil {
		return d.doors.inner
	}
	return d.doors.app
}

func (d *demo) serveApplication(context.Context) error {
	handler := newApplication(d).handler()
	d.servers.serve(d.doors.app, handler)
	if d.doors.inner != nil {
		d.servers.serve(d.doors.inner, handler)
	}
	return nil
}

func (d *demo) startNginx(ctx context.Context) error {
	if d.nginx == nil {
		return nil
	}
	conf := nginxConf{
		dir: d.dir, port: d.nginx.port, v6: !d.network.v4(), from: d.network.nginx,
		scheme: d.cfg.nginxScheme, upstream: addressOf(d.backend()),
	}
	return d.nginx.start(ctx, conf, d.failed)
}

func (d *demo) serveBalancer(ctx context.Context) error {
	d.balancer = newBalancer(d.network.balancer, d.target(), &d.journal, d.cfg.logger)
	d.servers.serve(d.doors.http, d.balancer.listener("http", portOf(d.doors.http)))
	d.servers.serveTLS(d.doors.https, d.balancer.listener("https", portOf(d.doors.https)), d.identity)
	return d.balancer.watch(ctx)
}

// target is where the balancer connects to.
func (d *demo) target() string {
	switch {
	case d.nginx == nil:
		return addressOf(d.backend())
	case d.network.v4():
		return fmt.Sprintf("127.0.0.1:%d", d.nginx.port)
	}
	return fmt.Sprintf("[::1]:%d", d.nginx.port)
}

// close ends everything, from the outside in, and removes what was written.
func (d *demo) close() error {
	var errs []error
	if d.balancer != nil {
		d.balancer.stop()
	}
	errs = append(errs, d.servers.shutdown())
	if d.nginx != nil {
		errs = append(errs, d.nginx.stop())
	}
	for _, ln := range []net.Listener{d.doors.https, d.doors.http, d.doors.app, d.doors.inner} {
		if ln != nil {
			ln.Close() // most are closed by now
		}
	}
	if d.dir != "" {
		errs = append(errs, os.RemoveAll(d.dir))
	}
	return errors.Join(errs...)
}
