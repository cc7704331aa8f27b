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
  AbstractSublevel,
  AbstractValueIterator,
  AbstractValueIteratorOptions,
  Transcoder
} from 'abstract-level'

/** A number of bytes, or a text with a unit such as `'64MiB'`, `'1GB'` or `'4096'`. */
export type Size = number | string

/** The engine's options in camel case. Their ranges and defaults are those of every language. */
export interface EngineOptions {
  /** Creates the database if the directory is missing or empty. Default: true. */
  createIfMissing?: boolean | undefined

  /** Refuses to open a database that exists. Default: false. */
  errorIfExists?: boolean | undefined

  /**
   * Opens without writing anything: shares the directory with other readers, refuses a writer.
   * Default: false.
   */
  readOnly?: boolean | undefined

  /**
   * Bytes of the memtable before it is sealed and flushed; up to three are held at once. Accepts a
   * size from 4KiB to 16GiB. Default: 64MiB.
   */
  writeBufferSize?: Size | undefined

  /**
   * Bytes of data blocks kept in memory; 0 keeps none. Accepts a size from 0 to 1TiB. Default:
   * 256MiB.
   */
  blockCacheSize?: Size | undefined

  /** Bytes of a data block before compression. Accepts a size from 128 to 16MiB. Default: 4KiB. */
  blockSize?: Size | undefined

  /**
   * Entries between two whole keys in a block. Accepts a whole number from 1 to 1024. Default: 16.
   */
  blockRestartInterval?: number | undefined

  /** The codec of new blocks; old ones stay readable. Default: snappy. */
  compression?: 'none' | 'snappy' | 'lz4' | 'zstd' | undefined

  /**
   * Bloom filter bits per key of new tables; 10 let 1 % of absent keys through to the disk, 0
   * builds no filter. Accepts a whole number from 0 to 32. Default: 10.
   */
  bloomBitsPerKey?: number | undefined

  /**
   * Tables kept open at once; 0 takes half of what the process may open. Accepts a whole number
   * from 0 to 1048576. Default: 0.
   */
  maxOpenFiles?: number | undefined

  /** Tables in level 0 that start a compaction. Accepts a whole number from 1 to 64. Default: 4. */
  level0CompactionTrigger?: number | undefined

  /**
   * Bytes of level 1 before it is compacted into level 2. Accepts a size from 4KiB to 1TiB.
   * Default: 256MiB.
   */
  levelBaseSize?: Size | undefined

  /**
   * How many times larger each level is than the one above. Accepts a whole number from 2 to 100.
   * Default: 10.
   */
  levelSizeMultiplier?: number | undefined

  /**
   * Bytes of a table before a compaction starts the next one. Accepts a size from 4KiB to 64GiB.
   * Default: 64MiB.
   */
  targetFileSize?: Size | undefined

  /**
   * Compaction threads, beside one thread that flushes. Accepts a whole number from 1 to 64.
   * Default: 2.
   */
  backgroundThreads?: number | undefined

  /**
   * Whole milliseconds to wait for another opener to let the database go; 0 does not wait. Accepts
   * milliseconds from 0 to 86400000. Default: 0.
   */
  lockTimeout?: number | undefined

  /**
   * Whole milliseconds after which a transaction that nobody uses is rolled back; 0: never. Accepts
   * milliseconds from 0 to 86400000. Default: 600000.
   */
  transactionTimeout?: number | undefined

  /**
   * Where the database writes what it does, a line per event; a file of the engine's own is
   * refused. Accepts none, stderr or a path. Default: none.
   */
  infoLog?: string | undefined

  /**
   * Bytes of the info log's file before it is renamed to its name with `.1` after it, and a new one
   * begun; 0: never. Accepts a size from 0 to 1TiB. Default: 16MiB.
   */
  infoLogFileSize?: Size | undefined

  /**
   * Files of the info log that are kept, renamed ones included; with 1 a full file is emptied.
   * Accepts a whole number from 1 to 1000. Default: 4.
   */
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
   * Resolve only when this write, and every write acknowledged before it, would survive a loss
   * of power. Default: `false`: the write survives a crash of the process.
   */
  sync?: boolean | undefined
}

