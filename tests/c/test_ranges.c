/* Tests range deletes through the C API: test_ranges DIRECTORY
 *
 * The directory is created, and destroyed at the end. The engine's own tests have what a range delete does in flushes,
 * compactions and crashes; this has what C programs pass and get.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "aidb.h"
#include "calls.h"
#include "check.h"

static const char *path;

static aidb_db *open_db(bool is_read_only) {
    aidb_db *db = NULL;
    aidb_options *options = aidb_options_new();
    OK(aidb_options_set_flag(options, "read_only", is_read_only, &error));
    OK(aidb_open(path, options, &db, &error));
    aidb_options_free(options);
    return db;
}

/* Puts each of the keys "a", "b", "ba", "c" and "\xff\xff". */
static void fill(aidb_db *db) {
    static const char *const KEYS[] = {"a", "b", "ba", "c", "\xff\xff"};
    size_t at;
    for (at = 0; at < sizeof KEYS / sizeof *KEYS; at++) {
        OK(aidb_put(db, KEYS[at], strlen(KEYS[at]), "v", 1, NULL, &error));
    }
}

/* The keys that an iterator shows, each with a space after it; releases it. */
static void take_keys(aidb_iterator *iterator, char *into, size_t size) {
    size_t used = 0, length = 0;
    aidb_status status = aidb_iter_first(iterator, NULL);
    for (; status == AIDB_OK; status = aidb_iter_next(iterator, NULL)) {
        const char *key = aidb_iter_key(iterator, &length);
        if (!CHECK(used + length + 2 <= size)) break;
        memcpy(into + used, key, length);
        into[used + length] = ' ';
        used += length + 1;
    }
    CHECK(status == AIDB_NOT_FOUND);
    into[used] = '\0';
    aidb_iter_free(iterator);
}

/* Whether the database has exactly these keys, as of `snapshot` (NULL: now). */
static int has(aidb_db *db, const char *keys, aidb_snapshot *snapshot) {
    char found[200] = "";
    aidb_iter_options options = AIDB_ITER_OPTIONS_INIT;
    aidb_iterator *iterator = NULL;
    options.snapshot = snapshot;
    OK(aidb_iter_create(db, &options, &iterator, &error));
    take_keys(iterator, found, sizeof found);
    if (strcmp(found, keys) != 0) fprintf(stderr, "    has: %s\n", found);
    return strcmp(found, keys) == 0;
}

#define ALL_KEYS "a b ba c \xff\xff "

static void test_bounds(aidb_db *db) {
    fill(db);
    OK(aidb_delete_range(db, "b", 1, "c", 1, NULL, &error));
    CHECK(has(db, "a c \xff\xff ", NULL));
    fill(db);
    OK(aidb_delete_range(db, NULL, 0, "b", 1, NULL, &error));
    CHECK(has(db, "b ba c \xff\xff ", NULL));
    fill(db);
    OK(aidb_delete_range(db, "ba", 2, NULL, 0, NULL, &error));
    CHECK(has(db, "a b ", NULL));
    fill(db);
    OK(aidb_delete_range(db, NULL, 0, NULL, 0, NULL, &error));
    CHECK(has(db, "", NULL));
    fill(db);
    OK(aidb_delete_prefix(db, "b", 1, NULL, &error));
    CHECK(has(db, "a c \xff\xff ", NULL));
    OK(aidb_delete_prefix(db, "\xff", 1, NULL, &error));
    CHECK(has(db, "a c ", NULL));
    OK(aidb_delete_prefix(db, NULL, 0, NULL, &error));
    CHECK(has(db, "", NULL));
    fill(db);
    OK(aidb_delete_prefix(db, "", 0, NULL, &error));
    CHECK(has(db, "", NULL));
}

