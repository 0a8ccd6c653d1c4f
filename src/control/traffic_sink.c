/* Each end of an edge has a ring of slots of 5 s; the last minute is the sum of those that have not
 * passed it. An edge is found by its names, joined. */
#include "control/traffic_sink.h"

#include <stdlib.h>

#include "base/map.h"
#include "base/vec.h"
#include "model/traffic.h"

typedef Fairlead__Telemetry__V1__Traffic pb_traffic;
typedef Fairlead__Telemetry__V1__Pair pb_pair;

enum { SLOT_MS = 5000, SLOTS = TRAFFIC_WINDOW_S * 1000 / SLOT_MS + 1, SWEEP_MS = 10 * 1000 };

struct slot {
    uint64_t at; /* of SLOT_MS; 0: never used */
    uint32_t requests, errors, connections;
    uint32_t buckets[TRAFFIC_BOUNDS + 1];
    uint64_t milliseconds, received_bytes, sent_bytes;
};

struct end {
    uint64_t begin_ms; /* first told */
    struct slot slots[SLOTS];
};

enum { SOURCE, SOURCE_NS, DESTINATION, DESTINATION_NS, SERVICE, PROTOCOL, NAMES };

struct edge {
    char *names[NAMES];
    struct end *ends[2]; /* the server's, the client's; NULL: that one tells nothing */
    uint64_t last_ms;
    uint8_t security; /* as the server says it */
    size_t *of_namespace;
};

struct traffic_sink {
    struct map edges;      /* names joined -> struct edge */
    struct map namespaces; /* -> how many edges their proxies have made, size_t */
    uint64_t sweep_ms;
    uint64_t overflow;
};

/* ---- names ---- */

/* Of a text with parts. */
static struct str part(ProtobufCBinaryData text, unsigned i)
{
    struct str rest = str_of(text.data, text.len), one = str_cut(rest, ';', &rest);
    for (; i > 0; i--)
        one = str_cut(rest, ';', &rest);
    return one;
}

static struct str or_unknown(struct str s)
{
    return s.n ? s : STR("unknown");
}

struct side {
    struct str name, ns;
};

static struct side side_of(const struct traffic_reporter *r, const pb_pair *p, bool source)
{
    struct side own = {str_from(r->workload), str_from(r->ns)},
                other = {or_unknown(part(p->peer, 0)), or_unknown(part(p->peer, 1))};
    if (p->source && p->service.len && !p->peer.len)
        other.ns = or_unknown(part(p->service, 2)); /* nobody has answered for it */
    return (bool)p->source == source ? own : other;
}

static struct str service_of(const pb_pair *p)
{
    struct str host = part(p->service, 0);
    return host.n ? host : str_of(p->host.data, p->host.len);
}

json_t *traffic_side_json(const struct traffic_reporter *r, const pb_pair *p, bool source)
{
    struct side s = side_of(r, p, source);
    return json_pack("{s:o,s:o}", "workload", json_text(str_first(s.name, EDGE_NAME_BYTES)),
                     "namespace", json_text(str_first(s.ns, EDGE_NAME_BYTES)));
}

json_t *traffic_service_json(const pb_pair *p)
{
    return json_text(str_first(service_of(p), EDGE_NAME_BYTES));
}

const char *traffic_security_word(Fairlead__Telemetry__V1__Pair__Security s)
{
    return s == FAIRLEAD__TELEMETRY__V1__PAIR__SECURITY__MUTUAL_TLS ? "mutual_tls"
           : s == FAIRLEAD__TELEMETRY__V1__PAIR__SECURITY__PLAIN    ? "none"
                                                                    : "unknown";
}

/* ---- edges ---- */

static void edge_free(struct edge *e)
{
    for (unsigned i = 0; i < NAMES; i++)
        free(e->names[i]);
    free(e->ends[0]);
    free(e->ends[1]);
    --*e->of_namespace;
    free(e);
}

