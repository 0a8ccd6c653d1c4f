/* Series as text: of all workers by their labels, those of one set of labels added up, metric by
 * metric. */
#include <stdio.h>

#include "base/vec.h"
#include "proxy/endpoint.h"
#include "proxy/mesh_series.h"
#include "proxy/mesh_stats.h"
#include "proxy/reasons.h"

struct row {
    char *labels;
    const struct mesh_series *series;
};

struct rows {
    VEC(struct row) v;
};

static const struct metric {
    const char *name, *help;
    unsigned at; /* first cell */
    bool histogram, tcp;
} metrics[] = {
    {"istio_requests_total", "requests", MESH_REQUESTS, false, false},
    {"istio_request_duration_milliseconds", "from a request's head to its end", MESH_DURATION, true,
     false},
    {"istio_request_bytes", "bodies of requests", MESH_REQUEST_BYTES, true, false},
    {"istio_response_bytes", "bodies of answers", MESH_RESPONSE_BYTES, true, false},
    {"istio_tcp_connections_opened_total", "connections", MESH_TCP_OPENED, false, true},
    {"istio_tcp_connections_closed_total", "connections that have ended", MESH_TCP_CLOSED, false,
     true},
    {"istio_tcp_sent_bytes_total", "bytes to clients", MESH_TCP_SENT, false, true},
    {"istio_tcp_received_bytes_total", "bytes from clients", MESH_TCP_RECEIVED, false, true},
};

struct mesh_page {
    struct rows rows[2]; /* of requests, of connections; by labels */
    bool edited;         /* some are told otherwise: then each metric has */
    struct rows own;     /* rows of its own, while it is told */
    unsigned metric;
    size_t at;
};

/* A set of labels that is being made. */
struct labels {
    struct buf b;
    const struct mesh_edits *edits; /* NULL: as they are */
    const char *values;
    unsigned metric;
    uint32_t told; /* bits of edits that stand there already */
};

/* ---- labels ---- */

/* Of a text with parts. */
struct parts {
    struct str v[7];
};

static struct parts split(const char *text)
{
    struct parts p = {0};
    struct str rest = str_from(text ? text : "");
    for (size_t i = 0; i < ARRAY_LEN(p.v); i++)
        p.v[i] = str_cut(rest, ';', &rest);
    return p;
}

static void add_label(struct buf *b, const char *name, struct str value, const char *otherwise)
{
    buf_addf(b, "%s%s=\"", b->n ? "," : "", name);
    if (!value.n)
        value = str_from(otherwise);
    for (size_t i = 0; i < value.n; i++) {
        if (value.p[i] == '\\' || value.p[i] == '"')
            buf_add_char(b, '\\');
        if (value.p[i] == '\n')
            buf_add_cstr(b, "\\n");
        else
            buf_add_char(b, value.p[i]);
    }
    buf_add_char(b, '"');
}

static void add(struct labels *l, const char *name, struct str value, const char *otherwise)
{
    const struct mesh_edit *e = mesh_edits_find(l->edits, l->metric, str_from(name));
    if (!e) {
        add_label(&l->b, name, value, otherwise);
        return;
    }
    l->told |= 1u << (e - l->edits->labels);
    if (!e->removed)
        add_label(&l->b, name, mesh_edits_value(e, l->values), "unknown");
}

/* Labels that only edits know. */
static void add_new(struct labels *l)
{
    for (size_t i = 0; l->edits && i < l->edits->n_labels; i++) {
        const struct mesh_edit *e = &l->edits->labels[i];
        if (!e->removed && e->metrics >> l->metric & 1 && !(l->told >> i & 1))
            add_label(&l->b, e->label, mesh_edits_value(e, l->values), "unknown");
    }
}

