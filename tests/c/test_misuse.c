/* Every way to call the C API wrongly: test_misuse DIRECTORY
 *
 * The functions and their arguments come from aidb.h itself (misuse.py), so none can be forgotten. Each is called with
 * arguments that are right but for one, which is NULL, no handle, a closed one, one of another kind, a length that no
 * memory has, or a structure that was never set. The answer is a code of the table, and an error object exactly if it
 * is an error; what the program must not see is a crash, a leak, or a closed handle that works.
 *
 * AIDB_MISUSE_ROUNDS: how often to close a database that others use (1000).
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
    /* Handles, first. */
    DB, OPTIONS, BATCH, SNAPSHOT, ITERATOR, PINNED, ERROR, HANDLES,
    TEXT, BYTES, KEYS, LENGTHS, PLACES, ENTRIES, SPACE, LENGTH, NUMBER,
    WRITE_OPTIONS, READ_OPTIONS, ITER_OPTIONS,
    BUFFER_OUT, DB_OUT, SNAPSHOT_OUT, ITERATOR_OUT, PINNED_OUT, ERROR_OUT,
    ON_PROGRESS, ON_PUT, ON_DELETE
};

#define NO_STATUS (-1)
#define MOST_ARGUMENTS 10

union value {
    void *pointer;
    size_t length;
    aidb_progress_callback on_progress;
    aidb_batch_put_callback on_put;
    aidb_batch_delete_callback on_delete;
};

struct function {
    const char *name;
    int (*call)(const union value *values);
    enum kind kinds[MOST_ARGUMENTS];
};

#include "misuse_calls.h"

static const char *path;
/* More than the longest key; nobody writes to it, so it takes no memory. */
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
    /* The database first: everything else outlives it. */
    for (kind = DB; kind < HANDLES; kind++) {
        end(kind, live[kind]);
        end(kind, live[kind]);
    }
}

/* What results are put into. */
static struct {
    aidb_error *error;
    void *places[MOST_ARGUMENTS][4];
    aidb_entry entries[4];
    char space[64];
    const void *keys[3];
    size_t key_lens[3];
    aidb_write_options write_options;
    aidb_read_options read_options;
    aidb_iter_options iter_options;
    size_t wrong_struct[16];
} at;

static union value right(enum kind kind, int index) {
    static const aidb_write_options write_options = AIDB_WRITE_OPTIONS_INIT;
    static const aidb_read_options read_options = AIDB_READ_OPTIONS_INIT;
    static const aidb_iter_options iter_options = AIDB_ITER_OPTIONS_INIT;
    union value value;
    int key;
    memset(&value, 0, sizeof value);
    switch (kind) {
    case DB: case OPTIONS: case BATCH: case SNAPSHOT: case ITERATOR: case PINNED: case ERROR:
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
    case READ_OPTIONS:
        at.read_options = read_options;
        value.pointer = &at.read_options;
        break;
    case ITER_OPTIONS:
        at.iter_options = iter_options;
        value.pointer = &at.iter_options;
        break;
    case ERROR_OUT: value.pointer = &at.error; break;
    case ON_PROGRESS: value.on_progress = on_progress; break;
    case ON_PUT: value.on_put = on_put; break;
    case ON_DELETE: value.on_delete = on_delete; break;
    default: value.pointer = at.places[index];
    }
    return value;
}

/* Calls `function` with argument `index` as it is in `values`; the status. */
static int call(const struct function *function, const union value *values) {
    int index, status;
    memset(at.places, 0, sizeof at.places);
    at.error = NULL;
    status = function->call(values);
    if (status != NO_STATUS) {
        int failed = status != AIDB_OK && status != AIDB_NOT_FOUND;
        CHECK(status >= AIDB_OK && status <= AIDB_NO_SPACE);
        if (!CHECK(status != AIDB_INTERNAL)) {
            fprintf(stderr, "    %s: %s\n", function->name, aidb_error_message(at.error));
        }
        for (index = 0; function->kinds[index] != END; index++) {
            void *out = at.places[index][0];
            if (function->kinds[index] == ERROR_OUT && values[index].pointer != NULL) {
                CHECK(failed == (at.error != NULL));
            }
            if (status != AIDB_OK) continue;
            switch (function->kinds[index]) {
            case BUFFER_OUT: aidb_free(out); break;
            case DB_OUT: end(DB, out); break;
            case SNAPSHOT_OUT: end(SNAPSHOT, out); break;
            case ITERATOR_OUT: end(ITERATOR, out); break;
            case PINNED_OUT: end(PINNED, out); break;
            default: break;
            }
        }
    }
    aidb_error_free(at.error);
    return status;
}

