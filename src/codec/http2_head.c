/* Heads of HTTP/2: pseudo-fields and fields as they come from HPACK become a struct http_head in
 * the stream's arena, and the other way. nghttp2 has judged the form of names and values, the set
 * of pseudo-fields and the fields that belong to a connection; what it would let pass and HTTP/1
 * would understand differently is refused here (RFC 9113 sections 8.2, 8.3 and 10.3). */
#include <errno.h>

#include "base/assert.h"
#include "codec/http2_priv.h"

enum { SHORT_COOKIE = 20 }; /* guessable: RFC 7541 section 7.1.3 */

void http2_head_begin(struct http2 *h, struct http2_stream *s)
{
    struct http2_arriving *a = &h->arriving;
    a->stream = s;
    a->bytes = 0;
    a->n = 1;
    a->cookies = 0;
    a->head = (struct http_head){.minor = 1, .content_length = HTTP_LENGTH_NONE};
}

/* Neither blanks nor controls. */
static bool is_visible(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] <= 0x20 || s.p[i] == 0x7f)
            return false;
    return s.n > 0;
}

static bool is_path(struct str s)
{
    return is_visible(s) && (s.p[0] == '/' || str_is(s, "*")) && !memchr(s.p, '#', s.n);
}

/* A host and a port; who one is does not belong there. */
static bool is_authority(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (strchr("/?#@\\,", s.p[i]))
            return false;
    return is_visible(s);
}

static int set_scheme(struct http_head *head, struct str value)
{
    if (str_eq_nocase(value, STR("https")))
        head->scheme = STR("https");
    else if (str_eq_nocase(value, STR("http")))
        head->scheme = STR("http");
    else
        return -EBADMSG;
    return 0;
}

static int set_pseudo(struct http_head *head, struct str name, struct str value)
{
    uint64_t status;
    if (str_is(name, ":method")) {
        head->method = value;
        return http_is_token(value) ? 0 : -EBADMSG;
    }
    if (str_is(name, ":path")) {
        head->path = head->target = value;
        return is_path(value) ? 0 : -EBADMSG;
    }
    if (str_is(name, ":authority")) {
        head->authority = value;
        return is_authority(value) ? 0 : -EBADMSG;
    }
    if (str_is(name, ":scheme"))
        return set_scheme(head, value);
    if (!str_is(name, ":status") || str_to_u64(value, &status) < 0 || status < 100 || status > 999)
        return -EBADMSG;
    head->status = (uint16_t)status;
    return 0;
}

static int copy(struct arena *a, struct str s, const char **ret)
{
    char *p = s.n ? arena_alloc_raw(a, s.n) : NULL;
    if (s.n && !p)
        return -ENOMEM;
    if (s.n)
        memcpy(p, s.p, s.n);
    *ret = s.n ? p : "";
    return 0;
}

static int set_meaning(struct http2_arriving *a, enum http_name id, struct str value)
{
    uint64_t length;
    if (id == HTTP_NAME_COOKIE) {
        a->cookies++;
    } else if (id == HTTP_NAME_CONTENT_LENGTH) {
        if (str_to_u64(value, &length) < 0 || length > INT64_MAX)
            return -EBADMSG;
        a->head.content_length = (int64_t)length;
    } else if (id == HTTP_NAME_EXPECT) {
        a->head.expect_continue = str_eq_nocase(value, STR("100-continue"));
    } else if (id == HTTP_NAME_HOST) {
        if (a->head.has_host || !is_authority(value))
            return -EBADMSG;
        a->head.has_host = true;
    }
    return 0;
}

int http2_head_field(struct http2 *h, struct str name, struct str value)
{
    struct http2_arriving *a = &h->arriving;
    const char *p;
    a->bytes += name.n + value.n + 32;
    if (a->bytes > 2 * (size_t)h->limits.head_bytes_max)
        return -ERANGE;
    if (!a->stream || a->stream->dead)
        return 0;
    if (a->bytes > h->limits.head_bytes_max || a->n > h->limits.fields_max)
        return -E2BIG;
    if (!name.n || !http_is_value(value))
        return -EBADMSG;
    if (copy(a->stream->arena, value, &p) < 0)
        return -ENOMEM;
    value.p = p;
    if (name.p[0] == ':')
        return set_pseudo(&a->head, name, value);
    enum http_name id = http_name_find(name);
    if (id)
        name = http_name_text(id);
    else if (copy(a->stream->arena, name, &name.p) < 0)
        return -ENOMEM;
    a->fields[a->n++] =
        (struct http_field){name.p, value.p, (uint32_t)value.n, (uint16_t)name.n, (uint16_t)id};
    return set_meaning(a, id, value);
}

