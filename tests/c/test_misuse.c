/* Calls the C API wrongly in every way: test_misuse DIRECTORY
 *
 * The functions and their arguments come from aidb.h itself (misuse.py), so none can be forgotten. Each call has one
 * wrong argument: NULL, no handle, a closed handle, a handle of another kind, an impossible length, or a structure that
 * was never set. The result must be a code of the table, with an error object exactly if it is an error. The program
 * must not see a crash, a leak, or a closed handle that works.
 *
 * AIDB_MISUSE_ROUNDS: how often to close a database during use (1000).
 */
/* MAP_ANONYMOUS */
#define _DEFAULT_SOURCE
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "aidb.h"
#include "check.h"

enum kind {
    END,
    /* Handles first. */
    DB, OPTIONS, BATCH, SNAPSHOT, ITERATOR, PINNED, TRANSACTION, ERROR, HANDLES,
    TEXT, BYTES, KEYS, LENGTHS, PLACES, ENTRIES, SPACE, LENGTH, NUMBER,
    WRITE_OPTIONS, TRANSACTION_OPTIONS, READ_OPTIONS, ITER_OPTIONS, COUNT_OPTIONS,
    BUFFER_OUT, DB_OUT, SNAPSHOT_OUT, ITERATOR_OUT, PINNED_OUT, TRANSACTION_OUT, ERROR_OUT,
    ON_PROGRESS, ON_PUT, ON_DELETE, ON_OPERATION, ON_TRANSACTION
};

#define NO_STATUS (-1)
/* Every byte of a place to which no call has written. */
#define UNTOUCHED 0xa5
#define MAX_ARGUMENTS 11

union value {
    void *pointer;
    size_t length;
    aidb_progress_callback on_progress;
    aidb_batch_put_callback on_put;
    aidb_batch_delete_callback on_delete;
    aidb_operation_callback on_operation;
    aidb_transaction_callback on_transaction;
};

struct function {
    const char *name;
    int (*call)(const union value *values);
    enum kind kinds[MAX_ARGUMENTS];
};

#include "misuse_calls.h"

static const char *path;
/* Longer than the longest key; nobody writes to it, so it takes no memory. */
static char *bytes;
#define BYTES_LEN ((size_t)17 << 20)

static int32_t on_progress(void *context, uint64_t done, uint64_t total) {
    (void)context;
    return done <= total ? 0 : 1;
}
static void on_put(void *context, const char *key, size_t key_len, const char *value, size_t value_len) {
    (void)context, (void)key, (void)key_len, (void)value, (void)value_len;
}
static void on_delete(void *context, const char *key, size_t key_len) {
    (void)context, (void)key, (void)key_len;
}
static int32_t on_operation(void *context, const aidb_operation *operation) {
    (void)context;
    return operation->struct_size < sizeof *operation;
}
static int32_t on_transaction(void *context, aidb_transaction *transaction, aidb_error **error) {
    (void)context;
    return aidb_transaction_put(transaction, "key", 3, "value", 5, error);
}

/* A live handle of each kind, and a closed one. */
static void *live[HANDLES];
static void *closed[HANDLES];

static void *make(enum kind kind) {
    void *made = NULL;
    aidb_error *error = NULL;
    switch (kind) {
    case DB: aidb_open(path, NULL, (aidb_db **)&made, NULL); break;
    case OPTIONS: made = aidb_options_new(); break;
    case BATCH:
        made = aidb_batch_new();
        aidb_batch_put(made, "key", 3, "value", 5, NULL);
        break;
    case SNAPSHOT: aidb_snapshot_create(live[DB], (aidb_snapshot **)&made, NULL); break;
    case ITERATOR: aidb_iter_create(live[DB], NULL, (aidb_iterator **)&made, NULL); break;
    case PINNED: aidb_get_pinned(live[DB], "key", 3, NULL, (aidb_pinned **)&made, NULL); break;
    case TRANSACTION:
        aidb_transaction_begin(live[DB], NULL, (aidb_transaction **)&made, NULL);
        aidb_transaction_put(made, "key", 3, "value", 5, NULL);
        break;
    default:
        aidb_close(NULL, &error);
        made = error;
    }
    CHECK(made != NULL);
    return made;
}

static void end(enum kind kind, void *handle) {
    switch (kind) {
    case DB: aidb_close(handle, NULL); break;
    case OPTIONS: aidb_options_free(handle); break;
    case BATCH: aidb_batch_free(handle); break;
    case SNAPSHOT: aidb_snapshot_release(handle); break;
    case ITERATOR: aidb_iter_free(handle); break;
    case PINNED: aidb_pinned_free(handle); break;
    case TRANSACTION: aidb_transaction_free(handle); break;
    default: aidb_error_free(handle);
    }
}

static void make_all(void) {
    int kind;
    for (kind = DB; kind < HANDLES; kind++) {
        closed[kind] = make(kind);
        end(kind, closed[kind]);
        end(kind, closed[kind]);
        live[kind] = make(kind);
        if (kind == DB) {
            CHECK(aidb_put(live[DB], "key", 3, "value", 5, NULL, NULL) == AIDB_OK);
        }
    }
}

static void end_all(void) {
    int kind;
    /* The database first: all others outlive it. */
    for (kind = DB; kind < HANDLES; kind++) {
        end(kind, live[kind]);
        end(kind, live[kind]);
    }
}

/* The places for results. */
static struct {
    aidb_error *error;
    void *places[MAX_ARGUMENTS][4];
    aidb_entry entries[4];
    char space[64];
    const void *keys[3];
    size_t key_lens[3];
    aidb_write_options write_options;
    aidb_transaction_options transaction_options;
    aidb_read_options read_options;
    aidb_iter_options iter_options;
    aidb_count_options count_options;
    size_t wrong_struct[16];
} at;

