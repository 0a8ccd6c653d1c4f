/* Allocation wrappers. Owns nothing: the heap is libc's. The x* family aborts with a message,
 * because a supervisor restarts the program and half-finished work is worse; the try_* family
 * returns NULL and can be made to fail. */
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/fault.h"

static void *checked(void *p, size_t size)
{
    if (__builtin_expect(!p && size, 0)) {
        fprintf(stderr, "out of memory allocating %zu bytes\n", size);
        abort();
    }
    return p;
}

void *xmalloc(size_t size)
{
    return checked(malloc(size ? size : 1), size);
}

void *xcalloc(size_t n, size_t size)
{
    return checked(calloc(n ? n : 1, size ? size : 1), size);
}

void *xrealloc(void *p, size_t size)
{
    return checked(realloc(p, size ? size : 1), size);
}

char *xstrdup(const char *s)
{
    ASSERT(s);
    return xstrndup(s, strlen(s));
}

char *xstrndup(const char *s, size_t n)
{
    char *copy = xmalloc(n + 1);
    if (n)
        memcpy(copy, s, n);
    copy[n] = '\0';
    return copy;
}

char *xasprintf(const char *fmt, ...)
{
    va_list ap;
    char *text = NULL;
    va_start(ap, fmt);
    int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    if (n < 0)
        checked(NULL, 1);
    return text;
}

void *try_malloc(size_t size)
{
    if (fault_hit(FAULT_ALLOC))
        return NULL;
    return malloc(size ? size : 1);
}

void *try_realloc(void *p, size_t size)
{
    if (fault_hit(FAULT_ALLOC))
        return NULL;
    return realloc(p, size ? size : 1);
}
