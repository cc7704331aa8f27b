'use strict'

const { markAsUntransferable } = require('worker_threads')

// Small values that are read on this thread lie one after the other in a buffer that they share, as Node's own small buffers do:
// to make one with memory of its own takes longer than to read its value.
const POOL_BYTES = 8 << 10
// A pool with less room is left for a new one. A value that does not fit in has memory of its own.
const MIN_ROOM = POOL_BYTES / 8

let pool = Buffer.alloc(0)
let used = 0

// The pool in which the next value goes.
exports.room = function () {
  if (pool.byteLength - used < MIN_ROOM) {
    // Zeroed, since all of it is reachable from each value. Whoever gave it to another thread would take it from the others.
    pool = Buffer.alloc(POOL_BYTES)
    markAsUntransferable(pool.buffer)
    used = 0
  }
  return pool
}

// What a read is asked, as the native half knows it: for a string, to fill the cache, and where the room begins.
exports.how = function (isText, fillCache) {
  return (used << 2) | (fillCache ? 2 : 0) | (isText ? 1 : 0)
}

// The value of `length` bytes that was put there.
exports.take = function (length) {
  const value = pool.subarray(used, used + length)
  used += (length + 7) & ~7
  return value
}
