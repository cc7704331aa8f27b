/* Tests transactions as a C program uses them: test_transactions DIRECTORY
 *
 * The directory is created, and destroyed at the end. test_misuse.c has the wrong arguments, test_fork.c the children,
 * test_cancel.c the cancelled threads.
 */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "aidb.h"
#include "calls.h"
#include "check.h"

/* The program hangs if it takes this many seconds. */
#define LONGEST 300

static const char *path;

static aidb_db *open_db(void) {
    aidb_db *db = NULL;
    OK(aidb_open(path, NULL, &db, &error));
    return db;
}

static aidb_transaction *begin(aidb_db *db) {
    aidb_transaction *transaction = NULL;
    OK(aidb_transaction_begin(db, NULL, &transaction, &error));
    return transaction;
}

static void put(aidb_db *db, const char *key, const char *value) {
    OK(aidb_put(db, key, strlen(key), value, strlen(value), NULL, &error));
}

static void put_in(aidb_transaction *transaction, const char *key, const char *value) {
    OK(aidb_transaction_put(transaction, key, strlen(key), value, strlen(value), &error));
}

/* Whether `found`, which it frees, is `value`; NULL stands for absence. */
static int is_value(aidb_status status, char *found, size_t length, const char *value) {
    int same = status == AIDB_NOT_FOUND;
    if (value != NULL) {
        same = status == AIDB_OK && length == strlen(value) && memcmp(found, value, length + 1) == 0;
    }
    aidb_free(found);
    return same;
}

static int holds(aidb_db *db, const char *key, const char *value) {
    char *found = NULL;
    size_t length = 0;
    aidb_status status = aidb_get(db, key, strlen(key), NULL, &found, &length, NULL);
    return is_value(status, found, length, value);
}

static int sees(aidb_transaction *transaction, const char *key, const char *value) {
    char *found = NULL;
    size_t length = 0;
    aidb_status status = aidb_transaction_get(transaction, key, strlen(key), &found, &length, NULL);
    return is_value(status, found, length, value);
}

static aidb_iterator *over(aidb_transaction *transaction, const char *prefix) {
    aidb_iterator *iterator = NULL;
    aidb_iter_options options = AIDB_ITER_OPTIONS_INIT;
    options.prefix = prefix;
    options.prefix_len = strlen(prefix);
    OK(aidb_transaction_iter_create(transaction, &options, &iterator, &error));
    return iterator;
}

static int stands_on(aidb_iterator *iterator, const char *key) {
    size_t length = 0;
    const char *data = aidb_iter_key(iterator, &length);
    return data != NULL && length == strlen(key) && memcmp(data, key, length) == 0;
}

/* The statistic `name`. */
static long count_of(aidb_db *db, const char *name) {
    char quoted[64], *json = NULL, *at;
    long count = -1;
    OK(aidb_stats_json(db, &json, &error));
    sprintf(quoted, "\"%s\":", name);
    at = strstr(json, quoted);
    if (CHECK(at != NULL)) count = atol(at + strlen(quoted));
    aidb_free(json);
    return count;
}

