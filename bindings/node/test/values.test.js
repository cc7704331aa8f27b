'use strict'

// Keys and values: every byte, every size, every encoding, and the options of reads and writes.

const test = require('node:test')
const assert = require('node:assert/strict')
const { AidbLevel } = require('aidb')
const { temporary } = require('./temporary')
const { random } = require('./model')
const { EDGES, MAX_KEY_BYTES, longKey, value: randomValue } = require('./data')

const binary = { keyEncoding: 'buffer', valueEncoding: 'buffer' }

async function open (options) {
  const db = new AidbLevel(temporary(), options)
  await db.open()
  return db
}

test('binary keys and values come back as they were, in bytewise order', async function () {
  const db = await open(binary)
  const keys = Array.from({ length: 256 }, (_, byte) => Buffer.from([byte, 0, 255 - byte]))

  await db.batch(keys.map((key) => ({ type: 'put', key, value: Buffer.from(key).reverse() })))

  for (const key of keys) assert.deepEqual(await db.get(key), Buffer.from(key).reverse())
  assert.deepEqual(await db.keys().all(), keys)
  await db.close()
})

test('empty keys and empty values are ordinary, and told from absent ones', async function () {
  const db = await open(binary)
  const empty = Buffer.alloc(0)

  assert.equal(await db.get(empty), undefined)
  assert.equal(await db.has(empty), false)

  await db.put(empty, empty)
  await db.put(Buffer.from('a'), empty)

  assert.deepEqual(await db.get(empty), empty)
  assert.deepEqual(db.getSync(empty), empty)
  assert.equal(await db.has(empty), true)
  assert.equal(await db.get('', { keyEncoding: 'utf8', valueEncoding: 'utf8' }), '')
  assert.deepEqual(await db.getMany([empty, Buffer.from('b'), Buffer.from('a')]), [empty, undefined, empty])
  assert.deepEqual(await db.hasMany([empty, Buffer.from('b'), Buffer.from('a')]), [true, false, true])
  assert.deepEqual(await db.iterator().all(), [[empty, empty], [Buffer.from('a'), empty]])

  await db.del(empty)
  assert.equal(await db.has(empty), false)
  await db.close()
})

test('null and undefined are no keys and no values', async function () {
  const db = await open()

  for (const nothing of [null, undefined]) {
    await assert.rejects(db.get(nothing), { code: 'LEVEL_INVALID_KEY' })
    await assert.rejects(db.put(nothing, 'x'), { code: 'LEVEL_INVALID_KEY' })
    await assert.rejects(db.put('x', nothing), { code: 'LEVEL_INVALID_VALUE' })
    // No bound.
    assert.equal(await db.approximateSize(nothing, 'x'), 0)
    assert.equal(await db.approximateCount('x', nothing), 0)
    assert.equal(await db.count(nothing, nothing), 0)
  }

  await db.close()
})

test('every encoding reads what another wrote', async function () {
  const db = await open()
  const text = 'grün 🌱\u0000end'
  const bytes = Buffer.from(text)

  await db.put(text, text)

  for (const valueEncoding of ['utf8', 'buffer', 'view']) {
    const expected = { utf8: text, buffer: bytes, view: new Uint8Array(bytes) }[valueEncoding]
    const options = { keyEncoding: 'view', valueEncoding }
    const key = new Uint8Array(bytes)

    assert.deepEqual(await db.get(key, options), expected)
    assert.deepEqual(db.getSync(key, options), expected)
    assert.deepEqual(await db.getMany([key], options), [expected])
    assert.deepEqual(await db.values({ valueEncoding }).all(), [expected])
    assert.equal(Buffer.isBuffer(await db.get(key, options)), valueEncoding === 'buffer')
  }

  await db.put('json', { a: [1] }, { valueEncoding: 'json' })
  assert.deepEqual(await db.get('json', { valueEncoding: 'json' }), { a: [1] })
  await db.close()
})