static union value right(enum kind kind, int index) {
    static const aidb_write_options write_options = AIDB_WRITE_OPTIONS_INIT;
    static const aidb_transaction_options transaction_options = AIDB_TRANSACTION_OPTIONS_INIT;
    static const aidb_read_options read_options = AIDB_READ_OPTIONS_INIT;
    static const aidb_iter_options iter_options = AIDB_ITER_OPTIONS_INIT;
    static const aidb_count_options count_options = AIDB_COUNT_OPTIONS_INIT;
    union value value;
    int key;
    memset(&value, 0, sizeof value);
    switch (kind) {
    case DB: case OPTIONS: case BATCH: case SNAPSHOT: case ITERATOR: case PINNED: case TRANSACTION: case ERROR:
        value.pointer = live[kind];
        break;
    case TEXT: value.pointer = (void *)path; break;
    case BYTES: value.pointer = bytes; break;
    case KEYS:
        for (key = 0; key < 3; key++) at.keys[key] = "key";
        value.pointer = at.keys;
        break;
    case LENGTHS:
        for (key = 0; key < 3; key++) at.key_lens[key] = 3;
        value.pointer = at.key_lens;
        break;
    case ENTRIES: value.pointer = at.entries; break;
    case SPACE: value.pointer = at.space; break;
    case LENGTH: case NUMBER: value.length = 3; break;
    case WRITE_OPTIONS:
        at.write_options = write_options;
        value.pointer = &at.write_options;
        break;
    case TRANSACTION_OPTIONS:
        at.transaction_options = transaction_options;
        value.pointer = &at.transaction_options;
        break;
    case READ_OPTIONS:
        at.read_options = read_options;
        value.pointer = &at.read_options;
        break;
    case ITER_OPTIONS:
        at.iter_options = iter_options;
        value.pointer = &at.iter_options;
        break;
    case COUNT_OPTIONS:
        at.count_options = count_options;
        value.pointer = &at.count_options;
        break;
    case ERROR_OUT: value.pointer = &at.error; break;
    case ON_PROGRESS: value.on_progress = on_progress; break;
    case ON_PUT: value.on_put = on_put; break;
    case ON_DELETE: value.on_delete = on_delete; break;
    case ON_OPERATION: value.on_operation = on_operation; break;
    case ON_TRANSACTION: value.on_transaction = on_transaction; break;
    default: value.pointer = at.places[index];
    }
    return value;
}

/* FFI-3. Whether a call has written to a place for its results. */
static int is_written(int index) {
    const unsigned char *place = (const unsigned char *)at.places[index];
    size_t each;
    for (each = 0; each < sizeof at.places[index]; each++) {
        if (place[each] != UNTOUCHED) return 1;
    }
    return 0;
}

/* Calls `function` with the arguments `values`. Returns the status. */
static int call(const struct function *function, const union value *values) {
    const int always_writes = strcmp(function->name, "aidb_iter_next_many") == 0;
    int index, status;
    memset(at.places, UNTOUCHED, sizeof at.places);
    at.error = (aidb_error *)at.places;
    status = function->call(values);
    if (status != NO_STATUS) {
        int failed = status != AIDB_OK && status != AIDB_NOT_FOUND;
        CHECK(status >= AIDB_OK && status <= AIDB_OUT_OF_MEMORY);
        if (!CHECK(status != AIDB_INTERNAL)) {
            fprintf(stderr, "    %s: %s\n", function->name, aidb_error_message(at.error));
        }
        for (index = 0; function->kinds[index] != END; index++) {
            void *out = at.places[index][0];
            if (function->kinds[index] == ERROR_OUT && values[index].pointer != NULL) {
                CHECK(failed == (at.error != NULL) && at.error != (aidb_error *)at.places);
            }
            if (status != AIDB_OK) {
                if (!CHECK(always_writes || !is_written(index))) {
                    fprintf(stderr, "    %s, argument %d, status %d\n", function->name, index, status);
                }
                continue;
            }
            if (values[index].pointer == NULL) continue;
            switch (function->kinds[index]) {
            case BUFFER_OUT: aidb_free(out); break;
            case DB_OUT: end(DB, out); break;
            case SNAPSHOT_OUT: end(SNAPSHOT, out); break;
            case ITERATOR_OUT: end(ITERATOR, out); break;
            case PINNED_OUT: end(PINNED, out); break;
            case TRANSACTION_OUT: end(TRANSACTION, out); break;
            default: break;
            }
        }
    }
    if (at.error != (aidb_error *)at.places) aidb_error_free(at.error);
    return status;
}

/* Calls `function` with the right arguments, except that `index` is `wrong`. */
static int misuse(const struct function *function, int index, union value wrong) {
    union value values[MAX_ARGUMENTS];
    int other, status;
    memset(values, 0, sizeof values);
    for (other = 0; function->kinds[other] != END; other++) {
        values[other] = right(function->kinds[other], other);
    }
    values[index] = wrong;
    status = call(function, values);
    if (function->kinds[0] == DB && aidb_is_closed(live[DB])) {
        /* It was a close whose important arguments were right. */
        end_all();
        make_all();
    } else if (function->kinds[0] == TRANSACTION) {
        /* The call may have ended it. */
        end(TRANSACTION, live[TRANSACTION]);
        live[TRANSACTION] = make(TRANSACTION);
    }
    return status;
}

static int refused(const struct function *function, int index, void *handle, int expected) {
    union value wrong;
    int status;
    wrong.pointer = handle;
    status = misuse(function, index, wrong);
    if (!CHECK(status == NO_STATUS || status == expected)) {
        fprintf(stderr, "    %s, argument %d: %d\n", function->name, index, status);
    }
    return status;
}

