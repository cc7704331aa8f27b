/* Tests the C API function by function, as a C program uses it: test_aidb DIRECTORY
 *
 * The directory is created, and destroyed at the end. Threads, stale handles and wrong arguments are tested here as far
 * as C permits mistakes that Rust does not; ffi/src/tests.rs has the rest.
 */
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "aidb.h"
#include "calls.h"
#include "check.h"

static const char *path;

static aidb_db *open_db(void) {
    aidb_db *db = NULL;
    aidb_options *options = aidb_options_new();
    OK(aidb_options_set(options, "write_buffer_size", "256KiB", &error));
    OK(aidb_open(path, options, &db, &error));
    aidb_options_free(options);
    return db;
}

static void put(aidb_db *db, const char *key, const char *value) {
    OK(aidb_put(db, key, strlen(key), value, strlen(value), NULL, &error));
}

/* Whether `key` has `value` (NULL: no value), as of `snapshot` (NULL: now). */
static int holds(aidb_db *db, const char *key, const char *value, aidb_snapshot *snapshot) {
    aidb_read_options options = AIDB_READ_OPTIONS_INIT;
    char *found = NULL;
    size_t length = 0;
    aidb_status status;
    int same;
    options.snapshot = snapshot;
    status = aidb_get(db, key, strlen(key), &options, &found, &length, NULL);
    if (value == NULL || status != AIDB_OK) {
        aidb_free(found);
        return value == NULL && status == AIDB_NOT_FOUND;
    }
    same = length == strlen(value) && memcmp(found, value, length) == 0 && found[length] == '\0';
    aidb_free(found);
    return same;
}

static int bytes_are(const char *data, size_t length, const char *wanted) {
    return data != NULL && length == strlen(wanted) && memcmp(data, wanted, length) == 0;
}

static int stands_on(aidb_iterator *iterator, const char *key, const char *value) {
    size_t key_len = 99, value_len = 99;
    const char *key_data = aidb_iter_key(iterator, &key_len);
    const char *value_data = aidb_iter_value(iterator, &value_len);
    return aidb_iter_valid(iterator) && bytes_are(key_data, key_len, key) &&
           bytes_are(value_data, value_len, value);
}

static void test_version(void) {
    char text[64];
    sprintf(text, "%d.%d.%d", AIDB_VERSION_MAJOR, AIDB_VERSION_MINOR, AIDB_VERSION_PATCH);
    CHECK(strcmp(text, AIDB_VERSION) == 0);
    CHECK(strcmp(aidb_version(), AIDB_VERSION) == 0);
    CHECK(strcmp(aidb_status_name(AIDB_NOT_FOUND), "AIDB_NOT_FOUND") == 0);
    CHECK(strcmp(aidb_status_name(1234), "unknown status") == 0);
}

static void test_options(void) {
    aidb_options *options = aidb_options_new();
    char *value = NULL;
    size_t index = 0;
    OK(aidb_options_set(options, "block_cache_size", "8MiB", &error));
    OK(aidb_options_get(options, "block_cache_size", &value, &error));
    CHECK(strcmp(value, "8388608") == 0);
    aidb_free(value);
    OK(aidb_options_set_number(options, "bloom_bits_per_key", 16, &error));
    OK(aidb_options_get(options, "bloom_bits_per_key", &value, &error));
    CHECK(strcmp(value, "16") == 0);
    aidb_free(value);
    OK(aidb_options_set_flag(options, "error_if_exists", 7, &error));
    OK(aidb_options_get(options, "error_if_exists", &value, &error));
    CHECK(strcmp(value, "true") == 0);
    aidb_free(value);
    FAILS(AIDB_INVALID_ARGUMENT, "block_cache_size",
          aidb_options_set(options, "block_cach_size", "1", &error));
    FAILS(AIDB_INVALID_ARGUMENT, "from 0 to 32",
          aidb_options_set_number(options, "bloom_bits_per_key", 33, &error));
    FAILS(AIDB_INVALID_ARGUMENT, "not a flag",
          aidb_options_set_flag(options, "block_size", 1, &error));
    FAILS(AIDB_INVALID_ARGUMENT, "not a number",
          aidb_options_set_number(options, "info_log", 1, &error));
    FAILS(AIDB_INVALID_ARGUMENT, "name is NULL", aidb_options_set(options, NULL, "1", &error));
    while (aidb_options_name(index) != NULL) {
        OK(aidb_options_get(options, aidb_options_name(index), &value, &error));
        OK(aidb_options_set(options, aidb_options_name(index), value, &error));
        aidb_free(value);
        index++;
    }
    CHECK(index > 10 && aidb_options_name((size_t)-1) == NULL);
    aidb_options_free(options);
    aidb_options_free(options);
    aidb_options_free(NULL);
    FAILS(AIDB_CLOSED, "options", aidb_options_set(options, "block_size", "1KiB", &error));
}

static void test_put_get_delete(aidb_db *db) {
    aidb_write_options durable = AIDB_WRITE_OPTIONS_INIT;
    char *value = NULL, *text = NULL;
    size_t length = 0;
    const char binary[] = {'\0', (char)0xff, '\n', '\0'};
    durable.sync = 1;

    put(db, "apple", "red");
    CHECK(holds(db, "apple", "red", NULL));
    put(db, "apple", "green");
    CHECK(holds(db, "apple", "green", NULL));
    CHECK(holds(db, "pear", NULL, NULL));
    OK(aidb_put(db, binary, 4, binary, 4, &durable, &error));
    OK(aidb_get(db, binary, 4, NULL, &value, &length, &error));
    CHECK(length == 4 && memcmp(value, binary, 4) == 0);
    aidb_free(value);

    OK(aidb_put(db, NULL, 0, NULL, 0, NULL, &error));
    OK(aidb_get(db, "", 0, NULL, &value, &length, &error));
    CHECK(length == 0 && value != NULL);
    aidb_free(value);
    OK(aidb_contains(db, NULL, 0, NULL, &error));
    OK(aidb_delete(db, NULL, 0, &durable, &error));
    ABSENT(aidb_contains(db, NULL, 0, NULL, &error));
    OK(aidb_delete(db, "never there", 11, NULL, &error));

    value = (char *)binary;
    length = 77;
    ABSENT(aidb_get(db, "pear", 4, NULL, &value, &length, &error));
    CHECK(value == binary && length == 77);
    CHECK(aidb_put(db, "a", 1, "b", 1, NULL, NULL) == AIDB_OK);
    CHECK(aidb_delete(db, "a", 1, NULL, NULL) == AIDB_OK);

    OK(aidb_path(db, &text, &error));
    CHECK(strcmp(text, path) == 0);
    aidb_free(text);
    CHECK(!aidb_is_closed(db));
}