static void test_own_writes_are_seen_and_others_are_not(aidb_db *db) {
    aidb_transaction *transaction;
    aidb_pinned *pinned = NULL;
    aidb_iterator *iterator;
    aidb_batch *batch = aidb_batch_new();
    const void *keys[] = {"a", "b", "c"};
    const size_t key_lens[] = {1, 1, 1};
    const char *values[3];
    size_t value_lens[3];
    char *buffer = NULL;
    put(db, "a", "1");
    put(db, "b", "1");
    transaction = begin(db);
    put_in(transaction, "c", "own");
    OK(aidb_transaction_delete(transaction, "b", 1, &error));
    put(db, "d", "later");
    CHECK(sees(transaction, "a", "1") && sees(transaction, "b", NULL) && sees(transaction, "c", "own"));
    CHECK(sees(transaction, "d", NULL) && holds(db, "b", "1") && holds(db, "c", NULL));
    OK(aidb_transaction_contains(transaction, "c", 1, &error));
    ABSENT(aidb_transaction_contains(transaction, "b", 1, &error));
    OK(aidb_transaction_get_many(transaction, 3, keys, key_lens, values, value_lens, &buffer, &error));
    CHECK(value_lens[0] == 1 && values[0][0] == '1' && values[1] == NULL && value_lens[1] == 0);
    CHECK(value_lens[2] == 3 && memcmp(values[2], "own", 3) == 0);
    aidb_free(buffer);

    /* An iterator has the writes from before it was made, and sees no later one. */
    iterator = over(transaction, "");
    put_in(transaction, "aa", "later");
    OK(aidb_iter_next(iterator, &error));
    CHECK(stands_on(iterator, "a"));
    OK(aidb_iter_next(iterator, &error));
    CHECK(stands_on(iterator, "c"));
    ABSENT(aidb_iter_next(iterator, &error));
    aidb_iter_free(iterator);

    OK(aidb_batch_put(batch, "e", 1, "batch", 5, &error));
    OK(aidb_batch_delete(batch, "aa", 2, &error));
    OK(aidb_transaction_write(transaction, batch, &error));
    aidb_batch_free(batch);
    CHECK(sees(transaction, "e", "batch") && sees(transaction, "aa", NULL));

    OK(aidb_transaction_get_pinned(transaction, "c", 1, &pinned, &error));
    OK(aidb_transaction_delete(transaction, "d", 1, &error));
    ABSENT(aidb_transaction_get_pinned(transaction, "d", 1, &pinned, &error));
    aidb_transaction_free(transaction);
    CHECK(aidb_pinned_len(pinned) == 3 && memcmp(aidb_pinned_data(pinned), "own", 3) == 0);
    aidb_pinned_free(pinned);
    CHECK(holds(db, "c", NULL) && holds(db, "e", NULL) && holds(db, "d", "later"));
}

static void test_commits_and_their_numbers(aidb_db *db) {
    aidb_transaction *transaction = begin(db);
    aidb_snapshot *snapshot = NULL;
    aidb_write_options options = AIDB_WRITE_OPTIONS_INIT;
    uint64_t before, sequence = 0;
    OK(aidb_snapshot_create(db, &snapshot, &error));
    before = aidb_snapshot_sequence(snapshot);
    aidb_snapshot_release(snapshot);
    options.sync = 1;
    options.sequence_out = &sequence;
    put_in(transaction, "x", "1");
    put_in(transaction, "y", "1");
    put_in(transaction, "x", "2");
    OK(aidb_transaction_commit(transaction, &options, &error));
    CHECK(sequence == before + 2 && holds(db, "x", "2") && holds(db, "y", "1"));
    aidb_transaction_free(transaction);

    /* Without writes it has nothing to compare, and takes no number. */
    transaction = begin(db);
    CHECK(sees(transaction, "x", "2"));
    put(db, "x", "3");
    sequence = 0;
    OK(aidb_transaction_commit(transaction, &options, &error));
    CHECK(sequence == before + 2);
    aidb_transaction_free(transaction);

    /* A wrong argument does not end it. */
    transaction = begin(db);
    put_in(transaction, "x", "4");
    options.reserved = 1;
    FAILS(AIDB_UNSUPPORTED, "reserved", aidb_transaction_commit(transaction, &options, &error));
    OK(aidb_transaction_commit(transaction, NULL, &error));
    CHECK(holds(db, "x", "4"));
    aidb_transaction_free(transaction);
}

/* The ways of reading a key; a transaction that has read one conflicts with a change of it. */
static void read_key(aidb_transaction *transaction, int way, const char *key) {
    const void *keys[1];
    size_t length = strlen(key), value_len = 0;
    const char *value;
    char *buffer = NULL;
    aidb_pinned *pinned = NULL;
    aidb_iterator *iterator;
    keys[0] = key;
    switch (way) {
    case 0: sees(transaction, key, NULL); break;
    case 1: aidb_transaction_contains(transaction, key, length, NULL); break;
    case 2:
        aidb_transaction_get_pinned(transaction, key, length, &pinned, NULL);
        aidb_pinned_free(pinned);
        break;
    case 3:
        OK(aidb_transaction_get_many(transaction, 1, keys, &length, &value, &value_len, &buffer, &error));
        aidb_free(buffer);
        break;
    default:
        iterator = over(transaction, key);
        (void)aidb_iter_next(iterator, NULL);
        aidb_iter_free(iterator);
    }
}

