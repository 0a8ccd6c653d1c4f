/* The pool of connections to an endpoint. A connection is opening, ready for another stream, or
 * full; HTTP/1 takes one stream, so it is full from its stream's begin to its end. The one used
 * last is taken first, so that those that are not needed grow old and are closed.
 *
 * Circuit breakers are asked here: for a connection, for a place to wait, for a request that runs.
 * A pool without any connection may always make one, so that whoever waits here gets on. */
#include "proxy/upstream.h"

#include <errno.h>

#include "base/assert.h"
#include "net/http1_conn.h"
#include "net/http2_conn.h"
#include "net/http_auto.h"
#include "proxy/mesh_client.h"
#include "proxy/outlier.h"

enum conn_state {
    CONN_OPENING,
    CONN_READY,
    CONN_FULL,
    _CONN_STATES,
};

struct upstream {
    struct loop *loop;
    struct cluster *cluster;
    struct endpoint *endpoint;
    const struct upstream_tls *tls; /* the cluster's; NULL: plain */
    struct endpoint_load *load;     /* this worker's lines */
    struct breaker_line *line;
    struct stats_cell *stats;
    uint8_t version;       /* 1, 2; 0: each connection for itself, by ALPN */
    unsigned streams_each; /* how many a new connection is expected to take */
    struct http_conn_config config;
    struct list_node conns[_CONN_STATES]; /* struct upstream_conn */
    struct list_node waiting;             /* struct upstream_wait, the oldest first */
    size_t n_waiting;
    size_t n_opening;
    size_t n_conns; /* all of them */
    size_t n_requests;
    bool retired;
};

/* What is expected of a new connection until the peer has said how many. */
enum { HTTP2_STREAMS = 100 };

/* Connections to other names than that which is asked for, before idle ones are closed. */
enum { NAMED_CONNS_MAX = 64 };

struct upstream_conn {
    struct list_node node;
    struct upstream *upstream;
    struct http_conn *hc;
    struct loop_timer *timer; /* of connecting, then of its life; NULL: no more */
    uint64_t n_streams;       /* where the cluster limits them */
    uint8_t state;            /* enum conn_state */
    uint64_t begin_ms;
    uint8_t priority; /* whose circuit breaker counts it */
    bool timed_out;
    char *name; /* whom it speaks to over TLS, if requests say that; NULL: as the cluster says */
    char *head; /* whom it speaks for, by the PROXY protocol; NULL: for nobody */
    uint8_t head_n;
};

struct upstream *upstream_new(struct loop *l, unsigned worker, struct cluster *c,
                              struct endpoint *e, unsigned version)
{
    struct upstream *u = NEW(struct upstream);
    u->loop = l;
    u->cluster = cluster_ref(c);
    u->endpoint = endpoint_ref(e);
    u->tls = cluster_tls(c, e);
    u->load = endpoint_load(e, worker);
    u->line = breakers_line(&c->breakers, worker);
    u->stats = stats_of(c->stats, worker);
    u->version = (uint8_t)(version ? version : c->http.version);
    u->streams_each = u->version == 2 ? HTTP2_STREAMS : 1;
    u->config = c->http.conn;
    u->config.http2 = &c->http.http2;
    for (size_t i = 0; i < _CONN_STATES; i++)
        list_init(&u->conns[i]);
    list_init(&u->waiting);
    return u;
}

static void upstream_done(struct upstream *u)
{
    endpoint_unref(u->endpoint);
    cluster_unref(u->cluster);
    free(u);
}

static void done_if_unused(struct upstream *u)
{
    if (u->retired && !u->n_conns && !u->n_requests)
        upstream_done(u);
}

bool upstream_is_used(const struct upstream *u)
{
    return u->n_requests;
}

struct endpoint *upstream_endpoint(const struct upstream *u)
{
    return u->endpoint;
}

struct stats_cell *upstream_stats(const struct upstream *u)
{
    return u->stats;
}

/* ---- connections ---- */

static void conn_move(struct upstream_conn *c, enum conn_state to)
{
    if (c->state == CONN_OPENING && to != CONN_OPENING)
        c->upstream->n_opening--;
    c->state = (uint8_t)to;
    list_remove(&c->node);
    list_add_head(&c->upstream->conns[to], &c->node);
}

