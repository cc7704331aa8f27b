/*
 * LevelDB's C API on top of AiDb: a program written for leveldb/c.h compiles against this file unchanged.
 *
 * Put this where the program looks for leveldb/c.h (a file of that name that includes this one will do) and link
 * with -laidb instead of -lleveldb. The functions are static inline calls of aidb.h; nothing else is needed.
 *
 * What is different
 *
 * Directories   AiDb has its own format: it opens AiDb directories; it refuses LevelDB's and does not change
 *               them. A new database needs a directory that is missing or empty; its parents are made.
 * Comparators   keys are in bytewise order, which is LevelDB's default. A comparator of the program's own is
 *               accepted if it sorts two sets of keys bytewise: a fixed set of probe keys (the empty key,
 *               prefixes, numbers, bytes below and above 0x80, alone and in keys of up to 64 KiB), and up to
 *               1,000 pairs of neighbours in the database. With any other comparator, opening and repairing
 *               fail with an error that says so. No finite set of keys proves that a comparator is bytewise. So
 *               each key that is written is also compared with the key written before it. After the first pair
 *               that the comparator does not sort bytewise, all writes fail and change nothing. The comparator
 *               must live as long as the database is open.
 * Filters       a Bloom filter policy sets AiDb's bits per key. A policy of the program's own is never called,
 *               because filters do not change the result of a read.
 * Caches        leveldb_cache_create_lru sets a capacity. Each database has its own block cache of that size,
 *               even if several are given the same cache.
 * Ignored       environments, loggers, paranoid checks and verify_checksums: AiDb always checks.
 * Limits        sizes and counts that LevelDB would clip are clipped in the same way. Keys have at most 16 MiB,
 *               values and batches 4 GiB - 1. If an operation exceeds these limits, the batch remembers the
 *               error, and leveldb_write of it fails until leveldb_writebatch_clear.
 * Repair        leveldb_repair_db makes a new database beside the damaged one, as NAME.repairing. It then gives
 *               the new one NAME, the permissions of the old directory, and the files in it that are not
 *               AiDb's. If anything was lost, the damaged database stays as NAME.damaged (or NAME.damaged-2,
 *               and so on). It may be called repeatedly, even after it was killed. If "." or a symbolic link is
 *               given, NAME is the directory that it leads to. If that is the process's working directory, the
 *               process moves to the repaired one. Only the report of aidb_repair says what was lost.
 * Batches       have LevelDB's operations only. If aidb_batch_delete_range or a function like it added another one to
 *               the aidb_batch, leveldb_writebatch_iterate calls neither callback, and leveldb_write to a database with
 *               a comparator fails.
 * Iterators     created with a snapshot keep it, even if it is released before them.
 *
 * Errors are returned as in LevelDB: *errptr must be NULL or a string from malloc, which an error replaces.
 * A message begins with LevelDB's word for its kind: "Corruption: ", "Invalid argument: ", "Not implemented: ", and
 * "IO error: " for all others, such as a lock that another process holds.
 */
#ifndef AIDB_LEVELDB_H
#define AIDB_LEVELDB_H

#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "aidb.h"

