/* Active health checks. A check is timer -> connection or call -> result -> timer; at most one runs
 * for an endpoint. Owned by the main thread; the endpoints' flags are what others see of it. */
#include "proxy/health.h"

#include <errno.h>

#include "base/assert.h"
#include "base/rand.h"
#include "net/http_client.h"
#include "proxy/cluster_stats.h"
#include "proxy/outlier.h"
#include "proxy/upstream.h"

struct health {
    struct loop *loop;
    struct cluster *cluster; /* borrowed: it stops this before it goes */
    const struct health_config *config;
    struct cluster_follower follower;
    struct map checks; /* endpoint -> struct health_check */
    uint64_t generation;
};

struct health_check {
    struct health *health;
    struct endpoint *endpoint;
    struct health_state state;
    struct loop_timer *timer; /* to the next check, or until this one has taken too long (TCP) */
    uint64_t generation;      /* of the set that names it */
    struct ip ip;             /* what is asked */
    uint16_t port;
    char *host;
    struct http_client *client; /* HTTP: with its connection, between checks too */
    struct http_call *call;     /* that runs */
    struct conn *conn;          /* TCP: that runs */
};

static void begin(void *user);

/* ---- the end of a check ---- */

static void finish(struct health_check *k, enum health_result result)
{
    struct health *h = k->health;
    cluster_count(h->cluster,
                  result == HEALTH_GOOD ? CLUSTER_STAT_CHECK_SUCCESS : CLUSTER_STAT_CHECK_FAILURE);
    if (result == HEALTH_NO_ANSWER)
        cluster_count(h->cluster, CLUSTER_STAT_CHECK_NETWORK);
    unsigned flags = atomic_load(&k->endpoint->flags), to;
    enum health_change change = health_judge(h->config, &k->state, result, flags, &to);
    unsigned changed = (flags ^ to) & (ENDPOINT_FAILED_CHECK | ENDPOINT_PENDING_CHECK);
    bool failing = to & ENDPOINT_FAILED_CHECK;
    if (changed) {
        atomic_fetch_xor(&k->endpoint->flags, changed); /* of this thread alone */
        cluster_replan_soon(h->cluster);
    }
    if (result == HEALTH_GOOD && !failing)
        outlier_checked(h->cluster, k->endpoint);
    bool traffic = atomic_load_explicit(&h->cluster->has_traffic, memory_order_relaxed);
    loop_timer_stop(k->timer);
    loop_timer_set(k->timer, begin, k);
    loop_timer_start(k->timer, health_next_ms(h->config, change, failing, traffic, rand_u64()));
}

/* ---- HTTP ---- */

static void on_piece(struct http_call *call, struct str piece, void *user)
{
    (void)call, (void)piece, (void)user; /* nobody wants the body */
}

static void on_answered(struct http_call *call, int code, const char *text, void *user)
{
    struct health_check *k = user;
    (void)text;
    k->call = NULL;
    finish(k, code < 0 ? HEALTH_NO_ANSWER
                       : health_of_status(k->health->config, http_call_status(call)));
}

static void begin_http(struct health_check *k)
{
    static const struct http_call_ops ops = {.on_data = on_piece, .on_done = on_answered};
    const struct health_config *c = k->health->config;
    struct http_header headers[HEALTH_HEADERS_MAX + 1] = {{STR("host"), str_from(k->host)}};
    struct http_client_config config = {.ip = k->ip,
                                        .port = k->port,
                                        .host = k->host,
                                        .user_agent = "Envoy/HC",
                                        .connect_timeout_ms = c->timeout_ms,
                                        .idle_connections_max = 1};
    struct http_request request = {.method = c->method,
                                   .target = c->path,
                                   .headers = headers,
                                   .n_headers = c->n_headers + 1,
                                   .timeout_ms = c->timeout_ms};
    if (c->n_headers)
        memcpy(headers + 1, c->headers, c->n_headers * sizeof(headers[0]));
    if (!c->reuse_connection) {
        http_client_free(k->client);
        k->client = NULL;
    }
    if (!k->client)
        k->client = http_client_new(k->health->loop, &config);
    k->call = http_call_start(k->client, &request, &ops, k);
}

/* ---- TCP ---- */

static void end_tcp(struct health_check *k, enum health_result result)
{
    if (k->conn)
        conn_free(TAKE(k->conn));
    finish(k, result);
}

static void on_tcp_open(struct conn *conn, void *user)
{
    struct health_check *k = user;
    const struct health_config *c = k->health->config;
    if (c->send.n)
        conn_write(conn, c->send);
    if (!c->n_receive && !conn_queued(conn))
        end_tcp(k, HEALTH_GOOD);
}

/* It was written. */
static void on_tcp_drain(struct conn *conn, void *user)
{
    struct health_check *k = user;
    (void)conn;
    if (!k->health->config->n_receive)
        end_tcp(k, HEALTH_GOOD);
}

static void on_tcp_data(struct conn *conn, void *user)
{
    struct health_check *k = user;
    const struct health_config *c = k->health->config;
    if (!c->n_receive && !conn_eof(conn))
        return;
    struct str text = chain_linear(conn_in(conn), conn_in(conn)->n);
    if (text.p && c->n_receive && health_matches(c, text))
        end_tcp(k, HEALTH_GOOD);
    else if (conn_eof(conn) || text.n >= HEALTH_ANSWER_BYTES)
        end_tcp(k, HEALTH_NO_ANSWER);
}

static void on_tcp_close(struct conn *conn, int code, const char *text, void *user)
{
    struct health_check *k = user;
    (void)conn, (void)code, (void)text;
    k->conn = NULL;
    end_tcp(k, HEALTH_NO_ANSWER);
}

