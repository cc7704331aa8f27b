'use strict'

// Iterators and clear against a model, chunk sizes, snapshots and signals.

const test = require('node:test')
const assert = require('node:assert/strict')
const { AidbLevel } = require('aidb')
const { random, Model } = require('./model')
const { longKey, value: randomValue } = require('./data')
const { temporary } = require('./temporary')

const seed = Number(process.env.AIDB_SEED ?? 20)
const binary = { keyEncoding: 'buffer', valueEncoding: 'buffer' }

async function open (options) {
  const db = new AidbLevel(temporary(), { ...binary, ...options })
  await db.open()
  return db
}

/** Short keys from few bytes, so that ranges meet keys, prefixes of keys and gaps. */
function randomKey (next) {
  const bytes = [0, 1, 97, 98, 255]
  return Buffer.from(Array.from({ length: Math.floor(next() * 4) }, () => bytes[Math.floor(next() * 5)]))
}

function randomRange (next) {
  const range = {}
  for (const bound of ['gte', 'gt', 'lte', 'lt']) if (next() < 0.3) range[bound] = randomKey(next)
  if (next() < 0.5) range.reverse = true
  if (next() < 0.3) range.limit = Math.floor(next() * 20)
  return range
}

/** A database and a model with the same random history, in the memtable and in several tables. */
async function history (next, operations) {
  const db = await open({ writeBufferSize: '16KiB', blockSize: 256 })
  const model = new Model()

  for (let i = 0; i < operations; i++) {
    const key = next() < 0.02 ? longKey(next) : randomKey(next)

    if (next() < 0.3) {
      await db.del(key)
      model.del(key)
    } else {
      const value = randomValue(next)
      await db.put(key, value)
      model.put(key, value)
    }

    if (next() < 0.01) await db.flush()
  }

  return { db, model }
}

// ADDON-3.
test('a batch, a call for many keys, and a chunk of entries each cross the border once', async function () {
  const { Database } = require('../node_modules/aidb/lib/native')
  const entries = 5000
  const db = await open()
  const crossings = []
  const counted = []
  const count = (prototype, name) => {
    const original = prototype[name]
    counted.push(() => { prototype[name] = original })
    prototype[name] = function (...values) {
      crossings.push(name)
      return original.apply(this, values)
    }
  }

  try {
    for (const name of ['put', 'get', 'has', 'batch', 'getMany', 'hasMany', 'clear']) count(Database.prototype, name)
    const keys = Array.from({ length: entries }, (_, i) => Buffer.from(String(i).padStart(6, '0')))
    await db.batch(keys.map((key) => ({ type: 'put', key, value: key })))
    const chained = db.batch()
    for (const key of keys) chained.put(key, key)
    await chained.write()
    assert.equal((await db.getMany(keys)).length, entries)
    assert.equal((await db.hasMany(keys)).length, entries)
    assert.deepEqual(crossings.splice(0), ['batch', 'batch', 'getMany', 'hasMany'])

    const { iterator } = Database.prototype
    counted.push(() => { Database.prototype.iterator = iterator })
    Database.prototype.iterator = function (...values) {
      const made = iterator.apply(this, values)
      // Once is enough: all native iterators have one prototype.
      if (crossings.push('iterator') === 1) count(Object.getPrototypeOf(made), 'read')
      return made
    }
    let seen = 0
    for await (const [key] of db.iterator()) assert.deepEqual(key, keys[seen++])
    assert.equal(seen, entries)
    // Chunks of 16, 64, 256 and then 1000 entries.
    assert.deepEqual(crossings.splice(0), ['iterator', ...Array(8).fill('read')])

    await db.clear()
    assert.deepEqual(crossings.splice(0), ['clear'])
  } finally {
    for (const restore of counted) restore()
  }
  await db.close()
})

test('a seek keeps the key that it was given, whatever its caller does to the buffer', async function () {
  const db = await open()
  for (const key of ['a', 'b', 'c']) await db.put(key, key)

  for (const key of [Buffer.from('b'), new Uint8Array(Buffer.from('b'))]) {
    const keyEncoding = Buffer.isBuffer(key) ? 'buffer' : 'view'
    const iterator = db.iterator()
    iterator.seek(key, { keyEncoding })
    key.fill(0xff)
    assert.deepEqual((await iterator.next()).map(String), ['b', 'b'])
    await iterator.close()
  }

  await db.close()
})