#ifdef __cplusplus
extern "C" {
#elif defined(__STRICT_ANSI__)
/* With -std=c99 the headers above may leave these out, which every POSIX system has. */
char *realpath(const char *path, char *resolved);
ssize_t readlink(const char *path, char *target, size_t size);
#endif

typedef struct leveldb_writeoptions_t { aidb_write_options options; } leveldb_writeoptions_t;
typedef struct leveldb_cache_t { size_t capacity; } leveldb_cache_t;
typedef struct leveldb_env_t { int unused; } leveldb_env_t;
typedef struct leveldb_filelock_t leveldb_filelock_t;
typedef struct leveldb_logger_t leveldb_logger_t;
typedef struct leveldb_randomfile_t leveldb_randomfile_t;
typedef struct leveldb_seqfile_t leveldb_seqfile_t;
typedef struct leveldb_writablefile_t leveldb_writablefile_t;

/* LevelDB's snapshot creation cannot fail: if ours does, reads at the snapshot return its error. */
typedef struct leveldb_snapshot_t {
    aidb_snapshot *snapshot;
    char *error;
    struct leveldb_snapshot_t *self; /* what leveldb_release_snapshot, which gets a const, frees */
} leveldb_snapshot_t;

/* Why the batch refused an operation; only leveldb_write can report it. NULL if it refused none. */
typedef struct leveldb_writebatch_t {
    aidb_batch *batch;
    char *error;
} leveldb_writebatch_t;

/* An error of the creation; only leveldb_iter_get_error can report it. */
typedef struct leveldb_iterator_t {
    aidb_iterator *iterator;
    char *error;
} leveldb_iterator_t;

typedef struct leveldb_comparator_t {
    void *state;
    void (*destructor)(void *);
    int (*compare)(void *, const char *a, size_t alen, const char *b, size_t blen);
} leveldb_comparator_t;

#define AIDB_LEVELDB_MAX_KEY_BYTES ((size_t)16 << 20)

/* A copy of a key, whose bytes go on after the structure. */
typedef struct aidb_leveldb_key {
    size_t length;
    char bytes[1];
} aidb_leveldb_key;

typedef struct leveldb_t {
    aidb_db *db;
    const leveldb_comparator_t *comparator; /* the program's own, or NULL */
    /* Only with a comparator; shared by all threads: the key written last, and whether the comparator has
     * sorted two keys differently. */
    aidb_leveldb_key *last_written;
    int comparator_disagrees;
} leveldb_t;

typedef struct leveldb_options_t {
    aidb_options *options;
    const leveldb_comparator_t *comparator;
} leveldb_options_t;

typedef struct leveldb_readoptions_t {
    const leveldb_snapshot_t *snapshot;
    int fill_cache;
} leveldb_readoptions_t;

typedef struct leveldb_filterpolicy_t {
    void *state;
    void (*destructor)(void *);
    uint64_t bits_per_key;
} leveldb_filterpolicy_t;

enum { leveldb_no_compression = 0, leveldb_snappy_compression = 1, leveldb_zstd_compression = 2 };

/* ---- Helpers of the functions below; not part of LevelDB's API ---- */

#ifdef __cplusplus
#define AIDB_LEVELDB_CAST(type, value) static_cast<type>(value)
#else
#define AIDB_LEVELDB_CAST(type, value) ((type)(value))
#endif

/* Memory for a small object. As in LevelDB, running out of memory cannot be reported. */
static inline void *aidb_leveldb_new(size_t size) {
    void *memory = calloc(1, size);
    if (memory == NULL) {
        abort();
    }
    return memory;
}

/* Three texts joined, in memory from malloc; leveldb_free and free both release it. */
static inline char *aidb_leveldb_join(const char *first, const char *second, const char *third) {
    size_t lengths[3];
    char *text;
    lengths[0] = strlen(first);
    lengths[1] = strlen(second);
    lengths[2] = strlen(third);
    text = AIDB_LEVELDB_CAST(char *, aidb_leveldb_new(lengths[0] + lengths[1] + lengths[2] + 1));
    memcpy(text, first, lengths[0]);
    memcpy(text + lengths[0], second, lengths[1]);
    memcpy(text + lengths[0] + lengths[1], third, lengths[2]);
    return text;
}

/* Puts a message of LevelDB's kind `kind` into *errptr. */
static inline void aidb_leveldb_report(char **errptr, const char *kind, const char *what,
                                       const char *detail) {
    free(*errptr);
    *errptr = aidb_leveldb_join(kind, what, detail);
}

/* Puts a failed call's message into *errptr, with LevelDB's word for the kind in place of AiDb's if LevelDB has
 * one. */
static inline void aidb_leveldb_fail(char **errptr, aidb_status status, const aidb_error *error) {
    const char *message = error != NULL ? aidb_error_message(error) : aidb_status_name(status);
    const char *behind = strstr(message, ": ");
    const char *kind = status == AIDB_IO                 ? "IO error: "
                       : status == AIDB_CORRUPTION       ? "Corruption: "
                       : status == AIDB_INVALID_ARGUMENT ? "Invalid argument: "
                       : status == AIDB_UNSUPPORTED      ? "Not implemented: "
                                                         : NULL;
    if (kind == NULL || behind == NULL) {
        aidb_leveldb_report(errptr, kind != NULL ? kind : "IO error: ", message, "");
    } else {
        aidb_leveldb_report(errptr, kind, behind + 2, "");
    }
}

/*
 * Ends a call: 1 for AIDB_OK; otherwise 0, and a message in *errptr unless the status is AIDB_NOT_FOUND. Callers get
 * the status in a statement of its own: C may evaluate the argument `error` before a call in another argument sets it.
 */
static inline int aidb_leveldb_done(aidb_status status, aidb_error *error, char **errptr) {
    if (status != AIDB_OK && status != AIDB_NOT_FOUND) {
        aidb_leveldb_fail(errptr, status, error);
    }
    aidb_error_free(error);
    return status == AIDB_OK;
}

/* Sets an option to `value`, or to the nearer end of its range. */
static inline void aidb_leveldb_number(leveldb_options_t *options, const char *name,
                                       uint64_t value, uint64_t smallest, uint64_t largest) {
    uint64_t clipped = value < smallest ? smallest : value > largest ? largest : value;
    (void)aidb_options_set_number(options->options, name, clipped, NULL);
}

static inline int aidb_leveldb_exists(const char *path) {
    struct stat about;
    return stat(path, &about) == 0;
}

/* The target of the symbolic link `path`, relative to the same directory as `path`; NULL if it is not a link.
 * From malloc. */
static inline char *aidb_leveldb_link(const char *path) {
    char target[4096];
    const char *slash = strrchr(path, '/');
    ssize_t length = readlink(path, target, sizeof target - 1);
    char *directory, *result;
    if (length <= 0) {
        return NULL;
    }
    target[length] = '\0';
    if (target[0] == '/' || slash == NULL) {
        return aidb_leveldb_join(target, "", "");
    }
    directory = aidb_leveldb_join(path, "", "");
    directory[slash + 1 - path] = '\0';
    result = aidb_leveldb_join(directory, target, "");
    free(directory);
    return result;
}

/* The absolute path of a directory that is missing but whose parent exists. From malloc, or NULL. */
static inline char *aidb_leveldb_missing(const char *path) {
    const char *slash = strrchr(path, '/');
    const char *last = slash != NULL ? slash + 1 : path;
    char *directory = aidb_leveldb_join(slash != NULL ? path : ".", "", "");
    char *parent, *result = NULL;
    if (slash != NULL) {
        directory[slash == path ? 1 : slash - path] = '\0';
    }
    parent = realpath(directory, NULL);
    if (parent != NULL && last[0] != '\0' && strcmp(last, ".") != 0 && strcmp(last, "..") != 0) {
        result = aidb_leveldb_join(parent, strcmp(parent, "/") == 0 ? "" : "/", last);
    }
    free(parent);
    free(directory);
    return result;
}

/*
 * The path of the directory that `name` means, absolute and without symbolic links, whether the directory exists or
 * not. So new directories are made beside the directory and not beside a link to it, and a rename moves the directory
 * itself. From malloc.
 */
static inline char *aidb_leveldb_place(const char *name) {
    char *path = aidb_leveldb_join(name, "", "");
    char *place = realpath(path, NULL);
    /* The system follows the same number of links. */
    int links = 40;
    while (place == NULL && links-- > 0) {
        size_t length = strlen(path);
        char *next;
        while (length > 1 && path[length - 1] == '/') {
            path[--length] = '\0';
        }
        next = aidb_leveldb_link(path);
        if (next == NULL) {
            place = aidb_leveldb_missing(path);
            break;
        }
        free(path);
        path = next;
        place = realpath(path, NULL);
    }
    free(path);
    /* If the path is impossible, opening or repairing reports it. */
    return place != NULL ? place : aidb_leveldb_join(name, "", "");
}

/* Finishes a repair of `path` that was killed after the damaged database was renamed and before the repaired
 * one was. */
static inline void aidb_leveldb_end_repair(const char *path) {
    char *repairing = aidb_leveldb_join(path, ".repairing", "");
    if (!aidb_leveldb_exists(path) && aidb_leveldb_exists(repairing)) {
        (void)rename(repairing, path);
    }
    free(repairing);
}

/* ---- Whether a comparator of the program's own puts keys into AiDb's order ---- */

/* A comparator that reads a fixed number of bytes finds zeros after a shorter key. */
struct aidb_leveldb_probe {
    size_t length;
    char bytes[32];
};

/* Keys in their bytewise order. */
static inline const struct aidb_leveldb_probe *aidb_leveldb_probes(size_t *count) {
    static const struct aidb_leveldb_probe probes[] = {
        {0, ""},
        {1, "\0"},
        {2, "\0\0"},
        {8, "\0\0\0\0\0\0\1\0"},
        {8, "\0\0\0\0\0\1\0\0"},
        {4, "\0\0\1\0"},
        {2, "\0\1"},
        {4, "\0\1\0\0"},
        {1, "\1"},
        {2, "\1\0"},
        {1, " "},
        {2, "10"},
        {1, "2"},
        {1, "A"},
        {2, "AB"},
        {1, "B"},
        {1, "a"},
        {2, "a\0"},
        {3, "a\0b"},
        {2, "aa"},
        {3, "aab"},
        {16, "abcdefghijklmnop"},
        {16, "abcdefghijklmnoq"},
        {1, "b"},
        {25, "user:00000000000000000009"},
        {25, "user:00000000000000000010"},
        {7, "user:10"},
        {6, "user:9"},
        {1, "z"},
        {2, "z\177"},
        {3, "z\303\251"},
        {1, "\177"},
        {2, "\177\377"},
        {1, "\200"},
        {2, "\200\0"},
        {4, "\200\0\0\0"},
        {8, "\200\0\0\0\0\0\0\0"},
        {2, "\200\177"},
        {2, "\200\200"},
        {8, "\300\0\0\0\0\0\0\0"},
        {1, "\377"},
        {2, "\377\0"},
        {8, "\377\377\377\377\377\377\377\376"},
        {8, "\377\377\377\377\377\377\377\377"},
    };
    *count = sizeof probes / sizeof probes[0];
    return probes;
}

/* Whether `comparator` finds each pair of probes in order. */
static inline int aidb_leveldb_short_probes_agree(const leveldb_comparator_t *comparator) {
    size_t count, a, b;
    const struct aidb_leveldb_probe *probes = aidb_leveldb_probes(&count);
    for (a = 0; a < count; a++) {
        for (b = 0; b < count; b++) {
            int found = comparator->compare(comparator->state, probes[a].bytes, probes[a].length,
                                            probes[b].bytes, probes[b].length);
            if ((found > 0) - (found < 0) != (a > b) - (a < b)) {
                return 0;
            }
        }
    }
    return 1;
}

static inline int aidb_leveldb_ascends(const leveldb_comparator_t *comparator, const char *smaller,
                                       size_t smaller_length, const char *larger,
                                       size_t larger_length) {
    void *state = comparator->state;
    return comparator->compare(state, smaller, smaller_length, larger, larger_length) < 0 &&
           comparator->compare(state, larger, larger_length, smaller, smaller_length) > 0;
}

/*
 * Whether it sorts pairs of keys of `length` bytes bytewise. The two keys differ in one byte, at the beginning, in the
 * middle or at the end; unless that is the last byte, their last bytes differ the opposite way. Both keys consist of
 * 'k' before the call and after it.
 */
static inline int aidb_leveldb_bytes_agree(const leveldb_comparator_t *comparator, char *smaller,
                                           char *larger, size_t length) {
    static const char bytes[] = "\0\1 09AZaz\177\200\377";
    size_t places[3];
    size_t place, at;
    int agree = 1;
    places[0] = 0;
    places[1] = length / 2;
    places[2] = length - 1;
    for (place = 0; place < 3; place++) {
        for (at = 0; agree && at + 2 < sizeof bytes; at++) {
            smaller[length - 1] = 'z';
            larger[length - 1] = 'a';
            smaller[places[place]] = bytes[at];
            larger[places[place]] = bytes[at + 1];
            agree = aidb_leveldb_ascends(comparator, smaller, length, larger, length);
        }
        smaller[places[place]] = larger[places[place]] = 'k';
        smaller[length - 1] = larger[length - 1] = 'k';
    }
    return agree;
}

/* Whether it finds neighbouring probes in order if both keys begin with 'k' `length` times. */
static inline int aidb_leveldb_tails_agree(const leveldb_comparator_t *comparator, char *smaller,
                                           char *larger, size_t length) {
    size_t count, at;
    const struct aidb_leveldb_probe *probes = aidb_leveldb_probes(&count);
    int agree = 1;
    for (at = 0; agree && at + 1 < count; at++) {
        memcpy(smaller + length, probes[at].bytes, sizeof probes[at].bytes);
        memcpy(larger + length, probes[at + 1].bytes, sizeof probes[at].bytes);
        agree = aidb_leveldb_ascends(comparator, smaller, length + probes[at].length, larger,
                                     length + probes[at + 1].length);
    }
    return agree;
}

/*
 * Whether it finds longer keys in order. The lengths are those of numbers, ids and hashes, and lengths that overflow 8
 * or 16 bits.
 */
static inline int aidb_leveldb_long_probes_agree(const leveldb_comparator_t *comparator) {
    static const size_t lengths[] = {2,  4,  8,   12,  16,   20,   24,
                                     32, 64, 128, 256, 1000, 4096, 65536};
    const size_t most = 65536 + sizeof(struct aidb_leveldb_probe);
    char *smaller = AIDB_LEVELDB_CAST(char *, aidb_leveldb_new(most));
    char *larger = AIDB_LEVELDB_CAST(char *, aidb_leveldb_new(most));
    size_t at;
    int agree = 1;
    for (at = 0; agree && at < sizeof lengths / sizeof lengths[0]; at++) {
        memset(smaller, 'k', lengths[at]);
        memset(larger, 'k', lengths[at]);
        memset(smaller + lengths[at], 0, sizeof(struct aidb_leveldb_probe));
        memset(larger + lengths[at], 0, sizeof(struct aidb_leveldb_probe));
        agree = aidb_leveldb_bytes_agree(comparator, smaller, larger, lengths[at]) &&
                aidb_leveldb_tails_agree(comparator, smaller, larger, lengths[at]);
    }
    free(smaller);
    free(larger);
    return agree;
}

/*
 * Whether `comparator` finds the first 500 pairs of neighbouring keys in order, or with `reverse` the last 500 in
 * reverse order. A read error is no reason to refuse here: later reads will report it.
 */
static inline int aidb_leveldb_neighbours_agree(const leveldb_comparator_t *comparator,
                                                const aidb_db *db, int reverse) {
    aidb_iter_options walk = AIDB_ITER_OPTIONS_INIT;
    aidb_iterator *iterator = NULL;
    char *last = NULL;
    size_t last_length = 0;
    int agree = 1, at;
    walk.reverse = reverse;
    walk.values = 0;
    walk.fill_cache = 0;
    if (aidb_iter_create(db, &walk, &iterator, NULL) != AIDB_OK) {
        return 1;
    }
    for (at = 0; agree && at <= 500 && aidb_iter_next(iterator, NULL) == AIDB_OK; at++) {
        size_t length = 0;
        const char *key = aidb_iter_key(iterator, &length);
        if (last != NULL) {
            int found = comparator->compare(comparator->state, last, last_length, key, length);
            agree = reverse ? found > 0 : found < 0;
        }
        free(last);
        last = AIDB_LEVELDB_CAST(char *, aidb_leveldb_new(length + 1));
        memcpy(last, key, length);
        last_length = length;
    }
    free(last);
    aidb_iter_free(iterator);
    return agree;
}

/* Whether these options allow opening and repairing at all; if not, a message in *errptr. */
static inline int aidb_leveldb_possible(const leveldb_options_t *options, char **errptr) {
    if (options->options == NULL) {
        aidb_leveldb_report(errptr, "IO error: ", "the options could not be made", "");
        return 0;
    }
    if (options->comparator != NULL && !(aidb_leveldb_short_probes_agree(options->comparator) &&
                                         aidb_leveldb_long_probes_agree(options->comparator))) {
        aidb_leveldb_report(errptr, "Not implemented: ",
                            "a comparator that sorts otherwise than bytewise", "");
        return 0;
    }
    return 1;
}

/*
 * Whether `key` may be written. If not, *errptr has a message: the program's comparator does not put `key` and the key
 * that any thread wrote before it into bytewise order, or it failed to do so for an earlier pair.
 */
static inline int aidb_leveldb_may_write(leveldb_t *db, const char *key, size_t length,
                                         char **errptr) {
    aidb_leveldb_key *mine, *last;
    /* The library refuses a longer key. */
    if (db->comparator == NULL || length > AIDB_LEVELDB_MAX_KEY_BYTES) {
        return 1;
    }
    mine = AIDB_LEVELDB_CAST(aidb_leveldb_key *, malloc(sizeof *mine + length));
    if (mine == NULL) {
        aidb_leveldb_report(errptr, "IO error: ", "out of memory", "");
        return 0;
    }
    mine->length = length;
    if (length > 0) {
        memcpy(mine->bytes, key, length);
    }
    /* The thread that takes a key out frees it, so no other thread has it during the comparison. */
    last = __atomic_exchange_n(&db->last_written, mine, __ATOMIC_ACQ_REL);
    if (last != NULL) {
        size_t shorter = last->length < length ? last->length : length;
        int bytewise = shorter > 0 ? memcmp(last->bytes, key, shorter) : 0;
        int found = db->comparator->compare(db->comparator->state, last->bytes, last->length, key,
                                            length);
        if (bytewise == 0) {
            bytewise = (last->length > length) - (last->length < length);
        }
        if ((found > 0) - (found < 0) != (bytewise > 0) - (bytewise < 0)) {
            __atomic_store_n(&db->comparator_disagrees, 1, __ATOMIC_RELAXED);
        }
        free(last);
    }
    if (__atomic_load_n(&db->comparator_disagrees, __ATOMIC_RELAXED)) {
        aidb_leveldb_report(errptr, "Invalid argument: ",
                            "the comparator does not sort the keys that are written bytewise", "");
        return 0;
    }
    return 1;
}

/* The check of the keys of a batch: whether all of them may be written. */
struct aidb_leveldb_batch_check {
    leveldb_t *db;
    char **errptr;
    int may_write;
};

static inline void aidb_leveldb_check_delete(void *state, const char *key, size_t length) {
    struct aidb_leveldb_batch_check *check =
        AIDB_LEVELDB_CAST(struct aidb_leveldb_batch_check *, state);
    check->may_write =
        check->may_write && aidb_leveldb_may_write(check->db, key, length, check->errptr);
}

static inline void aidb_leveldb_check_put(void *state, const char *key, size_t length,
                                          const char *value, size_t value_length) {
    (void)value;
    (void)value_length;
    aidb_leveldb_check_delete(state, key, length);
}

/* ---- The database ---- */

static inline leveldb_t *leveldb_open(const leveldb_options_t *options, const char *name,
                                      char **errptr) {
    const leveldb_comparator_t *comparator = options->comparator;
    aidb_db *db = NULL;
    aidb_error *error = NULL;
    aidb_status status;
    leveldb_t *result;
    char *place;
    if (!aidb_leveldb_possible(options, errptr)) {
        return NULL;
    }
    place = aidb_leveldb_place(name);
    aidb_leveldb_end_repair(place);
    free(place);
    status = aidb_open(name, options->options, &db, &error);
    if (!aidb_leveldb_done(status, error, errptr)) {
        return NULL;
    }
    if (comparator != NULL && !(aidb_leveldb_neighbours_agree(comparator, db, 0) &&
                                aidb_leveldb_neighbours_agree(comparator, db, 1))) {
        (void)aidb_close(db, NULL);
        aidb_leveldb_report(errptr, "Invalid argument: ", name,
                            ": the comparator does not sort the keys that are there bytewise");
        return NULL;
    }
    result = AIDB_LEVELDB_CAST(leveldb_t *, aidb_leveldb_new(sizeof(leveldb_t)));
    result->db = db;
    result->comparator = comparator;
    return result;
}

static inline void leveldb_close(leveldb_t *db) {
    (void)aidb_close(db->db, NULL);
    free(db->last_written);
    free(db);
}

static inline void leveldb_put(leveldb_t *db, const leveldb_writeoptions_t *options,
                               const char *key, size_t keylen, const char *val, size_t vallen,
                               char **errptr) {
    aidb_error *error = NULL;
    aidb_status status;
    if (!aidb_leveldb_may_write(db, key, keylen, errptr)) {
        return;
    }
    status = aidb_put(db->db, key, keylen, val, vallen, &options->options, &error);
    (void)aidb_leveldb_done(status, error, errptr);
}

static inline void leveldb_delete(leveldb_t *db, const leveldb_writeoptions_t *options,
                                  const char *key, size_t keylen, char **errptr) {
    aidb_error *error = NULL;
    aidb_status status;
    if (!aidb_leveldb_may_write(db, key, keylen, errptr)) {
        return;
    }
    status = aidb_delete(db->db, key, keylen, &options->options, &error);
    (void)aidb_leveldb_done(status, error, errptr);
}

static inline void leveldb_write(leveldb_t *db, const leveldb_writeoptions_t *options,
                                 leveldb_writebatch_t *batch, char **errptr) {
    aidb_error *error = NULL;
    aidb_status status;
    if (batch->error != NULL) {
        aidb_leveldb_report(errptr, batch->error, "", "");
        return;
    }
    if (db->comparator != NULL) {
        struct aidb_leveldb_batch_check check;
        check.db = db;
        check.errptr = errptr;
        check.may_write = 1;
        status = aidb_batch_iterate(batch->batch, &check, aidb_leveldb_check_put,
                                    aidb_leveldb_check_delete, &error);
        if (!aidb_leveldb_done(status, error, errptr) || !check.may_write) {
            return;
        }
        error = NULL;
    }
    status = aidb_write(db->db, batch->batch, &options->options, &error);
    (void)aidb_leveldb_done(status, error, errptr);
}

static inline char *leveldb_get(leveldb_t *db, const leveldb_readoptions_t *options,
                                const char *key, size_t keylen, size_t *vallen, char **errptr) {
    const leveldb_snapshot_t *snapshot = options->snapshot;
    aidb_read_options read = AIDB_READ_OPTIONS_INIT;
    aidb_error *error = NULL;
    char *value = NULL;
    aidb_status status;
    *vallen = 0;
    if (snapshot != NULL && snapshot->error != NULL) {
        aidb_leveldb_report(errptr, snapshot->error, "", "");
        return NULL;
    }
    read.snapshot = snapshot != NULL ? snapshot->snapshot : NULL;
    read.fill_cache = options->fill_cache;
    status = aidb_get(db->db, key, keylen, &read, &value, vallen, &error);
    return aidb_leveldb_done(status, error, errptr) ? value : NULL;
}

static inline const leveldb_snapshot_t *leveldb_create_snapshot(leveldb_t *db) {
    leveldb_snapshot_t *result =
        AIDB_LEVELDB_CAST(leveldb_snapshot_t *, aidb_leveldb_new(sizeof(leveldb_snapshot_t)));
    aidb_error *error = NULL;
    aidb_status status = aidb_snapshot_create(db->db, &result->snapshot, &error);
    (void)aidb_leveldb_done(status, error, &result->error);
    result->self = result;
    return result;
}

static inline void leveldb_release_snapshot(leveldb_t *db, const leveldb_snapshot_t *snapshot) {
    (void)db;
    aidb_snapshot_release(snapshot->snapshot);
    free(snapshot->error);
    free(snapshot->self);
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
        /* In LevelDB's API an empty key may be NULL; in AiDb's, NULL means no bound. */
        const char *start = range_start_key[at] != NULL ? range_start_key[at] : "";
        const char *limit = range_limit_key[at] != NULL ? range_limit_key[at] : "";
        (void)aidb_approximate_size(db->db, start, range_start_key_len[at], limit,
                                    range_limit_key_len[at], &sizes[at], NULL);
    }
}

