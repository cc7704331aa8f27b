'use strict'

// The event loop turns while the database works, and libuv's own threads stay free.

const test = require('node:test')
const assert = require('node:assert/strict')
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
  // What a call does before it returns is its caller's; from here on the loop is watched.
  last = performance.now()
  const start = last
  await promise
  const took = performance.now() - start
  running = false
  return { turns, longest, took }
}

test('the loop turns during a big batch, a flush, a compaction and a clear', async function (t) {
  const db = new AidbLevel(temporary(), { writeBufferSize: '4MiB' })
  await db.open()

  const operations = Array.from({ length: 50_000 }, (_, i) => (
    { type: 'put', key: String((i * 7919) % 50_000).padStart(8, '0'), value: 'v'.repeat(500) }
  ))

  for (const [name, work] of [
    ['batch', () => db.batch(operations)],
    ['flush', () => db.flush()],
    ['compaction', () => db.compactRange()],
    ['clear', () => db.clear()]
  ]) {
    const { turns, longest, took } = await turnsDuring(work)
    t.diagnostic(`${name}: ${took.toFixed(0)} ms, ${turns} turns, the longest ${longest.toFixed(1)} ms`)

    // A loop that is blocked turns a handful of times whatever the work takes; a free one, once in microseconds.
    assert.ok(turns > took / 5, `${name}: ${turns} turns of the loop in ${took} ms`)
  }

  await db.close()
})

test('work of the database and work on libuv\'s pool do not wait for each other', function () {
  // With a pool of one thread that is kept busy, a database on that pool could not open.
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
  assert.ok(await mostPerTurn((counted) => Promise.all(keys.map(async function (key) {
    await db.has(key)
    counted()
  }))) <= 201, 'all at once')

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

// What the pool's constants promise, seen from outside: each in a process of its own, whose pool nobody else has used.
const POOL = `
  const fs = require('fs')
  const { AidbLevel } = require('aidb')
  const read = (tid, file) => fs.readFileSync('/proc/self/task/' + tid + '/' + file, 'utf8')
  /** The pool's threads: those for long calls have another name. */
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

// UNSYNCED: more of them would only wait for each other, and one alone would leave a processor idle.
test('two threads write what does not wait for the disk, and readers and synced writers have theirs', onLinux, function () {
  const [unsynced, all] = inPool(`
    // So large that a second one comes while the first is being written.
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

// LOOK: who awaits one call after the other meets a thread that is awake, and who rests lets it sleep.
test('a thread that has done its work looks for the next call a moment, and then sleeps', onLinux, function (t) {
  const { slept, burnt } = inPool(`
    const calls = 500
    let slept = Infinity
    // The round in which the machine had nothing else to do.
    for (let round = 0; round < 40 && slept > calls / 4; round++) {
      const before = sleeps()
      for (let i = 0; i < calls; i++) await db.put('a', 'b')
      slept = Math.min(slept, sleeps() - before)
    }
    // After each call the loop has no more to do until the timer.
    const rest = () => new Promise((resolve) => setTimeout(resolve, 5))
    const spent = process.cpuUsage()
    for (let i = 0; i < 200; i++) {
      await db.put('a', 'b')
      await rest()
    }
    const { user, system } = process.cpuUsage(spent)
    const spentResting = process.cpuUsage()
    for (let i = 0; i < 200; i++) await rest()
    const resting = process.cpuUsage(spentResting)
    console.log(JSON.stringify({ slept: slept / calls, burnt: (user + system - resting.user - resting.system) / 200 }))
  `)
  t.diagnostic(`${slept} sleeps per call in a row, ${burnt} µs of the processor per call that is alone`)
  assert.ok(slept < 0.5, `${slept} sleeps per call`)
  // A look of a millisecond would be seen.
  assert.ok(burnt < 700, `${burnt} µs per call`)
})
