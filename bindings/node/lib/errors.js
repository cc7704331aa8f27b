'use strict'

/**
 * An error with a `code` to act on and, if an earlier failure led to it, its `cause`.
 */
class LevelError extends Error {
  constructor (code, message, cause) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
  }
}

/**
 * A read rejects with this when its signal is aborted. `name` is the name of the web's own errors.
 */
class AbortError extends LevelError {
  constructor (cause) {
    super('LEVEL_ABORTED', 'Operation has been aborted', cause)
  }

  get name () {
    return 'AbortError'
  }
}

exports.LevelError = LevelError
exports.AbortError = AbortError
