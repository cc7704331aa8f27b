'use strict'

/**
 * An error with a `code` to act on and, where something else went wrong first, its `cause`.
 */
class LevelError extends Error {
  constructor (code, message, cause) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
  }
}

/**
 * What a read rejects with when its signal is aborted. `name` is the one that the web's own errors have.
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