/** The details that a write fills in if this is its `receipt` option. Make one for each write. */
export interface WriteReceipt {
  /**
   * The sequence number of the write's last operation; a batch of n operations has the n
   * numbers that end there. Numbers begin at 1 and have 56 bits. A snapshot sees the write if
   * the snapshot's `sequence` is at least this. Set when the write resolves; absent until then,
   * and if the write fails. An empty batch is not a write, and sets no number.
   */
  sequence?: bigint | undefined
}

/** Additional options of `put`, `del` and `batch`. */
export interface ReceiptOptions extends WriteOptions {
  /**
   * Receives the write's sequence number.
   *
   * ```js
   * const receipt = {}
   * await db.put('a', '1', { receipt })
   * receipt.sequence // 1n
   * ```
   */
  receipt?: WriteReceipt | undefined
}

/** An operation of a batch that removes all keys in `[start, end)`; a missing bound means no limit on that side. */
export interface DeleteRangeOperation<K = any> {
  type: 'deleteRange'
  start?: K | null | undefined
  end?: K | null | undefined
  /** The encoding of the keys. Default: the database's or the sublevel's. */
  keyEncoding?: string | Transcoder.PartialEncoding<K> | undefined
  /** Act in this sublevel, not in the database itself; without a bound, in all of it. */
  sublevel?: AbstractSublevel<any, any, any, any> | undefined
}

/** An operation of a batch that removes all keys that begin with `prefix`, encoded; an empty one removes all. */
export interface DeletePrefixOperation<K = any> {
  type: 'deletePrefix'
  prefix: K
  keyEncoding?: string | Transcoder.PartialEncoding<K> | undefined
  sublevel?: AbstractSublevel<any, any, any, any> | undefined
}

/**
 * An operation of `db.batch(operations)`. The operations count in their order: a range delete does not remove what is
 * put after it. Listeners to `write` are told of range deletes too; `prewrite` hooks are not.
 */
export type BatchOperation<TDatabase, K, V> =
  AbstractBatchOperation<TDatabase, K, V> | DeleteRangeOperation<K> | DeletePrefixOperation<K>

/** Options of `deleteRange` and `deletePrefix`. */
export interface DeleteRangeOptions<K> extends KeyOptions<K>, SublevelOptions {}

/** Several writes that are made together, by `db.batch()`. It takes no range deletes: `db.batch(operations)` does. */
export interface ChainedBatch<TDatabase, KDefault, VDefault>
  extends AbstractChainedBatch<TDatabase, KDefault, VDefault> {
  write (): Promise<void>
  write (options: AbstractChainedBatchWriteOptions & ReceiptOptions): Promise<void>
}

/** A fixed point in the order of all writes, at which reads can be made; made by `db.snapshot()`. */
export interface Snapshot extends AbstractSnapshot {
  /** The sequence number of the last write that it sees, from 1, 56 bits; `0n` if none. Remains after close. */
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
   * About how many bytes of entries to read ahead at once, rounded up to a whole entry: an
   * integer >= 0. Default: 65,536. The buffers that an iterator yields share the memory of
   * their chunk, which stays allocated while one of them is in use.
   */
  highWaterMarkBytes?: number | undefined
}

/** Options of {@link AidbLevel.begin}. */
export interface BeginOptions {
  /**
   * Refuse writes: what the transaction reads is not kept in memory, and it never conflicts.
   * Default: `false`.
   */
  readOnly?: boolean | undefined
}

/** Options of {@link AidbLevel.transaction}. */
export interface TransactionOptions extends WriteOptions {
  /** How often to run the function at most: a whole number from 1, or `Infinity`. Default: 10. */
  attempts?: number | undefined
}

/** The keys of a call are in this sublevel, if there is one, and the encodings are the sublevel's. */
export interface SublevelOptions {
  /** A sublevel of the same database. */
  sublevel?: AbstractSublevel<any, any, any, any> | undefined
}

/** A call has no snapshot: it reads as of the beginning of its transaction. */
type WithoutSnapshot<TOptions> = Omit<TOptions, 'snapshot'> & SublevelOptions

/** A point within a transaction, made by {@link Transaction.savepoint}. */
export interface Savepoint {}

