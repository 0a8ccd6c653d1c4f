/* Each question has a socket of its own, connected: the kernel chooses its port and lets in only
 * what the server sends. With the id, which is chosen anew, and the question itself, that is what
 * an answer must fit to be one (RFC 5452). */
#include "proxy/dns_forward.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/list.h"
#include "base/rand.h"
#include "codec/dns.h"
#include "net/conn.h"

struct dns_forward {
    struct loop *loop;
    struct ip servers[RESOLV_SERVERS_MAX];
    size_t n_servers;
    uint16_t port;
    struct list_node asked; /* struct dns_forwarded */
    size_t n;
};

struct dns_forwarded {
    struct list_node node;
    struct dns_forward *all;
    dns_forward_fn *fn;
    void *user;
    struct str message; /* with our own id; its own */
    uint8_t id[2];      /* theirs */
    bool tcp;
    unsigned tries;
    int fd; /* of UDP; -1: none */
    struct loop_io *io;
    struct conn *conn; /* of TCP */
    struct loop_timer *timer;
};

static void stop_try(struct dns_forwarded *q)
{
    loop_io_remove(TAKE(q->io));
    if (q->fd >= 0)
        close(q->fd);
    q->fd = -1;
    if (q->conn)
        conn_free(TAKE(q->conn));
}

static void forwarded_free(struct dns_forwarded *q)
{
    stop_try(q);
    list_remove(&q->node);
    q->all->n--;
    loop_timer_free(q->timer);
    free((char *)(uintptr_t)q->message.p);
    free(q);
}

static void end(struct dns_forwarded *q, struct str answer)
{
    dns_forward_fn *fn = q->fn;
    void *user = q->user;
    AUTO_CHARS char *copy = answer.n ? xcalloc(answer.n, 1) : NULL;
    if (copy) {
        memcpy(copy, answer.p, answer.n);
        memcpy(copy, q->id, sizeof(q->id));
    }
    forwarded_free(q);
    fn(str_of(copy, answer.n), user);
}

/* Is that what was asked for? */
static bool is_answer(const struct dns_forwarded *q, struct str answer)
{
    struct str asked, said;
    return answer.n >= 12 && memcmp(answer.p, q->message.p, 2) == 0 && answer.p[2] & 0x80 &&
           dns_question_of(q->message, &asked) == 0 && dns_question_of(answer, &said) == 0 &&
           str_eq_nocase(asked, said);
}

static void try_next(struct dns_forwarded *q);

/* ---- UDP ---- */

static void on_readable(struct loop_io *io, uint32_t events, void *user)
{
    struct dns_forwarded *q = user;
    char data[DNS_TCP_BYTES_MAX];
    (void)io;
    (void)events;
    for (;;) {
        ssize_t n = recv(q->fd, data, sizeof(data), MSG_DONTWAIT);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN) { /* nobody is there */
            try_next(q);
            return;
        }
        if (n < 0)
            return;
        if (is_answer(q, str_of(data, (size_t)n))) {
            end(q, str_of(data, (size_t)n));
            return;
        }
    }
}

static bool try_udp(struct dns_forwarded *q, const struct ip *server)
{
    struct sockaddr_storage sa;
    socklen_t len = ip_to_sockaddr(server, q->all->port, &sa);
    q->fd = socket(server->family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return q->fd >= 0 && connect(q->fd, (struct sockaddr *)&sa, len) == 0 &&
           send(q->fd, q->message.p, q->message.n, MSG_NOSIGNAL) >= 0 &&
           loop_io_add(q->all->loop, q->fd, on_readable, q, &q->io) == 0;
}

/* ---- TCP ---- */

static void on_open(struct conn *c, void *user)
{
    struct dns_forwarded *q = user;
    const uint8_t length[2] = {(uint8_t)(q->message.n >> 8), (uint8_t)q->message.n};
    conn_write(c, str_of(length, 2));
    conn_write(c, q->message);
}

static void on_data(struct conn *c, void *user)
{
    struct dns_forwarded *q = user;
    struct chain *in = conn_in(c);
    uint8_t length[2];
    if (in->n >= 2) {
        chain_copy(in, length, 2);
        size_t n = (size_t)(length[0] << 8 | length[1]);
        if (in->n >= n + 2) {
            struct str answer = str_sub(chain_linear(in, n + 2), 2, n + 2);
            if (is_answer(q, answer))
                end(q, answer);
            else
                try_next(q);
            return;
        }
    }
    if (conn_eof(c))
        try_next(q);
}

static void on_close(struct conn *c, int code, const char *text, void *user)
{
    struct dns_forwarded *q = user;
    (void)c;
    (void)code;
    (void)text;
    q->conn = NULL;
    try_next(q);
}

static bool try_tcp(struct dns_forwarded *q, const struct ip *server)
{
    static const struct conn_ops ops = {
        .on_open = on_open, .on_data = on_data, .on_close = on_close};
    const struct conn_options o = {.in_bytes_max = DNS_TCP_BYTES_MAX + 2};
    struct sockaddr_storage sa;
    socklen_t len = ip_to_sockaddr(server, q->all->port, &sa);
    q->conn = conn_connect(q->all->loop, &sa, len, &o, &ops, q);
    return q->conn != NULL;
}

/* ---- both ---- */

static void try_next(struct dns_forwarded *q)
{
    const struct dns_forward *f = q->all;
    stop_try(q);
    if (q->tries >= DNS_FORWARD_TRIES) {
        end(q, STR(""));
        return;
    }
    const struct ip *server = &f->servers[q->tries++ % f->n_servers];
    bool tried = q->tcp ? try_tcp(q, server) : try_udp(q, server);
    loop_timer_start(q->timer, tried ? DNS_FORWARD_TRY_MS : 0);
}

static void on_time(void *user)
{
    try_next(user);
}

struct dns_forward *dns_forward_new(struct loop *l, const struct resolv_conf *conf, uint16_t port)
{
    struct dns_forward *f = NEW(struct dns_forward);
    f->loop = l;
    f->port = port;
    f->n_servers = conf->n_servers;
    memcpy(f->servers, conf->servers, sizeof(f->servers));
    list_init(&f->asked);
    return f;
}

void dns_forward_free(struct dns_forward *f)
{
    if (!f)
        return;
    LIST_FOREACH_SAFE (node, &f->asked)
        end(CONTAINER_OF(node, struct dns_forwarded, node), STR(""));
    free(f);
}

int dns_forward_ask(struct dns_forward *f, struct str message, bool tcp, dns_forward_fn *fn,
                    void *user)
{
    struct str question;
    uint64_t id = rand_u64();
    if (message.n > DNS_TCP_BYTES_MAX || dns_question_of(message, &question) < 0 ||
        message.p[2] & 0x80)
        return -EBADMSG;
    if (f->n >= DNS_FORWARD_MAX)
        return -EBUSY;
    struct dns_forwarded *q = NEW(struct dns_forwarded);
    char *copy = xcalloc(message.n, 1);
    memcpy(copy, message.p, message.n);
    memcpy(q->id, message.p, sizeof(q->id));
    memcpy(copy, &id, sizeof(q->id));
    q->all = f;
    q->fn = fn;
    q->user = user;
    q->message = str_of(copy, message.n);
    q->tcp = tcp;
    q->fd = -1;
    q->timer = loop_timer_new(f->loop, on_time, q);
    list_add_tail(&f->asked, &q->node);
    f->n++;
    try_next(q);
    return 0;
}
