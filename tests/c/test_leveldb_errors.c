/* Tests the errors of LevelDB's C API on top of AiDb: test_leveldb_errors DIRECTORY
 *
 * Unlike test_leveldb.c this program uses AiDb: it counts the error objects that the header receives and frees, and
 * makes a snapshot fail.
 */
#include <dirent.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "aidb.h"

static int errors_freed, snapshots_fail;

static void counting_error_free(aidb_error *object) {
    errors_freed += object != NULL;
    aidb_error_free(object);
}

static aidb_status failing_snapshot_create(const aidb_db *database, aidb_snapshot **out,
                                           aidb_error **object) {
    return aidb_snapshot_create(snapshots_fail ? NULL : database, out, object);
}

#define aidb_error_free counting_error_free
#define aidb_snapshot_create failing_snapshot_create
#include "leveldb/c.h"

#include "check.h"

/* One byte more than a key may have. */
#define TOO_LONG ((16 << 20) + 1)

static char *error = NULL;
static char *long_key;
static leveldb_options_t *options;
static leveldb_readoptions_t *read_options;
static leveldb_writeoptions_t *write_options;

/* Whether the last call failed with a message that begins with `kind` and contains `what`; frees the message. */
static int failed(const char *kind, const char *what) {
    int as_wanted = error != NULL && strncmp(error, kind, strlen(kind)) == 0 &&
                    strstr(error, what) != NULL;
    if (!as_wanted) {
        fprintf(stderr, "wanted '%s...%s', got '%s'\n", kind, what, error != NULL ? error : "no error");
    }
    leveldb_free(error);
    error = NULL;
    return as_wanted;
}

static leveldb_t *opened(const char *path) {
    leveldb_t *db = leveldb_open(options, path, &error);
    CHECK(db != NULL && error == NULL);
    return db;
}

static void put(leveldb_t *db, const char *key, const char *value) {
    leveldb_put(db, write_options, key, strlen(key), value, strlen(value), &error);
    CHECK(error == NULL);
}

static int has(leveldb_t *db, const char *key, const char *wanted) {
    size_t length = 99;
    char *value = leveldb_get(db, read_options, key, strlen(key), &length, &error);
    int same = wanted == NULL ? value == NULL && length == 0
                              : value != NULL && length == strlen(wanted) &&
                                    memcmp(value, wanted, length) == 0;
    CHECK(error == NULL);
    leveldb_free(value);
    return same;
}

/* Compilers may evaluate the arguments of a call in any order: a status and its error must not be two arguments. */
static void test_every_failure_has_its_message_and_frees_its_error(leveldb_t *db,
                                                                   const char *path) {
    size_t length = 99;
    char *missing = aidb_leveldb_join(path, ".missing", "/database");
    int freed = errors_freed;
    leveldb_put(db, write_options, long_key, TOO_LONG, "v", 1, &error);
    CHECK(failed("Invalid argument: ", "16777217"));
    leveldb_delete(db, write_options, long_key, TOO_LONG, &error);
    CHECK(failed("Invalid argument: ", "16777217"));
    CHECK(leveldb_get(db, read_options, long_key, TOO_LONG, &length, &error) == NULL);
    CHECK(length == 0 && failed("Invalid argument: ", "16777217"));
    CHECK(leveldb_open(options, path, &error) == NULL && failed("IO error: ", "lock"));
    leveldb_options_set_create_if_missing(options, 0);
    CHECK(leveldb_open(options, missing, &error) == NULL);
    CHECK(failed("Invalid argument: ", missing));
    leveldb_options_set_create_if_missing(options, 1);
    leveldb_repair_db(options, missing, &error);
    CHECK(failed("Invalid argument: ", missing));
    leveldb_repair_db(options, path, &error);
    CHECK(failed("IO error: ", "lock"));
    leveldb_destroy_db(options, path, &error);
    CHECK(failed("IO error: ", "lock"));
    CHECK(errors_freed == freed + 8);
    /* The call replaces an old message in that place. */
    leveldb_put(db, write_options, long_key, TOO_LONG, "v", 1, &error);
    leveldb_delete(db, write_options, long_key, TOO_LONG, &error);
    CHECK(failed("Invalid argument: ", "16777217") && errors_freed == freed + 10);
    free(missing);
}

