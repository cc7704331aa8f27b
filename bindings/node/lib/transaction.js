'use strict'

// Transactions. Their reads and writes are calls on the database with the transaction in the place of a snapshot, so
// encodings, sublevels and hooks work as they do there.

const { LevelError } = require('./errors')
const { Database, counting, submit } = require('./native')

const DEFAULT_ATTEMPTS = 10

/** What a call on the database has as its `snapshot` if it is a call on a transaction. */
class View {
  /** `event` is where the operations of a write are kept for the event of the commit, or null. */
  constructor (native, event) {
    this.native = native
    this.event = event
  }

  /** The view in a call's options, if there is one. */
  static of (options) {
    return options?.snapshot instanceof View ? options.snapshot : undefined
  }

  // abstract-level tells a snapshot when a read begins and ends. Here the native half keeps it.
  ref () {}
  unref () {}
}

/** A point within a transaction. The transaction that made it knows the rest. */
class Savepoint {}

/**
 * Reads and writes that take place at once, or not at all.
 *
 * The native half runs its calls in the order in which they are made. `events` follows that order too, so that a
 * program that does not wait for each call gets the right events.
 */
class Transaction {
  #db
  #native
  #call
  #write
  #view
  // For each write, if the database has listeners, its operations and when they are complete.
  #events = []
  // Of each savepoint, its number and how many events there were.
  #savepoints = new WeakMap()

  /** `call` makes a native call for which closing the database waits; `write` one that writes to the database. */
  constructor (db, native, { call, write }) {
    this.#db = db
    this.#native = native
    this.#call = call
    this.#write = write
    this.#view = new View(native, null)
  }

  async get (key, options) {
    return this.#target(options?.sublevel).get(key, this.#reading(options))
  }

  async getMany (keys, options) {
    return this.#target(options?.sublevel).getMany(keys, this.#reading(options))
  }

  async has (key, options) {
    return this.#target(options?.sublevel).has(key, this.#reading(options))
  }

  async hasMany (keys, options) {
    return this.#target(options?.sublevel).hasMany(keys, this.#reading(options))
  }

  iterator (options) {
    return this.#target(options?.sublevel).iterator(this.#reading(options))
  }

  keys (options) {
    return this.#target(options?.sublevel).keys(this.#reading(options))
  }

  values (options) {
    return this.#target(options?.sublevel).values(this.#reading(options))
  }

  async put (key, value, options) {
    return this.#add([{ ...options, type: 'put', key, value }])
  }

  async del (key, options) {
    return this.#add([{ ...options, type: 'del', key }])
  }

  async deleteRange (start, end, options) {
    return this.#add([{ ...options, type: 'deleteRange', start, end }])
  }

  async deletePrefix (prefix, options) {
    return this.#add([{ ...options, type: 'deletePrefix', prefix }])
  }

  async batch (operations, options) {
    return this.#add(operations, options)
  }

  async savepoint () {
    const events = this.#events.length
    const number = await this.#call((call) => this.#native.savepoint(call))
    const savepoint = new Savepoint()
    this.#savepoints.set(savepoint, { number, events })
    return savepoint
  }

  async rollbackTo (savepoint) {
    const known = this.#savepoints.get(savepoint)
    if (known === undefined) {
      throw new LevelError('LEVEL_INVALID_ARGUMENT', "The first argument must be a savepoint of this transaction")
    }

    const { number, events } = known
    const undone = this.#events.splice(events)

    try {
      await this.#call((call) => this.#native.rollbackTo(call, number))
    } catch (err) {
      this.#events.splice(events, 0, ...undone)
      throw err
    }
  }

  async commit (options) {
    const sequence = await this.#write((call) => this.#native.commit(call, options?.sync === true))
    if (this.#events.length > 0) await this.#announce()
    return sequence
  }

  /** Does nothing if the transaction has ended, and so needs no open database. */
  async rollback () {
    this.#events = []
    await submit((call) => this.#native.rollback(call))
  }

  /** The database, or this sublevel of it. */
  #target (sublevel) {
    if (sublevel === undefined || sublevel === null || sublevel === this.#db) return this.#db
    if (sublevel.db === this.#db) return sublevel
    throw new LevelError('LEVEL_INVALID_ARGUMENT', "The option 'sublevel' must be a sublevel of the same database")
  }

  /** The options of a read for the database. */
  #reading (options) {
    const { sublevel, snapshot, ...others } = options ?? {}

    if (snapshot !== undefined && snapshot !== null) {
      throw new LevelError('LEVEL_INVALID_ARGUMENT', 'A transaction reads as of its own beginning: it takes no snapshot')
    }

    return { ...others, snapshot: this.#view }
  }

  async #add (operations, options) {
    this.#target(options?.sublevel)
    if (Array.isArray(operations)) for (const operation of operations) this.#target(operation?.sublevel)
    const event = this.#db.listenerCount('write') > 0 ? { operations: [], done: null } : null
    const done = this.#db.batch(operations, { ...options, snapshot: new View(this.#native, event) })

    if (event !== null) {
      event.done = done.catch(() => {})
      this.#events.push(event)
    }

    return done
  }

  /** Tells the listeners what has been written. */
  async #announce () {
    const events = this.#events
    this.#events = []
    await Promise.all(events.map(({ done }) => done))
    const operations = events.flatMap(({ operations }) => operations)
    if (operations.length > 0) this.#db.emit('write', operations)
  }
}

counting(Transaction.prototype, [
  'batch', 'commit', 'del', 'deletePrefix', 'deleteRange', 'get', 'getMany', 'has', 'hasMany', 'put', 'rollback',
  'rollbackTo', 'savepoint'
])

if (typeof Symbol.asyncDispose === 'symbol') {
  Transaction.prototype[Symbol.asyncDispose] = async function () {
    return this.rollback()
  }
}

/** See `transaction` in index.d.ts. */
async function run (db, work, options) {
  if (typeof work !== 'function') throw new TypeError("The first argument 'work' must be a function")
  const attempts = options?.attempts ?? DEFAULT_ATTEMPTS

  if (attempts !== Infinity && (!Number.isSafeInteger(attempts) || attempts < 1)) {
    const message = `option attempts = ${String(attempts)}: expected a whole number from 1, or Infinity`
    throw new LevelError('LEVEL_INVALID_ARGUMENT', message)
  }

  for (let conflicts = 1; ; conflicts++) {
    const transaction = await db.begin()

    try {
      const result = await work(transaction)
      await transaction.commit(options)
      return result
    } catch (err) {
      await transaction.rollback()
      if (err?.code !== 'LEVEL_CONFLICT') throw err
      if (conflicts >= attempts) throw new LevelError(err.code, `after ${attempts} attempts: ${err.message}`, err)
    }

    await pauseAfter(conflicts)
  }
}

/** A different time for each of several rivals. Node's timers have whole milliseconds; a shorter pause is one turn. */
function pauseAfter (conflicts) {
  const millis = Database.pauseAfter(conflicts, Math.floor(Math.random() * 2 ** 32)) / 1000

  return new Promise((resolve) => {
    if (millis < 1) setImmediate(resolve)
    else setTimeout(resolve, millis)
  })
}

exports.Transaction = Transaction
exports.View = View
exports.run = run