/* names: the side's, in the order of a workload's parts. */
static void add_side(struct labels *b, const char *side, const struct parts *p,
                     const char *principal, struct str ns)
{
    const struct {
        const char *name;
        struct str value;
        const char *otherwise;
    } labels[] = {
        {"workload", p->v[0], "unknown"},
        {"workload_namespace", ns, "unknown"},
        {"principal", str_from(principal ? principal : ""), "unknown"},
        {"app", p->v[5], "unknown"},
        {"version", p->v[6], "unknown"},
        {"canonical_service", p->v[2], "unknown"},
        {"canonical_revision", p->v[3], "latest"},
        {"cluster", p->v[4], "unknown"},
    };
    for (size_t i = 0; i < ARRAY_LEN(labels); i++) {
        char name[64];
        snprintf(name, sizeof(name), "%s_%s", side, labels[i].name);
        add(b, name, labels[i].value, labels[i].otherwise);
    }
}

/* In "spiffe://cluster.local/ns/NAMESPACE/sa/ACCOUNT". */
static struct str namespace_in(const char *principal)
{
    const char *at = principal ? strstr(principal, "/ns/") : NULL;
    struct str rest;
    return at ? str_cut(str_from(at + 4), '/', &rest) : (struct str){0};
}

static void add_service(struct labels *b, const struct mesh_key *k, const struct parts *destination,
                        struct str destination_ns)
{
    struct parts service = split(k->service);
    struct str host = service.v[0].n ? service.v[0] : str_from(k->host ? k->host : ""),
               name = service.v[1].n ? service.v[1] : host;
    add(b, "destination_service", host.n ? host : destination->v[2], "unknown");
    add(b, "destination_service_name", name.n ? name : destination->v[2], "unknown");
    add(b, "destination_service_namespace", service.v[2].n ? service.v[2] : destination_ns,
        "unknown");
}

static void add_outcome(struct labels *b, const struct mesh_key *k)
{
    struct str flag = reason_row((enum reason)k->reason)->flag;
    char text[16];
    bool grpc = k->flags & MESH_IS_GRPC, delayed = k->flags & MESH_IS_DELAYED,
         tcp = k->flags & MESH_IS_TCP;
    add(b, "request_protocol", tcp ? STR("tcp") : grpc ? STR("grpc") : STR("http"), "");
    snprintf(text, sizeof(text), "%s" STR_FMT, delayed ? (flag.n ? "DI," : "DI") : "",
             STR_ARG(flag));
    add(b, "response_flags", str_from(text), "-");
    add(b, "connection_security_policy",
        k->flags & MESH_IS_SOURCE ? STR("unknown")
        : k->principal && k->own  ? STR("mutual_tls")
                                  : STR("none"),
        "");
    if (tcp)
        return;
    snprintf(text, sizeof(text), "%u", k->status);
    add(b, "response_code", str_from(text), "");
    snprintf(text, sizeof(text), "%d", k->grpc - 1);
    add(b, "grpc_response_status", k->grpc && grpc ? str_from(text) : STR(""), "");
}

/* metric: of which edits count; MESH_EDITS_METRICS: none do. */
static char *labels_of(const struct mesh_key *k, unsigned metric)
{
    struct labels b = {.edits = metric < MESH_EDITS_METRICS ? k->edits : NULL,
                       .values = k->values,
                       .metric = metric};
    bool source = k->flags & MESH_IS_SOURCE;
    const char *peer = k->peer ? k->peer : k->slot ? atomic_load(&k->slot->first) : NULL;
    struct parts own = split(peers_self()), other = split(peer);
    struct str ns = namespace_in(k->principal);
    if (!ns.n)
        ns = other.v[1];
    add(&b, "reporter", source ? STR("source") : STR("destination"), "");
    add_side(&b, "source", source ? &own : &other, source ? k->own : k->principal,
             source ? own.v[1] : ns);
    add_side(&b, "destination", source ? &other : &own, source ? k->principal : k->own,
             source ? ns : own.v[1]);
    add_service(&b, k, source ? &other : &own, source ? ns : own.v[1]);
    add_outcome(&b, k);
    add_new(&b);
    return buf_take_cstr(&b.b);
}

/* ---- rows ---- */

static int by_labels(const void *a, const void *b)
{
    return strcmp(((const struct row *)a)->labels, ((const struct row *)b)->labels);
}

static void sort(struct rows *r)
{
    if (r->v.n)
        qsort(r->v.v, r->v.n, sizeof(struct row), by_labels);
}

static void rows_done(struct rows *r)
{
    VEC_FOREACH (one, &r->v)
        free(one->labels);
    vec_done(&r->v);
}