/**
 * Reads and writes that take place at once, or not at all; made by {@link AidbLevel.begin} or {@link
 * AidbLevel.transaction}.
 *
 * It reads the database as it was when it began, with its own writes over that. Nobody else sees its
 * writes before {@link commit}. The commit fails with `LEVEL_CONFLICT` if another commit has since
 * changed a key that the transaction has looked up, or made, changed or removed one in a range that
 * it has walked over: so transactions have the effect of running one after the other (they are
 * serializable), in the order of their commits. After a conflict nothing was written: run it again
 * from the beginning, or use {@link AidbLevel.transaction}, which does. Writes alone do not conflict
 * with each other.
 *
 * Its calls, and those of its iterators, run one after the other, in the order in which they are
 * made, whether you await each or not. Await all of them before the commit, to learn of their errors.
 *
 * End it with `commit` or {@link rollback}. When the garbage collector takes it, it is rolled back. It
 * may outlive its database. While it is open, the database keeps the entries that it sees; so one
 * that nobody has used for `transactionTimeout` is rolled back, and its calls then reject with
 * `LEVEL_CONFLICT`. It takes memory for its writes, and up to about 6 MiB for what it has read; when
 * it has read very much, changes of other keys may count as conflicts too.
 *
 * `prewrite` hooks run when a write is added; what they add is in the transaction. The `write` event
 * comes after the commit, one for all writes.
 *
 * Errors of all calls: `LEVEL_DATABASE_NOT_OPEN` if the database is closed or the transaction has
 * ended; the message says how. `LEVEL_OUT_OF_MEMORY`.
 *
 * @template KDefault The type of keys, unless overridden by an operation's encoding.
 * @template VDefault The type of values, likewise.
 */
export interface Transaction<TDatabase, KDefault = string, VDefault = string> {
  /**
   * The value under `key`, or `undefined`. Counts as read, unless the transaction has written the key
   * itself.
   *
   * Errors: as for `db.get`.
   */
  get (key: KDefault): Promise<VDefault | undefined>
  get<K = KDefault, V = VDefault> (
    key: K,
    options: WithoutSnapshot<AbstractGetOptions<K, V>>
  ): Promise<V | undefined>

  /** The values of many keys, in the order of the keys; otherwise like {@link get}. */
  getMany (keys: KDefault[]): Promise<Array<VDefault | undefined>>
  getMany<K = KDefault, V = VDefault> (
    keys: K[],
    options: WithoutSnapshot<AbstractGetManyOptions<K, V>>
  ): Promise<Array<V | undefined>>

  /** Whether `key` has a value; otherwise like {@link get}. */
  has (key: KDefault): Promise<boolean>
  has<K = KDefault> (key: K, options: WithoutSnapshot<AbstractHasOptions<K>>): Promise<boolean>

  /** Whether each of many keys has a value, in the order of the keys; otherwise like {@link get}. */
  hasMany (keys: KDefault[]): Promise<boolean[]>
  hasMany<K = KDefault> (
    keys: K[],
    options: WithoutSnapshot<AbstractHasManyOptions<K>>
  ): Promise<boolean[]>

  /**
   * Stores `value` under `key` when the transaction commits.
   *
   * Errors: as for `db.put`; `LEVEL_INVALID_ARGUMENT` if the transaction or its database is read-only.
   */
  put (key: KDefault, value: VDefault): Promise<void>
  put<K = KDefault, V = VDefault> (
    key: K,
    value: V,
    options: AbstractPutOptions<K, V> & SublevelOptions
  ): Promise<void>

  /** Removes `key` when the transaction commits. Errors: as for {@link put}. */
  del (key: KDefault): Promise<void>
  del<K = KDefault> (key: K, options: AbstractDelOptions<K> & SublevelOptions): Promise<void>

  /**
   * Removes all keys in `[start, end)` when the transaction commits: those that are there then, and
   * those that the transaction has written before. A missing bound means no limit on that side.
   *
   * Errors: as for {@link put}; `LEVEL_INVALID_ARGUMENT` if `end` is before `start`.
   */
  deleteRange (start?: KDefault | null, end?: KDefault | null): Promise<void>
  deleteRange<K = KDefault> (
    start: K | null | undefined,
    end: K | null | undefined,
    options: DeleteRangeOptions<K>
  ): Promise<void>

  /** Removes all keys that begin with `prefix`; otherwise like {@link deleteRange}. */
  deletePrefix (prefix: KDefault): Promise<void>
  deletePrefix<K = KDefault> (prefix: K, options: DeleteRangeOptions<K>): Promise<void>

  /** Adds several writes; after an error none of them is in the transaction. Errors: as for {@link put}. */
  batch (operations: Array<BatchOperation<TDatabase, KDefault, VDefault>>): Promise<void>
  batch<K = KDefault, V = VDefault> (
    operations: Array<BatchOperation<TDatabase, K, V>>,
    options: AbstractBatchOptions<K, V>
  ): Promise<void>

