/* A program written for LevelDB's C API, without any use of AiDb: test_leveldb DIRECTORY
 *
 * It includes leveldb/c.h; run.sh provides a file of that name that includes aidb_leveldb.h.
 */
#include <stdlib.h>
#include <string.h>

#include "leveldb/c.h"

#include "check.h"

static leveldb_t *db;
static leveldb_readoptions_t *read_options;
static leveldb_writeoptions_t *write_options;
static char *error = NULL;

static int got(const char *key, const char *wanted) {
    size_t length = 99;
    char *value = leveldb_get(db, read_options, key, strlen(key), &length, &error);
    int same = wanted == NULL ? value == NULL && length == 0
                              : value != NULL && length == strlen(wanted) &&
                                    memcmp(value, wanted, length) == 0;
    CHECK(error == NULL);
    leveldb_free(value);
    return same;
}

static int on(const leveldb_iterator_t *iterator, const char *key, const char *value) {
    size_t key_len, value_len;
    const char *k = leveldb_iter_key(iterator, &key_len);
    const char *v = leveldb_iter_value(iterator, &value_len);
    return leveldb_iter_valid(iterator) && key_len == strlen(key) && memcmp(k, key, key_len) == 0 &&
           value_len == strlen(value) && memcmp(v, value, value_len) == 0;
}

static void on_put(void *state, const char *k, size_t klen, const char *v, size_t vlen) {
    (void)v;
    sprintf((char *)state + strlen((char *)state), "put %.*s (%d) ", (int)klen, k, (int)vlen);
}

static void on_delete(void *state, const char *k, size_t klen) {
    sprintf((char *)state + strlen((char *)state), "delete %.*s ", (int)klen, k);
}

static int compare(void *state, const char *a, size_t alen, const char *b, size_t blen) {
    (void)state, (void)a, (void)b;
    return (int)alen - (int)blen;
}

static const char *name(void *state) {
    (void)state;
    return "by length";
}

static void destroyed(void *state) { ++*(int *)state; }

static void test_opening(leveldb_options_t *options, const char *path) {
    int destructions = 0;
    leveldb_comparator_t *comparator =
        leveldb_comparator_create(&destructions, destroyed, compare, name);
    CHECK(leveldb_open(options, path, &error) == NULL && error != NULL);
    /* An error that the program did not free is replaced, not leaked. */
    CHECK(leveldb_open(options, path, &error) == NULL && error != NULL);
    leveldb_free(error);
    error = NULL;
    leveldb_options_set_comparator(options, comparator);
    CHECK(leveldb_open(options, path, &error) == NULL && strstr(error, "comparator") != NULL);
    leveldb_free(error);
    error = NULL;
    leveldb_options_set_comparator(options, NULL);
    leveldb_comparator_destroy(comparator);
    CHECK(destructions == 1);
    leveldb_repair_db(options, path, &error);
    CHECK(error != NULL);
    leveldb_free(error);
    error = NULL;
    leveldb_options_set_create_if_missing(options, 1);
    db = leveldb_open(options, path, &error);
    CHECK(db != NULL && error == NULL);
}

static void test_batch(void) {
    leveldb_writebatch_t *batch = leveldb_writebatch_create(), *more = leveldb_writebatch_create();
    char log[200] = "";
    leveldb_writebatch_put(batch, "gone", 4, "x", 1);
    leveldb_writebatch_clear(batch);
    leveldb_writebatch_put(batch, "box", 3, "c", 1);
    leveldb_writebatch_put(more, "bar", 3, "b", 1);
    leveldb_writebatch_delete(more, "bar", 3);
    leveldb_writebatch_append(batch, more);
    leveldb_writebatch_iterate(batch, log, on_put, on_delete);
    CHECK(strcmp(log, "put box (1) put bar (1) delete bar ") == 0);
    leveldb_write(db, write_options, batch, &error);
    CHECK(error == NULL && got("box", "c") && got("bar", NULL) && got("gone", NULL));
    /* LevelDB has no name for a range delete. */
    CHECK(aidb_batch_delete_range(more->batch, NULL, 0, "a", 1, NULL) == AIDB_OK);
    log[0] = '\0';
    leveldb_writebatch_iterate(more, log, on_put, on_delete);
    CHECK(log[0] == '\0');
    leveldb_write(db, write_options, more, &error);
    CHECK(error == NULL && got("box", "c"));
    leveldb_writebatch_destroy(batch);
    leveldb_writebatch_destroy(more);
}

static void test_iterator(void) {
    leveldb_iterator_t *iterator = leveldb_create_iterator(db, read_options);
    CHECK(!leveldb_iter_valid(iterator));
    leveldb_iter_seek_to_first(iterator);
    CHECK(on(iterator, "box", "c"));
    leveldb_iter_next(iterator);
    CHECK(on(iterator, "foo", "hello"));
    leveldb_iter_prev(iterator);
    CHECK(on(iterator, "box", "c"));
    leveldb_iter_prev(iterator);
    CHECK(!leveldb_iter_valid(iterator));
    leveldb_iter_seek_to_last(iterator);
    CHECK(on(iterator, "foo", "hello"));
    leveldb_iter_seek(iterator, "b", 1);
    CHECK(on(iterator, "box", "c"));
    leveldb_iter_get_error(iterator, &error);
    CHECK(error == NULL);
    leveldb_iter_destroy(iterator);
}