static void misuse_handle(const struct function *function, int index, enum kind kind) {
    static uint64_t place;
    const int is_query = strcmp(function->name, "aidb_error_code") == 0;
    const int is_optional = kind == OPTIONS && strncmp(function->name, "aidb_options_", 13) != 0;
    const int wrong = is_query ? NO_STATUS : AIDB_INVALID_ARGUMENT;
    union value null;
    int other;
    null.pointer = NULL;
    if (is_query) {
        /* It returns the code of the error that is its argument. */
        misuse(function, index, null);
        return;
    }
    if (is_optional) {
        misuse(function, index, null);
    } else {
        refused(function, index, NULL, wrong);
    }
    refused(function, index, closed[kind], AIDB_CLOSED);
    refused(function, index, &place, wrong);
    refused(function, index, (void *)1, wrong);
    refused(function, index, (void *)SIZE_MAX, wrong);
    refused(function, index, (char *)live[kind] + ((size_t)1 << 62), wrong);
    for (other = DB; other < HANDLES; other++) {
        if (other != (int)kind) {
            refused(function, index, live[other], wrong);
            refused(function, index, closed[other], wrong);
        }
    }
}

static void misuse_struct(const struct function *function, int index, enum kind kind) {
    static const size_t sizes[] = {0, 1, 7, 4097, SIZE_MAX};
    union value wrong;
    size_t each;
    memset(&at.wrong_struct, 0, sizeof at.wrong_struct);
    wrong.pointer = at.wrong_struct;
    for (each = 0; each < sizeof sizes / sizeof *sizes; each++) {
        at.wrong_struct[0] = sizes[each];
        CHECK(misuse(function, index, wrong) == AIDB_INVALID_ARGUMENT);
    }
    /* A structure of a later version, first with its further fields unused, then with one in use. */
    at.wrong_struct[0] = sizeof at.wrong_struct;
    misuse(function, index, wrong);
    at.wrong_struct[15] = 1;
    CHECK(misuse(function, index, wrong) == AIDB_UNSUPPORTED);
    at.wrong_struct[15] = 0;
    if (kind != WRITE_OPTIONS && kind != TRANSACTION_OPTIONS) {
        at.wrong_struct[1] = (size_t)live[BATCH];
        CHECK(misuse(function, index, wrong) == AIDB_INVALID_ARGUMENT);
        at.wrong_struct[1] = (size_t)closed[SNAPSHOT];
        CHECK(misuse(function, index, wrong) == AIDB_CLOSED);
        at.wrong_struct[1] = 0;
    }
    if (kind == ITER_OPTIONS) {
        /* Bounds and a prefix that are NULL but have a length. */
        for (each = 3; each <= 7; each += 2) {
            at.wrong_struct[each] = 5;
            CHECK(misuse(function, index, wrong) == AIDB_INVALID_ARGUMENT);
            at.wrong_struct[each] = 0;
        }
    }
    if (kind == COUNT_OPTIONS) {
        /* Such a prefix. */
        at.wrong_struct[3] = 5;
        CHECK(misuse(function, index, wrong) == AIDB_INVALID_ARGUMENT);
        at.wrong_struct[3] = 0;
    }
}

static void misuse_everything(void) {
    static const size_t lengths[] = {0, BYTES_LEN, SIZE_MAX / 2 + 1, SIZE_MAX};
    size_t number, each;
    int index, calls = 0;
    for (number = 0; number < sizeof functions / sizeof *functions; number++) {
        const struct function *function = &functions[number];
        for (index = 0; function->kinds[index] != END; index++) {
            enum kind kind = function->kinds[index];
            union value wrong;
            memset(&wrong, 0, sizeof wrong);
            calls++;
            if (kind < HANDLES) {
                misuse_handle(function, index, kind);
            } else if (kind == LENGTH) {
                /* A count of items: there are three of them, and room for four. */
                int counts_things = index > 0 && function->kinds[index - 1] == ENTRIES;
                counts_things |= function->kinds[index + 1] == KEYS;
                counts_things |= index > 0 && function->kinds[index - 1] == SPACE;
                for (each = 0; each < sizeof lengths / sizeof *lengths; each++) {
                    if (counts_things && lengths[each] == BYTES_LEN) continue;
                    wrong.length = lengths[each];
                    misuse(function, index, wrong);
                }
            } else if (kind != NUMBER) {
                misuse(function, index, wrong);
                if (kind >= WRITE_OPTIONS && kind <= COUNT_OPTIONS) misuse_struct(function, index, kind);
            }
        }
    }
    printf("%d arguments of %d functions\n", calls, (int)(sizeof functions / sizeof *functions));
    CHECK(calls > 150);
}

/* FFI-1. What functions without a status return for a wrong handle, and that freeing one changes nothing. */
static void questions_about_wrong_handles(void) {
    static uint64_t place;
    void *const wrong[] = {NULL, (void *)1, (void *)0xd1, &place, (void *)SIZE_MAX, live[BATCH]};
    const uint64_t batch = aidb_batch_count(live[BATCH]);
    size_t each;
    for (each = 0; each < sizeof wrong / sizeof *wrong; each++) {
        CHECK(aidb_is_closed(wrong[each]));
        CHECK(aidb_snapshot_sequence(wrong[each]) == 0);
        CHECK(!aidb_iter_valid(wrong[each]) && aidb_iter_key(wrong[each], NULL) == NULL);
        CHECK(aidb_pinned_data(wrong[each]) == NULL && aidb_pinned_len(wrong[each]) == 0);
        CHECK(aidb_error_code(wrong[each]) == (wrong[each] == NULL ? AIDB_OK : AIDB_INVALID_ARGUMENT));
        CHECK(aidb_error_message(wrong[each]) != NULL && !aidb_error_is_retryable(wrong[each]));
        aidb_options_free(wrong[each]);
        aidb_snapshot_release(wrong[each]);
        aidb_iter_free(wrong[each]);
        aidb_pinned_free(wrong[each]);
        aidb_transaction_free(wrong[each]);
        aidb_error_free(wrong[each]);
    }
    CHECK(aidb_batch_count(live[BATCH]) == batch);
    CHECK(aidb_write(live[DB], (void *)((char *)live[BATCH] + 2), NULL, NULL) == AIDB_INVALID_ARGUMENT);
}

