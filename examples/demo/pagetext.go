package main

// pageText is the page. It needs nothing from anywhere: no script, no font, no
// image.
const pageText = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">{{with .Deploy}}{{if .Step}}<meta http-equiv="refresh" content="1">{{end}}{{end}}<title>knownhops demo</title>
{{style}}` + demoStyle + `</head>
<body><main>
<header class="demo">
<p class="name"><a href="/"><b>knownhops</b></a> believe only the hops you know</p>
<p>A chain as on AWS, in one process: you, who appear as <code>{{.Visitor}}</code>, a balancer, a proxy and an application. This page
stands beside it. Choose a request and see what becomes of it on its way.</p>
<nav aria-label="Scenes">{{range .Scenes}}<a href="/scenes/{{.Name}}"{{if eq .Name $.Current}} aria-current="page"{{end}}>{{.Title}}</a>
{{end}}<a href="/deploy"{{if eq .Current "deploy"}} aria-current="page"{{end}}>A deploy</a></nav>
</header>
{{if .Deploy}}{{template "deploy" .Deploy}}{{else if .Journey}}{{template "journey" .Journey}}{{else}}{{template "ways" .}}{{end}}
{{template "health" .Health}}
{{template "log" .Log}}
</main></body></html>

{{define "ways"}}
<h1>Come in yourself</h1>
<p>With a browser, at <a href="{{local .Ways.Secure}}/">the balancer's listener 443</a> (its certificate was made a moment ago, and the browser warns),
<a href="{{local .Ways.Proxy}}/">the proxy</a> past the balancer, both by the name localhost, since they answer for no address, or <a href="{{.Ways.App}}/">the application</a> past both; you are sent back here, to the page about your visit.
With curl, as each scene shows; the balancer's log below has a link to every request.</p>
{{end}}

{{define "deploy"}}<section class="scene">
<h1>A deploy</h1>
<p>Two instances behind a balancer of their own, a hundred POSTs a second, and one of the instances is told to end, as at each deploy. The balancer is
not told: it finds out by its health checks, every five seconds from each of its two nodes. healthcheck.Serve answers them with 503, ends connections with
the answers that are on their way, waits until both nodes have seen what they need, and closes the port then.</p>
<form method="post" action="/deploy"><button name="how" value="drained"{{if .Step}} disabled{{end}}>Deploy</button>
<button name="how" value="naive"{{if .Step}} disabled{{end}}>The same with a program that just shuts down</button></form>
<p class="small">It takes about a quarter of a minute.</p>
</section>
{{if .Ran}}{{with .Step}}<p aria-live="polite"><b>At the moment:</b> {{.}}.</p>{{end}}
{{with .Mistaken}}<p><b>Its error:</b> {{.}}</p>{{end}}
<dl class="answers">
<div><dt>Requests</dt><dd>{{.Sent}}</dd></div>
<div><dt>Lost</dt><dd>{{.Lost}}</dd><dd class="why">{{with .Why}}the last with {{.}}{{else}}{{if not .Step}}none{{end}}{{end}}</dd></div>
<div><dt>Answered by {{.Leaver}}</dt><dd>{{.First}}</dd><dd class="why">the instance that leaves{{if .Naive}}, without a drain{{end}}</dd></div>
<div><dt>Answered by the other</dt><dd>{{.Second}}</dd></div>
</dl>
<h2>The log of the instance that leaves</h2>
<pre class="box wrapped">{{range .Log}}{{.}}
{{end}}</pre>
<p><a href="/details/deploy">Its details</a>: who probes it, what they got, and how long a drain takes.</p>{{end}}
{{end}}