test('a string is found as what it is on both sides of what the stack holds of a key', async function () {
  const db = await open()
  // The native half first copies a string to 256 bytes, and a character may end or be cut off at each of the last
  // bytes.
  const characters = ['x', 'é', '→', '🌱']
  const keys = characters.flatMap((character) => {
    const length = Buffer.byteLength(character)
    const counts = Array.from({ length: 20 }, (_, i) => Math.floor((262 - i) / length))
    return ['', 'a', 'ab', 'abc'].flatMap((start) => counts.map((count) => start + character.repeat(count)))
  })

  await db.batch(keys.map((key) => ({ type: 'put', key, value: `value of ${key}` })))
  for (const key of keys) {
    assert.equal(db.getSync(key), `value of ${key}`)
    assert.equal(await db.get(key), `value of ${key}`)
    assert.equal(db.getSync(key + '!'), undefined)
    assert.equal(db.getSync(Buffer.from(key), { keyEncoding: 'buffer' }), `value of ${key}`)
  }

  await db.close()
})

test('bytes that are no UTF-8 and lone surrogates are replaced, not refused', async function () {
  const db = await open()

  await db.put('bytes', Buffer.from([0x61, 0xff, 0x62]), { valueEncoding: 'buffer' })
  assert.equal(await db.get('bytes'), 'a\ufffdb')
  assert.equal(db.getSync('bytes'), 'a\ufffdb')

  await db.put('lone', '\ud800')
  assert.equal(await db.get('lone'), '\ufffd')
  await db.batch([{ type: 'put', key: 'lone', value: 'x\udc00' }])
  assert.equal(await db.get('lone'), 'x\ufffd')
  await db.close()
})

test('long values come back from memory, from tables and through every call', async function () {
  const db = await open({ ...binary, writeBufferSize: '64KiB' })
  const sizes = [1, 4095, 4096, 16384, 16385, 1 << 20, 5 << 20]
  const key = (size) => Buffer.from(`k${size}`)

  for (const size of sizes) await db.put(key(size), Buffer.alloc(size, size % 251))
  await db.flush()

  for (const size of sizes) {
    const expected = Buffer.alloc(size, size % 251)
    assert.ok(expected.equals(await db.get(key(size))), `get ${size}`)
    assert.ok(expected.equals(db.getSync(key(size))), `getSync ${size}`)
  }

  const values = await db.getMany(sizes.map(key))
  assert.deepEqual(values.map((value) => value.length), sizes)
  await db.close()
})

test('every threshold comes back as a key and as a value', async function () {
  const db = await open(binary)
  const seed = Number(process.env.AIDB_SEED ?? Date.now() % 2 ** 32)
  console.log(`rerun with AIDB_SEED=${seed}`)
  const next = random(seed)
  const entries = []

  for (const edge of EDGES) {
    const batch = [{ type: 'put', key: Buffer.from(`value of ${edge}`), value: randomValue(next, edge) }]
    const long = { type: 'put', key: longKey(next, edge), value: Buffer.from(String(edge)) }

    if (edge <= MAX_KEY_BYTES) batch.push(long)
    else await assert.rejects(db.put(long.key, long.value), { code: 'LEVEL_INVALID_ARGUMENT' })

    await db.batch(batch)
    entries.push(...batch)
  }

  entries.sort((a, b) => Buffer.compare(a.key, b.key))

  for (const place of ['memtable and tables', 'tables']) {
    const values = await db.getMany(entries.map(({ key }) => key))
    const walked = await db.iterator().all()
    assert.equal(walked.length, entries.length)

    for (const [at, { key, value }] of entries.entries()) {
      const label = `${place}: key of ${key.length} bytes, value of ${value.length}`
      assert.ok(value.equals(values[at]), `getMany, ${label}`)
      assert.ok(value.equals(await db.get(key)), `get, ${label}`)
      assert.ok(key.equals(walked[at][0]) && value.equals(walked[at][1]), `iterator, ${label}`)
    }

    await db.flush()
    await db.compactRange()
  }

  await db.close()
})

test('what a caller does to its own buffer after a call changes nothing', async function () {
  const db = await open(binary)
  const key = Buffer.from('key')
  const value = Buffer.from('value')
  const written = db.put(key, value)

  key.fill(0)
  value.fill(0)
  await written

  assert.deepEqual(await db.get(Buffer.from('key')), Buffer.from('value'))
  await db.close()
})

test('a key that is too long is refused', async function () {
  const db = await open(binary)
  const key = Buffer.alloc((16 << 20) + 1)

  await assert.rejects(db.put(key, Buffer.from('x')), { code: 'LEVEL_INVALID_ARGUMENT' })
  await assert.rejects(db.batch([{ type: 'del', key }]), { code: 'LEVEL_INVALID_ARGUMENT' })
  await db.close()
})

