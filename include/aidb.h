/*
 * AiDb's C API: an embedded, ordered key-value store.
 *
 * This file is generated from ffi/src; change it there.
 *
 * Conventions
 *
 * Names      aidb_<noun>_<verb>, and aidb_<verb> for the database itself. Options have the same names in every
 *            language; the guide lists them.
 * Handles    aidb_db, aidb_options, aidb_batch, aidb_snapshot, aidb_iterator, aidb_transaction, aidb_pinned and
 *            aidb_error are opaque. A handle is a number that the library looks up, never an address. A call
 *            answers AIDB_INVALID_ARGUMENT for NULL, for a handle of another type and for one that AiDb never
 *            gave out, and AIDB_CLOSED for one that was closed or freed. Handles may be freed in any order, on
 *            any thread, while calls are using them; freeing one twice, or NULL, does nothing. For a handle it
 *            refuses, a function that returns no status returns 0, NULL or what its description says.
 * Threads    any number of threads may share an aidb_db, aidb_snapshot, aidb_pinned or aidb_error. Only one
 *            thread at a time may use an aidb_iterator or aidb_transaction, even for reading. Several threads may
 *            read the same aidb_options or aidb_batch; a thread that changes one must be its only user. A thread
 *            that breaks these rules gets AIDB_INVALID_ARGUMENT.
 * Status     every function that can fail returns an aidb_status and takes `error` last. AIDB_NOT_FOUND means
 *            that a key is absent or an iterator is at its end; it is not an error. Every such function may
 *            return AIDB_OUT_OF_MEMORY; the descriptions do not repeat it.
 * Errors     `error` may be NULL. Otherwise every call sets *error: to NULL if it succeeds, to an object that
 *            says why if it fails. Release the object with aidb_error_free.
 * Outputs    are written only if the call returns AIDB_OK, unless their description says otherwise.
 * Bytes      are passed as a pointer and a length. Keys and values may contain any bytes and may be empty; the
 *            pointer may be NULL if the length is 0. The library copies its inputs, or no longer needs them
 *            when the call returns.
 * Buffers    that the library returns come from malloc; release them with aidb_free. Bytes that it lends stay
 *            valid for as long as their description says.
 * Structures whose first field is struct_size may get more fields in later versions: start from their _INIT
 *            macro, set fields by name, and pass NULL for the defaults. If a caller sets a field that an older
 *            library does not know, that library returns AIDB_UNSUPPORTED. The library fills aidb_operation
 *            itself. aidb_entry, the element of an array, never changes.
 * Panics     and exceptions never leave the library: a bug in AiDb is reported as AIDB_INTERNAL.
 * Cancelled  threads: pthread_cancel never ends a thread during a call, nor during a callback that a call
 *            makes. Every function that takes `error`, except aidb_close, is a cancellation point before it
 *            does anything. A thread that is cancelled during a call ends at its next cancellation point, in
 *            AiDb or elsewhere. This holds for deferred cancellation, the usual kind; a thread with
 *            PTHREAD_CANCEL_ASYNCHRONOUS must not call AiDb.
 * fork       in a child process, handles that the parent opened answer AIDB_CLOSED. The child may release them,
 *            which affects nothing of the parent's. It may open databases of its own, whatever the parent's
 *            threads were doing. It can use the parent's options and batches, except one that another thread
 *            was using at the fork: that one answers AIDB_CLOSED.
 *
 *     aidb_db *db = NULL;
 *     aidb_error *error = NULL;
 *     if (aidb_open("fruit.db", NULL, &db, &error) != AIDB_OK ||
 *         aidb_put(db, "apple", 5, "red", 3, NULL, &error) != AIDB_OK) {
 *         fprintf(stderr, "%s\n", aidb_error_message(error));
 *         aidb_error_free(error);
 *     }
 *     aidb_close(db, NULL);
 *
 * Link with -laidb; C++ programs may prefer aidb.hpp.
 */

#ifndef AIDB_H
#define AIDB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The version of this header; aidb_version() is the version of the library in use. */
#define AIDB_VERSION_MAJOR 0
#define AIDB_VERSION_MINOR 1
#define AIDB_VERSION_PATCH 0
#define AIDB_VERSION "0.1.0"

/* The defaults: aidb_write_options options = AIDB_WRITE_OPTIONS_INIT; */
#define AIDB_WRITE_OPTIONS_INIT { sizeof(aidb_write_options), 0, 0, NULL }
#define AIDB_READ_OPTIONS_INIT { sizeof(aidb_read_options), NULL, 1, 0 }
#define AIDB_COUNT_OPTIONS_INIT { sizeof(aidb_count_options), NULL, NULL, 0, 0, 0 }
#define AIDB_TRANSACTION_OPTIONS_INIT { sizeof(aidb_transaction_options), 0, 0 }
#define AIDB_ITER_OPTIONS_INIT \
  { sizeof(aidb_iter_options), NULL, NULL, 0, NULL, 0, NULL, 0, 0, 1, 1, 1 }


/**
 * The result of a call. The numbers never change; later versions may add new ones.
 */
enum aidb_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * The call did what was asked.
     */
    AIDB_OK = 0,
    /**
     * An argument, option or handle is wrong: fix the call.
     */
    AIDB_INVALID_ARGUMENT = 1,
    /**
     * The operating system refused a file operation: check the disk, then call again; reopening is not needed.
     */
    AIDB_IO = 2,
    /**
     * Bytes on disk are not what was written: restore a backup or repair.
     */
    AIDB_CORRUPTION = 3,
    /**
     * Another opener holds the database: close it there first.
     */
    AIDB_LOCKED = 4,
    /**
     * Another commit has changed what the transaction has read, or nobody has used it for too long: nothing was
     * written; run it again from the beginning.
     */
    AIDB_CONFLICT = 5,
    /**
     * The handle or its database has been closed: open it again.
     */
    AIDB_CLOSED = 6,
    /**
     * The database was written by a newer AiDb, or the call asks for something this build lacks: upgrade.
     */
    AIDB_UNSUPPORTED = 7,
    /**
     * A bug in AiDb: please report it.
     */
    AIDB_INTERNAL = 8,
    /**
     * The key is absent, or the iterator is past its end. This is not an error; no error object is made.
     */
    AIDB_NOT_FOUND = 9,
    /**
     * The disk or a quota is full: free some space and try again.
     */
    AIDB_NO_SPACE = 10,
    /**
     * There was not enough memory for this call: free some and call again; reopening is not needed.
     */
    AIDB_OUT_OF_MEMORY = 11,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum aidb_status aidb_status;
#else
typedef int32_t aidb_status;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * What an operation of a batch does. The numbers never change; later versions may add new ones.
 */
enum aidb_operation_kind
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * Removes `key`.
     */
    AIDB_OPERATION_DELETE = 0,
    /**
     * Stores `value` under `key`.
     */
    AIDB_OPERATION_PUT = 1,
    /**
     * Removes all keys from `key` on that are before `end`.
     */
    AIDB_OPERATION_DELETE_RANGE = 2,
};
#ifndef __cplusplus
#if __STDC_VERSION__ >= 202311L
typedef enum aidb_operation_kind aidb_operation_kind;
#else
typedef int32_t aidb_operation_kind;
#endif // __STDC_VERSION__ >= 202311L
#endif // __cplusplus

/**
 * Puts, deletes and range deletes that aidb_write applies together, in the order they were added; for one key the last
 * wins. One thread at a time may change it; several may write it.
 */
