// The package from an ES module.

import test from 'node:test'
import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { AidbLevel } from 'aidb'

const require = createRequire(import.meta.url)

test('the named import is the class that require gives', function () {
  assert.equal(AidbLevel, require('aidb').AidbLevel)
  assert.equal(AidbLevel.name, 'AidbLevel')
})
