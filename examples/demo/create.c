/*
 * Step 1 of the demo: creates the database and indexes the files of a list, one batch per file.
 *
 *     create DATABASE ROOT LIST
 *
 * README.md beside this file has the rules for words and keys.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "aidb.h"

enum { SHORTEST = 2, LONGEST = 64, PATH_BYTES = 4096 };

typedef struct {
    const char *start;
    size_t length;
} word;

static void fail(const char *what, const char *detail) {
    fprintf(stderr, "create: %s: %s\n", what, detail);
    exit(1);
}

/* Takes the error's place, not its value: a compiler may evaluate the call and the value in any order as arguments. */
static void check(aidb_status status, aidb_error **error, const char *what) {
    if (status != AIDB_OK) {
        fail(what, *error != NULL ? aidb_error_message(*error) : "no reason given");
    }
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void *allocate(void *old, size_t bytes) {
    void *memory = realloc(old, bytes > 0 ? bytes : 1);
    if (memory == NULL) {
        fail("memory", "none is left");
    }
    return memory;
}

/* The bytes of a file; the caller frees them. */
static char *read_file(const char *path, size_t *length_out) {
    FILE *file = fopen(path, "rb");
    char *bytes = NULL;
    size_t length = 0, space = 0, got;
    if (file == NULL) {
        fail("cannot open", path);
    }
    do {
        if (length == space) {
            space = space * 2 + 65536;
            bytes = allocate(bytes, space);
        }
        got = fread(bytes + length, 1, space - length, file);
        length += got;
    } while (got > 0);
    if (ferror(file)) {
        fail("cannot read", path);
    }
    fclose(file);
    *length_out = length;
    return bytes;
}

static int starts_word(int c) { return (c >= 'a' && c <= 'z') || c == '_'; }

static int goes_on(int c) { return starts_word(c) || (c >= '0' && c <= '9'); }

/* Turns the text to lower case and finds its words. Returns how many there are. */
static size_t find_words(char *text, size_t length, word **words, size_t *space) {
    size_t at, count = 0;
    for (at = 0; at < length; at++) {
        if (text[at] >= 'A' && text[at] <= 'Z') {
            text[at] = (char)(text[at] - 'A' + 'a');
        }
    }
    at = 0;
    while (at < length) {
        size_t start = at++;
        if (!starts_word(text[start])) {
            continue;
        }
        while (at < length && goes_on(text[at])) {
            at++;
        }
        if (at - start < SHORTEST || at - start > LONGEST) {
            continue;
        }
        if (count == *space) {
            *space = *space * 2 + 4096;
            *words = allocate(*words, *space * sizeof **words);
        }
        (*words)[count].start = text + start;
        (*words)[count].length = at - start;
        count++;
    }
    return count;
}

static int by_text(const void *left, const void *right) {
    const word *a = left, *b = right;
    size_t shorter = a->length < b->length ? a->length : b->length;
    int order = memcmp(a->start, b->start, shorter);
    return order != 0 ? order : (a->length > b->length) - (a->length < b->length);
}

/* Adds "name 0x00 path -> number" to the batch. */
static void add(aidb_batch *batch, const char *name, size_t name_length, const char *path, size_t number) {
    char key[LONGEST + 1 + PATH_BYTES], value[32];
    size_t path_length = strlen(path);
    aidb_error *error = NULL;
    int digits = sprintf(value, "%lu", (unsigned long)number);
    if (name_length > 0) {
        memcpy(key, name, name_length);
    }
    key[name_length] = '\0';
    memcpy(key + name_length + 1, path, path_length);
    check(aidb_batch_put(batch, key, name_length + 1 + path_length, value, (size_t)digits, &error), &error, "batch");
}

/* Fills the batch with the index of one file. Returns how many entries it has. */
static size_t index_file(aidb_batch *batch, const char *root, const char *path) {
    static word *words = NULL;
    static size_t space = 0;
    char full[2 * PATH_BYTES];
    size_t length, count, at, run, entries = 1;
    char *text;
    sprintf(full, "%.4095s/%.4000s", root, path);
    text = read_file(full, &length);
    count = find_words(text, length, &words, &space);
    add(batch, NULL, 0, path, count);
    if (count > 0) {
        qsort(words, count, sizeof *words, by_text);
    }
    for (at = 0; at < count; at += run, entries++) {
        run = 1;
        while (at + run < count && by_text(&words[at], &words[at + run]) == 0) {
            run++;
        }
        add(batch, words[at].start, words[at].length, path, run);
    }
    free(text);
    return entries;
}

/* A bar on a terminal, nothing elsewhere. */
static void progress(size_t done, size_t all) {
    size_t at, full = all > 0 ? done * 40 / all : 40;
    if (!isatty(2)) {
        return;
    }
    fprintf(stderr, "\r  [");
    for (at = 0; at < 40; at++) {
        fputc(at < full ? '#' : ' ', stderr);
    }
    fprintf(stderr, "] %lu of %lu files%s", (unsigned long)done, (unsigned long)all, done == all ? "\n" : "");
}

int main(int argc, char **argv) {
    char *list, *line, path[PATH_BYTES];
    size_t length, at, files = 0, done = 0, entries = 0;
    double started = seconds(), spent;
    aidb_options *options = aidb_options_new();
    aidb_error *error = NULL;
    aidb_db *db = NULL;
    aidb_batch *batch = aidb_batch_new();
    if (argc != 4) {
        fail("usage", "create DATABASE ROOT LIST");
    }
    check(aidb_options_set(options, "error_if_exists", "true", &error), &error, "options");
    check(aidb_open(argv[1], options, &db, &error), &error, "open");
    aidb_options_free(options);
    list = read_file(argv[3], &length);
    for (at = 0; at < length; at++) {
        files += list[at] == '\n';
    }
    for (line = list; line < list + length; line += strlen(path) + 1) {
        size_t end = 0;
        while (line + end < list + length && line[end] != '\n') {
            end++;
        }
        if (end >= sizeof path) {
            fail("path too long", "in the list");
        }
        memcpy(path, line, end);
        path[end] = '\0';
        entries += index_file(batch, argv[2], path);
        check(aidb_write(db, batch, NULL, &error), &error, "write");
        check(aidb_batch_clear(batch, &error), &error, "clear");
        progress(++done, files);
    }
    aidb_batch_free(batch);
    check(aidb_close(db, &error), &error, "close");
    free(list);
    spent = seconds() - started;
    printf("C:      created the database from %lu files: %lu entries in %.1f s (%.0f entries/s)\n",
           (unsigned long)done, (unsigned long)entries, spent, (double)entries / spent);
    return 0;
}