static void test_pinned_and_many(aidb_db *db) {
    enum { BIG = 100000 };
    char *big = malloc(BIG), *buffer = NULL;
    aidb_pinned *pinned = NULL;
    const void *keys[3];
    size_t key_lens[3], value_lens[3];
    const char *values[3];
    memset(big, 'x', BIG);
    OK(aidb_put(db, "big", 3, big, BIG, NULL, &error));
    OK(aidb_flush(db, &error));
    OK(aidb_get_pinned(db, "big", 3, NULL, &pinned, &error));
    OK(aidb_delete(db, "big", 3, NULL, &error));
    CHECK(aidb_pinned_len(pinned) == BIG);
    CHECK(memcmp(aidb_pinned_data(pinned), big, BIG) == 0);
    aidb_pinned_free(pinned);
    aidb_pinned_free(pinned);
    CHECK(aidb_pinned_data(pinned) == NULL && aidb_pinned_len(pinned) == 0);
    ABSENT(aidb_get_pinned(db, "big", 3, NULL, &pinned, &error));
    free(big);

    keys[0] = "apple";
    keys[1] = "pear";
    keys[2] = NULL;
    key_lens[0] = 5;
    key_lens[1] = 4;
    key_lens[2] = 0;
    OK(aidb_put(db, NULL, 0, NULL, 0, NULL, &error));
    OK(aidb_get_many(db, 3, keys, key_lens, NULL, values, value_lens, &buffer, &error));
    CHECK(bytes_are(values[0], value_lens[0], "green"));
    CHECK(values[1] == NULL && value_lens[1] == 0);
    CHECK(values[2] != NULL && value_lens[2] == 0);
    aidb_free(buffer);
    OK(aidb_delete(db, NULL, 0, NULL, &error));
    OK(aidb_get_many(db, 0, NULL, NULL, NULL, NULL, NULL, &buffer, &error));
    aidb_free(buffer);
    key_lens[2] = 1;
    FAILS(AIDB_INVALID_ARGUMENT, "key is NULL",
          aidb_get_many(db, 3, keys, key_lens, NULL, values, value_lens, &buffer, &error));
    FAILS(AIDB_INVALID_ARGUMENT, "values_out",
          aidb_get_many(db, 3, keys, key_lens, NULL, NULL, value_lens, &buffer, &error));
}

/* `length` bytes: incompressible noise in the first half, then one letter. */
static char *mixed(size_t length) {
    static unsigned long state = 1;
    char *bytes = malloc(length + 1);
    size_t at;
    for (at = 0; at < length / 2; at++) {
        state = (state * 1103515245 + 12345) % 2147483648;
        bytes[at] = (char)(state >> 16);
    }
    memset(bytes + at, 'x', length - at);
    return bytes;
}

/* Every size at which the engine takes another way, one byte less and one more, as a value and as a key. */
static void test_thresholds(aidb_db *db) {
    static const size_t EDGES[] = {
#include "../data/edges.txt"
    };
    enum { MOST = sizeof EDGES / sizeof *EDGES, LARGEST = (1 << 20) + 1 };
    char *data[MOST];
    aidb_pinned *pinned = NULL;
    size_t count = 0, at;
    int round;
    for (; count < MOST && EDGES[count] <= LARGEST; count++) {
        size_t length = EDGES[count];
        data[count] = mixed(length);
        OK(aidb_put(db, &EDGES[count], sizeof *EDGES, data[count], length, NULL, &error));
        OK(aidb_put(db, data[count], length, &EDGES[count], sizeof *EDGES, NULL, &error));
    }
    CHECK(count > 40);
    for (round = 0; round < 2; round++) {
        for (at = 0; at < count; at++) {
            OK(aidb_get_pinned(db, &EDGES[at], sizeof *EDGES, NULL, &pinned, &error));
            CHECK(aidb_pinned_len(pinned) == EDGES[at]);
            CHECK(memcmp(aidb_pinned_data(pinned), data[at], EDGES[at]) == 0);
            aidb_pinned_free(pinned);
            OK(aidb_get_pinned(db, data[at], EDGES[at], NULL, &pinned, &error));
            CHECK(aidb_pinned_len(pinned) == sizeof *EDGES);
            CHECK(memcmp(aidb_pinned_data(pinned), &EDGES[at], sizeof *EDGES) == 0);
            aidb_pinned_free(pinned);
        }
        OK(aidb_flush(db, &error));
    }
    for (at = 0; at < count; at++) {
        OK(aidb_delete(db, &EDGES[at], sizeof *EDGES, NULL, &error));
        OK(aidb_delete(db, data[at], EDGES[at], NULL, &error));
        free(data[at]);
    }
}

struct log {
    char text[256];
    aidb_batch *batch;
    aidb_status inside;
};

static void log_put(void *context, const char *key, size_t key_len, const char *value,
                    size_t value_len) {
    struct log *log = context;
    sprintf(log->text + strlen(log->text), "+%.*s=%.*s ", (int)key_len, key, (int)value_len, value);
    log->inside = aidb_batch_clear(log->batch, NULL);
}

static void log_delete(void *context, const char *key, size_t key_len) {
    struct log *log = context;
    sprintf(log->text + strlen(log->text), "-%.*s ", (int)key_len, key);
}

