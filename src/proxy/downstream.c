/* Clients' connections: accepted, looked at by the listener's filters, given a filter chain, shaken
 * hands with, served, drained, ended. Most listeners have one chain and no filter: their
 * connections go straight to it. */
#include <errno.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/http1_conn.h"
#include "net/http2_conn.h"
#include "net/http_auto.h"
#include "proxy/conn_values.h"
#include "proxy/downstream_priv.h"
#include "proxy/listener_inspect.h"
#include "proxy/network_rbac.h"
#include "proxy/request.h"
#include "proxy/tcp_proxy.h"

/* Before it is served. */
struct opening {
    int fd; /* -1: taken by the connection */
    struct loop_io *io;
    struct loop_timer *timer;
    struct conn *conn; /* shaking hands */
    bool handed_over;
    struct inspect_facts facts;
};

struct downstream {
    struct list_node node;
    struct worker *worker;
    struct listener_config *listener; /* as it was when the connection came */
    const struct filter_chain *chain; /* of the listener; NULL: not chosen yet */
    struct opening *opening;          /* NULL: it is served */
    struct conn_log *log;             /* of the listener; NULL: it has none */
    /* One of the two. */
    struct http_conn *hc;
    struct tcp_proxy *tcp;
    struct mesh_client client; /* where what it does is counted by that */
    uint64_t begin_ms;         /* of the loop */
    bool told;                 /* to go */
    struct loop_timer *life;   /* of an HTTP connection; NULL: no limit */
};

enum { DOWNSTREAMS_MAX = 50000 }; /* of a worker */

/* ---- statistics ---- */

static void count(const struct downstream *d, enum listener_stat what)
{
    stats_inc(stats_of(d->listener->stats, d->worker->index), what);
}

static struct stats_cell *http_stats(const struct downstream *d)
{
    return stats_of(d->chain->http->stats, d->worker->index);
}

static void count_begin(struct downstream *d)
{
    d->begin_ms = loop_now_ms(d->worker->loop);
    count(d, LISTENER_STAT_CX_TOTAL);
    stats_inc(stats_of(d->listener->stats, d->worker->index), LISTENER_STAT_CX_ACTIVE);
}

static void count_end(const struct downstream *d)
{
    struct stats_cell *s = stats_of(d->listener->stats, d->worker->index);
    uint64_t ms = loop_now_ms(d->worker->loop) - d->begin_ms;
    stats_dec(s, LISTENER_STAT_CX_ACTIVE);
    stats_inc(s, LISTENER_STAT_CX_DESTROY);
    stats_record_ms(s, LISTENER_STAT_CX_LENGTH, ms);
    if (!d->hc)
        return;
    s = http_stats(d);
    stats_dec(s, HTTP_STAT_CX_ACTIVE);
    stats_inc(s, HTTP_STAT_CX_DESTROY);
    stats_record_ms(s, HTTP_STAT_CX_LENGTH, ms);
    if (d->chain->tls)
        stats_dec(s, HTTP_STAT_CX_SSL_ACTIVE);
}

static void count_http(const struct downstream *d)
{
    struct stats_cell *s = http_stats(d);
    stats_inc(s, HTTP_STAT_CX_TOTAL);
    stats_inc(s, HTTP_STAT_CX_ACTIVE);
    if (!d->chain->tls)
        return;
    stats_inc(s, HTTP_STAT_CX_SSL_TOTAL);
    stats_inc(s, HTTP_STAT_CX_SSL_ACTIVE);
}

static void count_handshake(const struct downstream *d, const struct conn *c)
{
    const struct tls_session *tls = conn_tls(c);
    count(d, LISTENER_STAT_SSL_HANDSHAKE);
    if (tls_session_resumed(tls))
        count(d, LISTENER_STAT_SSL_RESUMED);
    if (!tls_session_has_peer(tls))
        count(d, LISTENER_STAT_SSL_NO_CERT);
}

