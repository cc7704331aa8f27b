'use strict'

// Opening, closing, sharing and ending: locks, options, handles after close, workers, the end of the process.

const test = require('node:test')
const assert = require('node:assert/strict')
const { once } = require('node:events')
const fs = require('node:fs')
const path = require('node:path')
const { spawnSync } = require('node:child_process')
const { Worker } = require('node:worker_threads')
const { AidbLevel } = require('aidb')
const { temporary } = require('./temporary')

async function open (options) {
  const db = new AidbLevel(temporary(), options)
  await db.open()
  return db
}

/** Runs a program in its own process; it finds the package as this file does. */
function run (source, location) {
  return spawnSync(process.execPath, ['-e', source, location], { cwd: __dirname, encoding: 'utf8', timeout: 60_000 })
}

test('the package and the native library have the same version', function () {
  assert.equal(require('../node_modules/aidb/lib/native').Database.version(), require('aidb/package.json').version)
})

test('a database keeps its entries over close and open', async function () {
  const db = await open()

  await db.put('a', '1')
  await db.close()
  await assert.rejects(db.get('a'), { code: 'LEVEL_DATABASE_NOT_OPEN' })
  await db.open()
  assert.equal(await db.get('a'), '1')
  await db.close()

  const again = new AidbLevel(db.location)
  assert.equal(await again.get('a'), '1')
  await again.close()
})

test('a second opener is refused, and told who has it', async function () {
  const db = await open()
  await db.put('a', '1')

  await assert.rejects(new AidbLevel(db.location).open(), function (err) {
    assert.equal(err.code, 'LEVEL_DATABASE_NOT_OPEN')
    assert.equal(err.cause.code, 'LEVEL_LOCKED')
    assert.match(err.cause.message, new RegExp(String(process.pid)))
    return true
  })

  const other = run(`
    const { AidbLevel } = require('aidb')
    new AidbLevel(process.argv[1]).open().catch((err) => console.log(err.cause.code, err.cause.message))
  `, db.location)
  assert.match(other.stdout, /^LEVEL_LOCKED /, other.stderr)
  assert.match(other.stdout, new RegExp(String(process.pid)))

  assert.equal(await db.get('a'), '1')
  await db.close()
})

test('options have both spellings, and wrong ones are refused with help', async function () {
  const db = await open({ writeBufferSize: '1MiB', block_cache_size: 1 << 20, compression: 'zstd', lockTimeout: 5 })
  await db.close()

  // abstract-level reads these two in camel case only, and sets their defaults.
  await assert.rejects(new AidbLevel(temporary(), { create_if_missing: false }).open(), /failed to open/)
  await assert.rejects(new AidbLevel(db.location, { error_if_exists: true }).open(), /failed to open/)

  for (const [options, message] of [
    [{ blockCachSize: 1 }, /did you mean: blockCacheSize\?$/],
    [{ cacheSize: 1 }, /did you mean: blockCacheSize\?$/],
    [{ blok_cache_size: 1 }, /did you mean: block_cache_size, block_size\?$|did you mean: block_cache_size\?$/],
    [{ createIfMising: false }, /createIfMissing/],
    [{ size: 1 }, /did you mean: blockSize, levelBaseSize, blockCacheSize\?$/],
    [{ blockSize: 4096.5 }, /: option blockSize = "4096.5": expected a size/],
    [{ blockSize: NaN }, /: option blockSize = "NaN": expected a size/],
    [{ level0CompactionTrigger: -1 }, /: option level0CompactionTrigger = "-1": expected a whole number/],
    [{ block_size: 1 }, /: option blockSize = "1": expected a size/],
    [{ lockTimeout: 0.5 }, /: option lockTimeout = "0.5": expected milliseconds/],
    [{ infoLog: '' }, /: option infoLog = "": expected none, stderr or a path$/],
    [{ infoLog: {} }, /^option infoLog must be a string, not of type object$/],
    [{ infoLog: 5 }, /^option infoLog must be a string, not of type number$/],
    [{ readOnly: true }, /does not exist, and readOnly is set$/],
    [{ createIfMissing: false }, /does not exist, and createIfMissing is off$/],
    [{ readOnly: true, errorIfExists: true }, /: options readOnly and errorIfExists exclude each other$/],
    [{ bloomBitsPerKey: 1000 }, /0 to 32/],
    [{ compression: 'zip' }, /snappy/]
  ]) {
    await assert.rejects(new AidbLevel(temporary(), options).open(), function (err) {
      assert.equal(err.cause.code, 'LEVEL_INVALID_ARGUMENT')
      assert.match(err.cause.message, message)
      return true
    })
  }

  await assert.rejects(new AidbLevel(db.location, { errorIfExists: true }).open(), function (err) {
    assert.match(err.cause.message, /and errorIfExists is set$/)
    return true
  })
  const own = path.join(db.location, 'CURRENT')
  await assert.rejects(new AidbLevel(db.location, { infoLog: own }).open(), function (err) {
    assert.equal(err.cause.message, `invalid argument: option infoLog = "${own}": CURRENT is a file of the database itself`)
    return true
  })
  for (const infoLog of [null, undefined, 'none']) await (await open({ infoLog })).close()

  // Names that resemble none of ours belong to the user's hooks.
  await (await open({ userland: 1 })).close()

  for (const location of [undefined, '', 5]) assert.throws(() => new AidbLevel(location), TypeError)
})