static void test_batches(aidb_db *db) {
    aidb_batch *batch = aidb_batch_new(), *more = aidb_batch_new();
    struct log log = {"", NULL, AIDB_OK};
    size_t size = aidb_batch_byte_size(batch);
    CHECK(aidb_batch_count(batch) == 0);
    OK(aidb_batch_put(batch, "one", 3, "1", 1, &error));
    OK(aidb_batch_put(batch, "two", 3, "2", 1, &error));
    OK(aidb_batch_delete(batch, "one", 3, &error));
    OK(aidb_batch_put(more, "three", 5, "", 0, &error));
    OK(aidb_batch_append(batch, more, &error));
    CHECK(aidb_batch_count(batch) == 4 && aidb_batch_byte_size(batch) > size);
    log.batch = batch;
    OK(aidb_batch_iterate(batch, &log, log_put, log_delete, &error));
    CHECK(strcmp(log.text, "+one=1 +two=2 -one +three= ") == 0);
    CHECK(log.inside == AIDB_INVALID_ARGUMENT);
    OK(aidb_batch_iterate(batch, NULL, NULL, NULL, &error));
    OK(aidb_write(db, batch, NULL, &error));
    CHECK(holds(db, "one", NULL, NULL) && holds(db, "two", "2", NULL));
    CHECK(holds(db, "three", "", NULL));
    OK(aidb_batch_append(batch, batch, &error));
    CHECK(aidb_batch_count(batch) == 8);
    OK(aidb_batch_clear(batch, &error));
    OK(aidb_write(db, batch, NULL, &error));
    CHECK(aidb_batch_count(batch) == 0);
    OK(aidb_batch_delete(batch, "two", 3, &error));
    OK(aidb_batch_delete(batch, "three", 5, &error));
    OK(aidb_write(db, batch, NULL, &error));
    CHECK(holds(db, "two", NULL, NULL));
    FAILS(AIDB_INVALID_ARGUMENT, "key", aidb_batch_put(batch, NULL, 5, "", 0, &error));
    aidb_batch_free(batch);
    aidb_batch_free(more);
    FAILS(AIDB_CLOSED, "batch", aidb_write(db, batch, NULL, &error));
    CHECK(aidb_batch_count(batch) == 0);
}

/* The newest number that readers see. */
static uint64_t newest(aidb_db *db) {
    aidb_snapshot *snapshot = NULL;
    uint64_t sequence;
    OK(aidb_snapshot_create(db, &snapshot, &error));
    sequence = aidb_snapshot_sequence(snapshot);
    aidb_snapshot_release(snapshot);
    return sequence;
}

/* The write options in the form of the header's first version. */
struct first_write_options { size_t struct_size; int32_t sync; int32_t reserved; };

static void test_sequences(aidb_db *db) {
    aidb_write_options options = AIDB_WRITE_OPTIONS_INIT;
    struct first_write_options first = {sizeof first, 0, 0};
    aidb_batch *batch = aidb_batch_new();
    const uint64_t before = newest(db);
    uint64_t sequence = 0;
    int count;
    CHECK(options.sequence_out == NULL);
    options.sequence_out = &sequence;
    OK(aidb_put(db, "n", 1, "1", 1, &options, &error));
    CHECK(sequence == before + 1 && newest(db) == sequence);
    OK(aidb_delete(db, "n", 1, &options, &error));
    CHECK(sequence == before + 2 && newest(db) == sequence);
    for (count = 0; count < 100; count++) OK(aidb_batch_put(batch, "n", 1, "1", 1, &error));
    OK(aidb_write(db, batch, &options, &error));
    CHECK(sequence == before + 102 && newest(db) == sequence);
    OK(aidb_batch_clear(batch, &error));
    OK(aidb_write(db, batch, &options, &error));
    CHECK(sequence == before + 102);
    sequence = 5;
    FAILS(AIDB_INVALID_ARGUMENT, "key is NULL", aidb_put(db, NULL, 1, "1", 1, &options, &error));
    CHECK(sequence == 5);
    OK(aidb_delete(db, "n", 1, (const aidb_write_options *)&first, &error));
    CHECK(newest(db) == before + 103);
    aidb_batch_free(batch);
}

static void test_snapshots(aidb_db *db) {
    aidb_snapshot *first = NULL, *second = NULL;
    aidb_iter_options options = AIDB_ITER_OPTIONS_INIT;
    aidb_iterator *iterator = NULL;
    put(db, "s", "old");
    OK(aidb_snapshot_create(db, &first, &error));
    put(db, "s", "new");
    OK(aidb_snapshot_create(db, &second, &error));
    OK(aidb_delete(db, "s", 1, NULL, &error));
    OK(aidb_flush(db, &error));
    OK(aidb_compact_range(db, NULL, 0, NULL, 0, &error));
    CHECK(aidb_snapshot_sequence(first) < aidb_snapshot_sequence(second));
    CHECK(holds(db, "s", "old", first));
    CHECK(holds(db, "s", "new", second));
    CHECK(holds(db, "s", NULL, NULL));
    options.snapshot = first;
    options.prefix = "s";
    options.prefix_len = 1;
    OK(aidb_iter_create(db, &options, &iterator, &error));
    aidb_snapshot_release(first);
    OK(aidb_iter_first(iterator, &error));
    CHECK(stands_on(iterator, "s", "old"));
    FAILS(AIDB_CLOSED, "options.snapshot", aidb_iter_create(db, &options, &iterator, &error));
    aidb_iter_free(iterator);
    aidb_snapshot_release(second);
    aidb_snapshot_release(second);
    CHECK(aidb_snapshot_sequence(second) == 0);
}

