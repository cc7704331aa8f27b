// Compiled, not run: code that a TypeScript program may write, and code that it may not.

import {
  AidbLevel, type OpenOptions, type RepairReport, type Savepoint, type Snapshot, type Stats, type Transaction,
  type VerifyReport, type WriteReceipt
} from 'aidb'
import { type AbstractSnapshot } from 'abstract-level'

export async function use (): Promise<void> {
  const options: OpenOptions = { createIfMissing: true, block_cache_size: '256MiB', lockTimeout: 100 }
  const db = new AidbLevel('/tmp/db', options)
  const json = new AidbLevel<string, { n: number }>('/tmp/json', { valueEncoding: 'json', compression: 'zstd' })

  await db.open({ errorIfExists: false })
  await db.put('a', '1', { sync: true })
  await json.put('a', { n: 1 })
  const n: number | undefined = (await json.get('a', { fillCache: false }))?.n
  const bytes: Buffer | undefined = db.getSync<Buffer, Buffer>(Buffer.from('a'), { keyEncoding: 'buffer', valueEncoding: 'buffer' })
  const many: Array<string | undefined> = await db.getMany(['a', 'b'])
  await db.batch([{ type: 'put', key: 'a', value: '1' }, { type: 'del', key: 'b' }], { sync: true })
  await db.batch().put('a', '1').del('b').write({ sync: true })

  const receipt: WriteReceipt = {}
  await db.put('a', '1', { sync: true, receipt })
  await db.del('a', { receipt })
  await db.batch([{ type: 'put', key: 'a', value: '1' }], { receipt })
  await db.batch().put('a', '1').write({ receipt })
  const sequence: bigint = receipt.sequence ?? 0n

  const numbered: Snapshot = db.snapshot()
  const isSeen: boolean = numbered.sequence >= sequence
  await numbered.close()
  const snapshot: AbstractSnapshot = db.snapshot()
  for await (const [key, value] of db.iterator({ snapshot, gte: 'a', highWaterMarkBytes: 1024 })) key.concat(value)
  for await (const key of db.keys({ reverse: true, fillCache: false })) key.length.toFixed()
  for await (const value of json.values({ limit: 1 })) value.n.toFixed()
  await snapshot.close()
  await db.clear({ lt: 'b', sync: true })
  await db.deleteRange('a', null, { sync: true, receipt })
  await db.deleteRange(undefined, Buffer.from('b'), { keyEncoding: 'buffer' })
  await db.deletePrefix('a')
  await db.batch([{ type: 'deleteRange', start: 'a' }, { type: 'deletePrefix', prefix: 'b' }, { type: 'del', key: 'c' }])

  const t: Transaction<typeof db> = await db.begin({ readOnly: false })
  const words = db.sublevel<string, { n: number }>('words', { valueEncoding: 'json' })
  const read: string | undefined = await t.get('a')
  const word: { n: number } | undefined = await t.get<string, { n: number }>('a', { sublevel: words })
  const there: boolean[] = [await t.has('a'), ...await t.hasMany(['a', 'b'])]
  const all: Array<string | undefined> = await t.getMany(['a', 'b'])
  await t.put('a', '1')
  await t.put<Buffer, Buffer>(Buffer.from('a'), Buffer.from('1'), { keyEncoding: 'buffer', valueEncoding: 'buffer' })
  await t.put('a', { n: 1 }, { sublevel: words })
  await t.del('a', { sublevel: words })
  await t.deleteRange('a', 'b', { sublevel: words })
  await t.deletePrefix('a')
  await t.batch([{ type: 'put', key: 'a', value: '1' }, { type: 'del', key: 'b', sublevel: words }])
  for await (const [key, value] of t.iterator({ gte: 'a', reverse: true, highWaterMarkBytes: 1 })) key.concat(value)
  for await (const key of t.keys()) key.concat()
  for await (const value of t.values({ limit: 1, fillCache: false })) value.concat()
  const savepoint: Savepoint = await t.savepoint()
  await t.rollbackTo(savepoint)
  const committed: bigint = await t.commit({ sync: true })
  await t.rollback()
  const result: number = await json.transaction(async (t) => (await t.get('a'))?.n ?? 0, { attempts: 3, sync: true })
  const wasSet: boolean = await json.compareAndSet('a', undefined, { n: 1 }) || await db.putIfAbsent('a', '1', { sync: true })
  const old: string | undefined = await db.getAndPut('a', '1') ?? await db.getAndDelete('a')
  console.log(read, word, there, all, committed, result, wasSet, old)

  const size: number = await db.approximateSize('a', 'z')
  const entries: number = await db.approximateCount('a') + await db.count(null, 'z')
  await db.count(Buffer.from('a'), undefined, { keyEncoding: 'buffer', snapshot: db.snapshot(), fillCache: true })
  await db.count(null, null, { progress: (counted: number, total: number) => {}, signal: new AbortController().signal })
  await db.compactRange()
  await db.compactRange(Buffer.from('a'), undefined, { keyEncoding: 'buffer' })
  await db.flush()
  const property: string | undefined = db.getProperty('stats')
  const stats: Stats = await db.stats()
  await db.checkpoint('copy')
  const verified: VerifyReport = await db.verify()
  const place: [string, number] = [verified.damage[0].file, verified.damage[0].offset]
  await db.verify({ progress: (done: number, total: number) => {}, signal: new AbortController().signal })
  const repaired: RepairReport = await AidbLevel.repair('damaged', 'new', { compression: 'zstd' })
  const key: Buffer | null = repaired.lost[0].smallest_key
  const tables: number = stats.levels[0].tables + stats.flushes
  await db.close()
  await AidbLevel.destroy(db.location)

  // @ts-expect-error: a location is needed
  new AidbLevel()
  // @ts-expect-error: no such option
  new AidbLevel('/tmp/db', { blockCachSize: 1 })
  // @ts-expect-error: no such codec
  new AidbLevel('/tmp/db', { compression: 'zip' })
  // @ts-expect-error: a receipt takes a bigint
  await db.put('a', '1', { receipt: { sequence: 1 } })
  // @ts-expect-error: a read has no receipt
  await db.get('a', { receipt })
  // @ts-expect-error: a receipt is an object
  await db.batch().put('a', '1').write({ receipt: 1 })
  // @ts-expect-error: the location cannot be changed
  db.location = 'elsewhere'
  // @ts-expect-error: values are objects with a number
  await json.put('a', { n: 'one' })
  // @ts-expect-error: a transaction takes no snapshot
  await t.get('a', { snapshot })
  // @ts-expect-error: a transaction has values of its database
  await json.transaction(async (t) => t.put('a', 'one'))
  // @ts-expect-error: only a commit is durable
  await t.put('a', '1', { sync: true })

  console.log(isSeen, n, bytes, many, size, property, tables, place, key)
}
