/*
 * AiDb's C API: an embedded, ordered key-value store.
 *
 * This file is generated from ffi/src; change it there.
 *
 * Conventions
 *
 * Names      aidb_<noun>_<verb>, and aidb_<verb> for the database itself. Options have the same names in every
 *            language; the guide lists them.
 * Handles    aidb_db, aidb_options, aidb_batch, aidb_snapshot, aidb_iterator, aidb_pinned and aidb_error are
 *            opaque. A pointer to one is a number that is looked up, never an address: NULL, one of another
 *            type or one that AiDb never gave out is answered with AIDB_INVALID_ARGUMENT, one that was closed
 *            or freed with AIDB_CLOSED. Handles may be freed in any order, on any thread, with calls in flight;
 *            freeing one twice, or NULL, does nothing. Functions that return no status answer 0, NULL or what
 *            their description says.
 * Threads    any number of threads may share an aidb_db, aidb_snapshot, aidb_pinned or aidb_error. An
 *            aidb_iterator serves one thread at a time, also for reading; aidb_options and aidb_batch may be
 *            read by several or changed by one. A second thread that comes in between is answered with
 *            AIDB_INVALID_ARGUMENT.
 * Status     every function that can fail returns an aidb_status and takes `error` last. AIDB_NOT_FOUND means
 *            an absent key, or the end of an iterator; it is no error. Each of them may answer
 *            AIDB_OUT_OF_MEMORY: no description says so again.
 * Errors     `error` may be NULL. Otherwise *error is written by every call: to NULL, or, if the call failed,
 *            to an object that tells why, to be released with aidb_error_free.
 * Outputs    are written only with AIDB_OK, unless their description says otherwise.
 * Bytes      are passed as pointer and length. Keys and values may hold any bytes and may be empty; a length of
 *            0 may come with NULL. Inputs are copied, or no longer needed when the call returns.
 * Buffers    that the library returns come from malloc and are released with aidb_free. Bytes that it lends
 *            are valid as long as their description says.
 * Structures whose first field is struct_size grow with later versions: start from their _INIT macro, set
 *            fields by name, and pass NULL for the defaults. A field that is set and that an older library does not
 *            know is AIDB_UNSUPPORTED there. aidb_entry, the element of an array, is frozen.
 * Panics     and exceptions never cross this border: a bug in AiDb is AIDB_INTERNAL.
 * Cancelled  threads: pthread_cancel never ends a thread inside a call, nor in what a call calls back. Functions that
 *            take `error`, but for aidb_close, are cancellation points before they do anything: a thread that was
 *            cancelled meanwhile ends there, or at any other cancellation point of its own. So it is with deferred
 *            cancellation, the usual kind; with PTHREAD_CANCEL_ASYNCHRONOUS a thread must not call AiDb.
 * fork       a child process gets AIDB_CLOSED from what its parent opened, and may release it, which touches nothing
 *            of the parent's. It may open databases of its own, whatever the threads of its parent were doing.
 *            Options and batches of the parent can be used, unless another thread was using them at that moment:
 *            AIDB_CLOSED.
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
#define AIDB_ITER_OPTIONS_INIT \
  { sizeof(aidb_iter_options), NULL, NULL, 0, NULL, 0, NULL, 0, 0, 1, 1, 1 }


/**
 * What a call came to. The numbers never change; later versions add to them.
 */
enum aidb_status
#if defined(__cplusplus) || __STDC_VERSION__ >= 202311L
  : int32_t
