'use strict'

const { AbstractChainedBatch } = require('abstract-level')
const { counting } = require('./native')

/**
 * Collects operations, and writes them as one batch. It copies keys and values when they are added: their owner may
 * change them before the write.
 */
class ChainedBatch extends AbstractChainedBatch {
  #operations = []

  constructor (db) {
    super(db, { add: true })
  }

  _add (operation) {
    this.#operations.push({ ...operation, key: copy(operation.key), value: copy(operation.value) })
  }

  _clear () {
    this.#operations = []
  }

  async _write (options) {
    return this.db._batch(this.#operations, options)
  }
}

counting(ChainedBatch.prototype, ['close', 'write'])

exports.ChainedBatch = ChainedBatch

/** Strings need no copy, and a delete has no value. */
function copy (item) {
  return ArrayBuffer.isView(item) ? Uint8Array.prototype.slice.call(item) : item
}
