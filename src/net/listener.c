/* Listening sockets. Accepts until EAGAIN; when out of file descriptors it pauses for a moment
 * instead of spinning. */
#include <errno.h>
#include <netinet/in.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "net/listener.h"

enum {
    LISTENER_RETRY_MS = 50,
    ACCEPTS_PER_TURN = 64,
    LISTENER_BACKLOG = 1024,
    REST_MAX = 4096,
};

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

/* True: nobody waits any more, or there is nothing to accept with (retried later). */
static bool accept_up_to(struct listener *l, int max)
{
    for (int n = 0; n < max; n++) {
        int fd = accept4(l->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            l->on_accept(fd, l->user);
            continue;
        }
        if (errno == EINTR || errno == ECONNABORTED)
            continue;
        if (errno != EAGAIN)
            loop_timer_start(l->retry, LISTENER_RETRY_MS);
        return true;
    }
    return false;
}

static void listener_accept(void *user)
{
    struct listener *l = user;
    if (!accept_up_to(l, ACCEPTS_PER_TURN))
        loop_defer_next(l->loop, &l->more); /* those who are connected have their turn, too */
}

void listener_accept_rest(struct listener *l)
{
    (void)accept_up_to(l, REST_MAX);
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

int listener_adopt(struct loop *loop, int fd, void (*on_accept)(int fd, void *user), void *user,
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
        l->fd = -1;
        listener_free(l);
        return r;
    }
    *ret = l;
    return 0;
}

/* ---- sockets ---- */

static int unix_address(const char *path, struct sockaddr_un *ret, socklen_t *ret_len)
{
    size_t n = strlen(path);
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (!n || n >= sizeof(ret->sun_path))
        return -ENAMETOOLONG;
    memcpy(ret->sun_path, path, n);
    if (path[0] == '@')
        ret->sun_path[0] = 0;
    *ret_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + (path[0] != '@'));
    return 0;
}

/* What a process that ended has left: nobody answers there. */
static bool is_left_over(const struct sockaddr_un *sa, socklen_t len)
{
    struct stat st;
    if (!sa->sun_path[0] || lstat(sa->sun_path, &st) < 0 || !S_ISSOCK(st.st_mode))
        return false;
    AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return fd >= 0 && connect(fd, (const struct sockaddr *)sa, len) < 0 && errno == ECONNREFUSED;
}

int listener_socket_listen(int fd, int backlog)
{
    return listen(fd, backlog ? backlog : LISTENER_BACKLOG) < 0 ? -errno : 0;
}

static int open_unix(const struct listener_address *a, const struct listener_options *o,
                     int *ret_fd, struct err *reterr)
{
    struct sockaddr_un sa;
    socklen_t len;
    int r = unix_address(a->path, &sa, &len);
    AUTO_FD int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (r == 0 && fd < 0)
        r = -errno;
    if (r == 0 && bind(fd, (struct sockaddr *)&sa, len) < 0) {
        r = -errno;
        if (r == -EADDRINUSE && is_left_over(&sa, len) && unlink(a->path) == 0)
            r = bind(fd, (struct sockaddr *)&sa, len) < 0 ? -errno : 0;
    }
    if (r == 0 && a->mode && sa.sun_path[0] && chmod(a->path, (mode_t)a->mode) < 0)
        r = -errno;
    if (r == 0 && !o->bind_only)
        r = listener_socket_listen(fd, o->backlog);
    if (r < 0)
        return err_set(reterr, r, NULL, "listen on %s: %s", a->path, strerror(-r));
    *ret_fd = TAKE_FD(fd);
    return 0;
}

/* 0, or the negative errno of the option whose name it tells. */
static int set_socket_options(int fd, bool v6, const struct listener_options *o,
                              const char **ret_name)
{
    const struct {
        const char *name;
        int level, option;
        bool wanted;
    } all[] = {
        {"SO_REUSEPORT", SOL_SOCKET, SO_REUSEPORT, o->reuse_port},
        {"IPV6_V6ONLY", IPPROTO_IPV6, IPV6_V6ONLY, v6 && o->v6_only},
        {"IP_FREEBIND", IPPROTO_IP, IP_FREEBIND, o->freebind},
        {"IP_TRANSPARENT", v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_TRANSPARENT : IP_TRANSPARENT,
         o->transparent},
    };
    int on = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    for (size_t i = 0; i < ARRAY_LEN(all); i++) {
        *ret_name = all[i].name;
        if (all[i].wanted && setsockopt(fd, all[i].level, all[i].option, &on, sizeof(on)) < 0)
            return -errno;
    }
    return 0;
}

int listener_socket_open(const struct listener_address *a, const struct listener_options *o,
                         int *ret_fd, struct err *reterr)
{
    static const struct listener_options none;
    struct sockaddr_storage sa;
    char text[IP_TEXT_BYTES];
    const char *option = NULL;
    o = o ? o : &none;
    if (a->path)
        return open_unix(a, o, ret_fd, reterr);
    socklen_t len = ip_to_sockaddr(&a->ip, a->port, &sa);
    AUTO_FD int fd = socket(sa.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_set(reterr, -errno, NULL, "socket: %s", strerror(errno));
    int r = set_socket_options(fd, sa.ss_family == AF_INET6, o, &option);
    if (r < 0)
        return err_set(reterr, r, NULL, "%s: %s", option, strerror(-r));
    r = bind(fd, (struct sockaddr *)&sa, len) < 0 ? -errno : 0;
    if (r == 0 && !o->bind_only)
        r = listener_socket_listen(fd, o->backlog);
    if (r < 0)
        return err_set(reterr, r, NULL, "listen on %s port %u: %s", ip_format(&a->ip, text),
                       a->port, strerror(-r));
    *ret_fd = TAKE_FD(fd);
    return 0;
}

int listener_new(struct loop *loop, const struct ip *ip, uint16_t port,
                 const struct listener_options *o, void (*on_accept)(int fd, void *user),
                 void *user, struct listener **ret, struct err *reterr)
{
    char text[IP_TEXT_BYTES];
    AUTO_FD int fd = -1;
    int r =
        listener_socket_open(&(struct listener_address){.ip = *ip, .port = port}, o, &fd, reterr);
    if (r < 0)
        return r;
    r = listener_adopt(loop, fd, on_accept, user, ret);
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
    if (l->fd >= 0)
        close(l->fd);
    free(l);
}

uint16_t listener_port(const struct listener *l)
{
    return l->port;
}
