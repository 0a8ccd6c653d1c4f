/* SPDY/3.1: bytes to frames and back, headers by zlib with the protocol's dictionary. */
#include "lab/node/spdy_codec.h"

#include <errno.h>
#include <zlib.h>

#include "base/mem.h"
#include "base/vec.h"

enum { HEAD_BYTES = 8, VERSION = 3, FIELDS_MAX = 64 };

struct spdy_codec {
    z_stream inflate, deflate;
    int broken;      /* 0, or why nothing can be read any more */
    struct buf text; /* headers, inflated */
    VEC(struct spdy_header) headers;
};

/* ---- the dictionary (section 2.6.10.1): names, each behind its length, then a text ---- */

static const char *const dictionary_names[] = {"options",
                                               "head",
                                               "post",
                                               "put",
                                               "delete",
                                               "trace",
                                               "accept",
                                               "accept-charset",
                                               "accept-encoding",
                                               "accept-language",
                                               "accept-ranges",
                                               "age",
                                               "allow",
                                               "authorization",
                                               "cache-control",
                                               "connection",
                                               "content-base",
                                               "content-encoding",
                                               "content-language",
                                               "content-length",
                                               "content-location",
                                               "content-md5",
                                               "content-range",
                                               "content-type",
                                               "date",
                                               "etag",
                                               "expect",
                                               "expires",
                                               "from",
                                               "host",
                                               "if-match",
                                               "if-modified-since",
                                               "if-none-match",
                                               "if-range",
                                               "if-unmodified-since",
                                               "last-modified",
                                               "location",
                                               "max-forwards",
                                               "pragma",
                                               "proxy-authenticate",
                                               "proxy-authorization",
                                               "range",
                                               "referer",
                                               "retry-after",
                                               "server",
                                               "te",
                                               "trailer",
                                               "transfer-encoding",
                                               "upgrade",
                                               "user-agent",
                                               "vary",
                                               "via",
                                               "warning",
                                               "www-authenticate",
                                               "method",
                                               "get",
                                               "status",
                                               "200 OK",
                                               "version",
                                               "HTTP/1.1",
                                               "url",
                                               "public",
                                               "set-cookie",
                                               "keep-alive",
                                               "origin"};

static const char dictionary_text[] =
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request"
    "401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented"
    "503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 "
    "Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,"
    "application/xml,application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,"
    "deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

static void add_u32(struct buf *b, uint32_t v)
{
    const char bytes[] = {(char)(v >> 24), (char)(v >> 16), (char)(v >> 8), (char)v};
    buf_add(b, bytes, sizeof(bytes));
}

static void dictionary(struct buf *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(dictionary_names); i++) {
        add_u32(ret, (uint32_t)strlen(dictionary_names[i]));
        buf_add_cstr(ret, dictionary_names[i]);
    }
    buf_add_cstr(ret, dictionary_text);
}

