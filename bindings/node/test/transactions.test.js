'use strict'

// Transactions: what they see, what conflicts, how they end; and the calls that are a transaction of one key.

const test = require('node:test')
const assert = require('node:assert/strict')
const { spawnSync } = require('node:child_process')
const { once } = require('node:events')
const { setImmediate: turn } = require('node:timers/promises')
const { Worker } = require('node:worker_threads')
const { AidbLevel } = require('aidb')
const { random } = require('./model')
const { temporary } = require('./temporary')

const CONFLICT = { code: 'LEVEL_CONFLICT' }
const CLOSED = { code: 'LEVEL_DATABASE_NOT_OPEN' }
const INVALID = { code: 'LEVEL_INVALID_ARGUMENT' }

async function open (entries = {}, options = undefined) {
  const db = new AidbLevel(temporary(), options)
  await db.open()
  await db.batch(Object.entries(entries).map(([key, value]) => ({ type: 'put', key, value })))
  return db
}

const jobs = (count) => Object.fromEntries(
  Array.from({ length: count }, (_, i) => [`job/${String(i).padStart(4, '0')}`, `work ${i}`])
)

test('a transaction sees its own writes, and nobody else does before the commit', async function () {
  const db = await open({ a: '1', b: '2' })
  const t = await db.begin()

  await t.put('c', '3')
  await t.del('a')
  await t.batch([{ type: 'put', key: 'b', value: 'two' }, { type: 'put', key: 'd', value: '4' }])
  assert.equal(await t.get('c'), '3')
  assert.equal(await t.get('a'), undefined)
  assert.deepEqual(await t.getMany(['a', 'b', 'x']), [undefined, 'two', undefined])
  assert.deepEqual([await t.has('a'), await t.has('d')], [false, true])
  assert.deepEqual(await t.hasMany(['a', 'b']), [false, true])
  assert.deepEqual(await t.iterator().all(), [['b', 'two'], ['c', '3'], ['d', '4']])
  assert.deepEqual(await t.keys({ reverse: true }).all(), ['d', 'c', 'b'])
  assert.deepEqual(await t.values({ gt: 'b', lt: 'd' }).all(), ['3'])
  assert.deepEqual(await db.iterator().all(), [['a', '1'], ['b', '2']])

  const sequence = await t.commit({ sync: true })
  assert.deepEqual(await db.iterator().all(), [['b', 'two'], ['c', '3'], ['d', '4']])
  const snapshot = db.snapshot()
  assert.equal(sequence, snapshot.sequence)
  await snapshot.close()
  await db.close()
})

test('a transaction sees the database as it was when it began', async function () {
  const db = await open({ a: '1' })
  const t = await db.begin({ readOnly: true })
  await db.put('a', 'new')
  await db.put('b', 'new')

  assert.equal(await t.get('a'), '1')
  assert.deepEqual(await t.iterator().all(), [['a', '1']])
  assert.equal(await t.commit(), 1n, 'the last write that it sees')
  await db.close()
})

test('a change of what was read is a conflict, and then nothing is written', async function () {
  const db = await open({ a: '1', m: '1', z: '1' })
  const reads = {
    get: (t) => t.get('a'),
    'get of an absent key': (t) => t.get('absent'),
    getMany: (t) => t.getMany(['a', 'x']),
    has: (t) => t.has('a'),
    hasMany: (t) => t.hasMany(['a']),
    iterator: (t) => t.iterator().all(),
    'iterator of a range without entries': (t) => t.keys({ gt: 'a', lt: 'b' }).all()
  }
  const changed = { 'get of an absent key': 'absent', 'iterator of a range without entries': 'aa' }

  for (const [name, read] of Object.entries(reads)) {
    const t = await db.begin()
    await read(t)
    await t.put('mine', name)
    await db.put(changed[name] ?? 'a', name)
    await assert.rejects(t.commit(), CONFLICT, name)
    assert.equal(await db.get('mine'), undefined, name)
    await assert.rejects(t.get('a'), { ...CLOSED, message: /met a conflict/ })
  }

  const stats = await db.stats()
  assert.equal(stats.transaction_conflicts, Object.keys(reads).length)
  await db.close()
})

