'use strict'

const { constants } = require('buffer')
const { markAsUntransferable } = require('worker_threads')
const { LevelError } = require('./errors')

// Many byte strings as one buffer and a list of lengths, so that one call can pass them to the native half.

/**
 * Packs strings (as UTF-8) and byte arrays after each other. `undefined` takes no bytes and has the length -1. Throws
 * `LEVEL_INVALID_ARGUMENT` if they are more than a buffer can hold, and `LEVEL_OUT_OF_MEMORY` if memory runs out.
 *
 * @param {Array<string | Uint8Array | undefined>} items
 * @returns {{ bytes: Buffer, lengths: Float64Array }}
 */
exports.pack = function (items) {
  const lengths = allocate(8 * items.length, () => new Float64Array(items.length))
  let total = 0

  for (let i = 0; i < items.length; i++) {
    const item = items[i]

    if (item === undefined) {
      lengths[i] = -1
    } else {
      lengths[i] = typeof item === 'string' ? Buffer.byteLength(item) : item.byteLength
      total += lengths[i]
    }
  }

  if (total > constants.MAX_LENGTH) {
    throw new LevelError('LEVEL_INVALID_ARGUMENT', `${total} bytes are too many for one call`)
  }

  const bytes = allocate(total, () => Buffer.allocUnsafe(total))
  let offset = 0

  for (let i = 0; i < items.length; i++) {
    const item = items[i]
    if (item === undefined) continue

    if (typeof item === 'string') bytes.utf8Write(item, offset, lengths[i])
    else bytes.set(item, offset)

    offset += lengths[i]
  }

  return { bytes, lengths }
}

function allocate (size, make) {
  try {
    return make()
  } catch (err) {
    throw new LevelError('LEVEL_OUT_OF_MEMORY', `no memory for ${size} bytes of keys and values`, err)
  }
}

/**
 * Undoes {@link exports.pack}, with the parts in the given format.
 */
exports.unpack = function (bytes, lengths, format) {
  const cut = cutter(bytes, format)
  const items = new Array(lengths.length)
  let offset = 0

  for (let i = 0; i < lengths.length; i++) {
    if (lengths[i] < 0) {
      items[i] = undefined
    } else {
      items[i] = cut(offset, offset + lengths[i])
      offset += lengths[i]
    }
  }

  return items
}

/**
 * Returns a function that makes a string, buffer or view of the part of `bytes` between two offsets.
 */
const cutter = exports.cutter = function (bytes, format) {
  if (format === 'utf8') return (start, end) => bytes.utf8Slice(start, end)

  // Parts share their memory with their neighbours; a transfer to another thread would take the neighbours along.
  markAsUntransferable(bytes.buffer)

  if (format === 'buffer') return (start, end) => bytes.subarray(start, end)
  return (start, end) => new Uint8Array(bytes.buffer, bytes.byteOffset + start, end - start)
}