static uint32_t u32_at(struct str s, size_t at)
{
    const unsigned char *p = (const unsigned char *)s.p + at;
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

struct spdy_codec *spdy_codec_new(void)
{
    struct spdy_codec *c = NEW(struct spdy_codec);
    AUTO_DONE(buf) struct buf words = {0};
    dictionary(&words);
    c->text.cap = SPDY_HEADER_BYTES_MAX;
    bool ok = inflateInit(&c->inflate) == Z_OK;
    ok = deflateInit(&c->deflate, Z_BEST_SPEED) == Z_OK && ok && !words.failed;
    ok = ok && deflateSetDictionary(&c->deflate, (const Bytef *)words.p, (uInt)words.n) == Z_OK;
    c->broken = ok ? 0 : -ENOMEM;
    return c;
}

void spdy_codec_free(struct spdy_codec *c)
{
    if (!c)
        return;
    inflateEnd(&c->inflate);
    deflateEnd(&c->deflate);
    buf_done(&c->text);
    vec_done(&c->headers);
    free(c);
}

/* ---- headers ---- */

static int inflate_text(struct spdy_codec *c, struct str in)
{
    char piece[4096];
    int r = Z_OK;
    buf_clear(&c->text);
    c->inflate.next_in = (Bytef *)(uintptr_t)in.p;
    c->inflate.avail_in = (uInt)in.n;
    do {
        c->inflate.next_out = (Bytef *)piece;
        c->inflate.avail_out = sizeof(piece);
        r = inflate(&c->inflate, Z_SYNC_FLUSH);
        if (r == Z_NEED_DICT) {
            AUTO_DONE(buf) struct buf words = {0};
            dictionary(&words);
            if (words.failed)
                return -ENOMEM;
            r = inflateSetDictionary(&c->inflate, (const Bytef *)words.p, (uInt)words.n);
            if (r == Z_OK)
                r = inflate(&c->inflate, Z_SYNC_FLUSH);
        }
        if (r != Z_OK && r != Z_BUF_ERROR)
            return -EBADMSG;
        if (c->text.n + (sizeof(piece) - c->inflate.avail_out) > SPDY_HEADER_BYTES_MAX)
            return -E2BIG;
        buf_add(&c->text, piece, sizeof(piece) - c->inflate.avail_out);
        if (c->text.failed)
            return -ENOMEM;
    } while (r == Z_OK && (c->inflate.avail_in || !c->inflate.avail_out));
    return 0;
}

/* A text behind its length, from *at. */
static bool take_text(struct str all, size_t *at, struct str *ret)
{
    if (all.n - *at < 4)
        return false;
    uint32_t n = u32_at(all, *at);
    *at += 4;
    if (n > all.n - *at)
        return false;
    *ret = str_sub(all, *at, *at + n);
    *at += n;
    return true;
}

static int read_headers(struct spdy_codec *c, struct str in)
{
    int r = c->broken ? c->broken : inflate_text(c, in);
    struct str all = buf_str(&c->text);
    size_t at = 4;
    c->headers.n = 0;
    c->broken = r;
    if (r < 0)
        return r;
    if (all.n < 4)
        return -EBADMSG;
    uint32_t n = u32_at(all, 0);
    if (n > FIELDS_MAX)
        return -E2BIG;
    for (uint32_t i = 0; i < n; i++) {
        struct spdy_header h;
        if (!take_text(all, &at, &h.name) || !take_text(all, &at, &h.value))
            return -EBADMSG;
        vec_push(&c->headers, h);
    }
    return 0;
}

struct str spdy_header_of(const struct spdy_codec *c, const char *name)
{
    VEC_FOREACH (h, &c->headers)
        if (str_eq_nocase(h->name, str_from(name)))
            return h->value;
    return (struct str){0};
}

/* ---- reading ---- */

static int read_control(struct spdy_codec *c, struct str head, struct str body,
                        struct spdy_frame *f)
{
    static const size_t least[] = {[SPDY_SYN_STREAM] = 10,
                                   [SPDY_SYN_REPLY] = 4,
                                   [SPDY_RST_STREAM] = 8,
                                   [SPDY_SETTINGS] = 4,
                                   [5] = 0,
                                   [SPDY_PING] = 4,
                                   [SPDY_GOAWAY] = 8,
                                   [SPDY_HEADERS] = 4,
                                   [SPDY_WINDOW_UPDATE] = 8};
    uint32_t first = u32_at(head, 0), type = first & 0xffff;
    if ((first >> 16 & 0x7fff) != VERSION)
        return -EBADMSG;
    f->type = (enum spdy_type)type;
    if (type == 0 || type >= ARRAY_LEN(least))
        return type ? 0 : -EBADMSG; /* of later versions: passed over */
    if (body.n < least[type])
        return -EBADMSG;
    if (body.n >= 4)
        f->stream = u32_at(body, 0) & (type == SPDY_PING ? UINT32_MAX : INT32_MAX);
    if (type == SPDY_SYN_STREAM)
        return read_headers(c, str_sub(body, 10, body.n));
    /* Their compression goes on with that of the others. */
    return type == SPDY_SYN_REPLY || type == SPDY_HEADERS
               ? read_headers(c, str_sub(body, 4, body.n))
               : 0;
}

int spdy_read(struct spdy_codec *c, struct str in, struct spdy_frame *ret, size_t *ret_used)
{
    if (in.n < HEAD_BYTES)
        return 0;
    uint32_t first = u32_at(in, 0), second = u32_at(in, 4);
    size_t n = second & 0xffffff;
    if (n > SPDY_FRAME_BYTES_MAX)
        return -E2BIG;
    if (in.n - HEAD_BYTES < n)
        return 0;
    struct str body = str_sub(in, HEAD_BYTES, HEAD_BYTES + n);
    *ret = (struct spdy_frame){.stream = first & INT32_MAX, .fin = second >> 24 & SPDY_FLAG_FIN};
    *ret_used = HEAD_BYTES + n;
    if (!(first >> 31)) {
        ret->payload = body;
        return 1;
    }
    ret->stream = 0;
    int r = read_control(c, in, body, ret);
    return r < 0 ? r : 1;
}

/* ---- writing ---- */

static void add_head(struct buf *out, enum spdy_type type, size_t n)
{
    add_u32(out, 1u << 31 | VERSION << 16 | (uint32_t)type);
    add_u32(out, (uint32_t)n);
}

void spdy_write_reply(struct spdy_codec *c, struct buf *out, uint32_t stream)
{
    static const char none[4]; /* no headers */
    char packed[64];
    c->deflate.next_in = (Bytef *)(uintptr_t)none;
    c->deflate.avail_in = sizeof(none);
    c->deflate.next_out = (Bytef *)packed;
    c->deflate.avail_out = sizeof(packed);
    if (c->broken || deflate(&c->deflate, Z_SYNC_FLUSH) != Z_OK)
        return;
    size_t n = sizeof(packed) - c->deflate.avail_out;
    add_head(out, SPDY_SYN_REPLY, 4 + n);
    add_u32(out, stream);
    buf_add(out, packed, n);
}

void spdy_write_data(struct buf *out, uint32_t stream, bool fin, struct str bytes)
{
    add_u32(out, stream);
    add_u32(out, (fin ? (uint32_t)SPDY_FLAG_FIN << 24 : 0) | (uint32_t)bytes.n);
    buf_add_str(out, bytes);
}

void spdy_write_reset(struct buf *out, uint32_t stream, uint32_t status)
{
    add_head(out, SPDY_RST_STREAM, 8);
    add_u32(out, stream);
    add_u32(out, status);
}

void spdy_write_ping(struct buf *out, uint32_t number)
{
    add_head(out, SPDY_PING, 4);
    add_u32(out, number);
}
