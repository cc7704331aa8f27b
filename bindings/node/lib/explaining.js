'use strict'

const { LevelError } = require('./errors')

/** Calls that need an open database; those that return no promise throw. */
const ASYNCHRONOUS = [
  'approximateCount', 'approximateSize', 'begin', 'checkpoint', 'clear', 'compactRange', 'compareAndSet', 'count',
  'del', 'deletePrefix', 'deleteRange', 'flush', 'get', 'getAndDelete', 'getAndPut', 'getMany', 'has', 'hasMany', 'put',
  'putIfAbsent', 'stats', 'transaction', 'verify'
]
const SYNCHRONOUS = ['getProperty', 'getSync', 'iterator', 'keys', 'snapshot', 'values']

/** abstract-level's codes for a database that is not open, and for an iterator that was made while it opened. */
const NOT_OPEN = new Set(['LEVEL_DATABASE_NOT_OPEN', 'LEVEL_ITERATOR_NOT_OPEN'])

const kFailure = Symbol('failure')
const kReason = Symbol('reason')

/**
 * A database of class `Base`. If it failed to open, its calls fail with that cause. Programs seldom await `open()`;
 * without this the first call that they do await would only say that the database is not open.
 */
exports.explaining = function (Base) {
  class Explaining extends Base {
    // The failure of the last attempt to open it.
    [kFailure] = null

    async _open (options) {
      this[kFailure] = null

      try {
        await super._open(options)
      } catch (err) {
        // A sublevel fails with its parent, and has no cause of its own.
        this[kFailure] = this.parent?.[kReason] ?? err
        throw this[kFailure]
      }
    }

    // Not `async`: the promise of a successful open must resolve while the status is the promised one, before another
    // change.
    open (options) {
      // A passive open has only waited for the open.
      if (options?.passive) return this.#explained(() => super.open(options), 'Database failed to open')

      // abstract-level reads the present hooks before it does anything else; only its answer has their errors.
      const { postopen } = this.hooks
      if (postopen.noop) return super.open(options)
      const run = postopen.run
      const hooked = (...args) => this.#hooked(() => run(...args))
      postopen.run = hooked

      try {
        return super.open(options)
      } finally {
        // A listener may have replaced the hooks.
        if (postopen.run === hooked) postopen.run = run
      }
    }

    deferAsync (fn, options) {
      return super.deferAsync(() => this.#explained(fn), options)
    }

    batch (...args) {
      if (!this.#isRefusing) return super.batch(...args)
      if (args.length > 0) return Promise.reject(this.#refusal())
      throw this.#refusal()
    }

    iterator (options) {
      return this.#explainedIterator(super.iterator(options))
    }

    keys (options) {
      return this.#explainedIterator(super.keys(options))
    }

    values (options) {
      return this.#explainedIterator(super.values(options))
    }

    /** Why it is not open, if it or the database that contains it failed to open. */
    get [kReason] () {
      if (this.status === 'open') return null
      // A sublevel learns of its parent's failure a little later than the parent.
      return this.parent?.[kReason] ?? (this.status === 'opening' ? null : this[kFailure])
    }

    get #isRefusing () {
      return this[kReason] !== null
    }

    #refusal (message = 'Database is not open') {
      return new LevelError('LEVEL_DATABASE_NOT_OPEN', message, this[kReason])
    }

    /** The same answer, but adds the cause to an error if there is one. */
    async #explained (fn, message) {
      try {
        return await fn()
      } catch (err) {
        if (NOT_OPEN.has(err.code) && err.cause === undefined && this.#isRefusing) throw this.#refusal(message)
        throw err
      }
    }

    async #hooked (run) {
      try {
        await run()
      } catch (err) {
        this[kFailure] = new LevelError('LEVEL_HOOK_ERROR', 'The postopen hook failed on open()', err)
        throw err
      }
    }

    /** An iterator that is made while the database opens learns the result later. */
    #explainedIterator (iterator) {
      if (this.status !== 'opening') return iterator

      for (const name of ['next', 'nextv', 'all']) {
        const original = iterator[name]
        iterator[name] = (...args) => this.#explained(() => original.apply(iterator, args))
      }

      return iterator
    }

    /** Makes the method `name` check first how opening went. */
    static #guard (name, refuse) {
      const method = Explaining.prototype[name]
      if (method === undefined) return

      Explaining.prototype[name] = function () {
        return this.#isRefusing ? refuse(this.#refusal()) : method.apply(this, arguments)
      }
    }

    static {
      for (const name of ASYNCHRONOUS) Explaining.#guard(name, (err) => Promise.reject(err))
      for (const name of SYNCHRONOUS) Explaining.#guard(name, (err) => { throw err })
    }
  }

  return Explaining
}