static void conn_forget(struct upstream_conn *c)
{
    struct upstream *u = c->upstream;
    list_remove(&c->node);
    loop_timer_free(c->timer);
    u->n_conns--;
    if (c->state == CONN_OPENING)
        u->n_opening--;
    breaker_give(&u->cluster->breakers.of[c->priority].connections);
    stats_dec(u->stats, CLUSTER_STAT_CX_ACTIVE);
    stats_inc(u->stats, CLUSTER_STAT_CX_DESTROY);
    stats_record_ms(u->stats, CLUSTER_STAT_CX_LENGTH, loop_now_ms(u->loop) - c->begin_ms);
    if (u->cluster->host_connections_max)
        atomic_fetch_sub(&u->endpoint->conns, 1);
    free(c->name);
    free(c->head);
    free(c);
}

static void drop_conns(struct upstream *u, enum conn_state state)
{
    LIST_FOREACH_SAFE (node, &u->conns[state]) {
        struct upstream_conn *c = CONTAINER_OF(node, struct upstream_conn, node);
        http_conn_free(c->hc);
        conn_forget(c);
    }
}

void upstream_free(struct upstream *u)
{
    if (!u)
        return;
    for (unsigned i = 0; i < _CONN_STATES; i++)
        drop_conns(u, (enum conn_state)i);
    ASSERT(!u->n_requests && list_is_empty(&u->waiting));
    upstream_done(u);
}

void upstream_retire(struct upstream *u)
{
    if (!u)
        return;
    u->retired = true;
    LIST_FOREACH_SAFE (node, &u->conns[CONN_READY])
        http_conn_shutdown(CONTAINER_OF(node, struct upstream_conn, node)->hc);
    LIST_FOREACH_SAFE (node, &u->conns[CONN_FULL])
        http_conn_shutdown(CONTAINER_OF(node, struct upstream_conn, node)->hc);
    if (!u->n_waiting)
        drop_conns(u, CONN_OPENING);
    done_if_unused(u);
}

/* ---- whom it speaks to ---- */

void upstream_name(struct upstream_wait *w, const struct cluster *c, const struct http_head *h)
{
    struct str host, rest;
    w->name = (struct str){NULL, 0};
    if (!c->http.auto_sni && !c->http.auto_san)
        return;
    host = http_field_value(http_head_find(h, HTTP_NAME_HOST));
    if (host.n && host.p[0] == '[') { /* [::1]:80 */
        host = str_cut(str_sub(host, 1, host.n), ']', &rest);
        w->name = host;
    } else {
        w->name = str_cut(host, ':', &rest);
    }
}

/* Whom a connection speaks to, and for. */
struct peers {
    struct str name, head;
};

static struct peers peers_of(const struct upstream_conn *c)
{
    return (struct peers){str_from(c->name ? c->name : ""), str_of(c->head, c->head_n)};
}

static struct peers peers_wanted(const struct upstream_wait *w)
{
    return (struct peers){w->name, w->head};
}

static bool are_same(struct peers a, struct peers b)
{
    return str_eq_nocase(a.name, b.name) && str_eq(a.head, b.head);
}

/* Those that are opening to it, those that wait for it, and all that there are. */
static void count_peers(const struct upstream *u, struct peers p, size_t *ret_opening,
                        size_t *ret_waiting, size_t *ret_all)
{
    *ret_opening = *ret_waiting = *ret_all = 0;
    for (unsigned i = 0; i < _CONN_STATES; i++)
        LIST_FOREACH (node, &u->conns[i])
            if (are_same(peers_of(CONTAINER_OF(node, struct upstream_conn, node)), p)) {
                *ret_opening += i == CONN_OPENING;
                ++*ret_all;
            }
    LIST_FOREACH (node, &u->waiting)
        *ret_waiting += are_same(peers_wanted(CONTAINER_OF(node, struct upstream_wait, node)), p);
}

static bool by_peers(const struct upstream *u)
{
    return u->cluster->http.auto_sni || u->cluster->http.auto_san || u->cluster->proxy_version;
}

/* ---- for whom it speaks ---- */

size_t upstream_proxy_head(const struct cluster *c, const struct conn *client,
                           char ret[PROXY_PROTOCOL_WRITTEN_MAX])
{
    struct proxy_protocol p = {.version = c->proxy_version};
    if (!p.version)
        return 0;
    p.local = !client || conn_peer_addr(client, &p.source, &p.source_port) < 0 ||
              conn_local_addr(client, &p.destination, &p.destination_port) < 0;
    return proxy_protocol_write(&p, ret);
}

