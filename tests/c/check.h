/* Shared by the test programs, in C and C++: a check that counts, and the last line.
 *
 * CHECK(fact) reports a fact that does not hold and goes on. REPORT() prints "N passed, N failed" and gives the exit
 * code of main.
 */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>

static int check_passed, check_failed;

static int check_fact(int holds, const char *fact, const char *file, int line) {
    if (holds) {
        check_passed++;
    } else {
        check_failed++;
        fprintf(stderr, "%s:%d: %s\n", file, line, fact);
    }
    return holds;
}

#define CHECK(fact) check_fact((fact) ? 1 : 0, #fact, __FILE__, __LINE__)
#define REPORT() (printf("%d passed, %d failed\n", check_passed, check_failed), check_failed > 0)

#endif
