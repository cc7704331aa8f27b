/*
 * LevelDB's C API on top of AiDb: a program written for leveldb/c.h compiles against this file unchanged.
 *
 * Put this where the program looks for leveldb/c.h (a file of that name that includes this one will do) and link
 * with -laidb instead of -lleveldb. The functions are static inline calls of aidb.h; nothing else is needed.
 *
 * What is different
 *
 * Directories   AiDb has its own format: it opens AiDb directories, and refuses LevelDB's instead of harming them.
 * Comparators   the order of keys is bytewise, as LevelDB's default is. Opening with another comparator fails,
 *               and says so.
 * Filters       a Bloom filter policy sets AiDb's bits per key; a policy of the program's own is not called,
 *               because filters never change an answer.
 * Caches        leveldb_cache_create_lru gives a capacity; each database has a block cache of that size of its
 *               own, also if several are given the same cache.
 * Ignored       environments, loggers, paranoid checks and verify_checksums: AiDb always checks.
 * Repair        leveldb_repair_db makes a new database beside the damaged one, as NAME.repaired, and then gives it
 *               NAME; the damaged one stays, as NAME.damaged. What was lost is in aidb_repair's report only.
 * Iterators     that are made with a snapshot keep it, also if it is released before them.
 *
 * Errors are returned as LevelDB does it: *errptr must be NULL or a string from malloc, which is then replaced.
 */
#ifndef AIDB_LEVELDB_H
#define AIDB_LEVELDB_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aidb.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct leveldb_t { aidb_db *db; } leveldb_t;
typedef struct leveldb_snapshot_t { aidb_snapshot *snapshot; } leveldb_snapshot_t;
typedef struct leveldb_writebatch_t { aidb_batch *batch; } leveldb_writebatch_t;
typedef struct leveldb_writeoptions_t { aidb_write_options options; } leveldb_writeoptions_t;
typedef struct leveldb_cache_t { size_t capacity; } leveldb_cache_t;
typedef struct leveldb_env_t { int unused; } leveldb_env_t;
typedef struct leveldb_filelock_t leveldb_filelock_t;
typedef struct leveldb_logger_t leveldb_logger_t;
typedef struct leveldb_randomfile_t leveldb_randomfile_t;
typedef struct leveldb_seqfile_t leveldb_seqfile_t;
typedef struct leveldb_writablefile_t leveldb_writablefile_t;

/* The error that a creation met has no other way out than leveldb_iter_get_error. */
typedef struct leveldb_iterator_t {
    aidb_iterator *iterator;
    char *error;
} leveldb_iterator_t;

typedef struct leveldb_options_t {
    aidb_options *options;
    int other_comparator;
} leveldb_options_t;

typedef struct leveldb_readoptions_t {
    const leveldb_snapshot_t *snapshot;
    int fill_cache;
} leveldb_readoptions_t;

typedef struct leveldb_comparator_t {
    void *state;
    void (*destructor)(void *);
} leveldb_comparator_t;

typedef struct leveldb_filterpolicy_t {
    void *state;
    void (*destructor)(void *);
    uint64_t bits_per_key;
} leveldb_filterpolicy_t;

enum { leveldb_no_compression = 0, leveldb_snappy_compression = 1, leveldb_zstd_compression = 2 };

/* ---- What the functions below share; not part of LevelDB's API ---- */

/* Memory for a small object; a program that has none left cannot be told, as in LevelDB. */
static inline void *aidb_leveldb_new(size_t size) {
    void *memory = calloc(1, size);
    if (memory == NULL) {
        abort();
    }
    return memory;
}

/* Copies a text into memory from malloc, which leveldb_free and free both take back. */
static inline char *aidb_leveldb_copy(const char *text) {
    size_t size = strlen(text) + 1;
    char *copy = (char *)aidb_leveldb_new(size);
    memcpy(copy, text, size);
    return copy;
}