typedef struct aidb_batch aidb_batch;

/**
 * An open database: an ordered map from byte-string keys (up to 16 MiB) to byte-string values (up to
 * 4 GiB - 1). Either may be empty; keys sort bytewise. Any number of threads may share it. Close it with
 * aidb_close, on any thread, even while other threads are using it: their calls finish or return AIDB_CLOSED.
 */
typedef struct aidb_db aidb_db;

/**
 * Why a call failed: a code, a message for a person, and whether trying again may help. Any number of threads
 * may read it; release it with aidb_error_free.
 */
typedef struct aidb_error aidb_error;

/**
 * A position in the entries of a database as they were at one point in the order of writes. It is on an entry
 * or on none; a new iterator is before the first entry. One thread at a time may use it (a second thread gets
 * AIDB_INVALID_ARGUMENT); it may move between threads. Release it with aidb_iter_free, before or after its
 * database is closed.
 */
typedef struct aidb_iterator aidb_iterator;

/**
 * How to open a database. One thread at a time may change it. aidb_open copies it, so the caller may change,
 * reuse or free it afterwards.
 */
typedef struct aidb_options aidb_options;

/**
 * A value lent by the database. Its bytes stay where they are until it is freed, even after the database is
 * closed. Any number of threads may read it; release it with aidb_pinned_free.
 */
typedef struct aidb_pinned aidb_pinned;

/**
 * A fixed point in the order of all writes. A read at a snapshot sees exactly the writes acknowledged before
 * the snapshot was created, whatever happens afterwards. Any number of threads may share it; release it with
 * aidb_snapshot_release, on any thread, before or after its database is closed.
 */
typedef struct aidb_snapshot aidb_snapshot;

/**
 * Reads and writes that take place at once, or not at all. It reads the database as it was when it began, with
 * its own writes over that; nobody else sees its writes before aidb_transaction_commit. The commit returns
 * AIDB_CONFLICT if another commit has since changed a key that the transaction has looked up, or made, changed
 * or removed one in a range that its iterators have passed over. So transactions are serializable: their effect
 * is that of running one after the other, in the order of their commits. Writes alone do not conflict with each
 * other.
 *
 * One thread at a time may use it (a second thread gets AIDB_INVALID_ARGUMENT); it may move between threads.
 * After it has ended its calls return AIDB_CLOSED, and the message says how it ended. While it is open, the
 * database keeps the entries that it sees. So one that nobody has used for the option transaction_timeout is
 * rolled back, and its calls then return AIDB_CONFLICT. It takes memory for its writes, and up to about 6 MiB for
 * what it has read; when it has read very much, changes of other keys may count as conflicts too. Release it with
 * aidb_transaction_free, before or after its database is closed.
 */
typedef struct aidb_transaction aidb_transaction;

/**
 * How one write is made. Start from AIDB_WRITE_OPTIONS_INIT.
 */
typedef struct {
    /**
     * sizeof(aidb_write_options)
     */
    size_t struct_size;
    /**
     * 0 (the default): the write survives a crash of the process. Otherwise the call returns only when the
     * write, and every write acknowledged before it, would survive a power loss.
     */
    int32_t sync;
    /**
     * 0
     */
    int32_t reserved;
    /**
     * Where the call stores the write's sequence number, its place in the order of all writes. Set only with
     * AIDB_OK; NULL (the default) if it is not wanted. The number of a batch is that of its last operation: a
     * batch of n operations has the n numbers that end there. An empty batch takes no number; for it the call
     * stores the newest number that readers see. Numbers begin at 1 and have 56 bits. A snapshot sees the
     * write if aidb_snapshot_sequence is at least this number. Threads that write at the same time need a
     * structure each if they set this.
     */
    uint64_t *sequence_out;
} aidb_write_options;

/**
 * How one read is made. Start from AIDB_READ_OPTIONS_INIT.
 */
typedef struct {
    /**
     * sizeof(aidb_read_options)
     */
    size_t struct_size;
    /**
     * Read the database as this snapshot sees it; NULL (the default) as it is now.
     */
    const aidb_snapshot *snapshot;
    /**
     * Keep blocks read from disk in the block cache; 1 by default.
     */
    int32_t fill_cache;
    /**
     * 0
     */
    int32_t reserved;
} aidb_read_options;

/**
 * aidb_verify calls this about once per MiB, with its progress in bytes; aidb_count after many entries, with its
 * progress in entries. It is called on the thread that made the call. Return 0 to continue, anything else to stop.
 * The callback may use the database, and close it.
 */
typedef int32_t (*aidb_progress_callback)(void *context, uint64_t done, uint64_t total);

/**
 * Which entries aidb_count counts, besides the range of keys. Start from AIDB_COUNT_OPTIONS_INIT.
 */
typedef struct {
    /**
     * sizeof(aidb_count_options)
     */
    size_t struct_size;
    /**
     * Count in the database as this snapshot sees it; NULL (the default) as it is now.
     */
    const aidb_snapshot *snapshot;
    /**
     * Count only keys that start with these bytes; NULL (the default) for all.
     */
    const void *prefix;
    /**
     * Its length.
     */
    size_t prefix_len;
    /**
     * Keep blocks read from disk in the block cache; 0 by default.
     */
    int32_t fill_cache;
    /**
     * 0
     */
    int32_t reserved;
} aidb_count_options;

/**
 * One operation of a batch, which aidb_batch_operations passes to its callback. What the operation does not have is
 * NULL or 0.
 */
typedef struct {
    /**
     * The size of this structure in the library in use. A program that was built with a newer header must not read
     * fields beyond it.
     */
    size_t struct_size;
    /**
     * What the operation does. A program that meets a kind that it does not know must not take it for another.
     */
    aidb_operation_kind kind;
    /**
     * 0
     */
    int32_t reserved;
    /**
     * The key; of a range delete the first key that it removes, empty if the range has no start.
     */
    const char *key;
    /**
     * Its length.
     */
    size_t key_len;
    /**
     * The value of a put, not NULL.
     */
    const char *value;
    /**
     * Its length.
     */
    size_t value_len;
    /**
     * The end of a range delete, the first key after the range; NULL: it has none.
     */
    const char *end;
    /**
     * Its length.
     */
    size_t end_len;
} aidb_operation;

/**
 * The callback of aidb_batch_operations. Return 0 to continue, anything else to stop. It must return normally: no
 * longjmp, no exception.
 */
typedef int32_t (*aidb_operation_callback)(void *context, const aidb_operation *operation);

/**
 * The callback of aidb_batch_iterate for a put. It must return normally: no longjmp, no exception.
 */
typedef void (*aidb_batch_put_callback)(void *context,
                                        const char *key,
                                        size_t key_len,
                                        const char *value,
                                        size_t value_len);

/**
 * The callback of aidb_batch_iterate for a delete. It must return normally: no longjmp, no exception.
 */
typedef void (*aidb_batch_delete_callback)(void *context, const char *key, size_t key_len);

/**
 * Which entries an iterator visits, and how. Start from AIDB_ITER_OPTIONS_INIT. If there are a prefix and
 * bounds, an entry must satisfy all of them. The bytes are copied.
 */
