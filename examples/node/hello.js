'use strict'

// The small program of every language: open, write, read, walk, snapshot, close.
//
//   npm install <the aidb package> && node hello.js [directory of the database]

const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { AidbLevel } = require('aidb')

async function main (location) {
  const db = new AidbLevel(location, { blockCacheSize: '64MiB' })

  await db.put('fruit/apple', 'red')
  await db.put('fruit/banana', 'yellow', { sync: true }) // survives power loss

  // Several writes, applied together or not at all.
  await db.batch([
    { type: 'put', key: 'fruit/cherry', value: 'dark red' },
    { type: 'put', key: 'tree/oak', value: 'tall' },
    { type: 'del', key: 'fruit/banana' }
  ])

  console.log('apple is', await db.get('fruit/apple'))
  console.log('banana is', await db.get('fruit/banana')) // undefined

  // A snapshot keeps its view, whatever is written later.
  const snapshot = db.snapshot()
  await db.put('fruit/date', 'brown')

  for await (const [key, value] of db.iterator({ gte: 'fruit/', lt: 'fruit0' })) {
    console.log(key, '=', value)
  }

  console.log('fruits in the snapshot:', (await db.keys({ lt: 'tree/', snapshot }).all()).length)

  // One small write deletes all fruits, however many there are.
  await db.deletePrefix('fruit/')
  console.log('left:', await db.keys().all())

  await snapshot.close()
  await db.close()
}

const scratch = process.argv[2] === undefined ? fs.mkdtempSync(path.join(os.tmpdir(), 'aidb-hello-')) : null

main(process.argv[2] ?? path.join(scratch, 'db'))
  .catch(function (err) {
    console.error(err.code, err.message, err.cause?.message ?? '')
    process.exitCode = 1
  })
  .finally(() => { if (scratch !== null) fs.rmSync(scratch, { recursive: true }) })
