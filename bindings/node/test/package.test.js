'use strict'

// The installed package: its licences, and a native half without debug information.

const test = require('node:test')
const assert = require('node:assert')
const fs = require('fs')
const path = require('path')

const directory = path.dirname(require.resolve('aidb/package.json'))
const read = (name) => fs.readFileSync(path.join(directory, name))

test('the package holds the texts of its licences and of what is linked in', () => {
  assert.match(read('LICENSE-MIT').toString(), /Permission is hereby granted/)
  const apache = read('LICENSE-APACHE').toString()
  assert(apache.includes('Apache License') && apache.length > 10000)
  const notices = read('THIRD-PARTY-LICENSES').toString()
  for (const part of ['zstd-sys ', 'napi ', 'Redistribution and use in source and binary forms']) {
    assert(notices.includes(part), part)
  }
})

test('the native half is stripped of debug information and symbols', () => {
  const addons = fs.readdirSync(path.join(directory, 'prebuilds'), { recursive: true }).filter((name) => name.endsWith('.node'))
  assert.strictEqual(addons.length, 1)
  const addon = read(path.join('prebuilds', addons[0]))
  // In the form of section names in an ELF file.
  const has = (section) => addon.includes(`\0${section}\0`)
  assert(!has('.debug_line') && !has('.symtab'))
  assert(process.platform !== 'linux' || has('.dynsym'))
})
