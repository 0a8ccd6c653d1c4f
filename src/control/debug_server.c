#include "control/debug_server.h"

#include <errno.h>

#include "codec/pb_json.h"
#include "codec/url.h"
#include "control/model_page.h"
#include "control/viewers.h"
#include "net/http_server.h"
#include "xds/redact.h"

struct debug_server {
    const struct control *control;
    const struct xds_service *xds;
    const struct certificate_service *certificates;
    const struct injector *injector;     /* NULL: nobody waits for it */
    struct telemetry *telemetry;         /* NULL: sidecars are not served */
    struct balancer_addresses *balancer; /* NULL: nobody is given addresses */
    struct viewers *viewers;
    struct list_node questions;
    struct http_server *http;
};

/* Somebody of whom it is asked whether he may look. */
struct question {
    struct list_node node;
    const struct debug_server *server;
    struct http_exchange *exchange;
    struct viewers_check *check;
};

static void reply(struct http_exchange *x, int status, const char *type, struct buf *body)
{
    const struct http_header h[] = {{STR("Content-Type"), str_from(type)},
                                    {STR("X-Content-Type-Options"), STR("nosniff")}};
    http_exchange_reply(x, status, h, ARRAY_LEN(h), buf_str(body));
    buf_done(body);
}

static void reply_text(struct http_exchange *x, int status, const char *text)
{
    struct buf b = {0};
    buf_addf(&b, "%s\n", text);
    reply(x, status, "text/plain; charset=utf-8", &b);
}

static void reply_json(struct http_exchange *x, json_t *j)
{
    struct buf b = {0};
    json_write_indented(&b, j);
    buf_add_char(&b, '\n');
    json_decref(j);
    reply(x, 200, "application/json", &b);
}

struct metric_row {
    const char *name, *type, *help;
    uint64_t value;
};

static void ready(const struct debug_server *s, struct http_exchange *x)
{
    struct control_stats st;
    control_get_stats(s->control, &st);
    const char *waits = !st.synced ? "the first lists are not complete"
                        : s->injector && !injector_is_ready(s->injector)
                            ? "the API server has not been told how the webhook is known"
                            : NULL;
    reply_text(x, waits ? 503 : 200, waits ? waits : "ok");
}

static void add_certificates(const struct debug_server *s, struct buf *b)
{
    struct certificate_service_stats c;
    certificate_service_get_stats(s->certificates, &c);
    buf_addf(b,
             "# HELP fairlead_control_certificates_issued_total certificates of the mesh signed\n"
             "# TYPE fairlead_control_certificates_issued_total counter\n"
             "fairlead_control_certificates_issued_total %llu\n"
             "# HELP fairlead_control_certificates_refused_total requests refused, by reason\n"
             "# TYPE fairlead_control_certificates_refused_total counter\n",
             (unsigned long long)c.issued);
    for (enum certificate_refusal r = 0; r < _CERTIFICATE_REFUSALS; r++)
        buf_addf(b, "fairlead_control_certificates_refused_total{reason=\"%s\"} %llu\n",
                 certificate_refusal_word(r), (unsigned long long)c.refused[r]);
}

static void add_rows(struct buf *b, const struct metric_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_addf(b, "# HELP %s %s\n# TYPE %s %s\n%s %llu\n", rows[i].name, rows[i].help,
                 rows[i].name, rows[i].type, rows[i].name, (unsigned long long)rows[i].value);
}

static void add_telemetry(const struct telemetry *telemetry, struct buf *b)
{
    struct telemetry_stats t = telemetry_get_stats(telemetry);
    const struct metric_row rows[] = {
        {"fairlead_control_telemetry_streams", "gauge", "proxies that tell of their traffic",
         t.streams},
        {"fairlead_control_telemetry_refused_total", "counter", "those turned away", t.refused},
        {"fairlead_control_telemetry_dropped_total", "counter",
         "messages that cannot be read, or are too much", t.dropped},
        {"fairlead_control_telemetry_edges", "gauge", "who calls whom, kept", t.edges.edges},
        {"fairlead_control_telemetry_edges_overflow_total", "counter",
         "numbers of edges for which there was no room", t.edges.overflow},
        {"fairlead_control_telemetry_taps", "gauge", "who watches requests", t.taps},
        {"fairlead_control_traces", "gauge", "traces kept", t.traces.traces},
        {"fairlead_control_traces_bytes", "gauge", "of their spans", t.traces.bytes},
        {"fairlead_control_spans_total", "counter", "spans taken", t.traces.spans},
        {"fairlead_control_spans_dropped_total", "counter", "spans for which there was no room",
         t.traces.dropped},
    };
    add_rows(b, rows, ARRAY_LEN(rows));
}

