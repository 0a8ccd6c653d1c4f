/* The exporter: a batch for each collector that has had spans, one report at a time. */
#include "proxy/trace_export.h"

#include "base/assert.h"
#include "base/rand.h"
#include "net/http_client.h"
#include "proxy/otlp.h"

enum { REPORT_DELAY_MS = 1000 };

struct batch {
    struct list_node node;
    struct trace_collector *collector;
    struct buf spans; /* each encoded, joined as the form wants */
    size_t n;         /* of them */
    size_t n_on_way;  /* in the report that runs */
    struct http_client *client;
    struct endpoint *at; /* of the client; a reference */
    struct http_call *call;
    struct loop_timer *timer;
};

/* One for the program, as its main thread is. */
static struct exporter {
    _Atomic(struct loop *) loop; /* NULL: nobody takes spans */
    struct store *store;
    struct list_node batches;
    atomic_uint waiting;
    const char *cluster; /* that is not posted to; NULL: none */
    trace_export_fn *tell;
    void *user;
} exporter;

static void count(enum server_stat what, uint64_t n)
{
    stats_add(stats_main(stats_server()), what, n);
}

/* ---- reports ---- */

static void give_back(size_t n)
{
    atomic_fetch_sub_explicit(&exporter.waiting, (unsigned)n, memory_order_relaxed);
}

static void batch_free(struct batch *b)
{
    list_remove(&b->node);
    loop_timer_free(b->timer);
    if (b->call)
        http_call_cancel(b->call);
    http_client_free(b->client);
    endpoint_unref(b->at);
    give_back(b->n + b->n_on_way);
    trace_collector_unref(b->collector);
    buf_done(&b->spans);
    free(b);
}

static void on_reported(struct http_call *call, int code, const char *text, void *user)
{
    struct batch *b = user;
    int status = code < 0 ? 0 : http_call_status(call);
    (void)text;
    b->call = NULL;
    give_back(b->n_on_way);
    if (status >= 200 && status < 300) {
        count(SERVER_STAT_TRACE_REPORTS, 1);
        count(SERVER_STAT_TRACE_SPANS, b->n_on_way);
    } else {
        count(SERVER_STAT_TRACE_FAILED, 1);
        count(SERVER_STAT_TRACE_DROPPED, b->n_on_way);
    }
    b->n_on_way = 0;
    if (b->n)
        loop_timer_start(b->timer, b->n >= TRACE_REPORT_SPANS ? 0 : REPORT_DELAY_MS);
    else
        loop_timer_start(b->timer, 10 * REPORT_DELAY_MS); /* then it is forgotten */
}

/* The client of an endpoint that may be used; NULL: there is none. */
static struct http_client *client_of(struct batch *b)
{
    struct cluster *c = store_find_cluster(exporter.store, b->collector->cluster);
    if (!c || c->tls || c->matches) /* not over TLS yet, and never in plain instead */
        return NULL;
    struct lb_plan *plan = cluster_plan(c);
    VEC(uint32_t) cursors = {0};
    for (uint32_t i = lb_plan_cursors(plan); i > 0; i--)
        vec_push(&cursors, (uint32_t)(rand_u64() >> 33));
    uint32_t at = lb_choose(plan, cursors.v, &(struct lb_request){.random = rand_u64()});
    vec_done(&cursors);
    struct http_client_config config = {.host = b->collector->host,
                                        .user_agent = "fairlead-proxy/" FAIRLEAD_VERSION,
                                        .connect_timeout_ms = c->connect_timeout_ms,
                                        .idle_connections_max = 1};
    struct endpoint *e = at == LB_NONE ? NULL : plan->set->entries.v[at].endpoint;
    bool good =
        e && ip_from_sockaddr((struct sockaddr *)&e->address, &config.ip, &config.port) == 0;
    if (good && (e != b->at || !b->client)) {
        http_client_free(b->client);
        endpoint_unref(b->at);
        b->at = endpoint_ref(e);
        b->client = http_client_new(exporter.loop, &config);
    }
    lb_plan_unref(plan);
    return good ? b->client : NULL;
}

static void drop_all(struct batch *b)
{
    count(SERVER_STAT_TRACE_DROPPED, b->n);
    give_back(b->n);
    b->n = 0;
    buf_clear(&b->spans);
}

static void make_body(struct batch *b, struct buf *to)
{
    if (!b->collector->zipkin) {
        otlp_report(to, str_from(b->collector->service), buf_str(&b->spans));
        return;
    }
    buf_add_char(to, '[');
    buf_add_str(to, buf_str(&b->spans));
    buf_add_char(to, ']');
}

