package main

import (
	"net/http"
	"sync"

	"github.com/knownhops/knownhops/healthcheck"
)

// deployments is the one that runs, or ran last.
type deployments struct {
	mu     sync.Mutex
	latest *deployment // nil: there was none
}

// begin starts one unless one is running.
func (d *deployments) begin(naive bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.latest != nil && d.latest.view().Step != "" {
		return
	}
	d.latest = newDeployment(naive, false)
	go d.latest.run() // it ends by itself; nobody waits for it when the demo is stopped
}

func (d *deployments) last() *deployment {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.latest
}

func (d *demo) showDeploy(w http.ResponseWriter, r *http.Request) {
	d.sendView(w, view{Current: "deploy", Deploy: d.deploys.last().view()})
}

func (d *demo) startDeploy(w http.ResponseWriter, r *http.Request) {
	d.deploys.begin(r.FormValue("how") == "naive")
	http.Redirect(w, r, "/deploy", http.StatusSeeOther)
}

// showDetails is healthcheck's own page, of the part that answers a group's
// probes. It is for callers on this machine.
func (d *demo) showDetails(w http.ResponseWriter, r *http.Request) {
	health := d.healthOf(r.PathValue("group"))
	if health == nil {
		http.NotFound(w, r)
		return
	}
	health.Details(healthcheck.Loopback).ServeHTTP(w, r)
}

func (d *demo) healthOf(group string) *healthcheck.Health {
	if last := d.deploys.last(); group == "deploy" && last != nil {
		return last.leaving
	}
	for _, s := range d.sites {
		if s.Group == group {
			return s.checked
		}
	}
	return nil
}
