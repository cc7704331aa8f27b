import {
  AbstractBatchOperation,
  AbstractBatchOptions,
  AbstractChainedBatch,
  AbstractChainedBatchWriteOptions,
  AbstractClearOptions,
  AbstractDatabaseOptions,
  AbstractDelOptions,
  AbstractGetManyOptions,
  AbstractGetOptions,
  AbstractHasManyOptions,
  AbstractHasOptions,
  AbstractIterator,
  AbstractIteratorOptions,
  AbstractKeyIterator,
  AbstractKeyIteratorOptions,
  AbstractLevel,
  AbstractOpenOptions,
  AbstractPutOptions,
  AbstractSnapshot,
  AbstractValueIterator,
  AbstractValueIteratorOptions,
  Transcoder
} from 'abstract-level'

/** A number of bytes, or a text with a unit such as `'64MiB'`, `'1GB'` or `'4096'`. */
export type Size = number | string

/** The engine's options in camel case. Their ranges and defaults are those of every language. */
export interface EngineOptions {
  /** Creates the database if the folder is missing or empty. Default: `true`. */
  createIfMissing?: boolean | undefined

  /** Refuses to open a database that exists. Default: `false`. */
  errorIfExists?: boolean | undefined

  /** Opens without writing: shares the folder with other readers, refuses a writer. Default: `false`. */
  readOnly?: boolean | undefined

  /** Bytes of the memtable before it is flushed (4 KiB to 16 GiB); up to three are held. Default: 64 MiB. */
  writeBufferSize?: Size | undefined

  /** Bytes of data blocks kept in memory (0 to 1 TiB). Default: 256 MiB. */
  blockCacheSize?: Size | undefined

  /** Bytes of a data block before compression (128 to 16 MiB). Default: 4 KiB. */
  blockSize?: Size | undefined

  /** Entries between two whole keys in a block (1 to 1024). Default: 16. */
  blockRestartInterval?: number | undefined

  /** The codec of new blocks; old ones stay readable. Default: `'snappy'`. */
  compression?: 'none' | 'snappy' | 'lz4' | 'zstd' | undefined

  /** Bloom filter bits per key of new tables (0 to 32). Default: 10, which lets 1 % of absent keys through. */
  bloomBitsPerKey?: number | undefined

  /** Tables kept open at once (0 to 1,048,576). Default: 0, half of what the process may open. */
  maxOpenFiles?: number | undefined

  /** Tables in level 0 that start a compaction (1 to 64). Default: 4. */
  level0CompactionTrigger?: number | undefined

  /** Bytes of level 1 before it is compacted (4 KiB to 1 TiB). Default: 256 MiB. */
  levelBaseSize?: Size | undefined

  /** How many times larger each level is than the one above (2 to 100). Default: 10. */
  levelSizeMultiplier?: number | undefined

  /** Bytes of a table before a compaction starts the next one (4 KiB to 64 GiB). Default: 64 MiB. */
  targetFileSize?: Size | undefined

  /** Compaction threads (1 to 64), beside one thread that flushes. Default: 2. */
  backgroundThreads?: number | undefined

  /** Milliseconds to wait for another opener to let go (up to a day). Default: 0, fail at once. */
  lockTimeout?: number | undefined

  /** Where the database writes what it does: `'none'`, `'stderr'` or a path. Default: `'none'`. */
  infoLog?: string | undefined

  /** Bytes of the info log's file before it is renamed to `NAME.1` and a new one begun (0 to 1 TiB); 0: never. Default: 16 MiB. */
  infoLogFileSize?: Size | undefined

  /** Files of the info log that are kept, renamed ones included (1 to 1000). Default: 4. */
  infoLogFiles?: number | undefined
}

type SnakeCase<Name extends string> = Name extends `${infer First}${infer Rest}`
  ? `${First extends Lowercase<First> ? First : `_${Lowercase<First>}`}${SnakeCase<Rest>}`
  : Name

/** The engine's options by the names they have in the other languages: `block_cache_size` and so on. */
export type SnakeCaseEngineOptions = {
  [Name in keyof EngineOptions as SnakeCase<Name>]: EngineOptions[Name]
}