static void count_no_handshake(const struct downstream *d, const struct conn *c)
{
    static const uint8_t counters[] = {
        [TLS_FAILED] = LISTENER_STAT_SSL_ERROR,
        [TLS_FAILED_NO_CERT] = LISTENER_STAT_SSL_FAIL_NO_CERT,
        [TLS_FAILED_CERT] = LISTENER_STAT_SSL_FAIL_CA,
        [TLS_FAILED_NAME] = LISTENER_STAT_SSL_FAIL_SAN,
    };
    count(d, counters[tls_session_failure(conn_tls(c))]);
}

/* ---- the end ---- */

static void opening_free(struct downstream *d)
{
    struct opening *o = TAKE(d->opening);
    if (!o)
        return;
    loop_io_remove(o->io);
    loop_timer_free(o->timer);
    if (o->fd >= 0)
        close(o->fd);
    conn_free(o->conn);
    free(o);
}

static void downstream_free(struct downstream *d)
{
    struct worker *w = d->worker;
    if (d->log) {
        conn_log_write(d->log, w, d->listener->logs.v, d->listener->logs.n);
        conn_log_done(d->log);
        free(d->log);
    }
    opening_free(d);
    mesh_client_done(&d->client);
    count_end(d);
    loop_timer_free(d->life);
    list_remove(&d->node);
    w->n_downstreams--;
    listener_config_unref(d->listener);
    free(d);
    if (w->draining && !w->n_downstreams)
        loop_stop(w->loop, 0);
}

