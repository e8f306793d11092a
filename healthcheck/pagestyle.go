package healthcheck

const pageHead = `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>How this service is</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
`

// pageStyle makes the page readable in light and dark, wide and narrow. Colour
// never says anything that a word beside it does not.
const pageStyle = `<style>
:root { color-scheme: light dark; --bg: #f6f6f3; --card: #fff; --ink: #20231f; --soft: #5d645b; --line: #dcdfd8; --pass: #1b6e3c; --warn: #8a5a00; --fail: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --bg: #151713; --card: #1e211c; --ink: #e9ebe5; --soft: #a2a99d; --line: #373c33; --pass: #6fd08f; --warn: #efb64f; --fail: #ff8f85; } }
body { margin: 0; background: var(--bg); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 72rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0 0 1rem; }
h2 { font-size: 1.05rem; margin: 2rem 0 .6rem; }
.pass { --tone: var(--pass); } .warn { --tone: var(--warn); } .fail { --tone: var(--fail); } .gone { --tone: var(--soft); }
.verdict { margin: 0; padding: .8rem 1rem; font-size: 1.15rem; font-weight: 600; background: var(--card); border: 1px solid var(--line); border-left: .4rem solid var(--tone); border-radius: .3rem; overflow-wrap: anywhere; }
.advice { background: var(--card); border: 1px solid var(--line); border-left: .4rem solid var(--warn); border-radius: .3rem; padding: .6rem 1rem; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { width: 100%; border-collapse: collapse; font-size: .9rem; background: var(--card); border: 1px solid var(--line); }
th, td { text-align: left; vertical-align: top; padding: .4rem .7rem; border-top: 1px solid var(--line); overflow-wrap: anywhere; }
thead th { border-top: 0; font-size: .8rem; font-weight: 500; color: var(--soft); white-space: nowrap; }
tbody th { font-weight: 600; border-left: .25rem solid var(--tone); }
tr.gone td, tr.gone th { color: var(--soft); }
</style>
`