typedef struct {
    /**
     * sizeof(aidb_iter_options)
     */
    size_t struct_size;
    /**
     * Show the database as this snapshot sees it; NULL (the default) as it is when the iterator is created.
     */
    const aidb_snapshot *snapshot;
    /**
     * The smallest key to show; NULL for no bound.
     */
    const void *lower_bound;
    /**
     * Its length.
     */
    size_t lower_bound_len;
    /**
     * The upper bound, which is not shown: all shown keys are smaller; NULL for no bound.
     */
    const void *upper_bound;
    /**
     * Its length.
     */
    size_t upper_bound_len;
    /**
     * Show only keys that start with these bytes; NULL for all.
     */
    const void *prefix;
    /**
     * Its length.
     */
    size_t prefix_len;
    /**
     * Not 0: go from the largest key down, so that `first` is the largest key and `next` a smaller one.
     */
    int32_t reverse;
    /**
     * Show keys; 1 by default. Without them keys are empty.
     */
    int32_t keys;
    /**
     * Show values; 1 by default. Without them values are empty.
     */
    int32_t values;
    /**
     * Keep blocks read from disk in the block cache; 1 by default.
     */
    int32_t fill_cache;
} aidb_iter_options;

/**
 * Where aidb_iter_next_many put an entry in the caller's buffer. Callers have arrays of this structure, so it
 * never changes.
 */
typedef struct {
    /**
     * Offset of the key in the buffer.
     */
    size_t key_offset;
    /**
     * Its length in bytes.
     */
    size_t key_len;
    /**
     * Offset of the value in the buffer.
     */
    size_t value_offset;
    /**
     * Its length in bytes.
     */
    size_t value_len;
} aidb_entry;

/**
 * How a transaction is made. Start from AIDB_TRANSACTION_OPTIONS_INIT.
 */
typedef struct {
    /**
     * sizeof(aidb_transaction_options)
     */
    size_t struct_size;
    /**
     * Not 0: refuse writes. What the transaction reads is then not kept in memory, and it never conflicts. 0 by
     * default.
     */
    int32_t read_only;
    /**
     * 0
     */
    int32_t reserved;
} aidb_transaction_options;

/**
 * The callback of aidb_run_transaction. It does its work in `transaction` and returns an aidb_status: AIDB_OK to
 * commit the transaction, any other to roll it back. It may be called several times, each time with a new transaction
 * that sees newer entries, so it must have no effects besides. The transaction belongs to the caller of the callback,
 * which ends it: the callback must not commit or free it. `error` is a place that the callback may pass to the calls
 * it makes; if it then returns that call's status, the caller of aidb_run_transaction gets that error. The callback
 * must return normally: no longjmp, no exception.
 */
typedef int32_t (*aidb_transaction_callback)(void *context,
                                             aidb_transaction *transaction,
                                             aidb_error **error);

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The name of a status, for messages: "AIDB_NOT_FOUND". Static text; "unknown status" for any other number.
 */
const char *aidb_status_name(int32_t status);

/**
 * The status that the failed call returned; AIDB_OK for NULL, AIDB_CLOSED for an error that was freed.
 */
aidb_status aidb_error_code(const aidb_error *error);

/**
 * What went wrong, in a sentence that names the file, option or argument. Never NULL; valid until the error is
 * freed. "no error" for NULL.
 */
const char *aidb_error_message(const aidb_error *error);

/**
 * Whether the same call may succeed later without any change to it.
 */
bool aidb_error_is_retryable(const aidb_error *error);

/**
 * Releases an error; NULL and an error that was freed before are ignored.
 */
void aidb_error_free(aidb_error *error);

/**
 * The version of the library in use, "0.1.0"; AIDB_VERSION is the version of the header.
 */
const char *aidb_version(void);

/**
 * Makes the default options; release them with aidb_options_free. NULL only if 16 million handles are open or
 * memory is exhausted.
 */
aidb_options *aidb_options_new(void);

/**
 * Releases options; NULL and options that were freed before are ignored.
 */
void aidb_options_free(aidb_options *options);

/**
 * Sets an option from text.
 *
 * @param name   for example "block_cache_size"; aidb_options_name lists them all
 * @param value  "true" or "false"; a number; a size such as "64MiB" or "4096"; a codec's name; for
 *               lock_timeout milliseconds; for info_log "none", "stderr" or a path
 * @return AIDB_OK, or AIDB_INVALID_ARGUMENT for an unknown name (the message lists similar ones) or a value
 *         out of its range (the message gives the range); the options are then unchanged
 */
aidb_status aidb_options_set(aidb_options *options,
                             const char *name,
                             const char *value,
                             aidb_error **error);

/**
 * Sets an option that is a number, a size in bytes or a time in milliseconds.
 *
 * @return AIDB_OK, or AIDB_INVALID_ARGUMENT as for aidb_options_set, also for an option that is not a number
 */
aidb_status aidb_options_set_number(aidb_options *options,
                                    const char *name,
                                    uint64_t value,
                                    aidb_error **error);

/**
 * Sets an option that is a flag.
 *
 * @param value  0 is false, anything else true
 * @return AIDB_OK, or AIDB_INVALID_ARGUMENT as for aidb_options_set, also for an option that is not a flag
 */
aidb_status aidb_options_set_flag(aidb_options *options,
                                  const char *name,
                                  int32_t value,
                                  aidb_error **error);

/**
 * The value of an option as text, in the form that aidb_options_set accepts.
 *
 * @param value_out  a zero-terminated string; release it with aidb_free
 * @return AIDB_OK, or AIDB_INVALID_ARGUMENT for an unknown name
 */
aidb_status aidb_options_get(const aidb_options *options,
                             const char *name,
                             char **value_out,
                             aidb_error **error);

/**
 * The name of option number `index`, counting from 0; NULL after the last option. Static text.
 */
const char *aidb_options_name(size_t index);

/**
 * Opens the database in a directory and recovers the writes that are only in its logs. By default, if the
 * directory is missing or empty, creates a new database there.
 *
 * @param path     a zero-terminated path
 * @param options  NULL for the defaults; copied
 * @param db_out   close it with aidb_close
 * @return AIDB_OK; AIDB_LOCKED if another process, or this one, has it open; AIDB_INVALID_ARGUMENT,
 *         AIDB_CORRUPTION, AIDB_UNSUPPORTED, AIDB_IO or AIDB_NO_SPACE
 */
aidb_status aidb_open(const char *path,
                      const aidb_options *options,
                      aidb_db **db_out,
                      aidb_error **error);

/**
 * Flushes, stops the background threads and unlocks the directory. The handle ends in any case. Iterators and
 * snapshots of the database then return AIDB_CLOSED; the caller must still free them.
 *
 * The library frees memory and descriptors before this returns, even if iterators or snapshots still exist. A
 * call under way on another thread keeps what it is using until it returns AIDB_CLOSED. Lent bytes stay valid:
 * values from aidb_get_pinned until they are freed, the key and value of an iterator until it moves or is
 * freed.
 *
 * When this returns AIDB_OK, every acknowledged write survives a power loss.
 *
 * @return AIDB_OK; AIDB_CLOSED if it was closed before; AIDB_IO or AIDB_NO_SPACE if the flush failed: the
 *         database is closed all the same, and no acknowledged write is lost
 */
aidb_status aidb_close(aidb_db *db,
                       aidb_error **error);