/* In one step: nothing is on its way behind it. */
static void give(struct batch *b)
{
    AUTO_DONE(buf) struct buf body = {0};
    make_body(b, &body);
    bool taken = exporter.tell(buf_str(&body), exporter.user);
    count(taken ? SERVER_STAT_TRACE_REPORTS : SERVER_STAT_TRACE_FAILED, 1);
    if (taken) {
        count(SERVER_STAT_TRACE_SPANS, b->n);
        give_back(b->n);
        b->n = 0;
        buf_clear(&b->spans);
    } else {
        drop_all(b);
    }
    loop_timer_start(b->timer, 10 * REPORT_DELAY_MS); /* then it is forgotten */
}

static void report(void *user)
{
    static const struct http_call_ops ops = {.on_done = on_reported};
    struct batch *b = user;
    const struct trace_collector *c = b->collector;
    if (b->call)
        return;
    if (!b->n) {
        batch_free(b);
        return;
    }
    if (c->zipkin && exporter.cluster && streq(c->cluster, exporter.cluster)) {
        give(b);
        return;
    }
    struct http_client *client = client_of(b);
    if (!client) {
        count(SERVER_STAT_TRACE_FAILED, 1);
        drop_all(b);
        loop_timer_start(b->timer, REPORT_DELAY_MS);
        return;
    }
    AUTO_DONE(buf) struct buf body = {0};
    struct http_header fields[TRACE_COLLECTOR_FIELDS_MAX + 2] = {
        {STR("host"), str_from(c->host)},
        {STR("content-type"), c->zipkin ? STR("application/json") : STR("application/x-protobuf")}};
    for (size_t i = 0; i < c->n_fields; i++)
        fields[i + 2] = c->fields[i];
    make_body(b, &body);
    b->call = http_call_start(client,
                              &(struct http_request){.method = "POST",
                                                     .target = c->path,
                                                     .headers = fields,
                                                     .n_headers = c->n_fields + 2,
                                                     .body = buf_str(&body),
                                                     .timeout_ms = c->timeout_ms,
                                                     .body_bytes_max = 64 * 1024},
                              &ops, b);
    b->n_on_way = b->n;
    b->n = 0;
    buf_clear(&b->spans);
}

/* ---- spans ---- */

struct post {
    struct trace_collector *collector;
    size_t n;
    char p[];
};

static struct batch *batch_get(struct trace_collector *c)
{
    LIST_FOREACH (node, &exporter.batches) {
        struct batch *b = CONTAINER_OF(node, struct batch, node);
        if (b->collector == c)
            return b;
    }
    struct batch *b = NEW(struct batch);
    b->collector = trace_collector_ref(c);
    b->timer = loop_timer_new(exporter.loop, report, b);
    list_add_tail(&exporter.batches, &b->node);
    return b;
}

static void on_span(void *user)
{
    struct post *p = user;
    if (atomic_load(&exporter.loop)) {
        struct batch *b = batch_get(p->collector);
        if (b->collector->zipkin && b->n)
            buf_add_char(&b->spans, ',');
        buf_add(&b->spans, p->p, p->n);
        b->n++;
        if (!b->call && (b->n == 1 || b->n == TRACE_REPORT_SPANS))
            loop_timer_start(b->timer, b->n == 1 ? REPORT_DELAY_MS : 0);
    }
    trace_collector_unref(p->collector);
    free(p);
}

void trace_export(struct trace_collector *c, struct str span, struct stats_cell *stats)
{
    struct loop *l = atomic_load_explicit(&exporter.loop, memory_order_acquire);
    unsigned before = atomic_fetch_add_explicit(&exporter.waiting, 1, memory_order_relaxed);
    struct post *p = l && before < TRACE_SPANS_MAX ? try_malloc(sizeof(*p) + span.n) : NULL;
    if (!p) {
        atomic_fetch_sub_explicit(&exporter.waiting, 1, memory_order_relaxed);
        stats_inc(stats, SERVER_STAT_TRACE_DROPPED);
        return;
    }
    p->collector = trace_collector_ref(c);
    p->n = span.n;
    memcpy(p->p, span.p, span.n);
    loop_post(l, on_span, p);
}

void trace_export_start(struct loop *l, struct store *s)
{
    list_init(&exporter.batches);
    exporter.store = s;
    atomic_store(&exporter.waiting, 0);
    atomic_store(&exporter.loop, l);
}

void trace_export_tell(const char *cluster, trace_export_fn *fn, void *user)
{
    exporter.cluster = cluster;
    exporter.tell = fn;
    exporter.user = user;
}

void trace_export_stop(void)
{
    if (!atomic_load(&exporter.loop))
        return;
    LIST_FOREACH_SAFE (node, &exporter.batches)
        batch_free(CONTAINER_OF(node, struct batch, node));
    exporter.cluster = NULL;
    atomic_store(&exporter.loop, NULL);
}
