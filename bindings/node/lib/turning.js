'use strict'

const { counting } = require('./native')

/** The calls that answer with a promise; a symbol's calls one of these. */
const METHODS = [
  'approximateSize', 'batch', 'checkpoint', 'clear', 'compactRange', 'deferAsync', 'del', 'flush', 'get',
  'getMany', 'has', 'hasMany', 'put', 'stats', 'verify'
]
/** Calls that are answered when the status has changed, at once only if that is nothing to do. */
const OF_STATUS = ['close', 'open']
const STATIC = ['destroy', 'repair']
const OF_ITERATORS = ['all', 'close', 'next', 'nextv']

/**
 * A database of class `Base` that lets the event loop turn whatever is awaited of it, also calls that it answers at
 * once. Goes around everything else that may answer a call.
 */
exports.turning = function (Base) {
  class Turning extends Base {
    // Iterators are of classes of abstract-level's, too, which other databases share.
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
  // An answer that waited would come after the next change.
  counting(Turning.prototype, OF_STATUS, ({ status }) => status === 'open' || status === 'closed')

  return Turning
}