test('writes alone, reads of own writes, and transactions without writes do not conflict', async function () {
  const db = await open({ a: '1' })
  const [blind, own, reader, readOnly] = await Promise.all([
    db.begin(), db.begin(), db.begin(), db.begin({ readOnly: true })
  ])
  await blind.put('a', 'blind')
  await own.put('a', 'own')
  assert.equal(await own.get('a'), 'own')
  assert.equal(await reader.get('a'), '1')
  assert.equal(await readOnly.get('a'), '1')
  await db.put('a', 'changed')

  for (const t of [blind, own, reader, readOnly]) assert.equal(typeof await t.commit(), 'bigint')
  assert.equal(await db.get('a'), 'own')
  assert.equal((await db.stats()).transactions_committed, 4)
  await db.close()
})

test('a read-only transaction and one of a read-only database refuse writes', async function () {
  const db = await open({ a: '1' })
  const t = await db.begin({ readOnly: true })
  await assert.rejects(t.put('a', '2'), INVALID)
  assert.equal(await t.get('a'), '1')
  await t.rollback()
  await db.close()

  const readOnly = new AidbLevel(db.location, { readOnly: true })
  const other = await readOnly.begin()
  await assert.rejects(other.del('a'), INVALID)
  assert.equal(await other.get('a'), '1')
  await readOnly.close()
})

// ADDON-8.
test('a transaction has read only the entries that it was given', async function () {
  const db = await open(jobs(20))
  const key = (i) => `job/${String(i).padStart(4, '0')}`
  const range = { gte: 'job/', lt: 'job0' }
  // Each reads the entries from 0 to a last one; a change of the next one is none of its business.
  const reads = {
    'first of a loop': [0, async (t) => { for await (const entry of t.iterator(range)) return entry }],
    'limit of 1': [0, (t) => t.keys({ ...range, limit: 1 }).all()],
    'limit of 5': [4, (t) => t.iterator({ ...range, limit: 5 }).all()],
    nextv: [2, async (t) => {
      const iterator = t.values(range)
      assert.equal((await iterator.nextv(3)).length, 3)
      await iterator.close()
    }],
    seek: [7, async (t) => {
      const iterator = t.iterator(range)
      iterator.seek(key(7))
      assert.equal((await iterator.next())[0], key(7))
      await iterator.close()
    }]
  }

  for (const [name, [last, read]] of Object.entries(reads)) {
    const untouched = await db.begin()
    await read(untouched)
    await db.put(key(last + 1), name)
    await untouched.put('mine', name)
    await untouched.commit()

    const touched = await db.begin()
    await read(touched)
    await db.put(key(last), name)
    await touched.put('mine', name)
    await assert.rejects(touched.commit(), CONFLICT, name)
  }

  const reverse = await db.begin()
  for await (const last of reverse.keys({ ...range, reverse: true })) {
    assert.equal(last, key(19))
    break
  }
  await db.put(key(18), 'changed')
  await reverse.put('mine', 'reverse')
  await reverse.commit()
  await db.close()
})

test('an iterator of a transaction walks, seeks and ends as one over a map does', async function () {
  const next = random(7)
  const name = () => String(Math.floor(next() * 400)).padStart(3, '0')
  const expected = new Map()
  const stored = Array.from({ length: 200 }, () => ({ type: 'put', key: name(), value: 'stored' }))
  const db = await open()
  await db.batch(stored)
  for (const { key, value } of stored) expected.set(key, value)
  const t = await db.begin()

  for (let i = 0; i < 200; i++) {
    const key = name()
    if (next() < 0.5) {
      await t.put(key, `own ${i}`)
      expected.set(key, `own ${i}`)
    } else {
      await t.del(key)
      expected.delete(key)
    }
  }

  for (let i = 0; i < 100; i++) {
    const [gte, lt] = [name(), name()].sort()
    const reverse = next() < 0.5
    const limit = next() < 0.5 ? -1 : Math.floor(next() * 50)
    const highWaterMarkBytes = next() < 0.5 ? undefined : Math.floor(next() * 100)
    let entries = [...expected].filter(([key]) => key >= gte && key < lt).sort()
    if (reverse) entries.reverse()
    const iterator = t.iterator({ gte, lt, reverse, limit, highWaterMarkBytes })
    let seek = Promise.resolve()

    if (next() < 0.3) {
      // Also after some entries, and outside the range.
      for (let j = Math.floor(next() * 4); j > 0 && limit === -1; j--) await iterator.next()
      const target = name()
      iterator.seek(target)
      const isInRange = target >= gte && target < lt
      entries = entries.filter(([key]) => isInRange && (reverse ? key <= target : key >= target))
      seek = turn()
    }

    if (limit !== -1) entries = entries.slice(0, limit)
    await seek
    const found = []
    if (next() < 0.5) {
      for await (const entry of iterator) found.push(entry)
    } else {
      while (true) {
        const some = await iterator.nextv(1 + Math.floor(next() * 20))
        if (some.length === 0) break
        found.push(...some)
      }
      await iterator.close()
    }
    assert.deepEqual(found, entries, JSON.stringify({ i, gte, lt, reverse, limit }))
  }

  await t.rollback()
  await db.close()
})