/* Paths and bytes that are missing, and structures with a field for later use that is used. */
static void wrong_values(void) {
    aidb_write_options write = AIDB_WRITE_OPTIONS_INIT;
    aidb_read_options read = AIDB_READ_OPTIONS_INIT;
    aidb_transaction_options transaction = AIDB_TRANSACTION_OPTIONS_INIT;
    aidb_db *db = NULL;
    CHECK(aidb_open("", NULL, &db, NULL) == AIDB_INVALID_ARGUMENT && db == NULL);
    CHECK(aidb_open(NULL, NULL, &db, NULL) == AIDB_INVALID_ARGUMENT && db == NULL);
    CHECK(aidb_destroy("", NULL, NULL) == AIDB_INVALID_ARGUMENT);
    CHECK(aidb_destroy(NULL, NULL, NULL) == AIDB_INVALID_ARGUMENT);
    CHECK(aidb_put(live[DB], "k", 1, NULL, 1, NULL, NULL) == AIDB_INVALID_ARGUMENT);
    CHECK(aidb_put(live[DB], "k", SIZE_MAX, "v", 1, NULL, NULL) == AIDB_INVALID_ARGUMENT);
    write.reserved = 1;
    CHECK(aidb_delete(live[DB], "k", 1, &write, NULL) == AIDB_UNSUPPORTED);
    read.reserved = 1;
    CHECK(aidb_contains(live[DB], "k", 1, &read, NULL) == AIDB_UNSUPPORTED);
    transaction.reserved = 1;
    CHECK(aidb_transaction_begin(live[DB], &transaction, NULL, NULL) == AIDB_INVALID_ARGUMENT);
    CHECK(aidb_transaction_begin(live[DB], &transaction, (aidb_transaction **)(void *)&db, NULL) == AIDB_UNSUPPORTED);
}

