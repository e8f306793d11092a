package forwarded

// pageStyle makes the page readable in light and dark, wide and narrow, and on
// paper. Colour never says anything that a word beside it does not.
const pageStyle = `<style>
:root { color-scheme: light dark; --bg: #f5f6f8; --card: #fff; --ink: #1b1f26; --soft: #5b6472; --line: #d9dde4; --good: #14774a; --bad: #b3261e; --gone: #6a4fb3; }
@media (prefers-color-scheme: dark) { :root { --bg: #13161b; --card: #1c2128; --ink: #e8ebf0; --soft: #9aa4b2; --line: #343b46; --good: #5fd39a; --bad: #ff8f85; --gone: #b7a2ff; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--bg); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 70rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0 0 1.25rem; }
h2 { font-size: 1.05rem; margin: 2rem 0 .6rem; }
.good { --tone: var(--good); } .bad { --tone: var(--bad); } .gone { --tone: var(--gone); } .plain { --tone: var(--soft); }

.chain { display: flex; gap: 3rem; list-style: none; padding: 0; margin: 0; }
.chain li { position: relative; flex: 1 1 0; min-width: 0; display: flex; flex-direction: column; align-items: flex-start; gap: .2rem;
  background: var(--card); border: 1px solid var(--line); border-top: 4px solid var(--tone); border-radius: .6rem; padding: .7rem .9rem .9rem; }
.chain li.bad { border-style: dashed; border-top-style: solid; }
.chain li + li::before { content: ""; position: absolute; left: -2.7rem; top: 50%; width: 2.3rem; border-top: 2px solid var(--soft); }
.chain li + li::after { content: ""; position: absolute; left: -.95rem; top: calc(50% - .3rem + 1px); width: .6rem; height: .6rem;
  border: solid var(--soft); border-width: 2px 2px 0 0; transform: rotate(45deg); }
.chain .name { font-size: 1.05rem; }
.chain .value { font: .9rem/1.4 ui-monospace, monospace; overflow-wrap: anywhere; }
.chain .wrote { font-size: .8rem; line-height: 1.4; color: var(--soft); overflow-wrap: anywhere; }
.chain .wrote { margin-bottom: .5rem; }
.chain .verdict { margin-top: auto; }

.verdict { display: inline-block; font-size: .78rem; line-height: 1.5; font-weight: 600; padding: 0 .55em; border-radius: 1em; white-space: nowrap;
  color: var(--tone); border: 1px solid var(--tone); }
.answers { display: flex; flex-wrap: wrap; gap: .75rem; margin: 0; }
.answers div { flex: 1 1 8rem; background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: .6rem .9rem; }
.answers div.bad { border: 1px dashed var(--tone); }
.answers dt { font-size: .8rem; color: var(--soft); }
.answers dd { margin: 0; font-size: 1.15rem; font-weight: 650; overflow-wrap: anywhere; }
.answers .bad dd { color: var(--tone); }
.answers dd.why { font-size: .8rem; font-weight: 400; color: var(--soft); }
.warning { background: var(--card); border: 1px solid var(--line); border-left: 4px solid var(--bad); border-radius: .3rem; padding: .6rem .9rem; margin: 1rem 0 0; overflow-wrap: anywhere; }
.warning b { color: var(--bad); }
.warning .fix { display: block; color: var(--soft); font-size: .92rem; }

table { width: 100%; border-collapse: collapse; font-size: .9rem; background: var(--card); border: 1px solid var(--line); border-radius: .6rem; }
th, td { text-align: left; vertical-align: top; padding: .4rem .75rem; border-top: 1px solid var(--line); overflow-wrap: anywhere; }
thead th { border-top: 0; font-size: .78rem; font-weight: 500; color: var(--soft); }
tbody th { font-weight: 600; }
td.code { font: .85rem/1.55 ui-monospace, monospace; }
.steps { table-layout: fixed; } .steps thead th:nth-child(1) { width: 5.5rem; } .steps thead th:nth-child(2) { width: 31%; }
.steps thead th:nth-child(3) { width: 19%; } .steps thead th:nth-child(4) { width: 9.5rem; }
td.rule { color: var(--soft); }
tr.gone td.code { text-decoration: line-through; text-decoration-color: var(--gone); }

@media (max-width: 46rem) {
  .chain { flex-direction: column; gap: 1.9rem; }
  .chain li + li::before { left: 1.6rem; top: -1.75rem; width: 0; height: 1.45rem; border: 0; border-left: 2px solid var(--soft); }
  .chain li + li::after { left: calc(1.6rem - .3rem + 1px); top: -.95rem; transform: rotate(135deg); }
  .steps, .steps tbody { display: block; } .steps thead { display: none; }
  .steps tr { display: flex; flex-wrap: wrap; align-items: baseline; gap: .1rem .6rem; padding: .6rem .75rem; border-top: 1px solid var(--line); }
  .steps tr:first-child { border-top: 0; }
  .steps th, .steps td { border: 0; padding: 0; } .steps td:empty { display: none; }
  .steps td.rule { flex-basis: 100%; }
}
@media print { body { background: none; } .chain li, .warning, table { break-inside: avoid; } }
</style>
`