/** Options of {@link AidbLevel.open}. A misspelt name or a value out of range makes opening fail. */
export interface OpenOptions extends Omit<AbstractOpenOptions, 'createIfMissing' | 'errorIfExists'>,
  EngineOptions, SnakeCaseEngineOptions {}

/** Options of the {@link AidbLevel} constructor. */
export interface DatabaseOptions<K, V>
  extends Omit<AbstractDatabaseOptions<K, V>, 'createIfMissing' | 'errorIfExists'>,
  EngineOptions, SnakeCaseEngineOptions {}

/** Additional options of every write. */
export interface WriteOptions {
  /**
   * Acknowledge only when this write, and every write acknowledged before it, would survive loss of power.
   * Default: `false`: the write survives the death of the process.
   */
  sync?: boolean | undefined
}

/** What a write tells beside that it was made, if it is given this as its `receipt`. Make one for each write. */
export interface WriteReceipt {
  /**
   * The number of the write's last operation in the order of all writes; those of a batch of n have the n numbers that end
   * there. Numbers begin at 1 and have 56 bits. A snapshot sees the write if its `sequence` is at or after this. Set when
   * the write resolves; until then, and after a failure, there is none. An empty batch is no write, and sets none.
   */
  sequence?: bigint | undefined
}

/** Additional options of `put`, `del` and `batch`. */
export interface ReceiptOptions extends WriteOptions {
  /**
   * Where to put the number that the write gets.
   *
   * ```js
   * const receipt = {}
   * await db.put('a', '1', { receipt })
   * receipt.sequence // 1n
   * ```
   */
  receipt?: WriteReceipt | undefined
}

/** Several writes that are made together, by `db.batch()`. */
export interface ChainedBatch<TDatabase, KDefault, VDefault>
  extends AbstractChainedBatch<TDatabase, KDefault, VDefault> {
  write (): Promise<void>
  write (options: AbstractChainedBatchWriteOptions & ReceiptOptions): Promise<void>
}

/** A point in the sequence of writes to read at, by `db.snapshot()`. */
export interface Snapshot extends AbstractSnapshot {
  /** The number of the last write that it sees, from 1, 56 bits; `0n` if it sees none. It stays when it is closed. */
  get sequence (): bigint
}

/** Additional options of every read. */
export interface ReadOptions {
  /** Keep blocks read from disk in the block cache. Default: `true`. */
  fillCache?: boolean | undefined
}

/** Additional options of iterators. */
export interface WalkOptions extends ReadOptions {
  /**
   * About how many bytes of entries are read ahead at once, rounded up to a whole entry: a whole number from 0. Default: 65,536.
   * Buffers that an iterator yields share the memory of their chunk, which stays while one of them does.
   */
  highWaterMarkBytes?: number | undefined
}

/** What {@link AidbLevel.stats} reports: counters since opening, sizes now. Bytes unless a name says otherwise. */
export interface Stats {
  /** The number of the last write that readers see. */
  sequence: number
  /** Bytes held by the active memtable and those waiting for a flush. */
  memtable_bytes: number
  /** Sealed memtables waiting for a flush. */
  immutable_memtables: number
  /** Bytes of blocks in the cache. */
  block_cache_bytes: number
  /** Reads answered by the block cache, in blocks. */
  block_cache_hits: number
  /** Blocks read from disk. */
  block_cache_misses: number
  /** Blocks that left the cache for others. */
  block_cache_evictions: number
  /** Tables open now. */
  open_tables: number
  /** Snapshots held, counting one number once. */
  snapshots: number
  /** Operations written. */
  operations_written: number
  /** Batches committed. */
  batches_written: number
  /** Bytes appended to logs. */
  wal_bytes: number
  /** Times a log was synced. */
  wal_syncs: number
  /** Memtables flushed. */
  flushes: number
  /** Bytes of tables written by flushes. */
  flush_bytes_written: number
  /** Compactions done, trivial moves not counted. */
  compactions: number
  /** Tables moved to the next level without rewriting. */
  trivial_moves: number
  /** Bytes read by compactions. */
  compaction_bytes_read: number
  /** Bytes written by compactions. */
  compaction_bytes_written: number
  /** Microseconds that writers were delayed. */
  stall_micros: number
  /** Bytes set aside for a full disk. */
  reserve_bytes: number
  /** Every level, from 0. */
  levels: LevelStats[]
  /** Tables that compactions leave out since one with them did not add up or met damage. They stay readable. */
  set_aside: SetAside[]
}