  /**
   * An iterator with the transaction's writes as they are now: it sees none that is made later. What
   * it reads counts as read, from where it begins to the last entry that it has read. It reads ahead,
   * and what it has read ahead counts too; but `next` reads one entry at first, and then more each
   * time. So a transaction that takes the first entry does not conflict with one that takes another.
   * `nextv`, and a `limit`, read as many as they say.
   *
   * It ends with the transaction. Close it, like every iterator.
   */
  iterator (): AbstractIterator<TDatabase, KDefault, VDefault>
  iterator<K = KDefault, V = VDefault> (
    options: WithoutSnapshot<AbstractIteratorOptions<K, V>> & WalkOptions
  ): AbstractIterator<TDatabase, K, V>

  /** Like {@link iterator}, but only keys. */
  keys (): AbstractKeyIterator<TDatabase, KDefault>
  keys<K = KDefault> (
    options: WithoutSnapshot<AbstractKeyIteratorOptions<K>> & WalkOptions
  ): AbstractKeyIterator<TDatabase, K>

  /** Like {@link iterator}, but only values. */
  values (): AbstractValueIterator<TDatabase, KDefault, VDefault>
  values<K = KDefault, V = VDefault> (
    options: WithoutSnapshot<AbstractValueIteratorOptions<K, V>> & WalkOptions
  ): AbstractValueIterator<TDatabase, K, V>

  /** A point to which {@link rollbackTo} takes the writes back. */
  savepoint (): Promise<Savepoint>

  /**
   * Takes back every write since `savepoint`, and forgets the savepoints after it; it can be used
   * again. What was read since then still counts as read.
   *
   * Errors: `LEVEL_INVALID_ARGUMENT` if it is of another transaction, or was forgotten.
   */
  rollbackTo (savepoint: Savepoint): Promise<void>

  /**
   * Makes the writes visible, all at once; they survive a crash of the process, and with `sync` a
   * loss of power. Ends the transaction. Resolves to the sequence number of its last operation, or of
   * the last write that it sees, if it has no writes: from 1, 56 bits; `0n` if there is none.
   *
   * Without writes it never conflicts. Errors: `LEVEL_CONFLICT` if what it has read was changed:
   * nothing was written; otherwise as for `db.batch`. Only after `LEVEL_OUT_OF_MEMORY` is it still
   * open.
   */
  commit (options?: WriteOptions | undefined): Promise<bigint>

  /**
   * Ends the transaction without writing anything. No error if it has ended, or the database is
   * closed. `await using` calls it too, if your Node has that.
   */
  rollback (): Promise<void>

  [Symbol.asyncDispose] (): Promise<void>
}

/** Options of the calls that are a transaction of one key. */
export interface ExchangeOptions<K, V> extends WriteOptions, SublevelOptions {
  /** The encoding of the key. Default: the database's or the sublevel's. */
  keyEncoding?: string | Transcoder.PartialEncoding<K> | undefined
  /** The encoding of the values. Default: likewise. */
  valueEncoding?: string | Transcoder.PartialEncoding<V> | undefined
}

/** What {@link AidbLevel.stats} reports: counters since opening, current sizes. Bytes unless a name says otherwise. */
export interface Stats {
  /** The sequence number of the last write that readers see. */
  sequence: number
  /** Bytes held by the active memtable and by those waiting for a flush. */
  memtable_bytes: number
  /** Sealed memtables waiting for a flush. */
  immutable_memtables: number
  /** Bytes of blocks in the cache. */
  block_cache_bytes: number
  /** Blocks found in the block cache. */
  block_cache_hits: number
  /** Blocks read from disk. */
  block_cache_misses: number
  /** Blocks evicted from the cache. */
  block_cache_evictions: number
  /** Tables open now. */
  open_tables: number
  /** Snapshots held; several with one sequence number count once. */
  snapshots: number
  /** Operations written. */
  operations_written: number
  /** Batches committed. */
  batches_written: number
  /** Bytes appended to logs. */
  wal_bytes: number
  /** Syncs of logs. */
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
  /** Disk space in bytes reserved for when the disk is full. */
  reserve_bytes: number
  /** Transactions that have begun and not ended. */
  transactions_open: number
  /**
   * Bytes of memory for the reads and writes of the open transactions, and for the keys that recent
   * commits changed.
   */
  transaction_bytes: number
  /** Transactions committed. */
  transactions_committed: number
  /** Commits of transactions that met a conflict. */
  transaction_conflicts: number
  /** Transactions rolled back because nobody used them for `transactionTimeout`. */
  transactions_timed_out: number
  /** Every level, from 0. */
  levels: LevelStats[]
  /** Tables that compactions skip, because one with them lost or changed entries, or met damage. They stay readable. */
  set_aside: SetAside[]
}