// ADDON-7.
test('calls take effect in the order in which they are made, without waiting for each', async function () {
  const db = await open({ a: '1' })
  const t = await db.begin()
  const puts = []
  const reads = []
  for (let i = 0; i < 100; i++) {
    puts.push(t.put('a', String(i)))
    reads.push(t.get('a'))
  }
  const before = t.iterator()
  puts.push(t.put('b', 'later'))
  const seen = before.all()
  const commit = t.commit()
  const late = t.put('a', 'too late')

  await assert.rejects(late, { ...CLOSED, message: /was committed/ })
  await Promise.all(puts)
  assert.deepEqual(await Promise.all(reads), Array.from({ length: 100 }, (_, i) => String(i)))
  assert.deepEqual(await seen, [['a', '99']], 'writes made before the iterator, and none after')
  await commit
  assert.deepEqual(await db.iterator().all(), [['a', '99'], ['b', 'later']])
  await db.close()
})

test('a savepoint takes back what was written since', async function () {
  const db = await open({ a: '1' })
  const t = await db.begin()
  await t.put('a', 'first')
  const first = await t.savepoint()
  await t.put('a', 'second')
  const second = await t.savepoint()
  await t.batch([{ type: 'del', key: 'a' }, { type: 'put', key: 'b', value: '2' }])

  await t.rollbackTo(second)
  assert.deepEqual(await t.iterator().all(), [['a', 'second']])
  await t.del('a')
  await t.rollbackTo(second)
  await t.rollbackTo(first)
  assert.equal(await t.get('a'), 'first')
  await assert.rejects(t.rollbackTo(second), INVALID, 'forgotten')

  const other = await db.begin()
  await assert.rejects(other.rollbackTo(first), INVALID)
  for (const wrong of [undefined, null, 1, {}]) await assert.rejects(t.rollbackTo(wrong), INVALID)
  await other.rollback()
  await t.commit()
  await assert.rejects(t.savepoint(), CLOSED)
  await assert.rejects(t.rollbackTo(first), CLOSED)
  assert.deepEqual(await db.iterator().all(), [['a', 'first']])
  await db.close()
})

test('every call after the end is refused, and says how it ended', async function () {
  const db = await open({ a: '1' })
  const ends = {
    committed: (t) => t.commit(),
    'rolled back': (t) => t.rollback()
  }

  for (const [name, end] of Object.entries(ends)) {
    const t = await db.begin()
    const iterator = t.iterator()
    const unused = t.keys()
    assert.deepEqual(await iterator.next(), ['a', '1'])
    await end(t)
    const refused = { ...CLOSED, message: new RegExp(`was ${name}`) }

    for (const call of [
      () => t.get('a'), () => t.getMany(['a']), () => t.has('a'), () => t.hasMany(['a']), () => t.put('a', '2'),
      () => t.del('a'), () => t.batch([{ type: 'del', key: 'a' }]), () => t.savepoint(), () => t.commit(),
      () => iterator.next(), () => unused.all(), () => t.values().next()
    ]) await assert.rejects(call(), refused, String(call))

    await t.rollback()
    await t.rollback()
    await iterator.close()
  }

  assert.equal(await db.get('a'), '1')
  await db.close()
})

