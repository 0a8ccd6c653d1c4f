/* A call is a stream: its caller's token is asked about, its first report says which pod it is. */
#include "control/telemetry.h"

#include <errno.h>

#include "base/log.h"
#include "base/time.h"
#include "codec/pb_msg.h"
#include "codec/url.h"
#include "control/callers.h"
#include "control/telemetry_priv.h"

#define PATH "/fairlead.telemetry.v1.Telemetry/Stream"

enum {
    STREAMS_MAX = 20000,
    MESSAGE_BYTES_MAX = 1 << 20,
    SECOND_BYTES_MAX = 4 << 20,
    EARLY_BYTES_MAX = 64 * 1024,
    LIST_MAX = 100,
};

typedef Fairlead__Telemetry__V1__Report pb_report;

static void stream_free(struct telemetry_stream *s)
{
    list_remove(&s->node);
    s->telemetry->stats.streams--;
    callers_cancel(s->check);
    buf_done(&s->early);
    free(s->account);
    free(s->pod);
    free(s->workload);
    free(s->ns);
    free(s);
}

static void end(struct telemetry_stream *s, enum grpc_code code, const char *why)
{
    s->telemetry->stats.refused++;
    log_info("a proxy's telemetry is refused", kv_s("account", s->account), kv_s("error", why));
    grpc_server_call_end(s->call, code, why);
    stream_free(s);
}

/* ---- reports ---- */

/* False: the stream is gone. */
static bool hear_who(struct telemetry_stream *s, const char *node)
{
    struct err err = {0};
    int r = control_find_pod(s->telemetry->control, s->account, node, &s->pod, &s->workload, &err);
    if (r < 0) {
        end(s, r == -EAGAIN ? GRPC_UNAVAILABLE : GRPC_PERMISSION_DENIED, err_text(&err));
        return false;
    }
    struct str rest;
    s->ns = str_dup(str_cut(str_from(s->pod), '/', &rest));
    telemetry_tap_join(s);
    return true;
}

static void hear(struct telemetry_stream *s, const pb_report *m)
{
    struct telemetry *t = s->telemetry;
    const struct traffic_reporter who = {s->workload, s->ns};
    AUTO_CHARS char *service = xasprintf("%s.%s", s->workload, s->ns);
    uint64_t now_ms = time_mono_ms();
    for (size_t i = 0; i < m->n_traffic; i++)
        traffic_sink_add(t->sink, now_ms, &who, m->traffic[i]);
    for (size_t i = 0; i < m->n_requests; i++)
        telemetry_tap_request(s, m->requests[i]);
    if (m->requests_dropped)
        telemetry_tap_dropped(s, m->requests_dropped);
    for (size_t i = 0; i < m->n_spans; i++)
        trace_store_add(t->traces, str_of(m->spans[i].data, m->spans[i].len), service);
}

/* False: the stream is gone. */
static bool receive(struct telemetry_stream *s, struct str message)
{
    AUTO(arena) struct arena *a = arena_new(MESSAGE_BYTES_MAX * 16);
    ProtobufCMessage *m;
    uint64_t second = time_mono_ms() / 1000;
    s->bytes = (s->second == second ? s->bytes : 0) + message.n;
    s->second = second;
    if (message.n > MESSAGE_BYTES_MAX || s->bytes > SECOND_BYTES_MAX ||
        pb_unpack(&fairlead__telemetry__v1__report__descriptor, message, a, &m, NULL) < 0) {
        s->telemetry->stats.dropped++;
        return true;
    }
    const pb_report *report = (const void *)m;
    if (!s->pod && !hear_who(s, report->node))
        return false;
    hear(s, report);
    return true;
}

/* ---- calls ---- */

static void on_known(bool ok, const char *name, const char *why, void *user)
{
    struct telemetry_stream *s = user;
    s->check = NULL;
    if (!ok) {
        end(s, GRPC_UNAUTHENTICATED, why);
        return;
    }
    s->account = xstrdup(name);
    struct buf early = s->early;
    s->early = (struct buf){0};
    if (early.n) /* reports behind one another are one */
        IGNORE_RESULT(receive(s, buf_str(&early)));
    buf_done(&early);
}