/* LevelDB's limit is inside the range. With a zero byte added it is the first key outside, as AiDb wants it. */
static inline void leveldb_compact_range(leveldb_t *db, const char *start_key,
                                         size_t start_key_len, const char *limit_key,
                                         size_t limit_key_len) {
    char *behind = NULL;
    if (limit_key != NULL) {
        behind = AIDB_LEVELDB_CAST(char *, aidb_leveldb_new(limit_key_len + 1));
        memcpy(behind, limit_key, limit_key_len);
        limit_key_len++;
    }
    (void)aidb_compact_range(db->db, start_key, start_key_len, behind,
                             behind != NULL ? limit_key_len : 0, NULL);
    free(behind);
}

static inline void leveldb_destroy_db(const leveldb_options_t *options, const char *name,
                                      char **errptr) {
    char *place = aidb_leveldb_place(name);
    char *repairing = aidb_leveldb_join(place, ".repairing", "");
    aidb_error *error = NULL;
    aidb_status status = aidb_destroy(name, options->options, &error);
    if (aidb_leveldb_done(status, error, errptr)) {
        /* Left by a repair that was killed; a later repair must not take it for this database. */
        (void)aidb_destroy(repairing, options->options, NULL);
    }
    free(place);
    free(repairing);
}

/* ---- Repair ---- */