static void test_a_batch_that_refused_an_operation_is_not_written(leveldb_t *db) {
    leveldb_writebatch_t *batch = leveldb_writebatch_create(), *more = leveldb_writebatch_create();
    int freed = errors_freed;
    leveldb_writebatch_put(batch, "before", 6, "1", 1);
    leveldb_writebatch_put(batch, long_key, TOO_LONG, "v", 1);
    leveldb_writebatch_delete(batch, long_key, TOO_LONG);
    leveldb_writebatch_put(batch, "after", 5, "1", 1);
    CHECK(errors_freed == freed + 2);
    leveldb_write(db, write_options, batch, &error);
    CHECK(failed("Invalid argument: ", "16777217") && has(db, "before", NULL) && has(db, "after", NULL));
    /* It stays rejected, and so does a batch to which it is appended. */
    leveldb_write(db, write_options, batch, &error);
    CHECK(failed("Invalid argument: ", "16777217"));
    leveldb_writebatch_put(more, "more", 4, "1", 1);
    leveldb_writebatch_append(more, batch);
    leveldb_write(db, write_options, more, &error);
    CHECK(failed("Invalid argument: ", "16777217") && has(db, "more", NULL));
    leveldb_writebatch_clear(batch);
    leveldb_writebatch_delete(batch, long_key, TOO_LONG);
    leveldb_write(db, write_options, batch, &error);
    CHECK(failed("Invalid argument: ", "16777217"));
    leveldb_writebatch_clear(batch);
    leveldb_writebatch_put(batch, "again", 5, "1", 1);
    leveldb_writebatch_append(batch, batch);
    leveldb_write(db, write_options, batch, &error);
    CHECK(error == NULL && has(db, "again", "1"));
    leveldb_writebatch_clear(batch);
    leveldb_write(db, write_options, batch, &error);
    CHECK(error == NULL);
    leveldb_writebatch_destroy(batch);
    leveldb_writebatch_destroy(more);
}

static void test_reads_at_a_snapshot_that_was_not_made_fail(leveldb_t *db) {
    const leveldb_snapshot_t *snapshot;
    leveldb_iterator_t *iterator;
    size_t length = 99;
    snapshots_fail = 1;
    snapshot = leveldb_create_snapshot(db);
    snapshots_fail = 0;
    leveldb_readoptions_set_snapshot(read_options, snapshot);
    CHECK(leveldb_get(db, read_options, "again", 5, &length, &error) == NULL && length == 0);
    CHECK(failed("Invalid argument: ", "db"));
    iterator = leveldb_create_iterator(db, read_options);
    leveldb_iter_seek_to_first(iterator);
    CHECK(!leveldb_iter_valid(iterator));
    leveldb_iter_get_error(iterator, &error);
    CHECK(failed("Invalid argument: ", "db"));
    leveldb_iter_destroy(iterator);
    leveldb_readoptions_set_snapshot(read_options, NULL);
    leveldb_release_snapshot(db, snapshot);
}

static void test_what_outlives_its_database_answers_and_can_be_freed(const char *path) {
    leveldb_t *db = opened(path);
    leveldb_iterator_t *iterator;
    const leveldb_snapshot_t *snapshot = leveldb_create_snapshot(db);
    iterator = leveldb_create_iterator(db, read_options);
    leveldb_iter_seek_to_first(iterator);
    CHECK(leveldb_iter_valid(iterator));
    leveldb_close(db);
    leveldb_iter_next(iterator);
    CHECK(!leveldb_iter_valid(iterator));
    leveldb_iter_get_error(iterator, &error);
    CHECK(failed("IO error: ", "closed"));
    leveldb_iter_destroy(iterator);
    leveldb_release_snapshot(NULL, snapshot);
}

/* LevelDB deletes these objects as C++ does, so NULL does nothing. */
static void test_destroying_nothing_is_harmless(void) {
    leveldb_options_destroy(NULL);
    leveldb_readoptions_destroy(NULL);
    leveldb_writeoptions_destroy(NULL);
    leveldb_writebatch_destroy(NULL);
    leveldb_comparator_destroy(NULL);
    leveldb_filterpolicy_destroy(NULL);
    leveldb_cache_destroy(NULL);
    leveldb_env_destroy(NULL);
    leveldb_free(NULL);
}

