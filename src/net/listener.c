/* Listening sockets. Accepts until EAGAIN; when out of file descriptors it pauses for a moment
 * instead of spinning. */
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "net/conn.h"

enum { LISTENER_RETRY_MS = 50 };

struct listener {
    int fd;
    struct loop_io *io;
    struct loop_timer *retry;
    void (*on_accept)(int fd, void *user);
    void *user;
    uint16_t port;
    bool freed;
};

static void listener_accept(void *user)
{
    struct listener *l = user;
    for (;;) {
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

int listener_new(struct loop *loop, const struct ip *ip, uint16_t port,
                 void (*on_accept)(int fd, void *user), void *user, struct listener **ret,
                 struct err *reterr)
{
    struct sockaddr_storage sa;
    socklen_t len = ip_to_sockaddr(ip, port, &sa);
    int on = 1;
    char text[IP_TEXT_BYTES];
    AUTO_FD int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_set(reterr, -errno, NULL, "socket: %s", strerror(errno));
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&sa, len) < 0 || listen(fd, 1024) < 0)
        return err_set(reterr, -errno, NULL, "listen on %s port %u: %s", ip_format(ip, text), port,
                       strerror(errno));
    if (getsockname(fd, (struct sockaddr *)&sa, &len) < 0)
        return err_set(reterr, -errno, NULL, "getsockname: %s", strerror(errno));
    struct listener *l = NEW(struct listener);
    struct ip bound;
    l->on_accept = on_accept;
    l->user = user;
    l->fd = TAKE_FD(fd);
    if (ip_from_sockaddr((struct sockaddr *)&sa, &bound, &l->port) < 0)
        l->port = port;
    l->retry = loop_timer_new(loop, listener_accept, l);
    l->io = loop_io_add(loop, l->fd, on_listener_event, l);
    *ret = l;
    return 0;
}

void listener_free(struct listener *l)
{
    if (!l)
        return;
    loop_io_remove(l->io);
    loop_timer_free(l->retry);
    close(l->fd);
    free(l);
}

uint16_t listener_port(const struct listener *l)
{
    return l->port;
}
