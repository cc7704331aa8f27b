/* Children made by fork, each with a database of its own: test_fork DIRECTORY
 *
 * A parent has a database open, first idle and then under the load of several threads, and forks again and again. Each
 * child finds its parent's handles closed (HANDLE-5) and frees them, before or after it opens a database of its own. It
 * writes, reads, flushes, compacts and closes that, with two threads. A child fails if it crashes, or if an alarm has
 * to end it.
 *
 * AIDB_FORKS: how many children of an idle parent, and how many of one under load (150 each).
 * AIDB_FORK_WRITES: how many writes the child makes whose memory is measured (1000000).
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "aidb.h"
#include "check.h"

/* A child that takes this many seconds hangs. */
#define LONGEST 120
#define ENTRIES 300

struct parent {
    const char *path;
    aidb_db *db;
    aidb_snapshot *snapshot;
    /* One that no other thread uses, and one that a thread under load uses all the time. */
    aidb_iterator *iterator, *busy_iterator;
    aidb_batch *busy_batch;
    aidb_transaction *transaction, *busy_transaction;
};

static aidb_options *small_options;
static volatile int stop;
/* Protected by `counting`. */
static unsigned long written, walked;
static pthread_mutex_t counting = PTHREAD_MUTEX_INITIALIZER;

static unsigned long number_from(const char *variable, unsigned long otherwise) {
    const char *text = getenv(variable);
    return text != NULL ? strtoul(text, NULL, 10) : otherwise;
}

static unsigned long count(unsigned long *counter, unsigned long more) {
    unsigned long now;
    pthread_mutex_lock(&counting);
    now = *counter += more;
    pthread_mutex_unlock(&counting);
    return now;
}

/* ---- The child. It returns the line of the first check that fails. ---- */

#define MUST(fact) \
    do { \
        if (!(fact)) return __LINE__; \
    } while (0)

static int parents_handles_are_closed(const struct parent *parent) {
    aidb_db *db = NULL;
    aidb_snapshot *snapshot = NULL;
    aidb_iterator *iterator = NULL;
    aidb_transaction *transaction = NULL;
    char *value = NULL;
    size_t len = 0;
    uint64_t savepoint = 0;
    aidb_status busy;
    MUST(aidb_put(parent->db, "k", 1, "v", 1, NULL, NULL) == AIDB_CLOSED);
    MUST(aidb_get(parent->db, "k", 1, NULL, &value, &len, NULL) == AIDB_CLOSED);
    MUST(aidb_snapshot_create(parent->db, &snapshot, NULL) == AIDB_CLOSED);
    MUST(aidb_iter_create(parent->db, NULL, &iterator, NULL) == AIDB_CLOSED);
    MUST(aidb_flush(parent->db, NULL) == AIDB_CLOSED);
    MUST(aidb_iter_first(parent->iterator, NULL) == AIDB_CLOSED);
    MUST(aidb_iter_next(parent->iterator, NULL) == AIDB_CLOSED);
    MUST(aidb_transaction_begin(parent->db, NULL, &transaction, NULL) == AIDB_CLOSED);
    MUST(aidb_transaction_get(parent->transaction, "k", 1, &value, &len, NULL) == AIDB_CLOSED);
    MUST(aidb_transaction_put(parent->transaction, "k", 1, "v", 1, NULL) == AIDB_CLOSED);
    MUST(aidb_transaction_savepoint(parent->transaction, &savepoint, NULL) == AIDB_CLOSED);
    MUST(aidb_transaction_commit(parent->transaction, NULL, NULL) == AIDB_CLOSED);
    MUST(aidb_transaction_rollback(parent->transaction, NULL) == AIDB_OK);
    /* A thread that the child does not have may have been using these. */
    MUST(aidb_iter_first(parent->busy_iterator, NULL) == AIDB_CLOSED);
    MUST(aidb_transaction_contains(parent->busy_transaction, "k", 1, NULL) == AIDB_CLOSED);
    busy = aidb_batch_put(parent->busy_batch, "k", 1, "v", 1, NULL);
    MUST(busy == AIDB_OK || busy == AIDB_CLOSED);
    /* The parent still has the lock. */
    MUST(aidb_open(parent->path, small_options, &db, NULL) == AIDB_LOCKED);
    return 0;
}

