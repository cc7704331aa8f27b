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

/**
 * Operations that are answered between two turns of the event loop, at most; an entry of an iterator counts a fifth.
 * Without a bound a program that only awaits the database would keep timers and sockets waiting for as long as it runs:
 * a promise that is resolved goes on before the event loop does.
 */
const OPERATIONS_PER_TURN = 200

/** What was answered since the last turn that was waited for, and whether one is waited for. */
let answered = 0
let isWaiting = false

/** Calls that were counted, or will be when they are answered, since the beginning. */
let counted = 0

/** What to call when the answers may go on that wait for a turn (`counting`), the oldest first. */
const held = []
/** How many of those have been called. */
let released = 0

/** Promises without an answer, by number: `{ resolve, reject, onAnswer }`, or `null` where the number is free. */
const waiting = []
const free = []

const port = new Port(answerSome, isMainThread)

function answerSome () {
  if (isWaiting) return
  if (answered >= OPERATIONS_PER_TURN) return waitForTurn()

  const answers = port.take(OPERATIONS_PER_TURN, answered)
  answered += answers[0]
  // What does not fit is left there, and nothing rings for it.
  if (answers[1]) waitForTurn()

  for (let i = 2; i < answers.length; i += 3) {
    const number = answers[i]
    const { resolve, reject, onAnswer } = waiting[number]

    waiting[number] = null
    free.push(number)
    onAnswer?.()

    if (answers[i + 1]) resolve(answers[i + 2])
    else reject(toError(answers[i + 2]))
  }
}

function waitForTurn () {
  if (isWaiting) return

  isWaiting = true
  setImmediate(function () {
    isWaiting = false

    // Half of a turn's answers at most, so that these and the port's do not starve each other.
    answered = Math.min(held.length - released, OPERATIONS_PER_TURN / 2)
    for (const end = released + answered; released < end; released++) held[released]()

    // What is held grows at one end, and is cut at the other once that is most of it.
    if (released > held.length / 2) {
      held.splice(0, released)
      released = 0
    }

    answerSome()
    if (held.length > released) waitForTurn()
  })
}

/**
 * Whether one more operation may be answered at once, which counts it.
 */
function mayAnswerAtOnce () {
  if (answered >= OPERATIONS_PER_TURN) return false
  answered++
  counted++
  return true
}

/**
 * Says that the call in hand was counted with an earlier one, which read ahead for it.
 */
function countedBefore () {
  counted++
}

/**
 * Counts every call of these methods of `target`, a class's prototype or an object. Calls that come to nothing native,
 * because they have nothing to do or fail at once, are counted nowhere else: their answer waits for a turn if there were
 * enough, and if `mayWait` says so of the object after the call.
 */
function counting (target, names, mayWait = () => true) {
  for (const name of names) {
    const method = target[name]
    if (method === undefined) continue

    target[name] = function () {
      const before = counted
      const answer = method.apply(this, arguments)
      if (counted !== before || !(answer instanceof Promise) || !mayWait(this) || mayAnswerAtOnce()) return answer
      return hold(answer)
    }
  }

  return target
}

async function hold (promise) {
  counted++
  const turned = new Promise((resolve) => held.push(resolve))
  waitForTurn()

  try {
    return await promise
  } finally {
    await turned
  }
}

/**
 * Calls `start` with a number, and promises the answer that arrives under it; `onAnswer` is called when it has.
 */
function submit (start, onAnswer) {
  counted++

  return new Promise(function (resolve, reject) {
    const number = free.length > 0 ? free.pop() : waiting.length

    waiting[number] = { resolve, reject, onAnswer }

    try {
      start(number)
    } catch (err) {
      waiting[number] = null
      free.push(number)
      onAnswer?.()
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
exports.mayAnswerAtOnce = mayAnswerAtOnce
exports.countedBefore = countedBefore
exports.counting = counting
exports.unwrap = unwrap
