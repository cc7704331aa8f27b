'use strict'

// Want of memory: calls that need more than there is fail by their code, and the process and the database go on.

const test = require('node:test')
const assert = require('node:assert/strict')
const { constants } = require('node:buffer')
const { AidbLevel } = require('aidb')
const { temporary } = require('./temporary')

/** Calls `call` while `object[name]` fails as it does when there is no memory. */
async function without (object, name, call) {
  const before = object[name]
  object[name] = function () { throw new RangeError('Array buffer allocation failed') }

  try {
    await call()
  } finally {
    object[name] = before
  }
}

// Want of memory was told as an argument that is too large, or without a code.
test('what cannot be packed is out of memory, with its cause', async function () {
  const db = new AidbLevel(temporary())
  await db.put('a', '1')
  const outOfMemory = (err) => err.code === 'LEVEL_OUT_OF_MEMORY' && err.cause instanceof RangeError

  for (const [object, name] of [[Buffer, 'allocUnsafe'], [globalThis, 'Float64Array']]) {
    await without(object, name, async function () {
      await assert.rejects(db.getMany(['a']), outOfMemory)
      await assert.rejects(db.hasMany(['a']), outOfMemory)
      await assert.rejects(db.batch([{ type: 'del', key: 'a' }]), outOfMemory)
    })
  }

  assert.deepEqual(await db.getMany(['a']), ['1'])
  await db.close()
})

test('what no buffer can hold is an invalid argument', async function () {
  const db = new AidbLevel(temporary(), { valueEncoding: 'view' })
  await db.open()
  const value = new Uint8Array(1)
  // As long as a value can say it is, without the memory for it.
  Object.defineProperty(value, 'byteLength', { value: constants.MAX_LENGTH })
  await assert.rejects(db.batch([{ type: 'put', key: 'a', value }]), { code: 'LEVEL_INVALID_ARGUMENT' })
  await db.close()
})