/**
 * Removes the database in a directory: its files, and the directory if nothing else is in it. The removal is
 * durable when this returns. The call changes nothing unless the directory contains a file that only AiDb
 * writes. A missing or empty directory is not an error.
 *
 * @return AIDB_OK; AIDB_LOCKED if it is open anywhere; AIDB_INVALID_ARGUMENT if the directory is not AiDb's
 *         (the message names the engine it belongs to, if it is a known one); AIDB_UNSUPPORTED for a path with
 *         a scheme; AIDB_IO
 */
aidb_status aidb_destroy(const char *path,
                         const aidb_options *options,
                         aidb_error **error);

/**
 * Stores a value under a key, replacing any earlier value.
 *
 * @param key, value  copied; NULL only with a length of 0
 * @param options     NULL for the defaults
 * @return AIDB_OK, AIDB_INVALID_ARGUMENT, AIDB_CLOSED; AIDB_IO or AIDB_NO_SPACE if the log cannot be written:
 *         the write may or may not be there after a crash
 */
aidb_status aidb_put(const aidb_db *db,
                     const void *key,
                     size_t key_len,
                     const void *value,
                     size_t value_len,
                     const aidb_write_options *options,
                     aidb_error **error);

/**
 * Removes a key; removing an absent key is not an error. Returns the same as aidb_put.
 */
aidb_status aidb_delete(const aidb_db *db,
                        const void *key,
                        size_t key_len,
                        const aidb_write_options *options,
                        aidb_error **error);

/**
 * Removes all keys in [start, end), in one small write: it takes no time for each key. Compactions free the space
 * later.
 *
 * @param start, end  NULL means no bound; copied
 * @param options     NULL for the defaults. If `start` and `end` are equal, nothing is written, as for an empty batch
 * @return the same as aidb_put; AIDB_INVALID_ARGUMENT also if `end` is before `start`
 */
aidb_status aidb_delete_range(const aidb_db *db,
                              const void *start,
                              size_t start_len,
                              const void *end,
                              size_t end_len,
                              const aidb_write_options *options,
                              aidb_error **error);

/**
 * Removes all keys that start with `prefix`, in the same way as aidb_delete_range; an empty one removes all keys.
 * Returns the same as aidb_put.
 */
aidb_status aidb_delete_prefix(const aidb_db *db,
                               const void *prefix,
                               size_t prefix_len,
                               const aidb_write_options *options,
                               aidb_error **error);

/**
 * Applies a batch: all of its operations or none, even if there is a crash. The batch does not change; it may
 * be written again, cleared or freed. Returns the same as aidb_put.
 */
aidb_status aidb_write(const aidb_db *db,
                       const aidb_batch *batch,
                       const aidb_write_options *options,
                       aidb_error **error);

/**
 * Reads the value stored under a key into a new buffer.
 *
 * @param options        NULL for the defaults
 * @param value_out      release it with aidb_free; a zero byte follows the value; an empty value is not NULL
 * @param value_len_out  the length of the value in bytes
 * @return AIDB_OK, AIDB_NOT_FOUND, AIDB_INVALID_ARGUMENT, AIDB_CLOSED, AIDB_IO or AIDB_CORRUPTION
 */
aidb_status aidb_get(const aidb_db *db,
                     const void *key,
                     size_t key_len,
                     const aidb_read_options *options,
                     char **value_out,
                     size_t *value_len_out,
                     aidb_error **error);

/**
 * Reads the value stored under a key without copying it: a large value is lent from the block cache. For
 * values of a few hundred bytes aidb_get is as fast.
 *
 * @param options     NULL for the defaults
 * @param pinned_out  release it with aidb_pinned_free
 * @return the same as aidb_get
 */
aidb_status aidb_get_pinned(const aidb_db *db,
                            const void *key,
                            size_t key_len,
                            const aidb_read_options *options,
                            aidb_pinned **pinned_out,
                            aidb_error **error);

/**
 * Whether a key has a value: AIDB_OK if it has, AIDB_NOT_FOUND if not; otherwise the same as aidb_get.
 *
 * @param options  NULL for the defaults
 */
aidb_status aidb_contains(const aidb_db *db,
                          const void *key,
                          size_t key_len,
                          const aidb_read_options *options,
                          aidb_error **error);

/**
 * Reads the values of many keys, all at one point in the order of writes; cheaper than a call of aidb_get for
 * each.
 *
 * @param count           the number of keys, and of places in the arrays
 * @param keys, key_lens  `count` keys and their lengths
 * @param options         NULL for the defaults
 * @param values_out      `count` places: where each value lies in the buffer; NULL for an absent key
 * @param value_lens_out  `count` places: the length of each value; 0 for an absent key
 * @param buffer_out      holds all values; one aidb_free releases it and them
 * @return AIDB_OK, AIDB_INVALID_ARGUMENT, AIDB_CLOSED, AIDB_IO or AIDB_CORRUPTION; if one key fails, the call
 *         fails
 */
aidb_status aidb_get_many(const aidb_db *db,
                          size_t count,
                          const void *const *keys,
                          const size_t *key_lens,
                          const aidb_read_options *options,
                          const char **values_out,
                          size_t *value_lens_out,
                          char **buffer_out,
                          aidb_error **error);

/**
 * Writes every write acknowledged so far to tables. When this returns, they survive a power loss.
 *
 * @return AIDB_OK, AIDB_CLOSED, AIDB_IO or AIDB_NO_SPACE; a failed flush loses no acknowledged write
 */
aidb_status aidb_flush(const aidb_db *db,
                       aidb_error **error);

/**
 * Compacts the keys in [start, end): frees the space of deleted and overwritten entries that no snapshot sees.
 * The result is durable when this returns.
 *
 * @param start, end  NULL means no bound
 * @return the same as aidb_flush, or AIDB_INVALID_ARGUMENT
 */
aidb_status aidb_compact_range(const aidb_db *db,
                               const void *start,
                               size_t start_len,
                               const void *end,
                               size_t end_len,
                               aidb_error **error);

/**
 * About how many bytes the keys in [start, end) take in tables; entries still in memory are not counted.
 *
 * @param start, end  NULL means no bound
 * @return AIDB_OK, AIDB_INVALID_ARGUMENT, AIDB_CLOSED, AIDB_IO or AIDB_CORRUPTION
 */
aidb_status aidb_approximate_size(const aidb_db *db,
                                  const void *start,
                                  size_t start_len,
                                  const void *end,
                                  size_t end_len,
                                  uint64_t *size_out,
                                  aidb_error **error);

/**
 * The report with a given name; the guide lists the names.
 *
 * @param text_out  a zero-terminated string; release it with aidb_free
 * @return AIDB_OK, AIDB_NOT_FOUND for an unknown name, AIDB_INVALID_ARGUMENT or AIDB_CLOSED
 */
aidb_status aidb_property(const aidb_db *db, const char *name, char **text_out, aidb_error **error);

/**
 * Counters since the database was opened and current sizes, as a JSON object.
 *
 * @param json_out  a zero-terminated string; release it with aidb_free
 * @return AIDB_OK, AIDB_INVALID_ARGUMENT or AIDB_CLOSED
 */
aidb_status aidb_stats_json(const aidb_db *db, char **json_out, aidb_error **error);

/**
 * The directory of the database.
 *
 * @param path_out  a zero-terminated string; release it with aidb_free
 * @return AIDB_OK, AIDB_INVALID_ARGUMENT or AIDB_CLOSED
 */
aidb_status aidb_path(const aidb_db *db, char **path_out, aidb_error **error);