/* Before there is a connection object: the client sees a reset, as from a port that is closed. */
static void refuse(struct downstream *d, enum reason why)
{
    struct linger now = {.l_onoff = 1, .l_linger = 0};
    (void)setsockopt(d->opening->fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
    if (d->log)
        d->log->reason = (uint8_t)why;
    downstream_free(d);
}

/* ---- HTTP ---- */

/* Behind what it has asked for. */
static void tell_to_go(struct downstream *d)
{
    if (d->told)
        return;
    d->told = true;
    stats_inc(http_stats(d), HTTP_STAT_CX_DRAIN_CLOSE);
    http_conn_shutdown(d->hc);
}

static void on_request(struct http_conn *hc, struct http_stream *s, void *user)
{
    struct downstream *d = user;
    (void)hc;
    d->worker->busy++;
    if (d->worker->telling)
        tell_to_go(d);
    request_begin(d->worker, d->chain->http, s, &d->client);
}

static void on_bad_request(struct http_conn *hc, const struct http_bad_request *bad,
                           struct buf *body, const char **ret_type, void *user)
{
    struct downstream *d = user;
    (void)hc;
    if (!bad->begun) { /* else its request has logged itself */
        stats_inc(http_stats(d), HTTP_STAT_CX_PROTOCOL_ERROR);
        request_log_bad(d->worker, d->chain->http, (unsigned)bad->status);
    }
    buf_add_cstr(body, bad->status == 431   ? "Request Header Fields Too Large"
                       : bad->status == 501 ? "Not Implemented"
                       : bad->status == 505 ? "HTTP Version Not Supported"
                       : bad->status == 408 ? "Request Timeout"
                                            : "Bad Request");
    *ret_type = "text/plain";
}

static void on_http_close(struct http_conn *hc, int code, const char *text, void *user)
{
    (void)hc;
    (void)code;
    (void)text;
    downstream_free(user);
}

static void on_old(void *user)
{
    struct downstream *d = user;
    http_conn_shutdown(d->hc);
}

static void serve_http(struct downstream *d, struct conn *c)
{
    const struct http_conn_config *config = &d->chain->http->protocol.conn;
    static const struct http_conn_ops ops = {
        .on_request = on_request, .on_bad_request = on_bad_request, .on_close = on_http_close};
    switch (d->chain->http->version) {
    case 1:
        d->hc = http1_conn_new_server(c, config, &ops, d);
        break;
    case 2:
        d->hc = http2_conn_new_server(c, config, &ops, d);
        break;
    default:
        d->hc = http_auto_conn_new_server(c, config, &ops, d);
    }
    if (d->chain->http->mesh.reporter == MESH_DESTINATION)
        mesh_client_init(&d->client, c);
    count_http(d);
    uint64_t life_ms = d->chain->http->protocol.connection_max_ms;
    if (life_ms) {
        d->life = loop_timer_new(d->worker->loop, on_old, d);
        loop_timer_start(d->life, life_ms);
    }
    if (d->worker->draining)
        tell_to_go(d);
}

/* ---- bytes ---- */

static void on_tcp_over(void *user)
{
    downstream_free(user);
}

static void serve_tcp(struct downstream *d, struct conn *c)
{
    static const struct tcp_proxy_ops ops = {.on_over = on_tcp_over};
    struct conn_log log;
    const struct inspect_facts *f = d->opening ? &d->opening->facts : NULL;
    conn_log_begin(&log, c, f ? str_of(f->server_name, f->server_name_n) : STR(""));
    conn_log_opened(&log, c);
    if (d->chain->tcp->mesh.reporter == MESH_DESTINATION)
        mesh_client_init(&d->client, c);
    d->tcp = tcp_proxy_new(d->worker, d->chain->tcp, d->listener->buffer_bytes, c, &d->client, &log,
                           &ops, d);
}

static bool may_connect(const struct downstream *d, const struct conn *c)
{
    const struct inspect_facts *f = d->opening ? &d->opening->facts : NULL;
    struct tls_session *tls = conn_tls(c);
    struct str name = tls ? tls_session_server_name(tls)
                      : f ? str_of(f->server_name, f->server_name_n)
                          : STR("");
    VEC_FOREACH (rbac, &d->chain->rbac)
        if (!network_rbac_allows(*rbac, c, name))
            return false;
    return true;
}

static void deny(struct downstream *d, struct conn *c)
{
    if (d->log)
        d->log->reason = REASON_CONNECTION_DENIED;
    count(d, LISTENER_STAT_RBAC_DENIED);
    if (d->opening)
        d->opening->conn = NULL;
    conn_free(c);
    downstream_free(d);
}

static void serve(struct downstream *d, struct conn *c)
{
    if (d->log)
        conn_log_opened(d->log, c);
    if (d->chain->rbac.n && !may_connect(d, c)) {
        deny(d, c);
        return;
    }
    if (d->chain->http)
        serve_http(d, c);
    else
        serve_tcp(d, c);
    if (d->opening)
        d->opening->conn = NULL;
    opening_free(d);
}

/* ---- TLS ---- */

static void on_shaken(struct conn *c, void *user)
{
    count_handshake(user, c);
    serve(user, c);
}

static void on_no_data(struct conn *c, void *user)
{
    (void)c;
    (void)user;
}

static void on_shake_failed(struct conn *c, int code, const char *text, void *user)
{
    struct downstream *d = user;
    (void)code;
    (void)text; /* a scanner of ports would fill a log */
    count_no_handshake(d, c);
    d->opening->conn = NULL;
    downstream_free(d);
}

static void on_shake_timeout(void *user)
{
    struct downstream *d = user;
    count(d, LISTENER_STAT_HANDSHAKE_TIMEOUT);
    downstream_free(d);
}

static struct opening *opening_get(struct downstream *d, int fd)
{
    if (!d->opening) {
        d->opening = NEW(struct opening);
        d->opening->fd = fd;
    }
    return d->opening;
}

static void shake_hands(struct downstream *d, int fd)
{
    static const struct conn_ops ops = {
        .on_open = on_shaken, .on_data = on_no_data, .on_close = on_shake_failed};
    struct opening *o = opening_get(d, fd);
    struct tls_context *tls = tls_slot_context(d->chain->tls);
    if (!tls) {
        count(d, LISTENER_STAT_SECRETS_MISSING);
        downstream_free(d);
        return;
    }
    o->fd = -1;
    o->conn = conn_new_accepted(d->worker->loop, fd, &(struct conn_options){.tls = tls}, &ops, d);
    tls_context_unref(tls);
    if (o->facts.names.peer.family || o->facts.names.local.family)
        conn_set_names(o->conn, &o->facts.names);
    o->timer = loop_timer_new(d->worker->loop, on_shake_timeout, d);
    loop_timer_start(o->timer, d->chain->handshake_timeout_ms);
}

/* ---- the chain ---- */

static void begin(struct downstream *d, int fd)
{
    struct opening *o = d->opening;
    if (d->listener->logs.n) {
        d->log = NEW(struct conn_log);
        conn_log_begin_fd(d->log, fd, o ? &o->facts.names : NULL,
                          o ? str_of(o->facts.server_name, o->facts.server_name_n) : STR(""));
    }
    if (!d->chain) {
        opening_get(d, fd);
        count(d, LISTENER_STAT_NO_FILTER_CHAIN);
        refuse(d, REASON_FILTER_CHAIN_NOT_FOUND);
        return;
    }
    if (d->chain->tls) {
        shake_hands(d, fd);
        return;
    }
    if (o)
        o->fd = -1;
    struct conn *c = conn_new_accepted(d->worker->loop, fd, NULL, &conn_no_ops, NULL);
    if (o && (o->facts.names.peer.family || o->facts.names.local.family))
        conn_set_names(c, &o->facts.names);
    serve(d, c);
}

static void ask(int r, const struct sockaddr_storage *sa, struct ip *ip, uint16_t *port)
{
    if (r < 0 || ip_from_sockaddr((const struct sockaddr *)sa, ip, port) < 0)
        ip->family = 0;
    *ip = ip_unmapped(ip);
}

static const struct filter_chain *choose_chain(const struct downstream *d)
{
    const struct opening *o = d->opening;
    const struct inspect_facts *i = &o->facts;
    struct filter_chain_facts f = {.tls = i->tls,
                                   .server_name = str_of(i->server_name, i->server_name_n),
                                   .protocols = str_of(i->protocols, i->protocols_n)};
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof(sa);
    uint16_t port = 0;
    ask(getpeername(o->fd, (struct sockaddr *)&sa, &len), &sa, &f.direct_source, &port);
    f.source = i->names.peer.family ? ip_unmapped(&i->names.peer) : f.direct_source;
    f.source_port = i->names.peer.family ? i->names.peer_port : port;
    f.destination = ip_unmapped(&i->names.local);
    f.destination_port = i->names.local_port;
    len = sizeof(sa);
    if (!f.destination.family)
        ask(getsockname(o->fd, (struct sockaddr *)&sa, &len), &sa, &f.destination,
            &f.destination_port);
    return filter_chains_find(&d->listener->chains, &f);
}

/* ---- listener filters ---- */

/* The one that stands for the address, else one for all addresses with its port. */
static struct worker_listener *find_listener(const struct worker *w, const struct conn_names *n)
{
    struct worker_listener *any = NULL;
    struct ip ip = ip_unmapped(&n->local);
    VEC_FOREACH (l, &w->listeners)
        VEC_FOREACH (p, &(*l)->config->addresses) {
            static const struct ip zero;
            if (p->path || p->port != n->local_port)
                continue;
            if (ip_eq(&p->ip, &ip))
                return *l;
            if (memcmp(p->ip.bytes, zero.bytes, sizeof(zero.bytes)) == 0)
                any = *l;
        }
    return any;
}

static void inspect(struct downstream *d, bool ended);

/* A redirected connection goes on at the listener it was meant for, once. */
static bool hand_over(struct downstream *d)
{
    struct opening *o = d->opening;
    if (!d->listener->use_original_dst || !o->facts.restored || o->handed_over)
        return false;
    struct worker_listener *to = find_listener(d->worker, &o->facts.names);
    if (!to || to->config == d->listener)
        return false;
    count_end(d); /* at the one; it goes on at the other */
    listener_config_ref(to->config);
    listener_config_unref(d->listener);
    d->listener = to->config;
    count_begin(d);
    o->handed_over = true;
    o->facts.next = 0;
    return true;
}

static void inspected(struct downstream *d)
{
    struct opening *o = d->opening;
    loop_io_remove(TAKE(o->io));
    loop_timer_free(TAKE(o->timer));
    if (hand_over(d)) {
        inspect(d, false);
        return;
    }
    d->chain = choose_chain(d);
    begin(d, o->fd);
}

static void on_first_bytes(struct loop_io *io, uint32_t events, void *user)
{
    (void)io;
    inspect(user, events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
}

static void on_filters_timeout(void *user)
{
    struct downstream *d = user;
    count(d, LISTENER_STAT_PRE_CX_TIMEOUT);
    if (d->listener->goes_on_after_timeout) {
        d->opening->handed_over = true; /* what is not known cannot lead elsewhere */
        inspected(d);
    } else {
        downstream_free(d);
    }
}

/* Until all filters have run; waits in between. */
static void inspect(struct downstream *d, bool ended)
{
    struct opening *o = d->opening;
    struct loop *loop = d->worker->loop;
    int r = inspect_run(o->fd, d->listener, &o->facts);
    if (r == 0) {
        inspected(d);
        return;
    }
    if (r == -EAGAIN && !ended && !o->io)
        r = loop_io_add(loop, o->fd, on_first_bytes, d, &o->io) < 0 ? -ENOMEM : -EAGAIN;
    if (r != -EAGAIN || ended) {
        count(d, LISTENER_STAT_FILTER_ERROR);
        downstream_free(d);
        return;
    }
    if (!o->timer && d->listener->filters_timeout_ms) {
        o->timer = loop_timer_new(loop, on_filters_timeout, d);
        loop_timer_start(o->timer, d->listener->filters_timeout_ms);
    }
}

/* ---- the beginning ---- */

static bool goes_straight(const struct listener_config *l)
{
    return !l->n_filters && l->chains.v.n == 1 && !l->chains.v.v[0].match;
}

void downstream_accept(int fd, void *user)
{
    struct worker_listener *l = user;
    struct worker *w = l->worker;
    if (w->n_downstreams >= DOWNSTREAMS_MAX) {
        stats_inc(stats_of(l->config->stats, w->index), LISTENER_STAT_CX_OVERFLOW);
        close(fd);
        return;
    }
    struct downstream *d = NEW(struct downstream);
    d->worker = w;
    d->listener = listener_config_ref(l->config);
    list_add_tail(&w->downstreams, &d->node);
    w->n_downstreams++;
    w->busy++;
    count_begin(d);
    if (goes_straight(d->listener)) {
        d->chain = &d->listener->chains.v.v[0];
        begin(d, fd);
        return;
    }
    opening_get(d, fd);
    inspect(d, false);
}

/* ---- all of them ---- */

void downstreams_drain(struct worker *w)
{
    LIST_FOREACH_SAFE (node, &w->downstreams) {
        struct downstream *d = CONTAINER_OF(node, struct downstream, node);
        if (d->hc) /* bytes have until the end of the drain; who is not served yet, too */
            tell_to_go(d);
    }
}

static bool is_stale(const struct worker *w, const struct downstream *d)
{
    return map_find_cstr(&w->config->config->by_name, d->listener->name) != d->listener;
}

void downstreams_drain_stale(struct worker *w)
{
    LIST_FOREACH_SAFE (node, &w->downstreams) {
        struct downstream *d = CONTAINER_OF(node, struct downstream, node);
        if (d->hc && is_stale(w, d))
            tell_to_go(d);
    }
}

void downstreams_free(struct worker *w)
{
    LIST_FOREACH_SAFE (node, &w->downstreams) {
        struct downstream *d = CONTAINER_OF(node, struct downstream, node);
        if (d->hc)
            http_conn_free(d->hc);
        if (d->tcp)
            tcp_proxy_free(d->tcp);
        downstream_free(d);
    }
}