static void test_iterators(aidb_db *db) {
    aidb_iterator *iterator = NULL;
    aidb_iter_options options = AIDB_ITER_OPTIONS_INIT;
    const char *keys[] = {"i:a", "i:b", "i:c", "i:d"};
    const char *values[] = {"1", "2", "3", "4"};
    size_t at;
    for (at = 0; at < 4; at++) {
        put(db, keys[at], values[at]);
    }
    OK(aidb_iter_prefix(db, "i:", 2, &iterator, &error));
    CHECK(!aidb_iter_valid(iterator) && aidb_iter_key(iterator, &at) == NULL && at == 0);
    CHECK(aidb_iter_value(iterator, NULL) == NULL);
    for (at = 0; at < 4; at++) {
        OK(aidb_iter_next(iterator, &error));
        CHECK(stands_on(iterator, keys[at], values[at]));
    }
    ABSENT(aidb_iter_next(iterator, &error));
    ABSENT(aidb_iter_next(iterator, &error));
    OK(aidb_iter_status(iterator, &error));
    OK(aidb_iter_prev(iterator, &error));
    CHECK(stands_on(iterator, "i:d", "4"));
    OK(aidb_iter_seek(iterator, "i:bb", 4, &error));
    CHECK(stands_on(iterator, "i:c", "3"));
    OK(aidb_iter_seek_for_prev(iterator, "i:bb", 4, &error));
    CHECK(stands_on(iterator, "i:b", "2"));
    OK(aidb_iter_last(iterator, &error));
    CHECK(stands_on(iterator, "i:d", "4"));
    OK(aidb_iter_first(iterator, &error));
    ABSENT(aidb_iter_prev(iterator, &error));
    ABSENT(aidb_iter_seek(iterator, "z", 1, &error));
    FAILS(AIDB_INVALID_ARGUMENT, "key", aidb_iter_seek(iterator, NULL, 1, &error));
    aidb_iter_free(iterator);

    OK(aidb_iter_range(db, "i:b", 3, "i:d", 3, &iterator, &error));
    OK(aidb_iter_first(iterator, &error));
    CHECK(stands_on(iterator, "i:b", "2"));
    OK(aidb_iter_last(iterator, &error));
    CHECK(stands_on(iterator, "i:c", "3"));
    aidb_iter_free(iterator);

    options.lower_bound = "i:b";
    options.lower_bound_len = 3;
    options.upper_bound = "i:d";
    options.upper_bound_len = 3;
    options.reverse = 1;
    OK(aidb_iter_create(db, &options, &iterator, &error));
    OK(aidb_iter_next(iterator, &error));
    CHECK(stands_on(iterator, "i:c", "3"));
    OK(aidb_iter_next(iterator, &error));
    CHECK(stands_on(iterator, "i:b", "2"));
    ABSENT(aidb_iter_next(iterator, &error));
    aidb_iter_free(iterator);

    options.reverse = 0;
    options.values = 0;
    OK(aidb_iter_create(db, &options, &iterator, &error));
    OK(aidb_iter_first(iterator, &error));
    CHECK(stands_on(iterator, "i:b", ""));
    aidb_iter_free(iterator);
    options.values = 1;
    options.keys = 0;
    OK(aidb_iter_create(db, &options, &iterator, &error));
    OK(aidb_iter_first(iterator, &error));
    CHECK(stands_on(iterator, "", "2"));
    aidb_iter_free(iterator);
    aidb_iter_free(iterator);
    CHECK(!aidb_iter_valid(iterator));
    FAILS(AIDB_CLOSED, "iterator", aidb_iter_next(iterator, &error));

    options.struct_size = 3;
    FAILS(AIDB_INVALID_ARGUMENT, "struct_size",
          aidb_iter_create(db, &options, &iterator, &error));
}

static void test_next_many(aidb_db *db) {
    enum { COUNT = 1000 };
    aidb_iterator *iterator = NULL;
    aidb_entry entries[64];
    char buffer[1000], key[32], value[32];
    size_t seen = 0, count = 0, needed = 0, at;
    aidb_status status;
    for (at = 0; at < COUNT; at++) {
        sprintf(key, "m:%06u", (unsigned)at);
        sprintf(value, "%u", (unsigned)(at * 7));
        put(db, key, value);
    }
    OK(aidb_iter_prefix(db, "m:", 2, &iterator, &error));
    FAILS(AIDB_INVALID_ARGUMENT, "needs 9",
          aidb_iter_next_many(iterator, entries, 64, buffer, 8, &count, &needed, &error));
    CHECK(count == 0 && needed == 9);
    FAILS(AIDB_INVALID_ARGUMENT, "max_entries",
          aidb_iter_next_many(iterator, entries, 0, buffer, 8, &count, NULL, &error));
    while ((status = aidb_iter_next_many(iterator, entries, 64, buffer, sizeof buffer, &count,
                                         &needed, NULL)) == AIDB_OK) {
        CHECK(count > 0 && needed == 0);
        for (at = 0; at < count; at++, seen++) {
            sprintf(key, "m:%06u", (unsigned)seen);
            sprintf(value, "%u", (unsigned)(seen * 7));
            CHECK(bytes_are(buffer + entries[at].key_offset, entries[at].key_len, key));
            CHECK(bytes_are(buffer + entries[at].value_offset, entries[at].value_len, value));
        }
    }
    CHECK(status == AIDB_NOT_FOUND && seen == COUNT && count == 0);
    ABSENT(aidb_iter_next_many(iterator, entries, 64, buffer, sizeof buffer, &count, &needed,
                               &error));
    OK(aidb_iter_last(iterator, &error));
    OK(aidb_iter_next_many(iterator, entries, 64, buffer, sizeof buffer, &count, NULL, &error));
    CHECK(count == 1);
    aidb_iter_free(iterator);
}

static void test_reports(aidb_db *db) {
    char *text = NULL;
    uint64_t size = 0;
    OK(aidb_flush(db, &error));
    OK(aidb_approximate_size(db, "m:", 2, "m;", 2, &size, &error));
    CHECK(size > 0 && size < 1000000);
    {
        uint64_t all = 0, above = 0;
        OK(aidb_approximate_size(db, NULL, 0, NULL, 0, &all, &error));
        OK(aidb_approximate_size(db, "m:", 2, NULL, 0, &above, &error));
        CHECK(all >= above && above >= size);
        OK(aidb_approximate_size(db, NULL, 0, "", 0, &above, &error));
        CHECK(above == 0);
    }
    OK(aidb_stats_json(db, &text, &error));
    CHECK(text[0] == '{' && strstr(text, "\"flushes\"") != NULL);
    aidb_free(text);
    ABSENT(aidb_property(db, "no such property", &text, &error));
    FAILS(AIDB_INVALID_ARGUMENT, "size_out is NULL",
          aidb_approximate_size(db, "a", 1, "b", 1, NULL, &error));
}

static int32_t stop_at_once(void *context, uint64_t counted, uint64_t total) {
    CHECK(counted <= total);
    *(uint64_t *)context = counted;
    return 1;
}

