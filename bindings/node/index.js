'use strict'

// `AidbLevel`: AiDb as an abstract-level database.
//
// abstract-level checks arguments, encodes, and keeps track of open objects; the underscored methods here pass calls to
// the native half (lib/native.js). A method that abstract-level does not have does all of that itself, see `#extra`.

const { AbstractLevel, AbstractSnapshot, AbstractSublevel } = require('abstract-level')
const { ChainedBatch } = require('./lib/chained-batch')
const { checked } = require('./lib/checked')
const { AbortError, LevelError } = require('./lib/errors')
const { explaining } = require('./lib/explaining')
const { Iterator, KeyIterator, ValueIterator } = require('./lib/iterator')
const { Database, Watch, counting, mayAnswerAtOnce, port, submit, unwrap } = require('./lib/native')
const { engineOptions } = require('./lib/options')
const { pack, unpack } = require('./lib/pack')
const pool = require('./lib/pool')
const { hasRanges, ranging, withRanges } = require('./lib/ranging')
const { Transaction, View, run } = require('./lib/transaction')
const { turning } = require('./lib/turning')
const writing = require('./lib/writing')

class Snapshot extends AbstractSnapshot {
  #native

  constructor (options, native) {
    super(options)
    this.#native = native
  }

  /** The native snapshot in a read's options, if there is one. */
  static native ({ snapshot }) {
    if (snapshot === undefined || snapshot === null) return undefined
    if (#native in snapshot) return snapshot.#native
    throw new LevelError('LEVEL_INVALID_ARGUMENT', 'The snapshot was not made by an AidbLevel')
  }

  get sequence () {
    return this.#native.sequence()
  }

  async _close () {
    this.#native.close()
  }
}

counting(Snapshot.prototype, ['close'])

class Level extends AbstractLevel {
  #location
  #native = null
  // The reads that run on this thread, as functions of the native half.
  #getSync = null
  #getInMemory = null
  #busy = 0
  #onIdle = null
  // When the range deletes that are on their way have been made, or null; see `#write`.
  #deleted = null

  constructor (location, options) {
    assertPath(location, "The first argument 'location'")

    super({
      encodings: { buffer: true, utf8: true, view: true },
      createIfMissing: true,
      errorIfExists: true,
      explicitSnapshots: true,
      implicitSnapshots: true,
      has: true,
      getSync: true,
      seek: true,
      permanence: true,
      signals: { iterators: true },
      additionalMethods: {
        approximateCount: true,
        approximateSize: true,
        begin: true,
        checkpoint: true,
        compactRange: true,
        compareAndSet: true,
        count: true,
        deletePrefix: true,
        deleteRange: true,
        flush: true,
        getAndDelete: true,
        getAndPut: true,
        getProperty: true,
        putIfAbsent: true,
        stats: true,
        transaction: true,
        verify: true
      }
    }, options)

    this.#location = location
  }

  static async destroy (location) {
    assertPath(location, "The first argument 'location'")
    await submit((number) => Database.destroy(port, number, location))
  }

  static async repair (location, into, options) {
    assertPath(location, "The first argument 'location'")
    assertPath(into, "The second argument 'into'")
    const list = engineOptions(options ?? {})
    const report = JSON.parse(
      await submit((number) => Database.repair(port, number, location, into, list))
    )

    for (const lost of report.lost) {
      for (const name of ['smallest_key', 'largest_key']) {
        if (lost[name] !== null) lost[name] = Buffer.from(lost[name], 'hex')
      }
    }

    return report
  }

  get location () {
    return this.#location
  }

