// Step 3 of the demo: looks up words and prefixes while it holds a snapshot.
//
//     node query.mjs DATABASE
//
// README.md beside this file has the rules for words and keys.

import assert from 'node:assert/strict'
import { AidbLevel } from 'aidb'

const PREFIXES = ['asyncio', 'compress', 'snapshot', 'iter']

// The bounds of the keys that start with `prefix`, which is ASCII.
const range = prefix => ({ gte: prefix, lt: prefix.slice(0, -1) + String.fromCharCode(prefix.charCodeAt(prefix.length - 1) + 1) })

// The words with this prefix as { word, files, times }, the most frequent first.
async function lookUp (db, prefix, snapshot) {
  const words = new Map()
  for await (const [key, value] of db.iterator({ ...range(prefix), snapshot })) {
    const [word] = key.split('\0', 1)
    const found = words.get(word) ?? { word, files: 0, times: 0 }
    found.files++
    found.times += Number(value)
    words.set(word, found)
  }
  return [...words.values()].sort((a, b) => b.times - a.times || (a.word < b.word ? -1 : 1))
}

const started = performance.now()
const db = new AidbLevel(process.argv[2], { createIfMissing: false })
await db.open()
const snapshot = db.snapshot()

// The snapshot does not see writes from here on.
const intruder = 'snapshot_intruder'
await db.put(`${intruder}\0elsewhere.py`, '1')

let read = 0
for (const prefix of PREFIXES) {
  const words = await lookUp(db, prefix, snapshot)
  read += words.reduce((sum, { files }) => sum + files, 0)
  const best = words.slice(0, 3).map(({ word, files, times }) => `${word} ${times}x in ${files} files`)
  console.log(`Node:   ${prefix}*: ${words.length} words; ${best.join(', ')}`)
}
const before = await lookUp(db, 'snapshot', snapshot)
const now = await lookUp(db, 'snapshot')
assert.ok(!before.some(({ word }) => word === intruder), 'the snapshot shows a later write')
assert.ok(now.some(({ word }) => word === intruder), 'a write is not shown')
await db.del(`${intruder}\0elsewhere.py`)
assert.equal(await db.get(`${intruder}\0elsewhere.py`), undefined)

await snapshot.close()
await db.close()
const spent = (performance.now() - started) / 1000
console.log(`Node:   read ${read} entries by ${PREFIXES.length} prefixes in ${spent.toFixed(2)} s; the snapshot stayed as it was`)
