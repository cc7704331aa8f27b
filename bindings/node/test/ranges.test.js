'use strict'

// Range deletes: their bounds, in sublevels, batches and transactions, their order among other writes, and events.

const test = require('node:test')
const assert = require('node:assert/strict')
const { AidbLevel } = require('aidb')
const { temporary } = require('./temporary')

const INVALID = { code: 'LEVEL_INVALID_ARGUMENT' }
const KEYS = ['a', 'b', 'ba', 'c', 'ÿ']

async function open (options) {
  const db = new AidbLevel(temporary(), options)
  await db.open()
  return db
}

const puts = (keys) => keys.map((key) => ({ type: 'put', key, value: 'v' }))

// What remains of KEYS after each.
const DELETES = {
  'both bounds': [{ type: 'deleteRange', start: 'b', end: 'c' }, ['a', 'c', 'ÿ']],
  'no start': [{ type: 'deleteRange', start: null, end: 'b' }, ['b', 'ba', 'c', 'ÿ']],
  'no end': [{ type: 'deleteRange', start: 'ba' }, ['a', 'b']],
  'no bound': [{ type: 'deleteRange' }, []],
  'an empty range': [{ type: 'deleteRange', start: 'b', end: 'b' }, KEYS],
  'nothing before the first key': [{ type: 'deleteRange', end: '' }, KEYS],
  bytes: [{ type: 'deleteRange', start: Buffer.from('b'), end: new Uint8Array([0xff]), keyEncoding: 'buffer' }, ['a']],
  'a prefix': [{ type: 'deletePrefix', prefix: 'b' }, ['a', 'c', 'ÿ']],
  'a prefix of bytes': [{ type: 'deletePrefix', prefix: Buffer.from('ÿ').subarray(0, 1), keyEncoding: 'buffer' }, KEYS.slice(0, 4)],
  'the empty prefix': [{ type: 'deletePrefix', prefix: '' }, []]
}

const call = (target, { type, start, end, prefix, ...options }) => {
  return type === 'deleteRange' ? target.deleteRange(start, end, options) : target.deletePrefix(prefix, options)
}

const WAYS = {
  call: (db, sublevel, operation) => call(db, { ...operation, sublevel }),
  batch: (db, sublevel, operation) => db.batch([
    { type: 'put', key: 'b', value: 'before', sublevel }, { ...operation, sublevel }, { type: 'put', key: 'z', value: '', sublevel }
  ]),
  'batch of a sublevel': (db, sublevel, operation) => (sublevel ?? db).batch([operation]),
  transaction: (db, sublevel, operation) => db.transaction((t) => call(t, { ...operation, sublevel }))
}

for (const [name, way] of Object.entries(WAYS)) {
  test(`a range delete removes the keys of its range in its database or sublevel only: ${name}`, async function () {
    const db = await open()
    const outside = db.sublevel('r')
    const nested = db.sublevel('s').sublevel('t')
    await outside.batch(puts(KEYS))
    const others = await db.keys().all()

    for (const sublevel of [db.sublevel('s'), nested, undefined]) {
      for (const [what, [operation, rest]] of Object.entries(DELETES)) {
        const target = sublevel ?? db
        await target.batch(puts(KEYS))
        await way(db, sublevel, operation)
        const left = (await target.keys().all()).filter((key) => key !== 'z' && !key.startsWith('!'))
        assert.deepEqual(left, rest, `${what} in ${target.prefix}`)
        if (sublevel === undefined) break
        assert.deepEqual((await db.keys().all()).filter((key) => key.startsWith('!r!')), others, what)
        await target.clear()
        assert.deepEqual(await target.keys().all(), [])
      }
    }

    await db.close()
  })
}

test('the keys of sublevels belong to the root database', async function () {
  const db = await open()
  await db.sublevel('s').put('a', '1')
  await db.put('zz', '1')
  await db.deletePrefix('!s!')
  assert.deepEqual(await db.keys().all(), ['zz'])
  await db.deletePrefix(Buffer.from([0xff, 0xff]), { keyEncoding: 'buffer' })
  await db.deleteRange()
  assert.deepEqual(await db.keys().all(), [])
  await db.close()
})

test('the operations of a batch count in their order', async function () {
  const db = await open()
  const receipt = {}
  await db.batch(puts(KEYS))
  await db.batch([
    { type: 'put', key: 'bb', value: '1' },
    { type: 'deleteRange', start: 'b', end: 'c' },
    { type: 'deletePrefix', prefix: 'ÿ' },
    { type: 'put', key: 'bc', value: '2' },
    { type: 'del', key: 'a' },
    { type: 'deleteRange', start: 'x', end: 'y' }
  ], { receipt, sync: true })
  assert.deepEqual(await db.iterator().all(), [['bc', '2'], ['c', 'v']])
  assert.equal(receipt.sequence, 11n)
  await db.deleteRange('c', null, { receipt })
  assert.equal(receipt.sequence, 12n)
  await db.batch([{ type: 'deletePrefix', prefix: 'bc' }], { receipt })
  assert.equal(receipt.sequence, 13n)
  assert.deepEqual(await db.keys().all(), [])
  await db.close()
})