static void test_numbers_out_of_range_are_clipped(const char *path) {
    leveldb_options_t *odd = leveldb_options_create();
    leveldb_cache_t *none = leveldb_cache_create_lru(0), *huge = leveldb_cache_create_lru((size_t)-1);
    leveldb_filterpolicy_t *policy = leveldb_filterpolicy_create_bloom(1000);
    int round;
    leveldb_options_set_create_if_missing(odd, 1);
    leveldb_options_set_filter_policy(odd, policy);
    for (round = 0; round < 2; round++) {
        size_t size = round == 0 ? 0 : (size_t)-1;
        int count = round == 0 ? -1 : 0x7fffffff;
        char *value = NULL;
        leveldb_t *db;
        leveldb_options_set_write_buffer_size(odd, size);
        leveldb_options_set_block_size(odd, size);
        leveldb_options_set_max_file_size(odd, size);
        leveldb_options_set_max_open_files(odd, count);
        leveldb_options_set_block_restart_interval(odd, count);
        leveldb_options_set_cache(odd, round == 0 ? none : huge);
        leveldb_options_set_compression(odd, round == 0 ? -1 : leveldb_zstd_compression);
        CHECK(aidb_options_get(odd->options, "write_buffer_size", &value, NULL) == AIDB_OK);
        CHECK(strtoul(value, NULL, 10) == (round == 0 ? 64ul << 10 : 1ul << 30));
        leveldb_free(value);
        if (round == 1) {
            leveldb_options_set_cache(odd, none);
            leveldb_options_set_write_buffer_size(odd, 64 << 10);
        }
        db = leveldb_open(odd, path, &error);
        CHECK(db != NULL && error == NULL);
        put(db, "again", "1");
        leveldb_close(db);
    }
    leveldb_options_destroy(odd);
    leveldb_cache_destroy(none);
    leveldb_cache_destroy(huge);
    leveldb_filterpolicy_destroy(policy);
}

/* ---- Comparators ---- */

static int comparisons;

static int bytewise(void *state, const char *a, size_t alen, const char *b, size_t blen) {
    int order = memcmp(a, b, alen < blen ? alen : blen);
    (void)state;
    comparisons++;
    return order != 0 ? order : alen < blen ? -1 : alen > blen;
}

static int reversed(void *state, const char *a, size_t alen, const char *b, size_t blen) {
    return bytewise(state, b, blen, a, alen);
}

static int by_prefix(void *state, const char *a, size_t alen, const char *b, size_t blen) {
    (void)state;
    return memcmp(a, b, alen < blen ? alen : blen);
}

static int by_length(void *state, const char *a, size_t alen, const char *b, size_t blen) {
    return alen != blen ? (alen < blen ? -1 : 1) : bytewise(state, a, alen, b, blen);
}

static int signed_chars(void *state, const char *a, size_t alen, const char *b, size_t blen) {
    size_t at;
    (void)state;
    for (at = 0; at < alen && at < blen; at++) {
        if (a[at] != b[at]) {
            return (signed char)a[at] - (signed char)b[at];
        }
    }
    return alen < blen ? -1 : alen > blen;
}

static int as_strings(void *state, const char *a, size_t alen, const char *b, size_t blen) {
    (void)state, (void)alen, (void)blen;
    return strcmp(a, b);
}

static int without_case(void *state, const char *a, size_t alen, const char *b, size_t blen) {
    size_t at;
    for (at = 0; at < alen && at < blen; at++) {
        if ((a[at] | 0x20) != (b[at] | 0x20)) {
            return (unsigned char)(a[at] | 0x20) - (unsigned char)(b[at] | 0x20);
        }
    }
    return bytewise(state, a, alen, b, blen);
}

static int by_number(void *state, const char *a, size_t alen, const char *b, size_t blen) {
    int first = atoi(a), second = atoi(b);
    return first != second ? first - second : bytewise(state, a, alen, b, blen);
}

/* Numbers of eight bytes, little-endian; it reads all eight of any key. */
static int little_endian(void *state, const char *a, size_t alen, const char *b, size_t blen) {
    int at;
    for (at = 7; at >= 0; at--) {
        if (a[at] != b[at]) {
            return (unsigned char)a[at] - (unsigned char)b[at];
        }
    }
    return bytewise(state, a, alen, b, blen);
}

/* Bytewise except for keys that begin with "item-", which it sorts by number. No probe has such a key. */
static int items_by_number(void *state, const char *a, size_t alen, const char *b, size_t blen) {
    if (alen > 5 && blen > 5 && memcmp(a, "item-", 5) == 0 && memcmp(b, "item-", 5) == 0) {
        return alen != blen ? (alen < blen ? -1 : 1) : bytewise(state, a, alen, b, blen);
    }
    return bytewise(state, a, alen, b, blen);
}

