'use strict'

// Builds the native half from the sources of AiDb and puts it where `lib/native.js` looks for it.
//
//   node scripts/build.js [sources]
//
// `sources` is a checkout of AiDb; by default the one that contains this file. Needs Rust.

const fs = require('fs')
const path = require('path')
const { spawnSync } = require('child_process')
const { target } = require('../lib/target')

const sources = path.resolve(process.argv[2] ?? path.join(__dirname, '..', '..', '..'))
const crate = path.join(sources, 'bindings', 'node', 'Cargo.toml')

if (!fs.existsSync(crate)) {
  fail(`${sources} is no checkout of AiDb: it has no bindings/node/Cargo.toml. Say where one is:\n` +
    `  node ${process.argv[1]} <path to the sources of AiDb>`)
}

const cargo = spawnSync(
  'cargo',
  // Without symbols and debug information, which are seven times as large as the code.
  ['rustc', '--release', '--locked', '--lib', '--manifest-path', crate, '--message-format', 'json-render-diagnostics',
    '--', '-C', 'strip=symbols'],
  { stdio: ['ignore', 'pipe', 'inherit'], encoding: 'utf8', maxBuffer: 64 << 20 }
)

if (cargo.error) fail(`cannot run cargo (${cargo.error.message}); Rust is at https://rustup.rs`)
if (cargo.status !== 0) fail(`cargo build failed with status ${cargo.status}`)

// cargo reports where it put the library, whatever the target directory and the platform's file name are.
const library = cargo.stdout.split('\n')
  .filter((line) => line.startsWith('{'))
  .map((line) => JSON.parse(line))
  .filter((message) => message.reason === 'compiler-artifact' && message.target.name === 'aidb_node')
  .flatMap((message) => message.filenames)
  .find((name) => /\.(so|dylib|dll)$/.test(name))

if (library === undefined) fail('cargo built no library')

const directory = path.join(__dirname, '..', 'prebuilds', target())
const file = path.join(directory, 'aidb.node')

// Under another name first: a process that has loaded the old file keeps it.
fs.mkdirSync(directory, { recursive: true })
fs.copyFileSync(library, file + '.new')
fs.renameSync(file + '.new', file)
console.log(`built ${file}`)

function fail (message) {
  console.error(message)
  process.exit(1)
}