/**
 * Whether the database has been closed; also true for a handle that is not a database.
 */
bool aidb_is_closed(const aidb_db *db);

/**
 * Makes a consistent copy in another directory, which must be missing, empty, or an incomplete copy, while reads
 * and writes go on. The copy contains every write acknowledged before the call, is a database of its own, and is
 * durable when this returns. Its tables are hard links where the file system allows that. After an error the call
 * removes what it made. If a crash interrupts it, the incomplete copy does not open, and the error says so; a new
 * copy into the same directory replaces it, and aidb_destroy removes it.
 *
 * @param path  the directory of the copy
 * @return AIDB_OK; AIDB_INVALID_ARGUMENT if `path` is a file or a directory with anything else in it; AIDB_LOCKED,
 *         AIDB_CLOSED, AIDB_IO, AIDB_NO_SPACE or AIDB_CORRUPTION; AIDB_UNSUPPORTED for a path with a scheme
 */
aidb_status aidb_checkpoint(const aidb_db *db,
                            const char *path,
                            aidb_error **error);

/**
 * Reads every file of the database from disk, bypassing the caches, and checks it, while reads and writes go
 * on. Then reads all entries at one point through the public read paths and compares. Damage is not an error:
 * the report lists it by file and offset. Cost: reads every table seven times; about five of these mostly come
 * from the system's file cache.
 *
 * @param progress    called with the progress; may be NULL
 * @param context     passed to `progress`
 * @param is_ok_out   true if everything was checked and nothing is damaged; may be NULL
 * @param report_out  a JSON object: is_ok, is_complete, tables, entries, logs, records, bytes, damaged_places, and
 *                    damage, an array of {file, offset, message, kind}. The kind is "Corruption", "Io",
 *                    "Unsupported", or "Internal" if the bytes are right but some way of reading does not find
 *                    them, which is a bug in AiDb. Release it with aidb_free; may be NULL
 * @return AIDB_OK, damaged or not; AIDB_INVALID_ARGUMENT; AIDB_CLOSED, also if the database is closed during
 *         the call
 */
aidb_status aidb_verify(const aidb_db *db,
                        aidb_progress_callback progress,
                        void *context,
                        bool *is_ok_out,
                        char **report_out,
                        aidb_error **error);

/**
 * Makes a new database from what can still be read of a damaged one, which it does not change. It reads tables
 * block by block and logs record by record, with or without the manifest. Try to open the database first:
 * after an ordinary crash nothing is damaged. If a table can be read completely but its entries are not those
 * that the manifest or the table itself states, all its entries are kept and the report lists it with offset
 * and end 0. A deleted key can come back only if the table or log record with its tombstone is lost, or if the
 * manifest is lost and a crash had left behind a table that was already compacted.
 *
 * @param path        the damaged database, closed
 * @param into        the directory of the new one: missing, empty, or an incomplete copy, which is replaced
 * @param options     how new tables are built; NULL for the defaults
 * @param is_ok_out   true if everything could be read and is as it should be; may be NULL
 * @param report_out  a JSON object: is_ok, tables, table_entries, logs, log_records, entries_written,
 *                    last_sequence, lost_places, and lost, an array of {file, offset, end, message, smallest_key,
 *                    largest_key, first_sequence, last_sequence}, keys in hexadecimal, null where unknown;
 *                    release it with aidb_free; may be NULL
 * @return AIDB_OK, whatever was lost; AIDB_LOCKED if the database is open for writing; AIDB_INVALID_ARGUMENT
 *         if `path` contains no part of a database or `into` contains anything else; AIDB_CORRUPTION if `path` is an
 *         incomplete copy; AIDB_UNSUPPORTED if a newer AiDb wrote it or a path has a scheme; AIDB_IO or
 *         AIDB_NO_SPACE if writing fails; AIDB_INTERNAL if the entries written are not those that were read.
 *         After AIDB_IO, AIDB_NO_SPACE and AIDB_INTERNAL `into` is empty
 */
aidb_status aidb_repair(const char *path,
                        const char *into,
                        const aidb_options *options,
                        bool *is_ok_out,
                        char **report_out,
                        aidb_error **error);

/**
 * About how many entries have keys in [start, end); 0 if `end` is not after `start`. Of now: snapshots do not
 * count. It reads no data block: it adds up what tables and memtables state about themselves, and subtracts one
 * entry for each tombstone. A table that is partly in the range counts in proportion to its bytes that are; in a
 * memtable the entries in the range are counted. Exact for everything if no key was overwritten or deleted.
 * Otherwise each overwritten version that is not compacted away makes it up to one too large, and each tombstone
 * of an absent key one too small; and a table that is partly in the range may be off by the entries of a data
 * block for each bound. Cost: microseconds, plus a few for every thousand entries of memtables in the range.
 *
 * @param start, end  NULL means no bound; they may have any length
 * @return AIDB_OK, AIDB_INVALID_ARGUMENT, AIDB_CLOSED, AIDB_IO or AIDB_CORRUPTION
 */
aidb_status aidb_approximate_count(const aidb_db *db,
                                   const void *start,
                                   size_t start_len,
                                   const void *end,
                                   size_t end_len,
                                   uint64_t *count_out,
                                   aidb_error **error);

/**
 * How many entries have keys in [start, end), at one point in the order of writes; 0 if `end` is not after
 * `start`. Exact: it walks all of them, like an iterator without keys and values. It copies no value, and those in
 * memory are not touched; a block that is not in the cache is read and checked as a whole, with the values in it.
 * If `progress` ends it, the result is what was counted so far.
 *
 * @param start, end  NULL means no bound; they may have any length
 * @param options     NULL for the defaults
 * @param progress    called with the entries counted and about how many there are, after about every 65,536
 *                    entries, earlier if they are large, and at the end; may be NULL
 * @param context     passed to `progress`
 * @return AIDB_OK; AIDB_INVALID_ARGUMENT, also for a snapshot of another database; AIDB_CLOSED, also if the
 *         database is closed during the call; AIDB_IO or AIDB_CORRUPTION
 */
aidb_status aidb_count(const aidb_db *db,
                       const void *start,
                       size_t start_len,
                       const void *end,
                       size_t end_len,
                       const aidb_count_options *options,
                       aidb_progress_callback progress,
                       void *context,
                       uint64_t *count_out,
                       aidb_error **error);

/**
 * The bytes of the value; aidb_pinned_len is their number; not zero-terminated. Valid until the value is
 * freed. NULL for a handle that is not a live value.
 */
const char *aidb_pinned_data(const aidb_pinned *pinned);

/**
 * The number of bytes of the value; 0 for a handle that is not a live value.
 */
size_t aidb_pinned_len(const aidb_pinned *pinned);

/**
 * Releases a value; NULL and a value that was freed before are ignored.
 */
void aidb_pinned_free(aidb_pinned *pinned);

/**
 * Makes an empty batch; release it with aidb_batch_free. NULL only if 16 million handles are open or memory is
 * exhausted.
 */
aidb_batch *aidb_batch_new(void);

/**
 * Releases a batch; NULL and a batch that was freed before are ignored.
 */
void aidb_batch_free(aidb_batch *batch);

/**
 * Adds a put.
 *
 * @param key, value  copied; NULL only with a length of 0
 * @return AIDB_OK; AIDB_INVALID_ARGUMENT, also if the batch would exceed 4 GiB; AIDB_CLOSED. After an error
 *         the batch is unchanged
 */