/** A table that compactions skip until the database is opened again. */
export interface SetAside {
  /** The number in the table's file name. */
  table: number
  /** Why: a sentence for a person, which begins with the kind of the error. */
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
  /** Called now and then with the bytes done and the total; if it throws, the verification rejects with that. */
  progress?: ((bytesDone: number, bytesTotal: number) => void) | undefined

  /** Ends the verification, which rejects with `LEVEL_ABORTED`. */
  signal?: AbortSignal | undefined
}

/** The result of {@link AidbLevel.verify}. */
export interface VerifyReport {
  /** Whether everything was checked and nothing is damaged. */
  is_ok: boolean
  /** Whether everything was checked. */
  is_complete: boolean
  /** Tables checked. */
  tables: number
  /** Entries in their undamaged blocks. */
  entries: number
  /** Logs checked. */
  logs: number
  /** Their undamaged records. */
  records: number
  /** Bytes of all files checked. */
  bytes: number
  /** How many damaged places there are. */
  damaged_places: number
  /** The first 1000 of them. */
  damage: Damage[]
}

/** One place on disk that is not as it was written, or that some way of reading reads wrongly. */
export interface Damage {
  /** The file; the directory of the database if the error is in reading all of it together. */
  file: string
  /** The offset in the file, in bytes, at which the damaged block or record begins. */
  offset: number
  /** What is wrong, in a sentence. */
  message: string
  /** `Internal` if the bytes are right but some way of reading does not find them: a bug in AiDb. */
  kind: 'Corruption' | 'Io' | 'Unsupported' | 'Internal'
}

/** What {@link AidbLevel.repair} read, wrote and lost. */
export interface RepairReport {
  /** Whether everything could be read and is as it should be. */
  is_ok: boolean
  /** Tables of which at least a part was read. */
  tables: number
  /** Entries read from them. */
  table_entries: number
  /** Logs of which at least a part was read. */
  logs: number
  /** Records read from them. */
  log_records: number
  /** Entries of the new database. */
  entries_written: number
  /** The last sequence number of the new database. */
  last_sequence: number
  /** How many places could not be read, plus how many tables have entries other than they should. */
  lost_places: number
  /** The first 1000 of them. */
  lost: Loss[]
}

/**
 * Bytes `offset` to `end` of a file that a repair could not read. Or a table that it read
 * completely, but whose entries are not those that the manifest or the table itself states; all
 * of them are kept. Unknown fields are `null`.
 */
export interface Loss {
  /** The file. */
  file: string
  /** The offset of the first byte that could not be read. */
  offset: number
  /** The end of those bytes, exclusive; 0, like `offset`, if the file is missing or all of it could be read. */
  end: number
  /** What is wrong, in a sentence. */
  message: string
  /** All lost keys are >= this key. */
  smallest_key: Buffer | null
  /** All lost keys are <= this key. */
  largest_key: Buffer | null
  /** Writes from this sequence number on may be lost. */
  first_sequence: number | null
  /** Writes up to this sequence number may be lost. */
  last_sequence: number | null
}

/**
 * An AiDb database with the API of `abstract-level`: an ordered map from byte strings to byte
 * strings in a directory.
 *
 * Keys have at most 16 MiB and values at most 4 GiB - 1, within Node's own limits for buffers
 * and strings; both may be empty. The package does its work on its own threads: only {@link
 * getSync} blocks the event loop.
 *
 * Errors have a `code`: one of abstract-level's, or `LEVEL_INVALID_ARGUMENT`, `LEVEL_IO_ERROR`, `LEVEL_CORRUPTION`,
 * `LEVEL_LOCKED`, `LEVEL_NO_SPACE`, `LEVEL_OUT_OF_MEMORY`, `LEVEL_CONFLICT`, `LEVEL_UNSUPPORTED` or `LEVEL_INTERNAL`;
 * and a `cause` if another error caused them. If opening fails, the error is
 * `LEVEL_DATABASE_NOT_OPEN` and its `cause` is the reason.
 *
 * @template KDefault The type of keys, unless overridden by an operation's encoding.
 * @template VDefault The type of values, likewise.
 */
