/* Heads of HTTP/1 on bytes. Sans-I/O, no allocation but what the written bytes need.
 *
 * Reading is one pass over tables of byte classes, eight bytes at a time within values. Line ends
 * are CRLF only. Two lengths, a length beside a transfer coding, any coding but a single "chunked",
 * folded lines, blanks before the colon, bare CR or LF, controls, two Hosts: refused, for each is a
 * known way to make two readers disagree (request smuggling). Writing copies runs of fields that
 * lie behind one another as they came; nothing is formatted. */
#include "codec/http1_head.h"

#include <endian.h>
#include <errno.h>

#include "base/assert.h"

enum byte_class {
    TOKEN = 1 << 0,  /* RFC 9110 section 5.6.2 */
    VALUE = 1 << 1,  /* blank, tab, visible, and all above ASCII */
    TARGET = 1 << 2, /* visible ASCII but '#' */
};

enum { ANY = TOKEN | VALUE | TARGET, SEEN = VALUE | TARGET };

static const uint8_t classes[256] = {
    ['\t'] = VALUE,       [' '] = VALUE,         ['!'] = ANY,
    ['"'] = SEEN,         ['#'] = TOKEN | VALUE, ['$' ... '\''] = ANY,
    ['(' ... ')'] = SEEN, ['*' ... '+'] = ANY,   [','] = SEEN,
    ['-' ... '.'] = ANY,  ['/'] = SEEN,          ['0' ... '9'] = ANY,
    [':' ... '@'] = SEEN, ['A' ... 'Z'] = ANY,   ['[' ... ']'] = SEEN,
    ['^' ... 'z'] = ANY,  ['{'] = SEEN,          ['|'] = ANY,
    ['}'] = SEEN,         ['~'] = ANY,           [0x80 ... 0xff] = VALUE,
};

struct cursor {
    const char *p;
    const char *end;
};

static bool is(char c, enum byte_class class_)
{
    return classes[(uint8_t)c] & class_;
}

static struct str take(struct cursor *c, enum byte_class class_)
{
    const char *p = c->p, *begin = p, *end = c->end;
    while (p < end && is(*p, class_))
        p++;
    c->p = p;
    return str_of(begin, (size_t)(p - begin));
}

/* The next eight bytes, the first of them lowest. */
static uint64_t eight(const char *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return le64toh(v);
}

static bool skip(struct cursor *c, const char *text, size_t n)
{
    if ((size_t)(c->end - c->p) < n || memcmp(c->p, text, n) != 0)
        return false;
    c->p += n;
    return true;
}

/* Like take(c, TARGET), eight at a time: a byte below '!', of 0x7f and above, or '#' sets its high
 * bit in the mask. */
static struct str take_target(struct cursor *c)
{
    const uint64_t ones = 0x0101010101010101u, highs = ones * 0x80;
    const char *begin = c->p;
    while (c->end - c->p >= 8) {
        uint64_t v = eight(c->p);
        uint64_t hash = v ^ ones * '#';
        if ((((v - ones * '!') & ~v) | (v + ones) | v | ((hash - ones) & ~hash)) & highs)
            break;
        c->p += 8;
    }
    struct str rest = take(c, TARGET);
    return str_of(begin, (size_t)(rest.p - begin) + rest.n);
}

#define SKIP(c, literal) skip(c, literal, sizeof(literal) - 1)

/* To the first byte that is not VALUE. Eight at a time: a byte below 0x20, or 0x7f, sets its high
 * bit in the mask. Borrows go upwards, so the lowest that is set is true. */
static void skip_value(struct cursor *c)
{
    const uint64_t ones = 0x0101010101010101u, highs = ones * 0x80;
    const char *p = c->p, *end = c->end;
    while (end - p >= 8) {
        uint64_t v = eight(p);
        uint64_t del = v ^ ones * 0x7f;
        uint64_t hits = (((v - ones * 0x20) & ~v) | ((del - ones) & ~del)) & highs;
        if (!hits) {
            p += 8;
            continue;
        }
        p += __builtin_ctzll(hits) / 8;
        if (*p != '\t') {
            c->p = p;
            return;
        }
        p++;
    }
    while (p < end && is(*p, VALUE))
        p++;
    c->p = p;
}

static int bad(struct err *reterr, const char *what)
{
    return err_set(reterr, -EBADMSG, NULL, "malformed %s", what);
}

