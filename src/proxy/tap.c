/* One lock for orders and for what was seen: only requests that are watched take it. */
#include "proxy/tap.h"

#include <pthread.h>

#include "base/time.h"
#include "codec/pb_msg.h"
#include "proxy/mesh_report.h"
#include "proxy/request_priv.h"

typedef Fairlead__Telemetry__V1__Order pb_order;
typedef Fairlead__Telemetry__V1__Request pb_request;

struct order {
    uint64_t id;
    char *method, *path_prefix, *peer; /* "": any */
    uint32_t status_from, status_to;   /* 0: any */
    char *fields[TAP_FIELDS_MAX];
    size_t n_fields;
    uint32_t rate;
    uint64_t end_us; /* monotonic */
    uint64_t second; /* in which n were told */
    uint32_t n;
};

atomic_bool tap_open;

static struct {
    pthread_mutex_t lock;
    struct order orders[TAP_ORDERS_MAX];
    size_t n;
    struct buf waiting; /* reports */
    uint64_t dropped;
} taps = {.lock = PTHREAD_MUTEX_INITIALIZER, .waiting = {.cap = TAP_WAITING_BYTES}};

/* ---- orders ---- */

static void order_done(struct order *o)
{
    free(o->method);
    free(o->path_prefix);
    free(o->peer);
    for (size_t i = 0; i < o->n_fields; i++)
        free(o->fields[i]);
}

static void remove_at(size_t i)
{
    order_done(&taps.orders[i]);
    taps.orders[i] = taps.orders[--taps.n];
    atomic_store(&tap_open, taps.n > 0);
}

static void remove_id(uint64_t id)
{
    for (size_t i = taps.n; i > 0; i--)
        if (taps.orders[i - 1].id == id)
            remove_at(i - 1);
}

/* Whoever may look at requests need not get at what these let somebody do. */
static bool is_credential(struct str name)
{
    static const char *const words[] = {"auth",    "cookie",    "token",    "secret",
                                        "api-key", "apikey",    "password", "client-cert",
                                        "jwt",     "assertion", "session"};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (str_contains(name, str_from(words[i])))
            return true;
    return false;
}

static char *lower(const char *text)
{
    char *p = xstrdup(text);
    for (char *c = p; *c; c++)
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
    return p;
}

static void add_order(const pb_order *m)
{
    uint32_t seconds = m->seconds ? MIN(m->seconds, (uint32_t)TAP_SECONDS_MAX) : TAP_SECONDS_MAX;
    struct order *o = &taps.orders[taps.n++];
    *o = (struct order){
        .id = m->id,
        .method = xstrdup(m->method),
        .path_prefix = xstrdup(m->path_prefix),
        .peer = str_dup(str_of(m->peer.data, m->peer.len)),
        .status_from = m->status_from,
        .status_to = m->status_to,
        .rate = m->requests_per_second ? MIN(m->requests_per_second, (uint32_t)TAP_RATE_MAX) : 100,
        .end_us = time_mono_us() + (uint64_t)seconds * 1000000,
    };
    for (size_t i = 0; i < m->n_fields && o->n_fields < TAP_FIELDS_MAX; i++) {
        char *name = lower(m->fields[i]);
        if (is_credential(str_from(name)))
            free(name);
        else
            o->fields[o->n_fields++] = name;
    }
    atomic_store(&tap_open, true);
}

void tap_order(const pb_order *m)
{
    pthread_mutex_lock(&taps.lock);
    remove_id(m->id);
    if (!m->end && taps.n < TAP_ORDERS_MAX)
        add_order(m);
    pthread_mutex_unlock(&taps.lock);
}

void tap_end_all(void)
{
    pthread_mutex_lock(&taps.lock);
    while (taps.n)
        remove_at(taps.n - 1);
    buf_done(&taps.waiting);
    taps.waiting.failed = false;
    taps.dropped = 0;
    pthread_mutex_unlock(&taps.lock);
}

