'use strict'

// Lack of memory: calls that need more than there is fail with their code, and the process and the database go on.

const test = require('node:test')
const assert = require('node:assert/strict')
const { constants } = require('node:buffer')
const { execFileSync, spawnSync } = require('node:child_process')
const { AidbLevel } = require('aidb')
const { temporary } = require('./temporary')

/** Calls `call` while `object[name]` fails as it does when there is no memory. */
async function without (object, name, call) {
  const before = object[name]
  object[name] = function () { throw new RangeError('Array buffer allocation failed') }

  try {
    await call()
  } finally {
    object[name] = before
  }
}

// Earlier code reported lack of memory as an argument that is too large, or without a code.
test('what cannot be packed is out of memory, with its cause', async function () {
  const db = new AidbLevel(temporary())
  await db.put('a', '1')
  const outOfMemory = (err) => err.code === 'LEVEL_OUT_OF_MEMORY' && err.cause instanceof RangeError

  for (const [object, name] of [[Buffer, 'allocUnsafe'], [globalThis, 'Float64Array']]) {
    await without(object, name, async function () {
      await assert.rejects(db.getMany(['a']), outOfMemory)
      await assert.rejects(db.hasMany(['a']), outOfMemory)
      await assert.rejects(db.batch([{ type: 'del', key: 'a' }]), outOfMemory)
    })
  }

  assert.deepEqual(await db.getMany(['a']), ['1'])
  await db.close()
})

test('what no buffer can hold is an invalid argument', async function () {
  const db = new AidbLevel(temporary(), { valueEncoding: 'view' })
  await db.open()
  const value = new Uint8Array(1)
  // As long as a value may be, without the memory for it.
  Object.defineProperty(value, 'byteLength', { value: constants.MAX_LENGTH })
  await assert.rejects(db.batch([{ type: 'put', key: 'a', value }]), { code: 'LEVEL_INVALID_ARGUMENT' })
  await db.close()
})

const SCARCE = `
const fs = require('fs')
const { execFileSync } = require('child_process')
const { AidbLevel } = require('aidb')

async function main () {
  const db = new AidbLevel(process.argv[1])
  await db.put('a', '1')
  const long = Buffer.alloc(200e6, 'x').toString('latin1')
  const pages = Number(fs.readFileSync('/proc/self/statm', 'latin1').split(' ')[0])
  execFileSync('prlimit', ['--pid=' + process.pid, '--as=' + (pages * 4096 + 100e6)])

  const calls = {
    put: () => db.put('b', long),
    putKey: () => db.put(long, 'b'),
    del: () => db.del(long),
    get: () => db.get(long),
    getSync: () => db.getSync(long),
    has: () => db.has(long),
    iterator: () => db.iterator({ gt: long }).next(),
    clear: () => db.clear({ lte: long }),
    compareAndSet: () => db.compareAndSet('a', long, '2'),
    putIfAbsent: () => db.putIfAbsent(long, '2'),
    getAndPut: () => db.getAndPut('a', long),
    getAndDelete: () => db.getAndDelete(long),
    transactionGet: () => db.transaction((t) => t.get(long)),
    transactionPut: () => db.transaction((t) => t.put('a', long)),
    transactionIterator: () => db.transaction((t) => t.iterator({ gt: long }).next()),
    approximateSize: () => db.approximateSize(long),
    approximateCount: () => db.approximateCount(long),
    count: () => db.count(undefined, long),
    compactRange: () => db.compactRange(undefined, long),
    getProperty: () => db.getProperty(long),
    checkpoint: () => db.checkpoint(long),
    destroy: () => AidbLevel.destroy(long)
  }
  const codes = {}

  for (const [name, call] of Object.entries(calls)) {
    try {
      await call()
      codes[name] = 'none'
    } catch (err) {
      codes[name] = err.code
    }
  }

  codes.after = await db.get('a')
  console.log(JSON.stringify(codes))
}

main()
`

const canLimit = process.platform === 'linux' && spawnSync('prlimit', ['--version']).status === 0

// Earlier code converted a string by a function that ends the process without memory.
test('strings that do not fit are out of memory', { skip: canLimit ? false : 'needs prlimit' }, function () {
  const arguments_ = ['-e', SCARCE, temporary()]
  const codes = JSON.parse(execFileSync(process.execPath, arguments_, { cwd: __dirname, encoding: 'utf8' }))
  const { after, ...failed } = codes

  assert.equal(after, '1')
  for (const [name, code] of Object.entries(failed)) assert.equal(code, 'LEVEL_OUT_OF_MEMORY', name)
})