static void let_go(const struct parent *parent) {
    aidb_iter_free(parent->iterator);
    aidb_iter_free(parent->busy_iterator);
    aidb_batch_free(parent->busy_batch);
    aidb_snapshot_release(parent->snapshot);
    aidb_transaction_free(parent->transaction);
    aidb_transaction_free(parent->busy_transaction);
    aidb_close(parent->db, NULL);
}

struct writer {
    aidb_db *db;
    char name;
    int answer;
};

static int write_entries(const struct writer *writer) {
    char key[32], value[200];
    int number;
    memset(value, writer->name, sizeof value);
    for (number = 0; number < ENTRIES; number++) {
        size_t len = 0;
        char *found = NULL;
        snprintf(key, sizeof key, "%c%06d", writer->name, number);
        MUST(aidb_put(writer->db, key, 7, value, sizeof value, NULL, NULL) == AIDB_OK);
        MUST(aidb_get(writer->db, key, 7, NULL, &found, &len, NULL) == AIDB_OK);
        MUST(len == sizeof value && memcmp(found, value, len) == 0);
        aidb_free(found);
    }
    return 0;
}

static void *run_writer(void *given) {
    struct writer *writer = given;
    writer->answer = write_entries(writer);
    return NULL;
}

static int use_own(aidb_db *db) {
    struct writer writers[2] = {{NULL, 'a', 0}, {NULL, 'b', 0}};
    pthread_t threads[2];
    aidb_iterator *iterator = NULL;
    int at, entries = 0;
    for (at = 0; at < 2; at++) {
        writers[at].db = db;
        MUST(pthread_create(&threads[at], NULL, run_writer, &writers[at]) == 0);
    }
    for (at = 0; at < 2; at++) {
        MUST(pthread_join(threads[at], NULL) == 0);
        if (writers[at].answer != 0) return writers[at].answer;
    }
    MUST(aidb_flush(db, NULL) == AIDB_OK);
    MUST(aidb_delete(db, "a000000", 7, NULL, NULL) == AIDB_OK);
    MUST(aidb_compact_range(db, NULL, 0, NULL, 0, NULL) == AIDB_OK);
    MUST(aidb_iter_create(db, NULL, &iterator, NULL) == AIDB_OK);
    if (aidb_iter_first(iterator, NULL) == AIDB_OK) {
        do entries++;
        while (aidb_iter_next(iterator, NULL) == AIDB_OK);
    }
    aidb_iter_free(iterator);
    MUST(entries == 2 * ENTRIES - 1);
    return 0;
}

/* Waits for a child of this process. Returns whether it succeeded. */
static int ended_well(pid_t child, const char *what, unsigned long number) {
    int status = 0;
    if (waitpid(child, &status, 0) != child) return 0;
    if (WIFSIGNALED(status))
        fprintf(stderr, "%s, child %lu: %s\n", what, number,
                WTERMSIG(status) == SIGALRM ? "it hangs" : "a signal ended it");
    else if (status != 0)
        fprintf(stderr, "%s, child %lu: the check of line %d failed\n", what, number, WEXITSTATUS(status) + 64);
    return status == 0;
}

/* An exit status has eight bits, and the first 64 lines have no check. */
static void end(int line) {
    _exit(line == 0 ? 0 : line - 64);
}