test('every call says why a database did not open that nobody waited for', async function () {
  const holder = await open({})
  const calls = {
    put: (db) => db.put('a', 'b'),
    get: (db) => db.get('a'),
    del: (db) => db.del('a'),
    has: (db) => db.has('a'),
    getMany: (db) => db.getMany(['a']),
    hasMany: (db) => db.hasMany(['a']),
    batch: (db) => db.batch([{ type: 'del', key: 'a' }]),
    clear: (db) => db.clear(),
    deleteRange: (db) => db.deleteRange(),
    deletePrefix: (db) => db.deletePrefix('a'),
    'batch of a range delete': (db) => db.batch([{ type: 'deleteRange' }]),
    stats: (db) => db.stats(),
    flush: (db) => db.flush(),
    all: (db) => db.iterator().all(),
    nextv: (db) => db.values().nextv(1),
    next: (db) => db.keys().next(),
    sublevel: (db) => db.sublevel('s').get('a'),
    'opening a sublevel': (db) => db.sublevel('s').open(),
    'opening a sublevel of a sublevel': (db) => db.sublevel('s').sublevel('t').open(),
    'sublevel of a sublevel': (db) => db.sublevel('s').sublevel('t').iterator().next()
  }
  const isExplained = function (err) {
    assert.equal(err.code, 'LEVEL_DATABASE_NOT_OPEN')
    assert.equal(err.cause?.code, 'LEVEL_LOCKED')
    assert.match(err.cause.message, new RegExp(String(process.pid)))
    return true
  }

  for (const call of Object.values(calls)) {
    const db = new AidbLevel(holder.location)
    await assert.rejects(call(db), isExplained)
    await assert.rejects(async () => call(db), isExplained)
  }

  const db = new AidbLevel(holder.location)
  const iterator = db.iterator()
  for (let i = 0; i < 2; i++) await assert.rejects(iterator.next(), isExplained)
  for (const call of [() => db.getSync('a'), () => db.batch(), () => db.snapshot(), () => db.getProperty('x')]) {
    assert.throws(call, isExplained)
  }

  await holder.close()
  await db.open()
  assert.equal(await db.get('a'), undefined)
  await db.close()
  await assert.rejects(db.get('a'), (err) => err.cause === undefined)
})

// It stays in the status "opening" until it has asked its parent, which knows the reason by then.
test('every call of a sublevel says why its database did not open, also before the sublevel knows', async function () {
  const holder = await open({})
  const isExplained = (err) => err.code === 'LEVEL_DATABASE_NOT_OPEN' && err.cause?.code === 'LEVEL_LOCKED'
  const calls = {
    put: (sub) => sub.put('a', 'b'),
    getMany: (sub) => sub.getMany([]),
    batch: (sub) => sub.batch([]),
    'batch of a range delete': (sub) => sub.batch([{ type: 'deleteRange' }]),
    clear: (sub) => sub.clear(),
    open: (sub) => sub.open(),
    'opening passively': (sub) => sub.open({ passive: true }),
    getSync: async (sub) => sub.getSync('a'),
    'a chained batch': async (sub) => sub.batch(),
    'a snapshot': async (sub) => sub.snapshot(),
    all: async (sub) => sub.iterator().all(),
    next: async (sub) => sub.keys().next(),
    'a sublevel': async (sub) => sub.sublevel('t').values().nextv(1)
  }

  for (const [name, call] of Object.entries(calls)) {
    for (const make of [(db) => db.sublevel('s'), (db) => db.sublevel('s').sublevel('t'), (db) => db]) {
      const db = new AidbLevel(holder.location)
      const sub = make(db)
      const iterator = sub.iterator()
      const opened = await db.open().then(() => true, () => false)
      assert.equal(opened, false)
      // The first call after the failure, and one when all of them know of it.
      await assert.rejects(call(sub), isExplained, name)
      await new Promise(setImmediate)
      await assert.rejects(call(sub), isExplained, name)
      await assert.rejects(iterator.next(), isExplained, name)
      await assert.rejects(sub.open({ passive: true }), isExplained, name)
    }
  }

  await holder.close()
})