void upstream_speak_for(struct upstream_wait *w, const struct cluster *c, const struct conn *client,
                        struct arena *a)
{
    char head[PROXY_PROTOCOL_WRITTEN_MAX];
    size_t n = client ? upstream_proxy_head(c, client, head) : 0;
    w->head = n ? arena_str(a, str_of(head, n)) : (struct str){NULL, 0};
}

/* ---- requests ---- */

void upstream_enter(struct upstream *u, struct upstream_wait *w)
{
    ASSERT(!w->at);
    w->at = u;
    w->loads = true;
    w->observed = u->cluster->outlier;
    w->answered = false;
    u->n_requests++;
    /* Nobody else writes this line. */
    unsigned n = atomic_load_explicit(&u->load->active, memory_order_relaxed);
    atomic_store_explicit(&u->load->active, n + 1, memory_order_relaxed);
}

void upstream_cancel(struct upstream_wait *w)
{
    if (!w->waits)
        return;
    w->waits = false;
    list_remove(&w->node);
    w->at->n_waiting--;
    stats_dec(w->at->stats, CLUSTER_STAT_RQ_PENDING);
    breaker_give(&w->at->cluster->breakers.of[w->priority].pending);
}

/* Its stream was open. */
static void count_end(struct upstream *u, struct upstream_wait *w)
{
    stats_dec(u->stats, CLUSTER_STAT_RQ_ACTIVE);
    if (w->answered)
        stats_record_ms(u->stats, CLUSTER_STAT_RQ_TIME, loop_now_ms(u->loop) - w->sent_ms);
    w->sent_ms = 0;
}

void upstream_ended(struct upstream_wait *w)
{
    struct upstream *u = w->at;
    if (!w->loads)
        return;
    unsigned n = atomic_load_explicit(&u->load->active, memory_order_relaxed);
    atomic_store_explicit(&u->load->active, n - 1, memory_order_relaxed);
    w->loads = false;
    if (w->sent_ms)
        count_end(u, w);
    if (w->counted)
        breakers_give_request(&u->cluster->breakers, w->priority, u->line);
    w->counted = false;
}

void upstream_answered(struct upstream_wait *w, unsigned status)
{
    struct upstream *u = w->at;
    if (!u)
        return;
    w->answered = true;
    stats_count_code(u->stats, CLUSTER_STAT_RQ_COMPLETED, CLUSTER_STAT_RQ_CODES, status);
    if (w->observed)
        outlier_answered(u->cluster, u->endpoint, u->load, status);
}

/* What failures are counted as, and by. */
static const struct {
    uint16_t status; /* that stands for it where it is counted with the answers */
    bool outlier;    /* it is the endpoint's */
    uint16_t counter;
} failures[_REASON_MAX] = {
    [REASON_CONNECT_FAILED] = {503, true, CLUSTER_STAT_RQ_PENDING_EJECT},
    [REASON_CONNECT_TIMEOUT] = {503, true, CLUSTER_STAT_RQ_PENDING_EJECT},
    [REASON_UPSTREAM_CLOSED] = {503, true, CLUSTER_STAT_RQ_RX_RESET},
    [REASON_UPSTREAM_RESET] = {503, true, CLUSTER_STAT_RQ_RX_RESET},
    [REASON_UPSTREAM_REFUSED] = {503, true, CLUSTER_STAT_RQ_RX_RESET},
    [REASON_UPSTREAM_PROTOCOL] = {503, true, CLUSTER_STAT_CX_PROTOCOL_ERROR},
    [REASON_UPSTREAM_CUT] = {503, true, CLUSTER_STAT_RQ_RX_RESET},
    [REASON_RESPONSE_TIMEOUT] = {504, true, CLUSTER_STAT_RQ_TIMEOUT},
    [REASON_PER_TRY_TIMEOUT] = {504, true, CLUSTER_STAT_RQ_TRY_TIMEOUT},
    [REASON_PER_TRY_IDLE] = {504, true, CLUSTER_STAT_RQ_TRY_TIMEOUT},
    [REASON_UPSTREAM_MAX_DURATION] = {504, true, CLUSTER_STAT_RQ_TIMEOUT},
    [REASON_OVERFLOW] = {503, false, CLUSTER_STAT_RQ_PENDING_OVERFLOW},
};