#endif // defined(__cplusplus) || __STDC_VERSION__ >= 202311L
 {
    /**
     * It did what was asked.
     */
    AIDB_OK = 0,
    /**
     * An argument, option or handle is wrong: fix the call.
     */
    AIDB_INVALID_ARGUMENT = 1,
    /**
     * The operating system refused a file operation: check the disk, then reopen.
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
     * Kept for transactions, of which there are none yet: nothing answers it.
     */
    AIDB_CONFLICT = 5,
    /**
     * The handle or its database has been closed: open it again.
     */
    AIDB_CLOSED = 6,
    /**
     * Written by a newer AiDb, or asking for something this build lacks: upgrade.
     */
    AIDB_UNSUPPORTED = 7,
    /**
     * A bug in AiDb: please report it.
     */
    AIDB_INTERNAL = 8,
    /**
     * Nothing there: an absent key, or an iterator past its end. Not an error; no error object is made.
     */
    AIDB_NOT_FOUND = 9,
    /**
     * The disk or a quota is full: free some space and try again.
     */
    AIDB_NO_SPACE = 10,
    /**
     * There is no memory for this call: free some and call again; no reopening is needed.
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
 * Puts and deletes to apply together with aidb_write, in the order they were added; a later one on the same key
 * wins. One thread at a time may change it; several may write it.
 */
typedef struct aidb_batch aidb_batch;

/**
 * An open database: an ordered map from byte-string keys (up to 16 MiB) to byte-string values (up to
 * 4 GiB - 1). Either may be empty; keys sort bytewise. Any number of threads may share it; end it with
 * aidb_close, on any thread, also while other threads are using it: their calls finish or answer AIDB_CLOSED.
 */
typedef struct aidb_db aidb_db;

/**
 * Why a call failed: a code, a message for a person, and whether trying again may help. May be read by any
 * number of threads; release it with aidb_error_free.
 */
typedef struct aidb_error aidb_error;

/**
 * A position in the entries of a database, as of one point in the order of writes. It stands on an entry or
 * nowhere; a new one stands before the first entry. One thread at a time may use it (a second is answered
 * AIDB_INVALID_ARGUMENT); it may move between threads. Release it with aidb_iter_free, before or after its
 * database is closed.
 */
typedef struct aidb_iterator aidb_iterator;

/**
 * How to open a database. One thread at a time may change it; opening copies it, so that it may be changed,
 * used again or freed afterwards.
 */
typedef struct aidb_options aidb_options;

/**
 * A value lent by the database. Its bytes stay where they are until it is freed, also when the database is
 * closed. Any number of threads may read it; release it with aidb_pinned_free.
 */
typedef struct aidb_pinned aidb_pinned;

/**
 * A point in the order of all writes that reads can be made at. It sees exactly the writes acknowledged before
 * it was created, whatever happens afterwards. Any number of threads may share it; release it with
 * aidb_snapshot_release, on any thread, before or after its database is closed.
 */
typedef struct aidb_snapshot aidb_snapshot;

/**
 * How one write is made. Start from AIDB_WRITE_OPTIONS_INIT.
 */
typedef struct {
    /**
     * sizeof(aidb_write_options)
     */
    size_t struct_size;
    /**
     * 0 (the default): the write survives the death of the process. Otherwise it is acknowledged only when it,
     * and every write acknowledged before it, would survive loss of power.
     */
    int32_t sync;
    /**
     * 0
     */
    int32_t reserved;
    /**
     * Where to put the number of the write in the order of all writes, which AIDB_OK alone does; NULL (the default): it is
     * not wanted. The number of a batch is that of its last operation: the operations of a batch of n have the n numbers
     * that end there. Of an empty batch, which takes none, it is the newest number that readers see. Numbers begin at 1 and
     * have 56 bits. A snapshot sees the write if aidb_snapshot_sequence is at or after its number. Threads that write
     * at once need a structure each if they set this.
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
     * Read as of this snapshot; NULL (the default) as of now.
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
 * Told how far a verification has come, in bytes, about once per MiB, on the thread that verifies. Answers 0 to
 * go on, anything else to end it. It may use the database, and close it.
 */
typedef int32_t (*aidb_progress_callback)(void *context, uint64_t bytes_done, uint64_t bytes_total);

/**
 * What aidb_batch_iterate calls for a put. It must return: no longjmp, no exception.
 */
typedef void (*aidb_batch_put_callback)(void *context,
                                        const char *key,
                                        size_t key_len,
                                        const char *value,
                                        size_t value_len);

/**
 * What aidb_batch_iterate calls for a delete. It must return: no longjmp, no exception.
 */
typedef void (*aidb_batch_delete_callback)(void *context, const char *key, size_t key_len);

/**
 * What an iterator walks, and how. Start from AIDB_ITER_OPTIONS_INIT. With a prefix and bounds an entry must
 * satisfy all. The bytes are copied.
 */
typedef struct {
    /**
     * sizeof(aidb_iter_options)
     */
    size_t struct_size;
    /**
     * Walk as of this snapshot; NULL (the default) as of the iterator's creation.
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
     * The first key not to show: all shown keys are smaller; NULL for no bound.
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
     * Not 0: walk from the largest key down, so that `first` is the largest key and `next` a smaller one.
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
 * Where aidb_iter_next_many put an entry in the caller's buffer. The caller has an array of these, so the structure never
 * changes.
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
 * The default options; release them with aidb_options_free. NULL only if 16 million handles are open, or without memory.
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
 * @return AIDB_OK, or AIDB_INVALID_ARGUMENT: an unknown name (the message lists near ones) or a value out of
 *         its range (the message says the range); the options are unchanged then
 */
aidb_status aidb_options_set(aidb_options *options,
                             const char *name,
                             const char *value,
                             aidb_error **error);

/**
 * Sets an option that is a number, a size in bytes or a time in milliseconds.
 *
 * @return AIDB_OK, or AIDB_INVALID_ARGUMENT as for aidb_options_set, also for an option that is no number
 */
aidb_status aidb_options_set_number(aidb_options *options,
                                    const char *name,
                                    uint64_t value,
                                    aidb_error **error);

/**
 * Sets an option that is a flag.
 *
 * @param value  0 is false, anything else true
 * @return AIDB_OK, or AIDB_INVALID_ARGUMENT as for aidb_options_set, also for an option that is no flag
 */
aidb_status aidb_options_set_flag(aidb_options *options,
                                  const char *name,
                                  int32_t value,
                                  aidb_error **error);

/**
 * The value of an option as text that aidb_options_set takes back.
 *
 * @param value_out  a zero-terminated string; release it with aidb_free
 * @return AIDB_OK, or AIDB_INVALID_ARGUMENT for an unknown name
 */
aidb_status aidb_options_get(const aidb_options *options,
                             const char *name,
                             char **value_out,
                             aidb_error **error);

/**
 * The name of the option number `index`, counted from 0; NULL after the last. Static text.
 */
const char *aidb_options_name(size_t index);

/**
 * Opens the database in a directory, recovering what an earlier life left in its logs. By default a missing or
 * empty directory becomes a new database.
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
 * Flushes, stops the background threads and lets the directory go. The handle ends in any case; iterators and
 * snapshots of the database then answer AIDB_CLOSED and are still to be freed.
 *
 * Memory and descriptors are given back before this returns, whoever still has iterators or snapshots; a call under
 * way on another thread keeps what it works on until it answers AIDB_CLOSED. What was lent stays: values from
 * aidb_get_pinned until they are freed, key and value of an iterator until it moves or is freed.
 *
 * What was acknowledged survives loss of power when this returns AIDB_OK.
 *
 * @return AIDB_OK; AIDB_CLOSED if it was closed before; AIDB_IO or AIDB_NO_SPACE, and then it is closed all the
 *         same, and nothing acknowledged is lost
 */
aidb_status aidb_close(aidb_db *db,
                       aidb_error **error);

/**
 * Removes the database in a directory: its files, and the directory if nothing else is in it; durable when this
 * returns. Nothing is touched unless a file that only AiDb writes shows that the directory is its own. A missing
 * or empty directory is no error.
 *
 * @return AIDB_OK; AIDB_LOCKED if it is open anywhere; AIDB_INVALID_ARGUMENT if the directory is not AiDb's (the
 *         message names the other engine where it can be told); AIDB_UNSUPPORTED for a path with a scheme; AIDB_IO
 */
aidb_status aidb_destroy(const char *path,
                         const aidb_options *options,
                         aidb_error **error);

/**
 * Stores a value under a key, replacing what was there.
 *
 * @param key, value  copied; NULL only with a length of 0
 * @param options     NULL for the defaults
 * @return AIDB_OK, AIDB_INVALID_ARGUMENT, AIDB_CLOSED; AIDB_IO or AIDB_NO_SPACE if the log cannot be written,
 *         and then the write may or may not be there after a crash
 */
aidb_status aidb_put(const aidb_db *db,
                     const void *key,
                     size_t key_len,
                     const void *value,
                     size_t value_len,
                     const aidb_write_options *options,
                     aidb_error **error);

/**
 * Removes a key; removing an absent key is no error. Returns as aidb_put.
 */
aidb_status aidb_delete(const aidb_db *db,
                        const void *key,
                        size_t key_len,
                        const aidb_write_options *options,
                        aidb_error **error);

/**
 * Applies a batch: all of its operations or none, also across a crash. The batch stays as it is and may be
 * written again, cleared or freed. Returns as aidb_put.
 */
aidb_status aidb_write(const aidb_db *db,
                       const aidb_batch *batch,
                       const aidb_write_options *options,
                       aidb_error **error);

/**
 * Reads the value stored under a key, into a buffer of its own.
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
 * Reads the value stored under a key without copying it: a large one is lent from the block cache. For one of a
 * few hundred bytes aidb_get is as fast.
 *
 * @param options     NULL for the defaults
 * @param pinned_out  release it with aidb_pinned_free
 * @return as aidb_get
 */
aidb_status aidb_get_pinned(const aidb_db *db,
                            const void *key,
                            size_t key_len,
                            const aidb_read_options *options,
                            aidb_pinned **pinned_out,
                            aidb_error **error);

/**
 * Whether a key has a value: AIDB_OK if it has, AIDB_NOT_FOUND if not; otherwise as aidb_get.
 *
 * @param options  NULL for the defaults
 */
aidb_status aidb_contains(const aidb_db *db,
                          const void *key,
                          size_t key_len,
                          const aidb_read_options *options,
                          aidb_error **error);

/**
 * Reads the values of many keys, all as of one point in the order of writes; cheaper than as many aidb_get.
 *
 * @param count           the number of keys, and of places in the arrays
 * @param keys, key_lens  `count` keys and their lengths
 * @param options         NULL for the defaults
 * @param values_out      `count` places: where each value lies in the buffer; NULL for an absent key
 * @param value_lens_out  `count` places: the length of each value; 0 for an absent key
 * @param buffer_out      holds all values; release it, and with it them, with one aidb_free
 * @return AIDB_OK, AIDB_INVALID_ARGUMENT, AIDB_CLOSED, AIDB_IO or AIDB_CORRUPTION; one failing key fails the call
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
 * Writes everything acknowledged so far to tables, durably; returns when it survives loss of power.
 *
 * @return AIDB_OK, AIDB_CLOSED, AIDB_IO or AIDB_NO_SPACE; a failed flush loses nothing acknowledged
 */
aidb_status aidb_flush(const aidb_db *db, aidb_error **error);

/**
 * Compacts the keys in [start, end), so that deleted and overwritten entries that no snapshot sees give back
 * their space. Returns when it is durable.
 *
 * @param start, end  NULL means no bound
 * @return as aidb_flush, or AIDB_INVALID_ARGUMENT
 */
aidb_status aidb_compact_range(const aidb_db *db,
                               const void *start,
                               size_t start_len,
                               const void *end,
                               size_t end_len,
                               aidb_error **error);

/**
 * About how many bytes of tables the keys in [start, end) take; what is still in memory is not counted.
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
 * A report by name; the guide lists the names.
 *
 * @param text_out  a zero-terminated string; release it with aidb_free
 * @return AIDB_OK, AIDB_NOT_FOUND for an unknown name, AIDB_INVALID_ARGUMENT or AIDB_CLOSED
 */
aidb_status aidb_property(const aidb_db *db, const char *name, char **text_out, aidb_error **error);

/**
 * Counters since open and sizes now, as a JSON object.
 *
 * @param json_out  a zero-terminated string; release it with aidb_free
 * @return AIDB_OK, AIDB_INVALID_ARGUMENT or AIDB_CLOSED
 */
aidb_status aidb_stats_json(const aidb_db *db, char **json_out, aidb_error **error);

/**
 * The directory the database lives in.
 *
 * @param path_out  a zero-terminated string; release it with aidb_free
 * @return AIDB_OK, AIDB_INVALID_ARGUMENT or AIDB_CLOSED
 */
aidb_status aidb_path(const aidb_db *db, char **path_out, aidb_error **error);

/**
 * Whether the database has been closed; true also for a handle that is no database.
 */
bool aidb_is_closed(const aidb_db *db);

/**
 * Makes a consistent copy in another directory, which must be missing or empty, while reads and writes go on. It
 * holds every write acknowledged before the call, opens by itself, and is durable when this returns. Its tables
 * are hard links where the file system allows that. After an error what was made is removed.
 *
 * @param path  the directory of the copy
 * @return AIDB_OK; AIDB_INVALID_ARGUMENT if `path` is a file or a directory that is not empty; AIDB_LOCKED,
 *         AIDB_CLOSED, AIDB_IO, AIDB_NO_SPACE or AIDB_CORRUPTION; AIDB_UNSUPPORTED for a path with a scheme
 */
aidb_status aidb_checkpoint(const aidb_db *db,
                            const char *path,
                            aidb_error **error);

/**
 * Reads everything the database consists of from disk, past the caches, and checks it, while reads and writes go
 * on; then reads everything as of one point as a user does, and compares. Damage is no error: it is in the report, by
 * file and offset. Cost: reads every table seven times, of which the system's file cache mostly answers five.
 *
 * @param progress    told how far it has come; may be NULL
 * @param context     passed to `progress`
 * @param is_ok_out   whether everything was looked at and nothing is damaged; may be NULL
 * @param report_out  a JSON object: is_ok, is_complete, tables, entries, logs, records, bytes, damaged_places, and
 *                    damage, an array of {file, offset, message, kind}, the kind being "Corruption", "Io", "Unsupported",
 *                    or "Internal" if the bytes are right and a way of reading does not find what is there, which
 *                    is a fault of AiDb; release it with aidb_free; may be NULL
 * @return AIDB_OK, damaged or not; AIDB_INVALID_ARGUMENT; AIDB_CLOSED, also if it is closed meanwhile
 */
aidb_status aidb_verify(const aidb_db *db,
                        aidb_progress_callback progress,
                        void *context,
                        bool *is_ok_out,
                        char **report_out,
                        aidb_error **error);

/**
 * Makes a new database of what can still be read of a damaged one, which is not changed: tables block by block, logs
 * record by record, with or without the manifest. First try to open the database: after an ordinary crash
 * nothing is damaged. A table that is read whole and holds other entries than the manifest or the table itself says is
 * reported too, with offset and end 0, and keeps all its entries. A deleted key may come back only if the table or record with its tombstone is lost, or the
 * manifest is and a crash had left a table behind that was already compacted.
 *
 * @param path        the damaged database, closed
 * @param into        the directory of the new one: missing or empty
 * @param options     how new tables are built; NULL for the defaults
 * @param is_ok_out   whether everything could be read and is what it should be; may be NULL
 * @param report_out  a JSON object: is_ok, tables, table_entries, logs, log_records, entries_written,
 *                    last_sequence, lost_places, and lost, an array of {file, offset, end, message, smallest_key,
 *                    largest_key, first_sequence, last_sequence}, keys in hexadecimal and null for what is not known;
 *                    release it with aidb_free; may be NULL
 * @return AIDB_OK, whatever was lost; AIDB_LOCKED if the database is open for writing; AIDB_INVALID_ARGUMENT if
 *         `path` holds nothing of a database or `into` something; AIDB_UNSUPPORTED if a newer AiDb wrote it or a path has a scheme;
 *         AIDB_IO or AIDB_NO_SPACE while writing, and then `into` is left empty; AIDB_INTERNAL if what was read is not
 *         accounted for in what was written, and then too
 */
aidb_status aidb_repair(const char *path,
                        const char *into,
                        const aidb_options *options,
                        bool *is_ok_out,
                        char **report_out,
                        aidb_error **error);

/**
 * The bytes of the value, as many as aidb_pinned_len says; not zero-terminated. Valid until the value is freed.
 * NULL for a handle that is no live value.
 */
const char *aidb_pinned_data(const aidb_pinned *pinned);

/**
 * The number of bytes of the value; 0 for a handle that is no live value.
 */
size_t aidb_pinned_len(const aidb_pinned *pinned);

/**
 * Releases a value; NULL and a value that was freed before are ignored.
 */
void aidb_pinned_free(aidb_pinned *pinned);

/**
 * An empty batch; release it with aidb_batch_free. NULL only if 16 million handles are open, or without memory.
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
 * @return AIDB_OK; AIDB_INVALID_ARGUMENT, also if the batch would pass 4 GiB, and AIDB_CLOSED; it is unchanged then
 */
aidb_status aidb_batch_put(aidb_batch *batch,
                           const void *key,
                           size_t key_len,
                           const void *value,
                           size_t value_len,
                           aidb_error **error);

/**
 * Adds a delete; deleting an absent key is no error. Returns as aidb_batch_put.
 */
aidb_status aidb_batch_delete(aidb_batch *batch,
                              const void *key,
                              size_t key_len,
                              aidb_error **error);

/**
 * Adds all operations of another batch after this one's own. Returns as aidb_batch_put.
 *
 * @param other  stays as it is; may be the same batch
 */
aidb_status aidb_batch_append(aidb_batch *batch, const aidb_batch *other, aidb_error **error);

/**
 * Removes all operations and keeps the memory for the next ones.
 *
 * @return AIDB_OK, AIDB_INVALID_ARGUMENT or AIDB_CLOSED
 */
aidb_status aidb_batch_clear(aidb_batch *batch, aidb_error **error);

/**
 * The number of operations; 0 for a handle that is no live batch.
 */
size_t aidb_batch_count(const aidb_batch *batch);

/**
 * Bytes the batch takes in memory and in the log; 0 for a handle that is no live batch.
 */
size_t aidb_batch_byte_size(const aidb_batch *batch);

/**
 * Calls back for each operation, in order; keys and values are valid until the callback returns. A callback may
 * call any function of this library, but cannot change the batch it is called for.
 *
 * @param context        passed to the callbacks as it is
 * @param on_put         NULL skips puts
 * @param on_delete      NULL skips deletes
 * @return AIDB_OK, AIDB_INVALID_ARGUMENT or AIDB_CLOSED
 */
aidb_status aidb_batch_iterate(const aidb_batch *batch,
                               void *context,
                               aidb_batch_put_callback on_put,
                               aidb_batch_delete_callback on_delete,
                               aidb_error **error);

/**
 * Pins the present point in the order of all writes. While it is held, versions it can see take space on disk.
 *
 * @return AIDB_OK, AIDB_INVALID_ARGUMENT or AIDB_CLOSED
 */
aidb_status aidb_snapshot_create(const aidb_db *db,
                                 aidb_snapshot **snapshot_out,
                                 aidb_error **error);

/**
 * The number of the last write that the snapshot sees; 0 for a handle that is no live snapshot.
 */
uint64_t aidb_snapshot_sequence(const aidb_snapshot *snapshot);

/**
 * Releases a snapshot; NULL and a snapshot that was released before are ignored. Iterators made with it keep
 * their view.
 */
void aidb_snapshot_release(aidb_snapshot *snapshot);

/**
 * Creates an iterator, which stands before the first entry.
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
 * Moves to the first entry in walking order.
 *
 * @return AIDB_OK if the iterator stands on an entry, AIDB_NOT_FOUND if there is none; AIDB_IO,
 *         AIDB_CORRUPTION, AIDB_CLOSED or AIDB_INVALID_ARGUMENT
 */
aidb_status aidb_iter_first(aidb_iterator *iterator, aidb_error **error);

/**
 * Moves to the last entry in walking order. Returns as aidb_iter_first.
 */
aidb_status aidb_iter_last(aidb_iterator *iterator, aidb_error **error);

/**
 * Moves to the first entry at or after a key in walking order: the smallest key at or above it, or with
 * `reverse` the largest at or below it. Returns as aidb_iter_first.
 */
aidb_status aidb_iter_seek(aidb_iterator *iterator,
                           const void *key,
                           size_t key_len,
                           aidb_error **error);

/**
 * Moves to the last entry at or before a key in walking order: the largest key at or below it, or with
 * `reverse` the smallest at or above it. Returns as aidb_iter_first.
 */
aidb_status aidb_iter_seek_for_prev(aidb_iterator *iterator,
                                    const void *key,
                                    size_t key_len,
                                    aidb_error **error);

/**
 * Moves one entry on in walking order; a new iterator goes to the first. Past the end it stands nowhere, and
 * only aidb_iter_prev leads back. Returns as aidb_iter_first.
 */
aidb_status aidb_iter_next(aidb_iterator *iterator,
                           aidb_error **error);

/**
 * Moves one entry back in walking order; a new iterator goes to the last. Before the first it stands nowhere,
 * and only aidb_iter_next leads back. Returns as aidb_iter_first.
 */
aidb_status aidb_iter_prev(aidb_iterator *iterator,
                           aidb_error **error);

/**
 * Whether the iterator stands on an entry.
 */
bool aidb_iter_valid(const aidb_iterator *iterator);

/**
 * The key the iterator stands on; not zero-terminated. Valid until the iterator moves or is freed, also if the
 * database is closed meanwhile. NULL, and a length of 0, if it stands nowhere.
 *
 * @param key_len_out  the length in bytes; NULL if it is not wanted
 */
const char *aidb_iter_key(const aidb_iterator *iterator,
                          size_t *key_len_out);

/**
 * The value the iterator stands on; as aidb_iter_key.
 *
 * @param value_len_out  the length in bytes; NULL if it is not wanted
 */
const char *aidb_iter_value(const aidb_iterator *iterator, size_t *value_len_out);

/**
 * The error that the last move ended with, until the next aidb_iter_first, _last or _seek.
 *
 * @return AIDB_OK, AIDB_IO, AIDB_CORRUPTION, AIDB_CLOSED or AIDB_INVALID_ARGUMENT
 */
aidb_status aidb_iter_status(const aidb_iterator *iterator, aidb_error **error);

/**
 * Copies the entry the iterator stands on and those after it in walking order into the caller's buffer, as many
 * as fit, and moves after the last one copied. A new iterator starts at the first entry. The fast way to scan.
 *
 * @param entries      `max_entries` places: where each entry's key and value lie in the buffer
 * @param max_entries  at least 1
 * @param buffer       `buffer_size` bytes
 * @param count_out    the number of entries copied: at least 1 with AIDB_OK, otherwise 0
 * @param needed_out   NULL, or a place for the bytes that the next entry needs if not even it fits, otherwise 0
 * @return AIDB_OK; AIDB_NOT_FOUND at the end; AIDB_INVALID_ARGUMENT also if the buffer is too small for the
 *         next entry (see needed_out; the iterator has not moved); AIDB_IO, AIDB_CORRUPTION or AIDB_CLOSED
 * Both outputs are written whatever is returned.
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
 * Releases a buffer that a function of this library returned; NULL is ignored.
 *
 * @param buffer  from a function whose description says "release it with aidb_free"
 */
void aidb_free(void *buffer);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* AIDB_H */