static void test_counts(aidb_db *db) {
    uint64_t all = 0, some = 0, about = 0, told = 0;
    aidb_count_options options = AIDB_COUNT_OPTIONS_INIT;
    aidb_snapshot *snapshot = NULL;
    OK(aidb_count(db, NULL, 0, NULL, 0, NULL, NULL, NULL, &all, &error));
    OK(aidb_count(db, "m:", 2, "m;", 2, NULL, NULL, NULL, &some, &error));
    CHECK(some > 0 && some < all);
    options.prefix = "m:";
    options.prefix_len = 2;
    OK(aidb_count(db, NULL, 0, NULL, 0, &options, NULL, NULL, &about, &error));
    CHECK(about == some);
    OK(aidb_approximate_count(db, "m:", 2, "m;", 2, &about, &error));
    CHECK(about > 0);
    OK(aidb_approximate_count(db, "b", 1, "a", 1, &about, &error));
    CHECK(about == 0);
    OK(aidb_count(db, "b", 1, "a", 1, NULL, NULL, NULL, &about, &error));
    CHECK(about == 0);
    OK(aidb_snapshot_create(db, &snapshot, &error));
    put(db, "m:counted", "1");
    options.snapshot = snapshot;
    OK(aidb_count(db, NULL, 0, NULL, 0, &options, stop_at_once, &told, &about, &error));
    CHECK(about == some && told == some);
    options.snapshot = NULL;
    OK(aidb_count(db, NULL, 0, NULL, 0, &options, NULL, NULL, &about, &error));
    CHECK(about == some + 1);
    OK(aidb_delete(db, "m:counted", 9, NULL, &error));
    options.snapshot = snapshot;
    aidb_snapshot_release(snapshot);
    FAILS(AIDB_CLOSED, "", aidb_count(db, NULL, 0, NULL, 0, &options, NULL, NULL, &about, &error));
    FAILS(AIDB_INVALID_ARGUMENT, "count_out is NULL",
          aidb_count(db, NULL, 0, NULL, 0, NULL, NULL, NULL, NULL, &error));
    FAILS(AIDB_INVALID_ARGUMENT, "count_out is NULL",
          aidb_approximate_count(db, NULL, 0, NULL, 0, NULL, &error));
}

static int32_t count_progress(void *context, uint64_t done, uint64_t total) {
    ++*(int *)context;
    return done > total;
}

/* Flips a bit in the first block of the table with the lowest number, which a copy shares with its database; the next
 * call flips it back. */
static void damage_a_table(const char *directory) {
    DIR *entries = opendir(directory);
    struct dirent *entry;
    char name[256] = "", file[4096];
    FILE *table;
    int byte;
    CHECK(entries != NULL);
    while ((entry = readdir(entries)) != NULL) {
        bool is_first = name[0] == 0 || strcmp(entry->d_name, name) < 0;
        if (strstr(entry->d_name, ".sst") != NULL && is_first) {
            snprintf(name, sizeof name, "%s", entry->d_name);
        }
    }
    CHECK(name[0] != 0);
    closedir(entries);
    snprintf(file, sizeof file, "%s/%s", directory, name);
    table = fopen(file, "r+b");
    CHECK(table != NULL && fseek(table, 30, SEEK_SET) == 0);
    byte = fgetc(table);
    CHECK(fseek(table, 30, SEEK_SET) == 0 && fputc(byte ^ 1, table) != EOF);
    CHECK(fclose(table) == 0);
}

/* A NULL path is not the current directory. */
static void test_empty_path(aidb_db *db) {
    aidb_db *other = NULL;
    FAILS(AIDB_INVALID_ARGUMENT, "empty", aidb_open("", NULL, &other, &error));
    FAILS(AIDB_INVALID_ARGUMENT, "empty", aidb_destroy("", NULL, &error));
    FAILS(AIDB_INVALID_ARGUMENT, "empty", aidb_checkpoint(db, "", &error));
    FAILS(AIDB_INVALID_ARGUMENT, "empty", aidb_repair("", path, NULL, NULL, NULL, &error));
    FAILS(AIDB_INVALID_ARGUMENT, "empty", aidb_repair(path, "", NULL, NULL, NULL, &error));
}

/* A path that begins with a scheme does not name a directory. */
static void test_schemes(aidb_db *db) {
    static const char *const urls[] = {"aidb://host/db", "s3://bucket", "s3:/bucket", "file:///db"};
    aidb_db *other = NULL;
    size_t at;
    for (at = 0; at < sizeof urls / sizeof urls[0]; at++) {
        aidb_options *options = aidb_options_new();
        FAILS(AIDB_UNSUPPORTED, urls[at], aidb_open(urls[at], NULL, &other, &error));
        FAILS(AIDB_UNSUPPORTED, urls[at], aidb_destroy(urls[at], NULL, &error));
        FAILS(AIDB_UNSUPPORTED, urls[at], aidb_checkpoint(db, urls[at], &error));
        FAILS(AIDB_UNSUPPORTED, urls[at], aidb_repair(urls[at], path, NULL, NULL, NULL, &error));
        FAILS(AIDB_UNSUPPORTED, urls[at], aidb_repair(path, urls[at], NULL, NULL, NULL, &error));
        OK(aidb_options_set(options, "info_log", urls[at], &error));
        FAILS(AIDB_UNSUPPORTED, urls[at], aidb_open(path, options, &other, &error));
        aidb_options_free(options);
    }
}

static void write_file(const char *directory, const char *name, const char *text) {
    char file[4096];
    FILE *stream;
    snprintf(file, sizeof file, "%s/%s", directory, name);
    stream = fopen(file, "w");
    CHECK(stream != NULL && fputs(text, stream) >= 0 && fclose(stream) == 0);
}

static bool has_file(const char *directory, const char *name, const char *text) {
    char file[4096], found[64] = "";
    FILE *stream;
    snprintf(file, sizeof file, "%s/%s", directory, name);
    stream = fopen(file, "r");
    if (stream == NULL) {
        return false;
    }
    found[fread(found, 1, sizeof found - 1, stream)] = 0;
    fclose(stream);
    return strcmp(found, text) == 0;
}

/* Files of another engine, or of unknown origin, are left alone. */
static void test_foreign_directories(void) {
    char directory[4096], into[4096], file[8192];
    aidb_db *other = NULL;
    snprintf(directory, sizeof directory, "%s-foreign", path);
    snprintf(into, sizeof into, "%s-into", path);
    CHECK(mkdir(directory, 0700) == 0);
    write_file(directory, "CURRENT", "MANIFEST-000004\n");
    write_file(directory, "000005.log", "precious");
    write_file(directory, "LOCK", "x");
    FAILS(AIDB_INVALID_ARGUMENT, "LevelDB", aidb_destroy(directory, NULL, &error));
    FAILS(AIDB_INVALID_ARGUMENT, "LevelDB", aidb_open(directory, NULL, &other, &error));
    FAILS(AIDB_INVALID_ARGUMENT, "LevelDB",
          aidb_repair(directory, into, NULL, NULL, NULL, &error));
    CHECK(has_file(directory, "CURRENT", "MANIFEST-000004\n"));
    CHECK(has_file(directory, "000005.log", "precious"));
    CHECK(has_file(directory, "LOCK", "x"));
    snprintf(file, sizeof file, "%s/CURRENT", directory);
    CHECK(remove(file) == 0);
    FAILS(AIDB_INVALID_ARGUMENT, "000005.log", aidb_destroy(directory, NULL, &error));
    /* An unfinished copy is neither opened nor taken for an empty directory. */
    snprintf(file, sizeof file, "%s/000005.log", directory);
    CHECK(remove(file) == 0);
    snprintf(file, sizeof file, "%s/LOCK", directory);
    CHECK(remove(file) == 0);
    write_file(directory, "AIDB-INCOMPLETE", "");
    FAILS(AIDB_CORRUPTION, "destroy it", aidb_open(directory, NULL, &other, &error));
    OK(aidb_destroy(directory, NULL, &error));
    CHECK(rmdir(directory) != 0);
}

