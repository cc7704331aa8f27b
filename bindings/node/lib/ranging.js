'use strict'

// Range deletes in batches. abstract-level knows the operations `put` and `del` only. So a batch takes the others out
// of its operations, and passes them on in its options; the operations are put together again for the native half, and
// for the listeners to `write`.

const { LevelError } = require('./errors')

/** In the options of a batch, and of each of its operations: the range deletes, as `#range` makes them. */
const kRanges = Symbol('ranges')

/**
 * A database of class `Base` whose batches have range deletes:
 *
 *     { type: 'deleteRange', start, end, sublevel, keyEncoding }
 *     { type: 'deletePrefix', prefix, sublevel, keyEncoding }
 */
exports.ranging = (Base) => class Ranging extends Base {
  batch (operations, options) {
    if (!Array.isArray(operations)) return super.batch(...arguments)
    if (options?.[kRanges] !== undefined) return this.#batch(operations, options)
    if (!operations.some(isRange)) return super.batch(operations, options)

    try {
      const ranges = []
      operations.forEach((operation, index) => {
        if (isRange(operation)) ranges.push(this.#range({ ...options, ...operation }, index))
      })
      return this.#batch(operations.filter((operation) => !isRange(operation)), { ...options, [kRanges]: ranges })
    } catch (err) {
      return Promise.reject(err)
    }
  }

  #batch (operations, options) {
    return operations.length > 0 ? super.batch(operations, options) : this.#alone(options)
  }

  /** A batch of range deletes only: abstract-level makes no call for a batch without operations. */
  async #alone (options) {
    if (this.status === 'opening') return this.deferAsync(() => this.#alone(options))
    if (this.status !== 'open') throw new LevelError('LEVEL_DATABASE_NOT_OPEN', 'Database is not open')
    await this._batch([], options)
    if (this.listenerCount('write') > 0) this.emit('write', this.#shown([], options))
  }

  emit (name, ...args) {
    const first = name === 'write' ? args[0].find((operation) => operation?.[kRanges] !== undefined) : undefined
    return first === undefined ? super.emit(name, ...args) : super.emit(name, this.#shown(args[0], first))
  }

  /** What listeners are told of: the `operations` and the range deletes that are in `options`. */
  #shown (operations, { snapshot, [kRanges]: ranges }) {
    const shown = merged(operations.map(({ [kRanges]: _, ...operation }) => operation), ranges, (range) => {
      if (range.owner === this) return range.operation
      // Listeners of another database know neither the encoding nor the prefix that was added.
      return { type: 'deleteRange', start: range.from, end: range.to, keyEncoding: 'buffer' }
    })

    // A transaction is known by the snapshot of an operation.
    return snapshot === undefined ? shown : shown.map((operation) => ({ ...operation, snapshot }))
  }

  /** The range of an operation, as bytes of keys of the root database. `to` is undefined if it has no end. */
  #range (operation, index) {
    const { [kRanges]: _, snapshot, sublevel, ...shown } = operation
    const target = sublevel ?? this

    if (target !== this && root(target) !== root(this)) {
      throw new LevelError('LEVEL_INVALID_ARGUMENT', "The option 'sublevel' must be a sublevel of the same database")
    }

    const encoding = target.keyEncoding(operation.keyEncoding)
    const within = Buffer.from(target.prefixKey('', 'utf8', false))
    const bytes = (key) => Buffer.from(target.prefixKey(encoding.encode(key), encoding.format, false))
    let from, to

    if (operation.type === 'deletePrefix') {
      target._assertValidKey(operation.prefix)
      from = bytes(operation.prefix)
      to = after(from)
    } else {
      from = isGiven(operation.start) ? bytes(operation.start) : within
      to = isGiven(operation.end) ? bytes(operation.end) : after(within)
    }

    if (to !== undefined && from.compare(to) > 0) {
      const message = 'the end of a range is before its start: end must be at least start'
      throw new LevelError('LEVEL_INVALID_ARGUMENT', message)
    }

    return { index, from, to, operation: shown, owner: target }
  }
}

/** The operations of a batch for the native half. A range delete has its ends in the places of key and value. */
exports.withRanges = (operations, { [kRanges]: ranges }) => {
  if (ranges === undefined) return operations
  return merged(operations, ranges, ({ from, to }) => ({ type: 'deleteRange', key: from, value: to }))
}

/** Whether the options of a batch have range deletes. */
exports.hasRanges = (options) => options[kRanges] !== undefined

/** Puts range deletes in their places among the other operations, of which a hook may have added more at the end. */
function merged (operations, ranges, make) {
  const all = []
  let next = 0
  const add = () => {
    while (next < ranges.length && ranges[next].index === all.length) all.push(make(ranges[next++]))
  }

  add()
  for (const operation of operations) {
    all.push(operation)
    add()
  }

  return all
}

const root = (database) => database.db ?? database

const isRange = (operation) => operation?.type === 'deleteRange' || operation?.type === 'deletePrefix'

const isGiven = (key) => key !== undefined && key !== null

/** The first key after all that begin with `prefix`; `undefined` if there is none. */
function after (prefix) {
  const last = prefix.findLastIndex((byte) => byte !== 0xff)
  if (last < 0) return undefined
  const end = Buffer.from(prefix.subarray(0, last + 1))
  end[last]++
  return end
}