/* ---- fields ---- */

static bool has_word(struct str list, struct str word)
{
    while (list.p) {
        struct str item = str_trim(str_cut(list, ',', &list));
        if (str_eq_nocase(item, word))
            return true;
    }
    return false;
}

static int read_length(struct http_head *h, struct str value, struct err *reterr)
{
    uint64_t v;
    if (h->content_length != HTTP_LENGTH_NONE)
        return err_set(reterr, -EBADMSG, NULL, "more than one Content-Length");
    if (str_to_u64(value, &v) < 0 || v > INT64_MAX)
        return bad(reterr, "Content-Length");
    h->content_length = (int64_t)v;
    return 0;
}

static int read_coding(struct http_head *h, struct str value, struct err *reterr)
{
    if (h->chunked || h->minor == 0 || !str_eq_nocase(value, STR("chunked")))
        return err_set(reterr, -EBADMSG, NULL, "unsupported Transfer-Encoding");
    h->chunked = true;
    return 0;
}

static void read_connection(struct http_head *h, struct str value)
{
    h->close = h->close || has_word(value, STR("close"));
    h->upgrade = h->upgrade || has_word(value, STR("upgrade"));
    if (h->minor == 0 && has_word(value, STR("keep-alive")))
        h->close = false;
}

/* What a field says of the message itself. */
static int read_meaning(struct http_head *h, const struct http_field *f, struct err *reterr)
{
    struct str value = str_of(f->value, f->value_n);
    if (f->id == HTTP_NAME_CONTENT_LENGTH)
        return read_length(h, value, reterr);
    if (f->id == HTTP_NAME_TRANSFER_ENCODING)
        return read_coding(h, value, reterr);
    if (f->id == HTTP_NAME_CONNECTION)
        read_connection(h, value);
    else if (f->id == HTTP_NAME_EXPECT)
        h->expect_continue = str_eq_nocase(value, STR("100-continue"));
    else if (f->id == HTTP_NAME_HOST) {
        if (h->has_host)
            return err_set(reterr, -EBADMSG, NULL, "more than one Host");
        h->has_host = true;
    }
    return 0;
}

static int read_field(struct cursor *c, struct http_field *f, struct err *reterr)
{
    struct str name = take(c, TOKEN);
    if (!name.n || name.n > UINT16_MAX || !SKIP(c, ":"))
        return bad(reterr, "header name");
    while (c->p < c->end && (*c->p == ' ' || *c->p == '\t'))
        c->p++;
    const char *value = c->p;
    skip_value(c);
    const char *end = c->p;
    if (!SKIP(c, "\r\n"))
        return err_set(reterr, -EBADMSG, NULL, "control character in a header value");
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    *f = (struct http_field){name.p, value, (uint32_t)(end - value), (uint16_t)name.n,
                             (uint16_t)http_name_find(name)};
    return 0;
}

static int read_fields(struct cursor *c, struct http_head *h, struct err *reterr)
{
    while (!SKIP(c, "\r\n")) {
        if (h->n == h->cap)
            return err_set(reterr, -E2BIG, NULL, "more than %u header fields", h->cap);
        struct http_field *f = &h->fields[h->n];
        int r = read_field(c, f, reterr);
        if (r == 0)
            r = read_meaning(h, f, reterr);
        if (r < 0)
            return r;
        h->n++;
    }
    if (c->p != c->end)
        return err_set(reterr, -EBADMSG, NULL, "bytes behind the head");
    if (h->chunked && h->content_length != HTTP_LENGTH_NONE)
        return err_set(reterr, -EBADMSG, NULL, "both Content-Length and Transfer-Encoding");
    return 0;
}

/* ---- first lines ---- */

static void begin(struct http_head *h)
{
    ASSERT(h->fields && h->cap > 0);
    *h = (struct http_head){.fields = h->fields, .cap = h->cap, .content_length = HTTP_LENGTH_NONE};
}

static int read_version(struct cursor *c, struct http_head *h, struct err *reterr)
{
    const char *p = c->p;
    if (c->end - p < 8 || memcmp(p, "HTTP/", 5) != 0 || p[6] != '.' || p[5] < '0' || p[5] > '9' ||
        p[7] < '0' || p[7] > '9')
        return bad(reterr, "HTTP version");
    if (p[5] != '1' || p[7] > '1')
        return err_set(reterr, -EPROTONOSUPPORT, NULL, "HTTP version %.8s is not supported", p);
    h->minor = (uint8_t)(p[7] - '0');
    h->close = h->minor == 0;
    c->p += 8;
    return 0;
}

