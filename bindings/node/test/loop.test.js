'use strict'

// The event loop turns while the database works, and libuv's own threads stay free.

const test = require('node:test')
const assert = require('node:assert/strict')
const { EventEmitter } = require('node:events')
const fs = require('node:fs/promises')
const { spawnSync } = require('node:child_process')
const { AidbLevel } = require('aidb')
const { temporary } = require('./temporary')

/** Counts turns of the event loop, and the longest between two, while `work` runs. */
async function turnsDuring (work) {
  let turns = 0
  let longest = 0
  let last = performance.now()
  let running = true

  const turn = function () {
    const now = performance.now()
    longest = Math.max(longest, now - last)
    last = now
    turns++
    if (running) setImmediate(turn)
  }

  setImmediate(turn)
  const promise = work()
  // The caller pays for the part of a call before it returns; from here on the test watches the loop.
  last = performance.now()
  const start = last
  await promise
  const took = performance.now() - start
  running = false
  return { turns, longest, took }
}

// ADDON-1.
test('the loop turns during a big batch, a flush, a compaction, a clear and a range delete', async function (t) {
  const db = new AidbLevel(temporary(), { writeBufferSize: '4MiB' })
  await db.open()

  const operations = Array.from({ length: 50_000 }, (_, i) => (
    { type: 'put', key: String((i * 7919) % 50_000).padStart(8, '0'), value: 'v'.repeat(500) }
  ))

  for (const [name, work] of [
    ['batch', () => db.batch(operations)],
    ['flush', () => db.flush()],
    ['compaction', () => db.compactRange()],
    ['clear', () => db.clear({ limit: 40_000 })],
    ['deleteRange', () => db.deleteRange(null, null, { sync: true })]
  ]) {
    const { turns, longest, took } = await turnsDuring(work)
    t.diagnostic(`${name}: ${took.toFixed(0)} ms, ${turns} turns, the longest ${longest.toFixed(1)} ms`)

    // A blocked loop turns a few times however long the work takes; a free one turns once in microseconds.
    assert.ok(turns > took / 5, `${name}: ${turns} turns of the loop in ${took} ms`)
  }

  await db.close()
})

test('work of the database and work on libuv\'s pool do not wait for each other', function () {
  // One thread in libuv's pool, kept busy: a database that used that pool could not open.
  const { status, stdout, stderr } = spawnSync(process.execPath, ['-e', `
    const { AidbLevel } = require('aidb')
    const { pbkdf2 } = require('crypto')
    let hashed = false
    pbkdf2('a', 'b', 3e6, 64, 'sha512', () => { hashed = true })
    const db = new AidbLevel(process.argv[1])
    db.put('a', '1').then(() => db.get('a')).then(function (value) {
      console.log(value, hashed)
      process.exit(0)
    })
  `, temporary()], { cwd: __dirname, encoding: 'utf8', timeout: 60_000, env: { ...process.env, UV_THREADPOOL_SIZE: '1' } })

  assert.equal(status, 0, stderr)
  assert.equal(stdout, '1 false\n')
})

test('compactions that run at once keep no read from its answer', async function () {
  const db = new AidbLevel(temporary())
  await db.batch(Array.from({ length: 20_000 }, (_, i) => ({ type: 'put', key: `k${i}`, value: 'v'.repeat(200) })))

  const compactions = Array.from({ length: 20 }, () => db.compactRange())
  assert.equal((await db.get('k1')).length, 200)
  assert.ok((await fs.stat(db.location)).isDirectory())
  await Promise.all(compactions)
  await db.close()
})

/** The most operations, as `work` counts them, between two turns of the loop. */
async function mostPerTurn (work) {
  let count = 0
  let last = 0
  let most = 0
  let running = true

  const turn = function () {
    most = Math.max(most, count - last)
    last = count
    if (running) setImmediate(turn)
  }

  setImmediate(turn)
  await work(() => { count++ })
  running = false
  return Math.max(most, count - last)
}