static void destroyed(void *state) { (void)state; }

static const char *name(void *state) {
    (void)state;
    return "the program's own";
}

/* The database compares keys as long as it is open. */
static leveldb_comparator_t *last_comparator;

static leveldb_t *opened_with(const char *path,
                              int (*compare)(void *, const char *, size_t, const char *, size_t)) {
    leveldb_t *db;
    leveldb_comparator_destroy(last_comparator);
    last_comparator = leveldb_comparator_create(NULL, destroyed, compare, name);
    comparisons = 0;
    leveldb_options_set_comparator(options, last_comparator);
    db = leveldb_open(options, path, &error);
    leveldb_options_set_comparator(options, NULL);
    return db;
}

static void test_a_comparator_is_accepted_only_if_it_is_bytewise(const char *path) {
    static int (*const others[])(void *, const char *, size_t, const char *, size_t) = {
        reversed, by_prefix, by_length, signed_chars, as_strings, without_case, by_number,
        little_endian,
    };
    size_t at;
    leveldb_t *db;
    for (at = 0; at < sizeof others / sizeof others[0]; at++) {
        CHECK(opened_with(path, others[at]) == NULL);
        CHECK(failed("Not implemented: ", "comparator"));
    }
    leveldb_destroy_db(options, path, &error);
    CHECK(error == NULL);
    db = opened_with(path, bytewise);
    CHECK(db != NULL && error == NULL && comparisons > 100);
    leveldb_close(db);
}

/* Bytewise, except that `otherwise` sorts two keys if both have lengths in a range. */
static size_t shortest, longest;
static int (*otherwise)(void *, const char *, size_t, const char *, size_t);

static int of_some_lengths(void *state, const char *a, size_t alen, const char *b, size_t blen) {
    int theirs = alen >= shortest && alen <= longest && blen >= shortest && blen <= longest;
    return (theirs ? otherwise : bytewise)(state, a, alen, b, blen);
}

static int from_the_end(void *state, const char *a, size_t alen, const char *b, size_t blen) {
    while (alen > 0 && blen > 0) {
        if (a[--alen] != b[--blen]) {
            return (unsigned char)a[alen] - (unsigned char)b[blen];
        }
    }
    return bytewise(state, a, alen, b, blen);
}

static int by_last_number(void *state, const char *a, size_t alen, const char *b, size_t blen) {
    size_t same = 0;
    while (same < alen && same < blen && a[same] == b[same]) {
        same++;
    }
    return by_number(state, a + same, alen - same, b + same, blen - same);
}

static int by_first_byte(void *state, const char *a, size_t alen, const char *b, size_t blen) {
    return bytewise(state, a, alen > 0, b, blen > 0);
}

static int but_for_the_middle(void *state, const char *a, size_t alen, const char *b, size_t blen) {
    size_t at;
    (void)state;
    for (at = 0; at < alen && at < blen; at++) {
        if (at != alen / 2 && a[at] != b[at]) {
            return (unsigned char)a[at] - (unsigned char)b[at];
        }
    }
    return alen < blen ? -1 : alen > blen;
}

static int but_for_the_last(void *state, const char *a, size_t alen, const char *b, size_t blen) {
    return bytewise(state, a, alen - (alen > 0), b, blen - (blen > 0));
}

static int lengths_of_8_bits(void *state, const char *a, size_t alen, const char *b, size_t blen) {
    return bytewise(state, a, (unsigned char)alen, b, (unsigned char)blen);
}

static int lengths_of_16_bits(void *state, const char *a, size_t alen, const char *b, size_t blen) {
    return bytewise(state, a, (unsigned short)alen, b, (unsigned short)blen);
}