static void test_what_is_read_conflicts_with_changes(aidb_db *db) {
    int way, is_there, is_deleted;
    for (way = 0; way <= 4; way++) {
        for (is_there = 0; is_there <= 1; is_there++) {
            for (is_deleted = 0; is_deleted <= is_there; is_deleted++) {
                aidb_transaction *transaction;
                OK(aidb_delete(db, "key", 3, NULL, &error));
                OK(aidb_delete(db, "own", 3, NULL, &error));
                if (is_there) put(db, "key", "1");
                transaction = begin(db);
                read_key(transaction, way, "key");
                put_in(transaction, "own", "1");
                if (is_deleted) {
                    OK(aidb_delete(db, "key", 3, NULL, &error));
                } else {
                    put(db, "key", "2");
                }
                FAILS(AIDB_CONFLICT, "run it again", aidb_transaction_commit(transaction, NULL, &error));
                CHECK(holds(db, "own", NULL));
                FAILS(AIDB_CLOSED, "conflict", aidb_transaction_put(transaction, "k", 1, "v", 1, &error));
                aidb_transaction_free(transaction);
            }
        }
    }
}

static void test_what_does_not_conflict(aidb_db *db) {
    aidb_transaction *blind = begin(db), *reader = NULL, *other = begin(db);
    aidb_transaction_options options = AIDB_TRANSACTION_OPTIONS_INIT;
    char *value = NULL;
    size_t length = 0;
    options.read_only = 1;
    put(db, "key", "1");
    OK(aidb_transaction_begin(db, &options, &reader, &error));
    put_in(blind, "key", "blind");
    CHECK(sees(blind, "key", "blind"));
    OK(aidb_transaction_get(reader, "key", 3, &value, &length, &error));
    aidb_free(value);
    FAILS(AIDB_INVALID_ARGUMENT, "read_only", aidb_transaction_put(reader, "key", 3, "v", 1, &error));
    /* Another key. */
    CHECK(sees(other, "elsewhere", NULL));
    put_in(other, "other", "1");
    put(db, "key", "changed");
    OK(aidb_transaction_commit(blind, NULL, &error));
    OK(aidb_transaction_commit(reader, NULL, &error));
    OK(aidb_transaction_commit(other, NULL, &error));
    CHECK(holds(db, "key", "blind") && holds(db, "other", "1"));
    aidb_transaction_free(blind);
    aidb_transaction_free(reader);
    aidb_transaction_free(other);
}

static void test_an_iterator_reads_as_far_as_it_stands(aidb_db *db) {
    aidb_transaction *first, *all, *many;
    aidb_iterator *iterator;
    aidb_entry entry;
    char buffer[64];
    size_t count = 0;
    put(db, "job/1", "a");
    put(db, "job/2", "b");
    put(db, "job/3", "c");
    first = begin(db);
    iterator = over(first, "job/");
    OK(aidb_iter_next(iterator, &error));
    CHECK(stands_on(iterator, "job/1"));
    aidb_iter_free(iterator);
    OK(aidb_transaction_delete(first, "job/1", 5, &error));

    all = begin(db);
    iterator = over(all, "job/");
    while (aidb_iter_next(iterator, NULL) == AIDB_OK) continue;
    aidb_iter_free(iterator);
    put_in(all, "count", "3");

    many = begin(db);
    iterator = over(many, "job/");
    OK(aidb_iter_next_many(iterator, &entry, 1, buffer, sizeof buffer, &count, NULL, &error));
    CHECK(count == 1 && stands_on(iterator, "job/2"));
    aidb_iter_free(iterator);
    put_in(many, "many", "1");

    put(db, "job/2", "changed");
    put(db, "job/4", "d");
    OK(aidb_transaction_commit(first, NULL, &error));
    CHECK(holds(db, "job/1", NULL));
    FAILS(AIDB_CONFLICT, "", aidb_transaction_commit(all, NULL, &error));
    FAILS(AIDB_CONFLICT, "", aidb_transaction_commit(many, NULL, &error));
    aidb_transaction_free(first);
    aidb_transaction_free(all);
    aidb_transaction_free(many);
}

