/* TCP proxying. Each side is held back while the other has more queued than it may; the end of one
 * direction goes through and leaves the other open; what breaks on one side is reset on the other.
 */
#include "proxy/tcp_proxy.h"

#include "base/assert.h"
#include "base/rand.h"
#include "base/time.h"
#include "proxy/reasons.h"

enum { QUEUE_HIGH = 64 * 1024 };

struct tcp_proxy {
    struct worker *worker;
    const struct tcp_config *config;
    const struct tcp_proxy_ops *ops;
    void *user;
    struct conn *client, *endpoint; /* NULL: gone, or not there yet */
    struct cluster *cluster;
    const struct mesh_client *who;
    const char *peer;                /* the workload at the endpoint; NULL: not told */
    _Atomic(const char *) principal; /* its certificate's */
    struct stats_cell *mesh;         /* where it is counted; NULL: nowhere, or not yet */
    struct conn_log log;
    struct loop_timer *timer;  /* connecting, then idle and age */
    uint64_t connect_ms;       /* when connecting began */
    uint64_t heard_ms, end_ms; /* end_ms 0: it may live for ever */
    size_t queue_high;
    uint32_t attempts;
    bool open; /* connected */
    bool client_eof, endpoint_eof;
    bool connected; /* a connection to an endpoint is counted as there */
    struct loop_call over;
};

static uint64_t now_ms(const struct tcp_proxy *t)
{
    return loop_now_ms(worker_loop(t->worker));
}

/* ---- statistics ---- */

static struct stats_cell *tcp_stats(const struct tcp_proxy *t)
{
    return stats_of(t->config->stats, worker_index(t->worker));
}

static struct stats_cell *cluster_stats(const struct tcp_proxy *t)
{
    return stats_of(t->cluster->stats, worker_index(t->worker));
}

static void count_connect(struct tcp_proxy *t)
{
    t->connect_ms = now_ms(t);
    t->connected = true;
    stats_inc(cluster_stats(t), CLUSTER_STAT_CX_TOTAL);
    stats_inc(cluster_stats(t), CLUSTER_STAT_CX_ACTIVE);
}

/* The connection to an endpoint ends, or did not come about. */
static void count_disconnect(struct tcp_proxy *t)
{
    if (!t->connected)
        return;
    t->connected = false;
    stats_dec(cluster_stats(t), CLUSTER_STAT_CX_ACTIVE);
    stats_inc(cluster_stats(t), CLUSTER_STAT_CX_DESTROY);
    stats_record_ms(cluster_stats(t), CLUSTER_STAT_CX_LENGTH, now_ms(t) - t->connect_ms);
    if (!t->open)
        stats_inc(cluster_stats(t), CLUSTER_STAT_CX_CONNECT_FAIL);
}

/* As one connection between two workloads; reason 0: it is open. */
static void count_mesh(struct tcp_proxy *t, uint8_t reason)
{
    const struct mesh_tcp facts = {.reporter = (enum mesh_reporter)t->config->mesh.reporter,
                                   .worker = worker_index(t->worker),
                                   .client = t->who,
                                   .service = t->cluster ? t->cluster->mesh_service : NULL,
                                   .peer = t->peer,
                                   .principal = t->principal,
                                   .reason = reason};
    if (facts.reporter == MESH_NOBODY || t->mesh)
        return;
    t->mesh = mesh_stats_tcp(&facts);
    stats_inc(t->mesh, MESH_TCP_OPENED);
}

static void count_end(struct tcp_proxy *t)
{
    struct stats_cell *s = tcp_stats(t);
    count_mesh(t, t->log.reason);
    if (t->mesh)
        stats_inc(t->mesh, MESH_TCP_CLOSED);
    stats_dec(s, TCP_STAT_CX_ACTIVE);
    stats_add(s, TCP_STAT_CX_RX_BYTES, t->log.received_bytes);
    stats_add(s, TCP_STAT_CX_TX_BYTES, t->log.sent_bytes);
    if (t->log.reason == REASON_TCP_CLUSTER_NOT_FOUND)
        stats_inc(s, TCP_STAT_CX_NO_ROUTE);
    if (!t->cluster)
        return;
    count_disconnect(t);
    stats_add(cluster_stats(t), CLUSTER_STAT_CX_RX_BYTES, t->log.sent_bytes);
    stats_add(cluster_stats(t), CLUSTER_STAT_CX_TX_BYTES, t->log.received_bytes);
}

/* ---- the end ---- */

static void release(struct tcp_proxy *t)
{
    loop_call_cancel(&t->over);
    loop_timer_free(t->timer);
    conn_log_done(&t->log);
    cluster_unref(t->cluster);
    free(t);
}