/* An empty database has no neighbours that could show the difference. */
static void test_a_comparator_that_is_bytewise_for_some_lengths_only_is_refused(const char *path) {
    static int (*const others[])(void *, const char *, size_t, const char *, size_t) = {
        reversed,     by_prefix,    by_length,      signed_chars,       as_strings,
        without_case, from_the_end, by_last_number, but_for_the_middle, but_for_the_last,
        by_first_byte,
    };
    static int (*const of_one_length[])(void *, const char *, size_t, const char *, size_t) = {
        reversed,           signed_chars,     without_case,  from_the_end,
        but_for_the_middle, but_for_the_last, by_first_byte,
    };
    static const size_t lengths[] = {2,   8,   12,  16,  20,   21,   24,   32,   40,    64,   127,
                                     128, 200, 255, 256, 1000, 1024, 4095, 4096, 5000, 65535, 65536};
    static const size_t of_numbers_and_ids[] = {4, 8, 12, 16, 20, 24, 32, 64};
    size_t at, other;
    leveldb_destroy_db(options, path, &error);
    CHECK(error == NULL);
    for (other = 0; other < sizeof others / sizeof others[0]; other++) {
        otherwise = others[other];
        longest = (size_t)-1;
        for (at = 0; at < sizeof lengths / sizeof lengths[0]; at++) {
            shortest = lengths[at];
            CHECK(opened_with(path, of_some_lengths) == NULL);
            CHECK(failed("Not implemented: ", "comparator"));
        }
    }
    for (other = 0; other < sizeof of_one_length / sizeof of_one_length[0]; other++) {
        otherwise = of_one_length[other];
        for (at = 0; at < sizeof of_numbers_and_ids / sizeof of_numbers_and_ids[0]; at++) {
            shortest = longest = of_numbers_and_ids[at];
            CHECK(opened_with(path, of_some_lengths) == NULL);
            CHECK(failed("Not implemented: ", "comparator"));
        }
    }
    CHECK(opened_with(path, lengths_of_8_bits) == NULL);
    CHECK(failed("Not implemented: ", "comparator"));
    CHECK(opened_with(path, lengths_of_16_bits) == NULL);
    CHECK(failed("Not implemented: ", "comparator"));
}

static void put_keys(leveldb_t *db, const char *prefix, int count) {
    int at;
    for (at = 0; at < count; at++) {
        char key[32];
        snprintf(key, sizeof key, "%s-%06d", prefix, at);
        put(db, key, "v");
    }
}

/* Two neighbours that sort differently, at the end and then at the beginning of a database of thousands of keys. */
static void test_a_comparator_that_sorts_what_is_there_otherwise_is_refused(const char *path) {
    leveldb_t *db = opened_with(path, items_by_number);
    int probes = comparisons;
    CHECK(db != NULL && error == NULL);
    put_keys(db, "a", 5000);
    leveldb_close(db);
    db = opened_with(path, items_by_number);
    CHECK(db != NULL && error == NULL);
    CHECK(comparisons == probes + 1000);
    leveldb_close(db);
    db = opened(path);
    put(db, "item-9", "v");
    put(db, "item-10", "v");
    leveldb_close(db);
    CHECK(opened_with(path, items_by_number) == NULL);
    CHECK(failed("Invalid argument: ", "comparator"));
    /* The database is closed, so that a comparator that agrees may open it. */
    db = opened_with(path, bytewise);
    CHECK(db != NULL && error == NULL && has(db, "item-10", "v"));
    leveldb_close(db);
    leveldb_destroy_db(options, path, &error);
    db = opened(path);
    put_keys(db, "z", 5000);
    put(db, "item-9", "v");
    put(db, "item-10", "v");
    leveldb_close(db);
    CHECK(opened_with(path, items_by_number) == NULL);
    CHECK(failed("Invalid argument: ", "comparator"));
}

