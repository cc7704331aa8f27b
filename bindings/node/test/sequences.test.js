'use strict'

// The numbers of writes and snapshots.

const test = require('node:test')
const assert = require('node:assert/strict')
const { AidbLevel } = require('aidb')
const { temporary } = require('./temporary')

async function open () {
  const db = new AidbLevel(temporary())
  await db.open()
  return db
}

/** The newest number that readers see. */
async function newest (db) {
  const snapshot = db.snapshot()
  await snapshot.close()
  return snapshot.sequence
}

const puts = (count) => Array.from({ length: count }, (_, i) => ({ type: 'put', key: String(i), value: 'v' }))

test('a receipt has the number of the last operation, and the write resolves to nothing', async function () {
  const db = await open()
  const wrote = async (write, expected) => {
    const receipt = {}
    const answer = write(receipt)
    assert.equal(receipt.sequence, undefined, 'not known yet')
    assert.equal(await answer, undefined)
    assert.equal(receipt.sequence, expected)
    assert.equal(await newest(db), expected)
  }

  assert.equal(await newest(db), 0n)
  await wrote((receipt) => db.put('a', '1', { receipt }), 1n)
  await wrote((receipt) => db.del('never there', { receipt }), 2n)
  await wrote((receipt) => db.put('a', '1', { receipt, sync: true }), 3n)
  await wrote((receipt) => db.batch(puts(100), { receipt }), 103n)
  await wrote((receipt) => db.batch([...puts(7), { type: 'del', key: 'a' }], { receipt, sync: true }), 111n)
  await wrote((receipt) => db.batch().put('a', '1').put('b', '2').del('a').write({ receipt }), 114n)

  const words = db.sublevel('words')
  await wrote((receipt) => words.put('a', '1', { receipt }), 115n)
  await wrote((receipt) => words.batch(puts(5), { receipt }), 120n)
  await wrote((receipt) => words.batch().put('a', '1').write({ receipt }), 121n)
  await wrote((receipt) => db.batch([{ type: 'put', key: 'b', value: '2', sublevel: words }], { receipt }), 122n)

  const receipt = {}
  await db.put('a', '1', { receipt })
  await db.put('a', '1')
  await db.batch([], { receipt })
  await db.batch().write({ receipt })
  assert.equal(receipt.sequence, 123n, 'an empty batch is no write')
  assert.equal(await newest(db), 124n)
  await db.close()
})

test('a put that waits for the database to open, or that a hook turns into a batch, has a receipt too', async function () {
  const db = new AidbLevel(temporary())
  const receipt = {}
  await db.put('a', '1', { receipt })
  assert.equal(receipt.sequence, 1n)

  db.hooks.prewrite.add((op, batch) => { batch.add({ type: 'put', key: 'also', value: op.key }) })
  await db.put('b', '2', { receipt })
  assert.equal(receipt.sequence, 3n)
  await db.close()
})

test('writes at once have numbers of their own', async function () {
  const db = await open()
  const receipts = Array.from({ length: 300 }, () => ({}))
  await Promise.all(receipts.map((receipt, i) => db.batch(puts(1 + i % 3), { receipt })))

  const counts = new Map(receipts.map(({ sequence }, i) => [sequence, BigInt(1 + i % 3)]))
  assert.equal(counts.size, receipts.length)
  let last = 0n
  for (const sequence of [...counts.keys()].sort((a, b) => Number(a - b))) {
    last += counts.get(sequence)
    assert.equal(sequence, last)
  }
  await db.close()
})

test('a write that fails tells no number, and one with a wrong receipt is not made', async function () {
  const db = await open()
  const receipt = {}
  await db.put('a', '1', { receipt })
  await assert.rejects(db.put('k'.repeat((16 << 20) + 1), '1', { receipt }), { code: 'LEVEL_INVALID_ARGUMENT' })
  assert.equal(receipt.sequence, undefined)

  for (const wrong of [1, 'a', true, () => {}, Object.freeze({})]) {
    await assert.rejects(db.put('a', '1', { receipt: wrong }), { code: 'LEVEL_INVALID_ARGUMENT' })
    await assert.rejects(db.del('a', { receipt: wrong }), { code: 'LEVEL_INVALID_ARGUMENT' })
    await assert.rejects(db.batch(puts(1), { receipt: wrong }), { code: 'LEVEL_INVALID_ARGUMENT' })
  }
  assert.equal(await newest(db), 1n)
  await db.put('a', '1', { receipt: null })
  assert.equal(await newest(db), 2n)
  await db.close()
})

test('a snapshot sees the writes up to its number, which it keeps', async function () {
  const db = await open()
  const receipt = {}
  await db.put('a', 'old', { receipt })
  const snapshot = db.snapshot()
  await db.put('a', 'new')
  assert.equal(snapshot.sequence, receipt.sequence)
  assert.equal(await db.get('a', { snapshot }), 'old')
  await snapshot.close()
  assert.equal(snapshot.sequence, 1n)
  await db.close()
})
