/* Makes as many handles as there is memory for: test_no_memory DIRECTORY
 *
 * Under a memory limit the program makes handles of each kind until a call fails. The failure must be an error, never
 * the end of the process. Without the limit the same call succeeds, and all the other handles still work.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "aidb.h"
#include "check.h"

/* The limit for each kind. No handle takes as little as 32 bytes. */
#define LIMIT (48UL << 20)
#define MOST (LIMIT / 32)

enum kind {
    OPTIONS, BATCH, SNAPSHOT, ITERATOR, PINNED, PUT_BATCH, ITERATOR_IN_USE, TRANSACTION, TRANSACTION_IN_USE, ERROR, KINDS
};

static const char *const names[KINDS] = {"options", "batches", "snapshots", "iterators", "pinned values",
                                         "batches with a put", "iterators in use", "transactions", "transactions in use",
                                         "errors"};
static void *made[MOST];
static aidb_db *db;

/* NULL stands for a status without further information. */
static aidb_status make(enum kind kind, void **place) {
    aidb_status status = AIDB_OUT_OF_MEMORY;
    *place = NULL;
    switch (kind) {
    case OPTIONS: *place = aidb_options_new(); break;
    case BATCH:
    case PUT_BATCH: *place = aidb_batch_new(); break;
    case SNAPSHOT: status = aidb_snapshot_create(db, (aidb_snapshot **)place, NULL); break;
    case ITERATOR:
    case ITERATOR_IN_USE: status = aidb_iter_create(db, NULL, (aidb_iterator **)place, NULL); break;
    case PINNED: status = aidb_get_pinned(db, "key", 3, NULL, (aidb_pinned **)place, NULL); break;
    case TRANSACTION:
    case TRANSACTION_IN_USE: status = aidb_transaction_begin(db, NULL, (aidb_transaction **)place, NULL); break;
    default: aidb_options_set(NULL, "name", "value", (aidb_error **)place);
    }
    if (kind == PUT_BATCH && *place != NULL) {
        return aidb_batch_put(*place, "key", 3, "value", 5, NULL);
    }
    if (kind == ITERATOR_IN_USE && *place != NULL) {
        return aidb_iter_first(*place, NULL);
    }
    if (kind == TRANSACTION_IN_USE && *place != NULL) {
        status = aidb_transaction_contains(*place, "key", 3, NULL);
        return status == AIDB_OK ? aidb_transaction_put(*place, "key", 3, "value", 5, NULL) : status;
    }
    return *place != NULL ? AIDB_OK : status;
}

static void end(enum kind kind, void *handle) {
    switch (kind) {
    case OPTIONS: aidb_options_free(handle); break;
    case BATCH:
    case PUT_BATCH: aidb_batch_free(handle); break;
    case SNAPSHOT: aidb_snapshot_release(handle); break;
    case ITERATOR:
    case ITERATOR_IN_USE: aidb_iter_free(handle); break;
    case TRANSACTION:
    case TRANSACTION_IN_USE: aidb_transaction_free(handle); break;
    case PINNED: aidb_pinned_free(handle); break;
    default: aidb_error_free(handle);
    }
}

/* Bytes of address space that the process uses, or 0. */
static unsigned long taken(void) {
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL) {
        return 0;
    }
    if (fscanf(file, "%lu", &pages) != 1) {
        pages = 0;
    }
    fclose(file);
    return pages * (unsigned long)sysconf(_SC_PAGESIZE);
}

static void make_as_many_as_there_is_memory_for(enum kind kind) {
    struct rlimit limit = {RLIM_INFINITY, RLIM_INFINITY};
    aidb_status status = AIDB_OK;
    unsigned long count = 0, number;
    void *again;
    limit.rlim_cur = taken() + LIMIT;
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    while (count < MOST && (status = make(kind, &made[count])) == AIDB_OK) {
        count++;
    }
    limit.rlim_cur = RLIM_INFINITY;
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    printf("%lu %s\n", count, names[kind]);
    /* With fewer handles something else would have reached the limit. */
    CHECK(count > 1000);
    CHECK(count < MOST && status == AIDB_OUT_OF_MEMORY);
    if (count < MOST && made[count] != NULL) {
        end(kind, made[count]);
    }
    CHECK(make(kind, &again) == AIDB_OK);
    end(kind, again);
    for (number = 0; number < count; number++) {
        end(kind, made[number]);
    }
    CHECK(aidb_put(db, "key", 3, "value", 5, NULL, NULL) == AIDB_OK);
}

int main(int argc, char **argv) {
    int kind;
    if (argc != 2 || aidb_open(argv[1], NULL, &db, NULL) != AIDB_OK) {
        return 2;
    }
    CHECK(aidb_put(db, "key", 3, "value", 5, NULL, NULL) == AIDB_OK);
    if (taken() == 0) {
        printf("this system does not report the memory of a process: not run\n");
    } else {
        for (kind = OPTIONS; kind < KINDS; kind++) {
            make_as_many_as_there_is_memory_for((enum kind)kind);
        }
    }
    CHECK(aidb_close(db, NULL) == AIDB_OK);
    return REPORT();
}