  async _open (options) {
    const native = new Database(port)
    const list = engineOptions(options)

    await submit((number) => native.open(number, this.#location, list))
    this.#native = native
    this.#getSync = native.syncReader()
    this.#getInMemory = native.memoryReader()
  }

  async _close () {
    // Wait for calls in flight, so that they do not fail.
    if (this.#busy > 0) await new Promise((resolve) => { this.#onIdle = resolve })
    await submit((number) => this.#native.close(number))
    this.#native = this.#getSync = this.#getInMemory = null
  }

  /** Like `submit`, and closing waits for it. */
  #call (start) {
    this.#busy++
    return submit(start, this.#onAnswer)
  }

  #onAnswer = () => {
    if (--this.#busy === 0 && this.#onIdle !== null) {
      this.#onIdle()
      this.#onIdle = null
    }
  }

  /** A call that writes. It is made after the range deletes that came before it: they must not remove what it puts. */
  #write (start) {
    if (this.#deleted === null) return this.#call(start)
    this.#busy++
    return this.#deleted.then(() => submit(start, this.#onAnswer))
  }

  /** A call with range deletes, for which later writes wait. */
  #delete (start) {
    const answer = this.#write(start)
    const deleted = Promise.allSettled([this.#deleted, answer]).then(() => {
      if (this.#deleted === deleted) this.#deleted = null
    })

    this.#deleted = deleted
    return answer
  }

  // The most frequent calls are not `async`: they return the promise of `#call`. While they have to wait for a range
  // delete, they are batches, which copy their bytes at once.
  _put (key, value, options) {
    if (this.#deleted !== null) return this._batch([{ type: 'put', key, value }], options)
    const how = writing.how(options)
    return writing.written(this.#call((number) => this.#native.put(number, key, value, how)), options)
  }

  _del (key, options) {
    if (this.#deleted !== null) return this._batch([{ type: 'del', key }], options)
    const how = writing.how(options)
    return writing.written(this.#call((number) => this.#native.del(number, key, how)), options)
  }

  async _batch (operations, options) {
    const how = writing.how(options)
    const { bytes, lengths } = packed(withRanges(operations, options))
    const view = View.of(options)
    if (view !== undefined) return this.#call((number) => view.native.batch(number, bytes, lengths))

    const start = (number) => this.#native.batch(number, bytes, lengths, how)
    await writing.written(hasRanges(options) ? this.#delete(start) : this.#write(start), options)
  }

  async deleteRange (start, end, options) {
    return this.batch([{ ...options, type: 'deleteRange', start, end }], options)
  }

  async deletePrefix (prefix, options) {
    return this.batch([{ ...options, type: 'deletePrefix', prefix }], options)
  }

  // A read that needs only memory needs no thread, and no promise of ours.
  _get (key, options) {
    const { valueEncoding, fillCache } = options
    const isText = valueEncoding === 'utf8'
    const view = View.of(options)
    if (view !== undefined) return this.#read(valueEncoding, (number) => view.native.get(number, key, isText))

    const snapshot = Snapshot.native(options)

    if (mayAnswerAtOnce()) {
      const room = isText ? undefined : pool.room()
      const value = this.#getInMemory(key, pool.how(isText, false), room, snapshot)
      if (value !== null) return formatted(unwrap(value), valueEncoding)
    }

    return this.#read(valueEncoding, (number) => {
      this.#native.get(number, key, isText, fillCache !== false, snapshot)
    })
  }

  async #read (format, start) {
    return formatted(await this.#call(start), format)
  }

  _getSync (key, options) {
    const { valueEncoding, fillCache } = options
    const snapshot = Snapshot.native(options)
    const isText = valueEncoding === 'utf8'
    const room = isText ? undefined : pool.room()
    const value = unwrap(
      this.#getSync(key, pool.how(isText, fillCache !== false), room, snapshot)
    )

    return formatted(value, valueEncoding)
  }

  async _getMany (keys, options) {
    const { bytes, lengths } = pack(keys)
    const view = View.of(options)
    const snapshot = view === undefined ? Snapshot.native(options) : undefined
    const values = await this.#call((number) => {
      if (view !== undefined) view.native.getMany(number, bytes, lengths)
      else this.#native.getMany(number, bytes, lengths, options.fillCache !== false, snapshot)
    })

    return unpack(values[0], values[1], options.valueEncoding)
  }

  async _has (key, options) {
    const view = View.of(options)
    if (view !== undefined) return this.#call((number) => view.native.has(number, key))
    const snapshot = Snapshot.native(options)

    return this.#call((number) => {
      this.#native.has(number, key, options.fillCache !== false, snapshot)
    })
  }

  async _hasMany (keys, options) {
    const { bytes, lengths } = pack(keys)
    const view = View.of(options)
    if (view !== undefined) return this.#call((number) => view.native.hasMany(number, bytes, lengths))
    const snapshot = Snapshot.native(options)

    return this.#call((number) => {
      this.#native.hasMany(number, bytes, lengths, options.fillCache !== false, snapshot)
    })
  }

