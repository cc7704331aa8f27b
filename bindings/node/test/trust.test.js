'use strict'

// Checkpoint, verify and repair.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
const test = require('node:test')
const { AidbLevel } = require('aidb')
const { temporary } = require('./temporary')

const key = (number) => String(number).padStart(6, '0')

async function filled (count = 3000) {
  const db = new AidbLevel(temporary())
  await db.batch(Array.from({ length: count }, (_, i) => ({ type: 'put', key: key(i), value: `value ${i}` })))
  await db.flush()
  return db
}

/** Flips a bit in the first block of the largest table. */
function damage (location) {
  const tables = fs.readdirSync(location).filter((name) => name.endsWith('.sst'))
  const files = tables.map((name) => path.join(location, name))
  const file = files.sort((a, b) => fs.statSync(b).size - fs.statSync(a).size)[0]
  const content = fs.readFileSync(file)
  content[40] ^= 1
  fs.writeFileSync(file, content)
  return file
}

test('a checkpoint opens by itself and goes its own way', async function () {
  const db = await filled()
  await db.put('last', '1')
  const location = temporary()
  // Writes go on.
  await Promise.all([db.checkpoint(location), ...Array.from({ length: 50 }, (_, i) => db.put(`more ${i}`, ''))])
  await assert.rejects(db.checkpoint(location), { code: 'LEVEL_INVALID_ARGUMENT' })
  await assert.rejects(db.checkpoint(''), TypeError)
  await assert.rejects(db.checkpoint(7), TypeError)

  const copy = new AidbLevel(location, { createIfMissing: false })
  assert.equal(await copy.get('last'), '1')
  assert.equal((await copy.keys({ lt: 'a' }).all()).length, 3000)
  await copy.put('last', '2')
  assert.equal(await db.get('last'), '1')
  await copy.close()
  await db.close()
  await assert.rejects(db.checkpoint(temporary()), { code: 'LEVEL_DATABASE_NOT_OPEN' })
})

test('verify tells its progress, and damage by file and offset', async function () {
  const db = new AidbLevel((await filled().then((db) => db.close().then(() => db))).location)
  const steps = []
  // The call waits for the database to open.
  const report = await db.verify({ progress: (done, total) => steps.push([done, total]) })
  assert.equal(report.is_ok, true)
  assert.equal(report.entries, 3000)
  assert.deepEqual(report.damage, [])
  assert.deepEqual(steps.at(-1), [report.bytes, report.bytes])

  const file = damage(db.location)
  const damaged = await db.verify()
  assert.equal(damaged.is_ok, false)
  assert.equal(damaged.damaged_places, 1)
  assert.equal(damaged.damage[0].file, fs.realpathSync(file))
  assert.equal(damaged.damage[0].offset, 24)
  assert.match(damaged.damage[0].message, /checksum/)
  assert.equal(damaged.damage[0].kind, 'Corruption')
  damage(db.location)
  assert.equal((await db.verify({})).is_ok, true)
  await db.close()
  await assert.rejects(db.verify(), { code: 'LEVEL_DATABASE_NOT_OPEN' })
})

// ADDON-6.
test('an iterator that failed to read fails until it seeks, even if the disk works again', async function () {
  const { location } = await filled().then((db) => db.close().then(() => db))
  const db = new AidbLevel(location)
  const iterator = db.iterator()
  damage(location)
  const first = await iterator.next().catch((err) => err)
  assert.equal(first.code, 'LEVEL_CORRUPTION')
  damage(location)
  for (let i = 0; i < 2; i++) {
    await assert.rejects(iterator.next(), { code: first.code, message: first.message })
  }
  iterator.seek(key(1))
  assert.deepEqual(await iterator.next(), [key(1), 'value 1'])
  await iterator.close()
  await db.close()
})

test('verify ends by its signal, or by what its progress throws', async function () {
  const db = await filled()
  const aborted = new AbortController()
  aborted.abort(new Error('enough'))
  await assert.rejects(db.verify({ signal: aborted.signal }), { code: 'LEVEL_ABORTED', name: 'AbortError' })
  const later = new AbortController()
  const running = db.verify({ signal: later.signal })
  later.abort()
  await assert.rejects(running, { code: 'LEVEL_ABORTED' })
  await assert.rejects(db.verify({ progress () { throw new RangeError('mine') } }), { name: 'RangeError', message: 'mine' })
  await assert.rejects(db.verify({ progress: 7 }), TypeError)
  assert.equal((await db.verify()).is_ok, true)
  await db.close()
})

test('an unfinished copy is replaced by a checkpoint or a repair, and never repaired', async function () {
  const db = await filled(10)
  const [copy, into] = [temporary(), temporary()]
  for (const location of [copy, into]) {
    fs.mkdirSync(location, { recursive: true })
    fs.writeFileSync(path.join(location, 'AIDB-INCOMPLETE'), 'aidb incomplete\n')
  }
  await assert.rejects(AidbLevel.repair(copy, temporary()), { code: 'LEVEL_CORRUPTION' })
  await db.checkpoint(copy)
  await db.close()
  await AidbLevel.repair(db.location, into)
  for (const location of [copy, into]) {
    const made = new AidbLevel(location, { createIfMissing: false })
    assert.equal(await made.get(key(9)), 'value 9')
    await made.close()
  }
})

test('repair salvages into a new directory and says what is lost', async function () {
  const db = await filled()
  const into = temporary()
  await assert.rejects(AidbLevel.repair(db.location, into), { code: 'LEVEL_LOCKED' })
  await db.close()
  damage(db.location)
  fs.unlinkSync(path.join(db.location, 'CURRENT'))
  await assert.rejects(new AidbLevel(db.location).open(), (err) => err.cause.code === 'LEVEL_CORRUPTION')

  const report = await AidbLevel.repair(db.location, into, { compression: 'zstd' })
  assert.equal(report.is_ok, false)
  assert.equal(report.lost_places, 2)
  const lost = report.lost.find(({ file }) => file.endsWith('.sst'))
  assert.equal(lost.offset, 24)
  assert.ok(lost.end > 24)
  assert.ok(Buffer.isBuffer(lost.largest_key))
  assert.equal(String(lost.smallest_key), key(0))
  const repaired = new AidbLevel(into, { createIfMissing: false })
  const keys = await repaired.keys().all()
  assert.equal(keys.length, report.entries_written)
  assert.equal(keys[0], String(lost.largest_key))
  assert.equal(keys.at(-1), key(2999))
  assert.equal((await repaired.verify()).is_ok, true)
  await repaired.close()

  await assert.rejects(AidbLevel.repair(db.location, into), { code: 'LEVEL_INVALID_ARGUMENT' })
  await assert.rejects(AidbLevel.repair(temporary(), temporary()), { code: 'LEVEL_INVALID_ARGUMENT' })
  await assert.rejects(AidbLevel.repair(db.location), TypeError)
  await assert.rejects(AidbLevel.repair(db.location, temporary(), { compresion: 'zstd' }), { code: 'LEVEL_INVALID_ARGUMENT' })
})