static int live(const struct parent *parent, const char *own, unsigned long number) {
    aidb_db *db = NULL;
    int answer = parents_handles_are_closed(parent);
    if (answer != 0) return answer;
    if (number % 2 == 0) let_go(parent);
    MUST(aidb_open(own, small_options, &db, NULL) == AIDB_OK);
    if (number % 2 == 1) let_go(parent);
    answer = use_own(db);
    if (answer != 0) return answer;
    if (number % 10 == 0) {
        /* The same again, one generation further. */
        struct parent self = {NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL};
        char deeper[512];
        pid_t child;
        snprintf(deeper, sizeof deeper, "%s-deeper", own);
        self.path = own;
        self.db = db;
        self.busy_batch = aidb_batch_new();
        MUST(aidb_snapshot_create(db, &self.snapshot, NULL) == AIDB_OK);
        MUST(aidb_iter_create(db, NULL, &self.iterator, NULL) == AIDB_OK);
        MUST(aidb_iter_create(db, NULL, &self.busy_iterator, NULL) == AIDB_OK);
        MUST(aidb_transaction_begin(db, NULL, &self.transaction, NULL) == AIDB_OK);
        MUST(aidb_transaction_begin(db, NULL, &self.busy_transaction, NULL) == AIDB_OK);
        child = fork();
        MUST(child >= 0);
        if (child == 0) {
            alarm(LONGEST);
            end(live(&self, deeper, 1));
        }
        MUST(ended_well(child, "a child's child", number));
        aidb_iter_free(self.iterator);
        aidb_iter_free(self.busy_iterator);
        aidb_snapshot_release(self.snapshot);
        aidb_batch_free(self.busy_batch);
        aidb_transaction_free(self.transaction);
        aidb_transaction_free(self.busy_transaction);
        answer = use_own(db);
        if (answer != 0) return answer;
    }
    MUST(aidb_close(db, NULL) == AIDB_OK);
    MUST(aidb_destroy(own, NULL, NULL) == AIDB_OK);
    return 0;
}

/* ---- The memory of a child that runs for long. ---- */

static long resident_kib(void) {
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL) return -1;
    if (fscanf(file, "%*d %ld", &pages) != 1) pages = -1;
    fclose(file);
    return pages < 0 ? -1 : pages * (sysconf(_SC_PAGESIZE) / 1024);
}

/* How much memory may grow after a tenth of the writes, when every buffer has been in use and all keys exist. */
#define MAX_MORE_KIB (8 << 10)

static int write_long(const char *own, unsigned long writes) {
    aidb_db *db = NULL;
    aidb_options *options = aidb_options_new();
    char value[100];
    unsigned long number;
    long early = 0;
    memset(value, 'v', sizeof value);
    MUST(aidb_options_set(options, "write_buffer_size", "1MiB", NULL) == AIDB_OK);
    MUST(aidb_options_set(options, "target_file_size", "1MiB", NULL) == AIDB_OK);
    MUST(aidb_open(own, options, &db, NULL) == AIDB_OK);
    aidb_options_free(options);
    for (number = 0; number < writes; number++) {
        unsigned long key = number % (writes / 10 + 1) * 2654435761UL;
        MUST(aidb_put(db, &key, sizeof key, value, sizeof value, NULL, NULL) == AIDB_OK);
        if (number == writes / 10) early = resident_kib();
    }
#if defined(__SANITIZE_ADDRESS__) || defined(SANITIZED_LIBRARY)
    (void)early; /* A sanitizer keeps freed memory, to detect later uses. */
#else
    MUST(resident_kib() <= early + MAX_MORE_KIB);
#endif
    MUST(aidb_close(db, NULL) == AIDB_OK);
    MUST(aidb_destroy(own, NULL, NULL) == AIDB_OK);
    return 0;
}

/* ---- The parent's load. ---- */

static void *write_all_the_time(void *given) {
    const struct parent *parent = given;
    static int names;
    char key[32], value[100];
    unsigned long number, name;
    pthread_mutex_lock(&counting);
    name = names++;
    pthread_mutex_unlock(&counting);
    memset(value, 'p', sizeof value);
    for (number = 0; !stop; number++) {
        snprintf(key, sizeof key, "w%lu-%08lu", name, number);
        if (!CHECK(aidb_put(parent->db, key, strlen(key), value, sizeof value, NULL, NULL) == AIDB_OK)) break;
        count(&written, 1);
    }
    return NULL;
}