static void test_wrong_ranges(aidb_db *db) {
    aidb_batch *batch = aidb_batch_new();
    aidb_transaction *transaction = NULL;
    uint64_t sequence = 0, same = 0;
    aidb_write_options options = AIDB_WRITE_OPTIONS_INIT;
    fill(db);
    OK(aidb_transaction_begin(db, NULL, &transaction, &error));
    FAILS(AIDB_INVALID_ARGUMENT, "end must be at least start", aidb_delete_range(db, "b", 1, "a", 1, NULL, &error));
    FAILS(AIDB_INVALID_ARGUMENT, "end must be at least start", aidb_batch_delete_range(batch, "b", 1, "", 0, &error));
    FAILS(AIDB_INVALID_ARGUMENT, "end must be at least start",
          aidb_transaction_delete_range(transaction, "b", 1, "a", 1, &error));
    FAILS(AIDB_INVALID_ARGUMENT, "start", aidb_delete_range(db, NULL, 1, "a", 1, NULL, &error));
    FAILS(AIDB_INVALID_ARGUMENT, "end", aidb_batch_delete_range(batch, "a", 1, NULL, 1, &error));
    FAILS(AIDB_INVALID_ARGUMENT, "prefix", aidb_delete_prefix(db, NULL, 1, NULL, &error));
    FAILS(AIDB_INVALID_ARGUMENT, "prefix", aidb_transaction_delete_prefix(transaction, NULL, 1, &error));
    CHECK(aidb_batch_count(batch) == 0);
    /* An empty range: there is nothing to write, and no number to take. */
    options.sequence_out = &sequence;
    OK(aidb_delete_range(db, "c", 1, "d", 1, &options, &error));
    options.sequence_out = &same;
    OK(aidb_delete_range(db, "a", 1, "a", 1, &options, &error));
    OK(aidb_delete_range(db, NULL, 0, "", 0, NULL, &error));
    CHECK(same == sequence && sequence > 0);
    OK(aidb_batch_delete_range(batch, "a", 1, "a", 1, &error));
    OK(aidb_transaction_delete_range(transaction, "a", 1, "a", 1, &error));
    OK(aidb_transaction_commit(transaction, NULL, &error));
    CHECK(aidb_batch_count(batch) == 0 && has(db, "a b ba \xff\xff ", NULL));
    aidb_transaction_free(transaction);
    FAILS(AIDB_CLOSED, "", aidb_transaction_delete_range(transaction, NULL, 0, NULL, 0, &error));
    aidb_batch_free(batch);
    FAILS(AIDB_CLOSED, "batch", aidb_batch_delete_prefix(batch, "a", 1, &error));
}

/* ---- Batches. ---- */

struct told {
    char text[300];
    unsigned calls, stop_after;
};

static int32_t tell(void *context, const aidb_operation *operation) {
    struct told *told = context;
    char *at = told->text + strlen(told->text);
    const int key_len = (int)operation->key_len;
    CHECK(operation->struct_size == sizeof *operation && operation->reserved == 0 && operation->key != NULL);
    CHECK(operation->kind == AIDB_OPERATION_PUT || (operation->value == NULL && operation->value_len == 0));
    CHECK(operation->kind == AIDB_OPERATION_DELETE_RANGE || (operation->end == NULL && operation->end_len == 0));
    switch (operation->kind) {
    case AIDB_OPERATION_PUT:
        sprintf(at, "+%.*s=%.*s ", key_len, operation->key, (int)operation->value_len, operation->value);
        break;
    case AIDB_OPERATION_DELETE: sprintf(at, "-%.*s ", key_len, operation->key); break;
    case AIDB_OPERATION_DELETE_RANGE:
        sprintf(at, "[%.*s,%.*s) ", key_len, operation->key, operation->end != NULL ? (int)operation->end_len : 1,
                operation->end != NULL ? operation->end : "*");
        break;
    default: CHECK(!"a kind of operation that is not known");
    }
    told->calls++;
    return told->calls == told->stop_after;
}

static void never_put(void *context, const char *key, size_t key_len, const char *value, size_t value_len) {
    (void)key, (void)key_len, (void)value, (void)value_len;
    *(int *)context += 1;
}

