/* The relay's thread runs a loop of its own, so that bytes never hold up decisions. What is to be
 * served comes by loop_post; counters are atomics. Bytes are spliced through two pipes per
 * connection and never copied into this process. As kube-proxy's: an endpoint at random; with
 * ClientIP affinity one endpoint for all of localhost, as long as it is used and there; 5 s to
 * connect; a node port that goes takes its connections with it; one that somebody else has, such as
 * a kube-proxy that is about to go, is told once and tried each second. Bounded: RELAYED_MAX
 * connections, RELAY_TURN_BYTES of one of them in a turn. */
#include "agent/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "base/assert.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/rand.h"
#include "base/time.h"
#include "net/loop.h"

enum {
    RELAYED_MAX = 1024,
    RELAY_TURN_BYTES = 1024 * 1024,
    SPLICE_BYTES = 64 * 1024,
    CONNECT_MS = 5000,
    LISTEN_RETRY_MS = 1000,
    ACCEPTS_A_TURN = 64,
};

struct relay {
    struct relay_options options;
    struct loop *loop;
    pthread_t thread;
    struct map ports; /* frontend_key -> struct relay_port; the thread's */
    size_t n_relayed; /* the thread's */
    _Atomic uint64_t listeners[2], failures[2], connections, refused, unreachable;
};

/* A node port that is listened at. */
struct relay_port {
    struct relay *relay;
    struct frontend_key key;
    struct dataplane_endpoint *endpoints;
    size_t n;
    uint64_t affinity_ms; /* 0 = none */
    struct dataplane_endpoint pinned;
    uint64_t pinned_at_ms; /* 0 = nothing is */
    int fd;                /* -1: somebody else has the port */
    struct loop_io *io;
    struct loop_timer *retry; /* NULL: it was open at once */
    struct list_node relayed; /* head */
};

/* Bytes on their way from one side to the other. */
struct half {
    int pipe[2];
    size_t bytes; /* in the pipe */
    bool eof, shut;
};

struct relayed {
    struct relay_port *port;
    struct list_node node;
    int fd[2]; /* the client, the endpoint */
    struct loop_io *io[2];
    struct half halves[2];    /* from the client, from the endpoint */
    struct loop_timer *timer; /* while connecting */
    struct loop_call again;
};

/* ---- one connection ---- */

static void relayed_free(struct relayed *c)
{
    loop_call_cancel(&c->again);
    loop_timer_free(c->timer);
    for (int i = 0; i < 2; i++) {
        loop_io_remove(c->io[i]);
        for (int k = 0; k < 2; k++)
            if (c->halves[i].pipe[k] >= 0)
                close(c->halves[i].pipe[k]);
        if (c->fd[i] >= 0)
            close(c->fd[i]);
    }
    list_remove(&c->node);
    c->port->relay->n_relayed--;
    free(c);
}