/* Whether AiDb gives such names to its files: 000012.sst, 000013.log, and capitals such as MANIFEST-000014. */
static inline int aidb_leveldb_is_own_name(const char *name) {
    size_t digits = strspn(name, "0123456789");
    size_t capitals = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ-0123456789");
    const char *end = name + (digits > 0 ? digits : capitals);
    if (digits > 0) {
        return strcmp(end, ".sst") == 0 || strcmp(end, ".log") == 0 || strcmp(end, ".tmp") == 0;
    }
    return capitals > 0 &&
           (*end == '\0' || strcmp(end, ".tmp") == 0 || strcmp(end, ".old") == 0);
}

/* Moves the files in the directory `from` that are not AiDb's into `into`; never replaces one there. */
static inline void aidb_leveldb_move_others(const char *from, const char *into) {
    DIR *directory = opendir(from);
    struct dirent *entry;
    if (directory == NULL) {
        return;
    }
    while ((entry = readdir(directory)) != NULL) {
        const char *name = entry->d_name;
        if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && !aidb_leveldb_is_own_name(name)) {
            char *source = aidb_leveldb_join(from, "/", name);
            char *place = aidb_leveldb_join(into, "/", name);
            if (!aidb_leveldb_exists(place)) {
                (void)rename(source, place);
            }
            free(source);
            free(place);
        }
    }
    (void)closedir(directory);
}