/* RFC 9112 section 3.2: origin, absolute, authority (CONNECT), asterisk (OPTIONS). */
static int read_target(struct http_head *h, struct err *reterr)
{
    struct str t = h->target, rest;
    if (!t.n)
        return bad(reterr, "request target");
    if (str_is(h->method, "CONNECT")) {
        h->authority = t;
        return memchr(t.p, '/', t.n) ? bad(reterr, "request target") : 0;
    }
    if (t.p[0] == '/' || (t.n == 1 && t.p[0] == '*' && str_is(h->method, "OPTIONS"))) {
        h->path = t;
        return 0;
    }
    struct str scheme = str_cut(t, ':', &rest);
    bool known = str_eq_nocase(scheme, STR("http")) || str_eq_nocase(scheme, STR("https"));
    if (!known || !str_starts(rest, STR("//")))
        return bad(reterr, "request target");
    h->authority = str_sub(rest, 2, rest.n);
    for (size_t i = 0; i < h->authority.n; i++)
        if (h->authority.p[i] == '/' || h->authority.p[i] == '?') {
            h->path = str_sub(h->authority, i, h->authority.n);
            h->authority.n = i;
        }
    if (!h->authority.n || (h->path.n && h->path.p[0] == '?'))
        return bad(reterr, "request target");
    if (!h->path.n)
        h->path = STR("/");
    return 0;
}

int http1_read_request(struct str head, struct http_head *h, struct err *reterr)
{
    struct cursor c = {head.p, head.p + head.n};
    begin(h);
    h->method = take(&c, TOKEN);
    if (!h->method.n || !SKIP(&c, " "))
        return bad(reterr, "request line");
    h->target = take_target(&c);
    if (!SKIP(&c, " "))
        return bad(reterr, "request target");
    int r = read_version(&c, h, reterr);
    if (r == 0 && !SKIP(&c, "\r\n"))
        r = bad(reterr, "request line");
    if (r == 0)
        r = read_target(h, reterr);
    return r < 0 ? r : read_fields(&c, h, reterr);
}

int http1_read_response(struct str head, struct http_head *h, struct err *reterr)
{
    struct cursor c = {head.p, head.p + head.n};
    begin(h);
    int r = read_version(&c, h, reterr);
    if (r < 0)
        return r;
    const char *p = c.p;
    if (c.end - p < 4 || p[0] != ' ' || p[1] < '1' || p[1] > '9' || p[2] < '0' || p[2] > '9' ||
        p[3] < '0' || p[3] > '9')
        return bad(reterr, "status code");
    h->status = (uint16_t)((p[1] - '0') * 100 + (p[2] - '0') * 10 + (p[3] - '0'));
    c.p += 4;
    if (SKIP(&c, " ")) {
        h->reason.p = c.p;
        skip_value(&c);
        h->reason.n = (size_t)(c.p - h->reason.p);
    }
    if (!SKIP(&c, "\r\n"))
        return bad(reterr, "status line");
    return read_fields(&c, h, reterr);
}

int http1_read_trailers(struct str section, struct http_head *h, struct err *reterr)
{
    static const enum http_name refused[] = {
        HTTP_NAME_CONTENT_LENGTH, HTTP_NAME_TRANSFER_ENCODING, HTTP_NAME_HOST,
        HTTP_NAME_CONNECTION,     HTTP_NAME_TRAILER,           HTTP_NAME_TE,
        HTTP_NAME_UPGRADE,        HTTP_NAME_AUTHORIZATION,     HTTP_NAME_EXPECT,
    };
    struct cursor c = {section.p, section.p + section.n};
    begin(h);
    h->minor = 1;
    int r = read_fields(&c, h, reterr);
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(refused); i++)
        if (http_head_find(h, refused[i]))
            r = err_set(reterr, -EBADMSG, NULL, "field %s in trailers",
                        http_name_text(refused[i]).p);
    return r;
}

/* ---- writing ---- */

static char *put(char *out, const void *p, size_t n)
{
    memcpy(out, p, n);
    return out + n;
}