/* Crumbs become one field again, since HTTP/1 knows no more (RFC 9113 section 8.2.3). */
static int join_cookies(struct http2_arriving *a)
{
    size_t n = 0;
    uint16_t kept = 1;
    struct http_field *first = NULL;
    for (uint16_t i = 1; i < a->n; i++)
        if (a->fields[i].id == HTTP_NAME_COOKIE)
            n += a->fields[i].value_n + 2;
    char *p = arena_alloc_raw(a->stream->arena, n), *to = p;
    if (!p)
        return -ENOMEM;
    for (uint16_t i = 1; i < a->n; i++) {
        struct http_field f = a->fields[i];
        if (f.id != HTTP_NAME_COOKIE || !first)
            a->fields[kept++] = f;
        if (f.id != HTTP_NAME_COOKIE)
            continue;
        if (first)
            to = mempcpy(to, "; ", 2);
        else
            first = &a->fields[kept - 1];
        to = mempcpy(to, f.value, f.value_n);
    }
    first->value = p;
    first->value_n = (uint32_t)(to - p);
    a->n = kept;
    return 0;
}

/* One truth of whom the request is for: :authority and Host are the same, or there is one of them.
 */
static int settle_host(struct http2_arriving *a, uint16_t *ret_from)
{
    struct http_head *head = &a->head;
    struct http_head all = {.fields = a->fields + 1, .n = a->n - 1};
    if (!head->authority.p)
        return 0;
    struct str host = http_field_value(http_head_find(&all, HTTP_NAME_HOST));
    if (host.p && !str_eq_nocase(host, head->authority))
        return -EBADMSG;
    if (host.p)
        return 0;
    a->fields[0] = (struct http_field){"host", head->authority.p, (uint32_t)head->authority.n, 4,
                                       HTTP_NAME_HOST};
    head->has_host = true;
    *ret_from = 0;
    return 0;
}

/* They come too late to be believed, as in HTTP/1. */
static bool may_be_trailers(const struct http2_arriving *a)
{
    static const enum http_name refused[] = {
        HTTP_NAME_CONTENT_LENGTH, HTTP_NAME_TRANSFER_ENCODING, HTTP_NAME_HOST,
        HTTP_NAME_CONNECTION,     HTTP_NAME_TRAILER,           HTTP_NAME_TE,
        HTTP_NAME_UPGRADE,        HTTP_NAME_AUTHORIZATION,     HTTP_NAME_EXPECT,
    };
    for (uint16_t i = 1; i < a->n; i++)
        for (size_t k = 0; k < ARRAY_LEN(refused); k++)
            if (a->fields[i].id == refused[k])
                return false;
    return true;
}

static int settle_request(struct http2_arriving *a, uint16_t *ret_from)
{
    struct http_head *head = &a->head;
    if (str_is(head->method, "CONNECT")) {
        head->target = head->authority;
        head->path = STR("");
    }
    if (str_is(head->path, "*") && !str_is(head->method, "OPTIONS"))
        return -EBADMSG;
    return settle_host(a, ret_from);
}

int http2_head_end(struct http2 *h, bool trailers, struct http_head **ret)
{
    struct http2_arriving *a = &h->arriving;
    uint16_t from = 1;
    int r = 0;
    if (trailers)
        r = may_be_trailers(a) ? 0 : -EBADMSG;
    else if (h->server)
        r = settle_request(a, &from);
    if (r == 0 && a->cookies > 1)
        r = join_cookies(a);
    if (r < 0)
        return r;
    uint16_t n = a->n - from, cap = n + HTTP2_FIELDS_SPARE;
    struct http_head *head =
        arena_alloc_raw(a->stream->arena, sizeof(*head) + cap * sizeof(struct http_field));
    if (!head)
        return -ENOMEM;
    *head = a->head;
    head->fields = (struct http_field *)(head + 1);
    head->n = n;
    head->cap = cap;
    memcpy(head->fields, a->fields + from, n * sizeof(struct http_field));
    *ret = head;
    return 0;
}

/* ---- writing ---- */

static nghttp2_nv nv_of(struct str name, struct str value, uint8_t flags)
{
    union { /* nghttp2 does not write to them */
        const char *from;
        uint8_t *to;
    } n = {name.p}, v = {value.p};
    return (nghttp2_nv){n.to, v.to, name.n, value.n, flags};
}