static void test_iterators_end_with_their_transaction(aidb_db *db) {
    aidb_transaction *transaction = begin(db);
    aidb_snapshot *snapshot = NULL;
    aidb_iter_options options = AIDB_ITER_OPTIONS_INIT;
    aidb_iterator *iterator = NULL;
    OK(aidb_snapshot_create(db, &snapshot, &error));
    options.snapshot = snapshot;
    FAILS(AIDB_INVALID_ARGUMENT, "snapshot", aidb_transaction_iter_create(transaction, &options, &iterator, &error));
    aidb_snapshot_release(snapshot);

    put_in(transaction, "it/1", "1");
    put_in(transaction, "it/2", "2");
    options.snapshot = NULL;
    options.prefix = "it/";
    options.prefix_len = 3;
    options.reverse = 1;
    OK(aidb_transaction_iter_create(transaction, &options, &iterator, &error));
    OK(aidb_iter_next(iterator, &error));
    CHECK(stands_on(iterator, "it/2"));
    OK(aidb_transaction_rollback(transaction, &error));
    FAILS(AIDB_CLOSED, "rolled back", aidb_iter_next(iterator, &error));
    FAILS(AIDB_CLOSED, "rolled back", aidb_iter_first(iterator, &error));
    aidb_transaction_free(transaction);
    FAILS(AIDB_CLOSED, "rolled back", aidb_iter_first(iterator, &error));
    aidb_iter_free(iterator);
}

static void test_savepoints(aidb_db *db) {
    aidb_transaction *transaction = begin(db);
    uint64_t first = 0, second = 0;
    put_in(transaction, "s/1", "1");
    OK(aidb_transaction_savepoint(transaction, &first, &error));
    put_in(transaction, "s/2", "2");
    OK(aidb_transaction_savepoint(transaction, &second, &error));
    CHECK(first == 1 && second == 2);
    put_in(transaction, "s/1", "3");
    OK(aidb_transaction_rollback_to(transaction, second, &error));
    CHECK(sees(transaction, "s/1", "1") && sees(transaction, "s/2", "2"));
    put_in(transaction, "s/1", "4");
    OK(aidb_transaction_rollback_to(transaction, first, &error));
    OK(aidb_transaction_rollback_to(transaction, first, &error));
    CHECK(sees(transaction, "s/1", "1") && sees(transaction, "s/2", NULL));
    FAILS(AIDB_INVALID_ARGUMENT, "savepoint", aidb_transaction_rollback_to(transaction, second, &error));
    FAILS(AIDB_INVALID_ARGUMENT, "savepoint", aidb_transaction_rollback_to(transaction, 0, &error));
    OK(aidb_transaction_commit(transaction, NULL, &error));
    FAILS(AIDB_CLOSED, "committed", aidb_transaction_rollback_to(transaction, first, &error));
    aidb_transaction_free(transaction);
    CHECK(holds(db, "s/1", "1") && holds(db, "s/2", NULL));
}

static void test_calls_after_the_end(aidb_db *db) {
    aidb_transaction *transaction = begin(db);
    aidb_iterator *iterator = NULL;
    char *value = NULL;
    size_t length = 0;
    uint64_t savepoint = 0;
    put_in(transaction, "end", "1");
    OK(aidb_transaction_commit(transaction, NULL, &error));
    FAILS(AIDB_CLOSED, "committed", aidb_transaction_commit(transaction, NULL, &error));
    FAILS(AIDB_CLOSED, "committed", aidb_transaction_get(transaction, "end", 3, &value, &length, &error));
    FAILS(AIDB_CLOSED, "committed", aidb_transaction_delete(transaction, "end", 3, &error));
    FAILS(AIDB_CLOSED, "committed", aidb_transaction_savepoint(transaction, &savepoint, &error));
    FAILS(AIDB_CLOSED, "committed", aidb_transaction_iter_create(transaction, NULL, &iterator, &error));
    OK(aidb_transaction_rollback(transaction, &error));
    CHECK(holds(db, "end", "1"));
    aidb_transaction_free(transaction);
    aidb_transaction_free(transaction);
    aidb_transaction_free(NULL);
    FAILS(AIDB_CLOSED, "transaction", aidb_transaction_rollback(transaction, &error));
    FAILS(AIDB_CLOSED, "transaction", aidb_transaction_put(transaction, "end", 3, "2", 1, &error));
    transaction = begin(db);
    OK(aidb_transaction_rollback(transaction, &error));
    OK(aidb_transaction_rollback(transaction, &error));
    FAILS(AIDB_CLOSED, "rolled back", aidb_transaction_commit(transaction, NULL, &error));
    aidb_transaction_free(transaction);
    CHECK(count_of(db, "transactions_open") == 0);
}