/** A table that compactions leave out until the database is opened again. */
export interface SetAside {
  /** The number in the table's file name. */
  table: number
  /** Why, in a sentence for a person that begins with the kind of the error. */
  error: string
}

/** One level of the tree. */
export interface LevelStats {
  /** Tables in the level. */
  tables: number
  /** Their bytes. */
  bytes: number
  /** Their entries, tombstones included. */
  entries: number
}

/** Options of {@link AidbLevel.verify}. */
export interface VerifyOptions {
  /** Called with bytes done and bytes in all, now and then; what it throws ends the verification and rejects it. */
  progress?: ((bytesDone: number, bytesTotal: number) => void) | undefined

  /** Ends the verification, which rejects with `LEVEL_ABORTED`. */
  signal?: AbortSignal | undefined
}

/** What {@link AidbLevel.verify} has found. */
export interface VerifyReport {
  /** Whether everything was looked at and nothing is damaged. */
  is_ok: boolean
  /** Whether everything was looked at. */
  is_complete: boolean
  /** Tables looked at. */
  tables: number
  /** Entries in their undamaged blocks. */
  entries: number
  /** Logs looked at. */
  logs: number
  /** Their undamaged records. */
  records: number
  /** Bytes of all files looked at. */
  bytes: number
  /** How many damaged places there are. */
  damaged_places: number
  /** The first 1000 of them. */
  damage: Damage[]
}

/** One place on disk that is not as it was written, or that is read otherwise than it is. */
export interface Damage {
  /** The file; the folder of the database if reading all of it together goes wrong. */
  file: string
  /** The byte in it: where the damaged block or record begins. */
  offset: number
  /** What is wrong, in a sentence. */
  message: string
  /** `Internal` if the bytes are right and a way of reading does not find what is there: a fault of AiDb. */
  kind: 'Corruption' | 'Io' | 'Unsupported' | 'Internal'
}

/** What {@link AidbLevel.repair} has read, written and lost. */
export interface RepairReport {
  /** Whether everything could be read, and is what it should be. */
  is_ok: boolean
  /** Tables of which something was read. */
  tables: number
  /** Entries read from them. */
  table_entries: number
  /** Logs of which something was read. */
  logs: number
  /** Records read from them. */
  log_records: number
  /** Entries of the new database. */
  entries_written: number
  /** The last sequence number of the new database. */
  last_sequence: number
  /** How many places could not be read, and tables hold other entries than they should. */
  lost_places: number
  /** The first 1000 of them. */
  lost: Loss[]
}

/**
 * Something that a repair could not read: bytes `offset` to `end` of a file. Or a table that it read whole and that holds
 * other entries than the manifest or the table itself says, all of which are kept. What is not known is `null`.
 */
export interface Loss {
  /** The file. */
  file: string
  /** Its bytes from here could not be read. */
  offset: number
  /** To here, exclusively; 0 like `offset` if the file is missing, or if all of it could be read. */
  end: number
  /** What is wrong, in a sentence. */
  message: string
  /** What was lost lies at or after this key. */
  smallest_key: Buffer | null
  /** What was lost lies at or before this key. */
  largest_key: Buffer | null
  /** Writes from this sequence number on may be lost. */
  first_sequence: number | null
  /** Writes up to this sequence number may be lost. */
  last_sequence: number | null
}

/**
 * An AiDb database as an `abstract-level` one: an ordered map from byte strings to byte strings in a folder.
 *
 * Keys are up to 16 MiB and values up to 4 GiB - 1, as far as Node has a buffer or string of that length; both may
 * be empty. Work is done on threads of the package's own: nothing but {@link getSync} blocks the event loop.
 *
 * Errors have a `code`: one of abstract-level's, or `LEVEL_INVALID_ARGUMENT`, `LEVEL_IO_ERROR`, `LEVEL_CORRUPTION`,
 * `LEVEL_LOCKED`, `LEVEL_NO_SPACE`, `LEVEL_OUT_OF_MEMORY`, `LEVEL_CONFLICT`, `LEVEL_UNSUPPORTED` or `LEVEL_INTERNAL`;
 * and a `cause` where something else went wrong first. A failure to open is `LEVEL_DATABASE_NOT_OPEN`, with the reason as its `cause`.
 *
 * @template KDefault The type of keys, unless overridden by an operation's encoding.
 * @template VDefault The type of values, likewise.
 */
