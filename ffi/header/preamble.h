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
