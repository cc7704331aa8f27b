'use strict'

// The native half's flags for a write, and the use of its answer.

const { LevelError } = require('./errors')

// Bits that src/database.rs reads.
const SYNC = 1
const TELL_NUMBER = 2

/** The flags of a write. Clears its receipt until the answer arrives. */
function how ({ sync, receipt }) {
  const durably = sync === true ? SYNC : 0
  if (receipt === undefined || receipt === null) return durably

  if (typeof receipt !== 'object' || !Object.isExtensible(receipt)) {
    throw new LevelError('LEVEL_INVALID_ARGUMENT', "The option 'receipt' must be an object that can be written to")
  }

  receipt.sequence = undefined
  return durably | TELL_NUMBER
}

/** The answer of a write, which resolves to `undefined`; stores the number in the receipt, if there is one. */
function written (answer, { receipt }) {
  return receipt === undefined || receipt === null ? answer : noted(answer, receipt)
}

async function noted (answer, receipt) {
  receipt.sequence = await answer
}

exports.how = how
exports.written = written