{{define "journey"}}
{{with .Scene}}<section class="scene">
<h1>{{.Title}}</h1>
<p>{{.Says}}</p>
<pre>{{.Curl}}</pre>
<p class="small">The demo has just sent this itself. What follows is about that request.</p>
</section>{{else}}<h1>The way of a request</h1>{{end}}
{{with .Stations}}<ol class="chain" aria-label="The way that it took">{{range .}}<li class="{{.Tone}}"><b class="name">{{.Name}}</b><span class="value">{{.Address}}</span><span class="did">{{.Did}}</span></li>{{end}}</ol>{{end}}
{{with .Answer}}<h2>The answer</h2>
<pre class="box">{{.}}</pre>{{end}}
{{with .Entry}}<h2>The balancer's log</h2>
<dl class="answers">
<div><dt>Answered by</dt><dd>{{.AnsweredBy}}</dd><dd class="why">{{.Why}}</dd></div>
<div><dt>elb_status_code</dt><dd>{{.ELBStatusCode}}</dd><dd class="why">{{.ErrorReason}}</dd></div>
<div><dt>target_status_code</dt><dd>{{.TargetStatusCode}}</dd><dd class="why">{{with .Target}}{{.}}{{else}}no target was picked{{end}}</dd></div>
<div><dt>Action</dt><dd>{{.Action}}</dd><dd class="why">{{with .RedirectURL}}to {{.}}{{end}}{{with .Group}}to group {{.}}{{end}}, {{if .Rule}}by rule {{.Rule}}{{else}}by the default{{end}} of listener {{.Listener}}</dd></div>
</dl>{{end}}
{{with .Ruling}}<h2>Who decides about https</h2>
<dl class="answers">
<div><dt>Decided by</dt><dd>{{.By}}</dd><dd class="why">{{.Did}}</dd></div>
{{if .Reason}}<div><dt>Reason</dt><dd><code>{{.Reason}}</code></dd></div>{{end}}
{{if .Signals}}<div><dt>Signs that the client used https</dt>{{range .Signals}}<dd class="sign"><code>{{.}}</code></dd>{{end}}</div>{{end}}
</dl>
{{with .Fix}}<p><b>What to change:</b> {{.}}.</p>{{end}}
{{with .Log}}<pre class="box wrapped">{{.}}</pre>
<p class="small">From the log, which has one line a minute for each reason, network and host.</p>{{end}}{{end}}
{{with .LogLine}}<h2>The proxy's log</h2>
<pre class="box wrapped">{{.}}</pre>
{{if $.LogOfAnother}}<p class="small">This line is about an equal failure a moment ago, such as that of a health check: the proxy writes one a second for each reason.</p>{{end}}{{end}}
{{with .Rows}}<h2>Every header line, stage by stage</h2>
<table class="journey"><thead><tr><th scope="col">Header{{range $.Stages}}<th scope="col">{{.Title}}{{end}}</tr></thead><tbody>
{{range .}}<tr{{if .Changed}} class="changed"{{end}}><th scope="row">{{.Name}}</th>{{range $i, $cell := .Cells}}<td class="code" data-stage="{{(index $.Stages $i).Title}}">{{if $cell}}{{$cell}}{{else}}<span class="nothing">not there</span>{{end}}</td>{{end}}</tr>
{{end}}</tbody></table>{{end}}
{{with .Believed}}<h2 class="part">What {{$.Believer}} believes, and why</h2>
{{.}}{{end}}
{{end}}

{{define "health"}}<h2 class="part">The target groups, as the balancer sees them now</h2>
<table class="list"><thead><tr><th scope="col">Group<th scope="col">Target<th scope="col">State<th scope="col">Reason<th scope="col">What stands there</tr></thead><tbody>
{{range .}}<tr class="{{.Tone}}"><th scope="row">{{.Group}}<span class="small">{{.Host}}</span></th><td class="code">{{.Target}}</td><td><span class="verdict">{{.State}}</span></td>
<td>{{with .Reason}}<code>{{.}}</code>{{end}}<span class="small">{{.Description}}</span></td><td>{{.About}}{{if .Details}} <a href="/details/{{.Group}}">Why, and who asks</a>{{end}}</td></tr>
{{end}}</tbody></table>{{end}}