void upstream_failed(struct upstream_wait *w, enum reason why)
{
    struct upstream *u = w->at;
    unsigned status = failures[why].status;
    if (u && status) {
        if (!w->answered) /* else it has been counted by its own */
            stats_count_code(u->stats, CLUSTER_STAT_RQ_COMPLETED, CLUSTER_STAT_RQ_CODES, status);
        stats_inc(u->stats, failures[why].counter);
        if (w->observed && failures[why].outlier)
            outlier_failed(u->cluster, u->endpoint, u->load, status);
    }
    if (u && status != 503 && w->sent_ms) /* a time-out: it was waited for in vain */
        stats_inc(u->stats, CLUSTER_STAT_RQ_TX_RESET);
    upstream_ended(w);
}

void upstream_leave(struct upstream_wait *w)
{
    struct upstream *u = w->at;
    if (!u)
        return;
    upstream_cancel(w);
    if (w->sent_ms && !w->answered) /* its client has gone */
        stats_inc(u->stats, CLUSTER_STAT_RQ_TX_RESET);
    if (w->loads)
        upstream_ended(w);
    w->at = NULL;
    u->n_requests--;
    if (u->retired)
        done_if_unused(u);
}

static bool may_run(struct upstream *u, struct upstream_wait *w)
{
    if (!w->counted) /* asked a second time */
        w->counted = breakers_take_request(&u->cluster->breakers, w->priority, u->line);
    return w->counted;
}

/* The oldest for such a connection. */
static struct upstream_wait *first_waiting(struct upstream *u, struct peers p)
{
    LIST_FOREACH (node, &u->waiting) {
        struct upstream_wait *w = CONTAINER_OF(node, struct upstream_wait, node);
        if (!by_peers(u) || are_same(peers_wanted(w), p))
            return w;
    }
    return NULL;
}

/* A connection that ALPN has made one of HTTP/2. */
static bool takes_more(const struct upstream_conn *c)
{
    return !c->upstream->version && http_conn_version(c->hc) == 2 && http_conn_streams_free(c->hc);
}

/* A stream for w on a connection that is ready, which moves to the full ones when it takes no more.
 * Negative: it takes none. */
static int conn_open_stream(struct upstream_conn *c, struct upstream_wait *w,
                            struct http_stream **ret)
{
    struct upstream *u = c->upstream;
    uint64_t max = u->config.requests_max;
    int r = http_conn_open(c->hc, w->ops, w->user, ret);
    if (r < 0 || (u->streams_each == 1 && !takes_more(c)))
        conn_move(c, CONN_FULL);
    if (r < 0)
        return r;
    stats_inc(u->stats, CLUSTER_STAT_RQ_TOTAL);
    if (!w->sent_ms) /* not asked a second time */
        stats_inc(u->stats, CLUSTER_STAT_RQ_ACTIVE);
    w->sent_ms = MAX(loop_now_ms(u->loop), (uint64_t)1);
    if (max && ++c->n_streams == max) { /* it ends behind this one */
        if (c->state != CONN_FULL)
            conn_move(c, CONN_FULL);
        http_conn_shutdown(c->hc);
    }
    return 0;
}

/* It takes a stream more: for those that wait, the oldest first. */
static void conn_is_ready(struct upstream_conn *c)
{
    struct upstream *u = c->upstream;
    struct http_stream *s;
    struct upstream_wait *w;
    conn_move(c, CONN_READY);
    while (c->state == CONN_READY && (w = first_waiting(u, peers_of(c)))) {
        if (!may_run(u, w)) {
            upstream_cancel(w);
            w->on_failed(REASON_OVERFLOW, "overflow", w->user);
            continue;
        }
        if (conn_open_stream(c, w, &s) < 0)
            return; /* it has just closed, or is full: w waits for another */
        upstream_cancel(w);
        w->on_ready(s, w->user);
    }
    if (u->retired && c->state == CONN_READY)
        http_conn_shutdown(c->hc);
}

static void count_open(const struct upstream_conn *c)
{
    struct stats_cell *s = c->upstream->stats;
    struct tls_session *tls = conn_tls(http_conn_conn(c->hc));
    if (c->upstream->cluster->mesh_service)
        mesh_note_principal(&c->upstream->endpoint->principal, tls);
    stats_record_ms(s, CLUSTER_STAT_CX_CONNECT_MS, loop_now_ms(c->upstream->loop) - c->begin_ms);
    if (!tls)
        return;
    stats_inc(s, CLUSTER_STAT_SSL_HANDSHAKE);
    if (tls_session_resumed(tls))
        stats_inc(s, CLUSTER_STAT_SSL_RESUMED);
}

