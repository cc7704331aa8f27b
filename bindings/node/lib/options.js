'use strict'

const { LevelError } = require('./errors')
const { Database } = require('./native')

// Options of the engine. core has their names, ranges and messages.

const camelCase = (name) => name.replace(/_(\w)/g, (_, letter) => letter.toUpperCase())

/** Camel-case names of the engine's options, with core's names. */
const names = new Map(Database.optionNames().map((name) => [camelCase(name), name]))

const canonical = new Set(names.values())

/** Options of a database that abstract-level itself reads. */
const others = new Set(['keyEncoding', 'valueEncoding', 'passive'])

/**
 * Names and values in turn, as text. Rejects a misspelt name and suggests the similar ones. Leaves out a name that
 * resembles none: abstract-level lets users pass options of their own to their hooks.
 */
exports.engineOptions = function (options) {
  const values = new Map()

  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || value === null || others.has(name)) continue

    // Core's spelling wins over camel case, because abstract-level fills in `createIfMissing` and `errorIfExists`.
    const known = names.get(name) ?? (canonical.has(name) ? name : undefined)
    if (known === undefined) refuseSlip(name)
    else if (known === name || (options[known] ?? null) === null) values.set(known, text(name, known, value))
  }

  return Array.from(values).flat()
}

/** A value in core's form. Every object has a text, and core would take any text as the name of a file. */
function text (name, known, value) {
  if (known === 'info_log' && typeof value !== 'string') {
    throw new LevelError('LEVEL_INVALID_ARGUMENT', `option ${name} must be a string, not of type ${typeof value}`)
  }

  return String(value)
}

/** Throws if `name` looks like a misspelt option: a part of one, or a few letters different. */
function refuseSlip (name) {
  const near = Database.optionNamesNear(name).map((known) => name.includes('_') ? known : camelCase(known))

  if (near.length > 0) {
    const message = `unknown option "${name}" (index.d.ts lists all); did you mean: ${near.join(', ')}?`
    throw new LevelError('LEVEL_INVALID_ARGUMENT', message)
  }
}