// CHUNKS-1, CHUNKS-2.
test('iterators equal a model, with every range option, chunk size and seek', async function () {
  const next = random(seed)
  const { db, model } = await history(next, 600)

  for (let i = 0; i < 600; i++) {
    const range = randomRange(next)
    const rerun = `AIDB_SEED=${seed} node --test test/iterators.test.js, range ${i}: ${JSON.stringify(range)}`
    const options = { ...range, highWaterMarkBytes: [0, 1, 50, 65536, undefined][Math.floor(next() * 5)] }
    const expected = model.range(range)

    assert.deepEqual(await db.iterator(options).all(), expected, rerun)
    assert.deepEqual(await db.keys(options).all(), expected.map(([key]) => key), rerun)
    assert.deepEqual(await db.values(options).all(), expected.map(([, value]) => value), rerun)

    const one = []
    for await (const entry of db.iterator(options)) one.push(entry)
    assert.deepEqual(one, expected, rerun)

    // Parts of random sizes, then a seek to a random key: the walk continues there with the rest of the limit.
    const iterator = db.iterator(options)
    const size = 1 + Math.floor(next() * 7)
    const taken = []

    while (taken.length < expected.length && next() < 0.7) {
      const entries = next() < 0.5 ? await iterator.nextv(size) : [await iterator.next()]
      assert.ok(entries.length > 0 && entries.length <= size, rerun)
      taken.push(...entries)
    }

    assert.deepEqual(taken, expected.slice(0, taken.length), rerun)

    const from = randomKey(next)
    const limit = (range.limit ?? Infinity) - taken.length
    iterator.seek(from)
    const rest = model.range({ ...range, limit: -1, from }).slice(0, Math.max(limit, 0))
    assert.deepEqual(await iterator.all(), rest, `${rerun}, seek ${from.toString('hex')}`)
  }

  await db.close()
})

test('clear equals a model, and leaves what is written after it', async function () {
  const next = random(seed + 1)
  const { db, model } = await history(next, 300)

  for (let i = 0; i < 100; i++) {
    const range = randomRange(next)
    const cleared = db.clear(range)
    const late = Buffer.concat([Buffer.from('late'), Buffer.from([i])])
    const written = db.put(late, late)

    for (const [key] of model.range(range)) model.del(key)
    model.put(late, late)
    await Promise.all([cleared, written])

    assert.deepEqual(await db.iterator().all(), model.range(),
      `AIDB_SEED=${seed} node --test test/iterators.test.js, clear ${i}: ${JSON.stringify(range)}`)

    for (let n = 0; n < 10; n++) {
      const key = randomKey(next)
      await db.put(key, key)
      model.put(key, key)
    }
  }

  await db.close()
})

test('clear of more than one batch of keys, at a snapshot', async function () {
  const db = await open()
  const keys = Array.from({ length: 2500 }, (_, i) => Buffer.from(String(i).padStart(5, '0')))

  await db.batch(keys.map((key) => ({ type: 'put', key, value: key })))
  const snapshot = db.snapshot()
  await db.put(Buffer.from('x'), Buffer.from('x'))
  await db.clear({ snapshot, limit: 2400 })
  assert.deepEqual(await db.keys().all(), [...keys.slice(2400), Buffer.from('x')])
  await db.clear({ snapshot })
  assert.deepEqual(await db.keys().all(), [Buffer.from('x')])
  await snapshot.close()
  await db.close()
})

test('nextv gives at most what is asked for, and everything in the end', async function () {
  const db = await open()
  const keys = Array.from({ length: 1000 }, (_, i) => Buffer.from(String(i).padStart(4, '0')))
  await db.batch(keys.map((key) => ({ type: 'put', key, value: Buffer.alloc(100) })))

  for (const size of [1, 2, 7, 999, 1000, 1001, 5000]) {
    const iterator = db.keys()
    const seen = []

    for (;;) {
      const part = await iterator.nextv(size)
      assert.ok(part.length <= size)
      if (part.length === 0) break
      seen.push(...part)
    }

    assert.deepEqual(seen, keys, `size ${size}`)
    await iterator.close()
  }

  await db.close()
})

test('snapshots and iterators keep their view over writes, flush and compaction', async function () {
  const next = random(seed + 2)
  const { db, model } = await history(next, 200)
  const before = model.copy()
  const snapshot = db.snapshot()
  const iterator = db.iterator()
  const first = await iterator.nextv(3)

  for (let i = 0; i < 500; i++) {
    const key = randomKey(next)
    if (next() < 0.5) await db.del(key)
    else await db.put(key, Buffer.from('new'))
    if (i % 100 === 99) await db.flush()
  }

  await db.clear({ gte: Buffer.from('a') })
  await db.compactRange()

  const entries = before.range()
  const keys = entries.map(([key]) => key)

  assert.deepEqual([...first, ...await iterator.all()], entries)
  assert.deepEqual(await db.iterator({ snapshot }).all(), entries)
  assert.deepEqual(await db.iterator({ snapshot, reverse: true }).all(), before.range({ reverse: true }))
  assert.deepEqual(await db.getMany(keys, { snapshot }), entries.map(([, value]) => value))
  assert.deepEqual(await db.hasMany(keys, { snapshot }), keys.map(() => true))

  for (const [key, value] of entries) {
    assert.deepEqual(await db.get(key, { snapshot }), value)
    assert.deepEqual(db.getSync(key, { snapshot }), value)
  }

  await snapshot.close()
  await assert.rejects(db.get(keys[0], { snapshot }), { code: 'LEVEL_SNAPSHOT_NOT_OPEN' })
  await db.close()
})