/* The first of NAME.damaged, NAME.damaged-2, ... that does not exist, where NAME is `path`. */
static inline char *aidb_leveldb_damaged(const char *path) {
    char *damaged = aidb_leveldb_join(path, ".damaged", "");
    unsigned number;
    for (number = 2; aidb_leveldb_exists(damaged); number++) {
        char suffix[32];
        (void)snprintf(suffix, sizeof suffix, ".damaged-%u", number);
        free(damaged);
        damaged = aidb_leveldb_join(path, suffix, "");
    }
    return damaged;
}

/* Renames the database in `path` to `damaged` and the one in `repairing` to `path`; returns whether it did. */
static inline int aidb_leveldb_swap(const char *path, const char *repairing, const char *damaged,
                                    char **errptr) {
    struct stat about, here;
    char *place;
    int cause;
    if (stat(path, &about) == 0 && chmod(repairing, about.st_mode & 07777) == 0 &&
        rename(path, damaged) == 0) {
        if (rename(repairing, path) == 0) {
            aidb_leveldb_move_others(damaged, path);
            /* A working directory moves with its directory, so "." would now be the damaged one. */
            if (stat(".", &here) == 0 && here.st_dev == about.st_dev && here.st_ino == about.st_ino &&
                chdir(path) != 0) {
                aidb_leveldb_report(errptr, "IO error: ", "what was repaired is not the working directory: ",
                                    strerror(errno));
            }
            return 1;
        }
        cause = errno;
        (void)rename(damaged, path);
    } else {
        cause = errno;
    }
    place = aidb_leveldb_join(path, ": what was repaired cannot take its place: ", "");
    aidb_leveldb_report(errptr, "IO error: ", place, strerror(cause));
    free(place);
    return 0;
}