/* The library rejects lengths beyond the limits before it reads or copies a byte. */
static void too_long(void) {
    const size_t limit = (size_t)1 << 32;
    void *value = mmap(NULL, limit, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    aidb_batch *batch = aidb_batch_new();
    if (value == MAP_FAILED) {
        printf("no address space for a value of 4 GiB\n");
    } else {
        CHECK(aidb_put(live[DB], "key", 3, value, limit, NULL, NULL) == AIDB_INVALID_ARGUMENT);
        CHECK(aidb_batch_put(batch, "key", 3, value, limit, NULL) == AIDB_INVALID_ARGUMENT);
        munmap(value, limit);
    }
    CHECK(aidb_put(live[DB], bytes, BYTES_LEN, "v", 1, NULL, NULL) == AIDB_INVALID_ARGUMENT);
    CHECK(aidb_get_pinned(live[DB], bytes, BYTES_LEN, NULL, NULL, NULL) == AIDB_INVALID_ARGUMENT);
    CHECK(aidb_batch_delete(batch, bytes, BYTES_LEN, NULL) == AIDB_INVALID_ARGUMENT);
    CHECK(aidb_batch_count(batch) == 0);
    aidb_batch_free(batch);
}

/* Key and value in one buffer; a batch appended to itself; the library's own results and lent bytes as arguments. */
static void overlapping_inputs(void) {
    char text[] = "abcdefgh";
    char *value = NULL;
    size_t len = 0;
    aidb_pinned *pinned = NULL;
    aidb_batch *batch = aidb_batch_new();
    CHECK(aidb_put(live[DB], text, 6, text + 2, 6, NULL, NULL) == AIDB_OK);
    CHECK(aidb_get(live[DB], text, 6, NULL, &value, &len, NULL) == AIDB_OK);
    CHECK(len == 6 && memcmp(value, "cdefgh", 6) == 0);
    CHECK(aidb_put(live[DB], value, len, value, len, NULL, NULL) == AIDB_OK);
    CHECK(aidb_get_pinned(live[DB], value, len, NULL, &pinned, NULL) == AIDB_OK);
    CHECK(aidb_put(live[DB], aidb_pinned_data(pinned), 6, aidb_pinned_data(pinned) + 1, 5, NULL, NULL) == AIDB_OK);
    CHECK(aidb_pinned_len(pinned) == 6 && memcmp(aidb_pinned_data(pinned), value, 6) == 0);
    CHECK(aidb_delete(live[DB], aidb_pinned_data(pinned), 6, NULL, NULL) == AIDB_OK);
    CHECK(aidb_contains(live[DB], value, len, NULL, NULL) == AIDB_NOT_FOUND);
    aidb_pinned_free(pinned);
    aidb_free(value);
    CHECK(aidb_batch_put(batch, text, 8, text, 8, NULL) == AIDB_OK);
    CHECK(aidb_batch_append(batch, batch, NULL) != AIDB_INTERNAL);
    CHECK(aidb_write(live[DB], batch, NULL, NULL) == AIDB_OK);
    aidb_batch_free(batch);
    CHECK(aidb_delete(live[DB], text, 6, NULL, NULL) == AIDB_OK);
    CHECK(aidb_delete(live[DB], text, 8, NULL, NULL) == AIDB_OK);
    CHECK(aidb_options_set(live[OPTIONS], "compression", "compression", NULL) == AIDB_INVALID_ARGUMENT);
    CHECK(aidb_checkpoint(live[DB], path, NULL) == AIDB_INVALID_ARGUMENT);
    CHECK(aidb_repair(path, path, NULL, NULL, NULL, NULL) == AIDB_LOCKED);
}

/* Seeks an iterator to the key that it lends, puts and deletes that key, and walks on from it. */
static void keys_of_the_iterator_itself(int reverse, int fill_cache) {
    aidb_iter_options options = AIDB_ITER_OPTIONS_INIT;
    aidb_iterator *iterator = NULL;
    char key[16], copy[16] = "";
    int number, source;
    options.reverse = reverse != 0;
    options.fill_cache = fill_cache != 0;
    options.prefix = "self";
    options.prefix_len = 4;
    /* Alternately in three tables and in memory. */
    for (source = 0; source < 4; source++) {
        for (number = source; number < 400; number += 4) {
            snprintf(key, sizeof key, "self %06d", number);
            CHECK(aidb_put(live[DB], key, 11, key, 11, NULL, NULL) == AIDB_OK);
        }
        if (source < 3) CHECK(aidb_flush(live[DB], NULL) == AIDB_OK);
    }
    CHECK(aidb_iter_create(live[DB], &options, &iterator, NULL) == AIDB_OK);
    for (number = 0; number < 400; number++) {
        aidb_iterator *other = NULL;
        size_t len = 0;
        /* Stops if the iterator is at a wrong place. */
        if (!CHECK(aidb_iter_next(iterator, NULL) == AIDB_OK)) break;
        memcpy(copy, aidb_iter_key(iterator, &len), 11);
        if (!CHECK(len == 11 && atoi(copy + 5) == (reverse ? 399 - number : number))) break;
        CHECK(aidb_iter_seek(iterator, aidb_iter_key(iterator, NULL), 11, NULL) == AIDB_OK);
        CHECK(memcmp(aidb_iter_key(iterator, NULL), copy, 11) == 0);
        CHECK(aidb_iter_seek_for_prev(iterator, aidb_iter_value(iterator, NULL), 11, NULL) == AIDB_OK);
        CHECK(memcmp(aidb_iter_key(iterator, NULL), copy, 11) == 0);
        CHECK(aidb_iter_prefix(live[DB], aidb_iter_key(iterator, NULL), 11, &other, NULL) == AIDB_OK);
        CHECK(aidb_iter_seek(other, aidb_iter_key(iterator, NULL), 11, NULL) == AIDB_OK);
        aidb_iter_free(other);
        CHECK(aidb_put(live[DB], aidb_iter_key(iterator, NULL), 11, aidb_iter_key(iterator, NULL), 9, NULL, NULL) ==
              AIDB_OK);
        CHECK(aidb_delete(live[DB], aidb_iter_value(iterator, NULL), 11, NULL, NULL) == AIDB_OK);
    }
    CHECK(aidb_iter_next(iterator, NULL) == AIDB_NOT_FOUND);
    aidb_iter_free(iterator);
}

/* Results that overwrite the arguments they are computed from, or one another. */
static void overlapping_outputs(void) {
    static const char long_key[] = "sixteen bytes ..";
    union {
        char key[16];
        struct { char *value; size_t len; } out;
        const void *keys[2];
        const char *values[2];
    } one;
    union { size_t key_lens[2]; size_t value_lens[2]; } lens;
    union { aidb_entry entries[4]; char buffer[4 * sizeof(aidb_entry)]; size_t counts[2]; } many;
    union { const char *value; char *buffer; } same;
    const void *key = "key";
    size_t len = 3, both = 99;
    memcpy(one.key, long_key, 16);
    CHECK(aidb_put(live[DB], one.key, 16, one.key, 16, NULL, NULL) == AIDB_OK);
    CHECK(aidb_get(live[DB], one.key, 16, NULL, &one.out.value, &one.out.len, NULL) == AIDB_OK);
    CHECK(one.out.len == 16 && memcmp(one.out.value, long_key, 16) == 0);
    aidb_free(one.out.value);

    one.keys[0] = long_key;
    one.keys[1] = "key";
    lens.key_lens[0] = 16;
    lens.key_lens[1] = 3;
    CHECK(aidb_get_many(live[DB], 2, one.keys, lens.key_lens, NULL, one.values, lens.value_lens, &same.buffer, NULL) ==
          AIDB_OK);
    CHECK(lens.value_lens[0] == 16 && memcmp(one.values[0], long_key, 16) == 0);
    CHECK(lens.value_lens[1] == 5 && memcmp(one.values[1], "value", 5) == 0);
    aidb_free(same.buffer);
    /* The first value begins where the buffer begins. */
    CHECK(aidb_get_many(live[DB], 1, &key, &len, NULL, &same.value, &len, &same.buffer, NULL) == AIDB_OK);
    CHECK(len == 5 && memcmp(same.buffer, "value", 5) == 0);
    aidb_free(same.buffer);

    CHECK(aidb_iter_first(live[ITERATOR], NULL) == AIDB_OK);
    CHECK(aidb_iter_next_many(live[ITERATOR], many.entries, 4, many.buffer, sizeof many, &both, &both, NULL) ==
          AIDB_OK);
    CHECK(both == 0);
    CHECK(aidb_iter_first(live[ITERATOR], NULL) == AIDB_OK);
    CHECK(aidb_iter_next_many(live[ITERATOR], many.entries, 4, at.space, sizeof at.space, &many.counts[0],
                              &many.counts[1], NULL) == AIDB_OK);
    CHECK(many.counts[0] == 1 && many.counts[1] == 0);
    CHECK(aidb_delete(live[DB], long_key, 16, NULL, NULL) == AIDB_OK);
}

/* One place for all errors; a handle's place for an object made of it, and for the error. */
static void one_place_for_all(void) {
    void *place = NULL, *other;
    aidb_error **error = (aidb_error **)&place;
    CHECK(aidb_put(closed[DB], "k", 1, "v", 1, NULL, error) == AIDB_CLOSED);
    CHECK(aidb_error_code(place) == AIDB_CLOSED);
    /* The error serves as the handle, and its place receives the result. */
    other = place;
    CHECK(aidb_close(place, error) == AIDB_INVALID_ARGUMENT && place != other);
    CHECK(aidb_error_code(other) == AIDB_CLOSED && aidb_error_code(place) == AIDB_INVALID_ARGUMENT);
    aidb_error_free(other);
    aidb_error_free(place);
    place = live[DB];
    CHECK(aidb_open(path, NULL, (aidb_db **)&place, NULL) == AIDB_LOCKED && place == live[DB]);
    CHECK(aidb_snapshot_create(place, (aidb_snapshot **)&place, NULL) == AIDB_OK && place != live[DB]);
    CHECK(aidb_snapshot_create(place, (aidb_snapshot **)&place, NULL) == AIDB_INVALID_ARGUMENT);
    aidb_snapshot_release(place);
    CHECK(aidb_snapshot_create(place, (aidb_snapshot **)&place, error) == AIDB_INVALID_ARGUMENT);
    CHECK(aidb_error_code(place) == AIDB_INVALID_ARGUMENT);
    aidb_error_free(place);
    CHECK(aidb_get(closed[DB], "key", 3, NULL, (char **)&place, (size_t *)(void *)&place, error) == AIDB_CLOSED);
    CHECK(aidb_error_code(place) == AIDB_CLOSED);
    aidb_error_free(place);
    /* The library always writes an error's place, last: here it writes NULL, and overwrites the earlier result. */
    place = live[PINNED];
    CHECK(aidb_get(live[DB], "no key", 6, NULL, (char **)&place, (size_t *)(void *)&place, error) == AIDB_NOT_FOUND);
    CHECK(place == NULL);
}

static int32_t close_meanwhile(void *context, uint64_t done, uint64_t total) {
    (void)done, (void)total;
    CHECK(aidb_put(live[DB], "again", 5, "", 0, NULL, NULL) == AIDB_OK);
    aidb_close(live[DB], NULL);
    *(int *)context += 1;
    return 0;
}

static void write_meanwhile(void *context, const char *key, size_t key_len, const char *value, size_t value_len) {
    /* The batch is being walked: calls may read it, but not change it. */
    aidb_error *error = NULL;
    (void)aidb_batch_count(context);
    CHECK(aidb_batch_put(context, key, key_len, value, value_len, NULL) == AIDB_INVALID_ARGUMENT);
    CHECK(aidb_batch_append(context, context, NULL) == AIDB_INVALID_ARGUMENT);
    CHECK(aidb_batch_delete(context, key, key_len, &error) == AIDB_INVALID_ARGUMENT);
    CHECK(strstr(aidb_error_message(error), "two threads") != NULL);
    aidb_error_free(error);
    CHECK(aidb_put(live[DB], key, key_len, value, value_len, NULL, NULL) == AIDB_OK);
}

static int32_t delete_meanwhile(void *context, const aidb_operation *operation) {
    CHECK(aidb_batch_delete_range(context, NULL, 0, NULL, 0, NULL) == AIDB_INVALID_ARGUMENT);
    CHECK(aidb_batch_delete_prefix(context, operation->key, operation->key_len, NULL) == AIDB_INVALID_ARGUMENT);
    CHECK(aidb_delete_range(live[DB], operation->key, operation->key_len, NULL, 0, NULL, NULL) == AIDB_OK);
    return 0;
}

/* Callbacks that make calls: on the walked batch, and closing the database that is being verified. */
static void callbacks_that_call_back(void) {
    int calls = 0;
    char *report = NULL;
    bool is_ok = true;
    aidb_status status;
    CHECK(aidb_batch_iterate(live[BATCH], live[BATCH], write_meanwhile, on_delete, NULL) == AIDB_OK);
    CHECK(aidb_batch_operations(live[BATCH], live[BATCH], delete_meanwhile, NULL) == AIDB_OK);
    status = aidb_verify(live[DB], close_meanwhile, &calls, &is_ok, &report, NULL);
    CHECK(status == AIDB_CLOSED && calls > 0);
    if (status == AIDB_OK) aidb_free(report);
    end_all();
    make_all();
}

static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turned = PTHREAD_COND_INITIALIZER;
static int is_inside, may_return;

static int32_t stay_inside(void *context, uint64_t done, uint64_t total) {
    (void)context, (void)done, (void)total;
    pthread_mutex_lock(&turn);
    is_inside = 1;
    pthread_cond_broadcast(&turned);
    while (!may_return) pthread_cond_wait(&turned, &turn);
    pthread_mutex_unlock(&turn);
    return 0;
}

static void *verify_for_ever(void *context) {
    bool is_ok = false;
    char *report = NULL;
    aidb_status status = aidb_verify(live[DB], stay_inside, NULL, &is_ok, &report, NULL);
    CHECK(status == AIDB_CLOSED && report == NULL);
    return context;
}

static int32_t never(void *context, uint64_t done, uint64_t total) {
    (void)done, (void)total;
    *(int *)context += 1;
    return 0;
}

static void never_put(void *context, const char *key, size_t key_len, const char *value, size_t value_len) {
    (void)key, (void)key_len, (void)value, (void)value_len;
    *(int *)context += 1;
}

static int32_t never_operation(void *context, const aidb_operation *operation) {
    (void)operation;
    *(int *)context += 1;
    return 0;
}

static void never_delete(void *context, const char *key, size_t key_len) {
    (void)key, (void)key_len;
    *(int *)context += 1;
}

/* Callbacks that are never called, because there is nothing to report, and one that does not return: no call waits for
 * it. */
static void callbacks_that_never_come(void) {
    int calls = 0;
    bool is_ok = false;
    char *report = NULL;
    pthread_t thread;
    aidb_batch *batch = aidb_batch_new();
    CHECK(aidb_batch_iterate(batch, &calls, never_put, never_delete, NULL) == AIDB_OK);
    CHECK(aidb_batch_iterate(closed[BATCH], &calls, never_put, never_delete, NULL) == AIDB_CLOSED);
    CHECK(aidb_batch_operations(batch, &calls, never_operation, NULL) == AIDB_OK);
    CHECK(aidb_batch_operations(closed[BATCH], &calls, never_operation, NULL) == AIDB_CLOSED);
    CHECK(aidb_batch_operations(live[BATCH], &calls, NULL, NULL) == AIDB_INVALID_ARGUMENT);
    CHECK(aidb_verify(closed[DB], never, &calls, &is_ok, &report, NULL) == AIDB_CLOSED);
    CHECK(calls == 0 && report == NULL);
    aidb_batch_free(batch);
    pthread_create(&thread, NULL, verify_for_ever, NULL);
    pthread_mutex_lock(&turn);
    while (!is_inside) pthread_cond_wait(&turned, &turn);
    pthread_mutex_unlock(&turn);
    CHECK(aidb_put(live[DB], "meanwhile", 9, "", 0, NULL, NULL) == AIDB_OK);
    CHECK(aidb_close(live[DB], NULL) == AIDB_OK);
    pthread_mutex_lock(&turn);
    may_return = 1;
    pthread_cond_broadcast(&turned);
    pthread_mutex_unlock(&turn);
    pthread_join(thread, NULL);
    end_all();
    make_all();
}

static aidb_db *shared;

static int in_order(aidb_status status) {
    return status == AIDB_OK || status == AIDB_NOT_FOUND || status == AIDB_CLOSED;
}

/* Uses the database until another thread closes it. */
static void *use(void *argument) {
    const int way = (int)(size_t)argument;
    char key[2] = {'k', 0};
    aidb_status status = AIDB_OK;
    while (status != AIDB_CLOSED) {
        aidb_iterator *iterator = NULL;
        aidb_pinned *pinned = NULL;
        aidb_transaction *transaction = NULL;
        key[1]++;
        switch (way) {
        case 0: status = aidb_put(shared, key, 2, key, 2, NULL, NULL); break;
        case 1:
            status = aidb_get_pinned(shared, key, 2, NULL, &pinned, NULL);
            if (status == AIDB_OK) CHECK(aidb_pinned_len(pinned) == 2);
            aidb_pinned_free(pinned);
            break;
        case 2:
            status = aidb_transaction_begin(shared, NULL, &transaction, NULL);
            if (status == AIDB_OK) status = aidb_transaction_put(transaction, key, 2, key, 2, NULL);
            if (status == AIDB_OK) status = aidb_transaction_iter_create(transaction, NULL, &iterator, NULL);
            if (status == AIDB_OK) status = aidb_iter_next(iterator, NULL);
            if (status == AIDB_OK) status = aidb_transaction_commit(transaction, NULL, NULL);
            if (status == AIDB_CONFLICT) status = AIDB_OK;
            aidb_transaction_free(transaction);
            aidb_iter_free(iterator);
            break;
        default:
            status = aidb_iter_create(shared, NULL, &iterator, NULL);
            while (status == AIDB_OK) status = aidb_iter_next(iterator, NULL);
            aidb_iter_free(iterator);
        }
        if (!CHECK(in_order(status))) break;
    }
    return NULL;
}

#define SHARERS 4

/* Closes twice while others write, read and iterate: their calls end with Closed. */
static void close_under_use(int rounds) {
    int round, way;
    for (round = 0; round < rounds; round++) {
        pthread_t threads[SHARERS];
        size_t count = 0;
        char *text = NULL;
        shared = make(DB);
        for (way = 0; way < SHARERS; way++) {
            pthread_create(&threads[way], NULL, use, (void *)(size_t)way);
        }
        while (count < (size_t)round % 50) {
            aidb_property(shared, "aidb.stats", &text, NULL);
            aidb_free(text);
            text = NULL;
            count++;
        }
        CHECK(aidb_close(shared, NULL) == AIDB_OK);
        CHECK(aidb_close(shared, NULL) == AIDB_CLOSED);
        for (way = 0; way < SHARERS; way++) pthread_join(threads[way], NULL);
    }
}

/* The handles that several threads use and end at once. */
static const enum kind ended[] = {DB, SNAPSHOT, ITERATOR, BATCH, PINNED};
#define ENDED ((int)(sizeof ended / sizeof *ended))
#define ORDERS 120
#define CLOSERS 4
#define USERS 4
static void *common[HANDLES];
static int are_ready, may_close;
/* How many of the others each closer ends before the transaction, which would make six times as many orders. */
static int before_transaction;
/* The last acknowledged write. */
static uint32_t last;

static int in_order_or_in_use(aidb_status status) {
    return in_order(status) || status == AIDB_INVALID_ARGUMENT;
}

/* Uses all handles until the database is closed; other threads may have ended the other handles before. */
static void *use_common(void *argument) {
    const int way = (int)(size_t)argument;
    uint32_t number = 0;
    pthread_mutex_lock(&turn);
    are_ready++;
    pthread_cond_broadcast(&turned);
    pthread_mutex_unlock(&turn);
    while (!aidb_is_closed(common[DB])) {
        aidb_read_options options = AIDB_READ_OPTIONS_INIT;
        aidb_pinned *pinned = NULL;
        aidb_status status;
        switch (way) {
        case 0:
            number++;
            status = aidb_put(common[DB], "last", 4, &number, sizeof number, NULL, NULL);
            if (status == AIDB_OK) last = number;
            CHECK(status == AIDB_OK || status == AIDB_CLOSED);
            CHECK(in_order_or_in_use(aidb_write(common[DB], common[BATCH], NULL, NULL)));
            CHECK(in_order_or_in_use(aidb_batch_clear(common[BATCH], NULL)));
            break;
        case 1:
            options.snapshot = common[SNAPSHOT];
            CHECK(in_order(aidb_get_pinned(common[DB], "key", 3, &options, &pinned, NULL)));
            aidb_pinned_free(pinned);
            CHECK(aidb_pinned_len(common[PINNED]) == 5 || aidb_pinned_data(common[PINNED]) == NULL);
            CHECK(in_order_or_in_use(aidb_batch_put(common[BATCH], "key", 3, "value", 5, NULL)));
            CHECK(in_order_or_in_use(aidb_transaction_contains(common[TRANSACTION], "last", 4, NULL)));
            break;
        default:
            /* Two threads do this: the iterator serves one at a time. */
            CHECK(in_order_or_in_use(aidb_transaction_put(common[TRANSACTION], "key", 3, "value", 5, NULL)));
            CHECK(in_order_or_in_use(aidb_iter_first(common[ITERATOR], NULL)));
            do {
                status = aidb_iter_next(common[ITERATOR], NULL);
                CHECK(in_order_or_in_use(status));
            } while (status == AIDB_OK);
        }
    }
    return NULL;
}

/* Ends all handles in the order number `*argument` of all orders, and stores the status of the close there. */
static void *end_common(void *argument) {
    int *const place = argument;
    enum kind left[ENDED];
    int count, orders = ORDERS, order = *place;
    memcpy(left, ended, sizeof ended);
    pthread_mutex_lock(&turn);
    while (!may_close) pthread_cond_wait(&turned, &turn);
    pthread_mutex_unlock(&turn);
    for (count = ENDED; count > 0; count--) {
        enum kind kind;
        if (ENDED - count == before_transaction) end(TRANSACTION, common[TRANSACTION]);
        orders /= count;
        kind = left[order / orders];
        memmove(&left[order / orders], &left[order / orders + 1], (size_t)(count - 1 - order / orders) * sizeof *left);
        order %= orders;
        if (kind == DB) {
            *place = aidb_close(common[DB], NULL);
        } else {
            end(kind, common[kind]);
        }
    }
    end(TRANSACTION, common[TRANSACTION]);
    return NULL;
}

/* Several threads end the same handles, in all orders, while others write, read and iterate: exactly one of them closes
 * the database, and no acknowledged write is lost. */
static void several_closers(int rounds) {
    int round, each;
    for (round = 0; round < rounds; round++) {
        pthread_t users[USERS], closers[CLOSERS];
        int orders[CLOSERS], closes = 0, refusals = 0;
        aidb_error *error = NULL;
        char *value = NULL;
        size_t len = 0;
        uint32_t found = 0;
        are_ready = may_close = 0;
        last = 0;
        live[DB] = make(DB);
        CHECK(aidb_put(live[DB], "key", 3, "value", 5, NULL, NULL) == AIDB_OK);
        for (each = 0; each < ENDED; each++) {
            common[ended[each]] = ended[each] == DB ? live[DB] : make(ended[each]);
        }
        common[TRANSACTION] = make(TRANSACTION);
        before_transaction = round % (ENDED + 1);
        for (each = 0; each < USERS; each++) {
            pthread_create(&users[each], NULL, use_common, (void *)(size_t)each);
        }
        for (each = 0; each < CLOSERS; each++) {
            /* Alternately in different orders, and all in the same order. */
            orders[each] = (round / 2 + round % 2 * each * (ORDERS / CLOSERS)) % ORDERS;
            pthread_create(&closers[each], NULL, end_common, &orders[each]);
        }
        pthread_mutex_lock(&turn);
        while (are_ready < USERS) pthread_cond_wait(&turned, &turn);
        may_close = 1;
        pthread_cond_broadcast(&turned);
        pthread_mutex_unlock(&turn);
        for (each = 0; each < CLOSERS; each++) {
            pthread_join(closers[each], NULL);
            closes += orders[each] == AIDB_OK;
            refusals += orders[each] == AIDB_CLOSED;
        }
        for (each = 0; each < USERS; each++) pthread_join(users[each], NULL);
        CHECK(closes == 1 && refusals == CLOSERS - 1);
        CHECK(aidb_close(common[DB], &error) == AIDB_CLOSED && aidb_error_code(error) == AIDB_CLOSED);
        aidb_error_free(error);
        CHECK(aidb_iter_next(common[ITERATOR], NULL) == AIDB_CLOSED);
        CHECK(aidb_batch_clear(common[BATCH], NULL) == AIDB_CLOSED);
        CHECK(aidb_transaction_rollback(common[TRANSACTION], NULL) == AIDB_CLOSED);
        CHECK(aidb_pinned_data(common[PINNED]) == NULL && aidb_snapshot_sequence(common[SNAPSHOT]) == 0);

        live[DB] = make(DB);
        if (last > 0 && CHECK(aidb_get(live[DB], "last", 4, NULL, &value, &len, NULL) == AIDB_OK)) {
            memcpy(&found, value, sizeof found);
            /* One more write may be there that was not acknowledged. */
            CHECK(len == sizeof found && (found == last || found == last + 1));
            aidb_free(value);
        }
        CHECK(aidb_delete(live[DB], "last", 4, NULL, NULL) == AIDB_OK);
        end(DB, live[DB]);
    }
}

int main(int argc, char **argv) {
    const char *rounds = getenv("AIDB_MISUSE_ROUNDS");
    int way;
    if (argc != 2) return 2;
    path = argv[1];
    bytes = calloc(BYTES_LEN, 1);
    make_all();
    misuse_everything();
    questions_about_wrong_handles();
    wrong_values();
    too_long();
    overlapping_inputs();
    for (way = 0; way < 4; way++) keys_of_the_iterator_itself(way / 2, way % 2);
    overlapping_outputs();
    one_place_for_all();
    callbacks_that_call_back();
    callbacks_that_never_come();
    end_all();
    close_under_use(rounds ? atoi(rounds) : 1000);
    /* At least once through all orders. */
    several_closers(2 * ORDERS / CLOSERS + (rounds ? atoi(rounds) : 1000) / 5);
    CHECK(aidb_destroy(path, NULL, NULL) == AIDB_OK);
    free(bytes);
    return REPORT();
}
