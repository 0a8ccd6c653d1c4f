/* One call, opened again with a growing, jittered pause whenever it ends. */
#include "proxy/telemetry.h"

#include "base/log.h"
#include "base/rand.h"
#include "codec/pb_msg.h"
#include "proxy/control_channel.h"
#include "proxy/mesh_report.h"
#include "proxy/tap.h"

#define METHOD "/fairlead.telemetry.v1.Telemetry/Stream"

enum {
    PAUSE_MS = 500,
    PAUSE_MAX_MS = 30 * 1000,
    REPORT_MS = 1000,
    TAP_MS = 200,                 /* while somebody watches */
    REPORT_BYTES = 256 * 1024,    /* the rest a second later */
    QUEUED_MAX = 512 * 1024,      /* not read: nothing more is said */
    SPANS_BYTES_MAX = 900 * 1024, /* the control plane takes 1 MiB at once */
    ORDER_BYTES_MAX = 64 * 1024,
};

struct telemetry {
    struct loop *loop;
    struct store *store;
    char *cluster, *node, *token_file;
    struct grpc_channel *channel;
    struct grpc_call *call;   /* NULL: nobody listens */
    struct loop_timer *timer; /* of the next try, or the next report */
    uint64_t pause_ms;
    uint64_t report_ms; /* of the last one, of the loop */
    bool told;          /* that nobody listens */
};

static void on_connect(void *user);

static void count(enum server_stat what, uint64_t n)
{
    stats_add(stats_main(stats_server()), what, n);
}

/* ---- reports ---- */

static void send_report(struct telemetry *t, struct buf *reports)
{
    if (reports->n && !reports->failed)
        grpc_call_send(t->call, buf_str(reports));
}

static void add_dropped(struct buf *to, uint64_t n)
{
    Fairlead__Telemetry__V1__Report m;
    if (!n)
        return;
    count(SERVER_STAT_TELEMETRY_DROPPED, n);
    fairlead__telemetry__v1__report__init(&m);
    m.requests_dropped = n;
    IGNORE_RESULT(pb_pack(&m.base, to)); /* a number less */
}

static void on_report(void *user)
{
    struct telemetry *t = user;
    AUTO_DONE(buf) struct buf reports = {0};
    uint64_t now = loop_now_ms(t->loop), dropped;
    loop_timer_start(t->timer, tap_is_open() ? TAP_MS : REPORT_MS);
    if (grpc_call_queued(t->call) > QUEUED_MAX)
        return;
    tap_take(&reports, &dropped);
    add_dropped(&reports, dropped);
    if (now - t->report_ms >= REPORT_MS) {
        t->report_ms = now;
        mesh_report(reports.n + REPORT_BYTES, &reports);
    }
    send_report(t, &reports);
}

bool telemetry_take_spans(struct str spans, void *user)
{
    struct telemetry *t = user;
    AUTO_DONE(buf) struct buf report = {0};
    Fairlead__Telemetry__V1__Report m;
    ProtobufCBinaryData list = mesh_bytes(spans);
    if (!t->call || grpc_call_queued(t->call) > QUEUED_MAX || spans.n > SPANS_BYTES_MAX)
        return false;
    fairlead__telemetry__v1__report__init(&m);
    m.spans = &list;
    m.n_spans = 1;
    if (pb_pack(&m.base, &report) < 0)
        return false;
    send_report(t, &report);
    return true;
}

/* ---- the call ---- */

static void begin_again(struct telemetry *t, const char *why)
{
    LOG_AT(t->told ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO, "nobody is told of this proxy's traffic",
           kv_s("error", why));
    t->told = true;
    stats_set_to(stats_main(stats_server()), SERVER_STAT_TELEMETRY_STREAM, 0);
    tap_end_all();
    loop_timer_set(t->timer, on_connect, t);
    loop_timer_start(t->timer, t->pause_ms / 2 + rand_u64() % (t->pause_ms / 2 + 1));
    t->pause_ms = MIN(t->pause_ms * 2, (uint64_t)PAUSE_MAX_MS);
}