/* "name: value", and nothing between but what a writer would put there. */
static bool is_as_written(const struct http_field *f)
{
    return f->value == f->name + f->name_n + 2 && f->name[f->name_n] == ':' &&
           f->name[f->name_n + 1] == ' ';
}

static size_t fields_bytes(const struct http_head *h)
{
    size_t n = 2;
    for (uint16_t i = 0; i < h->n; i++)
        if (h->fields[i].name_n)
            n += (size_t)h->fields[i].name_n + h->fields[i].value_n + 4;
    return n;
}

/* Fields that lie behind one another go as one run, with the line ends that they came with. */
static char *put_fields(char *out, const struct http_head *h)
{
    const char *run = NULL, *run_end = NULL;
    for (uint16_t i = 0; i < h->n; i++) {
        const struct http_field *f = &h->fields[i];
        if (!f->name_n)
            continue;
        bool whole = is_as_written(f);
        if (run && whole && f->name == run_end + 2 && run_end[0] == '\r' && run_end[1] == '\n') {
            run_end = f->value + f->value_n;
            continue;
        }
        if (run) {
            out = put(out, run, (size_t)(run_end - run));
            out = put(out, "\r\n", 2);
        }
        run = whole ? f->name : NULL;
        run_end = f->value + f->value_n;
        if (!whole) {
            out = put(out, f->name, f->name_n);
            out = put(out, ": ", 2);
            out = put(out, f->value, f->value_n);
            out = put(out, "\r\n", 2);
        }
    }
    if (run) {
        out = put(out, run, (size_t)(run_end - run));
        out = put(out, "\r\n", 2);
    }
    return out;
}

struct room {
    char *begin;
    struct bytes *own; /* of a head that no block holds */
};

static int room_take(struct room *r, struct chain *to, size_t n)
{
    size_t have;
    *r = (struct room){0};
    if (n <= BYTES_BLOCK) {
        r->begin = chain_reserve(to, n, &have);
        return 0;
    }
    r->own = bytes_try_new_room(n);
    if (!r->own)
        return -ENOMEM;
    r->begin = r->own->p;
    return 0;
}

static void room_give(struct room *r, struct chain *to, const char *end)
{
    size_t n = (size_t)(end - r->begin);
    if (!r->own) {
        chain_commit(to, n);
        return;
    }
    r->own->n = n;
    chain_add_bytes(to, r->own);
    bytes_unref(r->own);
}

static char *put_rest(char *out, const struct http_head *h, struct str extra)
{
    out = put_fields(out, h);
    if (extra.n)
        out = put(out, extra.p, extra.n);
    return put(out, "\r\n", 2);
}

int http1_write_fields(struct chain *to, const struct http_head *h)
{
    struct room room;
    int r = room_take(&room, to, fields_bytes(h));
    if (r < 0)
        return r;
    room_give(&room, to, put_rest(room.begin, h, (struct str){NULL, 0}));
    return 0;
}

int http1_write_request(struct chain *to, const struct http_head *h, struct str extra)
{
    static const char version[] = " HTTP/1.1\r\n";
    struct room room;
    ASSERT(h->method.n && h->target.n);
    int r = room_take(&room, to,
                      h->method.n + 1 + h->target.n + sizeof(version) + extra.n + fields_bytes(h));
    if (r < 0)
        return r;
    char *out = put(room.begin, h->method.p, h->method.n);
    *out++ = ' ';
    out = put(out, h->target.p, h->target.n);
    out = put(out, version, sizeof(version) - 1);
    room_give(&room, to, put_rest(out, h, extra));
    return 0;
}

int http1_write_response(struct chain *to, const struct http_head *h, struct str extra)
{
    struct room room;
    ASSERT(h->status >= 100 && h->status <= 999);
    int r =
        room_take(&room, to, sizeof("HTTP/1.1 200 \r\n") + h->reason.n + extra.n + fields_bytes(h));
    if (r < 0)
        return r;
    char *out = put(room.begin, "HTTP/1.1 ", 9);
    *out++ = (char)('0' + h->status / 100);
    *out++ = (char)('0' + h->status / 10 % 10);
    *out++ = (char)('0' + h->status % 10);
    *out++ = ' ';
    if (h->reason.n)
        out = put(out, h->reason.p, h->reason.n);
    out = put(out, "\r\n", 2);
    room_give(&room, to, put_rest(out, h, extra));
    return 0;
}