/* A new database has no keys that could show it, and no probe has such keys: the writes show it. */
static void test_a_comparator_that_sorts_what_is_written_otherwise_writes_no_more(const char *path) {
    leveldb_writebatch_t *batch = leveldb_writebatch_create();
    leveldb_t *db;
    leveldb_destroy_db(options, path, &error);
    CHECK(error == NULL);
    db = opened_with(path, items_by_number);
    CHECK(db != NULL && error == NULL);
    put(db, "item-8", "v");
    put(db, "item-9", "v");
    put(db, "", "v");
    put(db, "item-9", "v");
    leveldb_put(db, write_options, "item-10", 7, "v", 1, &error);
    CHECK(failed("Invalid argument: ", "written bytewise"));
    CHECK(has(db, "item-10", NULL) && has(db, "item-9", "v"));
    /* One contradiction is enough. */
    leveldb_put(db, write_options, "item-11", 7, "v", 1, &error);
    CHECK(failed("Invalid argument: ", "written bytewise"));
    leveldb_delete(db, write_options, "item-9", 6, &error);
    CHECK(failed("Invalid argument: ", "written bytewise"));
    leveldb_writebatch_put(batch, "a", 1, "v", 1);
    leveldb_write(db, write_options, batch, &error);
    CHECK(failed("Invalid argument: ", "written bytewise"));
    CHECK(has(db, "item-11", NULL) && has(db, "item-9", "v") && has(db, "a", NULL));
    leveldb_close(db);

    /* All of a batch or nothing; deletes count, and so does the previous key. */
    db = opened_with(path, items_by_number);
    CHECK(db != NULL && error == NULL);
    leveldb_writebatch_delete(batch, "item-9", 6);
    leveldb_writebatch_delete(batch, "item-10", 7);
    leveldb_writebatch_put(batch, "b", 1, "v", 1);
    leveldb_write(db, write_options, batch, &error);
    CHECK(failed("Invalid argument: ", "written bytewise"));
    CHECK(has(db, "a", NULL) && has(db, "b", NULL) && has(db, "item-9", "v"));
    leveldb_close(db);
    db = opened_with(path, items_by_number);
    CHECK(db != NULL && error == NULL);
    put(db, "item-9", "v");
    leveldb_delete(db, write_options, "item-10", 7, &error);
    CHECK(failed("Invalid argument: ", "written bytewise"));
    leveldb_close(db);
    db = opened_with(path, items_by_number);
    CHECK(db != NULL && error == NULL);
    put(db, "item-10", "v");
    leveldb_writebatch_clear(batch);
    leveldb_writebatch_put(batch, "item-9", 6, "w", 1);
    leveldb_write(db, write_options, batch, &error);
    CHECK(failed("Invalid argument: ", "written bytewise") && has(db, "item-9", "v"));
    leveldb_close(db);

    /* An operation whose keys cannot be compared. */
    db = opened_with(path, bytewise);
    CHECK(db != NULL && error == NULL);
    leveldb_writebatch_clear(batch);
    CHECK(aidb_batch_delete_prefix(batch->batch, "item-", 5, NULL) == AIDB_OK);
    leveldb_write(db, write_options, batch, &error);
    CHECK(failed("Not implemented: ", "neither a put nor a delete") && has(db, "item-9", "v"));
    leveldb_writebatch_destroy(batch);
    leveldb_close(db);
}

static int bytewise_by_many(void *state, const char *a, size_t alen, const char *b, size_t blen) {
    int order = memcmp(a, b, alen < blen ? alen : blen);
    (void)state;
    return order != 0 ? order : alen < blen ? -1 : alen > blen;
}

static void *put_many(void *db) {
    static const char *const keys[] = {"", "a", "item-10", "item-9", "\377\377"};
    char *failure = NULL;
    int at;
    for (at = 0; at < 2000 && failure == NULL; at++) {
        const char *key = keys[at % 5];
        leveldb_put((leveldb_t *)db, write_options, key, strlen(key), "v", 1, &failure);
    }
    return failure;
}

/* Threads share the last written key: a sanitizer would see it freed twice. */
static void test_keys_that_many_threads_write_are_compared(const char *path) {
    pthread_t threads[4];
    size_t at;
    leveldb_t *db;
    leveldb_destroy_db(options, path, &error);
    CHECK(error == NULL);
    db = opened_with(path, bytewise_by_many);
    CHECK(db != NULL && error == NULL);
    for (at = 0; at < 4; at++) {
        CHECK(pthread_create(&threads[at], NULL, put_many, db) == 0);
    }
    for (at = 0; at < 4; at++) {
        void *failure = NULL;
        CHECK(pthread_join(threads[at], &failure) == 0 && failure == NULL);
    }
    leveldb_close(db);
}

/* ---- Repair ---- */

/* Changes a byte of the first block of a table, if there is a table. */
static int damage(const char *path) {
    DIR *directory = opendir(path);
    struct dirent *entry;
    int done = 0;
    while (directory != NULL && !done && (entry = readdir(directory)) != NULL) {
        char *file = aidb_leveldb_join(path, "/", entry->d_name);
        if (strstr(entry->d_name, ".sst") != NULL) {
            FILE *table = fopen(file, "r+b");
            int byte;
            CHECK(table != NULL && fseek(table, 36, SEEK_SET) == 0);
            byte = fgetc(table);
            CHECK(fseek(table, 36, SEEK_SET) == 0 && fputc(byte ^ 0xff, table) != EOF);
            done = fclose(table) == 0;
        }
        free(file);
    }
    if (directory != NULL) {
        closedir(directory);
    }
    return done;
}

static void repair(const char *path) {
    leveldb_repair_db(options, path, &error);
    CHECK(error == NULL);
}