static void test_copies(aidb_db *db) {
    char copy_path[4096], repaired_path[4096], *report = NULL;
    aidb_db *copy = NULL;
    bool is_ok = false;
    int calls = 0;
    snprintf(copy_path, sizeof copy_path, "%s-copy", path);
    snprintf(repaired_path, sizeof repaired_path, "%s-repaired", path);
    OK(aidb_destroy(copy_path, NULL, &error));
    OK(aidb_destroy(repaired_path, NULL, &error));

    put(db, "checkpoint", "1");
    /* A new copy replaces an unfinished one; so does a repair, below. */
    CHECK(mkdir(copy_path, 0700) == 0 && mkdir(repaired_path, 0700) == 0);
    write_file(copy_path, "AIDB-INCOMPLETE", "aidb incomplete\n");
    write_file(repaired_path, "AIDB-INCOMPLETE", "aidb incomplete\n");
    FAILS(AIDB_CORRUPTION, "make it again",
          aidb_repair(copy_path, repaired_path, NULL, NULL, NULL, &error));
    OK(aidb_checkpoint(db, copy_path, &error));
    FAILS(AIDB_INVALID_ARGUMENT, "is not empty", aidb_checkpoint(db, copy_path, &error));
    FAILS(AIDB_INVALID_ARGUMENT, "path is NULL", aidb_checkpoint(db, NULL, &error));
    OK(aidb_open(copy_path, NULL, &copy, &error));
    CHECK(holds(copy, "checkpoint", "1", NULL));
    put(copy, "checkpoint", "2");
    CHECK(holds(db, "checkpoint", "1", NULL));

    OK(aidb_verify(copy, count_progress, &calls, &is_ok, &report, &error));
    CHECK(is_ok && calls > 0 && strstr(report, "\"is_ok\":true") != NULL);
    aidb_free(report);
    OK(aidb_verify(copy, NULL, NULL, NULL, NULL, &error));
    FAILS(AIDB_LOCKED, "pid", aidb_repair(copy_path, repaired_path, NULL, NULL, NULL, &error));
    OK(aidb_close(copy, &error));
    /* The copy shares the database's tables: the damage is in both. */
    damage_a_table(copy_path);
    OK(aidb_verify(db, NULL, NULL, &is_ok, &report, &error));
    CHECK(!is_ok && strstr(report, ".sst\",\"offset\":24,") != NULL);
    aidb_free(report);
    OK(aidb_repair(copy_path, repaired_path, NULL, &is_ok, &report, &error));
    CHECK(!is_ok && strstr(report, ".sst\",\"offset\":24,") != NULL);
    aidb_free(report);
    OK(aidb_open(repaired_path, NULL, &copy, &error));
    CHECK(holds(copy, "checkpoint", "2", NULL));
    OK(aidb_verify(copy, NULL, NULL, &is_ok, NULL, &error));
    CHECK(is_ok);
    OK(aidb_close(copy, &error));
    damage_a_table(copy_path);
    OK(aidb_verify(db, NULL, NULL, &is_ok, NULL, &error));
    CHECK(is_ok);
    FAILS(AIDB_INVALID_ARGUMENT, "into is NULL",
          aidb_repair(copy_path, NULL, NULL, NULL, NULL, &error));
    OK(aidb_destroy(copy_path, NULL, &error));
    OK(aidb_destroy(repaired_path, NULL, &error));
}

static void test_wrong_handles(aidb_db *db) {
    aidb_snapshot *snapshot = NULL;
    aidb_db *other = NULL;
    aidb_error *error = NULL;
    int local = 0;
    char *value = NULL;
    size_t length;
    OK(aidb_snapshot_create(db, &snapshot, &error));
    FAILS(AIDB_INVALID_ARGUMENT, "db is NULL", aidb_put(NULL, "k", 1, "v", 1, NULL, &error));
    FAILS(AIDB_INVALID_ARGUMENT, "aidb_snapshot",
          aidb_get((aidb_db *)snapshot, "k", 1, NULL, &value, &length, &error));
    FAILS(AIDB_INVALID_ARGUMENT, "not a handle", aidb_flush((aidb_db *)&local, &error));
    FAILS(AIDB_INVALID_ARGUMENT, "not a handle", aidb_close((aidb_db *)(size_t)12345, &error));
    FAILS(AIDB_INVALID_ARGUMENT, "value is NULL", aidb_put(db, "k", 1, NULL, 1, NULL, &error));
    FAILS(AIDB_INVALID_ARGUMENT, "length of key",
          aidb_put(db, "k", (size_t)-1, "v", 1, NULL, &error));
    FAILS(AIDB_INVALID_ARGUMENT, "value_out is NULL",
          aidb_get(db, "k", 1, NULL, NULL, &length, &error));
    FAILS(AIDB_INVALID_ARGUMENT, "path", aidb_open(NULL, NULL, &other, &error));
    FAILS(AIDB_INVALID_ARGUMENT, "path", aidb_open("", NULL, &other, &error));
    FAILS(AIDB_LOCKED, "", aidb_open(path, NULL, &other, &error));
    CHECK(aidb_open(path, NULL, &other, &error) == AIDB_LOCKED);
    CHECK(aidb_error_is_retryable(error));
    aidb_error_free(error);
    CHECK(aidb_error_code(error) == AIDB_CLOSED && !aidb_error_is_retryable(error));
    CHECK(aidb_error_message(error)[0] != '\0');
    aidb_error_free(error);
    CHECK(aidb_error_code(NULL) == AIDB_OK);
    CHECK(aidb_error_code((aidb_error *)db) == AIDB_INVALID_ARGUMENT);
    aidb_snapshot_release((aidb_snapshot *)db);
    aidb_iter_free((aidb_iterator *)&local);
    CHECK(!aidb_is_closed(db) && aidb_is_closed((aidb_db *)&local));
    aidb_snapshot_release(snapshot);
}