export class AidbLevel<KDefault = string, VDefault = string>
  extends AbstractLevel<string | Buffer | Uint8Array, KDefault, VDefault> {
  /**
   * Makes a database object, which opens itself; operations wait for that.
   *
   * @param location Path of the database's folder. One process (or worker) opens it at a time.
   */
  constructor (location: string, options?: DatabaseOptions<KDefault, VDefault> | undefined)

  /**
   * Removes the database at `location`: its files, and the folder if nothing else is in it. A missing or empty
   * folder is no error.
   *
   * Errors: `LEVEL_LOCKED` if it is open anywhere; `LEVEL_INVALID_ARGUMENT` if it is no database; `LEVEL_IO_ERROR`.
   */
  static destroy (location: string): Promise<void>

  /**
   * Makes a new database at `into`, a missing or empty folder, of what can still be read of the damaged one at
   * `location`, which is not changed; resolves to what was read, written and lost.
   *
   * First try to open the database: after an ordinary crash nothing is damaged. A deleted key may come back only if
   * the table or record with its tombstone is lost, or the manifest is and a crash had left a table behind that was
   * already compacted. `options`: how the new tables are built.
   *
   * Errors: `LEVEL_LOCKED` if it is open for writing; `LEVEL_INVALID_ARGUMENT` if `location` holds nothing of a
   * database or `into` something; `LEVEL_UNSUPPORTED` if a newer AiDb wrote it; `LEVEL_IO_ERROR`, `LEVEL_NO_SPACE`.
   */
  static repair (
    location: string,
    into: string,
    options?: EngineOptions & SnakeCaseEngineOptions | undefined
  ): Promise<RepairReport>

  /** The path that was given to the constructor. */
  get location (): string

  open (): Promise<void>
  open (options: OpenOptions): Promise<void>

  get (key: KDefault): Promise<VDefault | undefined>
  get<K = KDefault, V = VDefault> (key: K, options: AbstractGetOptions<K, V> & ReadOptions): Promise<V | undefined>

  /** Like {@link get}, on this thread, which waits for the disk if it must. */
  getSync (key: KDefault): VDefault | undefined
  getSync<K = KDefault, V = VDefault> (key: K, options: AbstractGetOptions<K, V> & ReadOptions): V | undefined

  getMany (keys: KDefault[]): Promise<Array<VDefault | undefined>>
  getMany<K = KDefault, V = VDefault> (
    keys: K[],
    options: AbstractGetManyOptions<K, V> & ReadOptions
  ): Promise<Array<V | undefined>>

  has (key: KDefault): Promise<boolean>
  has<K = KDefault> (key: K, options: AbstractHasOptions<K> & ReadOptions): Promise<boolean>

  hasMany (keys: KDefault[]): Promise<boolean[]>
  hasMany<K = KDefault> (keys: K[], options: AbstractHasManyOptions<K> & ReadOptions): Promise<boolean[]>

  put (key: KDefault, value: VDefault): Promise<void>
  put<K = KDefault, V = VDefault> (key: K, value: V, options: AbstractPutOptions<K, V> & ReceiptOptions): Promise<void>

  del (key: KDefault): Promise<void>
  del<K = KDefault> (key: K, options: AbstractDelOptions<K> & ReceiptOptions): Promise<void>

  batch (operations: Array<AbstractBatchOperation<typeof this, KDefault, VDefault>>): Promise<void>
  batch<K = KDefault, V = VDefault> (
    operations: Array<AbstractBatchOperation<typeof this, K, V>>,
    options: AbstractBatchOptions<K, V> & ReceiptOptions
  ): Promise<void>
  batch (): ChainedBatch<typeof this, KDefault, VDefault>

  snapshot (options?: any | undefined): Snapshot

  iterator (): AbstractIterator<typeof this, KDefault, VDefault>
  iterator<K = KDefault, V = VDefault> (
    options: AbstractIteratorOptions<K, V> & WalkOptions
  ): AbstractIterator<typeof this, K, V>

  keys (): AbstractKeyIterator<typeof this, KDefault>
  keys<K = KDefault> (options: AbstractKeyIteratorOptions<K> & WalkOptions): AbstractKeyIterator<typeof this, K>

  values (): AbstractValueIterator<typeof this, KDefault, VDefault>
  values<K = KDefault, V = VDefault> (
    options: AbstractValueIteratorOptions<K, V> & WalkOptions
  ): AbstractValueIterator<typeof this, K, V>

  clear (): Promise<void>
  clear<K = KDefault> (options: AbstractClearOptions<K> & WriteOptions): Promise<void>

  /**
   * About how many bytes of tables the keys in `[start, end)` take; no bound means no end. What is still in memory is not
   * counted.
   *
   * Errors: `LEVEL_DATABASE_NOT_OPEN`, `LEVEL_IO_ERROR`, `LEVEL_CORRUPTION`.
   */
  approximateSize (start?: KDefault | null, end?: KDefault | null): Promise<number>
  approximateSize<K = KDefault> (start: K | null | undefined, end: K | null | undefined, options: KeyOptions<K>): Promise<number>

  /**
   * Compacts the keys in `[start, end)`, so that deleted and overwritten entries that no snapshot sees give back
   * their space; no bound means no end. Resolves when the result is durable.
   *
   * Errors: `LEVEL_DATABASE_NOT_OPEN`, `LEVEL_IO_ERROR`, `LEVEL_NO_SPACE`, `LEVEL_CORRUPTION`.
   */
  compactRange (start?: KDefault | undefined, end?: KDefault | undefined): Promise<void>
  compactRange<K = KDefault> (start: K | undefined, end: K | undefined, options: KeyOptions<K>): Promise<void>

  /**
   * Writes everything acknowledged so far to tables; resolves when it survives loss of power.
   *
   * Errors: `LEVEL_DATABASE_NOT_OPEN`, `LEVEL_IO_ERROR`, `LEVEL_NO_SPACE`; nothing acknowledged is lost by them.
   */
  flush (): Promise<void>

  /**
   * Makes a consistent copy at `location`, a missing or empty folder, while reads and writes go on. It holds
   * everything written before the call, opens by itself, and survives loss of power once this resolves. Its tables
   * are hard links where the file system allows that. After an error what was made is removed.
   *
   * Errors: `LEVEL_DATABASE_NOT_OPEN`, `LEVEL_INVALID_ARGUMENT` if `location` is a file or a folder that is not empty,
   * `LEVEL_LOCKED`, `LEVEL_IO_ERROR`, `LEVEL_NO_SPACE`, `LEVEL_CORRUPTION`.
   */
  checkpoint (location: string): Promise<void>

  /**
   * Reads everything the database consists of from disk, past the caches, and checks it, while reads and writes go on;
   * then reads everything as of one point as you do, and compares. Damage does not reject: it is in the report, by file
   * and offset. Closing the database waits for it. Cost: reads every table seven times, of which the system's file
   * cache mostly answers five.
   *
   * Errors: `LEVEL_DATABASE_NOT_OPEN`; `LEVEL_ABORTED` by its signal.
   */
  verify (options?: VerifyOptions | undefined): Promise<VerifyReport>

  /**
   * A report by name (the guide lists the names), or `undefined` if there is none of that name.
   *
   * Throws `LEVEL_DATABASE_NOT_OPEN` unless the database is open.
   */
  getProperty (name: string): string | undefined

  /**
   * Counters and sizes of this database.
   *
   * Errors: `LEVEL_DATABASE_NOT_OPEN`.
   */
  stats (): Promise<Stats>
}

/** Options of methods that take keys and return none. */
export interface KeyOptions<K> {
  /** The encoding of the keys. Default: the database's. */
  keyEncoding?: string | Transcoder.PartialEncoder<K> | undefined
}