test('every call says which hook kept a database from opening', async function () {
  const db = new AidbLevel(temporary())
  const sub = db.sublevel('s')
  const failing = async function () { throw new Error('not today') }
  const isExplained = (err) => err.code === 'LEVEL_DATABASE_NOT_OPEN' && err.cause?.code === 'LEVEL_HOOK_ERROR'
  db.hooks.postopen.add(failing)
  const early = [db.get('a'), db.iterator().next(), sub.get('a')].map((one) => assert.rejects(one, isExplained))
  await assert.rejects(db.open(), { code: 'LEVEL_HOOK_ERROR' })
  await Promise.all(early)
  for (const one of [db, sub, sub.sublevel('t')]) {
    await assert.rejects(one.get('a'), isExplained)
    await assert.rejects(async () => one.snapshot(), isExplained)
    await assert.rejects(one.open({ passive: true }), isExplained)
  }

  db.hooks.postopen.delete(failing)
  await db.open()
  await sub.open()
  assert.equal(await sub.get('a'), undefined)
  await db.close()
  await assert.rejects(sub.get('a'), (err) => err.cause === undefined)
})

test('a database that is opened for reading only is read and not written', async function () {
  const db = await open()
  await db.put('a', '1')
  await db.close()

  const reader = new AidbLevel(db.location, { readOnly: true })
  assert.equal(await reader.get('a'), '1')
  await assert.rejects(reader.put('a', '2'), (err) => err.code.startsWith('LEVEL_'))
  assert.equal(await reader.get('a'), '1')
  await reader.close()
})

test('errors of the operating system have their cause', async function () {
  const file = temporary()
  fs.writeFileSync(file, 'not a directory')

  await assert.rejects(new AidbLevel(path.join(file, 'db')).open(), function (err) {
    assert.equal(err.cause.code, 'LEVEL_IO_ERROR')
    assert.equal(err.cause.cause.code, 'ENOTDIR')
    assert.ok(err.cause.cause.errno < 0)
    return true
  })
})

test('a directory that is no database is refused', async function () {
  const directory = temporary()
  fs.mkdirSync(directory)
  fs.writeFileSync(path.join(directory, 'letter.txt'), 'dear reader')

  await assert.rejects(new AidbLevel(directory).open(), { code: 'LEVEL_DATABASE_NOT_OPEN' })
  assert.equal(fs.readFileSync(path.join(directory, 'letter.txt'), 'utf8'), 'dear reader')
})

test('destroy removes a closed database, and refuses an open one', async function () {
  const db = await open()
  await db.put('a', '1')
  await assert.rejects(AidbLevel.destroy(db.location), { code: 'LEVEL_LOCKED' })
  assert.equal(await db.get('a'), '1')
  await db.close()
  await AidbLevel.destroy(db.location)
  assert.equal(fs.existsSync(db.location), false)
  await assert.rejects(AidbLevel.destroy(''), TypeError)
})

const foreign = {
  LevelDB: { CURRENT: 'MANIFEST-000004\n', '000005.log': 'x', LOCK: '', LOG: 'x' },
  RocksDB: { CURRENT: 'MANIFEST-000005\n', IDENTITY: 'x', '000009.sst': 'x' },
  'AiDb did not write': { CURRENT: 'my own file\n', '000001.log': 'precious' },
  '000001.log': { '000001.log': 'precious' },
  LOCK: { LOCK: 'x', LOG: 'x' }
}

