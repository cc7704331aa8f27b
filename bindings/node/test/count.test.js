'use strict'

// Counts and estimates of counts.

const test = require('node:test')
const assert = require('node:assert/strict')
const { AidbLevel } = require('aidb')
const { temporary } = require('./temporary')

const key = (number) => String(number).padStart(6, '0')

async function filled (count) {
  const db = new AidbLevel(temporary())
  const operations = []
  for (let i = 0; i < count; i++) operations.push({ type: 'put', key: key(i), value: '' })
  await db.batch(operations)
  return db
}

test('a count is exact, now and at a snapshot, and an estimate is near', async function () {
  const db = await filled(1000)

  assert.equal(await db.count(), 1000)
  assert.equal(await db.approximateCount(), 1000)
  assert.equal(await db.count(key(100), key(200)), 100)
  assert.equal(await db.approximateCount(key(100), key(200)), 100)
  assert.equal(await db.count(null, key(10)), 10)
  assert.equal(await db.count(key(990)), 10)
  assert.equal(await db.count('b', 'a'), 0)
  assert.equal(await db.approximateCount('b', 'a'), 0)
  assert.equal(await db.count(Buffer.from(key(5)), undefined, { keyEncoding: 'buffer' }), 995)

  const snapshot = db.snapshot()
  await db.del(key(7))
  await db.flush()
  assert.equal(await db.count(null, null, { fillCache: true }), 999)
  assert.equal(await db.count(null, null, { snapshot }), 1000)
  const about = await db.approximateCount(null, key(500))
  assert.ok(about > 400 && about < 600, String(about))

  const other = await filled(1)
  await assert.rejects(other.count(null, null, { snapshot }), { code: 'LEVEL_INVALID_ARGUMENT' })
  await other.close()
  await snapshot.close()
  await db.close()
  await assert.rejects(db.count(), { code: 'LEVEL_DATABASE_NOT_OPEN' })
  await assert.rejects(db.approximateCount(), { code: 'LEVEL_DATABASE_NOT_OPEN' })
})

test('a count tells its progress, and ends by its signal or by what that throws', async function () {
  const db = await filled(100_000)
  const steps = []

  const counted = await db.count(null, null, { progress: (done, total) => steps.push([done, total]) })
  assert.equal(counted, 100_000)
  assert.deepEqual(steps.at(-1), [100_000, 100_000])

  const aborted = new AbortController()
  aborted.abort(new Error('enough'))
  await assert.rejects(db.count(null, null, { signal: aborted.signal }), { code: 'LEVEL_ABORTED', name: 'AbortError' })
  const later = new AbortController()
  const running = db.count(null, null, { signal: later.signal })
  later.abort()
  await assert.rejects(running, { code: 'LEVEL_ABORTED' })
  const failing = { progress () { throw new RangeError('mine') } }
  await assert.rejects(db.count(null, null, failing), { name: 'RangeError', message: 'mine' })
  await assert.rejects(db.count(null, null, { progress: 7 }), TypeError)
  assert.equal(await db.count(), 100_000)
  await db.close()
})