static void test_transactions_outlive_their_database(void) {
    aidb_db *db = open_db();
    aidb_transaction *transaction = begin(db);
    aidb_iterator *iterator = over(transaction, "");
    put_in(transaction, "lost", "1");
    OK(aidb_close(db, &error));
    FAILS(AIDB_CLOSED, "closed", aidb_transaction_put(transaction, "k", 1, "v", 1, &error));
    FAILS(AIDB_CLOSED, "closed", aidb_transaction_commit(transaction, NULL, &error));
    FAILS(AIDB_CLOSED, "closed", aidb_iter_next(iterator, &error));
    FAILS(AIDB_CLOSED, "", aidb_transaction_begin(db, NULL, &transaction, &error));
    OK(aidb_transaction_rollback(transaction, &error));
    aidb_transaction_free(transaction);
    aidb_iter_free(iterator);
    db = open_db();
    CHECK(holds(db, "lost", NULL));
    OK(aidb_close(db, &error));
}

/* An AddressSanitizer, of this program or of the library, keeps freed memory for a while. */
#if defined(__SANITIZE_ADDRESS__) || defined(SANITIZED_LIBRARY)
#define KEEPS_FREED_MEMORY 1
#else
#define KEEPS_FREED_MEMORY 0
#endif

/* KiB of memory that this process has; 0 if the system does not report it. */
static long resident(void) {
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL) return 0;
    if (fscanf(file, "%*d %ld", &pages) != 1) pages = 0;
    fclose(file);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

/* Fills transactions of many databases, which it closes, and keeps the handles. */
static void test_a_close_takes_the_writes_of_transactions(void) {
    enum { DATABASES = 44, FIRST = 4, WRITES = 1000, MAX_KIB_EACH = 256 };
    static aidb_transaction *transactions[DATABASES];
    static char value[1000];
    long first = 0;
    int at, number;
    for (at = 0; at < DATABASES; at++) {
        aidb_db *db = open_db();
        transactions[at] = begin(db);
        for (number = 0; number < WRITES; number++) {
            OK(aidb_transaction_put(transactions[at], &number, sizeof number, value, sizeof value, &error));
        }
        OK(aidb_close(db, &error));
        if (at + 1 == FIRST) first = resident();
    }
    CHECK(KEEPS_FREED_MEMORY || resident() <= first + (DATABASES - FIRST) * MAX_KIB_EACH);
    for (at = 0; at < DATABASES; at++) aidb_transaction_free(transactions[at]);
}

static void test_an_unused_transaction_times_out(void) {
    aidb_db *db = NULL;
    aidb_options *options = aidb_options_new();
    aidb_transaction *transaction;
    aidb_error *error = NULL;
    OK(aidb_options_set(options, "transaction_timeout", "1", &error));
    OK(aidb_open(path, options, &db, &error));
    aidb_options_free(options);
    transaction = begin(db);
    while (count_of(db, "transactions_timed_out") == 0) sched_yield();
    CHECK(aidb_transaction_put(transaction, "late", 4, "1", 1, &error) == AIDB_CONFLICT);
    CHECK(aidb_error_is_retryable(error) && strstr(aidb_error_message(error), "transaction_timeout") != NULL);
    aidb_error_free(error);
    FAILS(AIDB_CONFLICT, "transaction_timeout", aidb_transaction_commit(transaction, NULL, &error));
    aidb_transaction_free(transaction);
    OK(aidb_close(db, &error));
}

/* ---- aidb_run_transaction. ---- */

enum way { COMMITS, CONFLICTS, IS_ABSENT, FAILS_WITH_ERROR, FAILS_SILENTLY, ASKS_AGAIN, UNKNOWN, COMMITS_ITSELF, FREES };

struct work {
    aidb_db *db;
    enum way way;
    /* In so many attempts the work is disturbed by another write. */
    unsigned disturbed;
    unsigned calls;
    aidb_transaction *last;
};

