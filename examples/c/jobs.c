/* A job queue: several threads take jobs, and each job is taken once.
 *
 *     cc jobs.c $(pkg-config --cflags --libs aidb) -pthread -o jobs && ./jobs /tmp/jobs.db
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <aidb.h>

enum { WORKERS = 4, JOBS = 100 };

static aidb_db *db;

static aidb_status check(aidb_status status, aidb_error **error) {
    if (status != AIDB_OK && status != AIDB_NOT_FOUND) {
        fprintf(stderr, "%s\n", aidb_error_message(*error));
        exit(1);
    }
    return status;
}

struct worker {
    char job[64];
    int done;
};

/*
 * Takes the first job: reads it, removes it, and notes it in `worker`. Two workers may read the same job; only one of
 * them commits, and for the other this is called again. It reads no further than the first job, so that nobody who
 * adds or takes a later one disturbs it.
 */
static int32_t take(void *context, aidb_transaction *transaction, aidb_error **error) {
    struct worker *worker = context;
    aidb_iterator *iterator = NULL;
    aidb_iter_options options = AIDB_ITER_OPTIONS_INIT;
    options.prefix = "job/";
    options.prefix_len = 4;
    aidb_status status = aidb_transaction_iter_create(transaction, &options, &iterator, error);
    if (status == AIDB_OK) status = aidb_iter_next(iterator, error);
    if (status == AIDB_OK) {
        size_t key_len, value_len;
        const char *key = aidb_iter_key(iterator, &key_len);
        const char *value = aidb_iter_value(iterator, &value_len);
        snprintf(worker->job, sizeof worker->job, "%.*s", (int)value_len, value);
        status = aidb_transaction_delete(transaction, key, key_len, error);
    }
    aidb_iter_free(iterator);
    /* AIDB_NOT_FOUND, if there is no job, goes to the caller of aidb_run_transaction. */
    return status;
}

static void *work(void *context) {
    struct worker *worker = context;
    aidb_error *error = NULL;
    while (check(aidb_run_transaction(db, UINT32_MAX, NULL, take, worker, &error), &error) == AIDB_OK) {
        worker->done++;
    }
    return NULL;
}

int main(int argc, char **argv) {
    aidb_error *error = NULL;
    struct worker workers[WORKERS] = {{"", 0}};
    pthread_t threads[WORKERS];
    check(aidb_open(argc > 1 ? argv[1] : "jobs.db", NULL, &db, &error), &error);
    for (int job = 0; job < JOBS; job++) {
        char key[32];
        snprintf(key, sizeof key, "job/%06d", job);
        check(aidb_put(db, key, strlen(key), "sweep", 5, NULL, &error), &error);
    }
    for (int i = 0; i < WORKERS; i++) {
        if (pthread_create(&threads[i], NULL, work, &workers[i]) != 0) return 1;
    }
    int done = 0;
    for (int i = 0; i < WORKERS; i++) {
        pthread_join(threads[i], NULL);
        done += workers[i].done;
    }
    printf("%d workers did %d jobs\n", WORKERS, done);
    check(aidb_close(db, &error), &error);
    return done == JOBS ? 0 : 1;
}