test('a batch is applied in order, and the later operation on a key wins', async function () {
  const db = await open()

  await db.batch([
    { type: 'put', key: 'a', value: '1' },
    { type: 'put', key: 'b', value: '1' },
    { type: 'del', key: 'a' },
    { type: 'put', key: 'b', value: '2' }
  ], { sync: true })

  assert.deepEqual(await db.iterator().all(), [['b', '2']])
  await db.batch().put('c', '3').del('b').write({ sync: true })
  assert.deepEqual(await db.iterator().all(), [['c', '3']])
  await db.close()
})

// ADDON-2.
test('a read sees the writes that were awaited, and none made after it', async function () {
  const db = await open()

  await db.put('k', 'before')
  const reads = [db.get('k'), db.getMany(['k']), db.has('later'), db.iterator().all(), db.keys().all()]
  const writes = [db.put('k', 'after'), db.put('later', 'x')]

  assert.deepEqual(await Promise.all(reads), ['before', ['before'], false, [['k', 'before']], ['k']])
  await Promise.all(writes)
  assert.equal(await db.get('k'), 'after')
  await db.close()
})

test('synced writes and reads that leave the cache alone do their work', async function () {
  const db = await open()

  await db.put('a', '1', { sync: true })
  await db.del('b', { sync: true })
  await db.flush()
  assert.equal(await db.get('a', { fillCache: false }), '1')
  assert.equal(db.getSync('a', { fillCache: false }), '1')
  assert.deepEqual(await db.values({ fillCache: false }).all(), ['1'])
  await db.close()
})

test('a chained batch keeps what was added, whatever its owner makes of it', async function () {
  for (const encoding of ['buffer', 'view']) {
    const db = new AidbLevel(temporary(), { keyEncoding: encoding, valueEncoding: encoding })
    await db.open()
    const key = encoding === 'buffer' ? Buffer.from([1]) : Uint8Array.of(1)
    const value = encoding === 'buffer' ? Buffer.from([2, 3]) : Uint8Array.of(2, 3)
    const batch = db.batch().put(key, value)
    value.fill(9)
    key.fill(7)
    batch.put(key, value)
    key.fill(8)
    batch.del(key)
    key.fill(1)
    await batch.write()
    assert.deepEqual((await db.iterator().all()).map(([k, v]) => [[...k], [...v]]), [[[1], [2, 3]], [[7], [9, 9]]])
    await db.close()
  }
})

test('values that are read on this thread do not share a byte, whatever their size', async function () {
  const db = new AidbLevel(temporary(), { keyEncoding: 'utf8', valueEncoding: 'buffer' })
  await db.open()
  const sizes = []

  for (const edge of [0, 8, 512, 1024, 4096, 8192]) {
    for (const size of [edge - 1, edge, edge + 1]) if (size >= 0) sizes.push(size)
  }

  const expected = (index) => Buffer.alloc(sizes[index], index + 1)
  for (const index of sizes.keys()) await db.put(`${index}`, expected(index))

  for (const flush of [false, true]) {
    if (flush) await db.flush()
    const found = []

    for (let round = 0; round < 20; round++) {
      for (const index of sizes.keys()) {
        found.push([index, db.getSync(`${index}`)], [index, await db.get(`${index}`)])
        const view = db.getSync(`${index}`, { valueEncoding: 'view' })
        assert.equal(Object.getPrototypeOf(view), Uint8Array.prototype)
        found.push([index, view])
        assert.equal(db.getSync(`${index}`, { valueEncoding: 'hex' }), expected(index).toString('hex'))
      }
    }

    for (const [index, value] of found) assert.deepEqual(Buffer.from(value), expected(index))
    // A change of one does not affect another.
    for (const [, value] of found) value.fill(255)
    const [index, last] = found.pop()
    last.set(expected(index))
    for (const [, value] of found) assert.ok(value.every((byte) => byte === 255))
    assert.deepEqual(Buffer.from(last), expected(index))
  }

  // A value given to another thread does not take its neighbours along: Node refuses it, or an older Node copies it.
  const small = db.getSync('1')
  try {
    structuredClone(small, { transfer: [small.buffer] })
  } catch (error) {
    assert.equal(error.name, 'DataCloneError')
  }
  assert.deepEqual(small, expected(1))
  await db.close()
})