static void add_viewers(const struct debug_server *s, struct buf *b)
{
    struct viewers_stats v = viewers_get_stats(s->viewers);
    const struct {
        const char *word;
        uint64_t n;
    } rows[] = {{"allowed", v.allowed},
                {"unknown", v.unknown},
                {"forbidden", v.forbidden},
                {"busy", v.busy}};
    buf_addf(b, "# HELP fairlead_control_viewers_total who asked for pages of this port from "
                "elsewhere, by what came of it\n"
                "# TYPE fairlead_control_viewers_total counter\n");
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        buf_addf(b, "fairlead_control_viewers_total{result=\"%s\"} %llu\n", rows[i].word,
                 (unsigned long long)rows[i].n);
}

static void add_registration(const struct debug_server *s, struct buf *b)
{
    struct auto_registration_stats r =
        auto_registration_get_stats(control_registration(s->control));
    const struct metric_row rows[] = {
        {"fairlead_control_registered_workloads", "gauge", "WorkloadEntries that proxies have made",
         r.entries},
        {"fairlead_control_registered_workloads_connected", "gauge", "those whose proxies are here",
         r.connected},
        {"fairlead_control_registrations_total", "counter", "WorkloadEntries made", r.created},
        {"fairlead_control_registrations_ended_total", "counter", "those taken away", r.deleted},
        {"fairlead_control_registrations_refused_total", "counter", "proxies turned away",
         r.refused},
        {"fairlead_control_registrations_failed_total", "counter", "writes that failed, each try",
         r.failed},
    };
    add_rows(b, rows, ARRAY_LEN(rows));
}

static void metrics(const struct debug_server *s, struct http_exchange *x)
{
    struct control_stats c;
    struct xds_service_stats v;
    struct buf b = {0};
    control_get_stats(s->control, &c);
    xds_service_get_stats(s->xds, &v);
    const struct metric_row rows[] = {
        {"fairlead_control_synced", "gauge", "first lists are complete", c.synced},
        {"fairlead_control_services", "gauge", "Services known", c.services},
        {"fairlead_control_hosts", "gauge", "hosts served", c.hosts},
        {"fairlead_control_host_rebuilds_total", "counter", "hosts built", c.host_rebuilds},
        {"fairlead_control_pushes_total", "counter", "times proxies were told", c.pushes},
        {"fairlead_control_push_latency_max_microseconds", "gauge",
         "longest time from an event to the push", c.latency_max_us},
        {"fairlead_control_watch_failures_total", "counter",
         "lists and watches that have failed, each try", c.watch_failures},
        {"fairlead_control_xds_streams", "gauge", "proxies connected", v.streams},
        {"fairlead_control_xds_streams_total", "counter", "streams ever", v.streams_ever},
        {"fairlead_control_xds_responses_total", "counter", "responses sent", v.sent},
        {"fairlead_control_xds_acks_total", "counter", "responses taken", v.acked},
        {"fairlead_control_xds_nacks_total", "counter", "responses refused", v.refused},
        {"fairlead_control_xds_unknown_callers_total", "counter",
         "streams over TLS that were turned away: no token, or of nobody who may", v.unknown},
    };
    add_rows(&b, rows, ARRAY_LEN(rows));
    add_certificates(s, &b);
    add_viewers(s, &b);
    add_registration(s, &b);
    if (s->telemetry)
        add_telemetry(s->telemetry, &b);
    if (s->balancer)
        balancer_addresses_metrics(s->balancer, &b);
    reply(x, 200, "text/plain; version=0.0.4; charset=utf-8", &b);
}

/* Of one stream: what it was sent last, and whether it has taken it. */
struct stream_list {
    const struct control *control;
    json_t *list;
};

static void add_stream(const struct xds_client_node *node, const struct xds_stream *stream,
                       void *user)
{
    const struct stream_list *to = user;
    json_t *one = json_pack("{s:o,s:o*,s:o*}", "proxy", json_text(str_from(node->id)), "cluster",
                            node->cluster ? json_text(str_from(node->cluster)) : NULL, "version",
                            node->version ? json_text(str_from(node->version)) : NULL);
    for (enum xds_resource type = 0; type < XDS_RESOURCES; type++) {
        struct xds_stream_state st;
        xds_stream_get_state(stream, type, &st);
        if (!st.asked)
            continue;
        const char *state = st.withheld      ? "WITHHELD"
                            : st.outstanding ? "STALE"
                            : st.refused && st.refused + st.acked >= st.sent && !st.acked
                                ? "REJECTED"
                            : !st.sent ? "NOT SENT"
                                       : "SYNCED";
        json_object_set_new(one, xds_resource_type(type)->word,
                            json_pack("{s:s,s:I,s:I,s:I,s:I,s:I,s:I}", "state", state, "withheld",
                                      (json_int_t)st.withheld, "held", (json_int_t)st.held, "sent",
                                      (json_int_t)st.sent, "acked", (json_int_t)st.acked, "refused",
                                      (json_int_t)st.refused, "waiting", (json_int_t)st.waiting));
    }
    if (node->account && control_keys_refused(to->control, node->account)) {
        AUTO_CHARS char *why = xasprintf(
            "%s may not list Secrets of its namespace: it is given no private keys", node->account);
        json_object_set_new(one, "problem", json_text(str_from(why)));
    }
    json_array_append_new(to->list, one);
}