aidb_status aidb_batch_put(aidb_batch *batch,
                           const void *key,
                           size_t key_len,
                           const void *value,
                           size_t value_len,
                           aidb_error **error);

/**
 * Adds a delete; deleting an absent key is not an error. Returns the same as aidb_batch_put.
 */
aidb_status aidb_batch_delete(aidb_batch *batch,
                              const void *key,
                              size_t key_len,
                              aidb_error **error);

/**
 * Adds a delete of all keys in [start, end). For one key the last operation wins: the delete has no effect on what
 * is put after it.
 *
 * @param start, end  NULL means no bound; copied. If they are equal, nothing is added
 * @return the same as aidb_batch_put; AIDB_INVALID_ARGUMENT also if `end` is before `start`
 */
aidb_status aidb_batch_delete_range(aidb_batch *batch,
                                    const void *start,
                                    size_t start_len,
                                    const void *end,
                                    size_t end_len,
                                    aidb_error **error);

/**
 * Adds a delete of all keys that start with `prefix`, in the same way as aidb_batch_delete_range; an empty one
 * deletes all keys. Returns the same as aidb_batch_put.
 */
aidb_status aidb_batch_delete_prefix(aidb_batch *batch,
                                     const void *prefix,
                                     size_t prefix_len,
                                     aidb_error **error);

/**
 * Adds all operations of another batch after those of this one. Returns the same as aidb_batch_put.
 *
 * @param other  is not changed; may be the same batch
 */
aidb_status aidb_batch_append(aidb_batch *batch, const aidb_batch *other, aidb_error **error);

/**
 * Removes all operations; keeps the memory for later ones.
 *
 * @return AIDB_OK, AIDB_INVALID_ARGUMENT or AIDB_CLOSED
 */
aidb_status aidb_batch_clear(aidb_batch *batch, aidb_error **error);

/**
 * The number of operations; 0 for a handle that is not a live batch.
 */
size_t aidb_batch_count(const aidb_batch *batch);

/**
 * The bytes that the batch takes in the log; in memory it takes 24 more for each operation except the first. 0 for a
 * handle that is not a live batch.
 */
size_t aidb_batch_byte_size(const aidb_batch *batch);

/**
 * Calls a callback for each operation, in order, until it returns anything but 0. The operation and its bytes are
 * valid until the callback returns. It may call any function of this library, but it cannot change the batch that is
 * walked.
 *
 * @param context       passed to the callback unchanged
 * @param on_operation  must not be NULL
 * @return AIDB_OK, also if the callback stopped; AIDB_INVALID_ARGUMENT, AIDB_UNSUPPORTED or AIDB_CLOSED
 */
aidb_status aidb_batch_operations(const aidb_batch *batch,
                                  void *context,
                                  aidb_operation_callback on_operation,
                                  aidb_error **error);

/**
 * aidb_batch_operations with a callback for puts and one for deletes. A batch with an operation of another kind is
 * refused before any callback, because nothing could tell of it.
 *
 * @param context        passed to the callbacks unchanged
 * @param on_put         NULL skips puts
 * @param on_delete      NULL skips deletes
 * @return AIDB_OK, AIDB_INVALID_ARGUMENT, AIDB_UNSUPPORTED or AIDB_CLOSED
 */
aidb_status aidb_batch_iterate(const aidb_batch *batch,
                               void *context,
                               aidb_batch_put_callback on_put,
                               aidb_batch_delete_callback on_delete,
                               aidb_error **error);

/**
 * Creates a snapshot of the current point in the order of all writes. Until it is released, the old values it
 * can see take space on disk.
 *
 * @return AIDB_OK, AIDB_INVALID_ARGUMENT or AIDB_CLOSED
 */
aidb_status aidb_snapshot_create(const aidb_db *db,
                                 aidb_snapshot **snapshot_out,
                                 aidb_error **error);

/**
 * The sequence number of the last write that the snapshot sees; 0 for a handle that is not a live snapshot.
 */
uint64_t aidb_snapshot_sequence(const aidb_snapshot *snapshot);

/**
 * Releases a snapshot; NULL and a snapshot that was released before are ignored. Iterators created with it
 * still see the same entries.
 */
void aidb_snapshot_release(aidb_snapshot *snapshot);

/**
 * Creates an iterator, positioned before the first entry.
 *
 * @param options       NULL for the defaults: every entry, in key order; copied
 * @param iterator_out  release it with aidb_iter_free
 * @return AIDB_OK, AIDB_INVALID_ARGUMENT, AIDB_CLOSED
 */
aidb_status aidb_iter_create(const aidb_db *db,
                             const aidb_iter_options *options,
                             aidb_iterator **iterator_out,
                             aidb_error **error);

/**
 * Creates an iterator over the keys in [start, end): aidb_iter_create with two bounds.
 *
 * @param start, end  NULL means no bound
 */
aidb_status aidb_iter_range(const aidb_db *db,
                            const void *start,
                            size_t start_len,
                            const void *end,
                            size_t end_len,
                            aidb_iterator **iterator_out,
                            aidb_error **error);

/**
 * Creates an iterator over the keys that start with a prefix: aidb_iter_create with a prefix.
 */
aidb_status aidb_iter_prefix(const aidb_db *db,
                             const void *prefix,
                             size_t prefix_len,
                             aidb_iterator **iterator_out,
                             aidb_error **error);

/**
 * Releases an iterator; NULL and an iterator that was freed before are ignored.
 */
void aidb_iter_free(aidb_iterator *iterator);

/**
 * Moves to the first entry in the iterator's order.
 *
 * @return AIDB_OK if the iterator is on an entry, AIDB_NOT_FOUND if there is none; AIDB_IO, AIDB_CORRUPTION,
 *         AIDB_CLOSED or AIDB_INVALID_ARGUMENT
 */
aidb_status aidb_iter_first(aidb_iterator *iterator,
                            aidb_error **error);

/**
 * Moves to the last entry in the iterator's order. Returns the same as aidb_iter_first.
 */
aidb_status aidb_iter_last(aidb_iterator *iterator, aidb_error **error);

/**
 * Moves to the first entry at or after a key in the iterator's order: the smallest key >= it, or with
 * `reverse` the largest key <= it. Returns the same as aidb_iter_first.
 */
aidb_status aidb_iter_seek(aidb_iterator *iterator,
                           const void *key,
                           size_t key_len,
                           aidb_error **error);

/**
 * Moves to the last entry at or before a key in the iterator's order: the largest key <= it, or with `reverse`
 * the smallest key >= it. Returns the same as aidb_iter_first.
 */
aidb_status aidb_iter_seek_for_prev(aidb_iterator *iterator,
                                    const void *key,
                                    size_t key_len,
                                    aidb_error **error);

/**
 * Moves to the next entry in the iterator's order; a new iterator moves to the first. Past the end it is on no
 * entry, and aidb_iter_prev moves it back to the last. Returns the same as aidb_iter_first.
 */
aidb_status aidb_iter_next(aidb_iterator *iterator,
                           aidb_error **error);

/**
 * Moves to the previous entry in the iterator's order; a new iterator moves to the last. Before the first it
 * is on no entry, and aidb_iter_next moves it back to the first. Returns the same as aidb_iter_first.
 */
aidb_status aidb_iter_prev(aidb_iterator *iterator,
                           aidb_error **error);

/**
 * Whether the iterator is on an entry.
 */
