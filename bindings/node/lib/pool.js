'use strict'

const { markAsUntransferable } = require('worker_threads')

// Small values that this thread reads lie one after the other in a shared buffer, as Node's own small buffers do:
// making a buffer with memory of its own takes longer than reading its value.
const POOL_BYTES = 8 << 10
// A pool with less room than this is replaced by a new one. A value that does not fit gets memory of its own.
const MIN_ROOM = POOL_BYTES / 8

let pool = Buffer.alloc(0)
let used = 0

// The pool for the next value.
exports.room = function () {
  if (pool.byteLength - used < MIN_ROOM) {
    // Zeroed, since each value can reach all of it. A value given to another thread would take the others along.
    pool = Buffer.alloc(POOL_BYTES)
    markAsUntransferable(pool.buffer)
    used = 0
  }
  return pool
}

// The native half's flags of a read: whether it wants a string, whether to fill the cache, and where the room begins.
exports.how = function (isText, fillCache) {
  return (used << 2) | (fillCache ? 2 : 0) | (isText ? 1 : 0)
}

// The value of `length` bytes that the read has put there.
exports.take = function (length) {
  const value = pool.subarray(used, used + length)
  used += (length + 7) & ~7
  return value
}