static void *read_all_the_time(void *given) {
    const struct parent *parent = given;
    while (!stop) {
        aidb_iterator *iterator = NULL;
        size_t len = 0;
        int steps = 0;
        char *value = NULL;
        if (!CHECK(aidb_iter_create(parent->db, NULL, &iterator, NULL) == AIDB_OK)) break;
        if (aidb_iter_first(iterator, NULL) == AIDB_OK)
            while (++steps < 500 && aidb_iter_next(iterator, NULL) == AIDB_OK) continue;
        aidb_iter_free(iterator);
        CHECK(aidb_get(parent->db, "first", 5, NULL, &value, &len, NULL) == AIDB_OK);
        aidb_free(value);
        count(&walked, 1);
    }
    return NULL;
}

static void *use_all_the_time(void *given) {
    const struct parent *parent = given;
    while (!stop) {
        aidb_iter_first(parent->busy_iterator, NULL);
        while (!stop && aidb_iter_next(parent->busy_iterator, NULL) == AIDB_OK) {
            aidb_batch_put(parent->busy_batch, "key", 3, "value", 5, NULL);
            if (aidb_batch_count(parent->busy_batch) > 100) aidb_batch_clear(parent->busy_batch, NULL);
            aidb_transaction_put(parent->busy_transaction, "key", 3, "value", 5, NULL);
            aidb_transaction_contains(parent->busy_transaction, "first", 5, NULL);
        }
    }
    return NULL;
}

static int32_t take_first(void *context, aidb_transaction *transaction, aidb_error **error) {
    (void)context;
    return aidb_transaction_contains(transaction, "first", 5, error) == AIDB_OK
        ? (int32_t)aidb_transaction_put(transaction, "taken", 5, "value", 5, error)
        : (int32_t)AIDB_INTERNAL;
}

static void *commit_all_the_time(void *given) {
    const struct parent *parent = given;
    while (!stop) {
        if (!CHECK(aidb_run_transaction(parent->db, UINT32_MAX, NULL, take_first, NULL, NULL) == AIDB_OK)) break;
    }
    return NULL;
}

static void *change_all_the_time(void *given) {
    const struct parent *parent = given;
    char other[512];
    snprintf(other, sizeof other, "%s-other", parent->path);
    while (!stop) {
        aidb_snapshot *snapshot = NULL;
        aidb_db *db = NULL;
        CHECK(aidb_snapshot_create(parent->db, &snapshot, NULL) == AIDB_OK);
        CHECK(aidb_flush(parent->db, NULL) == AIDB_OK);
        aidb_snapshot_release(snapshot);
        CHECK(aidb_open(other, small_options, &db, NULL) == AIDB_OK);
        CHECK(aidb_close(db, NULL) == AIDB_OK);
    }
    CHECK(aidb_destroy(other, NULL, NULL) == AIDB_OK);
    return NULL;
}

static unsigned long fork_children(const struct parent *parent, const char *what, unsigned long children, int loaded) {
    unsigned long number, well = 0;
    char own[512];
    for (number = 0; number < children; number++) {
        unsigned long before = count(&written, 0);
        pid_t child;
        /* Waits for a write since the last fork, so that each fork finds the writers at work. */
        while (loaded && count(&written, 0) == before) sched_yield();
        snprintf(own, sizeof own, "%s-child", parent->path);
        child = fork();
        if (!CHECK(child >= 0)) break;
        if (child == 0) {
            alarm(LONGEST);
            end(live(parent, own, number));
        }
        well += CHECK(ended_well(child, what, number));
    }
    return well;
}

static pid_t fork_for_long(const struct parent *parent) {
    char own[512];
    pid_t child;
    snprintf(own, sizeof own, "%s-long", parent->path);
    child = fork();
    if (child == 0) {
        alarm(5 * LONGEST);
        end(write_long(own, number_from("AIDB_FORK_WRITES", 1000000)));
    }
    return child;
}

