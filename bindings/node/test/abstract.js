'use strict'

// abstract-level's own test suite, with the manifest that AidbLevel declares. Prints TAP.

const test = require('tape')
const suite = require('abstract-level/test')
const { AidbLevel } = require('aidb')
const { temporary } = require('./temporary')

suite({
  test,
  factory: (options) => new AidbLevel(temporary(), options)
})