test('closing the database ends its transactions, in whatever order handles end', async function () {
  const db = await open({ a: '1' })
  const t = await db.begin()
  const busy = await db.begin()
  const iterator = t.iterator()
  await iterator.next()
  await t.put('a', '2')
  const put = busy.put('b', '2')
  await db.close()
  await put

  for (const call of [() => t.get('a'), () => t.put('a', '2'), () => t.commit(), () => t.savepoint(), () => db.begin()]) {
    await assert.rejects(call(), CLOSED)
  }
  await assert.rejects(iterator.next(), { code: 'LEVEL_ITERATOR_NOT_OPEN' })
  assert.throws(() => t.iterator(), CLOSED)
  await t.rollback()

  await db.open()
  await assert.rejects(t.get('a'), CLOSED)
  await assert.rejects(t.commit(), CLOSED)
  await t.rollback()
  assert.equal(await db.get('a'), '1')
  await db.close()
})

test('arguments are checked as those of the database', async function () {
  const db = await open()
  const elsewhere = await open()
  const t = await db.begin()
  const snapshot = db.snapshot()
  await assert.rejects(t.get(null), { code: 'LEVEL_INVALID_KEY' })
  await assert.rejects(t.put('a', undefined), { code: 'LEVEL_INVALID_VALUE' })
  await assert.rejects(t.put('k'.repeat((16 << 20) + 1), 'v'), INVALID)
  await assert.rejects(t.batch(1), TypeError)
  await assert.rejects(t.batch([{ type: 'get', key: 'a' }]), TypeError)
  await assert.rejects(t.get('a', { snapshot }), INVALID)
  assert.throws(() => t.iterator({ snapshot }), INVALID)
  await assert.rejects(t.iterator({ limit: NaN }).next(), INVALID)

  const foreign = { sublevel: elsewhere.sublevel('x') }
  await assert.rejects(t.get('a', foreign), INVALID)
  await assert.rejects(t.put('a', '1', foreign), INVALID)
  await assert.rejects(t.batch([{ type: 'put', key: 'a', value: '1', ...foreign }]), INVALID)
  await assert.rejects(t.batch([{ type: 'put', key: 'a', value: '1' }], foreign), INVALID)
  await assert.rejects(db.putIfAbsent('a', '1', foreign), INVALID)

  // After an error none of a batch is in the transaction, and it goes on.
  await assert.rejects(t.batch([{ type: 'put', key: 'a', value: '1' }, { type: 'del', key: 'k'.repeat((16 << 20) + 1) }]), INVALID)
  await t.put('c', '3')
  await t.commit()
  assert.deepEqual(await db.keys().all(), ['c'])
  await snapshot.close()
  await db.close()
  await elsewhere.close()
})

test('encodings are those of the call, of the sublevel or of the database', async function () {
  const db = await open({}, { valueEncoding: 'json' })
  const words = db.sublevel('words', { valueEncoding: 'json' })
  const deep = words.sublevel('deep', { keyEncoding: 'buffer', valueEncoding: 'view' })
  const t = await db.begin()
  const bytes = Buffer.from([0, 255])

  await t.put('a', { n: 1 })
  await t.put('b', bytes, { valueEncoding: 'buffer' })
  await t.put('hello', [1], { sublevel: words })
  await t.put(bytes, new Uint8Array([7]), { sublevel: deep })
  await t.batch([{ type: 'put', key: 'bye', value: [2], sublevel: words }, { type: 'put', key: 'c', value: 'x' }])

  assert.deepEqual(await t.get('a'), { n: 1 })
  assert.deepEqual(await t.get('b', { valueEncoding: 'buffer' }), bytes)
  assert.deepEqual(await t.get('hello', { sublevel: words }), [1])
  assert.deepEqual(await t.getMany([bytes], { sublevel: deep }), [new Uint8Array([7])])
  assert.equal(await t.has('bye', { sublevel: words }), true)
  assert.deepEqual(await t.iterator({ sublevel: words, lt: 'x', gt: 'a' }).all(), [['bye', [2]], ['hello', [1]]])
  assert.deepEqual(await t.keys({ sublevel: deep }).all(), [bytes])
  assert.deepEqual(await words.keys({ gt: 'a' }).all(), [])
  await t.del('bye', { sublevel: words })
  await t.commit()

  assert.deepEqual(await words.iterator({ gt: 'a' }).all(), [['hello', [1]]])
  assert.deepEqual(await deep.get(bytes), new Uint8Array([7]))
  assert.deepEqual(await db.get('a'), { n: 1 })
  await db.close()
})