static void test_snapshot(void) {
    const leveldb_snapshot_t *snapshot = leveldb_create_snapshot(db);
    leveldb_delete(db, write_options, "foo", 3, &error);
    CHECK(error == NULL && got("foo", NULL));
    leveldb_readoptions_set_snapshot(read_options, snapshot);
    CHECK(got("foo", "hello"));
    leveldb_readoptions_set_snapshot(read_options, NULL);
    leveldb_release_snapshot(db, snapshot);
}

static void test_sizes(void) {
    const char *starts[] = {"a", "k00000000000000010000"}, *limits[] = {"k0", "z"};
    const size_t start_lens[] = {1, 21}, limit_lens[] = {2, 1};
    uint64_t sizes[2];
    char key[32], value[100];
    int at;
    memset(value, 'v', sizeof value);
    for (at = 0; at < 20000; at++) {
        sprintf(key, "k%020d", at);
        value[0] = (char)at;
        leveldb_put(db, write_options, key, strlen(key), value, sizeof value, &error);
        CHECK(error == NULL);
    }
    leveldb_compact_range(db, NULL, 0, "m", 1);
    leveldb_compact_range(db, "a", 1, NULL, 0);
    leveldb_approximate_sizes(db, 2, starts, start_lens, limits, limit_lens, sizes);
    CHECK(sizes[0] < sizes[1] && sizes[1] > 10000);
    CHECK(leveldb_property_value(db, "nosuchprop") == NULL);
}

/* The damaged database stays beside it, under another name. */
static void test_repair(leveldb_options_t *options, const char *path) {
    char current[4096], damaged[4096];
    snprintf(damaged, sizeof damaged, "%s.damaged", path);
    leveldb_destroy_db(options, damaged, &error);
    snprintf(current, sizeof current, "%s/CURRENT", path);
    CHECK(error == NULL && remove(current) == 0);
    CHECK(leveldb_open(options, path, &error) == NULL && error != NULL);
    leveldb_free(error);
    error = NULL;
    leveldb_repair_db(options, path, &error);
    CHECK(error == NULL);
    db = leveldb_open(options, path, &error);
    CHECK(db != NULL && error == NULL && got("box", "c") && got("foo", NULL));
    leveldb_close(db);
    leveldb_destroy_db(options, damaged, &error);
    CHECK(error == NULL && remove(damaged) != 0);
}

int main(int argc, char **argv) {
    leveldb_options_t *options = leveldb_options_create();
    leveldb_cache_t *cache = leveldb_cache_create_lru(100000);
    leveldb_env_t *env = leveldb_create_default_env();
    leveldb_filterpolicy_t *policy = leveldb_filterpolicy_create_bloom(10);
    char *directory;
    if (argc != 2) {
        fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
        return 2;
    }
    read_options = leveldb_readoptions_create();
    leveldb_readoptions_set_verify_checksums(read_options, 1);
    leveldb_readoptions_set_fill_cache(read_options, 0);
    write_options = leveldb_writeoptions_create();
    leveldb_options_set_cache(options, cache);
    leveldb_options_set_env(options, env);
    leveldb_options_set_info_log(options, NULL);
    leveldb_options_set_write_buffer_size(options, 100000);
    leveldb_options_set_paranoid_checks(options, 1);
    leveldb_options_set_max_open_files(options, 10);
    leveldb_options_set_block_size(options, 1024);
    leveldb_options_set_block_restart_interval(options, 8);
    leveldb_options_set_max_file_size(options, 3 << 20);
    leveldb_options_set_compression(options, leveldb_no_compression);
    leveldb_options_set_filter_policy(options, policy);
    CHECK(leveldb_major_version() == 1 && leveldb_minor_version() > 0);
    directory = leveldb_env_get_test_directory(env);
    CHECK(directory != NULL);
    leveldb_free(directory);

    test_opening(options, argv[1]);
    leveldb_put(db, write_options, "foo", 3, "hello", 5, &error);
    CHECK(error == NULL && got("foo", "hello"));
    leveldb_writeoptions_set_sync(write_options, 1);
    test_batch();
    leveldb_writeoptions_set_sync(write_options, 0);
    test_iterator();
    test_snapshot();
    test_sizes();
    leveldb_close(db);

    leveldb_options_set_create_if_missing(options, 0);
    db = leveldb_open(options, argv[1], &error);
    CHECK(db != NULL && error == NULL && got("box", "c") && got("foo", NULL));
    leveldb_close(db);
    test_repair(options, argv[1]);
    leveldb_options_set_error_if_exists(options, 1);
    CHECK(leveldb_open(options, argv[1], &error) == NULL && error != NULL);
    leveldb_free(error);
    error = NULL;
    leveldb_destroy_db(options, "s3://bucket/db", &error);
    CHECK(error != NULL);
    leveldb_free(error);
    error = NULL;
    leveldb_repair_db(options, "s3://bucket/db", &error);
    CHECK(error != NULL);
    leveldb_free(error);
    error = NULL;
    leveldb_destroy_db(options, argv[1], &error);
    CHECK(error == NULL);

    leveldb_readoptions_destroy(read_options);
    leveldb_writeoptions_destroy(write_options);
    leveldb_options_destroy(options);
    leveldb_filterpolicy_destroy(policy);
    leveldb_cache_destroy(cache);
    leveldb_env_destroy(env);
    return REPORT();
}
