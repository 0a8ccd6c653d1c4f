/* Framing of HTTP/1.1 messages on bytes (RFC 9112): where a head ends, and the chunked coding.
 * Strict, sans-I/O; line ends are CRLF only. */
#include "codec/http1.h"

#include <errno.h>

#include "base/assert.h"

ssize_t http1_head_length(struct str in, size_t *scanned)
{
    ASSERT(*scanned <= in.n);
    size_t from = *scanned >= 3 ? *scanned - 3 : 0;
    const char *p = in.p + from, *end = in.p + in.n;
    /* From line end to line end: faster than memmem, which looks at every byte. */
    while (p < end && (p = memchr(p, '\n', (size_t)(end - p)))) {
        p++;
        if (end - p < 2 || p[0] != '\r' || p[1] != '\n' || p - in.p < 2 || p[-2] != '\r')
            continue;
        size_t n = (size_t)(p - in.p) + 2;
        return n <= HTTP1_HEAD_BYTES_MAX ? (ssize_t)n : -E2BIG;
    }
    *scanned = in.n;
    return in.n >= HTTP1_HEAD_BYTES_MAX ? -E2BIG : 0;
}

/* ---- chunked coding ---- */

enum chunk_state {
    CHUNK_SIZE,
    CHUNK_EXT,
    CHUNK_SIZE_LF,
    CHUNK_DATA,
    CHUNK_DATA_CR,
    CHUNK_DATA_LF,
    CHUNK_TRAILER_START,
    CHUNK_TRAILER,
    CHUNK_TRAILER_LF,
    CHUNK_END_LF,
};

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static int chunk_size_char(struct http1_chunked *c, char ch)
{
    int digit = hex_digit(ch);
    if (digit >= 0) {
        if (++c->digits > 15)
            return -EBADMSG;
        c->left = c->left * 16 + (uint64_t)digit;
        return 0;
    }
    if (!c->digits)
        return -EBADMSG;
    if (ch == '\r')
        c->state = CHUNK_SIZE_LF;
    else if (ch == ';')
        c->state = CHUNK_EXT;
    else
        return -EBADMSG;
    return 0;
}

/* One byte outside of chunk data. */
static int chunk_char(struct http1_chunked *c, char ch)
{
    /* A body without trailers ends in an empty line, which is not worth an allocation. */
    if (c->trailers && c->state >= CHUNK_TRAILER_START &&
        (c->trailers->n || (c->state == CHUNK_TRAILER_START && ch != '\r')))
        buf_add_char(c->trailers, ch);
    switch ((enum chunk_state)c->state) {
    case CHUNK_SIZE:
        return chunk_size_char(c, ch);
    case CHUNK_EXT:
        if (ch == '\r')
            c->state = CHUNK_SIZE_LF;
        else if (ch == '\n' || ch == '\0' || ++c->extra_bytes > HTTP1_CHUNK_EXT_BYTES_MAX)
            return -EBADMSG;
        return 0;
    case CHUNK_SIZE_LF:
        c->state = c->left ? CHUNK_DATA : CHUNK_TRAILER_START;
        c->digits = 0;
        return ch == '\n' ? 0 : -EBADMSG;
    case CHUNK_DATA_CR:
        c->state = CHUNK_DATA_LF;
        return ch == '\r' ? 0 : -EBADMSG;
    case CHUNK_DATA_LF:
        c->state = CHUNK_SIZE;
        return ch == '\n' ? 0 : -EBADMSG;
    case CHUNK_TRAILER_START:
        c->state = ch == '\r' ? CHUNK_END_LF : CHUNK_TRAILER;
        return ch == '\n' || ++c->extra_bytes > HTTP1_CHUNK_EXT_BYTES_MAX ? -EBADMSG : 0;
    case CHUNK_TRAILER:
        if (ch == '\r')
            c->state = CHUNK_TRAILER_LF;
        return ch == '\n' || ++c->extra_bytes > HTTP1_CHUNK_EXT_BYTES_MAX ? -EBADMSG : 0;
    case CHUNK_TRAILER_LF:
        c->state = CHUNK_TRAILER_START;
        return ch == '\n' ? 0 : -EBADMSG;
    case CHUNK_END_LF:
        c->done = true;
        return ch == '\n' ? 0 : -EBADMSG;
    case CHUNK_DATA:
        break;
    }
    return -EBADMSG;
}

int http1_chunked_next(struct http1_chunked *c, struct str *in, struct str *ret)
{
    while (!c->done && in->n) {
        if (c->state == CHUNK_DATA) {
            ASSERT(c->left > 0);
            size_t n = c->left < in->n ? (size_t)c->left : in->n;
            *ret = str_sub(*in, 0, n);
            *in = str_sub(*in, n, in->n);
            c->left -= n;
            if (!c->left)
                c->state = CHUNK_DATA_CR;
            return 1;
        }
        int r = chunk_char(c, in->p[0]);
        *in = str_sub(*in, 1, in->n);
        if (r < 0)
            return r;
    }
    return 0;
}