static void syncz(const struct debug_server *s, struct http_exchange *x)
{
    struct stream_list to = {s->control, json_array()};
    xds_service_visit(s->xds, add_stream, &to);
    reply_json(x, to.list);
}

static void snapshot(const struct debug_server *s, struct http_exchange *x)
{
    reply_json(x, model_page(s->control));
}

/* Every resource but the certificates, as JSON. */
static void config_dump(const struct debug_server *s, struct http_exchange *x)
{
    const struct xds_set *set = gateway_set(control_gateway(s->control), TRANSLATE_OURS);
    json_t *dump = json_object();
    for (enum xds_resource type = 0; type < XDS_RESOURCES; type++) {
        json_t *list = json_array();
        struct xds_entry *e;
        for (struct xds_iter i = {0}; xds_set_next(set, type, &i, &e);) {
            AUTO(arena) struct arena *a = arena_new(0);
            ProtobufCMessage *m;
            json_t *j = NULL;
            if (type != XDS_SECRET &&
                pb_unpack(xds_resource_type(type)->message, e->message, a, &m, NULL) == 0)
                IGNORE_RESULT(pb_json_print(m, &xds_json_types, &j, NULL)); /* NULL: shown so */
            json_redact(j);
            json_array_append_new(list, json_pack("{s:o,s:o,s:o*}", "name", json_text(e->name),
                                                  "version", json_text(e->version), "resource", j));
        }
        json_object_set_new(dump, xds_resource_type(type)->word, list);
    }
    reply_json(x, dump);
}

/* Other clusters of the mesh. */
static void clusterz(const struct debug_server *s, struct http_exchange *x)
{
    reply_json(x, control_describe_clusters(s->control));
}

/* ---- who may look ---- */

static void answer(const struct debug_server *s, struct http_exchange *x)
{
    static const struct {
        const char *path;
        void (*fn)(const struct debug_server *s, struct http_exchange *x);
    } pages[] = {{"/ready", ready},
                 {"/metrics", metrics},
                 {"/debug/snapshot", snapshot},
                 {"/debug/syncz", syncz},
                 {"/debug/clusterz", clusterz},
                 {"/debug/config_dump", config_dump}};
    if (s->telemetry && telemetry_answer(s->telemetry, x))
        return;
    for (size_t i = 0; i < ARRAY_LEN(pages); i++)
        if (str_is(http_exchange_path(x), pages[i].path)) {
            pages[i].fn(s, x);
            return;
        }
    reply_text(
        x, 404,
        "/ready, /metrics, /debug/snapshot, /debug/syncz, /debug/clusterz, /debug/config_dump, "
        "/debug/edges, /debug/tap, /debug/traces");
}

/* As the API server says it, which passes on what we answer: its clients read it. */
static void reply_refusal(struct http_exchange *x, int status, const char *text)
{
    const char *reason = status == 401   ? "Unauthorized"
                         : status == 403 ? "Forbidden"
                         : status == 429 ? "TooManyRequests"
                                         : "ServiceUnavailable";
    const struct http_header h[] = {{STR("Content-Type"), STR("application/json")},
                                    {STR("X-Content-Type-Options"), STR("nosniff")},
                                    {STR("WWW-Authenticate"), STR("Bearer")}};
    AUTO_DONE(buf) struct buf b = {0};
    AUTO_JSON json_t *j =
        json_pack("{s:s,s:s,s:s,s:s,s:s,s:i}", "kind", "Status", "apiVersion", "v1", "status",
                  "Failure", "message", text, "reason", reason, "code", status);
    json_write(&b, j);
    buf_add_char(&b, '\n');
    http_exchange_reply(x, status, h, ARRAY_LEN(h) - (status != 401), buf_str(&b));
}

static void on_known(int status, const char *text, void *user)
{
    struct question *q = user;
    const struct debug_server *s = q->server;
    struct http_exchange *x = q->exchange;
    list_remove(&q->node);
    free(q);
    http_exchange_set_done(x, NULL, NULL);
    if (status == 200)
        answer(s, x);
    else
        reply_refusal(x, status, text);
}

static void on_gone(struct http_exchange *x, void *user)
{
    struct question *q = user;
    (void)x;
    viewers_cancel(q->check);
    list_remove(&q->node);
    free(q);
}

