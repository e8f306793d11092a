'use strict'

// Reads a list of questions from standard input, asks the package named in each, and
// writes the list of answers: one string per question, "" where the package refuses
// or has nothing to say.
//
//   { peer: "proxy-addr",      lines: [...], remote: "127.0.0.1", trust: [...] }
//   { peer: "forwarded-parse", lines: [...], hops: 1 }
//
// Header lines are joined with ", ", which is what node's own http server does.

const { readFileSync } = require('node:fs')
const parse = require('forwarded-parse')
const proxyaddr = require('proxy-addr')

const peers = {
  'proxy-addr' ({ lines, remote, trust }) {
    const headers = { 'x-forwarded-for': lines.join(', ') }
    return proxyaddr({ headers, socket: { remoteAddress: remote } }, trust)
  },

  // The package only takes the header apart, so the element is picked here: the one
  // that the outermost of the given number of hops wrote.
  'forwarded-parse' ({ lines, hops }) {
    const elements = parse(lines.join(', '))
    const element = elements[elements.length - hops] || {}
    return [element.for || '', element.proto || ''].join('\t')
  }
}

function answer (question) {
  try {
    return peers[question.peer](question)
  } catch {
    return ''
  }
}

const questions = JSON.parse(readFileSync(0, 'utf8'))
process.stdout.write(JSON.stringify(questions.map(answer)))
