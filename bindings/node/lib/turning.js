'use strict'

const { counting } = require('./native')

/** The calls that return a promise; the method named by a symbol calls one of these. */
const METHODS = [
  'approximateCount', 'approximateSize', 'batch', 'begin', 'checkpoint', 'clear', 'compactRange', 'compareAndSet',
  'count', 'deferAsync', 'del', 'deletePrefix', 'deleteRange', 'flush', 'get', 'getAndDelete', 'getAndPut', 'getMany',
  'has', 'hasMany', 'put', 'putIfAbsent', 'stats', 'transaction', 'verify'
]
/** Calls that are answered when the status has changed; at once only if there is nothing to change. */
const OF_STATUS = ['close', 'open']
const STATIC = ['destroy', 'repair']
const OF_ITERATORS = ['all', 'close', 'next', 'nextv']

/**
 * A database of class `Base` that lets the event loop turn whichever of its calls a program awaits, also calls that it
 * answers at once. It must be the outermost class around all that may answer a call.
 */
exports.turning = function (Base) {
  class Turning extends Base {
    // Iterators' classes may be abstract-level's, which other databases share.
    iterator (options) {
      return counting(super.iterator(options), OF_ITERATORS)
    }

    keys (options) {
      return counting(super.keys(options), OF_ITERATORS)
    }

    values (options) {
      return counting(super.values(options), OF_ITERATORS)
    }
  }

  counting(Turning, STATIC)
  counting(Turning.prototype, METHODS)
  // A delayed answer would come after the next change.
  counting(Turning.prototype, OF_STATUS, ({ status }) => status === 'open' || status === 'closed')

  return Turning
}
