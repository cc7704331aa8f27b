'use strict'

// Loads the native half for this platform, and carries its answers back to promises.
//
// Each JavaScript thread that loads this file has its own port. Every call that may touch the disk takes a number,
// and the promise waits in `waiting` under it until the port rings (src/port.rs).

const fs = require('fs')
const path = require('path')
const { getSystemErrorName } = require('util')
const { isMainThread } = require('worker_threads')
const { LevelError } = require('./errors')
const { target } = require('./target')

const file = path.join(__dirname, '..', 'prebuilds', target(), 'aidb.node')

if (!fs.existsSync(file)) {
  throw new Error(
    `aidb has no native library for ${target()} (looked for ${file}). To build it you need Rust ` +
    '(https://rustup.rs) and the sources of AiDb; then run: ' +
    `node ${path.join(__dirname, '..', 'scripts', 'build.js')} <path to the sources of AiDb>`
  )
}

const { Port, Database, Verification } = require(file)

/** Promises without an answer, by number: `{ resolve, reject }`, or `null` where the number is free. */
const waiting = []
const free = []

const port = new Port(function () {
  const answers = port.take()

  for (let i = 0; i < answers.length; i += 3) {
    const number = answers[i]
    const { resolve, reject } = waiting[number]

    waiting[number] = null
    free.push(number)

    if (answers[i + 1]) resolve(answers[i + 2])
    else reject(toError(answers[i + 2]))
  }
}, isMainThread)

/**
 * Calls `start` with a number, and promises the answer that arrives under it.
 */
function submit (start) {
  return new Promise(function (resolve, reject) {
    const number = free.length > 0 ? free.pop() : waiting.length

    waiting[number] = { resolve, reject }

    try {
      start(number)
    } catch (err) {
      waiting[number] = null
      free.push(number)
      reject(err)
    }
  })
}

/**
 * The result of a call that answers at once: an array is a failure, and thrown.
 */
function unwrap (result) {
  if (Array.isArray(result)) throw toError(result)
  return result
}

function toError ([code, message, causeMessage, errno]) {
  if (causeMessage === undefined) return new LevelError(code, message)

  const cause = new Error(causeMessage)

  if (errno != null) {
    cause.errno = -errno
    cause.code = getSystemErrorName(-errno)
  }

  return new LevelError(code, message, cause)
}

exports.port = port
exports.Database = Database
exports.Verification = Verification
exports.submit = submit
exports.unwrap = unwrap
