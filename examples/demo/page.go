package main

import (
	"bytes"
	"html/template"
	"io"
	"net/http"
	"strings"
)

// sendPage puts the demo around the library's page about a request.
func (a *application) sendPage(w http.ResponseWriter, page []byte, j journey) {
	send(w, "text/html; charset=utf-8", inside(page, part("style", nil), part("intro", a.intro), part("journey", j)))
}

// inside adds to a page's style, before its heading and after its last table.
// The library promises that "<main>" and "</main>" stand in it once.
func inside(page []byte, style, before, after string) []byte {
	return []byte(strings.NewReplacer(
		"</head>", style+"</head>",
		"<main>", "<main>"+before,
		"</main>", after+"</main>",
	).Replace(string(page)))
}

// part executes one template. What it is given comes from this program, so
// that an error is a mistake in the template, and the page shows it.
func part(name string, data any) string {
	var b bytes.Buffer
	if err := parts.ExecuteTemplate(&b, name, data); err != nil {
		return template.HTMLEscapeString(err.Error())
	}
	return b.String()
}

// scene lets the demo send a scene's request itself and shows the answer, for
// visitors whose browser cannot forge a header.
func (a *application) scene(w http.ResponseWriter, r *http.Request) {
	for _, s := range a.intro.Scenes {
		if s.Name == r.PathValue("name") {
			a.show(w, r, s)
			return
		}
	}
	http.NotFound(w, r)
}

func (a *application) show(w http.ResponseWriter, r *http.Request, s scene) {
	resp, err := s.play(r.Context(), a.identity, "text/html")
	if err != nil {
		http.Error(w, "the scene failed: "+err.Error(), http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		http.Error(w, "the scene failed: "+err.Error(), http.StatusBadGateway)
		return
	}
	contentType := resp.Header.Get("Content-Type")
	if strings.HasPrefix(contentType, "text/html") {
		link := `href="/scenes/` + s.Name + `"`
		body = bytes.Replace(body, []byte(link), []byte(`aria-current="page" `+link), 1)
		body = bytes.Replace(body, []byte("</header>"), []byte("</header>"+part("scene", s)), 1)
	}
	send(w, contentType, body)
}

// An intro is what the page says about the demo itself.
type intro struct {
	Ways     ways
	Balancer string // where it connects from
	Nginx    string // the same; "": there is none
	Scenes   []scene
}

func newIntro(d *demo) intro {
	in := intro{Ways: d.ways, Balancer: d.network.balancer, Scenes: d.scenes()}
	if d.nginx != nil {
		in.Nginx = d.network.nginx
	}
	return in
}

var parts = template.Must(template.New("").Parse(`
{{define "intro"}}
<header class="demo">
<p class="name"><b>knownhops</b> believe only the hops you know</p>
<p>An application shows you what it knows about your request, and how it knows. In front of it stands a balancer that treats
requests as an AWS ALB does and connects from <code>{{.Balancer}}</code>{{if .Nginx}}, and between the two a real nginx, which
connects {{if eq .Nginx "unix"}}through a unix socket{{else}}from <code>{{.Nginx}}</code>{{end}}{{end}}.
You connect from <code>127.0.0.1</code>.</p>
<nav aria-label="Ways in"><b>Come in by</b><div>
<a href="{{.Ways.HTTPS}}/">https</a>
<a href="{{.Ways.HTTP}}/">http</a>
{{with .Ways.Nginx}}<a href="{{.}}/">nginx, past the balancer</a>{{end}}
<a href="{{.Ways.App}}/">the application itself</a></div></nav>
<nav aria-label="Scenes"><b>Let the demo send</b><div>
{{range .Scenes}}<a href="/scenes/{{.Name}}">{{.Title}}</a>
{{end}}</div></nav>
</header>
{{end}}

{{define "scene"}}
<section class="scene">
<h2>{{.Title}}</h2>
<p>{{.Says}}</p>
<pre>{{.Curl}}</pre>
<p class="small">The demo sent this itself, from {{or .From "127.0.0.1"}}. Below is the answer.</p>
</section>
{{end}}

{{define "journey"}}
{{if .Rows}}
<h2>Every header line, stage by stage</h2>
<table class="journey">
<thead><tr><th scope="col">Header{{if .Sent}}<th scope="col">Sent to the balancer{{end}}<th scope="col">Arrived at the application<th scope="col">Handed on to its handlers</tr></thead>
<tbody>
{{$sent := .Sent}}{{range .Rows}}<tr class="{{if .Changed}}changed{{end}}"><th scope="row">{{.Name}}</th>
{{- if $sent}}<td class="code" data-stage="sent">{{template "line" .Sent}}</td>{{end -}}
<td class="code" data-stage="arrived">{{template "line" .Arrived}}</td><td class="code" data-stage="handed on">{{template "line" .Handed}}</td></tr>
{{end}}</tbody></table>
{{if .Sent}}<p class="small">The first column is not the application's to know: the demo can show it because the balancer runs in the same process.</p>{{end}}
{{end}}
{{end}}

{{define "line"}}{{if .}}{{.}}{{else}}<span class="nothing">not there</span>{{end}}{{end}}

{{define "style"}}<style>
.demo { margin: 0 0 2rem; padding-bottom: 1.25rem; border-bottom: 1px solid var(--line); }
.demo p { margin: 0 0 .75rem; max-width: 52rem; } .demo .name { color: var(--soft); } .demo .name b { color: var(--ink); font-size: 1.2rem; margin-right: .4rem; }
code { font: .9em ui-monospace, monospace; }
nav { display: grid; grid-template-columns: 9.5rem 1fr; margin-top: .6rem; font-size: .9rem; }
nav div { display: flex; flex-wrap: wrap; gap: .4rem .45rem; } nav b { font-weight: 500; color: var(--soft); }
nav a { color: inherit; text-decoration: none; background: var(--card); border: 1px solid var(--line); border-radius: 1em; padding: .05rem .75em; }
nav a:hover, nav a:focus-visible { border-color: var(--ink); } nav a[aria-current] { background: var(--ink); border-color: var(--ink); color: var(--bg); }
.scene { background: var(--card); border: 1px solid var(--line); border-left: 4px solid var(--gone); border-radius: .3rem; padding: .2rem 1rem .8rem; margin: 0 0 1.5rem; }
.scene h2 { margin: .6rem 0 .2rem; } .scene p { margin: 0 0 .5rem; }
.scene pre { margin: 0 0 .5rem; padding: .5rem .75rem; background: var(--bg); border-radius: .3rem; overflow-x: auto; font: .85rem/1.5 ui-monospace, monospace; }
.small { font-size: .85rem; color: var(--soft); } p.small { margin: .5rem 0 0; } .nothing { color: var(--soft); font-style: italic; }
.journey { table-layout: fixed; } .journey thead th:first-child { width: 12.5rem; } .journey td { white-space: pre-line; }
.journey tr { color: var(--soft); } .journey tr.changed { color: var(--ink); } .journey tr.changed th { color: var(--gone); }
@media (max-width: 46rem) {
  nav { display: block; } nav b { display: block; margin-bottom: .2rem; }
  .journey, .journey tbody, .journey tr, .journey tbody th { display: block; } .journey thead { display: none; }
  .journey tr { padding: .5rem .75rem; border-top: 1px solid var(--line); } .journey tr:first-child { border-top: 0; }
  .journey th, .journey td { border: 0; padding: 0; } .journey td { display: grid; grid-template-columns: 5rem 1fr; }
  .journey td::before { content: attr(data-stage); font-family: system-ui, sans-serif; color: var(--soft); }
}
</style>{{end}}
`))