static int32_t do_work(void *context, aidb_transaction *transaction, aidb_error **error) {
    struct work *work = context;
    work->calls++;
    work->last = transaction;
    (void)sees(transaction, "run", NULL);
    if (aidb_transaction_put(transaction, "ran", 3, "1", 1, error) != AIDB_OK) return AIDB_INTERNAL;
    switch (work->way) {
    case CONFLICTS:
        if (work->calls <= work->disturbed) put(work->db, "run", "changed");
        return AIDB_OK;
    case IS_ABSENT: return AIDB_NOT_FOUND;
    case FAILS_WITH_ERROR: return aidb_transaction_put(transaction, NULL, 7, "1", 1, error);
    case FAILS_SILENTLY: return AIDB_IO;
    case ASKS_AGAIN: return work->calls <= work->disturbed ? AIDB_CONFLICT : AIDB_OK;
    case UNKNOWN: return 1234;
    case COMMITS_ITSELF: return aidb_transaction_commit(transaction, NULL, error);
    case FREES:
        aidb_transaction_free(transaction);
        (void)aidb_transaction_put(NULL, "k", 1, "v", 1, error);
        aidb_error_free(*error);
        return AIDB_INVALID_ARGUMENT;
    default: return AIDB_OK;
    }
}

/* Runs the work in one way, and checks the status, a part of the message, the number of calls, and the result. */
static void runs(aidb_db *db, enum way way, unsigned disturbed, aidb_status wanted, const char *text, unsigned calls) {
    struct work work = {NULL, COMMITS, 0, 0, NULL};
    aidb_write_options options = AIDB_WRITE_OPTIONS_INIT;
    uint64_t sequence = 0;
    work.db = db;
    work.way = way;
    work.disturbed = disturbed;
    options.sequence_out = &sequence;
    OK(aidb_delete(db, "ran", 3, NULL, &error));
    if (wanted == AIDB_OK) {
        OK(aidb_run_transaction(db, 5, &options, do_work, &work, &error));
    } else if (wanted == AIDB_NOT_FOUND) {
        ABSENT(aidb_run_transaction(db, 5, &options, do_work, &work, &error));
    } else {
        FAILS(wanted, text, aidb_run_transaction(db, 5, &options, do_work, &work, &error));
    }
    CHECK(work.calls == calls && (sequence > 0) == (wanted == AIDB_OK));
    CHECK(holds(db, "ran", wanted == AIDB_OK || way == COMMITS_ITSELF ? "1" : NULL));
    CHECK(aidb_transaction_rollback(work.last, NULL) == AIDB_CLOSED);
    work.calls = 0;
    CHECK(aidb_run_transaction(db, 5, NULL, do_work, &work, NULL) == wanted && work.calls == calls);
    CHECK(count_of(db, "transactions_open") == 0);
}

static void test_run_transaction(aidb_db *db) {
    const long conflicts = count_of(db, "transaction_conflicts");
    struct work work = {NULL, COMMITS, 0, 0, NULL};
    runs(db, COMMITS, 0, AIDB_OK, "", 1);
    runs(db, CONFLICTS, 4, AIDB_OK, "", 5);
    runs(db, CONFLICTS, 5, AIDB_CONFLICT, "after 5 attempts", 5);
    CHECK(count_of(db, "transaction_conflicts") == conflicts + 2 * (4 + 5));
    runs(db, IS_ABSENT, 0, AIDB_NOT_FOUND, "", 1);
    runs(db, FAILS_WITH_ERROR, 0, AIDB_INVALID_ARGUMENT, "key is NULL and its length 7", 1);
    runs(db, FAILS_SILENTLY, 0, AIDB_IO, "the callback returned AIDB_IO", 1);
    runs(db, ASKS_AGAIN, 3, AIDB_OK, "", 4);
    runs(db, ASKS_AGAIN, 9, AIDB_CONFLICT, "the callback returned AIDB_CONFLICT", 5);
    runs(db, UNKNOWN, 0, AIDB_INVALID_ARGUMENT, "1234", 1);
    runs(db, COMMITS_ITSELF, 0, AIDB_CLOSED, "committed", 1);
    runs(db, FREES, 0, AIDB_INVALID_ARGUMENT, "the callback returned AIDB_INVALID_ARGUMENT", 1);
    FAILS(AIDB_INVALID_ARGUMENT, "attempts is 0", aidb_run_transaction(db, 0, NULL, do_work, &work, &error));
    FAILS(AIDB_INVALID_ARGUMENT, "work is NULL", aidb_run_transaction(db, 1, NULL, NULL, &work, &error));
    CHECK(work.calls == 0);
}

/* ---- One call. ---- */

static bool sets(aidb_db *db, const char *expected, const char *value) {
    bool was_set = false;
    OK(aidb_compare_and_set(db, "one", 3, expected, expected ? strlen(expected) : 0, value, value ? strlen(value) : 0,
                            NULL, &was_set, &error));
    return was_set;
}