bool aidb_iter_valid(const aidb_iterator *iterator);

/**
 * The key of the current entry; not zero-terminated. Valid until the iterator moves or is freed, even if the
 * database is closed in between. NULL, with a length of 0, if the iterator is on no entry.
 *
 * @param key_len_out  the length in bytes; NULL if it is not wanted
 */
const char *aidb_iter_key(const aidb_iterator *iterator,
                          size_t *key_len_out);

/**
 * The value of the current entry; otherwise the same as aidb_iter_key.
 *
 * @param value_len_out  the length in bytes; NULL if it is not wanted
 */
const char *aidb_iter_value(const aidb_iterator *iterator, size_t *value_len_out);

/**
 * The error of the last move; it stays until the next aidb_iter_first, _last or _seek.
 *
 * @return AIDB_OK, AIDB_IO, AIDB_CORRUPTION, AIDB_CLOSED or AIDB_INVALID_ARGUMENT
 */
aidb_status aidb_iter_status(const aidb_iterator *iterator, aidb_error **error);

/**
 * Copies the current entry and those after it in the iterator's order into the caller's buffer, as many as
 * fit, and moves to the entry after the last one copied. A new iterator starts at the first entry. This is the
 * fastest way to scan. In a transaction the entry after the last one copied counts as read, too.
 *
 * @param entries      an array of `max_entries`: receives where each entry's key and value are in the buffer
 * @param max_entries  at least 1
 * @param buffer       `buffer_size` bytes
 * @param count_out    the number of entries copied: at least 1 with AIDB_OK, otherwise 0
 * @param needed_out   NULL, or receives the bytes that the next entry needs if not even that one fits,
 *                     otherwise 0
 * @return AIDB_OK; AIDB_NOT_FOUND at the end; AIDB_INVALID_ARGUMENT also if the buffer is too small for the
 *         next entry (see needed_out; the iterator has not moved); AIDB_IO, AIDB_CORRUPTION or AIDB_CLOSED
 * Both outputs are always written, whatever the call returns.
 */
aidb_status aidb_iter_next_many(aidb_iterator *iterator,
                                aidb_entry *entries,
                                size_t max_entries,
                                void *buffer,
                                size_t buffer_size,
                                size_t *count_out,
                                size_t *needed_out,
                                aidb_error **error);

/**
 * Begins a transaction, which sees every write acknowledged before. Cost: about that of a snapshot.
 *
 * @param options          NULL for the defaults
 * @param transaction_out  release it with aidb_transaction_free
 * @return AIDB_OK, AIDB_INVALID_ARGUMENT or AIDB_CLOSED
 */
aidb_status aidb_transaction_begin(const aidb_db *db,
                                   const aidb_transaction_options *options,
                                   aidb_transaction **transaction_out,
                                   aidb_error **error);

/**
 * Releases a transaction, and rolls it back if it has not ended; never waits for the disk. NULL and a transaction
 * that was freed before are ignored.
 */
void aidb_transaction_free(aidb_transaction *transaction);

/**
 * Reads the value that the transaction sees under a key into a new buffer. The key counts as read, unless the
 * transaction has written it itself.
 *
 * @param value_out      release it with aidb_free; a zero byte follows the value; an empty value is not NULL
 * @param value_len_out  the length of the value in bytes
 * @return AIDB_OK, AIDB_NOT_FOUND, AIDB_INVALID_ARGUMENT, AIDB_CLOSED, AIDB_IO or AIDB_CORRUPTION;
 *         AIDB_CONFLICT after transaction_timeout
 */
aidb_status aidb_transaction_get(aidb_transaction *transaction,
                                 const void *key,
                                 size_t key_len,
                                 char **value_out,
                                 size_t *value_len_out,
                                 aidb_error **error);

/**
 * aidb_transaction_get without a copy, as aidb_get_pinned is aidb_get without one.
 *
 * @param pinned_out  release it with aidb_pinned_free; its bytes stay also when the transaction has ended
 * @return the same as aidb_transaction_get
 */
aidb_status aidb_transaction_get_pinned(aidb_transaction *transaction,
                                        const void *key,
                                        size_t key_len,
                                        aidb_pinned **pinned_out,
                                        aidb_error **error);

/**
 * Reads the values that the transaction sees under many keys. Parameters and buffers are those of aidb_get_many,
 * without its options. Each key counts as read, as in aidb_transaction_get.
 *
 * @return AIDB_OK, AIDB_INVALID_ARGUMENT, AIDB_CLOSED, AIDB_IO or AIDB_CORRUPTION; AIDB_CONFLICT after
 *         transaction_timeout; if one key fails, the call fails
 */
aidb_status aidb_transaction_get_many(aidb_transaction *transaction,
                                      size_t count,
                                      const void *const *keys,
                                      const size_t *key_lens,
                                      const char **values_out,
                                      size_t *value_lens_out,
                                      char **buffer_out,
                                      aidb_error **error);

/**
 * Whether the transaction sees a value under a key: AIDB_OK if it does, AIDB_NOT_FOUND if not; otherwise the same
 * as aidb_transaction_get.
 */
aidb_status aidb_transaction_contains(aidb_transaction *transaction,
                                      const void *key,
                                      size_t key_len,
                                      aidb_error **error);

/**
 * Stores a value under a key when the transaction commits.
 *
 * @param key, value  copied; NULL only with a length of 0
 * @return AIDB_OK; AIDB_INVALID_ARGUMENT, also if the transaction or its database is read-only; AIDB_CLOSED;
 *         AIDB_CONFLICT after transaction_timeout
 */
aidb_status aidb_transaction_put(aidb_transaction *transaction,
                                 const void *key,
                                 size_t key_len,
                                 const void *value,
                                 size_t value_len,
                                 aidb_error **error);

/**
 * Removes a key when the transaction commits; removing an absent key is not an error. Returns the same as
 * aidb_transaction_put.
 */
aidb_status aidb_transaction_delete(aidb_transaction *transaction,
                                    const void *key,
                                    size_t key_len,
                                    aidb_error **error);

/**
 * Removes all keys in [start, end) when the transaction commits: those that are there then, and those that the
 * transaction has written before.
 *
 * @param start, end  NULL means no bound; copied. If they are equal, nothing is removed
 * @return the same as aidb_transaction_put; AIDB_INVALID_ARGUMENT also if `end` is before `start`
 */
aidb_status aidb_transaction_delete_range(aidb_transaction *transaction,
                                          const void *start,
                                          size_t start_len,
                                          const void *end,
                                          size_t end_len,
                                          aidb_error **error);

/**
 * Removes all keys that start with `prefix` when the transaction commits, in the same way as
 * aidb_transaction_delete_range; an empty one removes all keys. Returns the same as aidb_transaction_put.
 */
aidb_status aidb_transaction_delete_prefix(aidb_transaction *transaction,
                                           const void *prefix,
                                           size_t prefix_len,
                                           aidb_error **error);

/**
 * Adds all operations of a batch to the transaction; after an error, none. The batch does not change. Returns the
 * same as aidb_transaction_put.
 */
aidb_status aidb_transaction_write(aidb_transaction *transaction,
                                   const aidb_batch *batch,
                                   aidb_error **error);

