/* Growable byte buffer. Grows by doubling up to its cap; failure is sticky, so callers check once.
 */
#include "base/buf.h"

#include <stdio.h>

#include "base/assert.h"

void buf_done(struct buf *b)
{
    free(b->p);
    b->p = NULL;
    b->n = b->size = 0;
    b->failed = false;
}

void buf_clear(struct buf *b)
{
    b->n = 0;
    b->failed = false;
}

static bool buf_grow(struct buf *b, size_t more)
{
    size_t cap = b->cap ? b->cap : BUF_CAP_DEFAULT;
    if (b->failed || more > cap || b->n > cap - more) {
        b->failed = true;
        return false;
    }
    size_t need = b->n + more;
    if (need <= b->size)
        return true;
    size_t size = MAX(b->size * 2, (size_t)64);
    size = MAX(MIN(size, cap), need);
    char *p = try_realloc(b->p, size);
    if (!p) {
        b->failed = true;
        return false;
    }
    b->p = p;
    b->size = size;
    return true;
}

void *buf_reserve(struct buf *b, size_t n)
{
    return buf_grow(b, n) ? b->p + b->n : NULL;
}

void buf_add(struct buf *b, const void *p, size_t n)
{
    if (n && buf_grow(b, n)) {
        memcpy(b->p + b->n, p, n);
        b->n += n;
    }
}

void buf_add_str(struct buf *b, struct str s)
{
    buf_add(b, s.p, s.n);
}

void buf_add_cstr(struct buf *b, const char *s)
{
    buf_add(b, s, strlen(s));
}

void buf_add_char(struct buf *b, char c)
{
    buf_add(b, &c, 1);
}

void buf_add_u8(struct buf *b, uint8_t v)
{
    buf_add(b, &v, 1);
}

void buf_add_be16(struct buf *b, uint16_t v)
{
    uint8_t bytes[2] = {(uint8_t)(v >> 8), (uint8_t)v};
    buf_add(b, bytes, sizeof(bytes));
}

void buf_add_be32(struct buf *b, uint32_t v)
{
    uint8_t bytes[4] = {(uint8_t)(v >> 24), (uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
    buf_add(b, bytes, sizeof(bytes));
}

void buf_addv(struct buf *b, const char *fmt, va_list ap)
{
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    if (n >= 0 && buf_grow(b, (size_t)n + 1)) {
        vsnprintf(b->p + b->n, (size_t)n + 1, fmt, again);
        b->n += (size_t)n;
    }
    va_end(again);
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    buf_addv(b, fmt, ap);
    va_end(ap);
}

void buf_consume(struct buf *b, size_t n)
{
    ASSERT(n <= b->n);
    b->n -= n;
    if (b->n)
        memmove(b->p, b->p + n, b->n);
}

const char *buf_cstr(struct buf *b)
{
    if (!buf_grow(b, 1))
        return "";
    b->p[b->n] = '\0';
    return b->p;
}

char *buf_take_cstr(struct buf *b)
{
    char *text;
    if (buf_grow(b, 1)) {
        b->p[b->n] = '\0';
        text = TAKE(b->p);
    } else {
        text = xstrdup("");
    }
    buf_done(b);
    return text;
}
