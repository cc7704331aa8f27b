'use strict'

// A small deterministic generator of random numbers, and an ordered map to compare with.

/** Numbers in [0, 1) from a 32-bit seed (mulberry32, by Tommy Ettinger). */
exports.random = function (seed) {
  let state = seed >>> 0

  return function () {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

/** Entries by key, where keys and values are buffers. */
exports.Model = class Model {
  #entries = new Map()

  put (key, value) { this.#entries.set(key.toString('latin1'), value) }
  del (key) { this.#entries.delete(key.toString('latin1')) }
  get (key) { return this.#entries.get(key.toString('latin1')) }

  copy () {
    const copy = new Model()
    for (const [key, value] of this.#entries) copy.#entries.set(key, value)
    return copy
  }

  /** The entries that an abstract-level range describes, in its order. */
  range ({ gte, gt, lte, lt, reverse = false, limit = -1, from } = {}) {
    const lower = (key) => gte ? Buffer.compare(key, gte) >= 0 : gt ? Buffer.compare(key, gt) > 0 : true
    const upper = (key) => lte ? Buffer.compare(key, lte) <= 0 : lt ? Buffer.compare(key, lt) < 0 : true
    const inside = (key) => lower(key) && upper(key)

    if (from !== undefined && !inside(from)) return []

    let entries = Array.from(this.#entries, ([key, value]) => [Buffer.from(key, 'latin1'), value])
      .filter(([key]) => inside(key))
      .sort(([a], [b]) => Buffer.compare(a, b))

    if (reverse) entries.reverse()
    if (from !== undefined) {
      entries = entries.filter(([key]) => Buffer.compare(key, from) * (reverse ? -1 : 1) >= 0)
    }

    return limit < 0 ? entries : entries.slice(0, limit)
  }
}
