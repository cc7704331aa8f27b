'use strict'

// Keys and values at the engine's thresholds: the counterpart of tests/data in Rust. The sizes are those of
// tests/data/edges.txt, which test.sh copies beside this file and a test in Rust compares with the table of thresholds;
// the kinds of bytes are those of tests/data/src/fill.rs.

const fs = require('node:fs')
const path = require('node:path')
const { random } = require('./model')

exports.MAX_KEY_BYTES = 16 << 20

/** The sizes right below, at and right above every threshold, up to 16 MiB + 1. */
exports.EDGES = fs.readFileSync(path.join(__dirname, 'edges.txt'), 'latin1').trim().split('\n').map(parseFloat)

const WORDS = ['level ', 'table ', 'block ', 'key ', 'of a ', 'value, ', 'the ', 'log. ']
const index = (next, end) => Math.floor(next() * end)
const pick = (next, choices) => choices[index(next, choices.length)]

/** Ways to make bytes, from numbers in [0, 1) that `next` returns. */
const FILLS = {
  constant: (next, length) => Buffer.alloc(length, index(next, 256)),

  // A piece of a few hundred words, over and over.
  text: (next, length) => Buffer.alloc(length, Array.from({ length: 300 }, () => pick(next, WORDS)).join('')),

  half (next, length) {
    const bytes = FILLS.noise(next, length)
    for (let at = 8; at < length; at += 16) bytes.fill('.', at, Math.min(at + 8, length))
    return bytes
  },

  noise (next, length) {
    const words = Uint32Array.from({ length: Math.ceil(length / 4) }, () => index(next, 2 ** 32))
    return Buffer.from(words.buffer, 0, length)
  },

  runs (next, length) {
    const runs = []
    for (let total = 0; total < length; total += runs.at(-1).length) {
      const run = Math.min(1 + index(next, 1000), length - total)
      runs.push(pick(next, [FILLS.constant, FILLS.noise])(next, run))
    }
    return Buffer.concat(runs)
  }
}

/** A size: small, or at a threshold; the larger it is compared with `mean`, the rarer it is drawn. */
exports.size = function (next, { most = (256 << 10) + 1, mean = 500 } = {}) {
  if (next() < 1 / 3) {
    const edge = pick(next, exports.EDGES.filter((edge) => edge <= most))
    if (next() * edge < 4 * mean) return edge
  }
  return index(next, 121)
}

exports.value = (next, length = exports.size(next)) => pick(next, Object.values(FILLS))(next, length)

/** A key whose beginning a third of the long keys of its kind share, and whose end is its own. */
exports.longKey = function (next, length = exports.size(next)) {
  const tail = FILLS.noise(next, Math.min(length, 6))
  const stem = pick(next, Object.values(FILLS))(random(index(next, 3)), length - tail.length)
  return Buffer.concat([stem, tail])
}