/* Calls `function` with the right arguments but for `index`, which is `wrong`. */
static int misuse(const struct function *function, int index, union value wrong) {
    union value values[MOST_ARGUMENTS];
    int other, status;
    memset(values, 0, sizeof values);
    for (other = 0; function->kinds[other] != END; other++) {
        values[other] = right(function->kinds[other], other);
    }
    values[index] = wrong;
    status = call(function, values);
    if (function->kinds[0] == DB && aidb_is_closed(live[DB])) {
        /* It was a close with everything that matters right. */
        end_all();
        make_all();
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
        /* Its answer is the code of the error it is asked for. */
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
    /* Of a later version, whose further fields are not used, and are. */
    at.wrong_struct[0] = sizeof at.wrong_struct;
    misuse(function, index, wrong);
    at.wrong_struct[15] = 1;
    CHECK(misuse(function, index, wrong) == AIDB_UNSUPPORTED);
    at.wrong_struct[15] = 0;
    if (kind != WRITE_OPTIONS) {
        at.wrong_struct[1] = (size_t)live[BATCH];
        CHECK(misuse(function, index, wrong) == AIDB_INVALID_ARGUMENT);
        at.wrong_struct[1] = (size_t)closed[SNAPSHOT];
        CHECK(misuse(function, index, wrong) == AIDB_CLOSED);
        at.wrong_struct[1] = 0;
    }
    if (kind == ITER_OPTIONS) {
        /* Bounds and a prefix that are NULL and have a length. */
        for (each = 3; each <= 7; each += 2) {
            at.wrong_struct[each] = 5;
            CHECK(misuse(function, index, wrong) == AIDB_INVALID_ARGUMENT);
            at.wrong_struct[each] = 0;
        }
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
                /* A count of things: there are three of them, and room for four. */
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
                if (kind >= WRITE_OPTIONS && kind <= ITER_OPTIONS) misuse_struct(function, index, kind);
            }
        }
    }
    printf("%d arguments of %d functions\n", calls, (int)(sizeof functions / sizeof *functions));
    CHECK(calls > 150);
}

/* Lengths beyond the limits are refused before a byte is read or copied. */
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

/* Key and value in one buffer; a batch behind itself; results over one another. */
static void overlapping(void) {
    char text[] = "abcdefgh";
    char *value = NULL;
    size_t len = 0;
    aidb_batch *batch = aidb_batch_new();
    CHECK(aidb_put(live[DB], text, 6, text + 2, 6, NULL, NULL) == AIDB_OK);
    CHECK(aidb_get(live[DB], text, 6, NULL, &value, &len, NULL) == AIDB_OK);
    CHECK(len == 6 && memcmp(value, "cdefgh", 6) == 0);
    aidb_free(value);
    CHECK(aidb_batch_put(batch, text, 8, text, 8, NULL) == AIDB_OK);
    CHECK(aidb_batch_append(batch, batch, NULL) != AIDB_INTERNAL);
    CHECK(aidb_write(live[DB], batch, NULL, NULL) == AIDB_OK);
    aidb_batch_free(batch);
    CHECK(aidb_delete(live[DB], text, 6, NULL, NULL) == AIDB_OK);
    CHECK(aidb_delete(live[DB], text, 8, NULL, NULL) == AIDB_OK);
}

static int32_t close_meanwhile(void *context, uint64_t done, uint64_t total) {
    (void)done, (void)total;
    CHECK(aidb_put(live[DB], "again", 5, "", 0, NULL, NULL) == AIDB_OK);
    aidb_close(live[DB], NULL);
    *(int *)context += 1;
    return 0;
}

static void write_meanwhile(void *context, const char *key, size_t key_len, const char *value, size_t value_len) {
    /* The batch is being walked: it may be read, and not changed under the walk. */
    (void)aidb_batch_count(context);
    CHECK(aidb_put(live[DB], key, key_len, value, value_len, NULL, NULL) == AIDB_OK);
}

/* Callbacks call back: into the batch that is walked, and close the database that is verified. */
static void callbacks_that_call_back(void) {
    int calls = 0;
    char *report = NULL;
    bool is_ok = true;
    aidb_status status;
    CHECK(aidb_batch_iterate(live[BATCH], live[BATCH], write_meanwhile, on_delete, NULL) == AIDB_OK);
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

static void never_delete(void *context, const char *key, size_t key_len) {
    (void)key, (void)key_len;
    *(int *)context += 1;
}

/* Callbacks that never come, for want of anything to tell, and one that does not come back: nobody waits for it. */
static void callbacks_that_never_come(void) {
    int calls = 0;
    bool is_ok = false;
    char *report = NULL;
    pthread_t thread;
    aidb_batch *batch = aidb_batch_new();
    CHECK(aidb_batch_iterate(batch, &calls, never_put, never_delete, NULL) == AIDB_OK);
    CHECK(aidb_batch_iterate(closed[BATCH], &calls, never_put, never_delete, NULL) == AIDB_CLOSED);
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

/* Uses the database until it is closed under its hands. */
static void *use(void *argument) {
    const int way = (int)(size_t)argument;
    char key[2] = {'k', 0};
    aidb_status status = AIDB_OK;
    while (status != AIDB_CLOSED) {
        aidb_iterator *iterator = NULL;
        aidb_pinned *pinned = NULL;
        key[1]++;
        switch (way) {
        case 0: status = aidb_put(shared, key, 2, key, 2, NULL, NULL); break;
        case 1:
            status = aidb_get_pinned(shared, key, 2, NULL, &pinned, NULL);
            if (status == AIDB_OK) CHECK(aidb_pinned_len(pinned) == 2);
            aidb_pinned_free(pinned);
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

/* One closes, or two, while others write, read and iterate: they end with Closed, and what was written is there. */
static void close_under_use(int rounds) {
    int round, way;
    for (round = 0; round < rounds; round++) {
        pthread_t threads[3];
        size_t count = 0;
        char *text = NULL;
        shared = make(DB);
        for (way = 0; way < 3; way++) {
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
        for (way = 0; way < 3; way++) pthread_join(threads[way], NULL);
    }
}

int main(int argc, char **argv) {
    const char *rounds = getenv("AIDB_MISUSE_ROUNDS");
    if (argc != 2) return 2;
    path = argv[1];
    bytes = calloc(BYTES_LEN, 1);
    make_all();
    misuse_everything();
    too_long();
    overlapping();
    callbacks_that_call_back();
    callbacks_that_never_come();
    end_all();
    close_under_use(rounds ? atoi(rounds) : 1000);
    CHECK(aidb_destroy(path, NULL, NULL) == AIDB_OK);
    free(bytes);
    return REPORT();
}
