'use strict'

const { LevelError } = require('./errors')
const { Database } = require('./native')

// Options of the engine, for which core has the names, the ranges and the messages.

/** Camel-case names of the engine's options, and what core calls them. */
const names = new Map(Database.optionNames().map((name) => [
  name.replace(/_(\w)/g, (_, letter) => letter.toUpperCase()), name
]))

const canonical = new Set(names.values())

/** What abstract-level itself reads from the options of a database. */
const others = new Set(['keyEncoding', 'valueEncoding', 'passive'])

/**
 * Names and values in turn, as text. A misspelt name is refused with the ones that are near it. A name that is like
 * none is left out: abstract-level lets users hand options of their own to their hooks.
 */
exports.engineOptions = function (options) {
  const values = new Map()

  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || value === null || others.has(name)) continue

    // Core's spelling wins over camel case, in which abstract-level fills in `createIfMissing` and `errorIfExists`.
    const known = names.get(name) ?? (canonical.has(name) ? name : undefined)
    if (known === undefined) refuseSlip(name)
    else if (known === name || (options[known] ?? null) === null) values.set(known, String(value))
  }

  return Array.from(values).flat()
}

/** Throws if `name` looks like a slip for an option: a part of one, or a few letters away. */
function refuseSlip (name) {
  const plain = (text) => text.replace(/[_-]/g, '').toLowerCase()
  const given = plain(name)

  const near = Array.from(name.includes('_') ? names.values() : names.keys()).filter(function (known) {
    const option = plain(known)
    const isPart = given.length >= 4 && (option.includes(given) || given.includes(option))
    return isPart || distance(given, option) <= 3
  })

  if (near.length > 0) {
    const message = `unknown option "${name}"; did you mean: ${near.join(', ')}?`
    throw new LevelError('LEVEL_INVALID_ARGUMENT', message)
  }
}

/** Insertions, deletions and replacements that turn `a` into `b` (Levenshtein). */
function distance (a, b) {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)

  for (let i = 0; i < a.length; i++) {
    const next = [i + 1]
    for (let j = 0; j < b.length; j++) {
      next.push(Math.min(row[j] + (a[i] === b[j] ? 0 : 1), row[j + 1] + 1, next[j] + 1))
    }
    row = next
  }

  return row[b.length]
}