// PORT-5.
test('the loop turns after at most 200 operations or 1000 entries', async function () {
  const db = new AidbLevel(temporary())
  await db.open()
  const keys = Array.from({ length: 20000 }, (_, i) => String(i).padStart(6, '0'))
  await db.batch(keys.map((key) => ({ type: 'put', key, value: '1' })))

  const gets = async function (counted) {
    for (const key of keys) {
      assert.equal(await db.get(key), '1')
      counted()
    }
  }
  assert.ok(await mostPerTurn(gets) <= 201, 'gets from the memtable')
  await db.flush()
  await gets(() => {})
  assert.ok(await mostPerTurn(gets) <= 201, 'gets from the cache')
  assert.ok(await mostPerTurn(async function (counted) {
    for (const key of keys.slice(0, 3000)) {
      await db.put(key, '1')
      counted()
    }
  }) <= 201, 'puts')
  assert.ok(await mostPerTurn(async function (counted) {
    for await (const _ of db.iterator()) counted()
  }) <= 1000, 'for await')
  assert.ok(await mostPerTurn(async function (counted) {
    const iterator = db.keys({ reverse: true })
    while (await iterator.next() !== undefined) counted()
  }) <= 1000, 'next')
  assert.ok(await mostPerTurn(async function (counted) {
    const iterator = db.values()
    for (let items; (items = await iterator.nextv(1000)).length > 0;) items.forEach(counted)
  }) <= 1000, 'nextv')
  assert.ok(await mostPerTurn(async function (counted) {
    const transaction = await db.begin()
    for (const key of keys.slice(0, 3000)) {
      await transaction.get(key)
      counted()
    }
    await transaction.rollback()
  }) <= 201, 'gets in a transaction')
  assert.ok(await mostPerTurn((counted) => Promise.all(keys.map(async function (key) {
    await db.has(key)
    counted()
  }))) <= 201, 'all at once')

  await db.close()
})

/** The public methods of an object's classes, by name or symbol. */
function methodsOf (object) {
  const names = new Set()

  for (let own = object; own !== EventEmitter.prototype && own !== Object.prototype; own = Object.getPrototypeOf(own)) {
    for (const name of Reflect.ownKeys(own)) {
      const isPublic = typeof name === 'string' ? !/^_|^constructor$/.test(name) : AWAITED_SYMBOLS.includes(name)
      if (isPublic && typeof Object.getOwnPropertyDescriptor(own, name).value === 'function') names.add(name)
    }
  }

  return [...names]
}

const AWAITED_SYMBOLS = [Symbol.asyncDispose, Symbol.asyncIterator]

/** Methods of all classes that return no promise, except `clear`, which returns none only for chained batches. */
const UNAWAITED = new Set([
  'attachResource', 'defer', 'detachResource', 'emit', 'getProperty', 'getSync', 'iterator', 'keyEncoding', 'keys', 'path',
  'prefixKey', 'snapshot', 'sublevel', 'valueEncoding', 'values', 'seek', 'ref', 'unref'
])