static void test_children_outlive_their_database(void) {
    aidb_db *db = open_db();
    aidb_iterator *iterator = NULL;
    aidb_snapshot *snapshot = NULL;
    aidb_pinned *pinned = NULL;
    put(db, "k", "v");
    OK(aidb_iter_create(db, NULL, &iterator, &error));
    OK(aidb_iter_first(iterator, &error));
    OK(aidb_snapshot_create(db, &snapshot, &error));
    OK(aidb_get_pinned(db, "k", 1, NULL, &pinned, &error));
    OK(aidb_close(db, &error));
    FAILS(AIDB_CLOSED, "db", aidb_close(db, &error));
    FAILS(AIDB_CLOSED, "db", aidb_put(db, "k", 1, "v", 1, NULL, &error));
    FAILS(AIDB_CLOSED, "", aidb_iter_next(iterator, &error));
    CHECK(aidb_is_closed(db));
    CHECK(bytes_are(aidb_pinned_data(pinned), aidb_pinned_len(pinned), "v"));
    aidb_pinned_free(pinned);
    aidb_snapshot_release(snapshot);
    aidb_iter_free(iterator);
}

static void *close_it(void *raw) {
    OK(aidb_close(raw, &error));
    return NULL;
}

/* Reads key and value of an iterator, and a pinned value, after another thread has closed the database: from a table
 * whose block is cached, from one with a large block, and from a memtable. */
static void test_what_was_lent_stays_after_a_close(void) {
    static const char *const keys[] = {"cached 50", "large 5", "written"};
    static char large[300000];
    aidb_db *db = open_db();
    aidb_iterator *iterators[6];
    aidb_pinned *pinned[3];
    const char *lent[6], *values[6];
    size_t lengths[6], at, round;
    char key[32];
    pthread_t thread;
    memset(large, 'l', sizeof(large));
    for (at = 0; at < 100; at++) {
        sprintf(key, "cached %02u", (unsigned)at);
        put(db, key, "a value of a table");
    }
    for (at = 0; at < 10; at++) {
        sprintf(key, "large %u", (unsigned)at);
        OK(aidb_put(db, key, strlen(key), large, sizeof(large), NULL, &error));
    }
    OK(aidb_flush(db, &error));
    put(db, "written", "a value of a memtable");
    for (at = 0; at < 6; at++) {
        const char *wanted = keys[at / 2];
        aidb_iter_options options = AIDB_ITER_OPTIONS_INIT;
        options.reverse = at % 2;
        OK(aidb_iter_create(db, &options, &iterators[at], &error));
        for (round = 0; round < 3; round++) {
            OK(aidb_iter_seek(iterators[at], wanted, strlen(wanted), &error));
        }
        lent[at] = aidb_iter_key(iterators[at], &lengths[at]);
        CHECK(bytes_are(lent[at], lengths[at], wanted));
        values[at] = aidb_iter_value(iterators[at], &lengths[at]);
    }
    for (at = 0; at < 3; at++) {
        OK(aidb_get_pinned(db, keys[at], strlen(keys[at]), NULL, &pinned[at], &error));
    }
    CHECK(pthread_create(&thread, NULL, close_it, db) == 0 && pthread_join(thread, NULL) == 0);
    for (at = 0; at < 6; at++) {
        CHECK(memcmp(lent[at], keys[at / 2], strlen(keys[at / 2])) == 0);
        CHECK(memcmp(values[at], at / 2 == 1 ? large : "a value of a ", at / 2 == 1 ? lengths[at] : 13) == 0);
        CHECK(aidb_iter_key(iterators[at], NULL) == lent[at] && aidb_iter_valid(iterators[at]));
        CHECK(aidb_iter_value(iterators[at], NULL) == values[at]);
    }
    CHECK(aidb_pinned_len(pinned[1]) == sizeof(large));
    CHECK(memcmp(aidb_pinned_data(pinned[1]), large, sizeof(large)) == 0);
    for (at = 0; at < 6; at++) {
        if (at % 3 < 2) {
            FAILS(AIDB_CLOSED, "", aidb_iter_next(iterators[at], &error));
            CHECK(aidb_iter_key(iterators[at], NULL) == NULL && !aidb_iter_valid(iterators[at]));
        }
        aidb_iter_free(iterators[at]);
    }
    for (at = 0; at < 3; at++) {
        aidb_pinned_free(pinned[at]);
    }
}

/* An AddressSanitizer, of this program or of the library, keeps freed memory for a while. */
#if defined(__SANITIZE_ADDRESS__) || defined(SANITIZED_LIBRARY)
#define KEEPS_FREED_MEMORY 1
#else
#define KEEPS_FREED_MEMORY 0
#endif

/* How many descriptors this process has; 0 if the system does not report it. */
static unsigned descriptors(void) {
    unsigned count = 0;
    DIR *entries = opendir("/proc/self/fd");
    if (entries == NULL) {
        return 0;
    }
    while (readdir(entries) != NULL) {
        count++;
    }
    closedir(entries);
    return count;
}

/* Bytes of memory that this process has; 0 if the system does not report it. */
static double resident(void) {
    unsigned long all, pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL) {
        return 0;
    }
    if (fscanf(file, "%lu %lu", &all, &pages) != 2) {
        pages = 0;
    }
    fclose(file);
    return (double)pages * 4096;
}