/* It has lived as long as it may: it takes no more requests. */
static void on_old(void *user)
{
    struct upstream_conn *c = user;
    if (c->state == CONN_READY)
        conn_move(c, CONN_FULL);
    http_conn_shutdown(c->hc);
}

static void on_open(struct http_conn *hc, void *user)
{
    struct upstream_conn *c = user;
    (void)hc;
    uint64_t life_ms = c->upstream->cluster->http.connection_max_ms;
    if (life_ms) {
        loop_timer_stop(c->timer);
        loop_timer_set(c->timer, on_old, c);
        loop_timer_start(c->timer, life_ms);
    } else {
        loop_timer_free(TAKE(c->timer));
    }
    count_open(c);
    conn_is_ready(c);
}

static void on_free(struct http_conn *hc, void *user)
{
    (void)hc;
    conn_is_ready(user);
}

static void connect_if_wanted(struct upstream *u);

static void on_close(struct http_conn *hc, int code, const char *text, void *user)
{
    struct upstream_conn *c = user;
    struct upstream *u = c->upstream;
    bool failed = c->state == CONN_OPENING;
    bool timed_out = c->timed_out;
    (void)hc;
    (void)code;
    struct upstream_wait *w = failed ? first_waiting(u, peers_of(c)) : NULL;
    conn_forget(c);
    if (failed)
        stats_inc(u->stats, CLUSTER_STAT_CX_CONNECT_FAIL);
    u->n_requests++; /* it stays while its users are told */
    if (w)
        upstream_cancel(w);
    if (w)
        w->on_failed(timed_out ? REASON_CONNECT_TIMEOUT : REASON_CONNECT_FAILED, text, w->user);
    connect_if_wanted(u);
    u->n_requests--;
    done_if_unused(u);
}

static void on_connect_timeout(void *user)
{
    struct upstream_conn *c = user;
    c->timed_out = true;
    stats_inc(c->upstream->stats, CLUSTER_STAT_CX_CONNECT_TIMEOUT);
    struct http_conn *hc = c->hc;
    on_close(hc, -ETIMEDOUT, "connection timeout", c);
    http_conn_free(hc);
}

/* As whom TLS speaks. False: nobody is to be spoken to. */
static bool take_name(const struct upstream *u, const struct upstream_conn *c,
                      struct tls_session_options *names)
{
    if (u->cluster->http.auto_sni)
        names->sni = c->name;
    if (!u->cluster->http.auto_san)
        return true;
    names->verify_name = c->name;
    return c->name != NULL;
}

static void connect_one(struct upstream *u, const struct upstream_wait *w)
{
    static const struct sockaddr_storage nowhere;
    static const struct http_conn_ops ops = {
        .on_open = on_open, .on_free = on_free, .on_close = on_close};
    struct upstream_conn *c = NEW(struct upstream_conn);
    c->upstream = u;
    c->priority = w->priority;
    c->name = w->name.n ? str_dup(w->name) : NULL;
    c->head = w->head.n ? str_dup(w->head) : NULL;
    c->head_n = (uint8_t)w->head.n;
    list_add_tail(&u->conns[CONN_OPENING], &c->node);
    u->n_opening++;
    u->n_conns++;
    c->begin_ms = loop_now_ms(u->loop);
    stats_inc(u->stats, CLUSTER_STAT_CX_TOTAL);
    stats_inc(u->stats, CLUSTER_STAT_CX_ACTIVE);
    stats_inc(u->stats,
              u->cluster->http.version == 2 ? CLUSTER_STAT_CX_HTTP2 : CLUSTER_STAT_CX_HTTP1);
    c->timer = loop_timer_new(u->loop, on_connect_timeout, c);
    loop_timer_start(c->timer, u->cluster->connect_timeout_ms);
    struct tls_session_options names = {0};
    struct conn_options o = {.tls_options = &names, .preface = str_of(c->head, c->head_n)};
    char nobody[PROXY_PROTOCOL_WRITTEN_MAX];
    const struct sockaddr_storage *to = &u->endpoint->address;
    o.from = cluster_source(u->cluster, to->ss_family);
    o.keepalive = u->cluster->keeps_alive ? &u->cluster->keepalive : NULL;
    if (u->cluster->proxy_version && !c->head_n)
        o.preface = str_of(nobody, upstream_proxy_head(u->cluster, NULL, nobody));
    if (u->tls) {
        names = upstream_tls_options(u->tls, u->version);
        o.tls = tls_slot_context(u->tls->slot);
        if (!o.tls || !take_name(u, c, &names))
            to = &nowhere; /* a secret has not come: never in plain */
    }
    atomic_store_explicit(&u->cluster->has_traffic, true, memory_order_relaxed);
    struct conn *conn =
        conn_connect(u->loop, to, u->endpoint->address_bytes, &o, &conn_no_ops, NULL);
    tls_context_unref(o.tls);
    switch (u->version) {
    case 1:
        c->hc = http1_conn_new_client(conn, &u->config, &ops, c);
        break;
    case 2:
        c->hc = http2_conn_new_client(conn, &u->config, &ops, c);
        break;
    default:
        c->hc = http_auto_conn_new_client(conn, &u->config, &ops, c);
    }
}