// A resolved promise runs before the event loop goes on, and a call with nothing to do never reaches a thread.
test('the loop turns however soon a call is answered, and whichever it is', async function () {
  const holder = new AidbLevel(temporary())
  await holder.open()
  await holder.batch([{ type: 'put', key: 'a', value: '1' }, { type: 'put', key: '!s!a', value: '1' }])
  const aborted = { signal: AbortSignal.abort() }

  const turns = async function (what, call) {
    const most = await mostPerTurn(async function (counted) {
      for (let i = 0; i < 250; i++) {
        // Whether it fails does not matter here.
        await call().catch(() => {})
        counted()
      }
    })
    assert.ok(most <= 201, `${most} of ${what} between two turns`)
  }

  /** Methods that return no promise, or that have something to do. */
  const LEFT_OUT = () => {}

  /** Each method of a handle that is closed, or whose calls have nothing to do for other reasons. */
  const allTurn = async function (what, handle, calls = {}) {
    for (const name of methodsOf(handle)) {
      if (UNAWAITED.has(name) && !(name in calls)) continue
      const call = calls[name] ?? (name === Symbol.asyncIterator ? () => handle[name]().next() : () => handle[name]([]))
      if (call !== LEFT_OUT) await turns(`${what}.${String(name)}`, call)
    }
  }

  // Not open: closed, or failed to open.
  const closed = async function (db) {
    await db.close()
    return db
  }
  const neverOpens = (db) => ({
    open: () => db.open({ passive: true }),
    deferAsync: () => db.deferAsync(async () => {}, aborted)
  })
  const database = await closed(new AidbLevel(temporary()))
  const failed = new AidbLevel(holder.location)
  await failed.open().catch(() => {})
  for (const [what, db] of Object.entries({
    closed: database,
    'closed sublevel': await closed(holder.sublevel('s')),
    failed,
    'failed sublevel': failed.sublevel('s')
  })) {
    await allTurn(what, db, neverOpens(db))
  }

  // Open, with nothing to do or with wrong arguments.
  for (const [what, db] of Object.entries({ database: holder, sublevel: holder.sublevel('s') })) {
    await db.open()
    const calls = {
      batch: () => db.batch([]),
      clear: () => db.clear({ limit: 0 }),
      close: LEFT_OUT,
      [Symbol.asyncDispose]: LEFT_OUT,
      deferAsync: () => db.deferAsync(async () => {}, aborted),
      get: () => db.get(),
      has: () => db.has(null),
      put: () => db.put(),
      del: () => db.del(undefined),
      open: () => db.open()
    }
    if (db === holder) {
      Object.assign(calls, {
        verify: () => db.verify(aborted),
        checkpoint: () => db.checkpoint(''),
        approximateCount: () => db.approximateCount('a', 'b', { keyEncoding: 'none such' }),
        count: () => db.count('a', 'b', aborted),
        approximateSize: () => db.approximateSize('a', 'b', { keyEncoding: 'none such' }),
        compactRange: () => db.compactRange('a', 'b', { keyEncoding: 'none such' }),
        flush: LEFT_OUT,
        stats: LEFT_OUT
      })
    }
    await allTurn(what, db, calls)
    await turns(`wrong operations of a ${what}`, () => db.batch('none'))
    await turns(`wrong limits of a ${what}`, () => db.clear({ limit: 0.5 }))

    for (const kind of ['iterator', 'keys', 'values']) {
      for (const options of [{}, { limit: 0.5 }]) {
        const iterator = db[kind](options)
        await iterator.close()
        await allTurn(`closed ${kind} of a ${what}`, iterator)
      }

      const ended = db[kind]()
      while ((await ended.nextv(10)).length > 0);
      await turns(`ended ${kind} of a ${what}, next`, () => ended.next())
      await turns(`ended ${kind} of a ${what}, nextv`, () => ended.nextv(1))
      await turns(`empty walk by ${kind} of a ${what}`, async function () {
        for await (const _ of db[kind]({ limit: 0 }));
      })
    }

    const batch = db.batch()
    await batch.close()
    await allTurn(`chained batch of a ${what}`, batch, { put: LEFT_OUT, del: LEFT_OUT, clear: LEFT_OUT })
    await turns(`empty chained batch of a ${what}`, () => db.batch().write())

    if (db === holder) {
      const transaction = await db.begin()
      await transaction.rollback()
      await allTurn('transaction that has ended', transaction)
      await turns('savepoints of none', () => transaction.rollbackTo())
      await turns('snapshots in a transaction', () => transaction.get('a', { snapshot: {} }))
    }

    const snapshot = db.snapshot()
    await snapshot.close()
    await allTurn(`snapshot of a ${what}`, snapshot)
  }

  const opening = new AidbLevel(temporary()).iterator()
  await opening.close()
  await allTurn('iterator that was made before the database was open', opening)

  await turns('AidbLevel.destroy', () => AidbLevel.destroy(''))
  await turns('AidbLevel.repair', () => AidbLevel.repair(''))

  // All at once, together with calls that threads answer: neither waits for the end of the other.
  let done = 0
  const most = await mostPerTurn(async function (counted) {
    const calls = Array.from({ length: 5000 }, () => holder.batch([]).then(() => {
      done++
      counted()
    }))
    const puts = Array.from({ length: 1000 }, (_, i) => holder.put(String(i), '').then(counted))
    await Promise.all(puts)
    assert.ok(done < 5000, 'the threads\' answers come between the others')
    await Promise.all(calls)
  })
  assert.ok(most <= 201, `${most} at once`)
  await holder.close()
})

test('open and close are answered with the status that they promise, however many calls wait for a turn', async function () {
  const db = new AidbLevel(temporary())
  await db.open()
  const waiting = Array.from({ length: 450 }, () => db.batch([]))
  const closed = db.close().then(() => db.status)
  const opened = db.open().then(() => db.status)
  assert.deepEqual(await Promise.all([closed, opened]), ['closed', 'open'])
  await Promise.all(waiting)
  await db.close()
})