void tap_take(struct buf *to, uint64_t *ret_dropped)
{
    uint64_t now = time_mono_us();
    pthread_mutex_lock(&taps.lock);
    buf_add_str(to, buf_str(&taps.waiting));
    buf_clear(&taps.waiting);
    *ret_dropped = taps.dropped;
    taps.dropped = 0;
    for (size_t i = taps.n; i > 0; i--)
        if (now >= taps.orders[i - 1].end_us)
            remove_at(i - 1);
    pthread_mutex_unlock(&taps.lock);
}

/* ---- requests ---- */

static struct str without_query(struct str path)
{
    struct str rest;
    return str_cut(path, '?', &rest);
}

static struct str str_of_bytes(ProtobufCBinaryData b)
{
    return str_of(b.data, b.len);
}

static bool is_peer(const struct order *o, struct str peer)
{
    struct str rest;
    return !*o->peer || str_is(str_cut(peer, ';', &rest), o->peer);
}

static bool matches(const struct order *o, const pb_request *m)
{
    return (!*o->method || str_is(str_of_bytes(m->method), o->method)) &&
           str_starts(str_of_bytes(m->path), str_from(o->path_prefix)) &&
           (!o->status_from || (m->status >= o->status_from && m->status <= o->status_to)) &&
           is_peer(o, str_of_bytes(m->pair->peer));
}

/* Not more of them than were asked for. */
static bool may_tell(struct order *o, uint64_t now_us)
{
    if (o->second != now_us / 1000000) {
        o->second = now_us / 1000000;
        o->n = 0;
    }
    return o->n++ < o->rate;
}

static ProtobufCBinaryData text(struct str s)
{
    return mesh_bytes(str_first(s, TAP_TEXT_BYTES));
}

static size_t find_fields(const struct order *o, const struct http_head *h,
                          Fairlead__Telemetry__V1__Field *ret)
{
    size_t n = 0;
    for (size_t i = 0; i < o->n_fields; i++) {
        struct str name = str_from(o->fields[i]),
                   value = http_field_value(http_head_find_text(h, name));
        if (!value.p)
            continue;
        fairlead__telemetry__v1__field__init(&ret[n]);
        ret[n].name = mesh_bytes(name);
        ret[n++].value = text(value);
    }
    return n;
}

static void tell(const struct order *o, const struct http_head *h, pb_request *m)
{
    Fairlead__Telemetry__V1__Report report;
    Fairlead__Telemetry__V1__Field fields[TAP_FIELDS_MAX], *list[TAP_FIELDS_MAX];
    fairlead__telemetry__v1__report__init(&report);
    report.requests = &m;
    report.n_requests = 1;
    m->order = o->id;
    m->n_fields = find_fields(o, h, fields);
    m->fields = list;
    for (size_t i = 0; i < m->n_fields; i++)
        list[i] = &fields[i];
    size_t before = taps.waiting.n;
    if (pb_pack(&report.base, &taps.waiting) == 0 && !taps.waiting.failed)
        return;
    taps.waiting.n = before;
    taps.waiting.failed = false;
    taps.dropped++;
}

void tap_seen(pb_request *m, const struct http_head *h)
{
    uint64_t now_us = time_mono_us();
    pthread_mutex_lock(&taps.lock);
    for (size_t i = 0; i < taps.n; i++) {
        struct order *o = &taps.orders[i];
        if (now_us >= o->end_us || !matches(o, m))
            continue;
        if (may_tell(o, now_us))
            tell(o, h, m);
        else
            taps.dropped++;
    }
    pthread_mutex_unlock(&taps.lock);
}

void tap_request(const struct request *r, const struct mesh_key *k)
{
    const struct http_head *h = http_stream_head(r->down);
    Fairlead__Telemetry__V1__Pair pair;
    pb_request m;
    mesh_report_pair(k, &pair);
    fairlead__telemetry__v1__request__init(&m);
    m.pair = &pair;
    m.method = text(h->method);
    m.path = text(without_query(h->path));
    m.authority =
        text(h->authority.p ? h->authority : http_field_value(http_head_find(h, HTTP_NAME_HOST)));
    m.status = r->status;
    m.flags = mesh_bytes(reason_row((enum reason)r->reason)->flag);
    m.microseconds = time_mono_us() - r->begin_us;
    m.begin_us = time_real_us() - (int64_t)m.microseconds;
    m.endpoint = text(r->upstream_host);
    tap_seen(&m, h);
}