  async _clear (options) {
    const { gte, gt, lte, lt, reverse, limit, sync } = options
    const snapshot = Snapshot.native(options)
    const start = (number) => {
      this.#native.clear(number, gte, gt, lte, lt, reverse, limit, sync === true, snapshot)
    }

    // With a limit or a snapshot it removes key by key those that it finds now.
    await (limit < 0 && snapshot === undefined ? this.#delete(start) : this.#call(start))
  }

  _chainedBatch () {
    return new ChainedBatch(this)
  }

  _sublevel (name, options) {
    return new Sublevel(this, name, options)
  }

  _snapshot (options) {
    return new Snapshot(options, unwrap(this.#native.snapshot()))
  }

  _iterator (options) {
    return new Iterator(this, options, () => this.#walk(options, options.keys, options.values))
  }

  _keys (options) {
    return new KeyIterator(this, options, () => this.#walk(options, true, false))
  }

  _values (options) {
    return new ValueIterator(this, options, () => this.#walk(options, false, true))
  }

  /** A native iterator. */
  #walk (options, keys, values) {
    const { gte, gt, lte, lt, reverse, fillCache } = options
    const view = View.of(options)

    if (view !== undefined) {
      return unwrap(view.native.iterator(gte, gt, lte, lt, reverse, keys, values, fillCache !== false))
    }

    const snapshot = Snapshot.native(options)

    return unwrap(this.#native.iterator(
      gte, gt, lte, lt, reverse, keys, values, fillCache !== false, snapshot
    ))
  }

  /** abstract-level announces every write that has succeeded; those of a transaction wait for its commit. */
  emit (name, ...args) {
    const view = name === 'write' ? View.of(args[0]?.[0]) : undefined
    if (view === undefined) return super.emit(name, ...args)

    for (const { snapshot, ...operation } of args[0]) view.event?.operations.push(operation)
    return true
  }

  async begin (options) {
    const readOnly = options?.readOnly === true
    let native
    await this.#extra((number) => { native = this.#native.begin(number, readOnly) })
    return new Transaction(this, native, {
      call: (start) => this.#extra(start),
      write: (start) => this.#extra(start, true)
    })
  }

  async transaction (work, options) {
    return run(this, work, options)
  }

  async compareAndSet (key, expected, value, options) {
    const entry = this.#entry(key, options)
    const [before, after] = [entry.encode(expected), entry.encode(value)]

    if (this.#isWatched) {
      return this.#exchange(options, async function (transaction) {
        const found = await transaction.get(key, { ...options, valueEncoding: 'buffer' })
        const isExpected = before === undefined ? found === undefined : found?.equals(Buffer.from(before)) === true
        if (isExpected && value === undefined) await transaction.del(key, options)
        if (isExpected && value !== undefined) await transaction.put(key, value, options)
        return isExpected
      })
    }

    return this.#extra((number) => {
      this.#native.compareAndSet(number, entry.key, before, after, options?.sync === true)
    }, true)
  }

  async putIfAbsent (key, value, options) {
    this._assertValidValue(value)
    return this.compareAndSet(key, undefined, value, options)
  }

  async getAndPut (key, value, options) {
    this._assertValidValue(value)
    return this.#getAndWrite(key, value, options)
  }

  async getAndDelete (key, options) {
    return this.#getAndWrite(key, undefined, options)
  }

  async #getAndWrite (key, value, options) {
    const entry = this.#entry(key, options)
    const after = entry.encode(value)