static void test_repair_works_again_and_again(const char *path) {
    char *damaged = aidb_leveldb_join(path, ".damaged", ""),
         *second = aidb_leveldb_join(path, ".damaged-2", ""),
         *repairing = aidb_leveldb_join(path, ".repairing", ""),
         *notes = aidb_leveldb_join(path, "/notes.txt", ""),
         *slash = aidb_leveldb_join(path, "//", "");
    struct stat about;
    leveldb_t *db;
    FILE *file;
    int round;

    leveldb_destroy_db(options, path, &error);
    leveldb_destroy_db(options, damaged, &error);
    leveldb_destroy_db(options, second, &error);
    CHECK(error == NULL);
    db = opened(path);
    put(db, "a", "first");
    put(db, "z", "last");
    leveldb_compact_range(db, NULL, 0, NULL, 0);
    leveldb_close(db);
    file = fopen(notes, "w");
    CHECK(file != NULL && fputs("the program's own", file) >= 0 && fclose(file) == 0);
    CHECK(chmod(path, 0700) == 0);
    /* Nothing is lost, so repair keeps no damaged copy; the program's own file stays. */
    for (round = 0; round < 3; round++) {
        repair(round == 1 ? slash : path);
        CHECK(!aidb_leveldb_exists(damaged) && !aidb_leveldb_exists(repairing));
        CHECK(aidb_leveldb_exists(notes));
        CHECK(stat(path, &about) == 0 && (about.st_mode & 0777) == 0700);
    }
    db = opened(path);
    CHECK(has(db, "a", "first") && has(db, "z", "last"));
    leveldb_close(db);
    /* Something is lost, twice: each time repair keeps the damaged database. */
    CHECK(damage(path));
    repair(path);
    CHECK(aidb_leveldb_exists(damaged) && !aidb_leveldb_exists(second) && aidb_leveldb_exists(notes));
    db = opened(path);
    put(db, "b", "second");
    leveldb_compact_range(db, NULL, 0, NULL, 0);
    leveldb_close(db);
    CHECK(damage(path));
    repair(path);
    CHECK(aidb_leveldb_exists(damaged) && aidb_leveldb_exists(second) && aidb_leveldb_exists(notes));
    db = opened(path);
    put(db, "c", "third");
    leveldb_close(db);

    /* Killed between the two renames: the next open or repair continues, and makes no empty database. */
    CHECK(rename(path, repairing) == 0);
    db = opened(path);
    CHECK(has(db, "c", "third"));
    leveldb_close(db);
    CHECK(rename(path, repairing) == 0);
    repair(path);
    db = opened(path);
    CHECK(has(db, "c", "third"));
    leveldb_close(db);
    /* Killed before them: the half-made database is not in the way. */
    db = opened(repairing);
    put(db, "half", "made");
    leveldb_close(db);
    repair(path);
    db = opened(path);
    CHECK(has(db, "c", "third") && has(db, "half", NULL));
    leveldb_close(db);
    db = opened(repairing);
    leveldb_close(db);
    CHECK(remove(notes) == 0);
    leveldb_destroy_db(options, path, &error);
    CHECK(error == NULL && !aidb_leveldb_exists(path) && !aidb_leveldb_exists(repairing));
    leveldb_destroy_db(options, damaged, &error);
    leveldb_destroy_db(options, second, &error);
    CHECK(error == NULL);

    free(damaged);
    free(second);
    free(repairing);
    free(notes);
    free(slash);
}

/* How many names the directory `path` has, except "." and "..". */
static int count_names(const char *path) {
    DIR *directory = opendir(path);
    int count = -2;
    CHECK(directory != NULL);
    while (directory != NULL && readdir(directory) != NULL) {
        count++;
    }
    closedir(directory);
    return count;
}

