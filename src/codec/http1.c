/* Strict HTTP/1.1 parsing (RFC 9112, RFC 9110). Sans-I/O, no allocation: everything is a slice of
 * the input.
 *
 * Line ends are CRLF only. Content-Length together with Transfer-Encoding, two lengths, any
 * transfer coding but a single "chunked", folded headers, space before the colon, bare CR or LF:
 * all refused, for each is a known way to make two parsers disagree (request smuggling). */
#include "codec/http1.h"

#include <errno.h>

#include "base/assert.h"

static bool is_tchar(unsigned char c)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
        return true;
    return c && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

bool http1_is_token(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!is_tchar((unsigned char)s.p[i]))
            return false;
    return s.n > 0;
}

bool http1_is_value(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

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

struct str http1_find(const struct http_header *headers, size_t n, const char *name)
{
    struct str want = str_from(name);
    for (size_t i = 0; i < n; i++)
        if (str_eq_nocase(headers[i].name, want))
            return headers[i].value;
    return (struct str){NULL, 0};
}

bool http1_has_token(struct str value, const char *token)
{
    struct str rest = value;
    while (rest.p) {
        struct str item = str_trim(str_cut(rest, ',', &rest));
        if (str_eq_nocase(item, str_from(token)))
            return true;
    }
    return false;
}

/* Cuts a line that ends in CRLF; a bare CR or LF inside makes it malformed. */
static int cut_line(struct str *s, struct str *ret)
{
    const char *end = memmem(s->p, s->n, "\r\n", 2);
    if (!end)
        return -EBADMSG;
    *ret = str_of(s->p, (size_t)(end - s->p));
    *s = str_sub(*s, ret->n + 2, s->n);
    return memchr(ret->p, '\r', ret->n) || memchr(ret->p, '\n', ret->n) ? -EBADMSG : 0;
}

static int parse_version(struct str s, int *ret_minor, struct err *reterr)
{
    if (s.n != 8 || memcmp(s.p, "HTTP/", 5) || s.p[6] != '.' || s.p[5] < '0' || s.p[5] > '9' ||
        s.p[7] < '0' || s.p[7] > '9')
        return err_set(reterr, -EBADMSG, NULL, "malformed HTTP version");
    if (s.p[5] != '1' || s.p[7] > '1')
        return err_set(reterr, -EPROTONOSUPPORT, NULL, "HTTP version " STR_FMT " is not supported",
                       STR_ARG(s));
    *ret_minor = s.p[7] - '0';
    return 0;
}

static int frame_length(struct http1_head *h, struct str value, struct err *reterr)
{
    uint64_t v;
    if (h->content_length >= 0)
        return err_set(reterr, -EBADMSG, NULL, "more than one Content-Length");
    if (str_to_u64(value, &v) < 0 || v > INT64_MAX)
        return err_set(reterr, -EBADMSG, NULL, "malformed Content-Length");
    h->content_length = (int64_t)v;
    return 0;
}

static int frame_header(struct http1_head *h, const struct http_header *f, struct err *reterr)
{
    if (str_eq_nocase(f->name, STR("content-length")))
        return frame_length(h, f->value, reterr);
    if (str_eq_nocase(f->name, STR("transfer-encoding"))) {
        if (h->chunked || h->minor == 0 || !str_eq_nocase(f->value, STR("chunked")))
            return err_set(reterr, -EBADMSG, NULL, "unsupported Transfer-Encoding");
        h->chunked = true;
    } else if (str_eq_nocase(f->name, STR("connection"))) {
        h->close = h->close || http1_has_token(f->value, "close");
        h->upgrade = h->upgrade || http1_has_token(f->value, "upgrade");
        if (h->minor == 0 && http1_has_token(f->value, "keep-alive"))
            h->close = false;
    } else if (str_eq_nocase(f->name, STR("expect"))) {
        h->expect_continue = str_eq_nocase(f->value, STR("100-continue"));
    }
    return 0;
}

static int parse_headers(struct str in, struct http1_head *h, struct err *reterr)
{
    h->content_length = -1;
    h->close = h->minor == 0;
    for (;;) {
        struct str line, value;
        if (cut_line(&in, &line) < 0)
            return err_set(reterr, -EBADMSG, NULL, "malformed header line");
        if (line.n == 0)
            break;
        struct http_header *f = &h->headers[h->n_headers];
        f->name = str_cut(line, ':', &value);
        if (!value.p || !http1_is_token(f->name))
            return err_set(reterr, -EBADMSG, NULL, "malformed header name");
        f->value = str_trim(value);
        if (!http1_is_value(f->value))
            return err_set(reterr, -EBADMSG, NULL, "control character in a header value");
        int r = frame_header(h, f, reterr);
        if (r < 0)
            return r;
        if (++h->n_headers == HTTP1_HEADERS_MAX)
            return err_set(reterr, -E2BIG, NULL, "more than %d headers", HTTP1_HEADERS_MAX - 1);
    }
    if (in.n)
        return err_set(reterr, -EBADMSG, NULL, "bytes after the head");
    if (h->chunked && h->content_length >= 0)
        return err_set(reterr, -EBADMSG, NULL, "both Content-Length and Transfer-Encoding");
    return 0;
}

static bool is_target(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] <= ' ' || (unsigned char)s.p[i] >= 0x7f || s.p[i] == '#')
            return false;
    return s.n > 0;
}

int http1_parse_request(struct str head, struct http1_head *ret, struct err *reterr)
{
    struct str line, rest;
    *ret = (struct http1_head){0};
    if (cut_line(&head, &line) < 0)
        return err_set(reterr, -EBADMSG, NULL, "malformed request line");
    ret->method = str_cut(line, ' ', &rest);
    if (!rest.p || !http1_is_token(ret->method))
        return err_set(reterr, -EBADMSG, NULL, "malformed request line");
    ret->target = str_cut(rest, ' ', &rest);
    if (!rest.p || !is_target(ret->target))
        return err_set(reterr, -EBADMSG, NULL, "malformed request target");
    int r = parse_version(rest, &ret->minor, reterr);
    return r < 0 ? r : parse_headers(head, ret, reterr);
}

int http1_parse_response(struct str head, struct http1_head *ret, struct err *reterr)
{
    struct str line, rest;
    uint64_t status;
    *ret = (struct http1_head){0};
    if (cut_line(&head, &line) < 0)
        return err_set(reterr, -EBADMSG, NULL, "malformed status line");
    int r = parse_version(str_cut(line, ' ', &rest), &ret->minor, reterr);
    if (r < 0)
        return r;
    struct str code = rest.p ? str_cut(rest, ' ', &rest) : (struct str){0};
    if (code.n != 3 || str_to_u64(code, &status) < 0 || status < 100)
        return err_set(reterr, -EBADMSG, NULL, "malformed status code");
    ret->status = (int)status;
    return parse_headers(head, ret, reterr);
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
    if (c->trailers && c->state >= CHUNK_TRAILER_START)
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
