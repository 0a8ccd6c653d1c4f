/* Fields that say who asked and through whom: x-forwarded-for, x-forwarded-proto, x-request-id,
 * server. Rules: Envoy's HTTP connection manager, where no address is internal unless it is named.
 */
#include "proxy/http_edits.h"

#include <errno.h>
#include <string.h>

#include "base/rand.h"
#include "base/time.h"
#include "proxy/header_ops.h"

enum { UUID_TEXT = 36, HTTP_DATE_BYTES = 30 };

static bool is_set(const Google__Protobuf__BoolValue *v, bool otherwise)
{
    return v ? v->value : otherwise;
}

int http_edits_compile(
    const Envoy__Extensions__Filters__Network__HttpConnectionManager__V3__HttpConnectionManager *m,
    struct http_edits *ret)
{
    const char *name = *m->server_name ? m->server_name : "fairlead";
    ret->makes_request_id = is_set(m->generate_request_id, true);
    ret->keeps_request_id = m->preserve_external_request_id;
    ret->answers_request_id = m->always_set_request_id_in_response;
    ret->use_remote_address = is_set(m->use_remote_address, false);
    ret->skip_forwarded_for = m->skip_xff_append;
    ret->tells_port = m->append_x_forwarded_port;
    ret->trusted_hops = m->xff_num_trusted_hops;
    ret->server =
        m->server_header_transformation ==
                ENVOY__EXTENSIONS__FILTERS__NETWORK__HTTP_CONNECTION_MANAGER__V3__HTTP_CONNECTION_MANAGER__SERVER_HEADER_TRANSFORMATION__PASS_THROUGH
            ? HTTP_SERVER_PASS
        : m->server_header_transformation ==
                ENVOY__EXTENSIONS__FILTERS__NETWORK__HTTP_CONNECTION_MANAGER__V3__HTTP_CONNECTION_MANAGER__SERVER_HEADER_TRANSFORMATION__APPEND_IF_ABSENT
            ? HTTP_SERVER_IF_ABSENT
            : HTTP_SERVER_OVERWRITE;
    if (strlen(name) >= HTTP_SERVER_NAME_MAX || strpbrk(name, "\r\n"))
        return -EINVAL;
    ret->server_name_n = (uint8_t)strlen(name);
    memcpy(ret->server_name, "server: ", 8);
    memcpy(ret->server_name + 8, name, ret->server_name_n);
    return 0;
}

/* The fields that matter here, found in one pass: the last of each, and whether there are more. */
enum edited {
    NOT_EDITED,
    FORWARDED_FOR,
    FORWARDED_PROTO,
    EXTERNAL_ADDRESS,
    REQUEST_ID,
    SERVER,
    DATE,
    _EDITED_MAX,
};

struct edited_name {
    enum http_name id;
    const char *name;
    size_t n;
};

static const struct edited_name edited_names[_EDITED_MAX] = {
    [FORWARDED_FOR] = {HTTP_NAME_X_FORWARDED_FOR, "x-forwarded-for", 15},
    [FORWARDED_PROTO] = {HTTP_NAME_X_FORWARDED_PROTO, "x-forwarded-proto", 17},
    [EXTERNAL_ADDRESS] = {HTTP_NAME_X_ENVOY_EXTERNAL_ADDRESS, "x-envoy-external-address", 24},
    [REQUEST_ID] = {HTTP_NAME_X_REQUEST_ID, "x-request-id", 12},
    [SERVER] = {HTTP_NAME_SERVER, "server", 6},
    [DATE] = {HTTP_NAME_DATE, "date", 4},
};

struct edit {
    struct http_head *h;
    struct arena *a;
    uint16_t found[_EDITED_MAX]; /* the place behind the field's; 0: none */
    bool several[_EDITED_MAX];
};

static void look(struct edit *e)
{
    static const uint8_t places[_HTTP_NAME_MAX] = {
        [HTTP_NAME_X_FORWARDED_FOR] = FORWARDED_FOR,
        [HTTP_NAME_X_FORWARDED_PROTO] = FORWARDED_PROTO,
        [HTTP_NAME_X_ENVOY_EXTERNAL_ADDRESS] = EXTERNAL_ADDRESS,
        [HTTP_NAME_X_REQUEST_ID] = REQUEST_ID,
        [HTTP_NAME_SERVER] = SERVER,
        [HTTP_NAME_DATE] = DATE,
    };
    for (uint16_t i = 0; i < e->h->n; i++) {
        struct http_field *f = &e->h->fields[i];
        uint8_t place = places[f->id];
        if (!place || !f->name_n)
            continue;
        e->several[place] = e->found[place] != 0;
        e->found[place] = (uint16_t)(i + 1);
    }
}