/* Repair once made "..repairing" inside the directory for ".", and renamed a link instead of its directory. */
static void test_repair_is_in_place_wherever_the_path_leads(const char *path) {
    static const char *const names[] = {".", "./", "../db/.", "../db//", "../link", "../link/", "../far", "../far/."};
    char *around = aidb_leveldb_join(path, "-around", ""), *home = realpath(".", NULL),
         *directory = aidb_leveldb_join(around, "/db", ""), *link = aidb_leveldb_join(around, "/link", ""),
         *far = aidb_leveldb_join(around, "/far", ""), *below = aidb_leveldb_join(around, "/db/mine", ""),
         *damaged = aidb_leveldb_join(around, "/db.damaged", ""),
         *repairing = aidb_leveldb_join(around, "/db.repairing", "");
    struct stat about, here;
    leveldb_t *db;
    size_t name;
    int round;

    CHECK(mkdir(around, 0700) == 0);
    db = opened(directory);
    put(db, "a", "first");
    put(db, "z", "last");
    leveldb_compact_range(db, NULL, 0, NULL, 0);
    leveldb_close(db);
    CHECK(mkdir(below, 0700) == 0 && chdir(directory) == 0);
    CHECK(symlink("db", link) == 0 && symlink("link/", far) == 0);
    for (name = 0; name < sizeof names / sizeof names[0]; name++) {
        for (round = 0; round < 3; round++) {
            repair(names[name]);
            CHECK(count_names(around) == 3 && aidb_leveldb_exists(below));
            CHECK(stat(directory, &about) == 0 && stat(".", &here) == 0 && about.st_ino == here.st_ino);
            CHECK(lstat(link, &about) == 0 && S_ISLNK(about.st_mode));
            db = opened(names[name]);
            CHECK(has(db, "a", "first") && has(db, "z", "last"));
            leveldb_close(db);
        }
        /* Killed between the two renames, while only links lead to the directory. */
        CHECK(chdir(around) == 0 && rename(directory, repairing) == 0);
        db = opened("far");
        CHECK(has(db, "a", "first"));
        leveldb_close(db);
        CHECK(!aidb_leveldb_exists(repairing) && rename(directory, repairing) == 0);
        repair("./link//");
        CHECK(!aidb_leveldb_exists(repairing) && chdir(directory) == 0);
        /* The damaged database stays beside the directory. */
        CHECK(damage("."));
        repair(names[name]);
        CHECK(count_names(around) == 4 && aidb_leveldb_exists(damaged));
        leveldb_destroy_db(options, damaged, &error);
        CHECK(error == NULL && count_names(around) == 3);
        db = opened(".");
        put(db, "a", "first");
        put(db, "z", "last");
        leveldb_compact_range(db, NULL, 0, NULL, 0);
        leveldb_close(db);
    }
    /* Destroying the database also removes the rest of a killed repair. */
    db = opened(repairing);
    leveldb_close(db);
    CHECK(rmdir(below) == 0 && chdir(home) == 0);
    leveldb_destroy_db(options, far, &error);
    CHECK(error == NULL && !aidb_leveldb_exists(repairing));
    CHECK(rmdir(directory) == 0 && remove(link) == 0 && remove(far) == 0 && rmdir(around) == 0);
    free(around);
    free(home);
    free(directory);
    free(link);
    free(far);
    free(below);
    free(damaged);
    free(repairing);
}

int main(int argc, char **argv) {
    leveldb_t *db;
    if (argc != 2) {
        fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
        return 2;
    }
    long_key = (char *)calloc(1, TOO_LONG);
    options = leveldb_options_create();
    read_options = leveldb_readoptions_create();
    write_options = leveldb_writeoptions_create();
    leveldb_options_set_create_if_missing(options, 1);
    db = opened(argv[1]);
    test_every_failure_has_its_message_and_frees_its_error(db, argv[1]);
    test_a_batch_that_refused_an_operation_is_not_written(db);
    test_reads_at_a_snapshot_that_was_not_made_fail(db);
    leveldb_close(db);
    test_what_outlives_its_database_answers_and_can_be_freed(argv[1]);
    test_destroying_nothing_is_harmless();
    test_numbers_out_of_range_are_clipped(argv[1]);
    test_a_comparator_is_accepted_only_if_it_is_bytewise(argv[1]);
    test_a_comparator_that_is_bytewise_for_some_lengths_only_is_refused(argv[1]);
    test_a_comparator_that_sorts_what_is_there_otherwise_is_refused(argv[1]);
    test_a_comparator_that_sorts_what_is_written_otherwise_writes_no_more(argv[1]);
    test_keys_that_many_threads_write_are_compared(argv[1]);
    test_repair_works_again_and_again(argv[1]);
    test_repair_is_in_place_wherever_the_path_leads(argv[1]);
    leveldb_options_destroy(options);
    leveldb_readoptions_destroy(read_options);
    leveldb_writeoptions_destroy(write_options);
    leveldb_comparator_destroy(last_comparator);
    free(long_key);
    return REPORT();
}