{{define "log"}}<h2>The balancer's latest log lines</h2>
{{if .}}<table class="list"><thead><tr><th scope="col">Request<th scope="col">Answered by<th scope="col">elb / target status<th scope="col">Why</tr></thead><tbody>
{{range .}}<tr><td class="code"><a href="/log/{{.Number}}">{{.Asked}}</a></td><td>{{.AnsweredBy}}</td><td>{{.ELBStatusCode}} / {{.TargetStatusCode}}</td><td>{{.Why}}</td></tr>
{{end}}</tbody></table>{{else}}<p>Nobody has come by the balancer yet.</p>{{end}}{{end}}
`

// demoStyle stands behind the library's style, whose colours it uses.
const demoStyle = `<style>
.demo { margin: 0 0 1.75rem; padding-bottom: 1.25rem; border-bottom: 1px solid var(--line); }
p { margin: 0 0 .75rem; max-width: 54rem; } .demo .name { color: var(--soft); } .name a { color: inherit; text-decoration: none; } .demo .name b { color: var(--ink); font-size: 1.2rem; margin-right: .4rem; }
main > p a, td a { color: inherit; } code { font: .9em ui-monospace, monospace; overflow-wrap: anywhere; }
nav { display: flex; flex-wrap: wrap; gap: .4rem .45rem; font-size: .9rem; }
nav a { color: inherit; text-decoration: none; background: var(--card); border: 1px solid var(--line); border-radius: 1em; padding: .05rem .75em; }
form { margin: 0 0 .5rem; } button { font: inherit; color: var(--ink); background: var(--bg); border: 1px solid var(--line); border-radius: .3rem; padding: .25rem .8rem; margin: 0 .4rem .3rem 0; cursor: pointer; } button:disabled { color: var(--soft); cursor: default; }
nav a:hover, nav a:focus-visible { border-color: var(--ink); } nav a[aria-current] { background: var(--ink); border-color: var(--ink); color: var(--bg); }
h1 { margin-bottom: .75rem; } h2.part { margin-top: 3rem; padding-top: 1.25rem; border-top: 1px solid var(--line); font-size: 1.25rem; }
pre { margin: 0 0 .5rem; padding: .5rem .75rem; background: var(--bg); border-radius: .3rem; overflow-x: auto; font: .85rem/1.5 ui-monospace, monospace; }
pre.box { background: var(--card); border: 1px solid var(--line); max-height: 18rem; overflow: auto; } pre.wrapped { white-space: pre-wrap; overflow-wrap: anywhere; }
.scene { background: var(--card); border: 1px solid var(--line); border-left: 4px solid var(--gone); border-radius: .3rem; padding: .8rem 1rem; margin: 0 0 1.5rem; }
.scene p { margin: 0 0 .5rem; } .scene p:last-child { margin: 0; }
.chain .did { font-size: .88rem; color: var(--tone); overflow-wrap: anywhere; } .chain .plain .did { color: var(--soft); }
.small { font-size: .85rem; color: var(--soft); } th .small, td .small { display: block; font-weight: 400; } .nothing { color: var(--soft); font-style: italic; }
.warning { max-width: none; } .answers div { flex: 1 1 11rem; } .answers dd { font-size: 1rem; } .answers dd.sign { font-weight: 400; } .answers + p { margin-top: .75rem; }
.list th, .list td.code, .list .verdict { white-space: nowrap; }
.journey { table-layout: fixed; } .journey thead th:first-child { width: 11.5rem; } .journey td { white-space: pre-line; }
.journey tr { color: var(--soft); } .journey tr.changed { color: var(--ink); } .journey tr.changed th { color: var(--gone); }
@media (max-width: 46rem) {
  .journey, .journey tbody, .journey tr, .journey tbody th { display: block; } .journey thead { display: none; }
  .journey tr { padding: .5rem .75rem; border-top: 1px solid var(--line); } .journey tr:first-child { border-top: 0; }
  .journey th, .journey td { border: 0; padding: 0; } .journey td { display: grid; grid-template-columns: 7rem 1fr; gap: .5rem; }
  .journey td::before { content: attr(data-stage); font: .78rem system-ui, sans-serif; color: var(--soft); }
  .list { display: block; overflow-x: auto; }
}
</style>`
