'use strict'

// Reads one URL a line from standard input and says how the URL Standard
// (https://url.spec.whatwg.org), and with it every browser, takes it apart. For each
// line it writes one: protocol, user name, password, host, port, path, query and
// fragment with tabs between them, or "!" where there is no such URL.

const { readFileSync } = require('node:fs')

function parts (line) {
  let url
  try {
    url = new URL(line)
  } catch {
    return '!'
  }
  return [
    url.protocol, url.username, url.password, url.hostname,
    url.port, url.pathname, url.search, url.hash
  ].join('\t')
}

const lines = readFileSync(0, 'utf8').split('\n')
lines.pop() // nothing follows the last line
process.stdout.write(lines.map(line => parts(line) + '\n').join(''))
