/* Assertion failure and odd-event counters.
 *
 * Owns the list of dump callbacks and the list of COUNT_IF counters, which any thread may bump: no
 * lock on an error path. Must not allocate: the heap may be what broke. */
#include "base/assert.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct {
    void (*dump)(int fd, void *user);
    void *user;
} dumps[8];
static size_t dump_count;
static struct odd_counter *odd_list;

void assert_dump_add(void (*dump)(int fd, void *user), void *user)
{
    ASSERT(dump_count < sizeof(dumps) / sizeof(dumps[0]));
    dumps[dump_count].dump = dump;
    dumps[dump_count].user = user;
    dump_count++;
}

void assert_fail(const char *expr, const char *file, int line, const char *func)
{
    static int failing;
    char text[512];
    int n =
        snprintf(text, sizeof(text), "assertion failed: %s (%s:%d, %s)\n", expr, file, line, func);
    if (n > 0) {
        size_t len = (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1;
        if (write(STDERR_FILENO, text, len) < 0)
            abort();
    }
    if (!failing) {
        failing = 1; /* a dump callback that asserts must not recurse */
        for (size_t i = 0; i < dump_count; i++)
            dumps[i].dump(STDERR_FILENO, dumps[i].user);
    }
    abort();
}

void odd_counter_hit(struct odd_counter *c)
{
    if (__atomic_fetch_add(&c->count, 1, __ATOMIC_RELAXED))
        return;
    c->next = __atomic_load_n(&odd_list, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&odd_list, &c->next, c, false, __ATOMIC_RELEASE,
                                        __ATOMIC_RELAXED))
        ;
}

const struct odd_counter *odd_counter_list(void)
{
    return __atomic_load_n(&odd_list, __ATOMIC_ACQUIRE);
}