/* 1: it went as far as it can; 0: there is more for another turn; negative: it is over. */
static int pump(struct relayed *c, int from)
{
    struct half *h = &c->halves[from];
    int to = c->fd[!from];
    for (size_t done = 0; done < RELAY_TURN_BYTES;) {
        if (h->bytes == 0 && !h->eof) {
            ssize_t n = splice(c->fd[from], NULL, h->pipe[1], NULL, SPLICE_BYTES,
                               SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
            if (n < 0)
                return errno == EAGAIN ? 1 : -errno;
            h->bytes = (size_t)n;
            h->eof = n == 0;
        }
        while (h->bytes > 0) {
            ssize_t n =
                splice(h->pipe[0], NULL, to, NULL, h->bytes, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
            if (n <= 0)
                return n < 0 && errno == EAGAIN ? 1 : -EPIPE;
            h->bytes -= (size_t)n;
            done += (size_t)n;
        }
        if (h->eof) {
            if (!h->shut)
                shutdown(to, SHUT_WR);
            h->shut = true;
            return 1;
        }
    }
    return 0;
}

static void work(void *user)
{
    struct relayed *c = user;
    int r[2];
    if (c->timer) /* not connected yet */
        return;
    for (int i = 0; i < 2; i++) {
        r[i] = pump(c, i);
        if (r[i] < 0) {
            relayed_free(c);
            return;
        }
    }
    if (c->halves[0].shut && c->halves[1].shut)
        relayed_free(c);
    else if (!r[0] || !r[1])
        loop_defer_next(c->port->relay->loop, &c->again);
}

static void on_io(struct loop_io *io, uint32_t events, void *user)
{
    struct relayed *c = user;
    int error = 0;
    socklen_t len = sizeof(error);
    if (c->timer && io == c->io[1]) {
        if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
            return;
        if (getsockopt(c->fd[1], SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error) {
            c->port->relay->unreachable++;
            relayed_free(c);
            return;
        }
        loop_timer_free(c->timer);
        c->timer = NULL;
    }
    work(c);
}

static void on_connect_timeout(void *user)
{
    struct relayed *c = user;
    c->port->relay->unreachable++;
    relayed_free(c);
}

static const struct dataplane_endpoint *choose(struct relay_port *p, uint64_t now_ms)
{
    if (p->affinity_ms && p->pinned_at_ms && now_ms - p->pinned_at_ms <= p->affinity_ms)
        for (size_t i = 0; i < p->n; i++)
            if (memcmp(&p->endpoints[i], &p->pinned, sizeof(p->pinned)) == 0) {
                p->pinned_at_ms = now_ms;
                return &p->endpoints[i];
            }
    const struct dataplane_endpoint *e = &p->endpoints[rand_below(p->n)];
    p->pinned = *e;
    p->pinned_at_ms = now_ms;
    return e;
}

static int connect_to(uint8_t family, const struct dataplane_endpoint *e)
{
    struct ip ip = {.family = family};
    struct sockaddr_storage sa;
    memcpy(ip.bytes, e->ip, sizeof(ip.bytes));
    socklen_t len = ip_to_sockaddr(&ip, e->port, &sa);
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&sa, len) < 0 && errno != EINPROGRESS) {
        close(fd);
        return -1;
    }
    return fd;
}

/* Takes the client. */
static void relay_begin(struct relay_port *p, int client)
{
    struct relay *r = p->relay;
    struct relayed *c = NEW(struct relayed);
    *c = (struct relayed){.port = p, .fd = {client, -1}};
    c->halves[0] = c->halves[1] = (struct half){.pipe = {-1, -1}};
    loop_call_init(&c->again, work, c);
    list_add_tail(&p->relayed, &c->node);
    r->n_relayed++;
    r->connections++;
    c->fd[1] = connect_to(p->key.family, choose(p, loop_now_ms(r->loop)));
    c->timer = loop_timer_new(r->loop, on_connect_timeout, c);
    loop_timer_start(c->timer, CONNECT_MS);
    if (c->fd[1] < 0 || pipe2(c->halves[0].pipe, O_NONBLOCK | O_CLOEXEC) < 0 ||
        pipe2(c->halves[1].pipe, O_NONBLOCK | O_CLOEXEC) < 0 ||
        loop_io_add(r->loop, c->fd[0], on_io, c, &c->io[0]) < 0 ||
        loop_io_add(r->loop, c->fd[1], on_io, c, &c->io[1]) < 0) {
        r->unreachable++;
        relayed_free(c);
    }
}

/* ---- node ports ---- */

static void on_accept(struct loop_io *io, uint32_t events, void *user)
{
    struct relay_port *p = user;
    (void)io;
    (void)events;
    for (;;) {
        int fd = accept4(p->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return; /* nobody waits, or no descriptor is left: the next one rings again */
        if (p->relay->n_relayed >= RELAYED_MAX || p->n == 0) {
            p->relay->refused++;
            close(fd);
            continue;
        }
        relay_begin(p, fd);
    }
}

static void port_free(struct relay_port *p)
{
    while (!list_is_empty(&p->relayed))
        relayed_free(CONTAINER_OF(p->relayed.next, struct relayed, node));
    loop_timer_free(p->retry);
    loop_io_remove(p->io);
    if (p->fd >= 0) {
        close(p->fd);
        p->relay->listeners[p->key.family == AF_INET6]--;
    }
    free(p->endpoints);
    free(p);
}

static int listen_at(struct relay_port *p)
{
    struct ip ip = {.family = p->key.family, .bytes = {127, 0, 0, 1}};
    struct sockaddr_storage sa;
    int on = 1;
    if (p->key.family == AF_INET6)
        ip = (struct ip){.family = AF_INET6, .bytes = {[15] = 1}};
    socklen_t len = ip_to_sockaddr(&ip, p->key.port, &sa);
    int fd = socket(p->key.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&sa, len) < 0 || listen(fd, SOMAXCONN) < 0) {
        int r = -errno;
        close(fd);
        return r;
    }
    int r = loop_io_add(p->relay->loop, fd, on_accept, p, &p->io);
    if (r < 0) {
        close(fd);
        return r;
    }
    p->fd = fd;
    p->relay->listeners[p->key.family == AF_INET6]++;
    return 0;
}

/* What is said from the other thread. */
struct order {
    struct relay *relay;
    struct frontend_key key;
    struct dataplane_endpoint *endpoints;
    size_t n;
    uint64_t affinity_ms;
};

static void on_listen_retry(void *user)
{
    struct relay_port *p = user;
    if (listen_at(p) < 0)
        loop_timer_start(p->retry, LISTEN_RETRY_MS);
    else
        log_info("a node port on loopback is relayed", kv_i("port", p->key.port));
}

/* One that is taken is told and counted once, and tried until it is free. */
static void open_port(struct relay_port *p)
{
    struct relay *r = p->relay;
    bool v6 = p->key.family == AF_INET6;
    int code = listen_at(p);
    if (code == 0)
        return;
    r->failures[v6]++;
    log_warn("no relay of a node port on loopback yet", kv_i("port", p->key.port),
             kv_s("family", v6 ? "IPv6" : "IPv4"), kv_s("cause", strerror(-code)));
    p->retry = loop_timer_new(r->loop, on_listen_retry, p);
    loop_timer_start(p->retry, LISTEN_RETRY_MS);
}

static void take_endpoints(struct relay_port *p, struct order *o)
{
    free(p->endpoints);
    p->endpoints = TAKE(o->endpoints);
    p->n = o->n;
    if (p->affinity_ms != o->affinity_ms)
        p->pinned_at_ms = 0;
    p->affinity_ms = o->affinity_ms;
}

static void on_order(void *user)
{
    struct order *o = user;
    struct relay *r = o->relay;
    struct str key = str_of(&o->key, sizeof(o->key));
    struct relay_port *p = map_find(&r->ports, key);
    if (o->n == 0) {
        if (p) {
            map_remove(&r->ports, key);
            port_free(p);
        }
    } else if (p) {
        take_endpoints(p, o);
    } else {
        p = NEW(struct relay_port);
        *p = (struct relay_port){.relay = r, .key = o->key, .fd = -1};
        list_init(&p->relayed);
        take_endpoints(p, o);
        map_put(&r->ports, key, p);
        open_port(p);
    }
    free(o->endpoints);
    free(o);
}

/* ---- from the other thread ---- */

void relay_set(struct relay *r, const struct frontend *f)
{
    const struct frontend_key *k = &f->key;
    bool local = !f->removed && f->policy == DATAPLANE_EXTERNAL_LOCAL;
    if (!k->node_port || k->proto != IPPROTO_TCP || !r->options.families[k->family == AF_INET6])
        return;
    struct order *o = NEW(struct order);
    *o = (struct order){.relay = r, .key = *k, .affinity_ms = f->affinity_s * 1000ull};
    o->n =
        f->removed ? 0 : MIN(local ? f->n_local : f->n_endpoints, (size_t)DATAPLANE_ENDPOINTS_MAX);
    if (o->n) {
        o->endpoints = xcalloc(o->n, sizeof(*o->endpoints));
        memcpy(o->endpoints, local ? f->local : f->endpoints, o->n * sizeof(*o->endpoints));
    }
    loop_post(r->loop, on_order, o);
}

void relay_get_counters(const struct relay *r, struct relay_counters *ret)
{
    for (int f = 0; f < 2; f++) {
        ret->listeners[f] = r->listeners[f];
        ret->failures[f] = r->failures[f];
    }
    ret->connections = r->connections;
    ret->refused = r->refused;
    ret->unreachable = r->unreachable;
}

static void *relay_thread(void *user)
{
    struct relay *r = user;
    loop_run(r->loop);
    return NULL;
}

static void on_stop(void *user)
{
    loop_stop(user, 0);
}

/* A descriptor per node port and family, six per connection. */
static void raise_limit(void)
{
    struct rlimit l;
    if (getrlimit(RLIMIT_NOFILE, &l) == 0 && l.rlim_cur < l.rlim_max) {
        l.rlim_cur = l.rlim_max;
        IGNORE_RESULT(setrlimit(RLIMIT_NOFILE, &l));
    }
}

int relay_new(const struct relay_options *o, struct relay **ret, struct err *reterr)
{
    struct relay *r = NEW(struct relay);
    r->options = *o;
    int code = loop_new(&r->loop, reterr);
    if (code < 0) {
        free(r);
        return code;
    }
    raise_limit();
    code = pthread_create(&r->thread, NULL, relay_thread, r);
    if (code) {
        loop_free(r->loop);
        free(r);
        return err_set(reterr, -code, NULL, "thread of the relay: %s", strerror(code));
    }
    *ret = r;
    return 0;
}

void relay_free(struct relay *r)
{
    void *value;
    if (!r)
        return;
    loop_post(r->loop, on_stop, r->loop);
    pthread_join(r->thread, NULL);
    for (size_t at = 0; map_next(&r->ports, &at, NULL, &value);)
        port_free(value);
    map_done(&r->ports);
    loop_turn(r->loop, 0); /* orders that are still there */
    for (size_t at = 0; map_next(&r->ports, &at, NULL, &value);)
        port_free(value);
    map_done(&r->ports);
    loop_free(r->loop);
    free(r);
}
