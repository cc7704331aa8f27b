'use strict'

// A queue of jobs: many takers at once, and every job is taken exactly once.
//
//   npm install <the aidb package> && node queue.js [directory of the database]

const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { AidbLevel } = require('aidb')

const JOBS = 100
const TAKERS = 20

/** Moves the first job to the taker; resolves to its name, or to `undefined` if none is left. */
async function take (t, taker) {
  for await (const [key, job] of t.iterator({ gte: 'todo/', lt: 'todo0' })) {
    await t.del(key)
    await t.put(`done/${job}`, taker)
    return job
  }
}

async function work (db, taker) {
  // If another taker was quicker, the function runs again, and finds another job.
  while (await db.transaction((t) => take(t, taker), { attempts: Infinity }) !== undefined);
}

async function main (location) {
  const db = new AidbLevel(location)
  const names = Array.from({ length: JOBS }, (_, i) => `job-${String(i).padStart(3, '0')}`)
  await db.batch(names.map((name) => ({ type: 'put', key: `todo/${name}`, value: name })))

  await Promise.all(Array.from({ length: TAKERS }, (_, i) => work(db, `taker ${i}`)))

  const done = await db.keys({ gte: 'done/', lt: 'done0' }).all()
  const { transactions_committed: commits, transaction_conflicts: conflicts } = await db.stats()
  console.log(`${done.length} jobs are done, after ${commits} commits and ${conflicts} conflicts`)
  if (done.length !== JOBS || commits !== JOBS + TAKERS) throw new Error('a job was lost or taken twice')

  // A lock that only one can take needs no transaction.
  console.log('first:', await db.putIfAbsent('leader', 'alice')) // true
  console.log('second:', await db.putIfAbsent('leader', 'bob')) // false

  await db.close()
}

const scratch = process.argv[2] === undefined ? fs.mkdtempSync(path.join(os.tmpdir(), 'aidb-queue-')) : null

main(process.argv[2] ?? path.join(scratch, 'db'))
  .catch(function (err) {
    console.error(err.code, err.message, err.cause?.message ?? '')
    process.exitCode = 1
  })
  .finally(() => { if (scratch !== null) fs.rmSync(scratch, { recursive: true }) })
