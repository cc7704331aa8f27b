/* C's turn in the cross-language test; the rules are in README.md beside this file. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aidb.h"

static const size_t EDGES[] = {
#include "../data/edges.txt"
};
enum { ENTRIES = 200, BIG = 100000, MAX_EDGE = 262145, MAX_EDGES = sizeof EDGES / sizeof *EDGES };
enum { MOST = 256 * (ENTRIES + 3 + MAX_EDGES) };

typedef struct {
    unsigned char key[4];
    size_t key_len;
    unsigned char *value;
    size_t value_len;
} entry;

static int turn;

static void fail(const char *what) {
    fprintf(stderr, "turn %d: C: %s\n", turn, what);
    exit(1);
}

/* Takes the error's place, not its value: a compiler may evaluate the call and the value in any order as arguments. */
static void check(aidb_status status, aidb_error **error) {
    if (status != AIDB_OK) {
        fail(*error != NULL ? aidb_error_message(*error) : "a call failed without an error");
    }
}

static void add(entry *into, const unsigned char *key, size_t key_len, size_t value_len) {
    if (key_len > 0) {
        memcpy(into->key, key, key_len);
    }
    into->key_len = key_len;
    into->value_len = value_len;
    into->value = malloc(value_len + 1);
    if (into->value == NULL) {
        fail("out of memory");
    }
}

static void fill(entry *of, int number) {
    size_t at;
    for (at = 0; at < of->value_len; at++) {
        of->value[at] = (unsigned char)(((size_t)number + at) % 251);
    }
}

/* Appends the entries that the turn `number` writes, beside the deletes, to `entries`; if the next turn has run, without
 * those that it deletes. */
static size_t written(entry *entries, int number, int is_earlier) {
    size_t count = 0, at;
    unsigned char key[4];
    int index;
    for (index = 0; index < ENTRIES; index++) {
        if (is_earlier && (index == 5 || index >= 190)) {
            continue;
        }
        key[0] = (unsigned char)number;
        key[1] = (unsigned char)index;
        key[2] = 0x00;
        key[3] = 0xff;
        add(&entries[count], key, 4, (size_t)(7 * index % 50));
        for (at = 0; at < entries[count].value_len; at++) {
            entries[count].value[at] = (unsigned char)(31 * number + index + (int)at);
        }
        count++;
    }
    key[0] = key[1] = 0xff;
    key[2] = (unsigned char)number;
    add(&entries[count++], key, 3, 0);
    memcpy(key, "big", 3);
    key[3] = (unsigned char)number;
    add(&entries[count], key, 4, BIG);
    fill(&entries[count++], number);
    key[0] = (unsigned char)number;
    key[2] = 0x01;
    key[3] = 0xff;
    for (at = 0; at < MAX_EDGES && EDGES[at] <= MAX_EDGE; at++) {
        key[1] = (unsigned char)at;
        add(&entries[count], key, 4, EDGES[at]);
        fill(&entries[count++], number);
    }
    return count;
}

static int by_key(const void *left, const void *right) {
    const entry *a = left, *b = right;
    size_t shorter = a->key_len < b->key_len ? a->key_len : b->key_len;
    int order = memcmp(a->key, b->key, shorter);
    return order != 0 ? order : (a->key_len > b->key_len) - (a->key_len < b->key_len);
}

/* The entries after `turns` turns, in order. */
static size_t expected(entry *entries, int turns) {
    size_t count = 0;
    int number;
    for (number = 0; number < turns; number++) {
        count += written(entries + count, number, number + 1 < turns);
    }
    if (turns > 0) {
        add(&entries[count], NULL, 0, 1);
        entries[count++].value[0] = (unsigned char)(turns - 1);
    }
    qsort(entries, count, sizeof *entries, by_key);
    return count;
}

static void release(entry *entries, size_t count) {
    size_t at;
    for (at = 0; at < count; at++) {
        free(entries[at].value);
    }
    free(entries);
}