for (const [named, files] of Object.entries(foreign)) {
  test(`a directory of somebody else's is not touched: ${named}`, async function () {
    const directory = temporary()
    fs.mkdirSync(directory)
    for (const [name, text] of Object.entries(files)) fs.writeFileSync(path.join(directory, name), text)

    const refused = (error) => error.code === 'LEVEL_INVALID_ARGUMENT' && error.message.includes(named)
    const into = temporary()
    await assert.rejects(AidbLevel.destroy(directory), refused)
    await assert.rejects(AidbLevel.repair(directory, into), refused)
    await assert.rejects(new AidbLevel(directory).open(), (error) => refused(error.cause))

    const names = fs.readdirSync(directory)
    const left = names.map((name) => [name, fs.readFileSync(path.join(directory, name), 'utf8')])
    assert.deepEqual(Object.fromEntries(left), files)
    assert.equal(fs.existsSync(into), false)
  })
}

test('a path with a NUL byte is an invalid argument, and an empty one is none', async function () {
  const db = await open()
  const nul = temporary() + '\0'
  const invalid = { code: 'LEVEL_INVALID_ARGUMENT', message: /NUL/ }

  await assert.rejects(AidbLevel.destroy(nul), invalid)
  await assert.rejects(AidbLevel.repair(nul, temporary()), invalid)
  await assert.rejects(AidbLevel.repair(db.location, nul), invalid)
  await assert.rejects(db.checkpoint(nul), invalid)
  await assert.rejects(
    new AidbLevel(nul).open(),
    (error) => error.cause.code === 'LEVEL_INVALID_ARGUMENT'
  )

  const empty = { name: 'TypeError', message: /must be a non-empty string/ }
  assert.throws(() => new AidbLevel(''), empty)
  await assert.rejects(AidbLevel.destroy(''), empty)
  await assert.rejects(AidbLevel.repair(db.location, ''), empty)
  await assert.rejects(db.checkpoint(''), empty)
  await db.close()
})

test('a path with a scheme is unsupported and makes no directory', async function () {
  const db = await open()

  for (const url of ['aidb://host/db', 's3://bucket/db', 'file:///tmp/db', path.join('s3://bucket', 'db')]) {
    const unsupported = { code: 'LEVEL_UNSUPPORTED' }
    await assert.rejects(AidbLevel.destroy(url), unsupported)
    await assert.rejects(AidbLevel.repair(url, temporary()), unsupported)
    await assert.rejects(AidbLevel.repair(db.location, url), unsupported)
    await assert.rejects(db.checkpoint(url), unsupported)
    await assert.rejects(new AidbLevel(url).open(), (error) => error.cause.code === 'LEVEL_UNSUPPORTED')
    await assert.rejects(
      new AidbLevel(temporary(), { infoLog: url }).open(),
      (error) => error.cause.code === 'LEVEL_UNSUPPORTED'
    )
    assert.equal(fs.existsSync(url.slice(0, url.indexOf('/'))), false)
  }

  await db.close()
})

test('sizes, properties and stats report; unknown properties are undefined', async function () {
  const db = new AidbLevel(temporary())

  // Before the database is open, these calls wait for it.
  const early = Promise.all([db.stats(), db.approximateSize('a', 'b'), db.compactRange('a', 'b'), db.flush()])
  assert.throws(() => db.getProperty('stats'), { code: 'LEVEL_DATABASE_NOT_OPEN' })
  await early

  for (let i = 0; i < 100; i++) await db.put(`key${i}`, Buffer.alloc(1000, i).toString('hex'))
  await db.flush()

  assert.ok(await db.approximateSize('key', 'key~') > 0)
  assert.equal(await db.approximateSize('x', 'y'), 0)
  assert.equal(await db.approximateSize(), await db.approximateSize('key', 'key~'))
  assert.ok(await db.approximateSize('key') > 0)
  assert.equal(await db.approximateSize(null, 'a'), 0)
  await db.compactRange()

  const stats = await db.stats()
  assert.equal(stats.operations_written, 100)
  assert.ok(stats.flushes >= 1)
  assert.ok(Array.isArray(stats.levels))
  assert.equal(db.getProperty('no such property'), undefined)

  await db.close()
  await assert.rejects(db.stats(), { code: 'LEVEL_DATABASE_NOT_OPEN' })
  await assert.rejects(db.compactRange(), { code: 'LEVEL_DATABASE_NOT_OPEN' })
  assert.throws(() => db.getProperty('stats'), { code: 'LEVEL_DATABASE_NOT_OPEN' })
  assert.throws(() => db.getSync('a'), { code: 'LEVEL_DATABASE_NOT_OPEN' })
})