/* In place of all that there are. value.p NULL: nothing is set. */
static void set(struct edit *e, enum edited what, struct str value)
{
    const struct edited_name *n = &edited_names[what];
    if (!value.p)
        return;
    if (e->found[what] && !e->several[what]) {
        struct http_field *f = &e->h->fields[e->found[what] - 1];
        f->value = value.p;
        f->value_n = (uint32_t)value.n;
        return;
    }
    if (e->found[what]) {
        http_head_remove(e->h, n->id); /* the others have moved */
        memset(e->found, 0, sizeof(e->found));
        look(e);
    }
    (void)head_add(e->h, e->a, (struct header_name){(uint16_t)n->id, str_from(n->name)}, value);
}

/* The same with "name: value" in one piece, which a writer copies in one. */
static void set_whole(struct edit *e, enum edited what, struct str line)
{
    const struct edited_name *n = &edited_names[what];
    size_t name_n = n->n;
    if (!line.p)
        return;
    struct str value = str_of(line.p + name_n + 2, line.n - name_n - 2);
    if (e->found[what]) {
        set(e, what, value);
        return;
    }
    (void)head_add(e->h, e->a, (struct header_name){(uint16_t)n->id, str_of(line.p, name_n)},
                   value);
}

/* "x-request-id: ", and a UUID (RFC 9562 version 4). */
static struct str make_request_id(struct arena *a)
{
    static const char hex[] = "0123456789abcdef";
    static const uint8_t at[16] = {0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34};
    char *line = arena_alloc_raw(a, 14 + UUID_TEXT);
    uint64_t bits[2] = {rand_u64(), rand_u64()};
    uint8_t bytes[16];
    if (!line)
        return (struct str){NULL, 0};
    char *p = line + 14;
    memcpy(line, "x-request-id: ", 14);
    memcpy(bytes, bits, sizeof(bytes));
    bytes[6] = (uint8_t)((bytes[6] & 0x0f) | 0x40);
    bytes[8] = (uint8_t)((bytes[8] & 0x3f) | 0x80);
    p[8] = p[13] = p[18] = p[23] = '-';
    for (int i = 0; i < 16; i++) {
        p[at[i]] = hex[bytes[i] >> 4];
        p[at[i] + 1] = hex[bytes[i] & 15];
    }
    return str_of(line, 14 + UUID_TEXT);
}

/* The address that stands so many places before the last one; false: there is none. */
static bool forwarded_for(struct http_head *h, size_t back, struct ip *ret)
{
    for (uint16_t i = h->n; i-- > 0;) {
        const struct http_field *f = &h->fields[i];
        struct str left = http_field_value(f);
        if (f->id != HTTP_NAME_X_FORWARDED_FOR || !f->name_n)
            continue;
        while (left.p) {
            const char *comma = left.n ? memrchr(left.p, ',', left.n) : NULL;
            struct str last = comma ? str_sub(left, (size_t)(comma + 1 - left.p), left.n) : left;
            if (back-- == 0)
                return ip_parse(str_trim(last), ret) == 0;
            left = comma ? str_sub(left, 0, (size_t)(comma - left.p)) : (struct str){NULL, 0};
        }
    }
    return false;
}

int http_edits_client(const struct http_edits *edits, struct http_head *h,
                      const struct conn *client, struct ip *ret, uint16_t *ret_port)
{
    size_t back = edits->trusted_hops;
    bool believed = h && (back || !edits->use_remote_address);
    /* The peer has been put behind the others. */
    if (edits->use_remote_address && edits->skip_forwarded_for)
        back--;
    if (!believed || !forwarded_for(h, back, ret))
        return conn_peer_addr(client, ret, ret_port);
    *ret_port = 0;
    return 0;
}

static struct str address_text(const struct conn *client, struct arena *a)
{
    char text[IP_TEXT_BYTES];
    struct ip ip;
    uint16_t port;
    if (conn_peer_addr(client, &ip, &port) < 0)
        return (struct str){NULL, 0};
    ip = ip_unmapped(&ip);
    return arena_str(a, str_from(ip_format(&ip, text)));
}