/* Opens, fills and closes a hundred and twenty databases one after the other, and keeps the handles made of them. */
static void test_closed_databases_hold_nothing(void) {
    enum { DATABASES = 120, FIRST = 20, ENTRIES = 1500 };
    static aidb_iterator *iterators[DATABASES];
    static aidb_snapshot *snapshots[DATABASES];
    static aidb_batch *batches[DATABASES];
    struct rlimit limit;
    double first = 0, last;
    unsigned at, number, before = 0;
    unsigned noise = 1;
    char key[32], value[1000];
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    limit.rlim_cur = 256;
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    for (at = 0; at < DATABASES; at++) {
        aidb_db *db = NULL;
        if (at <= 1) {
            before = descriptors();
        }
        OK(aidb_open(path, NULL, &db, &error));
        for (number = 0; number < ENTRIES; number++) {
            unsigned byte;
            for (byte = 0; byte < sizeof(value); byte++) {
                noise = noise * 1103515245 + 12345;
                value[byte] = (char)(noise >> 16);
            }
            sprintf(key, "%06u", number);
            if (aidb_put(db, key, 6, value, sizeof(value), NULL, NULL) != AIDB_OK) {
                CHECK(!"a put failed");
            }
            if (number == ENTRIES / 2) {
                OK(aidb_flush(db, &error));
            }
        }
        OK(aidb_snapshot_create(db, &snapshots[at], &error));
        OK(aidb_iter_create(db, NULL, &iterators[at], &error));
        OK(aidb_iter_first(iterators[at], &error));
        while (aidb_iter_next(iterators[at], NULL) == AIDB_OK) {
        }
        OK(aidb_iter_seek(iterators[at], at % 2 ? "000007" : "001400", 6, &error));
        batches[at] = aidb_batch_new();
        OK(aidb_batch_put(batches[at], "k", 1, "v", 1, &error));
        OK(aidb_close(db, &error));
        CHECK(at == 0 || descriptors() == before);
        OK(aidb_destroy(path, NULL, &error));
        if (at + 1 == FIRST) {
            first = resident();
        }
    }
    last = resident();
    /* Each iterator keeps the entry it lends: some pages. */
    if (!CHECK(KEEPS_FREED_MEMORY || last <= first * 1.1 + (DATABASES - FIRST) * 32768.0)) {
        fprintf(stderr, "    %.0f KiB after %d databases, %.0f KiB after %d\n", first / 1024, FIRST, last / 1024, DATABASES);
    }
    for (at = 0; at < DATABASES; at++) {
        aidb_iter_free(iterators[at]);
        aidb_snapshot_release(snapshots[at]);
        aidb_batch_free(batches[at]);
    }
}

static void *write_until_closed(void *raw) {
    aidb_db *db = raw;
    aidb_status status = AIDB_OK;
    char key[32];
    unsigned at;
    for (at = 0; status == AIDB_OK && at < 1000000; at++) {
        aidb_iterator *iterator = NULL;
        sprintf(key, "t:%u", at % 100);
        status = aidb_put(db, key, strlen(key), "x", 1, NULL, NULL);
        if (status == AIDB_OK && at % 16 == 0) {
            status = aidb_iter_create(db, NULL, &iterator, NULL);
            if (status == AIDB_OK) {
                status = aidb_iter_first(iterator, NULL);
            }
            aidb_iter_free(iterator);
        }
    }
    return status == AIDB_CLOSED ? raw : NULL;
}

static void test_closing_under_other_threads(void) {
    pthread_t threads[4];
    aidb_db *db = open_db();
    char *value = NULL;
    size_t length, at;
    void *answer;
    for (at = 0; at < 4; at++) {
        CHECK(pthread_create(&threads[at], NULL, write_until_closed, db) == 0);
    }
    while (aidb_get(db, "t:99", 4, NULL, &value, &length, NULL) == AIDB_NOT_FOUND) {
    }
    aidb_free(value);
    OK(aidb_close(db, &error));
    for (at = 0; at < 4; at++) {
        CHECK(pthread_join(threads[at], &answer) == 0 && answer == db);
    }
    db = open_db();
    CHECK(holds(db, "t:99", "x", NULL));
    OK(aidb_close(db, &error));
}

/* A child that inherits handles gets AIDB_CLOSED from each. It neither harms the parent's database nor keeps it
 * open. */
static void test_fork(void) {
    aidb_db *db = open_db(), *own = NULL;
    aidb_iterator *iterator = NULL;
    aidb_snapshot *snapshot = NULL;
    pid_t child;
    char answer = 'x';
    int ends[2];
    put(db, "f", "parent");
    OK(aidb_iter_create(db, NULL, &iterator, &error));
    OK(aidb_iter_first(iterator, &error));
    CHECK(pipe(ends) == 0);
    fflush(NULL);
    child = fork();
    if (child == 0) {
        check_failed = 0;
        FAILS(AIDB_CLOSED, "", aidb_put(db, "f", 1, "child", 5, NULL, &error));
        FAILS(AIDB_CLOSED, "", aidb_contains(db, "f", 1, NULL, &error));
        FAILS(AIDB_CLOSED, "", aidb_iter_next(iterator, &error));
        FAILS(AIDB_CLOSED, "", aidb_snapshot_create(db, &snapshot, &error));
        FAILS(AIDB_CLOSED, "", aidb_flush(db, &error));
        FAILS(AIDB_LOCKED, "", aidb_open(path, NULL, &own, &error));
        CHECK(aidb_is_closed(db));
        aidb_iter_free(iterator);
        (void)aidb_close(db, NULL);
        answer = check_failed > 0 ? 'n' : 'y';
        if (write(ends[1], &answer, 1) == 1) {
            /* After an ordinary exit valgrind would count the memory of the parent's threads in this copy. */
            kill(getpid(), SIGKILL);
        }
    }
    CHECK(child > 0 && read(ends[0], &answer, 1) == 1 && answer == 'y');
    CHECK(waitpid(child, NULL, 0) == child);
    CHECK(close(ends[0]) == 0 && close(ends[1]) == 0);
    CHECK(holds(db, "f", "parent", NULL));
    put(db, "f", "still");
    aidb_iter_free(iterator);
    OK(aidb_close(db, &error));
}

int main(int argc, char **argv) {
    aidb_db *db;
    if (argc != 2) {
        fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
        return 2;
    }
    path = argv[1];
    test_version();
    test_options();
    db = open_db();
    test_put_get_delete(db);
    test_pinned_and_many(db);
    test_batches(db);
    test_sequences(db);
    test_snapshots(db);
    test_iterators(db);
    test_next_many(db);
    test_reports(db);
    test_counts(db);
    test_copies(db);
    test_empty_path(db);
    test_schemes(db);
    test_foreign_directories();
    test_wrong_handles(db);
    OK(aidb_close(db, &error));
    db = open_db();
    CHECK(holds(db, "apple", "green", NULL));
    test_thresholds(db);
    OK(aidb_close(db, &error));
    test_children_outlive_their_database();
    test_what_was_lent_stays_after_a_close();
    test_closing_under_other_threads();
    test_fork();
    OK(aidb_destroy(path, NULL, &error));
    test_closed_databases_hold_nothing();
    OK(aidb_destroy(path, NULL, &error));
    return REPORT();
}