static bool is_of_connection(const struct http_field *f)
{
    switch ((int)f->id) {
    case HTTP_NAME_CONNECTION:
    case HTTP_NAME_KEEP_ALIVE:
    case HTTP_NAME_PROXY_CONNECTION:
    case HTTP_NAME_TRANSFER_ENCODING:
    case HTTP_NAME_UPGRADE:
    case HTTP_NAME_HTTP2_SETTINGS:
    case HTTP_NAME_HOST: /* became :authority */
        return true;
    case HTTP_NAME_TE:
        return !str_eq_nocase(http_field_value(f), STR("trailers"));
    default:
        return false;
    }
}

/* Connection names it as its own. Only what came by HTTP/1 has that field. */
static bool is_named(const struct http_head *head, const struct http_field *f)
{
    for (uint16_t i = 0; i < head->n; i++) {
        const struct http_field *c = &head->fields[i];
        if (c->id != HTTP_NAME_CONNECTION || !c->name_n)
            continue;
        struct str rest = http_field_value(c);
        while (rest.p)
            if (str_eq_nocase(str_trim(str_cut(rest, ',', &rest)), str_of(f->name, f->name_n)))
                return true;
    }
    return false;
}

/* Never to be put into a table, by us or whoever sends it on (RFC 7541 section 7.1.3). */
static bool is_secret(const struct http_field *f)
{
    switch ((int)f->id) {
    case HTTP_NAME_AUTHORIZATION:
    case HTTP_NAME_PROXY_AUTHORIZATION:
    case HTTP_NAME_SET_COOKIE:
        return true;
    case HTTP_NAME_COOKIE:
        return f->value_n < SHORT_COOKIE;
    default:
        return false;
    }
}

static size_t write_fields(struct http2 *h, size_t n, const struct http_head *head)
{
    bool has_connection = http_head_find(head, HTTP_NAME_CONNECTION) != NULL;
    for (uint16_t i = 0; i < head->n && n < HTTP2_SEND_FIELDS; i++) {
        const struct http_field *f = &head->fields[i];
        if (!f->name_n || is_of_connection(f) || (has_connection && is_named(head, f)))
            continue;
        uint8_t flags = is_secret(f) ? NGHTTP2_NV_FLAG_NO_INDEX : NGHTTP2_NV_FLAG_NONE;
        struct str name = str_of(f->name, f->name_n); /* nghttp2 makes its copy lower case */
        if (f->id != HTTP_NAME_OTHER) {
            name = http_name_text((enum http_name)f->id);
            flags |= NGHTTP2_NV_FLAG_NO_COPY_NAME;
        }
        h->nv[n++] = nv_of(name, http_field_value(f), flags);
    }
    return n;
}

size_t http2_write_request(struct http2 *h, const struct http_head *head)
{
    bool connect = str_is(head->method, "CONNECT");
    struct str authority = http_field_value(http_head_find(head, HTTP_NAME_HOST));
    size_t n = 0;
    if (!authority.p)
        authority = head->authority;
    if (!authority.p && connect)
        authority = head->target;
    h->nv[n++] = nv_of(STR(":method"), head->method, NGHTTP2_NV_FLAG_NO_COPY_NAME);
    if (!connect)
        h->nv[n++] = nv_of(STR(":scheme"), head->scheme.n ? head->scheme : STR("http"),
                           NGHTTP2_NV_FLAG_NO_COPY_NAME);
    if (authority.n)
        h->nv[n++] = nv_of(STR(":authority"), authority, NGHTTP2_NV_FLAG_NO_COPY_NAME);
    if (!connect)
        h->nv[n++] =
            nv_of(STR(":path"), head->path.n ? head->path : STR("/"), NGHTTP2_NV_FLAG_NO_COPY_NAME);
    return write_fields(h, n, head);
}

size_t http2_write_answer(struct http2 *h, const struct http_head *head, char status[4])
{
    ASSERT(head->status >= 100 && head->status <= 999);
    status[0] = (char)('0' + head->status / 100);
    status[1] = (char)('0' + head->status / 10 % 10);
    status[2] = (char)('0' + head->status % 10);
    h->nv[0] = nv_of(STR(":status"), str_of(status, 3), NGHTTP2_NV_FLAG_NO_COPY_NAME);
    return write_fields(h, 1, head);
}

size_t http2_write_trailers(struct http2 *h, const struct http_head *head)
{
    return write_fields(h, 0, head);
}