static void drop(struct telemetry *t)
{
    loop_timer_stop(t->timer);
    if (t->call)
        grpc_call_cancel(TAKE(t->call));
    grpc_channel_free(TAKE(t->channel));
}

static void on_message(struct grpc_call *call, struct str message, void *user)
{
    AUTO(arena) struct arena *a = arena_new(ORDER_BYTES_MAX * 8);
    struct telemetry *t = user;
    ProtobufCMessage *m;
    (void)call;
    if (message.n > ORDER_BYTES_MAX ||
        pb_unpack(&fairlead__telemetry__v1__order__descriptor, message, a, &m, NULL) < 0) {
        log_warn("an order of the control plane cannot be read");
        return;
    }
    t->pause_ms = PAUSE_MS;
    tap_order((const void *)m);
    if (tap_is_open())
        loop_timer_start(t->timer, TAP_MS);
}

static void on_over(struct grpc_call *call, int code, const char *text, void *user)
{
    struct telemetry *t = user;
    (void)call;
    (void)code;
    t->call = NULL;
    AUTO_CHARS char *why = xstrdup(text ? text : "");
    drop(t);
    begin_again(t, why);
}

static bool begin(struct telemetry *t, struct grpc_channel *c)
{
    static const struct grpc_call_ops ops = {.on_message = on_message, .on_over = on_over};
    AUTO_DONE(buf) struct buf token = {0}, first = {0};
    Fairlead__Telemetry__V1__Report m;
    struct grpc_metadata metadata;
    fairlead__telemetry__v1__report__init(&m);
    m.node = t->node;
    if (!control_token_read(t->token_file, &metadata, &token) || pb_pack(&m.base, &first) < 0)
        return false;
    t->call = grpc_call_new(c, METHOD, &metadata, 1, &ops, t);
    if (!t->call)
        return false;
    send_report(t, &first);
    return true;
}

static void on_open(struct grpc_channel *c, void *user)
{
    struct telemetry *t = user;
    if (!begin(t, c)) {
        drop(t);
        begin_again(t, "no call can be begun");
        return;
    }
    t->told = false;
    t->report_ms = loop_now_ms(t->loop);
    stats_set_to(stats_main(stats_server()), SERVER_STAT_TELEMETRY_STREAM, 1);
    mesh_report_begin();
    loop_timer_set(t->timer, on_report, t);
    loop_timer_start(t->timer, REPORT_MS);
}

static void on_close(struct grpc_channel *c, int code, const char *text, void *user)
{
    struct telemetry *t = user;
    (void)c;
    (void)code;
    t->channel = NULL;
    t->call = NULL;
    loop_timer_stop(t->timer);
    begin_again(t, text);
}

static void on_connect(void *user)
{
    static const struct grpc_channel_ops ops = {.on_open = on_open, .on_close = on_close};
    struct telemetry *t = user;
    const char *why = NULL;
    t->channel = control_channel_new(t->loop, t->store, t->cluster, t->cluster, &ops, t, &why);
    if (!t->channel)
        begin_again(t, why);
}

/* ---- lifetime ---- */

struct telemetry *telemetry_new(struct loop *l, struct store *s, const struct telemetry_options *o)
{
    struct telemetry *t = NEW(struct telemetry);
    t->loop = l;
    t->store = s;
    t->cluster = xstrdup(o->cluster);
    t->node = xstrdup(o->node);
    t->token_file = xstrdup(o->token_file);
    t->pause_ms = PAUSE_MS;
    t->timer = loop_timer_new(l, on_connect, t);
    loop_timer_start(t->timer, PAUSE_MS); /* what there is to say begins with the first listeners */
    return t;
}

void telemetry_free(struct telemetry *t)
{
    if (!t)
        return;
    drop(t);
    tap_end_all();
    loop_timer_free(t->timer);
    free(t->cluster);
    free(t->node);
    free(t->token_file);
    free(t);
}