static inline void aidb_leveldb_report(char **errptr, const char *text) {
    free(*errptr);
    *errptr = aidb_leveldb_copy(text);
}

/* Ends a call: 1 for AIDB_OK; otherwise 0, and a message in *errptr unless the call only found nothing. */
static inline int aidb_leveldb_done(aidb_status status, aidb_error *error, char **errptr) {
    if (status != AIDB_OK && status != AIDB_NOT_FOUND) {
        aidb_leveldb_report(errptr, error != NULL ? aidb_error_message(error)
                                                  : aidb_status_name((int32_t)status));
    }
    aidb_error_free(error);
    return status == AIDB_OK;
}

/* An option whose range LevelDB does not know: a value that AiDb refuses is left at its default. */
static inline void aidb_leveldb_number(leveldb_options_t *options, const char *name,
                                       uint64_t value) {
    (void)aidb_options_set_number(options->options, name, value, NULL);
}

/* ---- The database ---- */

static inline leveldb_t *leveldb_open(const leveldb_options_t *options, const char *name,
                                      char **errptr) {
    aidb_db *db = NULL;
    aidb_error *error = NULL;
    leveldb_t *result;
    if (options->other_comparator) {
        aidb_leveldb_report(errptr, "unsupported: a comparator of the program's own");
        return NULL;
    }
    if (!aidb_leveldb_done(aidb_open(name, options->options, &db, &error), error, errptr)) {
        return NULL;
    }
    result = (leveldb_t *)aidb_leveldb_new(sizeof(leveldb_t));
    result->db = db;
    return result;
}

static inline void leveldb_close(leveldb_t *db) {
    (void)aidb_close(db->db, NULL);
    free(db);
}

static inline void leveldb_put(leveldb_t *db, const leveldb_writeoptions_t *options,
                               const char *key, size_t keylen, const char *val, size_t vallen,
                               char **errptr) {
    aidb_error *error = NULL;
    (void)aidb_leveldb_done(
        aidb_put(db->db, key, keylen, val, vallen, &options->options, &error), error, errptr);
}

static inline void leveldb_delete(leveldb_t *db, const leveldb_writeoptions_t *options,
                                  const char *key, size_t keylen, char **errptr) {
    aidb_error *error = NULL;
    (void)aidb_leveldb_done(aidb_delete(db->db, key, keylen, &options->options, &error), error,
                            errptr);
}

static inline void leveldb_write(leveldb_t *db, const leveldb_writeoptions_t *options,
                                 leveldb_writebatch_t *batch, char **errptr) {
    aidb_error *error = NULL;
    (void)aidb_leveldb_done(aidb_write(db->db, batch->batch, &options->options, &error), error,
                            errptr);
}

static inline char *leveldb_get(leveldb_t *db, const leveldb_readoptions_t *options,
                                const char *key, size_t keylen, size_t *vallen, char **errptr) {
    aidb_read_options read = AIDB_READ_OPTIONS_INIT;
    aidb_error *error = NULL;
    char *value = NULL;
    aidb_status status;
    read.snapshot = options->snapshot != NULL ? options->snapshot->snapshot : NULL;
    read.fill_cache = options->fill_cache;
    status = aidb_get(db->db, key, keylen, &read, &value, vallen, &error);
    if (!aidb_leveldb_done(status, error, errptr)) {
        *vallen = 0;
        return NULL;
    }
    return value;
}

static inline const leveldb_snapshot_t *leveldb_create_snapshot(leveldb_t *db) {
    leveldb_snapshot_t *result =
        (leveldb_snapshot_t *)aidb_leveldb_new(sizeof(leveldb_snapshot_t));
    (void)aidb_snapshot_create(db->db, &result->snapshot, NULL);
    return result;
}

static inline void leveldb_release_snapshot(leveldb_t *db, const leveldb_snapshot_t *snapshot) {
    (void)db;
    aidb_snapshot_release(snapshot->snapshot);
    free((void *)snapshot);
}

