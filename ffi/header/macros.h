
/* The version of this header; aidb_version() is the version of the library in use. */
#define AIDB_VERSION_MAJOR @MAJOR@
#define AIDB_VERSION_MINOR @MINOR@
#define AIDB_VERSION_PATCH @PATCH@
#define AIDB_VERSION "@VERSION@"

/* The defaults: aidb_write_options options = AIDB_WRITE_OPTIONS_INIT; */
#define AIDB_WRITE_OPTIONS_INIT { sizeof(aidb_write_options), 0, 0, NULL }
#define AIDB_READ_OPTIONS_INIT { sizeof(aidb_read_options), NULL, 1, 0 }
#define AIDB_COUNT_OPTIONS_INIT { sizeof(aidb_count_options), NULL, NULL, 0, 0, 0 }
#define AIDB_TRANSACTION_OPTIONS_INIT { sizeof(aidb_transaction_options), 0, 0 }
#define AIDB_ITER_OPTIONS_INIT \
  { sizeof(aidb_iter_options), NULL, NULL, 0, NULL, 0, NULL, 0, 0, 1, 1, 1 }
