'use strict'

const { AbstractIterator, AbstractKeyIterator, AbstractValueIterator } = require('abstract-level')
const { AbortError } = require('./errors')
const { cutter } = require('./pack')
const { countedBefore, submit } = require('./native')
const { View } = require('./transaction')

// Iterators read chunks, bounded in entries and bytes, and cut the requested entries from them.

const FIRST_ENTRIES = 16
// In a transaction, where what is read ahead counts as read.
const FIRST_ENTRIES_IN_TRANSACTION = 1
// As many as may delay the event loop (native.js).
const MAX_ENTRIES = 1000
const DEFAULT_BYTES = 64 * 1024

/**
 * Shared by the three kinds of iterators: the native iterator and the last chunk.
 *
 * * CHUNKS-1  Entries `next` to `count` of the chunk have not been handed out.
 * * CHUNKS-2  `target` is where the next read starts, if there was a seek after the last read; the chunk is empty then.
 */
class Chunks {
  constructor (make, options) {
    // The constructor must not throw, because abstract-level calls it late for a database that is opening: the first
    // read reports the failure.
    this.native = null
    this.failure = null

    try {
      this.native = make()
    } catch (err) {
      this.failure = err
    }

    this.keyFormat = options.keyEncoding
    this.valueFormat = options.valueEncoding
    this.signal = options.signal ?? null
    // Safe integers (checked.js); the native half takes 31 bits of them.
    this.mostBytes = Math.min(options.highWaterMarkBytes ?? DEFAULT_BYTES, 0x7fffffff)
    this.firstEntries = View.of(options) === undefined ? FIRST_ENTRIES : FIRST_ENTRIES_IN_TRANSACTION
    this.entries = this.firstEntries
    this.target = undefined
    this.next = 0
    this.count = 0
    this.last = false
    this.ends = null
    this.cutKey = null
    this.cutValue = null
  }

  seek (target) {
    // The native half reads it later, and the caller may change a buffer.
    this.target = typeof target === 'string' ? target : Buffer.from(target)
    this.next = this.count = 0
    this.last = false
    this.entries = this.firstEntries
  }

  /** Whether the chunk has another entry. */
  get ready () {
    return this.next < this.count
  }

  /** Reads the next chunk if this one is used up. If `ready` is still false then, the walk is over. */
  async fill (entries) {
    if (this.failure !== null) throw this.failure
    if (this.ready) return countedBefore()
    if (this.last) return

    const target = this.target
    this.target = undefined

    const [bytes, ends, last] = await this.abortable(
      submit((number) => this.native.read(number, target, entries, this.mostBytes))
    )

    this.ends = ends
    this.next = 0
    this.count = ends.length / 2
    this.last = last
    this.cutKey = cutter(bytes, this.keyFormat)
    this.cutValue = this.valueFormat === this.keyFormat ? this.cutKey : cutter(bytes, this.valueFormat)
  }

  /** More entries with every chunk, because a program that has read many will probably read more. */
  grow () {
    const entries = this.entries
    this.entries = Math.min(entries * 4, MAX_ENTRIES)
    return entries
  }

  /** The same promise, rejected as soon as the signal is aborted. */
  abortable (promise) {
    const signal = this.signal
    if (signal === null) return promise

    return new Promise(function (resolve, reject) {
      const abort = () => reject(new AbortError(signal.reason))
      signal.addEventListener('abort', abort, { once: true })
      promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort))
    })
  }

  key (i) {
    return this.cutKey(i === 0 ? 0 : this.ends[2 * i - 1], this.ends[2 * i])
  }

  value (i) {
    return this.cutValue(this.ends[2 * i], this.ends[2 * i + 1])
  }

  async close () {
    this.next = this.count = 0
    this.ends = this.cutKey = this.cutValue = null
    if (this.native !== null) await submit((number) => this.native.close(number))
  }
}

/**
 * Adds the methods that abstract-level needs to one of its iterator classes. `item` makes an item of entry `i` of a
 * chunk; the constructor takes a function that makes the native iterator.
 */
const chunked = (Base, item) => class extends Base {
  #chunks
  #item

  constructor (db, options, make) {
    super(db, options)
    this.#chunks = new Chunks(make, options)
    this.#item = item(options)
  }

  async _next () {
    const chunks = this.#chunks
    if (chunks.ready) countedBefore()
    else await chunks.fill(Math.min(chunks.grow(), this.limit - this.count))
    return chunks.ready ? this.#item(chunks, chunks.next++) : undefined
  }

  async _nextv (size) {
    await this.#chunks.fill(Math.min(size, MAX_ENTRIES))
    return this.#drain(size, [])
  }

  async _all () {
    const items = []
    const size = this.limit - this.count

    do {
      await this.#chunks.fill(Math.min(size - items.length, MAX_ENTRIES))
      if (!this.#chunks.ready) break
      this.#drain(size, items)
    } while (items.length < size)

    return items
  }

  /** Moves entries of the chunk to `items`, until `items` has `size`. */
  #drain (size, items) {
    const chunks = this.#chunks
    while (items.length < size && chunks.ready) items.push(this.#item(chunks, chunks.next++))
    return items
  }

  _seek (target) {
    this.#chunks.seek(target)
  }

  _close () {
    return this.#chunks.close()
  }
}

exports.Iterator = class Iterator extends chunked(AbstractIterator, ({ keys, values }) =>
  (chunks, i) => [keys ? chunks.key(i) : undefined, values ? chunks.value(i) : undefined]
) {}

exports.KeyIterator = class KeyIterator extends chunked(AbstractKeyIterator, () =>
  (chunks, i) => chunks.key(i)
) {}

exports.ValueIterator = class ValueIterator extends chunked(AbstractValueIterator, () =>
  (chunks, i) => chunks.value(i)
) {}