static void test_batches(aidb_db *db) {
    aidb_batch *batch = aidb_batch_new(), *copy = aidb_batch_new();
    struct told told = {"", 0, 0}, stopped = {"", 0, 3};
    int puts = 0;
    OK(aidb_batch_put(batch, "a", 1, "", 0, &error));
    OK(aidb_batch_delete(batch, "", 0, &error));
    OK(aidb_batch_delete_range(batch, "a", 1, "c", 1, &error));
    OK(aidb_batch_delete_range(batch, NULL, 0, NULL, 0, &error));
    OK(aidb_batch_delete_prefix(batch, "b", 1, &error));
    OK(aidb_batch_delete_prefix(batch, "\xff", 1, &error));
    OK(aidb_batch_put(batch, "b", 1, "new", 3, &error));
    OK(aidb_batch_append(copy, batch, &error));
    CHECK(aidb_batch_count(copy) == 7);
    OK(aidb_batch_operations(copy, &told, tell, &error));
    CHECK(strcmp(told.text, "+a= - [a,c) [,*) [b,c) [\xff,*) +b=new ") == 0);
    OK(aidb_batch_operations(copy, &stopped, tell, &error));
    CHECK(stopped.calls == 3);
    FAILS(AIDB_UNSUPPORTED, "aidb_batch_operations", aidb_batch_iterate(copy, &puts, never_put, NULL, &error));
    CHECK(puts == 0);
    FAILS(AIDB_INVALID_ARGUMENT, "on_operation", aidb_batch_operations(copy, NULL, NULL, &error));
    fill(db);
    OK(aidb_write(db, copy, NULL, &error));
    CHECK(has(db, "b ", NULL));
    OK(aidb_batch_clear(copy, &error));
    OK(aidb_batch_delete_prefix(copy, "", 0, &error));
    OK(aidb_write(db, copy, NULL, &error));
    CHECK(has(db, "", NULL));
    aidb_batch_free(batch);
    aidb_batch_free(copy);
}

/* ---- Readers and transactions. ---- */

static void test_readers_from_before_see_what_was_there(aidb_db *db) {
    aidb_snapshot *snapshot = NULL;
    aidb_iterator *iterator = NULL;
    char found[200];
    uint64_t count = 0, sequence = 0;
    aidb_write_options options = AIDB_WRITE_OPTIONS_INIT;
    options.sync = 1;
    options.sequence_out = &sequence;
    fill(db);
    OK(aidb_snapshot_create(db, &snapshot, &error));
    OK(aidb_iter_create(db, NULL, &iterator, &error));
    OK(aidb_delete_prefix(db, "b", 1, &options, &error));
    CHECK(sequence == aidb_snapshot_sequence(snapshot) + 1);
    OK(aidb_count(db, NULL, 0, NULL, 0, NULL, NULL, NULL, &count, &error));
    CHECK(count == 3 && has(db, "a c \xff\xff ", NULL) && has(db, ALL_KEYS, snapshot));
    OK(aidb_flush(db, &error));
    OK(aidb_compact_range(db, NULL, 0, NULL, 0, &error));
    ABSENT(aidb_contains(db, "ba", 2, NULL, &error));
    CHECK(has(db, "a c \xff\xff ", NULL) && has(db, ALL_KEYS, snapshot));
    take_keys(iterator, found, sizeof found);
    CHECK(strcmp(found, ALL_KEYS) == 0);
    aidb_snapshot_release(snapshot);
}

static void test_transactions(aidb_db *db) {
    aidb_transaction *first = NULL, *second = NULL;
    aidb_iterator *iterator = NULL;
    uint64_t savepoint = 0;
    char found[200];
    fill(db);
    OK(aidb_transaction_begin(db, NULL, &first, &error));
    OK(aidb_transaction_put(first, "bb", 2, "mine", 4, &error));
    OK(aidb_transaction_savepoint(first, &savepoint, &error));
    OK(aidb_transaction_delete_range(first, "b", 1, "c", 1, &error));
    OK(aidb_transaction_put(first, "bc", 2, "later", 5, &error));
    OK(aidb_transaction_delete_prefix(first, "\xff", 1, &error));
    ABSENT(aidb_transaction_contains(first, "bb", 2, &error));
    OK(aidb_transaction_iter_create(first, NULL, &iterator, &error));
    take_keys(iterator, found, sizeof found);
    CHECK(strcmp(found, "a bc c ") == 0 && has(db, ALL_KEYS, NULL));
    OK(aidb_transaction_commit(first, NULL, &error));
    CHECK(has(db, "a bc c ", NULL));
    aidb_transaction_free(first);

    /* A savepoint takes a range delete back. */
    OK(aidb_transaction_begin(db, NULL, &first, &error));
    OK(aidb_transaction_savepoint(first, &savepoint, &error));
    OK(aidb_transaction_delete_range(first, NULL, 0, NULL, 0, &error));
    ABSENT(aidb_transaction_contains(first, "a", 1, &error));
    OK(aidb_transaction_rollback_to(first, savepoint, &error));
    OK(aidb_transaction_contains(first, "a", 1, &error));
    aidb_transaction_free(first);

    /* A range delete changes every key in its range, the absent ones too. */
    OK(aidb_transaction_begin(db, NULL, &first, &error));
    OK(aidb_transaction_begin(db, NULL, &second, &error));
    ABSENT(aidb_transaction_contains(first, "absent", 6, &error));
    OK(aidb_transaction_put(first, "z", 1, "", 0, &error));
    OK(aidb_transaction_delete_range(second, "a", 1, "b", 1, &error));
    OK(aidb_transaction_commit(second, NULL, &error));
    FAILS(AIDB_CONFLICT, "", aidb_transaction_commit(first, NULL, &error));
    CHECK(has(db, "bc c ", NULL));
    aidb_transaction_free(first);
    aidb_transaction_free(second);

    /* Two that only remove do not conflict. */
    OK(aidb_transaction_begin(db, NULL, &first, &error));
    OK(aidb_transaction_delete_prefix(first, "b", 1, &error));
    OK(aidb_delete_range(db, "b", 1, "z", 1, NULL, &error));
    OK(aidb_transaction_commit(first, NULL, &error));
    CHECK(has(db, "", NULL));
    aidb_transaction_free(first);
}

