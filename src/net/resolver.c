/* Resolver: c-ares on our loop.
 *
 * Owns one c-ares channel, a loop source per socket it has open, and the timer of its retries.
 * c-ares expects level-triggered readiness and our loop has edges: as long as a socket has more to
 * read it is run again, and once more whenever it asks to write. Its callbacks may come from inside
 * ares_getaddrinfo; results are therefore kept and told at the end of the turn. */
#include "net/resolver.h"

#include <ares.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>

#include "base/assert.h"
#include "base/list.h"
#include "base/vec.h"

enum { RESOLVER_TIMEOUT_MS = 1500, RESOLVER_TRIES = 3 };

struct resolver_socket {
    struct list_node node;
    struct resolver *resolver;
    struct loop_io *io;
    int fd;
    struct loop_call ready;
};

struct resolver {
    struct loop *loop;
    ares_channel channel;
    struct list_node sockets;
    struct list_node queries;
    struct loop_timer *timer;
};

struct resolver_query {
    struct list_node node;
    struct resolver *resolver; /* NULL: nobody waits any more */
    resolver_fn *fn;
    void *user;
    bool pending; /* c-ares still holds it */
    int code;
    VEC(struct ip) ips;
    size_t max;
    uint32_t ttl_s;
    char text[320];
    struct loop_call told;
};

/* c-ares 1.18 is initialised once per process and never cleaned up: other channels may live. */
static int library_init(void)
{
    static bool done;
    int r = done ? ARES_SUCCESS : ares_library_init(ARES_LIB_INIT_ALL);
    done = done || r == ARES_SUCCESS;
    return r;
}

static struct resolver_socket *socket_find(struct resolver *r, int fd)
{
    LIST_FOREACH (node, &r->sockets) {
        struct resolver_socket *s = CONTAINER_OF(node, struct resolver_socket, node);
        if (s->fd == fd)
            return s;
    }
    return NULL;
}

static void on_ready(void *user);

static void run_soon(struct resolver_socket *s)
{
    loop_defer(s->resolver->loop, &s->ready);
}

static void arm(struct resolver *r)
{
    struct timeval tv;
    if (list_is_empty(&r->queries) || !ares_timeout(r->channel, NULL, &tv))
        loop_timer_stop(r->timer);
    else
        loop_timer_start(r->timer, (uint64_t)tv.tv_sec * 1000 + (uint64_t)tv.tv_usec / 1000 + 1);
}

static void process(struct resolver *r, int read_fd, int write_fd)
{
    ares_process_fd(r->channel, read_fd, write_fd);
    arm(r);
}