static void test_children_under_load(struct parent *parent, unsigned long children) {
    void *(*loads[])(void *) = {write_all_the_time, write_all_the_time, write_all_the_time, read_all_the_time,
                                read_all_the_time,  use_all_the_time,   commit_all_the_time, change_all_the_time};
    pthread_t threads[sizeof loads / sizeof *loads];
    size_t at;
    unsigned long entries = 0;
    aidb_iterator *iterator = NULL;
    pid_t child;
    for (at = 0; at < sizeof loads / sizeof *loads; at++)
        CHECK(pthread_create(&threads[at], NULL, loads[at], parent) == 0);
    CHECK(fork_children(parent, "under load", children, 1) == children);
    while (count(&walked, 0) == 0) sched_yield();
    /* The threads of the parent are in the middle of calls, and the child never sees those calls end. */
    child = fork_for_long(parent);
    stop = 1;
    for (at = 0; at < sizeof loads / sizeof *loads; at++) CHECK(pthread_join(threads[at], NULL) == 0);
    CHECK(child > 0 && ended_well(child, "many writes", 0));
    /* The children did not disturb the parent. */
    CHECK(aidb_iter_prefix(parent->db, "w", 1, &iterator, NULL) == AIDB_OK);
    if (aidb_iter_first(iterator, NULL) == AIDB_OK) {
        do entries++;
        while (aidb_iter_next(iterator, NULL) == AIDB_OK);
    }
    aidb_iter_free(iterator);
    CHECK(written > 0 && entries == written);
}

/* The content of LOCK: a child that writes or empties the file would change it. */
static void read_lock(const struct parent *parent, char *text, size_t room) {
    char path[512];
    size_t len = 0;
    FILE *file;
    snprintf(path, sizeof path, "%s/LOCK", parent->path);
    file = fopen(path, "r");
    if (file != NULL) {
        len = fread(text, 1, room - 1, file);
        fclose(file);
    }
    text[len] = 0;
}

int main(int argc, char **argv) {
    struct parent parent = {NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL};
    unsigned long children = number_from("AIDB_FORKS", 150);
    char memory[] = "/dev/shm/aidb-fork-XXXXXX", path[512], lock[256], lock_after[256];
    /* A thousand small databases: in memory, if the system has memory files. */
    char *place = mkdtemp(memory);
    if (argc != 2) return 2;
    if (place != NULL) {
        snprintf(path, sizeof path, "%s/db", place);
    } else {
        snprintf(path, sizeof path, "%s", argv[1]);
    }
    parent.path = path;
    small_options = aidb_options_new();
    CHECK(aidb_options_set(small_options, "write_buffer_size", "64KiB", NULL) == AIDB_OK);
    CHECK(aidb_options_set(small_options, "block_cache_size", "64KiB", NULL) == AIDB_OK);
    CHECK(aidb_open(parent.path, small_options, &parent.db, NULL) == AIDB_OK);
    CHECK(aidb_put(parent.db, "first", 5, "value", 5, NULL, NULL) == AIDB_OK);
    CHECK(aidb_snapshot_create(parent.db, &parent.snapshot, NULL) == AIDB_OK);
    CHECK(aidb_iter_create(parent.db, NULL, &parent.iterator, NULL) == AIDB_OK);
    CHECK(aidb_iter_create(parent.db, NULL, &parent.busy_iterator, NULL) == AIDB_OK);
    CHECK(aidb_transaction_begin(parent.db, NULL, &parent.transaction, NULL) == AIDB_OK);
    CHECK(aidb_transaction_put(parent.transaction, "never", 5, "value", 5, NULL) == AIDB_OK);
    CHECK(aidb_transaction_begin(parent.db, NULL, &parent.busy_transaction, NULL) == AIDB_OK);
    parent.busy_batch = aidb_batch_new();
    read_lock(&parent, lock, sizeof lock);

    CHECK(fork_children(&parent, "idle", children, 0) == children);
    test_children_under_load(&parent, children);

    read_lock(&parent, lock_after, sizeof lock_after);
    CHECK(strncmp(lock, "pid ", 4) == 0 && strcmp(lock, lock_after) == 0);
    let_go(&parent);
    aidb_options_free(small_options);
    CHECK(aidb_destroy(path, NULL, NULL) == AIDB_OK);
    if (place != NULL) CHECK(rmdir(place) == 0);
    return REPORT();
}