    if (this.#isWatched) {
      return this.#exchange(options, async function (transaction) {
        const found = await transaction.get(key, options)
        if (value !== undefined) await transaction.put(key, value, options)
        else if (found !== undefined) await transaction.del(key, options)
        return found
      })
    }

    const isText = entry.format === 'utf8'
    return entry.decode(await this.#extra((number) => {
      this.#native.getAndWrite(number, entry.key, after, isText, options?.sync === true)
    }, true))
  }

  /** Whether hooks or listeners need to see writes as operations with keys and values as they were given. */
  get #isWatched () {
    return !this.hooks.prewrite.noop || this.listenerCount('write') > 0
  }

  /** The same as a call of core that makes a transaction of one key. */
  #exchange (options, work) {
    return this.transaction(work, { sync: options?.sync, attempts: Infinity })
  }

  /** A key for the native half, and what converts its values. */
  #entry (key, options) {
    const target = options?.sublevel ?? this
    if (target !== this && target.db !== this) {
      throw new LevelError('LEVEL_INVALID_ARGUMENT', "The option 'sublevel' must be a sublevel of the same database")
    }

    this._assertValidKey(key)
    const encoding = target.keyEncoding(options?.keyEncoding)
    const valueEncoding = target.valueEncoding(options?.valueEncoding)

    return {
      key: target.prefixKey(encoding.encode(key), encoding.format, false),
      format: valueEncoding.format,
      // `undefined` is an absent value.
      encode: (value) => {
        if (value === undefined) return undefined
        this._assertValidValue(value)
        return valueEncoding.encode(value)
      },
      decode (value) {
        if (value === undefined) return undefined

        try {
          return valueEncoding.decode(formatted(value, valueEncoding.format))
        } catch (err) {
          throw new LevelError('LEVEL_DECODE_ERROR', 'Could not decode value', err)
        }
      }
    }
  }

  /** A call that abstract-level does not have: waits for the database to open, and rejects if it is closed. */
  async #extra (start, isWrite = false) {
    if (this.status === 'opening') return this.deferAsync(() => this.#extra(start, isWrite))
    this.#assertOpen()
    return isWrite ? this.#write(start) : this.#call(start)
  }

  #assertOpen () {
    if (this.status !== 'open') {
      throw new LevelError('LEVEL_DATABASE_NOT_OPEN', 'Database is not open')
    }
  }

  /** A bound of a range in the encoding of the options or the database; `undefined` if there is no bound. */
  #bound (key, options) {
    if (key === undefined || key === null) return undefined
    const encoding = this.keyEncoding(options?.keyEncoding)
    return this.prefixKey(encoding.encode(key), encoding.format, true)
  }

  async approximateSize (start, end, options) {
    const [from, to] = [this.#bound(start, options), this.#bound(end, options)]
    return this.#extra((number) => this.#native.approximateSize(number, from, to))
  }

  async approximateCount (start, end, options) {
    const [from, to] = [this.#bound(start, options), this.#bound(end, options)]
    return this.#extra((number) => this.#native.approximateCount(number, from, to))
  }

  async count (start, end, options) {
    const [from, to] = [this.#bound(start, options), this.#bound(end, options)]
    const snapshot = Snapshot.native(options ?? {})
    const fillCache = options?.fillCache === true

    return this.#watched(options, (entries) => entries, (number, watch) => {
      this.#native.count(number, from, to, fillCache, snapshot, watch)
    })
  }

  async compactRange (start, end, options) {
    const [from, to] = [this.#bound(start, options), this.#bound(end, options)]
    await this.#extra((number) => this.#native.compactRange(number, from, to))
  }

  async flush () {
    await this.#extra((number) => this.#native.flush(number))
  }

  async checkpoint (location) {
    assertPath(location, "The first argument 'location'")
    await this.#extra((number) => this.#native.checkpoint(number, location))
  }

  async verify (options) {
    const json = await this.#watched(options, (json) => JSON.parse(json).bytes, (number, watch) => {
      this.#native.verify(number, watch)
    })

    return JSON.parse(json)
  }

  /** A call with the options `progress` and `signal`. `amount` is how much its answer says there was to do. */
  async #watched (options, amount, start) {
    const { progress, signal } = options ?? {}
    if (progress !== undefined && typeof progress !== 'function') {
      throw new TypeError("The option 'progress' must be a function")
    }
    if (signal?.aborted) throw new AbortError(signal.reason)

    let thrown
    let isOver = false
    const watch = new Watch(progress && function (done, total) {
      // The answer may overtake progress calls, which then arrive after it.
      if (isOver) return

      try {
        progress(done, total)
      } catch (err) {
        isOver = true
        thrown = { err }
        watch.end()
      }
    })
    const onAbort = () => watch.end()
    signal?.addEventListener('abort', onAbort)

    try {
      const answer = await this.#extra((number) => start(number, watch))
      if (thrown !== undefined) throw thrown.err
      if (signal?.aborted) throw new AbortError(signal.reason)
      if (progress !== undefined) progress(amount(answer), amount(answer))
      return answer
    } finally {
      isOver = true
      signal?.removeEventListener('abort', onAbort)
    }
  }

  getProperty (name) {
    if (typeof name !== 'string') throw new TypeError("The first argument 'name' must be a string")
    this.#assertOpen()
    return unwrap(this.#native.property(name)) ?? undefined
  }

  async stats () {
    return JSON.parse(await this.#extra((number) => this.#native.stats(number)))
  }
}

function assertPath (path, what) {
  if (typeof path !== 'string' || path === '') throw new TypeError(`${what} must be a non-empty string`)
}

/** The operations of a batch for the native half. The length of a value also tells what an operation does. */
function packed (operations) {
  const items = new Array(operations.length * 2)

  for (let i = 0; i < operations.length; i++) {
    const { type, key, value } = operations[i]
    items[2 * i] = key
    items[2 * i + 1] = type === 'del' ? undefined : value
  }

  const { bytes, lengths } = pack(items)

  // Of a range delete that has no end, and of one that has one. The value of a delete has the length -1.
  for (let i = 0; i < operations.length; i++) {
    if (operations[i].type === 'deleteRange') lengths[2 * i + 1] = lengths[2 * i + 1] < 0 ? -2 : -3 - lengths[2 * i + 1]
  }

  return { bytes, lengths }
}

/** A value in the form that abstract-level wants; the native half makes strings and buffers. */
function formatted (value, format) {
  // A number is the length of a value in the pool.
  if (typeof value === 'number') value = pool.take(value)
  if (format !== 'view' || value === undefined) return value
  return new Uint8Array(value.buffer, value.byteOffset, value.byteLength)
}

class Sublevel extends turning(explaining(ranging(checked(AbstractSublevel)))) {
  _chainedBatch () {
    return new ChainedBatch(this)
  }

  _sublevel (name, options) {
    return new Sublevel(this, name, options)
  }
}

class AidbLevel extends turning(explaining(ranging(checked(Level)))) {}

exports.AidbLevel = AidbLevel