static void on_tcp_timeout(void *user)
{
    end_tcp(user, HEALTH_NO_ANSWER);
}

static void begin_tcp(struct health_check *k)
{
    static const struct conn_ops ops = {.on_open = on_tcp_open,
                                        .on_data = on_tcp_data,
                                        .on_drain = on_tcp_drain,
                                        .on_close = on_tcp_close};
    const struct upstream_tls *tls = cluster_tls(k->health->cluster, k->endpoint);
    struct tls_session_options names = {0};
    char head[PROXY_PROTOCOL_WRITTEN_MAX];
    const struct cluster *cluster = k->health->cluster;
    struct conn_options o = {.in_bytes_max = HEALTH_ANSWER_BYTES};
    o.preface = str_of(head, upstream_proxy_head(cluster, NULL, head));
    o.keepalive = cluster->keeps_alive ? &cluster->keepalive : NULL;
    static const struct sockaddr_storage nowhere;
    struct sockaddr_storage to;
    socklen_t n = ip_to_sockaddr(&k->ip, k->port, &to);
    loop_timer_set(k->timer, on_tcp_timeout, k);
    loop_timer_start(k->timer, k->health->config->timeout_ms);
    if (tls) {
        names = upstream_tls_options(tls, 0);
        o.tls = tls_slot_context(tls->slot);
        o.tls_options = &names;
    }
    k->conn = conn_connect(k->health->loop, tls && !o.tls ? &nowhere : &to, n, &o, &ops, k);
    tls_context_unref(o.tls);
}

static void begin(void *user)
{
    struct health_check *k = user;
    cluster_count(k->health->cluster, CLUSTER_STAT_CHECK_ATTEMPT);
    if (k->health->config->kind == HEALTH_HTTP)
        begin_http(k);
    else
        begin_tcp(k);
}

/* ---- which endpoints ---- */

static void check_free(struct health_check *k)
{
    if (k->call)
        http_call_cancel(k->call);
    http_client_free(k->client);
    if (k->conn)
        conn_free(k->conn);
    loop_timer_free(k->timer);
    endpoint_unref(k->endpoint);
    free(k->host);
    free(k);
}

static struct str key_of(struct endpoint *const *e)
{
    return str_of(e, sizeof(*e));
}

/* Where and how this endpoint is asked. */
static void aim(struct health_check *k, const struct endpoint_entry *e)
{
    const struct health_config *c = k->health->config;
    const char *host = e->check.hostname ? e->check.hostname
                       : c->host         ? c->host
                                         : k->health->cluster->name;
    struct ip ip = e->check.ip;
    uint16_t port = e->check.port;
    if (!e->check.other_address) {
        uint16_t own;
        int r = ip_from_sockaddr((const struct sockaddr *)&e->endpoint->address, &ip, &own);
        ASSERT(r == 0); /* it was made of one */
        port = port ? port : c->alt_port ? c->alt_port : own;
    }
    if (k->host && !strcmp(k->host, host) && k->port == port && ip_eq(&k->ip, &ip))
        return;
    free(k->host);
    k->host = xstrdup(host);
    k->ip = ip;
    k->port = port;
    if (!k->call) { /* else the next check still goes there, once */
        http_client_free(k->client);
        k->client = NULL;
    }
}

static void add_check(struct health *h, const struct endpoint_entry *e)
{
    struct health_check *k = NEW(struct health_check);
    uint64_t jitter = h->config->initial_jitter_ms;
    k->health = h;
    k->endpoint = endpoint_ref(e->endpoint);
    k->timer = loop_timer_new(h->loop, begin, k);
    map_put(&h->checks, key_of(&k->endpoint), k);
    atomic_fetch_or(&k->endpoint->flags,
                    ENDPOINT_FAILED_CHECK | (h->config->hold_new ? ENDPOINT_PENDING_CHECK : 0));
    loop_timer_start(k->timer, jitter ? rand_below(jitter) : 0);
}

static void on_endpoints(const struct endpoint_set *s, void *user)
{
    struct health *h = user;
    void *found;
    h->generation++;
    VEC_FOREACH (e, &s->entries) {
        if (e->unchecked)
            continue;
        if (!map_find(&h->checks, key_of(&e->endpoint)))
            add_check(h, e);
        struct health_check *k = map_find(&h->checks, key_of(&e->endpoint));
        k->generation = h->generation;
        aim(k, e);
    }
    for (size_t at = 0; map_next(&h->checks, &at, NULL, &found);) {
        struct health_check *k = found;
        if (k->generation == h->generation)
            continue;
        map_remove(&h->checks, key_of(&k->endpoint));
        atomic_fetch_and(&k->endpoint->flags,
                         ~(unsigned)(ENDPOINT_FAILED_CHECK | ENDPOINT_PENDING_CHECK));
        check_free(k);
    }
}

struct health *health_new(struct loop *l, struct cluster *c)
{
    struct health *h = NEW(struct health);
    h->loop = l;
    h->cluster = c;
    h->config = c->health;
    h->follower = (struct cluster_follower){.on_endpoints = on_endpoints, .user = h};
    on_endpoints(c->plan->set, h);
    cluster_follow(c, &h->follower);
    return h;
}

void health_free(struct health *h)
{
    void *k;
    if (!h)
        return;
    list_remove(&h->follower.node);
    for (size_t at = 0; map_next(&h->checks, &at, NULL, &k);)
        check_free(k);
    map_done(&h->checks);
    free(h);
}