static void test_one_call(aidb_db *db) {
    aidb_write_options options = AIDB_WRITE_OPTIONS_INIT;
    uint64_t sequence = 0;
    bool was_put = false;
    char *previous = NULL;
    size_t length = 0;
    CHECK(!sets(db, "1", "2") && holds(db, "one", NULL));
    CHECK(sets(db, NULL, "") && holds(db, "one", ""));
    CHECK(!sets(db, NULL, "2") && holds(db, "one", ""));
    CHECK(sets(db, "", "2") && holds(db, "one", "2"));
    CHECK(!sets(db, "3", NULL) && sets(db, "2", NULL) && holds(db, "one", NULL));
    CHECK(sets(db, NULL, NULL) && holds(db, "one", NULL));

    options.sync = 1;
    OK(aidb_put_if_absent(db, "one", 3, "1", 1, &options, &was_put, &error));
    CHECK(was_put);
    OK(aidb_put_if_absent(db, "one", 3, "2", 1, &options, &was_put, &error));
    CHECK(!was_put && holds(db, "one", "1"));

    OK(aidb_get_and_put(db, "one", 3, "", 0, &options, &previous, &length, &error));
    CHECK(is_value(AIDB_OK, previous, length, "1") && holds(db, "one", ""));
    OK(aidb_get_and_delete(db, "one", 3, &options, &previous, &length, &error));
    CHECK(is_value(AIDB_OK, previous, length, "") && holds(db, "one", NULL));
    previous = NULL;
    length = 77;
    ABSENT(aidb_get_and_delete(db, "one", 3, NULL, &previous, &length, &error));
    ABSENT(aidb_get_and_put(db, "one", 3, "first", 5, NULL, &previous, &length, &error));
    CHECK(previous == NULL && length == 77 && holds(db, "one", "first"));

    options.sequence_out = &sequence;
    FAILS(AIDB_INVALID_ARGUMENT, "sequence_out",
          aidb_put_if_absent(db, "one", 3, "2", 1, &options, &was_put, &error));
    FAILS(AIDB_INVALID_ARGUMENT, "sequence_out",
          aidb_get_and_delete(db, "one", 3, &options, &previous, &length, &error));
    FAILS(AIDB_INVALID_ARGUMENT, "was_set_out is NULL",
          aidb_compare_and_set(db, "one", 3, NULL, 0, "2", 1, NULL, NULL, &error));
    FAILS(AIDB_INVALID_ARGUMENT, "expected is NULL",
          aidb_compare_and_set(db, "one", 3, NULL, 1, "2", 1, NULL, &was_put, &error));
    CHECK(holds(db, "one", "first"));
    OK(aidb_delete(db, "one", 3, NULL, &error));
}

static void test_read_only_databases_refuse(void) {
    aidb_db *db = NULL;
    aidb_options *options = aidb_options_new();
    aidb_transaction *transaction;
    bool was_put = false;
    char *previous = NULL;
    size_t length = 0;
    OK(aidb_options_set_flag(options, "read_only", 1, &error));
    OK(aidb_open(path, options, &db, &error));
    aidb_options_free(options);
    transaction = begin(db);
    FAILS(AIDB_INVALID_ARGUMENT, "read", aidb_transaction_put(transaction, "k", 1, "v", 1, &error));
    OK(aidb_transaction_commit(transaction, NULL, &error));
    aidb_transaction_free(transaction);
    FAILS(AIDB_INVALID_ARGUMENT, "read", aidb_put_if_absent(db, "k", 1, "v", 1, NULL, &was_put, &error));
    FAILS(AIDB_INVALID_ARGUMENT, "read", aidb_get_and_put(db, "k", 1, "v", 1, NULL, &previous, &length, &error));
    FAILS(AIDB_INVALID_ARGUMENT, "read", aidb_get_and_delete(db, "no", 2, NULL, &previous, &length, &error));
    OK(aidb_close(db, &error));
}

/* ---- Threads. ---- */

enum { TAKERS = 8, JOBS = 400 };

struct taker {
    aidb_db *db;
    unsigned taken[JOBS];
    /* The job of the last attempt. */
    unsigned job;
};

