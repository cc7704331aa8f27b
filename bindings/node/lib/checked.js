'use strict'

const { LevelError } = require('./errors')

/**
 * A database of class `Base` whose iterators and `clear` reject a limit that is not a number. abstract-level reads such
 * a `limit` as "no limit", and `clear` would then remove everything.
 */
exports.checked = (Base) => class Checked extends Base {
  iterator (options) {
    return made((valid) => super.iterator(valid), options)
  }

  keys (options) {
    return made((valid) => super.keys(valid), options)
  }

  values (options) {
    return made((valid) => super.values(valid), options)
  }

  clear (options) {
    const err = fault(options)
    return err === null ? super.clear(options) : Promise.reject(err)
  }
}

/** An error if a number in the options of a range is wrong, or `null`. */
function fault (options) {
  const { limit, highWaterMarkBytes } = options ?? {}

  if (!isCount(limit) && limit !== -1 && limit !== Infinity) {
    return refusal('limit', limit, 'a whole number from 0, or -1 or Infinity for no limit')
  }

  if (!isCount(highWaterMarkBytes)) {
    return refusal('highWaterMarkBytes', highWaterMarkBytes, 'a whole number of bytes from 0')
  }

  return null
}

/** Whether it is a count, or absent. */
function isCount (value) {
  return value === undefined || value === null || (Number.isSafeInteger(value) && value >= 0)
}

function refusal (name, value, expected) {
  const shown = typeof value === 'string' ? JSON.stringify(value) : String(value)
  return new LevelError('LEVEL_INVALID_ARGUMENT', `option ${name} = ${shown}: expected ${expected}`)
}

/** An iterator of `make`. If its options are wrong, its first read fails, not its creation. */
function made (make, options) {
  const err = fault(options)
  if (err === null) return make(options)

  const iterator = make({ ...options, limit: undefined, highWaterMarkBytes: undefined })
  for (const name of ['next', 'nextv', 'all']) iterator[name] = () => Promise.reject(err)
  return iterator
}
