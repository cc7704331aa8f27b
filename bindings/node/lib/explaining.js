'use strict'

const { LevelError } = require('./errors')

/** Calls that need an open database; those that do not answer with a promise throw. */
const ASYNCHRONOUS = [
  'approximateSize', 'checkpoint', 'clear', 'compactRange', 'del', 'flush', 'get', 'getMany', 'has', 'hasMany', 'put',
  'stats', 'verify'
]
const SYNCHRONOUS = ['getProperty', 'getSync', 'iterator', 'keys', 'snapshot', 'values']

/** What abstract-level says of a database that is not open, and of an iterator that was made while it opened. */
const NOT_OPEN = new Set(['LEVEL_DATABASE_NOT_OPEN', 'LEVEL_ITERATOR_NOT_OPEN'])

const kFailure = Symbol('failure')
const kReason = Symbol('reason')

/**
 * A database of class `Base` whose calls, if it did not open, fail with the cause of that. Programs seldom await
 * `open()`, and the first call that they do await would only say that the database is not open.
 */
exports.explaining = function (Base) {
  class Explaining extends Base {
    // Why it did not open, when it was last tried.
    [kFailure] = null

    async _open (options) {
      this[kFailure] = null

      try {
        await super._open(options)
      } catch (err) {
        // A sublevel fails with its parent, and knows no cause of its own.
        this[kFailure] = this.parent?.[kReason] ?? err
        throw this[kFailure]
      }
    }

    // Not `async`: the answer of one that opens comes with the status that it promises, before another change.
    open (options) {
      // Who opens passively has only waited for it.
      if (options?.passive) return this.#explained(() => super.open(options), 'Database failed to open')

      // abstract-level takes the hooks that there are before it does anything else; what they throw only the answer has.
      const { postopen } = this.hooks
      if (postopen.noop) return super.open(options)
      const run = postopen.run
      const hooked = (...args) => this.#hooked(() => run(...args))
      postopen.run = hooked

      try {
        return super.open(options)
      } finally {
        // A listener may have changed the hooks meanwhile.
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

    /** Why it is not open, if opening it or a database that it is a part of failed. */
    get [kReason] () {
      if (this.status === 'open') return null
      // A sublevel learns a little later than its parent that that has failed.
      return this.parent?.[kReason] ?? (this.status === 'opening' ? null : this[kFailure])
    }

    get #isRefusing () {
      return this[kReason] !== null
    }

    #refusal (message = 'Database is not open') {
      return new LevelError('LEVEL_DATABASE_NOT_OPEN', message, this[kReason])
    }

    /** The same answer, but an error that there is a cause for has it. */
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

    /** One that is made while the database opens finds out later. */
    #explainedIterator (iterator) {
      if (this.status !== 'opening') return iterator

      for (const name of ['next', 'nextv', 'all']) {
        const original = iterator[name]
        iterator[name] = (...args) => this.#explained(() => original.apply(iterator, args))
      }

      return iterator
    }

    /** Puts a look at how opening went before the method `name`. */
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