static void sweep(struct traffic_sink *s, uint64_t now_ms)
{
    struct str key;
    void *p;
    if (now_ms < s->sweep_ms)
        return;
    s->sweep_ms = now_ms + SWEEP_MS;
    for (size_t at = 0; map_next(&s->edges, &at, &key, &p);) {
        struct edge *e = p;
        if (now_ms - e->last_ms < EDGE_IDLE_MS)
            continue;
        map_remove(&s->edges, key);
        edge_free(e);
    }
    for (size_t at = 0; map_next(&s->namespaces, &at, &key, &p);)
        if (!*(size_t *)p) {
            map_remove(&s->namespaces, key);
            free(p);
        }
}

static size_t *count_of_namespace(struct traffic_sink *s, const char *ns)
{
    size_t *n = map_find_cstr(&s->namespaces, ns);
    if (!n) {
        n = NEW(size_t);
        map_put_cstr(&s->namespaces, ns, n);
    }
    return n;
}

static struct edge *edge_get(struct traffic_sink *s, const struct traffic_reporter *r,
                             const struct str names[NAMES])
{
    AUTO_DONE(buf) struct buf key = {0};
    for (unsigned i = 0; i < NAMES; i++) {
        buf_add_str(&key, str_first(names[i], EDGE_NAME_BYTES));
        buf_add_char(&key, ';');
    }
    struct edge *e = key.failed ? NULL : map_find(&s->edges, buf_str(&key));
    if (e || key.failed)
        return e;
    size_t *n = count_of_namespace(s, r->ns);
    if (s->edges.used >= EDGES_MAX || *n >= EDGES_NAMESPACE_MAX)
        return NULL;
    e = NEW(struct edge);
    for (unsigned i = 0; i < NAMES; i++)
        e->names[i] = str_dup(str_first(names[i], EDGE_NAME_BYTES));
    e->of_namespace = n;
    ++*n;
    map_put(&s->edges, buf_str(&key), e);
    return e;
}

/* ---- numbers ---- */

static struct slot *slot_of(struct end *e, uint64_t now_ms)
{
    uint64_t at = now_ms / SLOT_MS + 1;
    struct slot *slot = &e->slots[at % SLOTS];
    if (slot->at != at)
        *slot = (struct slot){.at = at};
    return slot;
}

/* Numbers that are no good cannot do more than be wrong. */
static uint32_t small(uint64_t n)
{
    return (uint32_t)MIN(n, (uint64_t)1 << 24);
}

static void count(struct slot *to, const pb_traffic *m)
{
    bool failed = !m->status || m->status >= 500 || m->grpc > 1;
    to->requests += small(m->requests);
    to->errors += failed ? small(m->requests) : 0;
    to->connections += small(m->opened);
    to->milliseconds += m->milliseconds;
    to->received_bytes += m->received_bytes;
    to->sent_bytes += m->sent_bytes;
    for (size_t i = 0; i < m->n_buckets && i < ARRAY_LEN(to->buckets); i++)
        to->buckets[i] += small(m->buckets[i]);
}

void traffic_sink_add(struct traffic_sink *s, uint64_t now_ms, const struct traffic_reporter *r,
                      const pb_traffic *m)
{
    const pb_pair *p = m->pair;
    sweep(s, now_ms);
    if (!p)
        return;
    struct side from = side_of(r, p, true), to = side_of(r, p, false);
    const struct str names[NAMES] = {from.name,     from.ns,
                                     to.name,       to.ns,
                                     service_of(p), str_of(p->protocol.data, p->protocol.len)};
    struct edge *e = edge_get(s, r, names);
    if (!e) {
        s->overflow++;
        return;
    }
    struct end **end = &e->ends[p->source != 0];
    if (!*end) {
        *end = NEW(struct end);
        (*end)->begin_ms = now_ms;
    }
    e->last_ms = now_ms;
    if (!p->source || (!e->security && p->security))
        e->security = (uint8_t)p->security;
    count(slot_of(*end, now_ms), m);
}