static inline char *leveldb_property_value(leveldb_t *db, const char *propname) {
    char *text = NULL;
    aidb_status status = aidb_property(db->db, propname, &text, NULL);
    return status == AIDB_OK ? text : NULL;
}

static inline void leveldb_approximate_sizes(leveldb_t *db, int num_ranges,
                                             const char *const *range_start_key,
                                             const size_t *range_start_key_len,
                                             const char *const *range_limit_key,
                                             const size_t *range_limit_key_len, uint64_t *sizes) {
    int at;
    for (at = 0; at < num_ranges; at++) {
        sizes[at] = 0;
        (void)aidb_approximate_size(db->db, range_start_key[at], range_start_key_len[at],
                                    range_limit_key[at], range_limit_key_len[at], &sizes[at],
                                    NULL);
    }
}

/* LevelDB's limit belongs to the range; the byte behind it makes it AiDb's first key outside. */
static inline void leveldb_compact_range(leveldb_t *db, const char *start_key,
                                         size_t start_key_len, const char *limit_key,
                                         size_t limit_key_len) {
    char *behind = NULL;
    if (limit_key != NULL) {
        behind = (char *)aidb_leveldb_new(limit_key_len + 1);
        memcpy(behind, limit_key, limit_key_len);
        limit_key_len++;
    }
    (void)aidb_compact_range(db->db, start_key, start_key_len, behind,
                             behind != NULL ? limit_key_len : 0, NULL);
    free(behind);
}

static inline void leveldb_destroy_db(const leveldb_options_t *options, const char *name,
                                      char **errptr) {
    aidb_error *error = NULL;
    (void)aidb_leveldb_done(aidb_destroy(name, options->options, &error), error, errptr);
}

/* `name` without slashes at its end, and with `suffix`. */
static inline char *aidb_leveldb_beside(const char *name, const char *suffix) {
    size_t length = strlen(name);
    char *path = (char *)aidb_leveldb_new(length + strlen(suffix) + 1);
    while (length > 1 && name[length - 1] == '/') {
        length--;
    }
    memcpy(path, name, length);
    strcpy(path + length, suffix);
    return path;
}

static inline void leveldb_repair_db(const leveldb_options_t *options, const char *name,
                                     char **errptr) {
    char *path = aidb_leveldb_beside(name, "");
    char *repaired = aidb_leveldb_beside(name, ".repaired");
    char *damaged = aidb_leveldb_beside(name, ".damaged");
    aidb_error *error = NULL;
    if (aidb_leveldb_done(aidb_repair(name, repaired, options->options, NULL, NULL, &error), error,
                          errptr)) {
        if (rename(path, damaged) != 0) {
            aidb_leveldb_report(errptr, "i/o error: the repaired database is NAME.repaired, because "
                                        "NAME cannot be renamed to NAME.damaged");
        } else if (rename(repaired, path) != 0) {
            (void)rename(damaged, path);
            aidb_leveldb_report(errptr, "i/o error: NAME.repaired cannot be renamed to NAME");
        }
    }
    free(path);
    free(repaired);
    free(damaged);
}

static inline void leveldb_free(void *ptr) { aidb_free(ptr); }

static inline int leveldb_major_version(void) { return 1; }
static inline int leveldb_minor_version(void) { return 23; }

/* ---- Iterators ---- */

static inline leveldb_iterator_t *leveldb_create_iterator(leveldb_t *db,
                                                          const leveldb_readoptions_t *options) {
    leveldb_iterator_t *result =
        (leveldb_iterator_t *)aidb_leveldb_new(sizeof(leveldb_iterator_t));
    aidb_iter_options walk = AIDB_ITER_OPTIONS_INIT;
    aidb_error *error = NULL;
    aidb_status status;
    walk.snapshot = options->snapshot != NULL ? options->snapshot->snapshot : NULL;
    walk.fill_cache = options->fill_cache;
    status = aidb_iter_create(db->db, &walk, &result->iterator, &error);
    (void)aidb_leveldb_done(status, error, &result->error);
    return result;
}

