#pragma once
/* Memory: aborting allocation for small fixed sizes, failing allocation for sizes that come from
 * input, and the cleanup attributes that give every owned pointer one visible owner. */

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#define NODISCARD __attribute__((warn_unused_result))

/* For the rare call whose failure does not matter; say why beside it. */
#define IGNORE_RESULT(expr)                                                                        \
    do {                                                                                           \
        __auto_type ignored_ = (expr);                                                             \
        (void)ignored_;                                                                            \
    } while (0)

/* Abort on out of memory: for small, fixed sizes only. The result is never NULL. */
void *xmalloc(size_t size) __attribute__((malloc, returns_nonnull, alloc_size(1)));
void *xcalloc(size_t n, size_t size) __attribute__((malloc, returns_nonnull, alloc_size(1, 2)));
void *xrealloc(void *p, size_t size) __attribute__((returns_nonnull, alloc_size(2)));
char *xstrdup(const char *s) __attribute__((malloc, returns_nonnull));
char *xstrndup(const char *s, size_t n) __attribute__((malloc, returns_nonnull));
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2), returns_nonnull));

/* For sizes that come from input: NULL when out of memory or when a fault is injected
 * (base/fault.h). */
void *try_malloc(size_t size) __attribute__((malloc, alloc_size(1))) NODISCARD;
void *try_realloc(void *p, size_t size) __attribute__((alloc_size(2))) NODISCARD;

/* Under AddressSanitizer nothing is kept for reuse, so that it sees what is used after its end. */
#if defined(__SANITIZE_ADDRESS__)
#define MEM_POOLS_ARE_OFF true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MEM_POOLS_ARE_OFF true
#endif
#endif
#ifndef MEM_POOLS_ARE_OFF
#define MEM_POOLS_ARE_OFF false
#endif

#define NEW(type) ((type *)xcalloc(1, sizeof(type)))

/* AUTO(x) struct x *p: x_free(p) at the end of the scope. Needs DEFINE_AUTO(x) beside x_free's
 * declaration. */
#define DEFINE_AUTO(name)                                                                          \
    static inline void name##_freep(struct name **p)                                               \
    {                                                                                              \
        name##_free(*p);                                                                           \
    }                                                                                              \
    struct name /* swallow the semicolon */
#define AUTO(name) __attribute__((cleanup(name##_freep)))

/* AUTO_DONE(x) struct x v: x_done(&v) at the end of the scope, for values that own their contents.
 */
#define AUTO_DONE(name) __attribute__((cleanup(name##_done)))

/* AUTO_CHARS char *s: free() at the end of the scope. */
static inline void chars_freep(void *p)
{
    free(*(char **)p);
}
#define AUTO_CHARS __attribute__((cleanup(chars_freep)))

/* AUTO_FD int fd = -1: close() at the end of the scope. */
static inline void fd_closep(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}
#define AUTO_FD __attribute__((cleanup(fd_closep)))

/* Moves ownership out of a variable: the variable becomes NULL (-1 for TAKE_FD). */
#define TAKE(p)                                                                                    \
    ({                                                                                             \
        __typeof__(p) *take_p_ = &(p);                                                             \
        __typeof__(p) take_v_ = *take_p_;                                                          \
        *take_p_ = NULL;                                                                           \
        take_v_;                                                                                   \
    })
#define TAKE_FD(fd)                                                                                \
    ({                                                                                             \
        int *take_p_ = &(fd);                                                                      \
        int take_v_ = *take_p_;                                                                    \
        *take_p_ = -1;                                                                             \
        take_v_;                                                                                   \
    })

#define ARRAY_LEN(a)                    (sizeof(a) / sizeof((a)[0]))
#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

/* Unique names inside, so that nested uses do not shadow each other. */
#define MIN(a, b)           MIN_NAMED(a, b, __COUNTER__)
#define MIN_NAMED(a, b, id) MIN_WITH(a, b, id)
#define MIN_WITH(a, b, id)                                                                         \
    ({                                                                                             \
        __auto_type min_a_##id = (a);                                                              \
        __auto_type min_b_##id = (b);                                                              \
        min_a_##id < min_b_##id ? min_a_##id : min_b_##id;                                         \
    })
#define MAX(a, b)           MAX_NAMED(a, b, __COUNTER__)
#define MAX_NAMED(a, b, id) MAX_WITH(a, b, id)
#define MAX_WITH(a, b, id)                                                                         \
    ({                                                                                             \
        __auto_type max_a_##id = (a);                                                              \
        __auto_type max_b_##id = (b);                                                              \
        max_a_##id > max_b_##id ? max_a_##id : max_b_##id;                                         \
    })
