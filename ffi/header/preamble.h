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