static inline void leveldb_iter_destroy(leveldb_iterator_t *iterator) {
    aidb_iter_free(iterator->iterator);
    free(iterator->error);
    free(iterator);
}

static inline unsigned char leveldb_iter_valid(const leveldb_iterator_t *iterator) {
    return aidb_iter_valid(iterator->iterator) ? 1 : 0;
}

static inline void leveldb_iter_seek_to_first(leveldb_iterator_t *iterator) {
    (void)aidb_iter_first(iterator->iterator, NULL);
}

static inline void leveldb_iter_seek_to_last(leveldb_iterator_t *iterator) {
    (void)aidb_iter_last(iterator->iterator, NULL);
}

static inline void leveldb_iter_seek(leveldb_iterator_t *iterator, const char *k, size_t klen) {
    (void)aidb_iter_seek(iterator->iterator, k, klen, NULL);
}

static inline void leveldb_iter_next(leveldb_iterator_t *iterator) {
    (void)aidb_iter_next(iterator->iterator, NULL);
}

static inline void leveldb_iter_prev(leveldb_iterator_t *iterator) {
    (void)aidb_iter_prev(iterator->iterator, NULL);
}

static inline const char *leveldb_iter_key(const leveldb_iterator_t *iterator, size_t *klen) {
    return aidb_iter_key(iterator->iterator, klen);
}

static inline const char *leveldb_iter_value(const leveldb_iterator_t *iterator, size_t *vlen) {
    return aidb_iter_value(iterator->iterator, vlen);
}

static inline void leveldb_iter_get_error(const leveldb_iterator_t *iterator, char **errptr) {
    aidb_error *error = NULL;
    if (iterator->error != NULL) {
        aidb_leveldb_report(errptr, iterator->error);
        return;
    }
    (void)aidb_leveldb_done(aidb_iter_status(iterator->iterator, &error), error, errptr);
}

/* ---- Batches ---- */

static inline leveldb_writebatch_t *leveldb_writebatch_create(void) {
    leveldb_writebatch_t *result =
        (leveldb_writebatch_t *)aidb_leveldb_new(sizeof(leveldb_writebatch_t));
    result->batch = aidb_batch_new();
    return result;
}

static inline void leveldb_writebatch_destroy(leveldb_writebatch_t *batch) {
    aidb_batch_free(batch->batch);
    free(batch);
}

static inline void leveldb_writebatch_clear(leveldb_writebatch_t *batch) {
    (void)aidb_batch_clear(batch->batch, NULL);
}

static inline void leveldb_writebatch_put(leveldb_writebatch_t *batch, const char *key,
                                          size_t klen, const char *val, size_t vlen) {
    (void)aidb_batch_put(batch->batch, key, klen, val, vlen, NULL);
}

static inline void leveldb_writebatch_delete(leveldb_writebatch_t *batch, const char *key,
                                             size_t klen) {
    (void)aidb_batch_delete(batch->batch, key, klen, NULL);
}

static inline void leveldb_writebatch_append(leveldb_writebatch_t *destination,
                                             const leveldb_writebatch_t *source) {
    (void)aidb_batch_append(destination->batch, source->batch, NULL);
}

static inline void leveldb_writebatch_iterate(
    const leveldb_writebatch_t *batch, void *state,
    void (*put)(void *, const char *k, size_t klen, const char *v, size_t vlen),
    void (*deleted)(void *, const char *k, size_t klen)) {
    (void)aidb_batch_iterate(batch->batch, state, put, deleted, NULL);
}

/* ---- Options ---- */

static inline leveldb_options_t *leveldb_options_create(void) {
    leveldb_options_t *result = (leveldb_options_t *)aidb_leveldb_new(sizeof(leveldb_options_t));
    result->options = aidb_options_new();
    /* LevelDB's default, unlike AiDb's. */
    (void)aidb_options_set_flag(result->options, "create_if_missing", 0, NULL);
    return result;
}