test('a get that memory can answer needs no turn, one that has to read does', async function () {
  const db = new AidbLevel(temporary())
  await db.put('a', '1')
  const sooner = async function (get) {
    let turned = false
    setImmediate(() => { turned = true })
    const value = await get()
    return [value, turned]
  }
  assert.deepEqual(await sooner(() => db.get('a')), ['1', false])
  assert.deepEqual(await sooner(() => db.get('b')), [undefined, false])
  const snapshot = db.snapshot()
  await db.put('a', '2')
  assert.deepEqual(await sooner(() => db.get('a', { snapshot })), ['1', false])
  assert.deepEqual(await sooner(() => db.get('a', { valueEncoding: 'view' })), [new TextEncoder().encode('2'), false])
  await db.close()
})

// Tests the promises of the pool's constants from outside: each in its own process, whose pool nobody else has used.
const POOL = `
  const fs = require('fs')
  const { AidbLevel } = require('aidb')
  const read = (tid, file) => fs.readFileSync('/proc/self/task/' + tid + '/' + file, 'utf8')
  /** The pool's threads; threads for long calls have another name. */
  const threads = () => fs.readdirSync('/proc/self/task').filter((tid) => read(tid, 'comm') === 'aidb-node\\n')
  /** How often a thread of the pool has gone to sleep. */
  const sleeps = () => threads().reduce((sum, tid) => sum + Number(/^voluntary_ctxt_switches:\\s+(\\d+)/m.exec(read(tid, 'status'))[1]), 0)
`

function inPool (program) {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['-e', `${POOL}
    ;(async function () {
      const db = new AidbLevel(process.argv[1], { writeBufferSize: '1GiB' })
      await db.open()
      ${program}
      process.exit(0)
    })().catch((err) => { console.error(err); process.exit(1) })
  `, temporary()], { cwd: __dirname, encoding: 'utf8', timeout: 120_000 })
  assert.equal(status, 0, stderr)
  return JSON.parse(stdout)
}

const onLinux = { skip: process.platform !== 'linux' && 'threads are told by /proc' }

// POOL-1.
// UNSYNCED: more threads would only wait for each other, and a single one would leave a processor idle.
test('two threads write what does not wait for the disk, and readers and synced writers have theirs', onLinux, function () {
  const [unsynced, all] = inPool(`
    // So large that a second one arrives during the write of the first.
    const value = Buffer.alloc(4 << 20)
    const puts = (options) => Array.from({ length: 24 }, (_, i) => db.put(String(i), value, options))
    await Promise.all(puts({}))
    const unsynced = threads().length
    await Promise.all([...puts({}), ...puts({ sync: true }), ...Array.from({ length: 24 }, (_, i) => db.has(String(i)))])
    console.log(JSON.stringify([unsynced, threads().length]))
  `)
  assert.equal(unsynced, 2)
  assert.ok(all > 2, `${all} threads`)
})

// POOL-5.
// LOOK: a program that awaits one call after the other finds a thread awake; a program that rests lets it sleep.
test('a thread that has done its work looks for the next call a moment if calls come quickly, and else sleeps', onLinux, function (t) {
  const { slept, burnt } = inPool(`
    const calls = 50
    let slept = Infinity
    // Use the round with the least other load: many short ones, since on a slow machine few are undisturbed.
    for (let round = 0; round < 800 && slept > calls / 4; round++) {
      const before = sleeps()
      for (let i = 0; i < calls; i++) await db.put('a', 'b')
      slept = Math.min(slept, sleeps() - before)
    }
    // After each call the loop has nothing to do until the timer. After a few such calls no thread looks any more.
    const burnt = () => threads().reduce((sum, tid) => sum + Number(read(tid, 'schedstat').split(' ')[0]) / 1000, 0)
    let least = Infinity
    for (let round = 0; round < 8; round++) {
      const before = burnt()
      for (let i = 0; i < 25; i++) {
        await db.put('a', 'b')
        await new Promise((resolve) => setTimeout(resolve, 5))
      }
      least = Math.min(least, (burnt() - before) / 25)
    }
    console.log(JSON.stringify({ slept: slept / calls, burnt: least }))
  `)
  t.diagnostic(`${slept} sleeps per call in a row, ${burnt} µs of a thread per call that is alone`)
  assert.ok(slept < 0.5, `${slept} sleeps per call`)
  // A look would be 100 more.
  assert.ok(burnt < 90, `${burnt} µs per call`)
})