static void on_message(struct grpc_server_call *call, struct str message, void *user)
{
    struct telemetry_stream *s = user;
    (void)call;
    if (!s->check)
        IGNORE_RESULT(receive(s, message));
    else if (s->early.n + message.n <= EARLY_BYTES_MAX)
        buf_add_str(&s->early, message);
    else
        end(s, GRPC_RESOURCE_EXHAUSTED, "too much before it is known who tells");
}

static void on_client_end(struct grpc_server_call *call, void *user)
{
    grpc_server_call_end(call, GRPC_OK, NULL);
    stream_free(user);
}

static void on_over(struct grpc_server_call *call, void *user)
{
    (void)call;
    stream_free(user);
}

bool telemetry_take(struct telemetry *t, struct grpc_server_call *call)
{
    static const struct grpc_server_call_ops ops = {
        .on_message = on_message, .on_client_end = on_client_end, .on_over = on_over};
    if (!str_is(grpc_server_call_path(call), PATH))
        return false;
    if (t->stats.streams >= STREAMS_MAX) {
        t->stats.refused++;
        grpc_server_call_end(call, GRPC_RESOURCE_EXHAUSTED, "too many streams");
        return true;
    }
    struct telemetry_stream *s = NEW(struct telemetry_stream);
    s->telemetry = t;
    s->call = call;
    list_add_tail(&t->streams, &s->node);
    t->stats.streams++;
    grpc_server_call_set_ops(call, &ops, s);
    s->check =
        callers_ask(t->client, grpc_server_call_metadata(call, "authorization"), on_known, s);
    return true;
}

/* ---- pages ---- */

static void reply(struct http_exchange *x, int status, json_t *j)
{
    AUTO_DONE(buf) struct buf body = {0};
    const struct http_header h[] = {{STR("Content-Type"), STR("application/json")},
                                    {STR("X-Content-Type-Options"), STR("nosniff")}};
    json_write(&body, j);
    buf_add_char(&body, '\n');
    json_decref(j);
    if (body.failed)
        http_exchange_abort(x);
    else
        http_exchange_reply(x, status, h, ARRAY_LEN(h), buf_str(&body));
}

/* Of a namespace, at either end, or all. */
static void answer_edges(struct telemetry *t, struct http_exchange *x)
{
    AUTO_CHARS char *ns = url_param(http_exchange_query(x), "namespace");
    reply(x, 200,
          json_pack("{s:o,s:I}", "edges", traffic_sink_edges(t->sink, ns, time_mono_ms()),
                    "proxies", (json_int_t)t->stats.streams));
}

static void answer_trace(struct telemetry *t, struct http_exchange *x, struct str id)
{
    json_t *spans = trace_store_find(t->traces, id);
    reply(x, 200, spans ? spans : json_array());
}

bool telemetry_answer(struct telemetry *t, struct http_exchange *x)
{
    struct str path = http_exchange_path(x), traces = STR("/debug/traces/");
    if (str_is(path, "/debug/edges"))
        answer_edges(t, x);
    else if (str_is(path, "/debug/tap"))
        telemetry_tap_answer(t, x);
    else if (str_is(path, "/debug/traces"))
        reply(x, 200, trace_store_list(t->traces, LIST_MAX));
    else if (str_starts(path, traces))
        answer_trace(t, x, str_sub(path, traces.n, path.n));
    else
        return false;
    return true;
}

/* ---- lifetime ---- */

struct telemetry *telemetry_new(struct kube_client *client, struct control *control)
{
    struct telemetry *t = NEW(struct telemetry);
    t->client = client;
    t->control = control;
    t->sink = traffic_sink_new();
    t->traces = trace_store_new();
    list_init(&t->streams);
    list_init(&t->taps);
    return t;
}

void telemetry_free(struct telemetry *t)
{
    if (!t)
        return;
    ASSERT(list_is_empty(&t->streams));
    ASSERT(list_is_empty(&t->taps));
    traffic_sink_free(t->sink);
    trace_store_free(t->traces);
    free(t);
}

struct telemetry_stats telemetry_get_stats(const struct telemetry *t)
{
    struct telemetry_stats s = t->stats;
    s.edges = traffic_sink_get_stats(t->sink);
    s.traces = trace_store_get_stats(t->traces);
    return s;
}