test('handles used after close reject with their own codes', async function () {
  const db = await open()
  const [iterator, snapshot, batch] = [db.iterator(), db.snapshot(), db.batch()]
  const read = db.iterator()

  await db.put('a', '1')
  await read.next()
  await db.close()

  await assert.rejects(iterator.next(), { code: 'LEVEL_ITERATOR_NOT_OPEN' })
  await assert.rejects(read.next(), { code: 'LEVEL_ITERATOR_NOT_OPEN' })
  assert.throws(() => snapshot.ref(), { code: 'LEVEL_SNAPSHOT_NOT_OPEN' })
  assert.throws(() => batch.put('a', 'b'), { code: 'LEVEL_BATCH_NOT_OPEN' })
  assert.throws(() => db.iterator(), { code: 'LEVEL_DATABASE_NOT_OPEN' })
  assert.throws(() => db.snapshot(), { code: 'LEVEL_DATABASE_NOT_OPEN' })
  await iterator.close()
  await snapshot.close()
})

// ADDON-5.
test('closing lets operations in flight finish, and iterators end', async function () {
  const db = await open({ writeBufferSize: '256KiB' })
  const value = 'v'.repeat(1000)
  const writes = []

  for (let i = 0; i < 500; i++) writes.push(db.put(`key${String(i).padStart(4, '0')}`, value))
  const reads = [db.get('key0000'), db.getMany(['key0001']), db.has('key0002')]
  const walk = db.iterator().all()
  const cleared = db.clear({ gte: 'x' })
  const closed = db.close()

  const settled = await Promise.allSettled([...writes, ...reads, cleared, closed])
  assert.deepEqual(settled.filter(({ status }) => status === 'rejected'), [])

  // The walk may have ended before the close, or the close may have ended it.
  await walk.catch((err) => assert.equal(err.code, 'LEVEL_ITERATOR_NOT_OPEN'))

  await db.open()
  assert.equal((await db.keys().all()).length, 500)
  await db.close()
})

// PORT-1, PORT-2.
test('many operations at once all get their own answer', async function () {
  const db = await open()
  const numbers = Array.from({ length: 2000 }, (_, i) => String(i))

  await Promise.all(numbers.map((n) => db.put(n, `value ${n}`)))
  assert.deepEqual(await Promise.all(numbers.map((n) => db.get(n))), numbers.map((n) => `value ${n}`))
  await db.close()
})

// PORT-4.
test('a worker opens a database, and it is closed when the worker ends without doing so', async function () {
  const location = temporary()

  for (let i = 0; i < 3; i++) {
    const worker = new Worker(`
      const { AidbLevel } = require('aidb')
      const { workerData: { location, i }, parentPort } = require('worker_threads')
      const db = new AidbLevel(location)
      db.put('worker' + i, 'here').then(function () {
        const iterator = db.iterator()
        return iterator.next().then(() => parentPort.postMessage('written'))
      })
    `, { eval: true, workerData: { location, i } })

    const exit = once(worker, 'exit')
    const [message] = await once(worker, 'message')
    assert.equal(message, 'written')
    await exit

    const db = new AidbLevel(location)
    assert.equal(await db.get(`worker${i}`), 'here')
    await db.close()
  }
})

test('workers that are ended in the middle of their work leave a good database', async function () {
  const location = temporary()

  for (let i = 0; i < 5; i++) {
    const worker = new Worker(`
      const { AidbLevel } = require('aidb')
      const { workerData: location, parentPort } = require('worker_threads')
      const db = new AidbLevel(location, { writeBufferSize: '64KiB' })
      async function work (n) {
        for (;;) {
          await db.put(String(n), 'x'.repeat(n % 1000))
          if (n % 50 === 0) await db.keys().all()
          n += 10
        }
      }
      db.open().then(function () {
        for (let n = 0; n < 10; n++) work(n)
        parentPort.postMessage('working')
      })
    `, { eval: true, workerData: location })

    await once(worker, 'message')
    await worker.terminate()

    const db = new AidbLevel(location)
    await db.open()
    for await (const [key, value] of db.iterator()) assert.equal(value.length, Number(key) % 1000)
    await db.close()
  }
})

