'use strict'

const fs = require('fs')
const os = require('os')
const path = require('path')
const { isMainThread } = require('worker_threads')

const root = fs.mkdtempSync(path.join(os.tmpdir(), 'aidb-node-'))
let count = 0

/** A path at which nothing exists yet; all such paths are removed when the process ends. */
exports.temporary = () => path.join(root, String(count++))

if (isMainThread) process.on('exit', () => fs.rmSync(root, { recursive: true, force: true }))
