// Runs one engine's npm package in one process: every workload once, each timed. `engines.mjs ENGINE DIRECTORY ENTRIES`
// prints a JSON object: workload -> [seconds per operation, CPU seconds per operation].
//
// Every engine: blocks of 4 KiB, Snappy, block cache 256 MiB, memtable 64 MiB, Bloom filters of 10 bits per key, no
// syncs; otherwise its defaults. Keys and values are buffers.

import { randomBytes } from 'node:crypto'
import { join } from 'node:path'

const VALUE_BYTES = 100
const AT_ONCE = 100

const [engine, directory, count] = process.argv.slice(2)
const entries = Number(count)
const MIB = 1 << 20
const encodings = { keyEncoding: 'buffer', valueEncoding: 'buffer' }

async function opened () {
  const path = join(directory, 'db')
  if (engine === 'classic-level') {
    const { ClassicLevel } = await import('classic-level')
    // classic-level sets LevelDB's Bloom filters of 10 bits itself.
    return new ClassicLevel(path, {
      ...encodings, cacheSize: 256 * MIB, writeBufferSize: 64 * MIB, blockSize: 4096, compression: true
    })
  }
  const { AidbLevel } = await import('aidb')
  return new AidbLevel(path, {
    ...encodings,
    blockCacheSize: 256 * MIB,
    writeBufferSize: 64 * MIB,
    blockSize: 4096,
    bloomBitsPerKey: 10,
    compression: 'snappy'
  })
}

const key = (number) => Buffer.from(String(number).padStart(16, '0'))

function shuffled (length) {
  const order = Array.from({ length }, (_, number) => number)
  // A fixed generator gives every engine the same order.
  let state = 1
  for (let last = length - 1; last > 0; last--) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    const other = state % (last + 1)
    ;[order[last], order[other]] = [order[other], order[last]]
  }
  return order
}

const order = shuffled(entries)
const names = order.map((number) => key(2 * number))
const absent = order.map((number) => key(2 * number + 1))
const values = Array.from({ length: 1000 }, () => Buffer.concat([randomBytes(VALUE_BYTES / 2), Buffer.alloc(VALUE_BYTES / 2, 'v')]))
const value = (number) => values[number % 1000]
const db = await opened()
await db.open()

const taken = {}
async function timed (name, operations, work) {
  const began = process.hrtime.bigint()
  const spent = process.cpuUsage()
  await work()
  const used = process.cpuUsage(spent)
  taken[name] = [
    Number(process.hrtime.bigint() - began) / 1e9 / operations,
    (used.user + used.system) / 1e6 / operations
  ]
}

function check (found) {
  if (found?.length !== VALUE_BYTES) throw new Error(`${engine}: a value is not what was written`)
}
function seen (number) {
  if (number !== entries) throw new Error(`${engine}: a scan met ${number} of ${entries} entries`)
}
async function groups (work) {
  for (let start = 0; start < entries; start += AT_ONCE) await work(names.slice(start, start + AT_ONCE))
}

await timed('put, one by one', entries, async () => {
  for (let number = 0; number < entries; number++) await db.put(names[number], value(number))
})
await timed('put, 100 at once', entries, () => groups((part) => Promise.all(part.map((name) => db.put(name, values[0])))))
await db.compactRange(key(0), key(2 * entries))
for await (const entry of db.iterator()) check(entry[1])
await timed('get, one by one', entries, async () => {
  for (const name of names) check(await db.get(name))
})
await timed('get, 100 at once', entries, () => groups(async (part) => {
  for (const found of await Promise.all(part.map((name) => db.get(name)))) check(found)
}))
await timed('get, absent', entries, async () => {
  for (const name of absent) {
    if (await db.get(name) !== undefined) throw new Error(`${engine}: found what was never written`)
  }
})
await timed('getMany of 100', entries, () => groups(async (part) => { (await db.getMany(part)).forEach(check) }))
await timed('getSync', entries, () => { for (const name of names) check(db.getSync(name)) })
await timed('iterator', entries, async () => {
  let met = 0
  for await (const [, found] of db.iterator()) { check(found); met++ }
  seen(met)
})
await timed('iterator, backward', entries, async () => {
  let met = 0
  for await (const [, found] of db.iterator({ reverse: true })) { check(found); met++ }
  seen(met)
})
await timed('iterator.all()', entries, async () => seen((await db.iterator().all()).length))
await timed('batch of 100', entries, () => groups((part) =>
  db.batch(part.map((name) => ({ type: 'put', key: name, value: values[0] })))))
await timed('del, one by one', entries, async () => {
  for (const name of names) await db.del(name)
})
await db.close()
console.log(JSON.stringify(taken))