/* Takes the places of a connection. n: how many there are that would do. */
static bool may_connect(struct upstream *u, unsigned priority, size_t n)
{
    struct breaker *all = &u->cluster->breakers.of[priority].connections;
    uint32_t max = u->cluster->host_connections_max;
    if (max && atomic_fetch_add(&u->endpoint->conns, 1) >= max && n) {
        atomic_fetch_sub(&u->endpoint->conns, 1);
        return false;
    }
    if (breaker_take(all))
        return true;
    stats_inc(u->stats, CLUSTER_STAT_CX_OVERFLOW);
    if (!n) {
        breaker_take_over(all);
        return true;
    }
    if (max)
        atomic_fetch_sub(&u->endpoint->conns, 1);
    return false;
}

/* The same for the first of those that wait who has not enough of his own. An idle connection to
 * somebody else makes room where a limit is reached. */
static void connect_by_peers(struct upstream *u)
{
    LIST_FOREACH (node, &u->waiting) {
        const struct upstream_wait *w = CONTAINER_OF(node, struct upstream_wait, node);
        size_t opening, waiting, all;
        count_peers(u, peers_wanted(w), &opening, &waiting, &all);
        if (opening * u->streams_each >= waiting)
            continue;
        if (!may_connect(u, w->priority, all))
            return;
        if (!list_is_empty(&u->conns[CONN_READY]) &&
            (u->n_conns - all >= NAMED_CONNS_MAX ||
             breaker_is_over(&u->cluster->breakers.of[w->priority].connections)))
            http_conn_shutdown(
                CONTAINER_OF(u->conns[CONN_READY].prev, struct upstream_conn, node)->hc);
        connect_one(u, w);
        return;
    }
}

/* Someone waits: is there to be one more connection? */
static void connect_if_wanted(struct upstream *u)
{
    if (by_peers(u)) {
        connect_by_peers(u);
        return;
    }
    if (u->n_opening * u->streams_each >= u->n_waiting)
        return;
    struct upstream_wait *w = CONTAINER_OF(u->waiting.next, struct upstream_wait, node);
    if (may_connect(u, w->priority, u->n_conns))
        connect_one(u, w);
}

/* NULL: none. */
static struct upstream_conn *ready_conn(struct upstream *u, const struct upstream_wait *w)
{
    LIST_FOREACH (node, &u->conns[CONN_READY]) {
        struct upstream_conn *c = CONTAINER_OF(node, struct upstream_conn, node);
        if (!by_peers(u) || are_same(peers_of(c), peers_wanted(w)))
            return c;
    }
    return NULL;
}

int upstream_take(struct upstream_wait *w, bool fresh, struct http_stream **ret)
{
    struct upstream *u = w->at;
    ASSERT(u && !w->waits);
    struct upstream_conn *c;
    while (!fresh && (c = ready_conn(u, w))) {
        if (!may_run(u, w))
            return -EBUSY;
        if (conn_open_stream(c, w, ret) == 0)
            return 0; /* else it is about to close, or full */
    }
    if (!breaker_take(&u->cluster->breakers.of[w->priority].pending))
        return -EBUSY;
    list_add_tail(&u->waiting, &w->node);
    w->waits = true;
    u->n_waiting++;
    stats_inc(u->stats, CLUSTER_STAT_RQ_PENDING_TOTAL);
    stats_inc(u->stats, CLUSTER_STAT_RQ_PENDING);
    connect_if_wanted(u);
    return -EAGAIN;
}