static void compare(aidb_db *db, aidb_snapshot *snapshot, const entry *entries, size_t count) {
    aidb_iter_options walk = AIDB_ITER_OPTIONS_INIT;
    aidb_read_options read = AIDB_READ_OPTIONS_INIT;
    aidb_iterator *iterator = NULL;
    aidb_error *error = NULL;
    size_t at;
    walk.snapshot = snapshot;
    read.snapshot = snapshot;
    check(aidb_iter_create(db, &walk, &iterator, &error), &error);
    for (at = 0; at < count; at++) {
        const entry *wanted = &entries[at];
        const char *key, *value;
        char *found = NULL;
        size_t key_len = 0, value_len = 0;
        check(at == 0 ? aidb_iter_first(iterator, &error) : aidb_iter_next(iterator, &error), &error);
        key = aidb_iter_key(iterator, &key_len);
        value = aidb_iter_value(iterator, &value_len);
        if (key_len != wanted->key_len || value_len != wanted->value_len ||
            (key_len > 0 && memcmp(key, wanted->key, key_len) != 0) ||
            (value_len > 0 && memcmp(value, wanted->value, value_len) != 0)) {
            fail("the iterator differs");
        }
        check(aidb_get(db, wanted->key, wanted->key_len, &read, &found, &value_len, &error), &error);
        if (value_len != wanted->value_len || memcmp(found, wanted->value, value_len) != 0) {
            fail("aidb_get differs");
        }
        aidb_free(found);
    }
    if ((count == 0 ? aidb_iter_first(iterator, &error) : aidb_iter_next(iterator, &error)) != AIDB_NOT_FOUND) {
        fail("there are more entries than there should be");
    }
    aidb_iter_free(iterator);
}

int main(int argc, char **argv) {
    aidb_db *db = NULL;
    aidb_snapshot *snapshot = NULL;
    aidb_error *error = NULL;
    aidb_batch *batch = aidb_batch_new();
    aidb_write_options options = AIDB_WRITE_OPTIONS_INIT;
    uint64_t own_entries = 0, first, last = 0;
    unsigned char prefix[1];
    entry *before = calloc(MOST, sizeof *before);
    entry *now = calloc(MOST, sizeof *now);
    size_t count_before, count_now, at;
    if (argc != 3 || before == NULL || now == NULL) {
        fail("usage: cross DIRECTORY TURN");
    }
    turn = atoi(argv[2]);
    check(aidb_open(argv[1], NULL, &db, &error), &error);
    count_before = expected(before, turn);
    count_now = expected(now, turn + 1);
    compare(db, NULL, before, count_before);
    check(aidb_snapshot_create(db, &snapshot, &error), &error);
    prefix[0] = (unsigned char)turn;
    check(aidb_batch_delete_prefix(batch, prefix, sizeof prefix, &error), &error);
    for (at = 0; at < count_now; at++) {
        const entry *mine = &now[at];
        int own = mine->key_len == 0 || mine->key[mine->key_len == 4 && mine->key[2] <= 1 ? 0 : mine->key_len - 1] == turn;
        if (own) {
            check(aidb_batch_put(batch, mine->key, mine->key_len, mine->value, mine->value_len, &error), &error);
            own_entries++;
        }
    }
    if (turn > 0) {
        unsigned char gone[4] = {0, 5, 0x00, 0xff}, start[4] = {0, 190, 0x00, 0xff}, end[4] = {0, 200, 0x00, 0xff};
        gone[0] = start[0] = end[0] = (unsigned char)(turn - 1);
        check(aidb_batch_delete(batch, gone, sizeof gone, &error), &error);
        check(aidb_batch_delete_range(batch, start, sizeof start, end, sizeof end, &error), &error);
    }
    options.sequence_out = &last;
    check(aidb_write(db, batch, &options, &error), &error);
    first = aidb_snapshot_sequence(snapshot);
    /* Each turn wrote the same number of entries, and had one delete; all but the first turn had two more. */
    if (first != (uint64_t)turn * (own_entries + 1) + (turn > 1 ? 2 * ((uint64_t)turn - 1) : 0)) {
        fail("the snapshot's number is wrong");
    }
    if (last != first + own_entries + (turn > 0 ? 3 : 1)) {
        fail("the batch's number is wrong");
    }
    aidb_batch_free(batch);
    compare(db, snapshot, before, count_before);
    compare(db, NULL, now, count_now);
    aidb_snapshot_release(snapshot);
    check(aidb_close(db, &error), &error);
    printf("turn %d: C      read %lu entries and left %lu\n", turn, (unsigned long)count_before, (unsigned long)count_now);
    release(before, count_before);
    release(now, count_now);
    return 0;
}