/* The one namespace that a page is asked of; empty: all. */
static char *asked_namespace(struct http_exchange *x, bool tap)
{
    struct str rest = http_exchange_query(x), name, value, ns = {0};
    if (!tap)
        return url_param(rest, "namespace");
    while (url_param_next(&rest, &name, &value)) {
        AUTO_DONE(buf) struct buf text = {0};
        struct str pod;
        if (!str_is(name, "pod") || url_decode(value, true, &text) < 0)
            continue;
        struct str one = str_cut(buf_str(&text), '/', &pod);
        if (ns.p && !str_eq(ns, one)) {
            free((char *)(uintptr_t)ns.p);
            return NULL; /* of several */
        }
        if (!ns.p)
            ns = str_from(str_dup(one));
    }
    return (char *)(uintptr_t)ns.p;
}

/* What one must have a right to; NULL: nothing. */
static const struct view *view_of(struct str path)
{
    static const struct {
        const char *path;
        struct view view;
    } pages[] = {{"/debug/edges", {"get", "traffic", {0}}},
                 {"/debug/tap", {"watch", "traffic", {0}}},
                 {"/debug/traces", {"get", "traces", {0}}},
                 {"/debug/traces/", {"get", "traces", {0}}},
                 {"/debug/", {"get", "configuration", {0}}}};
    for (size_t i = 0; i < ARRAY_LEN(pages); i++)
        if (str_is(path, pages[i].path) || (str_ends(str_from(pages[i].path), STR("/")) &&
                                            str_starts(path, str_from(pages[i].path))))
            return &pages[i].view;
    return str_is(path, "/ready") || str_is(path, "/metrics") ? NULL : &pages[4].view;
}

/* Who runs something in our own pod, or has a way into it (exec, port-forward), as with Istio. Not
 * 127.0.0.6, by which a sidecar passes on what comes from outside. */
static bool is_from_here(struct http_exchange *x)
{
    struct ip ip, one, six;
    return conn_direct_peer_addr(http_exchange_conn(x), &ip, NULL) == 0 &&
           ip_parse(STR("127.0.0.1"), &one) == 0 && ip_parse(STR("::1"), &six) == 0 &&
           (ip_eq(&ip, &one) || ip_eq(&ip, &six));
}

/* An API server keeps `authorization` for itself when it passes a request on. */
static struct str token_field(const struct http_exchange *x)
{
    struct str own = http_exchange_header(x, "authorization");
    return own.p ? own : http_exchange_header(x, "fairlead-authorization");
}

static void on_request(struct http_exchange *x, void *user)
{
    struct debug_server *s = user;
    struct str path = http_exchange_path(x);
    const struct view *needed = view_of(path);
    bool tap = str_is(path, "/debug/tap");
    if (!needed || is_from_here(x)) {
        answer(s, x);
        return;
    }
    AUTO_CHARS char *ns = tap || str_is(path, "/debug/edges") ? asked_namespace(x, tap) : NULL;
    const struct view what = {needed->verb, needed->resource, str_from(ns ? ns : "")};
    struct question *q = NEW(struct question);
    q->server = s;
    q->exchange = x;
    list_add_tail(&s->questions, &q->node);
    struct viewers_check *check = viewers_ask(s->viewers, token_field(x), &what, on_known, q);
    if (!check) /* it is answered, and q gone */
        return;
    q->check = check;
    http_exchange_set_done(x, on_gone, q);
}

int debug_server_new(struct kube_client *client, const struct ip *ip, uint16_t port,
                     const struct control *control, const struct xds_service *xds,
                     const struct certificate_service *certificates, struct debug_server **ret,
                     struct err *reterr)
{
    static const struct http_server_ops ops = {.on_request = on_request};
    const struct http_server_config config = {.body_bytes_max = 1024};
    struct debug_server *s = NEW(struct debug_server);
    s->control = control;
    s->xds = xds;
    s->certificates = certificates;
    list_init(&s->questions);
    int r = http_server_new(kube_client_loop(client), ip, port, &config, &ops, s, &s->http, reterr);
    if (r < 0) {
        free(s);
        return r;
    }
    s->viewers = viewers_new(client);
    *ret = s;
    return 0;
}

void debug_server_set_injector(struct debug_server *s, const struct injector *i)
{
    s->injector = i;
}

void debug_server_set_telemetry(struct debug_server *s, struct telemetry *t)
{
    s->telemetry = t;
}

void debug_server_set_balancer(struct debug_server *s, struct balancer_addresses *b)
{
    s->balancer = b;
}

void debug_server_free(struct debug_server *s)
{
    if (!s)
        return;
    http_server_free(s->http);
    ASSERT(list_is_empty(&s->questions));
    viewers_free(s->viewers);
    free(s);
}

uint16_t debug_server_port(const struct debug_server *s)
{
    return http_server_port(s->http);
}
