/* The pool of connections to an endpoint. HTTP/1: one stream each. The one used last is taken
 * first, so that those that are not needed grow old and are closed. */
#include "proxy/upstream.h"

#include <errno.h>

#include "base/assert.h"
#include "net/http1_conn.h"

struct upstream {
    struct loop *loop;
    struct cluster *cluster;
    struct endpoint *endpoint;
    struct http_conn_config config;
    struct list_node idle;    /* struct upstream_conn, the newest first */
    struct list_node busy;    /* opening, or with a stream */
    struct list_node waiting; /* struct upstream_wait, the oldest first */
    size_t n_waiting;
    size_t n_opening;
    size_t n_conns; /* all of them */
    bool freed;
};

struct upstream_conn {
    struct list_node node;
    struct upstream *upstream;
    struct http_conn *hc;
    struct loop_timer *timer; /* of connecting */
    bool open;
    bool timed_out;
};

struct upstream *upstream_new(struct loop *l, struct cluster *c, struct endpoint *e)
{
    struct upstream *u = NEW(struct upstream);
    u->loop = l;
    u->cluster = cluster_ref(c);
    u->endpoint = endpoint_ref(e);
    u->config.idle_timeout_ms = c->idle_timeout_ms;
    list_init(&u->idle);
    list_init(&u->busy);
    list_init(&u->waiting);
    return u;
}

static void upstream_done(struct upstream *u)
{
    endpoint_unref(u->endpoint);
    cluster_unref(u->cluster);
    free(u);
}

static void conn_forget(struct upstream_conn *c)
{
    list_remove(&c->node);
    loop_timer_free(c->timer);
    c->upstream->n_conns--;
    if (!c->open)
        c->upstream->n_opening--;
    free(c);
}

void upstream_free(struct upstream *u)
{
    if (!u)
        return;
    ASSERT(list_is_empty(&u->waiting));
    LIST_FOREACH_SAFE (node, &u->idle) {
        struct upstream_conn *c = CONTAINER_OF(node, struct upstream_conn, node);
        http_conn_free(c->hc);
        conn_forget(c);
    }
    LIST_FOREACH_SAFE (node, &u->busy) {
        struct upstream_conn *c = CONTAINER_OF(node, struct upstream_conn, node);
        if (c->open) {
            http_conn_shutdown(c->hc);
            continue;
        }
        http_conn_free(c->hc);
        conn_forget(c);
    }
    u->freed = true;
    if (list_is_empty(&u->busy))
        upstream_done(u);
}

struct endpoint *upstream_endpoint(const struct upstream *u)
{
    return u->endpoint;
}

void upstream_cancel(struct upstream_wait *w)
{
    if (!w->upstream)
        return;
    list_remove(&w->node);
    w->upstream->n_waiting--;
    w->upstream = NULL;
}

static struct upstream_wait *first_waiting(struct upstream *u)
{
    if (list_is_empty(&u->waiting))
        return NULL;
    struct upstream_wait *w = CONTAINER_OF(u->waiting.next, struct upstream_wait, node);
    upstream_cancel(w);
    return w;
}

/* To the oldest that waits, or to the idle ones. */
static void conn_is_free(struct upstream_conn *c)
{
    struct upstream *u = c->upstream;
    struct upstream_wait *w = first_waiting(u);
    struct http_stream *s;
    list_remove(&c->node);
    if (!w) {
        list_add_head(&u->idle, &c->node);
        return;
    }
    list_add_tail(&u->busy, &c->node);
    if (http_conn_open(c->hc, w->ops, w->user, &s) == 0) {
        w->on_ready(s, w->user);
        return;
    }
    COUNT_IF(true, "a connection that opened takes no stream");
    w->on_failed(REASON_CONNECT_FAILED, "the connection takes no request", w->user);
}

static void on_open(struct http_conn *hc, void *user)
{
    struct upstream_conn *c = user;
    (void)hc;
    c->open = true;
    c->upstream->n_opening--;
    loop_timer_free(TAKE(c->timer));
    conn_is_free(c);
}

static void on_free(struct http_conn *hc, void *user)
{
    (void)hc;
    conn_is_free(user);
}

static void connect_if_wanted(struct upstream *u);

static void on_close(struct http_conn *hc, int code, const char *text, void *user)
{
    struct upstream_conn *c = user;
    struct upstream *u = c->upstream;
    bool failed = !c->open;
    bool timed_out = c->timed_out;
    (void)hc;
    (void)code;
    conn_forget(c);
    struct upstream_wait *w = failed ? first_waiting(u) : NULL;
    if (w)
        w->on_failed(timed_out ? REASON_CONNECT_TIMEOUT : REASON_CONNECT_FAILED, text, w->user);
    if (!u->freed)
        connect_if_wanted(u);
    else if (list_is_empty(&u->busy))
        upstream_done(u);
}

static void on_connect_timeout(void *user)
{
    struct upstream_conn *c = user;
    c->timed_out = true;
    struct http_conn *hc = c->hc;
    on_close(hc, -ETIMEDOUT, "connection timeout", c);
    http_conn_free(hc);
}

static void connect_one(struct upstream *u)
{
    static const struct sockaddr_storage nowhere;
    static const struct http_conn_ops ops = {
        .on_open = on_open, .on_free = on_free, .on_close = on_close};
    struct upstream_conn *c = NEW(struct upstream_conn);
    c->upstream = u;
    list_add_tail(&u->busy, &c->node);
    u->n_opening++;
    u->n_conns++;
    c->timer = loop_timer_new(u->loop, on_connect_timeout, c);
    loop_timer_start(c->timer, u->cluster->connect_timeout_ms);
    struct tls_session_options names = {0};
    struct conn_options o = {.tls_options = &names};
    const struct sockaddr_storage *to = &u->endpoint->address;
    if (u->cluster->tls) {
        names = upstream_tls_options(u->cluster->tls);
        o.tls = tls_slot_context(u->cluster->tls->slot);
        if (!o.tls)
            to = &nowhere; /* a secret has not come: never in plain */
    }
    c->hc = http1_conn_new_client(
        conn_connect(u->loop, to, u->endpoint->address_bytes, &o, &conn_no_ops, NULL), &u->config,
        &ops, c);
    tls_context_unref(o.tls);
}

bool upstream_is_full(const struct upstream *u)
{
    return list_is_empty(&u->idle) && u->n_conns >= u->cluster->connections_max &&
           u->n_waiting >= u->cluster->pending_max;
}

/* Someone waits: is there to be one more connection? */
static void connect_if_wanted(struct upstream *u)
{
    if (u->n_opening < u->n_waiting && u->n_conns < u->cluster->connections_max)
        connect_one(u);
}

struct http_stream *upstream_take(struct upstream *u, struct upstream_wait *w, bool fresh)
{
    while (!fresh && !list_is_empty(&u->idle)) {
        struct upstream_conn *c = CONTAINER_OF(u->idle.next, struct upstream_conn, node);
        struct http_stream *s;
        list_remove(&c->node);
        list_add_tail(&u->busy, &c->node);
        if (http_conn_open(c->hc, w->ops, w->user, &s) == 0)
            return s; /* else it is about to close */
    }
    list_add_tail(&u->waiting, &w->node);
    w->upstream = u;
    u->n_waiting++;
    connect_if_wanted(u);
    return NULL;
}