test('what is written after a range delete stays, although nobody waited for it', async function () {
  const db = await open()
  const sublevel = db.sublevel('s')
  const t = await db.begin()
  await t.put('t', '')

  for (let round = 0; round < 50; round++) {
    const key = Buffer.from(`key ${round}`)
    const writes = [
      db.put('gone', ''),
      [() => db.deleteRange(), () => db.clear(), () => db.deletePrefix(''), () => db.clear({ reverse: true, limit: -1 })][round % 4](),
      db.put(key, key, { keyEncoding: 'buffer', valueEncoding: 'buffer', sync: round % 2 === 0 }),
      db.batch([{ type: 'put', key: 'b', value: '' }]),
      sublevel.put('s', ''),
      db.put('gone', ''),
      db.del('gone'),
      db.putIfAbsent('p', ''),
      db.getAndPut('g', ''),
      round === 0 ? t.commit() : db.transaction((t) => t.put('t', ''))
    ]
    key.fill('x')
    await Promise.all(writes)
    const found = (await db.keys().all()).filter((key) => key !== 'gone')
    assert.deepEqual(found, ['!s!s', 'b', 'g', `key ${round}`, 'p', 't'])
  }

  // Closing waits for the writes that wait for a range delete.
  const last = [db.clear(), db.put('late', ''), db.close()]
  await Promise.all(last)
  await db.open()
  assert.deepEqual(await db.keys().all(), ['late'])
  await db.close()
})

test('clear is one write unless it has a limit or a snapshot', async function () {
  const db = await open()
  const sequence = async function () {
    const snapshot = db.snapshot()
    await snapshot.close()
    return snapshot.sequence
  }
  const operationsOf = async function (work) {
    await db.batch(puts(KEYS))
    const before = await sequence()
    await work()
    return Number(await sequence() - before)
  }

  assert.equal(await operationsOf(() => db.clear()), 1)
  assert.equal(await operationsOf(() => db.clear({ gt: 'a', lte: 'ba', reverse: true })), 1)
  assert.deepEqual(await db.keys().all(), ['a', 'c', 'ÿ'])
  assert.equal(await operationsOf(() => db.clear({ gt: 'b', lt: 'b' })), 0)
  assert.equal(await operationsOf(() => db.clear({ gte: 'c', lte: 'b' })), 0)
  assert.equal(await operationsOf(() => db.clear({ limit: 2 })), 2)
  const longest = Buffer.alloc(16 << 20, 'c')
  assert.equal(await operationsOf(() => db.clear({ lte: longest, keyEncoding: 'buffer' })), 4)
  const snapshot = db.snapshot()
  await db.put('new', '')
  // The snapshot sees one key.
  assert.equal(await operationsOf(() => db.clear({ snapshot })), 1)
  assert.deepEqual(await db.keys().all(), ['a', 'b', 'ba', 'c', 'new'])
  await snapshot.close()
  await db.sublevel('s').batch(puts(KEYS))
  assert.equal(await operationsOf(() => db.sublevel('s').clear()), 1)
  assert.deepEqual(await db.keys().all(), ['a', 'b', 'ba', 'c', 'new', 'ÿ'])
  await db.close()
})

test('readers from before see what was there', async function () {
  const db = await open()
  await db.batch(puts(KEYS))
  const snapshot = db.snapshot()
  const iterator = db.keys()
  await db.deletePrefix('b')
  await db.flush()
  await db.compactRange()
  assert.deepEqual(await db.keys().all(), ['a', 'c', 'ÿ'])
  assert.equal(await db.count(), 3)
  assert.deepEqual(await db.getMany(['a', 'ba']), ['v', undefined])
  assert.deepEqual(await db.keys({ snapshot }).all(), KEYS)
  assert.deepEqual(await iterator.all(), KEYS)
  await snapshot.close()
  await db.close()
})

test('a transaction sees its range deletes, takes them back, and conflicts with those of others', async function () {
  const db = await open()
  await db.batch(puts(KEYS))
  const t = await db.begin()
  await t.put('bb', 'mine')
  const savepoint = await t.savepoint()
  await t.deleteRange()
  assert.deepEqual(await t.keys().all(), [])
  await t.rollbackTo(savepoint)
  await t.deletePrefix('b')
  await t.batch([{ type: 'deleteRange', start: 'c', end: 'd' }, { type: 'put', key: 'ca', value: '' }])
  assert.deepEqual(await t.keys().all(), ['a', 'ca', 'ÿ'])
  assert.deepEqual(await db.keys().all(), KEYS)
  await t.commit()
  assert.deepEqual(await db.keys().all(), ['a', 'ca', 'ÿ'])

  const reader = await db.begin()
  assert.equal(await reader.get('absent'), undefined)
  await reader.put('z', '')
  const blind = await db.begin()
  await blind.deleteRange('a', 'b')
  await db.deleteRange('a', 'b')
  await assert.rejects(reader.commit(), { code: 'LEVEL_CONFLICT' })
  await blind.commit()
  await db.close()
})