test('hooks add to the transaction, and one event follows its commit', async function () {
  const db = await open()
  const events = []
  db.hooks.prewrite.add((operation, batch) => {
    if (operation.type === 'put') batch.add({ type: 'put', key: `index/${operation.value}`, value: operation.key })
  })
  db.on('write', (operations) => events.push(operations.map(({ type, key, snapshot }) => [type, key, snapshot])))

  const t = await db.begin()
  await t.put('a', 'red')
  const savepoint = await t.savepoint()
  t.put('b', 'green').catch(() => {})
  await t.rollbackTo(savepoint)
  t.del('c').catch(() => {})
  assert.equal(await t.get('index/red'), 'a')
  assert.deepEqual(events, [])
  await t.commit()
  assert.deepEqual(events, [[['put', 'a', undefined], ['put', 'index/red', undefined], ['del', 'c', undefined]]])
  assert.deepEqual(await db.keys().all(), ['a', 'index/red'])

  const undone = await db.begin()
  await undone.put('x', '1')
  await undone.rollback()
  assert.equal(events.length, 1)

  assert.equal(await db.putIfAbsent('d', 'blue'), true)
  assert.equal(await db.putIfAbsent('d', 'grey'), false)
  assert.equal(await db.compareAndSet('d', 'blue', 'black'), true)
  assert.equal(await db.getAndPut('d', 'white'), 'black')
  assert.equal(await db.getAndDelete('d'), 'white')
  assert.equal(await db.getAndDelete('d'), undefined)
  assert.equal(await db.get('index/white'), 'd')
  assert.deepEqual(events.slice(1).map((operations) => operations.length), [2, 2, 2, 1])
  await db.close()
})

test('a function\'s transaction commits, and resolves to its result', async function () {
  const db = new AidbLevel(temporary())
  assert.equal(await db.transaction(async (t) => { await t.put('a', '1'); return 'done' }, { sync: true }), 'done')
  assert.equal(await db.transaction((t) => { t.put('b', '2') }), undefined)
  assert.deepEqual(await db.keys().all(), ['a', 'b'])
  await db.close()
  await assert.rejects(db.transaction(() => {}), CLOSED)
})

test('a function that throws has its transaction rolled back', async function () {
  const db = await open()
  let kept

  for (const thrown of [new Error('no'), undefined, null, 'text']) {
    await assert.rejects(db.transaction(async (t) => {
      kept = t
      await t.put('a', '1')
      throw thrown
    }), (err) => err === thrown)
    await assert.rejects(kept.get('a'), { ...CLOSED, message: /was rolled back/ })
  }

  assert.equal(await db.get('a'), undefined)
  assert.equal((await db.stats()).transactions_open, 0)
  for (const attempts of [0, -1, 1.5, NaN, '3']) {
    await assert.rejects(db.transaction(() => {}, { attempts }), INVALID)
  }
  await assert.rejects(db.transaction(), TypeError)
  await db.close()
})

test('a function runs again after a conflict, and gives up after the attempts', async function () {
  const db = await open({ a: '0' })
  let runs = 0
  const work = (spoiled) => async function (t) {
    const value = Number(await t.get('a'))
    if (++runs <= spoiled) await db.put('a', String(value + 10))
    await t.put('a', String(value + 1))
    return runs
  }

  assert.equal(await db.transaction(work(3)), 4)
  assert.equal(await db.get('a'), '31')

  for (const attempts of [1, 3, 10]) {
    runs = 0
    const options = attempts === 10 ? undefined : { attempts }
    await assert.rejects(db.transaction(work(Infinity), options), function (err) {
      assert.equal(err.code, 'LEVEL_CONFLICT')
      assert.match(err.message, new RegExp(`^after ${attempts} attempts: `))
      assert.equal(err.cause.code, 'LEVEL_CONFLICT')
      return true
    })
    assert.equal(runs, attempts)
  }

  await db.close()
})

