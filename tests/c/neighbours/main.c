/* A program with functions of zstd's names, and another static Rust library: neighbours DIRECTORY
 *
 * AiDb must use its own zstd, and the program its own.
 */
#include <string.h>

#include <aidb.h>

#include "../check.h"

extern uint64_t neighbour_count(uint64_t count);

static int called;

/* AiDb calls these functions of its own zstd to compress, and to read back. */
size_t ZSTD_compressCCtx(void) { return (size_t)++called; }
size_t ZSTD_compress2(void) { return (size_t)++called; }
size_t ZSTD_decompressDCtx(void) { return (size_t)++called; }
size_t ZSTD_decompressStream(void) { return (size_t)++called; }
void *ZSTD_createCCtx(void) { return ++called, (void *)0; }
void *ZSTD_createDCtx(void) { return ++called, (void *)0; }
unsigned ZSTD_isError(size_t code) { return (void)code, (unsigned)++called; }

int main(int argc, char **argv) {
    char wanted[2000], *value = NULL;
    size_t length = 0;
    aidb_options *options = aidb_options_new();
    aidb_db *db = NULL;
    if (argc != 2) {
        fprintf(stderr, "usage: %s DIRECTORY\n", argv[0]);
        return 2;
    }
    memset(wanted, 'w', sizeof wanted);
    CHECK(aidb_options_set(options, "compression", "zstd", NULL) == AIDB_OK);
    CHECK(aidb_options_set(options, "block_cache_size", "0", NULL) == AIDB_OK);
    CHECK(aidb_open(argv[1], options, &db, NULL) == AIDB_OK);
    CHECK(aidb_put(db, "key", 3, wanted, sizeof wanted, NULL, NULL) == AIDB_OK);
    CHECK(neighbour_count(1000) == 1000);
    CHECK(aidb_flush(db, NULL) == AIDB_OK);
    CHECK(aidb_get(db, "key", 3, NULL, &value, &length, NULL) == AIDB_OK);
    CHECK(length == sizeof wanted && memcmp(value, wanted, length) == 0);
    aidb_free(value);
    CHECK(aidb_close(db, NULL) == AIDB_OK);
    aidb_options_free(options);
    CHECK(called == 0);
    return REPORT();
}