static inline void leveldb_repair_db(const leveldb_options_t *options, const char *name,
                                     char **errptr) {
    char *path = aidb_leveldb_place(name);
    char *repairing = aidb_leveldb_join(path, ".repairing", "");
    char *damaged = aidb_leveldb_damaged(path);
    aidb_error *error = NULL;
    bool is_ok = false;
    aidb_leveldb_end_repair(path);
    if (aidb_leveldb_possible(options, errptr)) {
        aidb_status status;
        /* Left by a repair that was killed. */
        (void)aidb_destroy(repairing, options->options, NULL);
        status = aidb_repair(path, repairing, options->options, &is_ok, NULL, &error);
        if (aidb_leveldb_done(status, error, errptr)) {
            if (!aidb_leveldb_swap(path, repairing, damaged, errptr)) {
                (void)aidb_destroy(repairing, options->options, NULL);
            } else if (is_ok) {
                (void)aidb_destroy(damaged, options->options, NULL);
            }
        }
    }
    free(path);
    free(repairing);
    free(damaged);
}

static inline void leveldb_free(void *ptr) { aidb_free(ptr); }

static inline int leveldb_major_version(void) { return 1; }
static inline int leveldb_minor_version(void) { return 23; }

/* ---- Iterators ---- */

static inline leveldb_iterator_t *leveldb_create_iterator(leveldb_t *db,
                                                          const leveldb_readoptions_t *options) {
    leveldb_iterator_t *result =
        AIDB_LEVELDB_CAST(leveldb_iterator_t *, aidb_leveldb_new(sizeof(leveldb_iterator_t)));
    const leveldb_snapshot_t *snapshot = options->snapshot;
    aidb_iter_options walk = AIDB_ITER_OPTIONS_INIT;
    aidb_error *error = NULL;
    aidb_status status;
    if (snapshot != NULL && snapshot->error != NULL) {
        result->error = aidb_leveldb_join(snapshot->error, "", "");
        return result;
    }
    walk.snapshot = snapshot != NULL ? snapshot->snapshot : NULL;
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
    aidb_status status;
    if (iterator->error != NULL) {
        aidb_leveldb_report(errptr, iterator->error, "", "");
        return;
    }
    status = aidb_iter_status(iterator->iterator, &error);
    (void)aidb_leveldb_done(status, error, errptr);
}

