/* Cancels threads in the middle of calls: test_cancel DIRECTORY
 *
 * A thread cancelled inside a call would leave the engine's locks locked, or end the process: Rust ends it when the
 * system unwinds the thread. So cancellation waits, and the database keeps working (GUARD-3, and OS-5 of core).
 */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include <aidb.h>

#include "check.h"

enum { CANCELLED_EACH = 12, CALLS_BEFORE = 3 };

static aidb_db *db;
static const char *directory;
/* How many calls of the current thread have returned. */
static int calls;
static int refused;

static void returned(aidb_status status) {
    if (status != AIDB_OK && status != AIDB_NOT_FOUND) {
        __atomic_add_fetch(&refused, 1, __ATOMIC_SEQ_CST);
    }
    __atomic_add_fetch(&calls, 1, __ATOMIC_SEQ_CST);
}

static void *synced_puts(void *unused) {
    aidb_write_options options = AIDB_WRITE_OPTIONS_INIT;
    options.sync = 1;
    (void)unused;
    for (;;) {
        returned(aidb_put(db, "key", 3, "value", 5, &options, NULL));
    }
    return NULL;
}

static void *flushes(void *unused) {
    (void)unused;
    for (;;) {
        returned(aidb_put(db, "other", 5, "value", 5, NULL, NULL));
        returned(aidb_flush(db, NULL));
    }
    return NULL;
}

static void *compactions(void *unused) {
    (void)unused;
    for (;;) {
        returned(aidb_put(db, "third", 5, "value", 5, NULL, NULL));
        returned(aidb_compact_range(db, NULL, 0, NULL, 0, NULL));
    }
    return NULL;
}

/* The thread always closes it again: aidb_close is not a cancellation point. */
static void *lives(void *unused) {
    char path[4096];
    (void)unused;
    snprintf(path, sizeof path, "%s-other", directory);
    for (;;) {
        aidb_db *other = NULL;
        returned(aidb_open(path, NULL, &other, NULL));
        returned(aidb_close(other, NULL));
    }
    return NULL;
}

static int32_t change(void *context, aidb_transaction *transaction, aidb_error **error) {
    aidb_status status = aidb_transaction_contains(transaction, "key", 3, error);
    (void)context;
    if (status == AIDB_OK || status == AIDB_NOT_FOUND) {
        status = aidb_transaction_put(transaction, "key", 3, "value", 5, error);
    }
    return status;
}

/* A cancelled thread leaves no transaction open, and no lock locked. */
static void *transactions(void *unused) {
    aidb_write_options options = AIDB_WRITE_OPTIONS_INIT;
    bool was_set = false;
    options.sync = 1;
    (void)unused;
    for (;;) {
        returned(aidb_run_transaction(db, 1000, &options, change, NULL, NULL));
        returned(aidb_compare_and_set(db, "other", 5, NULL, 0, "value", 5, NULL, &was_set, NULL));
    }
    return NULL;
}

/* A thread that only reads from memory can be cancelled too. */
static void *reads(void *unused) {
    (void)unused;
    for (;;) {
        returned(aidb_contains(db, "key", 3, NULL, NULL));
    }
    return NULL;
}

static void free_iterator(void *iterator) {
    aidb_iter_free(iterator);
}

/* Without a cache every read goes to the disk. */
static void *reads_of_the_disk(void *unused) {
    aidb_read_options no_cache = AIDB_READ_OPTIONS_INIT;
    char key[8];
    int i;
    (void)unused;
    no_cache.fill_cache = 0;
    for (i = 0;; i = (i + 1) % 400) {
        char *value = NULL;
        size_t length = 0;
        snprintf(key, sizeof key, "%d", i);
        returned(aidb_get(db, key, strlen(key), &no_cache, &value, &length, NULL));
        aidb_free(value);
    }
    return NULL;
}

