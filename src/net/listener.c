/* Listening sockets. Accepts until EAGAIN; when out of file descriptors it pauses for a moment
 * instead of spinning. */
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "net/listener.h"

enum { LISTENER_RETRY_MS = 50, ACCEPTS_PER_TURN = 64 };

struct listener {
    struct loop *loop;
    int fd;
    struct loop_io *io;
    struct loop_timer *retry;
    struct loop_call more;
    void (*on_accept)(int fd, void *user);
    void *user;
    uint16_t port;
};

static void listener_accept(void *user)
{
    struct listener *l = user;
    for (int n = 0; n < ACCEPTS_PER_TURN; n++) {
        int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            l->on_accept(fd, l->user);
            continue;
        }
        if (errno == EINTR || errno == ECONNABORTED)
            continue;
        if (errno != EAGAIN)
            loop_timer_start(l->retry, LISTENER_RETRY_MS);
        return;
    }
    loop_defer_next(l->loop, &l->more); /* those who are connected have their turn, too */
}

static void on_listener_event(struct loop_io *io, uint32_t events, void *user)
{
    (void)io;
    (void)events;
    listener_accept(user);
}

struct ip listener_any(void)
{
    bool v6 = access("/proc/sys/net/ipv6", F_OK) == 0;
    return (struct ip){.family = v6 ? AF_INET6 : AF_INET};
}

static int listener_on(struct loop *loop, int fd, void (*on_accept)(int fd, void *user), void *user,
                       struct listener **ret)
{
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof(sa);
    struct ip bound;
    struct listener *l = NEW(struct listener);
    l->loop = loop;
    l->on_accept = on_accept;
    l->user = user;
    l->fd = fd;
    if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0 ||
        ip_from_sockaddr((struct sockaddr *)&sa, &bound, &l->port) < 0)
        l->port = 0; /* a Unix socket */
    loop_call_init(&l->more, listener_accept, l);
    l->retry = loop_timer_new(loop, listener_accept, l);
    int r = loop_io_add(loop, fd, on_listener_event, l, &l->io);
    if (r < 0) {
        listener_free(l);
        return r;
    }
    *ret = l;
    return 0;
}

int listener_new(struct loop *loop, const struct ip *ip, uint16_t port,
                 const struct listener_options *o, void (*on_accept)(int fd, void *user),
                 void *user, struct listener **ret, struct err *reterr)
{
    static const struct listener_options none;
    struct sockaddr_storage sa;
    socklen_t len = ip_to_sockaddr(ip, port, &sa);
    int on = 1;
    char text[IP_TEXT_BYTES];
    AUTO_FD int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    o = o ? o : &none;
    if (fd < 0)
        return err_set(reterr, -errno, NULL, "socket: %s", strerror(errno));
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (o->reuse_port && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0)
        return err_set(reterr, -errno, NULL, "SO_REUSEPORT: %s", strerror(errno));
    if (bind(fd, (struct sockaddr *)&sa, len) < 0 || listen(fd, o->backlog ? o->backlog : 1024) < 0)
        return err_set(reterr, -errno, NULL, "listen on %s port %u: %s", ip_format(ip, text), port,
                       strerror(errno));
    int r = listener_on(loop, fd, on_accept, user, ret);
    if (r < 0)
        return err_set(reterr, r, NULL, "watch %s port %u: %s", ip_format(ip, text), port,
                       strerror(-r));
    (void)TAKE_FD(fd);
    return 0;
}

void listener_free(struct listener *l)
{
    if (!l)
        return;
    loop_io_remove(l->io);
    loop_call_cancel(&l->more);
    loop_timer_free(l->retry);
    close(l->fd);
    free(l);
}

uint16_t listener_port(const struct listener *l)
{
    return l->port;
}
