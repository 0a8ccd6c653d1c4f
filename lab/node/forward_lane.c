/* One forwarded connection: a socket in the pod's network namespace, and bytes both ways. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lab/node/kubelet_forward.h"
#include "net/conn.h"
#include "nl/netns.h"

enum { CONNECT_WAIT_MS = 200 };

struct forward_lane {
    struct conn *conn; /* NULL: over */
    const struct forward_lane_ops *ops;
    void *user;
};

struct dial {
    uint16_t port;
    int fd;
};

/* To itself a host answers at once; a queue that is full for long is waited for elsewhere. */
static int dial_family(struct dial *d, int family)
{
    struct sockaddr_storage to;
    struct pollfd wait = {.events = POLLOUT};
    struct ip ip = {.family = (uint8_t)family};
    int code = 0;
    socklen_t n = sizeof(code);
    ip.bytes[family == AF_INET ? 0 : 15] = family == AF_INET ? 127 : 1;
    if (family == AF_INET)
        ip.bytes[3] = 1;
    wait.fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (wait.fd < 0)
        return -errno;
    if (connect(wait.fd, (struct sockaddr *)&to, ip_to_sockaddr(&ip, d->port, &to)) < 0)
        code = errno == EINPROGRESS ? 0 : errno;
    if (!code && poll(&wait, 1, CONNECT_WAIT_MS) == 1 &&
        getsockopt(wait.fd, SOL_SOCKET, SO_ERROR, &code, &n) < 0)
        code = errno;
    if (code) {
        close(wait.fd);
        return -code;
    }
    d->fd = wait.fd;
    return 0;
}

static int dial(void *user, struct err *reterr)
{
    int r = dial_family(user, AF_INET);
    if (r < 0 && dial_family(user, AF_INET6) == 0)
        r = 0;
    return r < 0 ? err_set(reterr, r, NULL, "%s", strerror(-r)) : 0;
}

static void lane_over(struct forward_lane *l, const char *reason)
{
    conn_free(TAKE(l->conn));
    l->ops->over(reason, l->user);
}

static void on_data(struct conn *c, void *user)
{
    struct forward_lane *l = user;
    struct chain *in = conn_in(c);
    while (in->n) {
        struct str run = chain_front(in);
        l->ops->send(run, l->user);
        chain_consume(in, run.n);
    }
    if (conn_eof(c))
        lane_over(l, NULL);
    else if (l->ops->is_full(l->user))
        conn_pause(c);
}

static void on_drain(struct conn *c, void *user)
{
    struct forward_lane *l = user;
    (void)c;
    l->ops->more(l->user);
}

static void on_close(struct conn *c, int code, const char *text, void *user)
{
    struct forward_lane *l = user;
    (void)c;
    l->conn = NULL;
    l->ops->over(code ? text : NULL, l->user);
}

struct forward_lane *forward_lane_new(struct pod *p, uint16_t port,
                                      const struct forward_lane_ops *ops, void *user,
                                      struct buf *ret_reason)
{
    static const struct conn_ops conn_ops = {
        .on_data = on_data, .on_drain = on_drain, .on_close = on_close};
    struct dial d = {.port = port};
    struct err err = {0};
    int r = p->net.netns >= 0 ? netns_run(p->net.netns, dial, &d, &err) : dial(&d, &err);
    if (r < 0) {
        buf_addf(ret_reason, "error forwarding port %u to pod %s, uid %s: localhost:%u: %s", port,
                 p->name, p->uid, port, err_text(&err));
        return NULL;
    }
    struct forward_lane *l = NEW(struct forward_lane);
    const struct conn_options o = {0};
    *l = (struct forward_lane){.ops = ops, .user = user};
    l->conn = conn_new_accepted(p->node->loop, d.fd, &o, &conn_ops, l);
    return l;
}

void forward_lane_free(struct forward_lane *l)
{
    if (!l)
        return;
    conn_free(l->conn);
    free(l);
}

bool forward_lane_take(struct forward_lane *l, struct str bytes)
{
    if (!l->conn)
        return true; /* to nobody */
    conn_write(l->conn, bytes);
    return conn_queued(l->conn) < FORWARD_QUEUE_BYTES;
}

void forward_lane_take_end(struct forward_lane *l)
{
    if (l->conn)
        conn_finish(l->conn);
}

void forward_lane_resume(struct forward_lane *l)
{
    if (l->conn)
        conn_resume(l->conn);
}
