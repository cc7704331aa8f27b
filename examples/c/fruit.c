/* The first steps with AiDb: open, a batch, a get, a snapshot, a prefix scan, close.
 *
 *     cc fruit.c $(pkg-config --cflags --libs aidb) -o fruit && ./fruit /tmp/fruit.db
 */
#include <stdio.h>
#include <stdlib.h>

#include <aidb.h>

/*
 * Ends the program with the reason if a call failed. An absent key is not a failure. `error` points to the variable
 * that the call sets: C may read its value, as a second argument beside the call, before the call sets it.
 */
static aidb_status check(aidb_status status, aidb_error **error) {
    if (status != AIDB_OK && status != AIDB_NOT_FOUND) {
        fprintf(stderr, "%s\n", aidb_error_message(*error));
        exit(1);
    }
    return status;
}

int main(int argc, char **argv) {
    aidb_error *error = NULL;
    aidb_db *db = NULL;
    check(aidb_open(argc > 1 ? argv[1] : "fruit.db", NULL, &db, &error), &error);

    /* Both fruits appear together, or neither; with sync, also after power loss. */
    aidb_batch *batch = aidb_batch_new();
    aidb_write_options durable = AIDB_WRITE_OPTIONS_INIT;
    durable.sync = 1;
    check(aidb_batch_put(batch, "fruit:apple", 11, "red", 3, &error), &error);
    check(aidb_batch_put(batch, "fruit:banana", 12, "yellow", 6, &error), &error);
    check(aidb_write(db, batch, &durable, &error), &error);
    aidb_batch_free(batch);

    /* A snapshot keeps its view while the database changes. */
    aidb_snapshot *before = NULL;
    check(aidb_snapshot_create(db, &before, &error), &error);
    check(aidb_put(db, "fruit:apple", 11, "green", 5, NULL, &error), &error);

    char *colour = NULL;
    size_t length = 0;
    if (check(aidb_get(db, "fruit:apple", 11, NULL, &colour, &length, &error), &error) == AIDB_OK) {
        printf("apples are %.*s now\n", (int)length, colour);
        aidb_free(colour);
    }

    aidb_iter_options options = AIDB_ITER_OPTIONS_INIT;
    options.snapshot = before;
    options.prefix = "fruit:";
    options.prefix_len = 6;
    aidb_iterator *iterator = NULL;
    check(aidb_iter_create(db, &options, &iterator, &error), &error);
    while (check(aidb_iter_next(iterator, &error), &error) == AIDB_OK) {
        size_t key_len, value_len;
        const char *key = aidb_iter_key(iterator, &key_len);
        const char *value = aidb_iter_value(iterator, &value_len);
        printf("%.*s was %.*s\n", (int)key_len, key, (int)value_len, value);
    }
    aidb_iter_free(iterator);
    aidb_snapshot_release(before);

    /* One small write deletes all fruits up to the cherries, however many there are; NULL is no bound. */
    check(aidb_delete_range(db, NULL, 0, "fruit:c", 7, NULL, &error), &error);
    check(aidb_close(db, &error), &error);
    return 0;
}
