/* Shared by the test programs in C: calls that must return a certain status. The call passes &error.
 */
#ifndef CALLS_H
#define CALLS_H

#include <stdio.h>
#include <string.h>

#include "aidb.h"
#include "check.h"

/* A call that must succeed. */
#define OK(call)                                                                   \
    do {                                                                           \
        aidb_error *error = NULL;                                                  \
        aidb_status status = (call);                                               \
        if (!CHECK(status == AIDB_OK)) {                                           \
            fprintf(stderr, "    %s: %s\n", #call, aidb_error_message(error));     \
        }                                                                          \
        CHECK((status == AIDB_OK) == (error == NULL));                             \
        aidb_error_free(error);                                                    \
    } while (0)

/* A call that must fail with a status, and with an error object that holds some text. */
#define FAILS(wanted, text, call)                                                  \
    do {                                                                           \
        aidb_error *error = NULL;                                                  \
        CHECK((call) == (wanted));                                                 \
        CHECK(aidb_error_code(error) == (wanted));                                 \
        if (!CHECK(strstr(aidb_error_message(error), (text)) != NULL)) {           \
            fprintf(stderr, "    says: %s\n", aidb_error_message(error));          \
        }                                                                          \
        aidb_error_free(error);                                                    \
    } while (0)

/* A call that must return AIDB_NOT_FOUND, which makes no error object. */
#define ABSENT(call)                                                               \
    do {                                                                           \
        aidb_error *error = NULL;                                                  \
        CHECK((call) == AIDB_NOT_FOUND);                                           \
        CHECK(error == NULL);                                                      \
    } while (0)

#endif