/* Behind the last one there is, joined without a blank: of several lines the last counts as the
 * nearest. */
static void append_forwarded_for(struct edit *e, struct str address)
{
    if (!e->found[FORWARDED_FOR]) {
        set(e, FORWARDED_FOR, address);
        return;
    }
    struct http_field *last = &e->h->fields[e->found[FORWARDED_FOR] - 1];
    char *p = address.p ? arena_alloc_raw(e->a, last->value_n + 1 + address.n) : NULL;
    if (!p)
        return;
    memcpy(p, last->value, last->value_n);
    p[last->value_n] = ',';
    memcpy(p + last->value_n + 1, address.p, address.n);
    last->value = p;
    last->value_n += (uint32_t)(1 + address.n);
}

static struct str trusted_text(const struct http_edits *edits, struct http_head *h,
                               const struct conn *client, struct arena *a)
{
    char text[IP_TEXT_BYTES];
    struct ip ip;
    uint16_t port;
    if (http_edits_client(edits, h, client, &ip, &port) < 0)
        return (struct str){NULL, 0};
    return arena_str(a, str_from(ip_format(&ip, text)));
}

/* The port that the client has come to, unless a proxy before us has said one. */
static void tell_port(struct edit *e, const struct conn *client)
{
    static const struct header_name name = {HTTP_NAME_X_FORWARDED_PORT, STR("x-forwarded-port")};
    char text[5];
    size_t at = sizeof(text);
    struct ip ip;
    uint16_t port;
    if (http_head_find(e->h, HTTP_NAME_X_FORWARDED_PORT) || conn_local_addr(client, &ip, &port) < 0)
        return;
    do
        text[--at] = (char)('0' + port % 10);
    while (port /= 10);
    struct str value = arena_str(e->a, str_of(text + at, sizeof(text) - at));
    if (value.p)
        (void)head_add(e->h, e->a, name, value);
}

void http_edit_request(const struct http_edits *edits, struct http_head *h,
                       const struct conn *client, struct arena *a)
{
    struct edit e = {.h = h, .a = a};
    bool direct = edits->use_remote_address;
    look(&e);
    if (direct) {
        struct str address = address_text(client, a);
        if (!edits->skip_forwarded_for)
            append_forwarded_for(&e, address);
        set(&e, EXTERNAL_ADDRESS,
            edits->trusted_hops ? trusted_text(edits, h, client, a) : address);
    }
    if (edits->tells_port)
        tell_port(&e, client);
    if ((direct && !edits->trusted_hops) || !e.found[FORWARDED_PROTO])
        set_whole(&e, FORWARDED_PROTO,
                  conn_tls(client) ? STR("x-forwarded-proto: https")
                                   : STR("x-forwarded-proto: http"));
    bool believed = !direct || edits->keeps_request_id;
    if (edits->makes_request_id && !(believed && e.found[REQUEST_ID]))
        set_whole(&e, REQUEST_ID, make_request_id(a));
}

/* RFC 9110 section 5.6.7, made once a second in each thread; the one before stays as long as the
 * next does: a head is written sooner. */
static struct str date_line(uint64_t now_ms)
{
    static _Thread_local char text[2][6 + HTTP_DATE_BYTES] = {"date: ", "date: "};
    static _Thread_local uint64_t made_ms;
    static _Thread_local unsigned at;
    if (!made_ms || now_ms - made_ms >= 1000) {
        int64_t us = time_real_us();
        at ^= 1;
        time_format_http(us / 1000000, text[at] + 6);
        made_ms = now_ms - MIN(now_ms - 1, (uint64_t)(us / 1000 % 1000));
    }
    return str_of(text[at], 6 + HTTP_DATE_BYTES - 1);
}

void http_edit_answer(const struct http_edits *edits, const struct http_head *request,
                      struct http_head *h, uint64_t now_ms, struct arena *a)
{
    struct edit e = {.h = h, .a = a};
    look(&e);
    if (!e.found[DATE])
        set_whole(&e, DATE, date_line(now_ms));
    if (edits->answers_request_id)
        set(&e, REQUEST_ID, http_field_value(http_head_find(request, HTTP_NAME_X_REQUEST_ID)));
    if (edits->server == HTTP_SERVER_OVERWRITE ||
        (edits->server == HTTP_SERVER_IF_ABSENT && !e.found[SERVER]))
        set_whole(&e, SERVER, str_of(edits->server_name, 8 + edits->server_name_n));
}
