#include "proxy/mesh_report.h"

#include "codec/pb_msg.h"
#include "proxy/endpoint.h"
#include "proxy/reasons.h"

typedef Fairlead__Telemetry__V1__Traffic pb_traffic;

static_assert(STATS_BOUNDS == 19, "the control plane has these bounds, too (model/traffic.c)");

static struct str str_or_empty(const char *p)
{
    return str_from(p ? p : "");
}

void mesh_report_pair(const struct mesh_key *k, Fairlead__Telemetry__V1__Pair *ret)
{
    bool tcp = k->flags & MESH_IS_TCP, grpc = k->flags & MESH_IS_GRPC;
    fairlead__telemetry__v1__pair__init(ret);
    ret->source = k->flags & MESH_IS_SOURCE;
    ret->peer = mesh_bytes(str_or_empty(k->peer   ? k->peer
                                        : k->slot ? atomic_load(&k->slot->first)
                                                  : NULL));
    ret->service = mesh_bytes(str_or_empty(k->service));
    ret->host = mesh_bytes(str_or_empty(k->host));
    ret->protocol = mesh_bytes(tcp ? STR("tcp") : grpc ? STR("grpc") : STR("http"));
    /* of a call, its server says best what it was */
    ret->security = k->principal && (k->own || ret->source)
                        ? FAIRLEAD__TELEMETRY__V1__PAIR__SECURITY__MUTUAL_TLS
                    : ret->source ? FAIRLEAD__TELEMETRY__V1__PAIR__SECURITY__UNKNOWN
                                  : FAIRLEAD__TELEMETRY__V1__PAIR__SECURITY__PLAIN;
}

static uint64_t now(const struct mesh_series *s, unsigned cell)
{
    return atomic_load_explicit(&s->cells[cell].n, memory_order_relaxed);
}

/* The difference, which is told from now on. */
static uint64_t take(struct mesh_series *s, unsigned cell)
{
    uint64_t before = s->told[cell];
    s->told[cell] = now(s, cell);
    return s->told[cell] - before;
}

static bool has_changed(const struct mesh_series *s)
{
    if (!s->told)
        return true;
    if (!(s->key.flags & MESH_IS_TCP))
        return now(s, MESH_REQUESTS) != s->told[MESH_REQUESTS];
    for (unsigned i = 0; i < _MESH_TCP_CELLS; i++)
        if (now(s, i) != s->told[i])
            return true;
    return false;
}

static void make_room(struct mesh_series *s)
{
    if (!s->told)
        s->told = xcalloc(mesh_cells(&s->key), sizeof(*s->told));
}

static void add(struct mesh_series *s, struct buf *to)
{
    Fairlead__Telemetry__V1__Report report;
    Fairlead__Telemetry__V1__Pair pair;
    uint64_t buckets[STATS_BOUNDS + 1];
    pb_traffic t, *one = &t;
    fairlead__telemetry__v1__report__init(&report);
    fairlead__telemetry__v1__traffic__init(&t);
    report.traffic = &one;
    report.n_traffic = 1;
    mesh_report_pair(&s->key, &pair);
    t.pair = &pair;
    t.status = s->key.status;
    t.grpc = s->key.grpc;
    t.flags = mesh_bytes(reason_row((enum reason)s->key.reason)->flag);
    make_room(s);
    if (s->key.flags & MESH_IS_TCP) {
        t.opened = take(s, MESH_TCP_OPENED);
        t.closed = take(s, MESH_TCP_CLOSED);
        t.received_bytes = take(s, MESH_TCP_RECEIVED);
        t.sent_bytes = take(s, MESH_TCP_SENT);
    } else {
        t.requests = take(s, MESH_REQUESTS);
        t.milliseconds = take(s, MESH_DURATION + STATS_BOUNDS + 1);
        t.received_bytes = take(s, MESH_REQUEST_BYTES + STATS_BOUNDS + 1);
        t.sent_bytes = take(s, MESH_RESPONSE_BYTES + STATS_BOUNDS + 1);
        t.buckets = buckets;
        t.n_buckets = ARRAY_LEN(buckets);
        for (unsigned i = 0; i < ARRAY_LEN(buckets); i++)
            buckets[i] = take(s, MESH_DURATION + i);
    }
    IGNORE_RESULT(pb_pack(&report.base, to)); /* no memory: it is left out */
}

void mesh_report(size_t bytes, struct buf *to)
{
    for (size_t w = 0; w < WORKERS_MAX; w++)
        for (struct mesh_series *s = atomic_load(&mesh_lists[w]); s && to->n < bytes; s = s->next)
            if (has_changed(s))
                add(s, to);
}

void mesh_report_begin(void)
{
    for (size_t w = 0; w < WORKERS_MAX; w++)
        for (struct mesh_series *s = atomic_load(&mesh_lists[w]); s; s = s->next) {
            make_room(s);
            for (unsigned i = 0; i < mesh_cells(&s->key); i++)
                s->told[i] = now(s, i);
        }
}