static struct traffic sum(const struct end *e, uint64_t now_ms)
{
    uint64_t now = now_ms / SLOT_MS + 1, age_s = (now_ms - e->begin_ms) / 1000 + 1;
    struct traffic t = {.seconds = MIN(age_s, (uint64_t)TRAFFIC_WINDOW_S)};
    for (size_t i = 0; i < SLOTS; i++) {
        const struct slot *slot = &e->slots[i];
        if (!slot->at || now - slot->at >= SLOTS)
            continue;
        t.requests += slot->requests;
        t.errors += slot->errors;
        t.connections += slot->connections;
        t.milliseconds += slot->milliseconds;
        t.received_bytes += slot->received_bytes;
        t.sent_bytes += slot->sent_bytes;
        for (size_t k = 0; k < ARRAY_LEN(t.buckets); k++)
            t.buckets[k] += slot->buckets[k];
    }
    return t;
}

static json_t *edge_json(const struct edge *e, uint64_t now_ms)
{
    static const char *const words[] = {"server", "client"};
    json_t *j = json_pack("{s:{s:o,s:o},s:{s:o,s:o},s:o,s:o,s:s}", "source", "workload",
                          json_text(str_from(e->names[SOURCE])), "namespace",
                          json_text(str_from(e->names[SOURCE_NS])), "destination", "workload",
                          json_text(str_from(e->names[DESTINATION])), "namespace",
                          json_text(str_from(e->names[DESTINATION_NS])), "service",
                          json_text(str_from(e->names[SERVICE])), "protocol",
                          json_text(str_from(e->names[PROTOCOL])), "security",
                          traffic_security_word(e->security));
    for (unsigned i = 0; i < ARRAY_LEN(words); i++)
        if (e->ends[i]) {
            struct traffic t = sum(e->ends[i], now_ms);
            json_object_set_new(j, words[i], traffic_to_json(&t));
        }
    return j;
}

static int by_names(const void *a, const void *b)
{
    const struct edge *x = *(struct edge *const *)a, *y = *(struct edge *const *)b;
    int d = 0;
    for (unsigned i = 0; !d && i < NAMES; i++)
        d = strcmp(x->names[i], y->names[i]);
    return d;
}

static bool is_of(const struct edge *e, const char *ns)
{
    return str_empty(ns) || streq(e->names[SOURCE_NS], ns) || streq(e->names[DESTINATION_NS], ns);
}

json_t *traffic_sink_edges(struct traffic_sink *s, const char *ns, uint64_t now_ms)
{
    VEC(struct edge *) all = {0};
    json_t *list = json_array();
    void *e;
    sweep(s, now_ms);
    for (size_t at = 0; map_next(&s->edges, &at, NULL, &e);)
        if (is_of(e, ns))
            vec_push(&all, e);
    if (all.n)
        qsort(all.v, all.n, sizeof(*all.v), by_names);
    VEC_FOREACH (one, &all)
        json_array_append_new(list, edge_json(*one, now_ms));
    vec_done(&all);
    return list;
}

/* ---- lifetime ---- */

struct traffic_sink *traffic_sink_new(void)
{
    return NEW(struct traffic_sink);
}

void traffic_sink_free(struct traffic_sink *s)
{
    void *p;
    if (!s)
        return;
    for (size_t at = 0; map_next(&s->edges, &at, NULL, &p);)
        edge_free(p);
    for (size_t at = 0; map_next(&s->namespaces, &at, NULL, &p);)
        free(p);
    map_done(&s->edges);
    map_done(&s->namespaces);
    free(s);
}

struct traffic_sink_stats traffic_sink_get_stats(const struct traffic_sink *s)
{
    return (struct traffic_sink_stats){s->edges.used, s->overflow};
}
