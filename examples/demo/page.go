package main

import (
	"bytes"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"strings"

	"github.com/knownhops/knownhops/forwarded"
	"github.com/knownhops/knownhops/proxy/albtest"
)

// page is the demo's own site, beside the chain and not in it.
func (d *demo) page() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { d.send(w, nil, "") })
	mux.HandleFunc("GET /scenes/{name}", d.showScene)
	mux.HandleFunc("GET /log/{number}", d.showEntry)
	mux.HandleFunc("GET /visits/{number}", d.showVisit)
	mux.HandleFunc("GET /deploy", d.showDeploy)
	mux.HandleFunc("POST /deploy", d.startDeploy)
	mux.HandleFunc("GET /details/{group}", d.showDetails)
	return http.NewCrossOriginProtection().Handler(mux) // no other site presses the button
}

// showScene lets the demo send a scene's request itself, for visitors whose
// browser cannot forge a header.
func (d *demo) showScene(w http.ResponseWriter, r *http.Request) {
	for _, s := range d.scenes() {
		if s.Name != r.PathValue("name") {
			continue
		}
		j, err := d.travel(s, r)
		if err != nil {
			http.Error(w, "the scene failed: "+err.Error(), http.StatusBadGateway)
			return
		}
		d.send(w, &j, s.Name)
		return
	}
	http.NotFound(w, r)
}

// showEntry is about a line of the balancer's log.
func (d *demo) showEntry(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.Atoi(r.PathValue("number"))
	if log := d.balancer.Log(); err == nil && n > 0 && n <= len(log) {
		e := log[n-1]
		seen, ruled := d.visits.traced(e.TraceID)
		j := d.journey(&e, seen, ruled)
		d.send(w, &j, "")
		return
	}
	http.NotFound(w, r)
}

// showVisit is about a request that reached the application or a guard.
func (d *demo) showVisit(w http.ResponseWriter, r *http.Request) {
	v := d.visits.told(r.PathValue("number"))
	if v == nil {
		http.Error(w, "there is no such visit, or it is forgotten", http.StatusNotFound)
		return
	}
	e := d.entry(func(e albtest.Entry) bool { return v.TraceID != "" && e.TraceID == v.TraceID })
	seen, ruled := d.visits.traced(v.TraceID)
	if v.Ruling == nil {
		seen = v
	} else {
		ruled = v
	}
	j := d.journey(e, seen, ruled)
	d.send(w, &j, "")
}

// A view is what the page is made of.
type view struct {
	Ways    ways
	Visitor string
	Scenes  []scene
	Current string // the scene that is shown; "": none
	Journey *journey
	Deploy  *deployView // nil: it is not about a deploy
	Health  []health
	Log     []logLine
}

// A health is the state of a site's target.
type health struct {
	site
	albtest.Health
	Tone string
}

// A logLine is one of the balancer's.
type logLine struct {
	Number int
	albtest.Entry
}

func (d *demo) send(w http.ResponseWriter, j *journey, current string) {
	d.sendView(w, view{Current: current, Journey: j})
}

// sendView adds what every page has.
func (d *demo) sendView(w http.ResponseWriter, v view) {
	v.Ways, v.Visitor, v.Scenes = d.ways, visitor.String(), d.scenes()
	v.Health, v.Log = d.health(), d.latest(12)
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, v); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError) // a mistake in the template
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "private, no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	w.Write(b.Bytes())
}

func (d *demo) health() (list []health) {
	for _, s := range d.sites {
		for _, h := range d.balancer.TargetGroup(s.Group).Health() {
			tone := "bad"
			if h.State == albtest.Healthy {
				tone = "good"
			}
			list = append(list, health{s, h, tone})
		}
	}
	return list
}

// latest are the last lines of the balancer's log, newest first.
func (d *demo) latest(most int) (list []logLine) {
	log := d.balancer.Log()
	for i := len(log) - 1; i >= 0 && len(list) < most; i-- {
		list = append(list, logLine{i + 1, log[i]})
	}
	return list
}

// Asked is what the client asked for.
func (l logLine) Asked() string {
	return fmt.Sprintf("%s %s", firstLine(l.Sent), head(l.Sent).Get("Host"))
}

// mainOf is what stands in the library's page, which escapes every value.
func mainOf(page []byte) template.HTML {
	_, rest, _ := strings.Cut(string(page), "<main>")
	inner, _, _ := strings.Cut(rest, "</main>")
	return template.HTML(strings.Replace(inner, "<h1>How this request arrived</h1>", "", 1))
}

// style is the library's.
func style() template.HTML {
	_, rest, _ := strings.Cut(string(forwarded.Explanation{}.HTML()), "<style>")
	inner, _, _ := strings.Cut(rest, "</style>")
	return template.HTML("<style>" + inner + "</style>")
}

var pageTemplate = template.Must(template.New("").Funcs(template.FuncMap{"style": style, "local": local}).Parse(pageText))