/* ---- Batches ---- */

static inline leveldb_writebatch_t *leveldb_writebatch_create(void) {
    leveldb_writebatch_t *result =
        AIDB_LEVELDB_CAST(leveldb_writebatch_t *, aidb_leveldb_new(sizeof(leveldb_writebatch_t)));
    result->batch = aidb_batch_new();
    return result;
}

static inline void leveldb_writebatch_destroy(leveldb_writebatch_t *batch) {
    if (batch != NULL) {
        aidb_batch_free(batch->batch);
        free(batch->error);
        free(batch);
    }
}

static inline void leveldb_writebatch_clear(leveldb_writebatch_t *batch) {
    (void)aidb_batch_clear(batch->batch, NULL);
    free(batch->error);
    batch->error = NULL;
}

/* Ends a call that adds to a batch: the batch keeps its first error. */
static inline void aidb_leveldb_added(leveldb_writebatch_t *batch, aidb_status status,
                                      aidb_error *error) {
    char *later = NULL;
    (void)aidb_leveldb_done(status, error, batch->error == NULL ? &batch->error : &later);
    free(later);
}

static inline void leveldb_writebatch_put(leveldb_writebatch_t *batch, const char *key,
                                          size_t klen, const char *val, size_t vlen) {
    aidb_error *error = NULL;
    aidb_status status = aidb_batch_put(batch->batch, key, klen, val, vlen, &error);
    aidb_leveldb_added(batch, status, error);
}

static inline void leveldb_writebatch_delete(leveldb_writebatch_t *batch, const char *key,
                                             size_t klen) {
    aidb_error *error = NULL;
    aidb_status status = aidb_batch_delete(batch->batch, key, klen, &error);
    aidb_leveldb_added(batch, status, error);
}

static inline void leveldb_writebatch_append(leveldb_writebatch_t *destination,
                                             const leveldb_writebatch_t *source) {
    aidb_error *error = NULL;
    aidb_status status = aidb_batch_append(destination->batch, source->batch, &error);
    aidb_leveldb_added(destination, status, error);
    if (source->error != NULL && destination->error == NULL) {
        destination->error = aidb_leveldb_join(source->error, "", "");
    }
}