/* ---- Databases that refuse. ---- */

static void test_read_only_and_closed_databases_refuse(void) {
    aidb_db *db = open_db(true);
    aidb_transaction *transaction = NULL;
    OK(aidb_transaction_begin(db, NULL, &transaction, &error));
    FAILS(AIDB_INVALID_ARGUMENT, "read", aidb_delete_range(db, NULL, 0, NULL, 0, NULL, &error));
    FAILS(AIDB_INVALID_ARGUMENT, "read", aidb_delete_prefix(db, "a", 1, NULL, &error));
    FAILS(AIDB_INVALID_ARGUMENT, "read", aidb_transaction_delete_range(transaction, NULL, 0, NULL, 0, &error));
    FAILS(AIDB_INVALID_ARGUMENT, "read", aidb_transaction_delete_prefix(transaction, "a", 1, &error));
    CHECK(has(db, ALL_KEYS, NULL));
    OK(aidb_close(db, &error));
    FAILS(AIDB_CLOSED, "", aidb_delete_range(db, NULL, 0, NULL, 0, NULL, &error));
    FAILS(AIDB_CLOSED, "", aidb_delete_prefix(db, "a", 1, NULL, &error));
    FAILS(AIDB_CLOSED, "", aidb_transaction_delete_range(transaction, NULL, 0, NULL, 0, &error));
    aidb_transaction_free(transaction);
}

static void test_a_forked_child_is_refused(void) {
    aidb_db *db = open_db(false);
    aidb_batch *batch = aidb_batch_new();
    pid_t child;
    char answer = 'x';
    int ends[2];
    CHECK(pipe(ends) == 0);
    fflush(NULL);
    child = fork();
    if (child == 0) {
        check_failed = 0;
        FAILS(AIDB_CLOSED, "", aidb_delete_range(db, NULL, 0, NULL, 0, NULL, &error));
        FAILS(AIDB_CLOSED, "", aidb_delete_prefix(db, "a", 1, NULL, &error));
        OK(aidb_batch_delete_range(batch, NULL, 0, NULL, 0, &error));
        FAILS(AIDB_CLOSED, "", aidb_write(db, batch, NULL, &error));
        answer = check_failed > 0 ? 'n' : 'y';
        if (write(ends[1], &answer, 1) == 1) {
            /* After an ordinary exit valgrind would count the memory of the parent's threads in this copy. */
            kill(getpid(), SIGKILL);
        }
    }
    CHECK(child > 0 && read(ends[0], &answer, 1) == 1 && answer == 'y');
    CHECK(waitpid(child, NULL, 0) == child);
    CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
    CHECK(has(db, ALL_KEYS, NULL));
    aidb_batch_free(batch);
    OK(aidb_close(db, &error));
}

int main(int argc, char **argv) {
    aidb_db *db;
    if (argc != 2) {
        fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
        return 2;
    }
    path = argv[1];
    db = open_db(false);
    test_bounds(db);
    test_wrong_ranges(db);
    OK(aidb_delete_range(db, NULL, 0, NULL, 0, NULL, &error));
    test_batches(db);
    test_readers_from_before_see_what_was_there(db);
    test_transactions(db);
    fill(db);
    OK(aidb_close(db, &error));
    test_read_only_and_closed_databases_refuse();
    test_a_forked_child_is_refused();
    OK(aidb_destroy(path, NULL, &error));
    return REPORT();
}