static void tell_over(void *user)
{
    struct tcp_proxy *t = user;
    t->ops->on_over(t->user);
    release(t);
}

static void write_log(struct tcp_proxy *t)
{
    count_end(t);
    conn_log_write(&t->log, t->worker, t->config->logs.v, t->config->logs.n);
    t->log.conn = NULL;
}

/* Whatever is left of the two goes now: with a reset if what they got is not all of it. */
static void end(struct tcp_proxy *t, bool broken)
{
    if (loop_call_is_queued(&t->over))
        return;
    write_log(t);
    for (int i = 0; i < 2; i++) {
        struct conn *c = i ? TAKE(t->endpoint) : TAKE(t->client);
        if (c && broken)
            conn_reset(c);
        else
            conn_free(c);
    }
    loop_timer_stop(t->timer);
    loop_defer(worker_loop(t->worker), &t->over);
}

static void end_by(struct tcp_proxy *t, enum reason why)
{
    t->log.reason = (uint8_t)why;
    end(t, true);
}

void tcp_proxy_free(struct tcp_proxy *t)
{
    if (!loop_call_is_queued(&t->over))
        write_log(t);
    conn_free(t->client);
    conn_free(t->endpoint);
    release(t);
}

/* ---- bytes ---- */

/* When it is due next; it is put off without the timer whenever something is heard. */
static void arm(struct tcp_proxy *t)
{
    uint64_t now = now_ms(t), idle = t->config->idle_timeout_ms;
    uint64_t due = idle ? t->heard_ms + idle : 0;
    if (t->end_ms && (!due || t->end_ms < due))
        due = t->end_ms;
    if (due)
        loop_timer_start(t->timer, due > now ? due - now : 0);
}

static void on_open_timer(struct tcp_proxy *t)
{
    uint64_t now = now_ms(t), idle = t->config->idle_timeout_ms;
    bool old = t->end_ms && now >= t->end_ms, still = idle && now >= t->heard_ms + idle;
    if (!old && !still) {
        arm(t);
        return;
    }
    stats_inc(tcp_stats(t), old ? TCP_STAT_MAX_DURATION : TCP_STAT_IDLE_TIMEOUT);
    end(t, false);
}

/* Everything that came, and the end of it, from one to the other. */
static void pass(struct tcp_proxy *t, struct conn *from, struct conn *to, bool *eof,
                 uint64_t *count)
{
    t->heard_ms = now_ms(t);
    *count += conn_in(from)->n;
    if (t->mesh)
        stats_add(t->mesh, from == t->client ? MESH_TCP_RECEIVED : MESH_TCP_SENT, conn_in(from)->n);
    if (conn_in(from)->n)
        conn_write_chain(to, conn_in(from));
    if (conn_eof(from) && !*eof) {
        *eof = true;
        conn_finish(to);
    }
    if (conn_queued(to) > t->queue_high)
        conn_pause(from);
}

/* Both have said their last, and it has gone out. */
static void end_if_done(struct tcp_proxy *t)
{
    if (t->client_eof && t->endpoint_eof && !conn_queued(t->client) && !conn_queued(t->endpoint))
        end(t, false);
}

static void on_client_data(struct conn *c, void *user)
{
    struct tcp_proxy *t = user;
    if (!t->open)
        return; /* paused: it waits */
    pass(t, c, t->endpoint, &t->client_eof, &t->log.received_bytes);
    end_if_done(t);
}

static void on_client_drain(struct conn *c, void *user)
{
    struct tcp_proxy *t = user;
    (void)c;
    t->heard_ms = now_ms(t);
    if (!t->open)
        return;
    conn_resume(t->endpoint);
    end_if_done(t);
}

static void on_client_close(struct conn *c, int code, const char *text, void *user)
{
    struct tcp_proxy *t = user;
    (void)c;
    (void)text;
    t->client = NULL;
    if (!t->open)
        t->log.reason = REASON_CLIENT_GONE;
    end(t, code != 0);
}

static void connect_next(struct tcp_proxy *t);

static void on_endpoint_open(struct conn *c, void *user)
{
    struct tcp_proxy *t = user;
    t->open = true;
    mesh_note_principal(&t->principal, conn_tls(c));
    count_mesh(t, 0);
    t->heard_ms = now_ms(t);
    stats_record_ms(cluster_stats(t), CLUSTER_STAT_CX_CONNECT_MS, t->heard_ms - t->connect_ms);
    loop_timer_stop(t->timer);
    arm(t);
    conn_resume(t->client);
}

static void on_endpoint_data(struct conn *c, void *user)
{
    struct tcp_proxy *t = user;
    pass(t, c, t->client, &t->endpoint_eof, &t->log.sent_bytes);
    end_if_done(t);
}