static inline void leveldb_writebatch_iterate(
    const leveldb_writebatch_t *batch, void *state,
    void (*put)(void *, const char *k, size_t klen, const char *v, size_t vlen),
    void (*deleted)(void *, const char *k, size_t klen)) {
    (void)aidb_batch_iterate(batch->batch, state, put, deleted, NULL);
}

/* ---- Options ---- */

static inline leveldb_options_t *leveldb_options_create(void) {
    leveldb_options_t *result =
        AIDB_LEVELDB_CAST(leveldb_options_t *, aidb_leveldb_new(sizeof(leveldb_options_t)));
    result->options = aidb_options_new();
    /* LevelDB's default, which differs from AiDb's. */
    (void)aidb_options_set_flag(result->options, "create_if_missing", 0, NULL);
    return result;
}

static inline void leveldb_options_destroy(leveldb_options_t *options) {
    if (options != NULL) {
        aidb_options_free(options->options);
        free(options);
    }
}

static inline void leveldb_options_set_comparator(leveldb_options_t *options,
                                                  leveldb_comparator_t *comparator) {
    options->comparator = comparator;
}

static inline void leveldb_options_set_filter_policy(leveldb_options_t *options,
                                                     leveldb_filterpolicy_t *policy) {
    uint64_t bits = policy != NULL ? policy->bits_per_key : 0;
    aidb_leveldb_number(options, "bloom_bits_per_key", bits, 0, 32);
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
    aidb_leveldb_number(options, "write_buffer_size", s, 64 << 10, 1 << 30);
}

static inline void leveldb_options_set_max_open_files(leveldb_options_t *options, int n) {
    uint64_t files = n > 0 ? AIDB_LEVELDB_CAST(uint64_t, n) : 0;
    aidb_leveldb_number(options, "max_open_files", files, 74, 50000);
}

static inline void leveldb_options_set_cache(leveldb_options_t *options, leveldb_cache_t *cache) {
    if (cache != NULL) {
        aidb_leveldb_number(options, "block_cache_size", cache->capacity, 0, UINT64_C(1) << 40);
    }
}

static inline void leveldb_options_set_block_size(leveldb_options_t *options, size_t s) {
    aidb_leveldb_number(options, "block_size", s, 1 << 10, 4 << 20);
}

static inline void leveldb_options_set_block_restart_interval(leveldb_options_t *options, int n) {
    uint64_t entries = n > 0 ? AIDB_LEVELDB_CAST(uint64_t, n) : 1;
    aidb_leveldb_number(options, "block_restart_interval", entries, 1, 1024);
}

static inline void leveldb_options_set_max_file_size(leveldb_options_t *options, size_t s) {
    aidb_leveldb_number(options, "target_file_size", s, 1 << 20, 1 << 30);
}

static inline void leveldb_options_set_compression(leveldb_options_t *options, int t) {
    const char *codec = t == leveldb_no_compression     ? "none"
                        : t == leveldb_zstd_compression ? "zstd"
                                                        : "snappy";
    (void)aidb_options_set(options->options, "compression", codec, NULL);
}

static inline leveldb_readoptions_t *leveldb_readoptions_create(void) {
    leveldb_readoptions_t *result =
        AIDB_LEVELDB_CAST(leveldb_readoptions_t *, aidb_leveldb_new(sizeof(leveldb_readoptions_t)));
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
        AIDB_LEVELDB_CAST(leveldb_writeoptions_t *, aidb_leveldb_new(sizeof(leveldb_writeoptions_t)));
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
        AIDB_LEVELDB_CAST(leveldb_comparator_t *, aidb_leveldb_new(sizeof(leveldb_comparator_t)));
    (void)name;
    result->state = state;
    result->destructor = destructor;
    result->compare = compare;
    return result;
}

static inline void leveldb_comparator_destroy(leveldb_comparator_t *comparator) {
    if (comparator != NULL) {
        comparator->destructor(comparator->state);
        free(comparator);
    }
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
        AIDB_LEVELDB_CAST(leveldb_filterpolicy_t *, aidb_leveldb_new(sizeof(leveldb_filterpolicy_t)));
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
    result->bits_per_key = bits_per_key > 0 ? AIDB_LEVELDB_CAST(uint64_t, bits_per_key) : 0;
    return result;
}

static inline void leveldb_filterpolicy_destroy(leveldb_filterpolicy_t *policy) {
    if (policy != NULL) {
        policy->destructor(policy->state);
        free(policy);
    }
}

static inline leveldb_cache_t *leveldb_cache_create_lru(size_t capacity) {
    leveldb_cache_t *result = AIDB_LEVELDB_CAST(leveldb_cache_t *, aidb_leveldb_new(sizeof(leveldb_cache_t)));
    result->capacity = capacity;
    return result;
}

static inline void leveldb_cache_destroy(leveldb_cache_t *cache) { free(cache); }

static inline leveldb_env_t *leveldb_create_default_env(void) {
    return AIDB_LEVELDB_CAST(leveldb_env_t *, aidb_leveldb_new(sizeof(leveldb_env_t)));
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
    return aidb_leveldb_join(directory, "", "");
}

#ifdef __cplusplus
}
#endif

#endif /* AIDB_LEVELDB_H */
