'use strict'

// Loads the native half for this platform, and delivers its answers to promises.
//
// Each JavaScript thread that loads this file has its own port. Every call that may use the disk gets a number, under
// which its promise is in `waiting` until the port rings (src/port.rs).

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

const { Port, Database, Watch } = require(file)

/**
 * The most operations that are answered between two turns of the event loop; an entry of an iterator counts a fifth.
 * Without a bound a program that only awaits the database would keep timers and sockets waiting as long as it runs:
 * resolved promises run before the event loop goes on.
 */
const OPERATIONS_PER_TURN = 200

/** Answers since the last turn that we waited for, and whether we are waiting for one. */
let answered = 0
let isWaiting = false

/** All calls so far that have been counted, or will be when they are answered. */
let counted = 0

/** Functions that release the answers that wait for a turn (`counting`), oldest first. */
const held = []
/** How many of these have been called. */
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
  // The rest stays in the port, and nothing rings for it.
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

    // At most half of a turn's answers, so that these and the port's do not starve each other.
    answered = Math.min(held.length - released, OPERATIONS_PER_TURN / 2)
    for (const end = released + answered; released < end; released++) held[released]()

    // `held` grows at its end; once most of it has been released, cut that part off.
    if (released > held.length / 2) {
      held.splice(0, released)
      released = 0
    }

    answerSome()
    if (held.length > released) waitForTurn()
  })
}

/**
 * Whether one more operation may be answered at once; if so, counts it.
 */
function mayAnswerAtOnce () {
  if (answered >= OPERATIONS_PER_TURN) return false
  answered++
  counted++
  return true
}

/**
 * Records that the current call was counted with an earlier one, which read ahead for it.
 */
function countedBefore () {
  counted++
}

/**
 * Counts every call of these methods of `target`, a class's prototype or an object. Calls that do not reach the native
 * half, because they have nothing to do or fail at once, are counted nowhere else. Their answer waits for a turn if the
 * count is used up, unless `mayWait`, asked after the call, forbids that for the object.
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
 * Calls `start` with a number. Returns a promise of the answer to that number; calls `onAnswer` when it arrives.
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
 * The result of a call that answers at once: an array is a failure, which this throws.
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
exports.Watch = Watch
exports.submit = submit
exports.mayAnswerAtOnce = mayAnswerAtOnce
exports.countedBefore = countedBefore
exports.counting = counting
exports.unwrap = unwrap