test('fifty takers of a queue take every job exactly once', async function () {
  const count = 300
  const db = await open(jobs(count))
  const taken = []
  let running = 0
  let most = 0

  const take = (t) => (async () => {
    for await (const [key, value] of t.iterator({ gte: 'job/', lt: 'job0' })) {
      await t.del(key)
      await t.put(`done/${key}`, value)
      return key
    }
  })()

  const taker = async function () {
    most = Math.max(most, ++running)
    while (true) {
      const key = await db.transaction(take, { attempts: Infinity })
      if (key === undefined) break
      taken.push(key)
    }
    running--
  }

  await Promise.all(Array.from({ length: 50 }, taker))
  assert.equal(most, 50)
  assert.equal(taken.length, count)
  assert.deepEqual(taken.sort(), Object.keys(jobs(count)))
  assert.equal((await db.keys({ gte: 'done/', lt: 'done0' }).all()).length, count)
  const stats = await db.stats()
  assert.equal(stats.transactions_open, 0)
  assert.equal(stats.transactions_committed, count + 50)
  await db.close()
})

test('transactions of one key: set if equal, put if absent, exchange', async function () {
  const db = await open()
  assert.equal(await db.compareAndSet('leader', undefined, 'alice'), true)
  assert.equal(await db.compareAndSet('leader', undefined, 'bob'), false)
  assert.equal(await db.compareAndSet('leader', 'carol', 'bob'), false)
  assert.equal(await db.compareAndSet('leader', 'alice', 'bob', { sync: true }), true)
  assert.equal(await db.compareAndSet('leader', 'bob', undefined), true)
  assert.equal(await db.compareAndSet('leader', undefined, undefined), true)
  assert.equal(await db.get('leader'), undefined)

  assert.equal(await db.putIfAbsent('a', ''), true)
  assert.equal(await db.putIfAbsent('a', 'x'), false)
  assert.equal(await db.compareAndSet('a', undefined, 'x'), false, 'an empty value is a value')
  assert.equal(await db.compareAndSet('a', '', 'x'), true)
  assert.equal(await db.getAndPut('a', 'y'), 'x')
  assert.equal(await db.getAndPut('b', '1', { sync: true }), undefined)
  assert.equal(await db.getAndDelete('b'), '1')
  assert.equal(await db.getAndDelete('b'), undefined)
  assert.deepEqual(await db.iterator().all(), [['a', 'y']])

  const json = { valueEncoding: 'json' }
  const words = db.sublevel('words', json)
  assert.equal(await db.putIfAbsent('n', { n: 1 }, { sublevel: words }), true)
  assert.equal(await db.compareAndSet('n', { n: 1 }, { n: 2 }, { sublevel: words }), true)
  assert.deepEqual(await words.get('n'), { n: 2 })
  assert.deepEqual(await db.getAndDelete('n', { sublevel: words }), { n: 2 })
  assert.deepEqual(await db.getAndPut('a', Buffer.from([255]), { valueEncoding: 'buffer' }), Buffer.from('y'))
  await assert.rejects(db.getAndDelete('a', json), { code: 'LEVEL_DECODE_ERROR' })

  await assert.rejects(db.compareAndSet(null, '1', '2'), { code: 'LEVEL_INVALID_KEY' })
  await assert.rejects(db.compareAndSet('a', null, '2'), { code: 'LEVEL_INVALID_VALUE' })
  for (const nothing of [null, undefined]) {
    await assert.rejects(db.putIfAbsent('a', nothing), { code: 'LEVEL_INVALID_VALUE' })
    await assert.rejects(db.getAndPut('a', nothing), { code: 'LEVEL_INVALID_VALUE' })
  }
  await db.close()
  await assert.rejects(db.compareAndSet('a', '1', '2'), CLOSED)
})

for (const watched of [false, true]) {
  test(`counting by compareAndSet loses nothing${watched ? ', also with a listener' : ''}`, async function () {
    const db = await open({ n: '0' })
    if (watched) db.on('write', () => {})
    const count = async function () {
      for (let i = 0; i < 10; i++) {
        let before
        do before = await db.get('n')
        while (!await db.compareAndSet('n', before, String(Number(before) + 1)))
      }
    }
    await Promise.all(Array.from({ length: 20 }, count))
    assert.equal(await db.get('n'), '200')
    await db.close()
  })
}

test('calls wait for the database to open', async function () {
  const db = new AidbLevel(temporary())
  assert.equal(await db.putIfAbsent('a', '1'), true)
  await db.close()
  const again = new AidbLevel(db.location)
  const t = await again.begin()
  assert.equal(await t.get('a'), '1')
  await again.close()
})

