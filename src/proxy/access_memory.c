/* What is remembered of another server's answers: by whom it was asked what, and how long. The
 * whole configuration of the question is part of a key, which names the route, too, and so is the
 * host: what one route was told is no other's. */
#include <errno.h>

#include "proxy/access.h"

typedef Fairlead__Filters__Http__V1__Access__Cache pb_cache;
typedef Fairlead__Filters__Http__V1__Access__Cache__Key pb_key;

enum { KEYS_MAX = 16, STATUSES_MAX = 32, KEY_MAX = 8 * 1024 };

struct key_part {
    uint8_t kind; /* of the message's enum */
    struct header_name name;
};

struct access_memory {
    struct str question; /* the configuration, packed */
    struct key_part keys[KEYS_MAX];
    struct {
        uint16_t status;
        uint32_t seconds;
    } statuses[STATUSES_MAX];
    size_t n_keys, n_statuses;
};

/* ---- configuration ---- */

int access_memory_compile(struct filter_compile *c,
                          const Fairlead__Filters__Http__V1__Access__Request *m,
                          struct access_memory **ret)
{
    const pb_cache *from = m->cache;
    struct access_memory *x = arena_alloc(c->a, sizeof(*x));
    size_t n = protobuf_c_message_get_packed_size(&m->base);
    uint8_t *packed = arena_alloc_raw(c->a, n + 1);
    if (!x || !packed)
        return -ENOMEM;
    if (!from->n_keys || from->n_keys > KEYS_MAX || from->n_statuses > STATUSES_MAX)
        return pb_path_fail(c->path, c->err, -EINVAL,
                            "request.cache: 1 to %d keys, at most %d statuses", KEYS_MAX,
                            STATUSES_MAX);
    x->question = str_of((char *)packed, protobuf_c_message_pack(&m->base, packed));
    for (; x->n_keys < from->n_keys; x->n_keys++) {
        const pb_key *k = from->keys[x->n_keys];
        x->keys[x->n_keys].kind = (uint8_t)k->kind;
        x->keys[x->n_keys].name = header_name_of(k->name, c->a);
        if (!x->keys[x->n_keys].name.text.p)
            return -ENOMEM;
    }
    for (; x->n_statuses < from->n_statuses; x->n_statuses++) {
        x->statuses[x->n_statuses].status = (uint16_t)from->statuses[x->n_statuses]->status;
        x->statuses[x->n_statuses].seconds = from->statuses[x->n_statuses]->seconds;
    }
    *ret = x;
    return 0;
}

/* ---- keys ---- */

static void add(struct buf *b, struct str s)
{
    buf_addf(b, "%zu:", s.n); /* what ends where cannot be made up by what stands there */
    buf_add_str(b, s);
}

static void add_fields(struct buf *b, const struct http_head *h, struct header_name name)
{
    for (uint16_t i = 0; i < h->n; i++) {
        const struct http_field *f = &h->fields[i];
        if (f->name_n && str_eq_nocase(str_of(f->name, f->name_n), name.text))
            add(b, http_field_value(f));
    }
    buf_add_char(b, ';');
}

/* All of that name, as all fields of a name: which of them the server goes by is its own affair,
 * and none at all is another thing than an empty one. */
static void add_pairs(struct buf *b, struct str all, char separator, struct str name)
{
    while (all.p) {
        struct str value, pair = str_trim(str_cut(all, separator, &all));
        struct str key = str_trim(str_cut(pair, '=', &value));
        if (key.n && memchr(key.p, '%', key.n)) /* may be any name */
            add(b, pair);
        else if (str_eq(key, name) && value.p)
            add(b, value);
    }
}

static void add_cookies(struct buf *b, const struct http_head *h, struct str name)
{
    for (uint16_t i = 0; i < h->n; i++)
        if (h->fields[i].id == HTTP_NAME_COOKIE && h->fields[i].name_n)
            add_pairs(b, http_field_value(&h->fields[i]), ';', name);
    buf_add_char(b, ';');
}

static void add_key(struct buf *b, const struct key_part *k, struct filter_call *c)
{
    struct str query, path = str_cut(c->head->path, '?', &query);
    char text[IP_TEXT_BYTES];
    struct ip ip;
    buf_addf(b, "%u=", k->kind);
    switch (k->kind) {
    case FAIRLEAD__FILTERS__HTTP__V1__ACCESS__CACHE__KIND__URI:
        add(b, c->head->path);
        break;
    case FAIRLEAD__FILTERS__HTTP__V1__ACCESS__CACHE__KIND__PATH:
        add(b, path);
        break;
    case FAIRLEAD__FILTERS__HTTP__V1__ACCESS__CACHE__KIND__ADDRESS:
        if (c->client(c, &ip) == 0)
            add(b, str_from(ip_format(&ip, text)));
        break;
    case FAIRLEAD__FILTERS__HTTP__V1__ACCESS__CACHE__KIND__QUERY:
        add_pairs(b, query, '&', k->name.text);
        buf_add_char(b, ';');
        break;
    case FAIRLEAD__FILTERS__HTTP__V1__ACCESS__CACHE__KIND__COOKIE:
        add_cookies(b, c->head, k->name.text);
        break;
    case FAIRLEAD__FILTERS__HTTP__V1__ACCESS__CACHE__KIND__HEADER:
        add_fields(b, c->head, k->name);
        break;
    default: /* the host is in every key */
        break;
    }
}

struct str access_memory_key(const struct access_memory *m, struct filter_call *c)
{
    AUTO_DONE(buf) struct buf b = {.cap = KEY_MAX};
    const struct http_field *host = http_head_find(c->head, HTTP_NAME_HOST);
    add(&b, m->question);
    add(&b, c->head->authority.p ? c->head->authority : http_field_value(host));
    for (size_t i = 0; i < m->n_keys; i++)
        add_key(&b, &m->keys[i], c);
    return b.failed ? (struct str){NULL, 0} : arena_str(http_stream_arena(c->down), buf_str(&b));
}

/* ---- answers ---- */

/* What the server says of it (RFC 9111 section 5.2): no longer than that. What is for one client
 * alone is not remembered. */
static uint64_t seconds_of(const struct access_memory *m, const struct http_head *answer)
{
    uint64_t s = 0, max;
    for (size_t i = 0; i < m->n_statuses && !s; i++)
        if (m->statuses[i].status == answer->status)
            s = m->statuses[i].seconds;
    for (uint16_t i = 0; i < answer->n && s; i++) {
        const struct http_field *f = &answer->fields[i];
        struct str rest = http_field_value(f);
        if (!f->name_n)
            continue;
        if (f->id == HTTP_NAME_SET_COOKIE || f->id == HTTP_NAME_VARY)
            return 0;
        while (f->id == HTTP_NAME_CACHE_CONTROL && rest.p) {
            struct str value, word = str_trim(str_cut(rest, ',', &rest));
            word = str_cut(word, '=', &value);
            if (str_eq_nocase(word, STR("no-store")) || str_eq_nocase(word, STR("no-cache")) ||
                str_eq_nocase(word, STR("private")))
                return 0;
            if (str_eq_nocase(word, STR("max-age")))
                s = value.p && str_to_u64(value, &max) == 0 ? MIN(s, max) : 0;
        }
    }
    return s;
}

void access_memory_keep(const struct access_memory *m, struct filter_call *c, struct str key,
                        const struct http_head *answer)
{
    uint64_t s = key.p ? seconds_of(m, answer) : 0;
    if (s)
        answer_cache_put(c->answers, key, answer, loop_now_ms(c->loop) + s * 1000);
}
