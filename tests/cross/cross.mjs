// Node's turn in the cross-language test; the rules are in README.md beside this file.

import assert from 'node:assert/strict'
import fs from 'node:fs'
import { AidbLevel } from 'aidb'

const bytes = (length, byte) => Buffer.from(Uint8Array.from({ length }, (_, at) => byte(at)))
// Relative to the root of the repository, where run.sh starts it.
const edges = fs.readFileSync('tests/data/edges.txt', 'latin1').trim().split('\n').map(parseFloat).filter(edge => edge <= 262145)
const key = (turn, index) => Buffer.from([turn, index, 0x00, 0xff])

// The entries that the turn writes, beside the deletes.
function written (turn) {
  const entries = []
  for (let index = 0; index < 200; index++) {
    const value = bytes((7 * index) % 50, at => (31 * turn + index + at) % 256)
    entries.push([key(turn, index), value])
  }
  entries.push([Buffer.from([0xff, 0xff, turn]), Buffer.alloc(0)])
  entries.push([Buffer.from([...Buffer.from('big'), turn]), bytes(100_000, at => (turn + at) % 251)])
  edges.forEach((edge, number) => {
    entries.push([Buffer.from([turn, number, 0x01, 0xff]), bytes(edge, at => (turn + at) % 251)])
  })
  entries.push([Buffer.alloc(0), Buffer.from([turn])])
  return entries
}

// The entries after this many turns.
function expected (turns) {
  const entries = new Map()
  for (let turn = 0; turn < turns; turn++) {
    for (const entry of written(turn)) entries.set(entry[0].toString('hex'), entry)
    if (turn === 0) continue
    entries.delete(key(turn - 1, 5).toString('hex'))
    for (let index = 190; index < 200; index++) entries.delete(key(turn - 1, index).toString('hex'))
  }
  return [...entries.values()].sort((a, b) => Buffer.compare(a[0], b[0]))
}

// How many operations there were in this many turns.
function operations (turns) {
  let count = 0
  for (let turn = 0; turn < turns; turn++) count += written(turn).length + (turn > 0 ? 3 : 1)
  return BigInt(count)
}

async function compare (db, entries, options) {
  const walked = await db.iterator(options).all()
  assert.equal(walked.length, entries.length)
  for (let i = 0; i < entries.length; i++) {
    assert.ok(entries[i][0].equals(walked[i][0]), 'iterator: key')
    assert.ok(entries[i][1].equals(walked[i][1]), 'iterator: value')
  }
  const values = await db.getMany(entries.map(entry => entry[0]), options)
  values.forEach((value, i) => assert.ok(entries[i][1].equals(value), 'getMany'))
  const [first] = entries
  if (first) assert.ok(first[1].equals(await db.get(first[0], options)), 'get')
}

const [location, turn] = [process.argv[2], Number(process.argv[3])]
const db = new AidbLevel(location, { keyEncoding: 'buffer', valueEncoding: 'buffer' })
await db.open()
const before = expected(turn)
const now = expected(turn + 1)
await compare(db, before)
const snapshot = db.snapshot()
const batch = written(turn).map(([key, value]) => ({ type: 'put', key, value }))
batch.unshift({ type: 'deletePrefix', prefix: Buffer.from([turn]) })
if (turn > 0) {
  batch.push({ type: 'del', key: key(turn - 1, 5) })
  batch.push({ type: 'deleteRange', start: key(turn - 1, 190), end: key(turn - 1, 200) })
}
const receipt = {}
await db.batch(batch, { receipt })
assert.equal(snapshot.sequence, operations(turn))
assert.equal(receipt.sequence, operations(turn + 1))
await compare(db, before, { snapshot })
await compare(db, now)
await snapshot.close()
await db.close()
console.log(`turn ${turn}: Node   read ${before.length} entries and left ${now.length}`)