static void on_endpoint_drain(struct conn *c, void *user)
{
    struct tcp_proxy *t = user;
    (void)c;
    t->heard_ms = now_ms(t);
    conn_resume(t->client);
    end_if_done(t);
}

static void on_endpoint_close(struct conn *c, int code, const char *text, void *user)
{
    struct tcp_proxy *t = user;
    (void)c;
    (void)text;
    t->endpoint = NULL;
    if (t->open) {
        end(t, code != 0);
        return;
    }
    count_disconnect(t);
    connect_next(t);
}

/* ---- the way there ---- */

static void on_timer(void *user)
{
    struct tcp_proxy *t = user;
    if (t->open) {
        on_open_timer(t);
        return;
    }
    conn_free(TAKE(t->endpoint)); /* the connect timeout */
    stats_inc(cluster_stats(t), CLUSTER_STAT_CX_CONNECT_TIMEOUT);
    count_disconnect(t);
    connect_next(t);
}

static void connect_to(struct tcp_proxy *t, const struct endpoint *e)
{
    static const struct conn_ops ops = {.on_open = on_endpoint_open,
                                        .on_data = on_endpoint_data,
                                        .on_drain = on_endpoint_drain,
                                        .on_close = on_endpoint_close};
    const struct upstream_tls *tls = cluster_tls(t->cluster, e);
    struct tls_session_options names;
    char head[PROXY_PROTOCOL_WRITTEN_MAX];
    struct conn_options o = {.in_bytes_max = t->queue_high};
    o.preface = str_of(head, upstream_proxy_head(t->cluster, t->client, head));
    o.keepalive = t->cluster->keeps_alive ? &t->cluster->keepalive : NULL;
    if (tls) {
        names = upstream_tls_options(tls, 0);
        o.tls = tls_slot_context(tls->slot);
        o.tls_options = &names;
        if (!o.tls) {
            end_by(t, REASON_TCP_CONNECT_FAILED); /* its secret has not come */
            return;
        }
    }
    free(t->log.upstream_host);
    t->log.upstream_host = xstrdup(e->text);
    t->peer = atomic_load_explicit(&e->peer, memory_order_relaxed);
    count_connect(t);
    o.from = cluster_source(t->cluster, e->address.ss_family);
    t->endpoint = conn_connect(worker_loop(t->worker), &e->address, e->address_bytes, &o, &ops, t);
    tls_context_unref(o.tls);
    loop_timer_start(t->timer, t->cluster->connect_timeout_ms);
}

static void connect_next(struct tcp_proxy *t)
{
    loop_timer_stop(t->timer);
    if (t->attempts++ >= t->config->attempts_max) {
        end_by(t, REASON_TCP_CONNECT_FAILED);
        return;
    }
    struct endpoint *e = worker_choose_endpoint(t->worker, t->cluster, t->client);
    if (e)
        connect_to(t, e);
    else
        end_by(t, REASON_TCP_NO_HEALTHY_UPSTREAM);
}

struct tcp_proxy *tcp_proxy_new(struct worker *w, const struct tcp_config *config,
                                size_t buffer_bytes, struct conn *client,
                                const struct mesh_client *who, struct conn_log *log,
                                const struct tcp_proxy_ops *ops, void *user)
{
    static const struct conn_ops client_ops = {
        .on_data = on_client_data, .on_drain = on_client_drain, .on_close = on_client_close};
    struct tcp_proxy *t = NEW(struct tcp_proxy);
    struct str name = tcp_config_cluster(config, rand_u64());
    struct cluster *cluster = worker_find_cluster(w, name);
    t->worker = w;
    t->config = config;
    t->ops = ops;
    t->user = user;
    t->client = client;
    t->who = who;
    t->log = *log;
    *log = (struct conn_log){0};
    t->log.conn = client;
    t->log.cluster = str_dup(name);
    stats_inc(tcp_stats(t), TCP_STAT_CX_TOTAL);
    stats_inc(tcp_stats(t), TCP_STAT_CX_ACTIVE);
    t->queue_high = buffer_bytes ? buffer_bytes : QUEUE_HIGH;
    t->timer = loop_timer_new(worker_loop(w), on_timer, t);
    loop_call_init(&t->over, tell_over, t);
    if (config->duration_max_ms)
        t->end_ms = now_ms(t) + config->duration_max_ms;
    conn_pause(client);
    conn_set_in_bytes_max(client, t->queue_high);
    conn_set_ops(client, &client_ops, t);
    t->log.reason = REASON_TCP_DONE;
    if (!cluster) {
        end_by(t, REASON_TCP_CLUSTER_NOT_FOUND);
        return t;
    }
    t->cluster = cluster_ref(cluster);
    connect_next(t);
    return t;
}