test('listeners are told of range deletes among the other operations of a write', async function () {
  const db = await open()
  const sublevel = db.sublevel('s')
  const events = []
  const note = (name) => (operations) => events.push([name, ...operations.map(({ type, key, start, end, prefix }) => {
    return [type, ...[key, start, end, prefix].filter((part) => part !== undefined).map(String)]
  })])
  db.on('write', note('db'))
  sublevel.on('write', note('sublevel'))

  await db.batch([
    { type: 'deleteRange', start: 'a', end: 'b' }, { type: 'put', key: 'a', value: '' }, { type: 'deletePrefix', prefix: 'p' }
  ])
  await db.deleteRange(null, 'x')
  await sublevel.batch([{ type: 'del', key: 'd' }, { type: 'deletePrefix', prefix: 'q' }])
  await sublevel.batch([{ type: 'deleteRange' }])
  await db.transaction(async function (t) {
    await t.put('t', '')
    await t.deleteRange('t', 'u')
  })

  const [first, second, ...rest] = events
  assert.deepEqual(first, ['db', ['deleteRange', 'a', 'b'], ['put', 'a'], ['deletePrefix', 'p']])
  assert.deepEqual(second, ['db', ['deleteRange', 'null', 'x']])
  assert.deepEqual(rest, [
    ['db', ['del', '!s!d'], ['deleteRange', '!s!q', '!s!r']],
    ['sublevel', ['del', 'd'], ['deletePrefix', 'q']],
    ['db', ['deleteRange', '!s!', '!s"']],
    ['sublevel', ['deleteRange']],
    ['db', ['put', 't'], ['deleteRange', 't', 'u']]
  ])
  await db.close()
})

test('a prewrite hook adds its operations after the range deletes of the batch', async function () {
  const db = await open()
  await db.batch(puts(KEYS))
  db.hooks.prewrite.add(function (operation, batch) {
    if (operation.type === 'put') batch.add({ type: 'put', key: `index/${operation.key}`, value: '' })
  })
  await db.batch([{ type: 'put', key: 'b', value: '' }, { type: 'deleteRange' }])
  assert.deepEqual(await db.keys().all(), ['index/b'])
  await db.close()
})

test('wrong ranges, and databases that cannot be written, are refused', async function () {
  const db = await open()
  const other = await open()
  const t = await db.begin()
  await db.batch(puts(KEYS))
  const ends = { code: 'LEVEL_INVALID_ARGUMENT', message: /end must be at least start/ }

  for (const target of [db, t]) {
    await assert.rejects(target.deleteRange('b', 'a'), ends)
    await assert.rejects(target.deleteRange('b', 'a', { sublevel: db.sublevel('s') }), ends)
    await assert.rejects(target.deleteRange('b', 'c', { sublevel: other.sublevel('s') }), INVALID)
    for (const prefix of [undefined, null]) await assert.rejects(target.deletePrefix(prefix), { code: 'LEVEL_INVALID_KEY' })
    await assert.rejects(target.deletePrefix(Buffer.alloc((16 << 20) + 1), { keyEncoding: 'buffer' }), INVALID)
    await assert.rejects(target.batch([{ type: 'put', key: 'new', value: '' }, { type: 'deleteRange', start: 'b', end: 'a' }]), ends)
    await assert.rejects(target.batch([{ type: 'put', key: 'new', value: '' }, { type: 'deleteAll', key: 'a' }]), TypeError)
  }
  assert.deepEqual(await db.keys().all(), KEYS)
  await db.close()
  await other.close()

  const refusal = { code: 'LEVEL_DATABASE_NOT_OPEN' }
  for (const target of [db, t]) {
    await assert.rejects(target.deleteRange(), refusal)
    await assert.rejects(target.deletePrefix('a'), refusal)
    await assert.rejects(target.batch([{ type: 'deleteRange' }]), refusal)
  }

  const reader = new AidbLevel(db.location, { readOnly: true })
  const early = reader.deleteRange()
  await assert.rejects(early, INVALID)
  await assert.rejects(reader.clear(), INVALID)
  await assert.rejects(reader.transaction((t) => t.deletePrefix('a')), INVALID)
  assert.deepEqual(await reader.keys().all(), KEYS)
  await reader.close()

  // A database that is opening takes range deletes.
  const late = new AidbLevel(db.location)
  await Promise.all([late.deleteRange('a', 'c'), late.sublevel('s').batch([{ type: 'deleteRange' }])])
  assert.deepEqual(await late.keys().all(), ['c', 'ÿ'])
  await late.close()
})