// PORT-3.
test('a process may end with a database open and work in flight', async function () {
  const location = temporary()
  const ways = [
    '',
    'process.exit(0)',
    'db.iterator().next(); for (let i = 0; i < 1000; i++) db.put("more" + i, "x"); process.exit(0)',
    'db.compactRange(); setImmediate(() => process.exit(0))'
  ]

  for (const [i, way] of ways.entries()) {
    const { status, signal, stderr } = run(`
      const { AidbLevel } = require('aidb')
      const db = new AidbLevel(process.argv[1])
      globalThis.keep = [db]
      db.put('run${i}', 'acknowledged').then(async function () {
        globalThis.keep.push(db.snapshot(), db.iterator())
        await globalThis.keep[2].next()
        ${way}
      })
    `, location)
    assert.deepEqual({ status, signal, stderr }, { status: 0, signal: null, stderr: '' }, way)

    const db = new AidbLevel(location)
    assert.equal(await db.get(`run${i}`), 'acknowledged')
    await db.close()
  }
})

test('a database that is collected as garbage is closed', function () {
  const { status, stderr } = spawnSync(process.execPath, ['--expose-gc', '-e', `
    const { AidbLevel } = require('aidb')

    async function forget (location) {
      const db = new AidbLevel(location)
      await db.put('a', '1')
      await db.iterator().next()
    }

    async function main (location) {
      await forget(location)
      for (let turn = 0; ; turn++) {
        gc()
        const db = new AidbLevel(location)
        try {
          await db.open()
          console.log(await db.get('a'))
          return db.close()
        } catch (err) {
          if (err.cause?.code !== 'LEVEL_LOCKED' || turn === 1000) throw err
        }
      }
    }

    main(process.argv[1])
  `, temporary()], { cwd: __dirname, encoding: 'utf8', timeout: 60_000 })
  assert.equal(status, 0, stderr)
})

test('a missing native library says how to build one', function () {
  const copy = temporary()
  fs.cpSync(path.join(__dirname, '..', 'node_modules'), path.join(copy, 'node_modules'), { recursive: true })
  fs.rmSync(path.join(copy, 'node_modules', 'aidb', 'prebuilds'), { recursive: true })

  const { status, stderr } = spawnSync(process.execPath, ['-e', "require('aidb')"], { cwd: copy, encoding: 'utf8' })
  assert.notEqual(status, 0)
  assert.match(stderr, /no native library for .*rustup.*scripts.build\.js/s)

  const build = spawnSync(process.execPath, [path.join(copy, 'node_modules', 'aidb', 'scripts', 'build.js')], { encoding: 'utf8' })
  assert.notEqual(build.status, 0)
  assert.match(build.stderr, /no checkout of AiDb/)
})

test('closed databases hold neither memory nor descriptors, whoever keeps them', { skip: process.platform !== 'linux' }, function () {
  const source = `
    const fs = require('node:fs')
    const { randomFillSync } = require('node:crypto')
    const { AidbLevel } = require('aidb')

    const descriptors = () => fs.readdirSync('/proc/self/fd').length
    const values = randomFillSync(Buffer.allocUnsafe(1500 * 1000))
    const kept = []

    async function closed (location) {
      const db = new AidbLevel(location, { valueEncoding: 'buffer' })
      await db.open()
      for (const half of [0, 1]) {
        await db.batch(Array.from({ length: 750 }, (_, n) => {
          const at = half * 750 + n
          return { type: 'put', key: String(at).padStart(6, '0'), value: values.subarray(at * 1000, at * 1000 + 1000) }
        }))
        if (half === 0) await db.flush()
      }
      for await (const _ of db.iterator()) ;
      const iterator = db.iterator()
      await iterator.next()
      const snapshot = db.snapshot()
      await db.close()
      return [db, iterator, snapshot]
    }

    async function main () {
      let first, before
      for (let n = 0; n < 120; n++) {
        const location = process.argv[1] + '/' + n
        kept.push(await closed(location))
        await AidbLevel.destroy(location)
        gc()
        if (n === 39) [first, before] = [process.memoryUsage().rss, descriptors()]
      }
      const [last, after] = [process.memoryUsage().rss, descriptors()]
      console.log((first >> 10) + ' KiB and ' + before + ' descriptors behind 40 databases, ' +
        (last >> 10) + ' KiB and ' + after + ' behind 120')
      process.exitCode = after === before && last <= first * 1.1 + 80 * 65536 ? 0 : 1
    }

    main()
  `
  const location = temporary()
  const ran = spawnSync('sh', ['-c', 'ulimit -n 256; exec "$@"', 'sh', process.execPath, '--expose-gc', '-e', source, location],
    { cwd: __dirname, encoding: 'utf8', timeout: 300_000 })
  assert.equal(ran.status, 0, ran.stdout + ran.stderr)
})