test('a transaction that nobody uses is rolled back after transactionTimeout', async function () {
  const db = await open({ a: '1' }, { transactionTimeout: 20 })
  const t = await db.begin()
  // On a busy machine the time may be over already.
  await t.put('a', '2').catch((err) => assert.equal(err.code, CONFLICT.code))
  while ((await db.stats()).transactions_timed_out === 0) await turn()

  await assert.rejects(t.get('a'), CONFLICT)
  await assert.rejects(t.commit(), CONFLICT)
  await t.rollback()
  assert.equal((await db.stats()).transactions_open, 0)
  assert.equal(await db.get('a'), '1')
  await db.close()
})

test('statistics count what is open and what it holds', async function () {
  const db = await open()
  const t = await db.begin()
  await t.put('a', 'v'.repeat(100_000))
  const { transactions_open: count, transaction_bytes: bytes } = await db.stats()
  assert.equal(count, 1)
  assert.ok(bytes >= 100_000, String(bytes))
  await t.commit()
  assert.equal((await db.stats()).transactions_committed, 1)
  await db.close()
})

test('a transaction is disposed of by rolling back', { skip: Symbol.asyncDispose === undefined }, async function () {
  const db = await open()
  const t = await db.begin()
  await t.put('a', '1')
  await t[Symbol.asyncDispose]()
  await assert.rejects(t.get('a'), CLOSED)
  await db.close()
})

test('the garbage collector rolls back transactions that nobody holds', function () {
  const { status, stderr } = spawnSync(process.execPath, ['--expose-gc', '-e', `
    const assert = require('node:assert/strict')
    const { AidbLevel } = require('aidb')

    async function main () {
      const db = new AidbLevel(process.argv[1])
      await db.put('a', '1')
      for (let i = 0; i < 30; i++) {
        const t = await db.begin()
        await t.get('a')
        await t.put('a', 'lost')
        // Also those with calls under way.
        if (i % 2 === 0) t.get('a')
      }
      while ((await db.stats()).transactions_open > 0) {
        gc()
        await new Promise(setImmediate)
      }
      assert.equal(await db.get('a'), '1')
      await db.close()
    }

    main().catch((err) => { console.error(err); process.exit(1) })
  `, temporary()], { cwd: __dirname, encoding: 'utf8', timeout: 120_000 })
  assert.equal(status, 0, stderr)
})

test('an iterator keeps its transaction open', function () {
  const { status, stderr } = spawnSync(process.execPath, ['--expose-gc', '-e', `
    const assert = require('node:assert/strict')
    const { AidbLevel } = require('aidb')

    async function main () {
      const db = new AidbLevel(process.argv[1])
      await db.batch(Array.from({ length: 100 }, (_, i) => ({ type: 'put', key: String(i), value: 'v' })))
      const iterator = (await db.begin()).keys()
      for (let i = 0; i < 100; i++) {
        assert.notEqual(await iterator.next(), undefined)
        gc()
        await new Promise(setImmediate)
      }
      await iterator.close()
      await db.close()
    }

    main().catch((err) => { console.error(err); process.exit(1) })
  `, temporary()], { cwd: __dirname, encoding: 'utf8', timeout: 120_000 })
  assert.equal(status, 0, stderr)
})

test('an open transaction keeps neither a process nor a worker from ending', async function () {
  const source = `
    const { AidbLevel } = require('aidb')
    const location = process.argv[1] ?? require('node:worker_threads').workerData
    async function main () {
      const db = new AidbLevel(location)
      globalThis.t = await db.begin()
      globalThis.iterator = t.iterator()
      await t.put('a', 'lost')
      await iterator.next()
      t.get('a')
    }
    main()
  `
  const location = temporary()
  const { status, stderr } = spawnSync(process.execPath, ['-e', source, location], { cwd: __dirname, encoding: 'utf8', timeout: 60_000 })
  assert.equal(status, 0, stderr)

  const worker = new Worker(source.replace("require('aidb')", `require(${JSON.stringify(require.resolve('aidb'))})`)
    .replace('process.argv[1] ?? ', ''), { eval: true, workerData: location })
  const [code] = await once(worker, 'exit')
  assert.equal(code, 0)

  const db = new AidbLevel(location)
  assert.equal(await db.get('a'), undefined)
  await db.close()
})