static void on_timer(void *user)
{
    process(user, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
}

static void on_ready(void *user)
{
    struct resolver_socket *s = user;
    struct resolver *r = s->resolver;
    int fd = s->fd;
    struct pollfd p = {.fd = fd, .events = POLLIN | POLLOUT};
    if (poll(&p, 1, 0) <= 0)
        return;
    bool readable = p.revents & (POLLIN | POLLHUP | POLLERR);
    bool writable = p.revents & (POLLOUT | POLLHUP | POLLERR);
    process(r, readable ? fd : ARES_SOCKET_BAD, writable ? fd : ARES_SOCKET_BAD);
    s = socket_find(r, fd);
    if (readable && s)
        run_soon(s);
}

static void on_socket(struct loop_io *io, uint32_t events, void *user)
{
    (void)io;
    (void)events;
    on_ready(user);
}

/* c-ares opened a socket, wants other events of it, or (neither) is about to close it. */
static void on_socket_state(void *user, ares_socket_t fd, int readable, int writable)
{
    struct resolver *r = user;
    struct resolver_socket *s = socket_find(r, fd);
    if (!readable && !writable) {
        if (!s)
            return;
        loop_call_cancel(&s->ready);
        loop_io_remove(s->io);
        list_remove(&s->node);
        free(s);
        return;
    }
    if (!s) {
        s = NEW(struct resolver_socket);
        s->resolver = r;
        s->fd = fd;
        loop_call_init(&s->ready, on_ready, s);
        list_add_tail(&r->sockets, &s->node);
        if (loop_io_add(r->loop, fd, on_socket, s, &s->io) < 0)
            s->io = NULL; /* no answer will be seen: the query ends by its time-out */
    }
    if (writable)
        run_soon(s);
}

int resolver_new(struct loop *l, struct resolver **ret, struct err *reterr)
{
    struct resolver *r = NEW(struct resolver);
    struct ares_options o = {.timeout = RESOLVER_TIMEOUT_MS,
                             .tries = RESOLVER_TRIES,
                             .sock_state_cb = on_socket_state,
                             .sock_state_cb_data = r};
    int status = library_init();
    if (status == ARES_SUCCESS)
        status = ares_init_options(&r->channel, &o,
                                   ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
    if (status != ARES_SUCCESS) {
        free(r);
        return err_set(reterr, -EIO, NULL, "resolver: %s", ares_strerror(status));
    }
    r->loop = l;
    list_init(&r->sockets);
    list_init(&r->queries);
    r->timer = loop_timer_new(l, on_timer, r);
    *ret = r;
    return 0;
}

int resolver_set_server(struct resolver *r, const struct ip *ip, uint16_t port)
{
    struct ares_addr_port_node server = {.family = ip->family, .udp_port = port, .tcp_port = port};
    memcpy(&server.addr, ip->bytes, ip_bytes(ip));
    return ares_set_servers_ports(r->channel, &server) == ARES_SUCCESS ? 0 : -EIO;
}

static void query_free(struct resolver_query *q)
{
    vec_done(&q->ips);
    free(q);
}

static void on_told(void *user)
{
    struct resolver_query *q = user;
    list_remove(&q->node);
    static const struct ip none;
    q->fn(q->code, q->ips.n ? q->ips.v : &none, q->ips.n, q->text, q->user);
    query_free(q);
}

static void take_addresses(struct resolver_query *q, const struct ares_addrinfo *found)
{
    for (const struct ares_addrinfo_node *n = found->nodes; n && q->ips.n < q->max;
         n = n->ai_next) {
        struct ip ip;
        uint16_t port;
        if (ip_from_sockaddr(n->ai_addr, &ip, &port) < 0)
            continue;
        vec_push(&q->ips, ip); /* at most max of them */
        if (n->ai_ttl > 0 && (!q->ttl_s || (uint32_t)n->ai_ttl < q->ttl_s))
            q->ttl_s = (uint32_t)n->ai_ttl;
    }
}

static void on_answer(void *user, int status, int timeouts, struct ares_addrinfo *found)
{
    struct resolver_query *q = user;
    (void)timeouts;
    q->pending = false;
    if (found) {
        take_addresses(q, found);
        ares_freeaddrinfo(found);
    }
    if (!q->resolver) { /* cancelled meanwhile */
        query_free(q);
        return;
    }
    if (q->ips.n == 0) {
        q->code = status == ARES_ENOTFOUND || status == ARES_ENODATA || status == ARES_SUCCESS
                      ? -ENOENT
                  : status == ARES_ETIMEOUT ? -ETIMEDOUT
                                            : -EIO;
        size_t at = strlen(q->text);
        snprintf(q->text + at, sizeof(q->text) - at, ": %s",
                 q->code == -ENOENT ? "no such host" : ares_strerror(status));
    }
    loop_defer(q->resolver->loop, &q->told);
}

static struct resolver_query *lookup(struct resolver *r, const char *name, int family, size_t max,
                                     resolver_fn *fn, void *user)
{
    struct resolver_query *q = NEW(struct resolver_query);
    struct ares_addrinfo_hints hints = {.ai_family = family, .ai_socktype = SOCK_STREAM};
    struct ip ip;
    q->max = max;
    q->resolver = r;
    q->fn = fn;
    q->user = user;
    q->pending = true;
    loop_call_init(&q->told, on_told, q);
    snprintf(q->text, sizeof(q->text), "%.255s", name);
    list_add_tail(&r->queries, &q->node);
    if (ip_parse(str_from(name), &ip) == 0) {
        vec_push(&q->ips, ip);
        on_answer(q, ARES_SUCCESS, 0, NULL);
    } else {
        ares_getaddrinfo(r->channel, name, NULL, &hints, on_answer, q);
        arm(r);
    }
    return q;
}

struct resolver_query *resolver_lookup(struct resolver *r, const char *name, resolver_fn *fn,
                                       void *user)
{
    return lookup(r, name, AF_UNSPEC, RESOLVER_IPS_MAX, fn, user);
}

struct resolver_query *resolver_lookup_all(struct resolver *r, const char *name, int family,
                                           resolver_fn *fn, void *user)
{
    return lookup(r, name, family, RESOLVER_ALL_MAX, fn, user);
}

uint32_t resolver_query_ttl_s(const struct resolver_query *q)
{
    return q->ttl_s;
}

void resolver_cancel(struct resolver_query *q)
{
    if (!q)
        return;
    list_remove(&q->node);
    if (q->pending) {
        q->resolver = NULL; /* c-ares cancels whole channels only: freed when it answers */
        return;
    }
    loop_call_cancel(&q->told);
    query_free(q);
}

void resolver_free(struct resolver *r)
{
    if (!r)
        return;
    while (!list_is_empty(&r->queries))
        resolver_cancel(CONTAINER_OF(r->queries.next, struct resolver_query, node));
    ares_destroy(r->channel); /* answers what is open, closes its sockets */
    ASSERT(list_is_empty(&r->sockets));
    loop_timer_free(r->timer);
    free(r);
}