static void *walks(void *unused) {
    (void)unused;
    for (;;) {
        aidb_iterator *iterator = NULL;
        aidb_status status = aidb_iter_create(db, NULL, &iterator, NULL);
        if (status == AIDB_OK) {
            /* If it is cancelled in here, the thread leaves its iterator behind. */
            pthread_cleanup_push(free_iterator, iterator);
            status = aidb_iter_first(iterator, NULL);
            while (status == AIDB_OK) {
                status = aidb_iter_next(iterator, NULL);
            }
            pthread_cleanup_pop(1);
        }
        returned(status);
    }
    return NULL;
}

static void cancel_threads(void *(*work)(void *)) {
    int i, ended = 0;
    for (i = 0; i < CANCELLED_EACH; i++) {
        pthread_t thread;
        void *result = NULL;
        __atomic_store_n(&calls, 0, __ATOMIC_SEQ_CST);
        if (!CHECK(pthread_create(&thread, NULL, work, NULL) == 0)) {
            return;
        }
        while (__atomic_load_n(&calls, __ATOMIC_SEQ_CST) < CALLS_BEFORE) {
            sched_yield();
        }
        CHECK(pthread_cancel(thread) == 0);
        CHECK(pthread_join(thread, &result) == 0);
        ended += result == PTHREAD_CANCELED;
    }
    CHECK(ended == CANCELLED_EACH);
}

/* A callback runs inside the call. */
static void heard_of(void *heard, const char *key, size_t key_len, const char *value,
                     size_t value_len) {
    (void)key, (void)key_len, (void)value, (void)value_len;
    pthread_cancel(pthread_self());
    pthread_testcancel();
    *(int *)heard += 1;
}

static void *cancelled_in_a_callback(void *heard) {
    aidb_batch *batch = aidb_batch_new();
    aidb_batch_put(batch, "a", 1, "1", 1, NULL);
    aidb_batch_put(batch, "b", 1, "2", 1, NULL);
    returned(aidb_batch_iterate(batch, heard, heard_of, NULL, NULL));
    aidb_batch_free(batch);
    *(int *)heard += 10;
    /* Cancelled by now: this call only ends the thread. */
    aidb_put(db, "never", 5, "", 0, NULL, NULL);
    *(int *)heard += 100;
    return NULL;
}

int main(int argc, char **argv) {
    aidb_options *options = aidb_options_new();
    char *value = NULL;
    size_t length = 0;
    int heard = 0, i;
    void *result = NULL;
    pthread_t thread;
    if (argc != 2) {
        return 2;
    }
    directory = argv[1];
    CHECK(aidb_options_set(options, "write_buffer_size", "4096", NULL) == AIDB_OK);
    CHECK(aidb_options_set(options, "block_cache_size", "0", NULL) == AIDB_OK);
    CHECK(aidb_open(directory, options, &db, NULL) == AIDB_OK);
    aidb_options_free(options);
    cancel_threads(synced_puts);
    cancel_threads(flushes);
    cancel_threads(compactions);
    cancel_threads(lives);
    cancel_threads(reads);
    cancel_threads(transactions);
    for (i = 0; i < 400; i++) {
        char key[8], bytes[200];
        memset(bytes, i, sizeof bytes);
        snprintf(key, sizeof key, "%d", i);
        CHECK(aidb_put(db, key, strlen(key), bytes, sizeof bytes, NULL, NULL) == AIDB_OK);
    }
    CHECK(aidb_flush(db, NULL) == AIDB_OK);
    for (i = 0; i < 5; i++) {
        cancel_threads(reads_of_the_disk);
        cancel_threads(walks);
    }
    CHECK(refused == 0);

    CHECK(pthread_create(&thread, NULL, cancelled_in_a_callback, &heard) == 0);
    CHECK(pthread_join(thread, &result) == 0);
    CHECK(result == PTHREAD_CANCELED && heard == 12);
    CHECK(aidb_contains(db, "never", 5, NULL, NULL) == AIDB_NOT_FOUND);

    CHECK(aidb_put(db, "last", 4, "value", 5, NULL, NULL) == AIDB_OK);
    CHECK(aidb_flush(db, NULL) == AIDB_OK);
    CHECK(aidb_get(db, "key", 3, NULL, &value, &length, NULL) == AIDB_OK && length == 5);
    aidb_free(value);
    CHECK(aidb_close(db, NULL) == AIDB_OK);
    return REPORT();
}