export class AidbLevel<KDefault = string, VDefault = string>
  extends AbstractLevel<string | Buffer | Uint8Array, KDefault, VDefault> {
  /**
   * Makes a database object, which opens itself; operations wait until it is open.
   *
   * @param location Path of the database's directory. One process (or worker) opens it at a time.
   */
  constructor (location: string, options?: DatabaseOptions<KDefault, VDefault> | undefined)

  /**
   * Removes the database at `location`: its files, and the directory if nothing else is in it. A
   * missing or empty directory is not an error.
   *
   * Errors: `LEVEL_LOCKED` if it is open anywhere; `LEVEL_INVALID_ARGUMENT` if it is not a database; `LEVEL_IO_ERROR`.
   */
  static destroy (location: string): Promise<void>

  /**
   * Makes a new database at `into` from what can still be read of the damaged one at `location`,
   * which it does not change. `into` is a directory that is missing, empty, or an incomplete copy,
   * which is replaced. Resolves to a report of what was read, written and lost.
   *
   * Try to open the database first: after an ordinary crash nothing is damaged. A deleted key
   * can come back only if the table or log record with its tombstone is lost, or if the
   * manifest is lost and a crash had left behind a table that was already compacted. `options`:
   * how the new tables are built.
   *
   * Errors: `LEVEL_LOCKED` if it is open for writing; `LEVEL_INVALID_ARGUMENT` if `location`
   * contains no part of a database or `into` contains anything else; `LEVEL_CORRUPTION` if
   * `location` is an incomplete copy; `LEVEL_UNSUPPORTED` if a newer AiDb wrote it;
   * `LEVEL_IO_ERROR`, `LEVEL_NO_SPACE`.
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

  /** Like {@link get}, but on this thread: it blocks the event loop while it reads from disk. */
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

  batch (operations: Array<BatchOperation<typeof this, KDefault, VDefault>>): Promise<void>
  batch<K = KDefault, V = VDefault> (
    operations: Array<BatchOperation<typeof this, K, V>>,
    options: AbstractBatchOptions<K, V> & ReceiptOptions
  ): Promise<void>
  batch (): ChainedBatch<typeof this, KDefault, VDefault>

  snapshot (options?: any | undefined): Snapshot

  /**
   * Begins a transaction: reads and writes that take place at once, or not at all. It sees every
   * write that was awaited before this call. End it with `commit` or `rollback`; {@link transaction}
   * does both for you.
   *
   * Errors: `LEVEL_DATABASE_NOT_OPEN`, `LEVEL_OUT_OF_MEMORY`.
   */
  begin (options?: BeginOptions | undefined): Promise<Transaction<typeof this, KDefault, VDefault>>

  /**
   * Runs `work` in a transaction, commits it, and resolves to what `work` returned. After a
   * `LEVEL_CONFLICT` runs it again from the beginning, in a new transaction, up to `attempts` times in
   * all. If `work` throws anything else, rolls back and rejects with that.
   *
   * Pauses before each new attempt: a turn of the event loop at first, then twice as long each time,
   * at most 20 milliseconds. `work` may run several times, so it should do nothing that cannot be
   * repeated. Where many want the same entry, as fifty takers of one queue do, ten attempts may not
   * be enough.
   *
   * ```js
   * const job = await db.transaction(async (t) => {
   *   for await (const [key, value] of t.iterator({ gte: 'job/', lt: 'job0' })) {
   *     await t.del(key)
   *     return value
   *   }
   * })
   * ```
   *
   * Errors: `LEVEL_CONFLICT` after the last attempt, with the last error as its `cause`;
   * `LEVEL_INVALID_ARGUMENT` for a wrong `attempts`; those of `begin` and of `commit`.
   */
  transaction<TResult> (
    work: (transaction: Transaction<typeof this, KDefault, VDefault>) => TResult | Promise<TResult>,
    options?: TransactionOptions | undefined
  ): Promise<TResult>

  /**
   * If the value under `key` is `expected` (`undefined`: the key is absent), makes it `value`
   * (`undefined`: removes the key). Resolves to whether it was. Nobody can change the key in between.
   * Compares encoded values, byte by byte: with `json`, the order of an object's fields counts.
   *
   * Errors: as for `put` and `get`; never `LEVEL_CONFLICT`.
   */
  compareAndSet (key: KDefault, expected: VDefault | undefined, value: VDefault | undefined): Promise<boolean>
  compareAndSet<K = KDefault, V = VDefault> (
    key: K,
    expected: V | undefined,
    value: V | undefined,
    options: ExchangeOptions<K, V>
  ): Promise<boolean>

  /**
   * Stores `value` under `key` unless the key has a value; resolves to whether it did. Nobody can
   * change the key in between. Errors: as for {@link compareAndSet}.
   */
  putIfAbsent (key: KDefault, value: VDefault): Promise<boolean>
  putIfAbsent<K = KDefault, V = VDefault> (key: K, value: V, options: ExchangeOptions<K, V>): Promise<boolean>

  /**
   * Stores `value` under `key` and resolves to the value before, or `undefined`. Nobody can change
   * the key in between. Errors: as for {@link compareAndSet}; `LEVEL_DECODE_ERROR` if the value before
   * does not have the encoding.
   */
  getAndPut (key: KDefault, value: VDefault): Promise<VDefault | undefined>
  getAndPut<K = KDefault, V = VDefault> (
    key: K,
    value: V,
    options: ExchangeOptions<K, V>
  ): Promise<V | undefined>

  /**
   * Removes `key` and resolves to the value that it had; writes nothing if it had none. Nobody can
   * change the key in between. Errors: as for {@link getAndPut}.
   */
  getAndDelete (key: KDefault): Promise<VDefault | undefined>
  getAndDelete<K = KDefault, V = VDefault> (key: K, options: ExchangeOptions<K, V>): Promise<V | undefined>

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

  /**
   * Removes all keys in `[start, end)` with one small write, which takes no time for each key; a
   * missing bound means no limit on that side. Compactions free the space later. Removes nothing if
   * the two are equal. Writes that are made after this call stay, awaited or not.
   *
   * Errors: as for `put`; `LEVEL_INVALID_ARGUMENT` if `end` is before `start`.
   */
  deleteRange (start?: KDefault | null, end?: KDefault | null): Promise<void>
  deleteRange<K = KDefault> (
    start: K | null | undefined,
    end: K | null | undefined,
    options: DeleteRangeOptions<K> & ReceiptOptions
  ): Promise<void>

  /** Removes all keys that begin with `prefix`; an empty one removes all keys. Otherwise like {@link deleteRange}. */
  deletePrefix (prefix: KDefault): Promise<void>
  deletePrefix<K = KDefault> (prefix: K, options: DeleteRangeOptions<K> & ReceiptOptions): Promise<void>

  /** One range delete, also in a sublevel; with `limit` or `snapshot` it removes key by key. */
  clear (): Promise<void>
  clear<K = KDefault> (options: AbstractClearOptions<K> & WriteOptions): Promise<void>

  /**
   * About how many bytes the keys in `[start, end)` take in tables; a missing bound means no
   * limit on that side. Entries still in memory are not counted.
   *
   * Errors: `LEVEL_DATABASE_NOT_OPEN`, `LEVEL_IO_ERROR`, `LEVEL_CORRUPTION`.
   */
  approximateSize (start?: KDefault | null, end?: KDefault | null): Promise<number>
  approximateSize<K = KDefault> (start: K | null | undefined, end: K | null | undefined, options: KeyOptions<K>): Promise<number>

  /**
   * About how many entries have keys in `[start, end)`; a missing bound means no limit on that
   * side; 0 if `end` is not after `start`. Of now: snapshots do not count.
   *
   * It reads no data block: it adds up what tables and memtables state about themselves, and
   * subtracts one entry for each tombstone. A table that is partly in the range counts in
   * proportion to its bytes that are; in a memtable the entries in the range are counted. Exact
   * for everything if no key was overwritten or deleted. Otherwise each overwritten version that
   * is not compacted away makes it up to one too large, and each tombstone of an absent key one
   * too small; and a table that is partly in the range may be off by the entries of a data block
   * for each bound.
   *
   * Errors: `LEVEL_DATABASE_NOT_OPEN`, `LEVEL_IO_ERROR`, `LEVEL_CORRUPTION`.
   */
  approximateCount (start?: KDefault | null, end?: KDefault | null): Promise<number>
  approximateCount<K = KDefault> (start: K | null | undefined, end: K | null | undefined, options: KeyOptions<K>): Promise<number>

  /**
   * How many entries have keys in `[start, end)`, at one point in the order of writes; a missing
   * bound means no limit on that side; 0 if `end` is not after `start`.
   *
   * Exact: it walks all of them on a thread of its own, like an iterator without keys and values.
   * It copies no value, and those in memory are not touched; a block that is not in the cache is
   * read and checked as a whole, with the values in it. Closing the database waits for the count.
   *
   * Errors: `LEVEL_DATABASE_NOT_OPEN`, `LEVEL_IO_ERROR`, `LEVEL_CORRUPTION`;
   * `LEVEL_INVALID_ARGUMENT` for a snapshot of another database; `LEVEL_ABORTED` by its signal.
   */
  count (start?: KDefault | null, end?: KDefault | null): Promise<number>
  count<K = KDefault> (start: K | null | undefined, end: K | null | undefined, options: CountOptions<K>): Promise<number>

  /**
   * Compacts the keys in `[start, end)`: frees the space of deleted and overwritten entries
   * that no snapshot sees. A missing bound means no limit on that side. Resolves when the
   * result is durable.
   *
   * Errors: `LEVEL_DATABASE_NOT_OPEN`, `LEVEL_IO_ERROR`, `LEVEL_NO_SPACE`, `LEVEL_CORRUPTION`.
   */
  compactRange (start?: KDefault | undefined, end?: KDefault | undefined): Promise<void>
  compactRange<K = KDefault> (start: K | undefined, end: K | undefined, options: KeyOptions<K>): Promise<void>

  /**
   * Writes every write acknowledged so far to tables; resolves when they survive a loss of
   * power.
   *
   * Errors: `LEVEL_DATABASE_NOT_OPEN`, `LEVEL_IO_ERROR`, `LEVEL_NO_SPACE`; none of them loses an acknowledged write.
   */
  flush (): Promise<void>

  /**
   * Makes a consistent copy at `location`, a directory that is missing, empty, or an incomplete
   * copy, while reads and writes go on. The copy contains everything written before the call, is a
   * database of its own, and survives a power loss once this resolves. Its tables are hard links
   * where the file system allows that. After an error the call removes what it made. If a crash
   * interrupts it, the incomplete copy does not open; a new copy into the same directory replaces
   * it, and `destroy` removes it.
   *
   * Errors: `LEVEL_DATABASE_NOT_OPEN`, `LEVEL_INVALID_ARGUMENT` if `location` is a file or a directory with anything
   * else in it, `LEVEL_LOCKED`, `LEVEL_IO_ERROR`, `LEVEL_NO_SPACE`, `LEVEL_CORRUPTION`.
   */
  checkpoint (location: string): Promise<void>

  /**
   * Reads every file of the database from disk, bypassing the caches, and checks it, while
   * reads and writes go on. Then reads all entries at one point through the public read paths
   * and compares. Damage does not reject: the report lists it by file and offset. Closing the
   * database waits for the verification. Cost: reads every table seven times; about five of
   * these mostly come from the system's file cache.
   *
   * Errors: `LEVEL_DATABASE_NOT_OPEN`; `LEVEL_ABORTED` by its signal.
   */
  verify (options?: VerifyOptions | undefined): Promise<VerifyReport>

  /**
   * The report with a given name (the guide lists the names), or `undefined` if there is none.
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

/** Options of methods that take keys but return no entries. */
export interface KeyOptions<K> {
  /** The encoding of the keys. Default: the database's. */
  keyEncoding?: string | Transcoder.PartialEncoder<K> | undefined
}

/** Options of {@link AidbLevel.count}. */
export interface CountOptions<K> extends KeyOptions<K> {
  /** Count as of this snapshot. Default: as of the call. */
  snapshot?: AbstractSnapshot | undefined

  /** Keep blocks read from disk in the block cache. Default: `false`. */
  fillCache?: boolean | undefined

  /**
   * Called now and then with the entries counted and about how many there are, and at the end; if
   * it throws, the count rejects with that.
   */
  progress?: ((counted: number, approximateTotal: number) => void) | undefined

  /** Ends the count, which rejects with `LEVEL_ABORTED`. */
  signal?: AbortSignal | undefined
}