static int32_t take_job(void *context, aidb_transaction *transaction, aidb_error **error) {
    struct taker *taker = context;
    aidb_iter_options options = AIDB_ITER_OPTIONS_INIT;
    aidb_iterator *iterator = NULL;
    aidb_status status;
    options.prefix = "jobs/";
    options.prefix_len = 5;
    status = aidb_transaction_iter_create(transaction, &options, &iterator, error);
    if (status == AIDB_OK) status = aidb_iter_next(iterator, error);
    if (status == AIDB_OK) {
        size_t length;
        const char *key = aidb_iter_key(iterator, &length);
        taker->job = (unsigned)atoi(key + 5);
        status = aidb_transaction_delete(transaction, key, length, error);
    }
    aidb_iter_free(iterator);
    return status;
}

static void *take_jobs(void *context) {
    struct taker *taker = context;
    for (;;) {
        const aidb_status status = aidb_run_transaction(taker->db, UINT32_MAX, NULL, take_job, taker, NULL);
        if (status != AIDB_OK) {
            CHECK(status == AIDB_NOT_FOUND);
            return NULL;
        }
        taker->taken[taker->job]++;
    }
}

static void test_each_job_is_taken_once(aidb_db *db) {
    static struct taker takers[TAKERS];
    pthread_t threads[TAKERS];
    char key[32];
    unsigned at, job;
    OK(aidb_compact_range(db, NULL, 0, NULL, 0, &error));
    for (job = 0; job < JOBS; job++) {
        sprintf(key, "jobs/%06u", job);
        put(db, key, "work");
    }
    for (at = 0; at < TAKERS; at++) {
        takers[at].db = db;
        CHECK(pthread_create(&threads[at], NULL, take_jobs, &takers[at]) == 0);
    }
    for (at = 0; at < TAKERS; at++) CHECK(pthread_join(threads[at], NULL) == 0);
    for (job = 0; job < JOBS; job++) {
        unsigned times = 0;
        for (at = 0; at < TAKERS; at++) times += takers[at].taken[job];
        CHECK(times == 1);
    }
    CHECK(count_of(db, "transactions_open") == 0);
}

struct shared {
    aidb_transaction *transaction;
    int *was_refused;
};

static void *use_until_refused(void *context) {
    const struct shared *shared = context;
    while (!__atomic_load_n(shared->was_refused, __ATOMIC_SEQ_CST)) {
        aidb_error *error = NULL;
        const aidb_status status = aidb_transaction_contains(shared->transaction, "shared", 6, &error);
        if (status == AIDB_INVALID_ARGUMENT) {
            CHECK(strstr(aidb_error_message(error), "another thread") != NULL);
            __atomic_store_n(shared->was_refused, 1, __ATOMIC_SEQ_CST);
        } else {
            CHECK(status == AIDB_NOT_FOUND);
        }
        aidb_error_free(error);
    }
    return NULL;
}

static void test_two_threads_in_one_transaction(aidb_db *db) {
    struct shared shared;
    pthread_t threads[4];
    int at, was_refused = 0;
    shared.transaction = begin(db);
    shared.was_refused = &was_refused;
    for (at = 0; at < 4; at++) CHECK(pthread_create(&threads[at], NULL, use_until_refused, &shared) == 0);
    for (at = 0; at < 4; at++) CHECK(pthread_join(threads[at], NULL) == 0);
    CHECK(sees(shared.transaction, "shared", NULL));
    aidb_transaction_free(shared.transaction);
}

int main(int argc, char **argv) {
    aidb_db *db;
    if (argc != 2) {
        return 2;
    }
    path = argv[1];
    alarm(LONGEST);
    db = open_db();
    test_own_writes_are_seen_and_others_are_not(db);
    test_commits_and_their_numbers(db);
    test_what_is_read_conflicts_with_changes(db);
    test_what_does_not_conflict(db);
    test_an_iterator_reads_as_far_as_it_stands(db);
    test_iterators_end_with_their_transaction(db);
    test_savepoints(db);
    test_calls_after_the_end(db);
    test_run_transaction(db);
    test_one_call(db);
    test_each_job_is_taken_once(db);
    test_two_threads_in_one_transaction(db);
    OK(aidb_close(db, &error));
    test_transactions_outlive_their_database();
    test_a_close_takes_the_writes_of_transactions();
    test_an_unused_transaction_times_out();
    test_read_only_databases_refuse();
    OK(aidb_destroy(path, NULL, &error));
    return REPORT();
}
