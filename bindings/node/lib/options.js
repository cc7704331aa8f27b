'use strict'

const { LevelError } = require('./errors')
const { Database } = require('./native')

// Options of the engine, for which core has the names, the ranges and the messages.

const camelCase = (name) => name.replace(/_(\w)/g, (_, letter) => letter.toUpperCase())

/** Camel-case names of the engine's options, and what core calls them. */
const names = new Map(Database.optionNames().map((name) => [camelCase(name), name]))

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
    else if (known === name || (options[known] ?? null) === null) values.set(known, text(name, known, value))
  }

  return Array.from(values).flat()
}

/** A value as core takes it. Any object has a text, and any text would be the name of a file. */
function text (name, known, value) {
  if (known === 'info_log' && typeof value !== 'string') {
    throw new LevelError('LEVEL_INVALID_ARGUMENT', `option ${name} must be a string, not of type ${typeof value}`)
  }

  return String(value)
}

/** Throws if `name` looks like a slip for an option: a part of one, or a few letters away. */
function refuseSlip (name) {
  const near = Database.optionNamesNear(name).map((known) => name.includes('_') ? known : camelCase(known))

  if (near.length > 0) {
    const message = `unknown option "${name}" (index.d.ts lists all); did you mean: ${near.join(', ')}?`
    throw new LevelError('LEVEL_INVALID_ARGUMENT', message)
  }
}