static inline void leveldb_options_destroy(leveldb_options_t *options) {
    aidb_options_free(options->options);
    free(options);
}

static inline void leveldb_options_set_comparator(leveldb_options_t *options,
                                                  leveldb_comparator_t *comparator) {
    options->other_comparator = comparator != NULL;
}

static inline void leveldb_options_set_filter_policy(leveldb_options_t *options,
                                                     leveldb_filterpolicy_t *policy) {
    uint64_t bits = policy != NULL ? policy->bits_per_key : 0;
    aidb_leveldb_number(options, "bloom_bits_per_key", bits > 32 ? 32 : bits);
}

static inline void leveldb_options_set_create_if_missing(leveldb_options_t *options,
                                                         unsigned char v) {
    (void)aidb_options_set_flag(options->options, "create_if_missing", v, NULL);
}

static inline void leveldb_options_set_error_if_exists(leveldb_options_t *options,
                                                       unsigned char v) {
    (void)aidb_options_set_flag(options->options, "error_if_exists", v, NULL);
}

static inline void leveldb_options_set_paranoid_checks(leveldb_options_t *options,
                                                       unsigned char v) {
    (void)options;
    (void)v;
}

static inline void leveldb_options_set_env(leveldb_options_t *options, leveldb_env_t *env) {
    (void)options;
    (void)env;
}

static inline void leveldb_options_set_info_log(leveldb_options_t *options,
                                                leveldb_logger_t *logger) {
    (void)options;
    (void)logger;
}

static inline void leveldb_options_set_write_buffer_size(leveldb_options_t *options, size_t s) {
    aidb_leveldb_number(options, "write_buffer_size", s);
}

static inline void leveldb_options_set_max_open_files(leveldb_options_t *options, int n) {
    aidb_leveldb_number(options, "max_open_files", n > 0 ? (uint64_t)n : 0);
}

static inline void leveldb_options_set_cache(leveldb_options_t *options, leveldb_cache_t *cache) {
    if (cache != NULL) {
        aidb_leveldb_number(options, "block_cache_size", cache->capacity);
    }
}

static inline void leveldb_options_set_block_size(leveldb_options_t *options, size_t s) {
    aidb_leveldb_number(options, "block_size", s);
}

static inline void leveldb_options_set_block_restart_interval(leveldb_options_t *options, int n) {
    aidb_leveldb_number(options, "block_restart_interval", n > 0 ? (uint64_t)n : 1);
}

static inline void leveldb_options_set_max_file_size(leveldb_options_t *options, size_t s) {
    aidb_leveldb_number(options, "target_file_size", s);
}

static inline void leveldb_options_set_compression(leveldb_options_t *options, int t) {
    const char *codec = t == leveldb_no_compression     ? "none"
                        : t == leveldb_zstd_compression ? "zstd"
                                                        : "snappy";
    (void)aidb_options_set(options->options, "compression", codec, NULL);
}

static inline leveldb_readoptions_t *leveldb_readoptions_create(void) {
    leveldb_readoptions_t *result =
        (leveldb_readoptions_t *)aidb_leveldb_new(sizeof(leveldb_readoptions_t));
    result->fill_cache = 1;
    return result;
}

static inline void leveldb_readoptions_destroy(leveldb_readoptions_t *options) { free(options); }

static inline void leveldb_readoptions_set_verify_checksums(leveldb_readoptions_t *options,
                                                            unsigned char v) {
    (void)options;
    (void)v;
}

static inline void leveldb_readoptions_set_fill_cache(leveldb_readoptions_t *options,
                                                      unsigned char v) {
    options->fill_cache = v;
}

static inline void leveldb_readoptions_set_snapshot(leveldb_readoptions_t *options,
                                                    const leveldb_snapshot_t *snapshot) {
    options->snapshot = snapshot;
}