struct mesh_page *mesh_page_new(void)
{
    struct mesh_page *p = NEW(struct mesh_page);
    for (size_t w = 0; w < WORKERS_MAX; w++)
        for (const struct mesh_series *s = atomic_load(&mesh_lists[w]); s; s = s->next)
            vec_push(&p->rows[(s->key.flags & MESH_IS_TCP) != 0].v,
                     (struct row){labels_of(&s->key, MESH_EDITS_METRICS), s});
    for (size_t i = 0; i < ARRAY_LEN(p->rows); i++)
        sort(&p->rows[i]);
    VEC_FOREACH (r, &p->rows[0].v)
        p->edited = p->edited || r->series->key.edits;
    return p;
}

void mesh_page_free(struct mesh_page *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < ARRAY_LEN(p->rows); i++)
        rows_done(&p->rows[i]);
    rows_done(&p->own);
    free(p);
}

/* Of a metric of requests, some of which are told otherwise, or not at all. */
static const struct rows *edited_rows(struct mesh_page *p)
{
    if (p->at)
        return &p->own;
    rows_done(&p->own);
    VEC_FOREACH (r, &p->rows[0].v) {
        const struct mesh_key *k = &r->series->key;
        if (!k->edits || !(k->edits->dropped >> p->metric & 1))
            vec_push(&p->own.v, (struct row){labels_of(k, p->metric), r->series});
    }
    sort(&p->own);
    return &p->own;
}

static uint64_t sum(const struct row *rows, size_t n, unsigned cell)
{
    uint64_t all = 0;
    for (size_t i = 0; i < n; i++)
        all += atomic_load_explicit(&rows[i].series->cells[cell].n, memory_order_relaxed);
    return all;
}

/* n rows of the same labels. */
static void add_row(const struct row *rows, size_t n, const struct metric *m, struct buf *to)
{
    const char *name = m->name, *labels = rows->labels;
    uint64_t upto = 0;
    if (!m->histogram) {
        buf_addf(to, "%s{%s} %llu\n", name, labels, (unsigned long long)sum(rows, n, m->at));
        return;
    }
    for (unsigned i = 0; i <= STATS_BOUNDS; i++) {
        upto += sum(rows, n, m->at + i);
        buf_addf(to, "%s_bucket{%s,le=\"", name, labels);
        if (i < STATS_BOUNDS)
            buf_addf(to, "%.10g", stats_bounds_tenths[i] / 10.0);
        else
            buf_add_cstr(to, "+Inf");
        buf_addf(to, "\"} %llu\n", (unsigned long long)upto);
    }
    buf_addf(to, "%s_sum{%s} %llu\n%s_count{%s} %llu\n", name, labels,
             (unsigned long long)sum(rows, n, m->at + STATS_BOUNDS + 1), name, labels,
             (unsigned long long)upto);
}

bool mesh_page_next(struct mesh_page *p, size_t bytes, struct buf *to)
{
    size_t end = to->n + bytes;
    while (p->metric < ARRAY_LEN(metrics) && to->n < end) {
        const struct metric *m = &metrics[p->metric];
        const struct rows *all = p->edited && !m->tcp ? edited_rows(p) : &p->rows[m->tcp];
        if (p->at == all->v.n) {
            p->at = 0;
            p->metric++;
            continue;
        }
        const struct row *rows = &all->v.v[p->at];
        size_t n = 1;
        while (p->at + n < all->v.n && streq(rows[n].labels, rows->labels))
            n++;
        if (p->at == 0)
            buf_addf(to, "# HELP %s %s\n# TYPE %s %s\n", m->name, m->help, m->name,
                     m->histogram ? "histogram" : "counter");
        add_row(rows, n, m, to);
        p->at += n;
    }
    if (p->metric < ARRAY_LEN(metrics))
        return true;
    uint64_t over = atomic_load(&mesh_overflow);
    if (over)
        buf_addf(to,
                 "# HELP istio_series_overflow_total counted without names, for want of room\n"
                 "# TYPE istio_series_overflow_total counter\nistio_series_overflow_total %llu\n",
                 (unsigned long long)over);
    return false;
}
