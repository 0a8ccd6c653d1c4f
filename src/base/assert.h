#pragma once
/* Assertions that stay on in release builds. Input is never asserted: these are for our own
 * mistakes. */

#include <stddef.h>

/* Prints expression and place, runs the registered dump callbacks, aborts. */
void assert_fail(const char *expr, const char *file, int line, const char *func)
    __attribute__((noreturn, cold));

/* A dump callback writes what this thread is working on (stream, object) to fd when an assertion
 * fails. At most 8; registration is not thread-safe and belongs into program start. */
void assert_dump_add(void (*dump)(int fd, void *user), void *user);

#define ASSERT(expr)                                                                               \
    do {                                                                                           \
        if (__builtin_expect(!(expr), 0))                                                          \
            assert_fail(#expr, __FILE__, __LINE__, __func__);                                      \
    } while (0)

/* Dear checks, debug builds only. */
#ifdef FAIRLEAD_DEBUG
#define DASSERT(expr) ASSERT(expr)
#else
#define DASSERT(expr)                                                                              \
    do {                                                                                           \
    } while (0)
#endif

/* Counts the odd but survivable. Counters are linked into one list, which the metrics page walks.
 */
struct odd_counter {
    const char *text;
    const char *file;
    int line;
    unsigned long count;
    struct odd_counter *next;
};
void odd_counter_hit(struct odd_counter *c);
const struct odd_counter *odd_counter_list(void);

#define COUNT_IF(cond, what)                                                                       \
    ({                                                                                             \
        static struct odd_counter odd_ = {what, __FILE__, __LINE__, 0, NULL};                      \
        int hit_ = !!(cond);                                                                       \
        if (__builtin_expect(hit_, 0))                                                             \
            odd_counter_hit(&odd_);                                                                \
        hit_;                                                                                      \
    })