test('a snapshot of another database is refused', async function () {
  const [one, other] = [await open(), await open()]
  const snapshot = other.snapshot()

  await assert.rejects(one.get(Buffer.from('a'), { snapshot }), { code: 'LEVEL_INVALID_ARGUMENT' })
  await assert.rejects(one.iterator({ snapshot }).next(), { code: 'LEVEL_INVALID_ARGUMENT' })
  await one.close()
  await other.close()
})

test('an iterator with a closed or foreign snapshot fails when it is read, not when it is made', async function () {
  const db = await open()
  const snapshot = db.snapshot()
  await snapshot.close()

  const read = db.iterator({ snapshot })
  await assert.rejects(read.next(), { code: 'LEVEL_SNAPSHOT_NOT_OPEN' })

  const foreign = db.iterator({ snapshot: { ref () {}, unref () {} } })
  await assert.rejects(foreign.next(), { code: 'LEVEL_INVALID_ARGUMENT' })
  await db.close()
})

test('an aborted signal ends a read in progress and all later ones', async function () {
  const db = await open()
  await db.put(Buffer.from('a'), Buffer.from('b'))

  for (const read of ['next', 'all']) {
    const controller = new AbortController()
    const iterator = db.iterator({ signal: controller.signal })
    const result = read === 'next' ? iterator.next() : iterator.all()

    controller.abort(new Error('enough'))
    await assert.rejects(result, { code: 'LEVEL_ABORTED', name: 'AbortError' })
    await iterator.close()
  }

  await db.close()
})

test('a chunk cannot be transferred away under its other entries', async function () {
  const db = await open()
  await db.batch(['a', 'b'].map((key) => ({ type: 'put', key: Buffer.from(key), value: Buffer.from(key) })))

  const [[key], [, value]] = await db.iterator().all()

  // Older releases of Node copy instead; newer ones refuse.
  try {
    structuredClone(key, { transfer: [key.buffer] })
  } catch (err) {
    assert.equal(err.name, 'DataCloneError')
  }

  assert.deepEqual(key, Buffer.from('a'))
  assert.deepEqual(value, Buffer.from('b'))
  await db.close()
})

test('a number that is none is refused, and what abstract-level takes for no limit is taken', async function () {
  const db = new AidbLevel(temporary())
  await db.batch(Array.from({ length: 9 }, (_, i) => ({ type: 'put', key: String(i), value: String(i) })))
  const sublevel = db.sublevel('s')
  await sublevel.put('a', '1')
  const invalid = (name) => ({ code: 'LEVEL_INVALID_ARGUMENT', message: new RegExp(`^option ${name} = .*: expected a whole number`) })
  const wrong = [0.5, NaN, -2, -0.5, -Infinity, 2 ** 53, '5', true, {}, 5n]

  for (const range of [db, sublevel]) {
    const count = (await range.keys().all()).length
    for (const [name, values] of [['limit', wrong], ['highWaterMarkBytes', [...wrong, -1, Infinity]]]) {
      for (const value of values) {
        const options = { [name]: value }
        for (const walk of [range.iterator(options), range.keys(options), range.values(options)]) {
          await assert.rejects(walk.next(), invalid(name), String(value))
          await assert.rejects(walk.nextv(5), invalid(name), String(value))
          await assert.rejects(walk.all(), invalid(name), String(value))
          await assert.rejects(async function () {
            for await (const _ of walk) assert.fail()
          }, invalid(name))
        }
        await assert.rejects(range.clear(options), invalid(name), String(value))
      }
    }
    for (const limit of [undefined, null, -1, Infinity, count, 1000, Number.MAX_SAFE_INTEGER]) {
      for (const highWaterMarkBytes of [undefined, null, 0, 1, 2 ** 31, Number.MAX_SAFE_INTEGER]) {
        assert.equal((await range.keys({ limit, highWaterMarkBytes }).all()).length, count, `${limit} ${highWaterMarkBytes}`)
      }
    }
    assert.equal((await range.keys({ limit: 0 }).all()).length, 0)
    await range.clear({ limit: 0 })
    assert.equal((await range.keys().all()).length, count)
    await range.clear({ limit: -1 })
    assert.equal((await range.keys().all()).length, 0)
    if (range === db) await sublevel.put('a', '1')
  }

  await db.close()
})