static inline leveldb_writeoptions_t *leveldb_writeoptions_create(void) {
    leveldb_writeoptions_t *result =
        (leveldb_writeoptions_t *)aidb_leveldb_new(sizeof(leveldb_writeoptions_t));
    result->options.struct_size = sizeof(aidb_write_options);
    return result;
}

static inline void leveldb_writeoptions_destroy(leveldb_writeoptions_t *options) { free(options); }

static inline void leveldb_writeoptions_set_sync(leveldb_writeoptions_t *options,
                                                 unsigned char v) {
    options->options.sync = v;
}

/* ---- Comparators, filters, caches, environments ---- */

static inline leveldb_comparator_t *leveldb_comparator_create(
    void *state, void (*destructor)(void *),
    int (*compare)(void *, const char *a, size_t alen, const char *b, size_t blen),
    const char *(*name)(void *)) {
    leveldb_comparator_t *result =
        (leveldb_comparator_t *)aidb_leveldb_new(sizeof(leveldb_comparator_t));
    (void)compare;
    (void)name;
    result->state = state;
    result->destructor = destructor;
    return result;
}

static inline void leveldb_comparator_destroy(leveldb_comparator_t *comparator) {
    comparator->destructor(comparator->state);
    free(comparator);
}

static inline void aidb_leveldb_no_state(void *state) { (void)state; }

static inline leveldb_filterpolicy_t *leveldb_filterpolicy_create(
    void *state, void (*destructor)(void *),
    char *(*create_filter)(void *, const char *const *key_array, const size_t *key_length_array,
                           int num_keys, size_t *filter_length),
    unsigned char (*key_may_match)(void *, const char *key, size_t length, const char *filter,
                                   size_t filter_length),
    const char *(*name)(void *)) {
    leveldb_filterpolicy_t *result =
        (leveldb_filterpolicy_t *)aidb_leveldb_new(sizeof(leveldb_filterpolicy_t));
    (void)create_filter;
    (void)key_may_match;
    (void)name;
    result->state = state;
    result->destructor = destructor;
    result->bits_per_key = 10;
    return result;
}

static inline leveldb_filterpolicy_t *leveldb_filterpolicy_create_bloom(int bits_per_key) {
    leveldb_filterpolicy_t *result =
        leveldb_filterpolicy_create(NULL, aidb_leveldb_no_state, NULL, NULL, NULL);
    result->bits_per_key = bits_per_key > 0 ? (uint64_t)bits_per_key : 0;
    return result;
}

static inline void leveldb_filterpolicy_destroy(leveldb_filterpolicy_t *policy) {
    policy->destructor(policy->state);
    free(policy);
}

static inline leveldb_cache_t *leveldb_cache_create_lru(size_t capacity) {
    leveldb_cache_t *result = (leveldb_cache_t *)aidb_leveldb_new(sizeof(leveldb_cache_t));
    result->capacity = capacity;
    return result;
}

static inline void leveldb_cache_destroy(leveldb_cache_t *cache) { free(cache); }

static inline leveldb_env_t *leveldb_create_default_env(void) {
    return (leveldb_env_t *)aidb_leveldb_new(sizeof(leveldb_env_t));
}

static inline void leveldb_env_destroy(leveldb_env_t *env) { free(env); }

/* The directory must exist: TEST_TMPDIR, TMPDIR or /tmp. */
static inline char *leveldb_env_get_test_directory(leveldb_env_t *env) {
    const char *directory = getenv("TEST_TMPDIR");
    (void)env;
    if (directory == NULL || directory[0] == '\0') {
        directory = getenv("TMPDIR");
    }
    if (directory == NULL || directory[0] == '\0') {
        directory = "/tmp";
    }
    return aidb_leveldb_copy(directory);
}

#ifdef __cplusplus
}
#endif

#endif /* AIDB_LEVELDB_H */