/**
 * Creates an iterator over the entries that the transaction sees, with its writes as they are now: not those that it
 * makes later. The keys between where the iterator is placed and where it stands count as read, the absent ones too.
 * aidb_iter_next reads no further than the entry it moves to; so a transaction that takes the first entry does not
 * conflict with one that changes a later entry.
 *
 * The iterator ends with its transaction: its moves then return what calls of the transaction return.
 *
 * @param options       NULL for the defaults: every entry, in key order; copied; without a snapshot
 * @param iterator_out  release it with aidb_iter_free, before or after the transaction
 * @return AIDB_OK; AIDB_INVALID_ARGUMENT, also if `options` has a snapshot; AIDB_CLOSED; AIDB_CONFLICT after
 *         transaction_timeout
 */
aidb_status aidb_transaction_iter_create(aidb_transaction *transaction,
                                         const aidb_iter_options *options,
                                         aidb_iterator **iterator_out,
                                         aidb_error **error);

/**
 * Makes a savepoint: aidb_transaction_rollback_to takes the writes back to it.
 *
 * @param savepoint_out  its number: 1 for the first savepoint of a transaction
 * @return AIDB_OK, AIDB_INVALID_ARGUMENT or AIDB_CLOSED; AIDB_CONFLICT after transaction_timeout
 */
aidb_status aidb_transaction_savepoint(aidb_transaction *transaction,
                                       uint64_t *savepoint_out,
                                       aidb_error **error);

/**
 * Takes back every write since a savepoint, and forgets the savepoints after it; it can be used again. What was read
 * since then still counts as read.
 *
 * @param savepoint  a number from aidb_transaction_savepoint with the same transaction
 * @return AIDB_OK; AIDB_INVALID_ARGUMENT, also if there is no such savepoint; AIDB_CLOSED; AIDB_CONFLICT after
 *         transaction_timeout
 */
aidb_status aidb_transaction_rollback_to(aidb_transaction *transaction,
                                         uint64_t savepoint,
                                         aidb_error **error);

/**
 * Makes the writes visible, all at once. They survive a crash of the process; with `sync`, also a power loss. Without
 * writes it never conflicts. Ends the transaction, also if the commit fails; only after AIDB_OUT_OF_MEMORY, and if an
 * argument was wrong, the transaction is still open. The handle must still be freed.
 *
 * @param options  NULL for the defaults. `sequence_out` receives the number of the last operation; of a transaction
 *                 without writes, that of the last write that it saw
 * @return AIDB_OK; AIDB_CONFLICT if what it has read was changed by another commit: nothing was written, run it
 *         again from the beginning; AIDB_INVALID_ARGUMENT, AIDB_CLOSED; AIDB_IO or AIDB_NO_SPACE if the log cannot
 *         be written: the writes may or may not be there after a crash; AIDB_CORRUPTION
 */
aidb_status aidb_transaction_commit(aidb_transaction *transaction,
                                    const aidb_write_options *options,
                                    aidb_error **error);

/**
 * Ends the transaction without writing anything. No error if it has ended before, so it may be called anywhere. The
 * handle must still be freed.
 *
 * @return AIDB_OK, AIDB_INVALID_ARGUMENT or AIDB_CLOSED, both for a wrong handle only
 */
aidb_status aidb_transaction_rollback(aidb_transaction *transaction,
                                      aidb_error **error);

/**
 * Runs a callback in a transaction and commits it; after a conflict runs the callback again, in a new transaction.
 * Before each new attempt the call pauses: some 50 microseconds at first, then twice as long each time, at most 20
 * milliseconds.
 *
 * @param attempts  how often to call `work` at most; at least 1
 * @param options   how the transaction is committed: as for aidb_transaction_commit; NULL for the defaults
 * @param work      called once for each attempt, on the calling thread
 * @param context   passed to `work` unchanged
 * @return AIDB_OK if a transaction was committed; AIDB_CONFLICT after the last attempt; any other status that `work`
 *         returned, AIDB_NOT_FOUND too: its transaction was rolled back; AIDB_INVALID_ARGUMENT, also if `work`
 *         returned a number that is no aidb_status; otherwise the same as aidb_transaction_commit
 */
aidb_status aidb_run_transaction(const aidb_db *db,
                                 uint32_t attempts,
                                 const aidb_write_options *options,
                                 aidb_transaction_callback work,
                                 void *context,
                                 aidb_error **error);

/**
 * If a key has the value `expected`, gives it another value, or removes it. Nobody can change the key in between.
 *
 * @param expected     NULL: the key is expected to be absent
 * @param value        NULL: remove the key
 * @param options      NULL for the defaults; `sequence_out` must be NULL
 * @param was_set_out  whether the key had the value `expected`, and was changed; otherwise nothing was written
 * @return AIDB_OK, AIDB_INVALID_ARGUMENT, AIDB_CLOSED, AIDB_IO, AIDB_CORRUPTION or AIDB_NO_SPACE; never
 *         AIDB_CONFLICT
 */
aidb_status aidb_compare_and_set(const aidb_db *db,
                                 const void *key,
                                 size_t key_len,
                                 const void *expected,
                                 size_t expected_len,
                                 const void *value,
                                 size_t value_len,
                                 const aidb_write_options *options,
                                 bool *was_set_out,
                                 aidb_error **error);

/**
 * Stores a value under a key unless the key has one. Nobody can change the key in between.
 *
 * @param options      NULL for the defaults; `sequence_out` must be NULL
 * @param was_put_out  whether the key was absent, and now has the value; otherwise nothing was written
 * @return the same as aidb_compare_and_set
 */
aidb_status aidb_put_if_absent(const aidb_db *db,
                               const void *key,
                               size_t key_len,
                               const void *value,
                               size_t value_len,
                               const aidb_write_options *options,
                               bool *was_put_out,
                               aidb_error **error);

/**
 * Stores a value under a key and returns the value that the key had before. Nobody can change the key in between.
 *
 * @param options           NULL for the defaults; `sequence_out` must be NULL
 * @param previous_out      the earlier value; release it with aidb_free; a zero byte follows it; an empty value is not
 *                          NULL
 * @param previous_len_out  its length in bytes
 * @return AIDB_OK if the key had a value, AIDB_NOT_FOUND if it had none: with both, the new value is stored;
 *         AIDB_INVALID_ARGUMENT, AIDB_CLOSED, AIDB_IO, AIDB_CORRUPTION or AIDB_NO_SPACE; never AIDB_CONFLICT
 */
aidb_status aidb_get_and_put(const aidb_db *db,
                             const void *key,
                             size_t key_len,
                             const void *value,
                             size_t value_len,
                             const aidb_write_options *options,
                             char **previous_out,
                             size_t *previous_len_out,
                             aidb_error **error);

/**
 * Removes a key and returns the value that it had; writes nothing if it had none. Nobody can change the key in
 * between.
 *
 * @param options           NULL for the defaults; `sequence_out` must be NULL
 * @param previous_out      as for aidb_get_and_put
 * @param previous_len_out  its length in bytes
 * @return AIDB_OK if the key had a value, AIDB_NOT_FOUND if it had none; otherwise the same as aidb_get_and_put
 */
aidb_status aidb_get_and_delete(const aidb_db *db,
                                const void *key,
                                size_t key_len,
                                const aidb_write_options *options,
                                char **previous_out,
                                size_t *previous_len_out,
                                aidb_error **error);

/**
 * Releases a buffer that a function of this library returned; NULL is ignored.
 *
 * @param buffer  from a function whose description says "release it with aidb_free"
 */
void aidb_free(void *buffer);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* AIDB_H */
