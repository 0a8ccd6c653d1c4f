/* The least that a proxy between keep-alive connections can do: the limit that figures of
 * proxies are told as ratios to. FROZEN: ratios of different days are comparable only while this
 * file stays as it is; do not improve it.
 *
 *   relay PORT UPSTREAM_PORT
 *
 * One thread, one epoll. Each connection has one of its own to the upstream; bytes go over in one
 * recv and one send each way, and all that is looked for in them is the end of a head. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BYTES = 64 * 1024, EVENTS = 256 };

struct side {
    int fd;
    struct side *other;
};

static unsigned long heads;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static struct sockaddr_in loopback(const char *port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return a;
}

static void watch(int epoll, int fd, void *p)
{
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = p};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) < 0)
        fail("epoll_ctl");
}

static void accept_pair(int epoll, int listener, const struct sockaddr_in *upstream)
{
    int one = 1, fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    int up = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct side *a = calloc(1, sizeof(*a)), *b = calloc(1, sizeof(*b));
    if (fd < 0 || up < 0 || !a || !b ||
        connect(up, (const struct sockaddr *)upstream, sizeof(*upstream)) < 0)
        fail("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    setsockopt(up, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    *a = (struct side){fd, b};
    *b = (struct side){up, a};
    watch(epoll, fd, a);
    watch(epoll, up, b);
}

static void end_pair(struct side *s)
{
    close(s->fd);
    close(s->other->fd);
    s->fd = s->other->fd = -1; /* an event of this turn may still name it: the memory stays */
}

static void pass_on(struct side *s)
{
    static char bytes[BYTES];
    if (s->fd < 0)
        return;
    ssize_t n = recv(s->fd, bytes, sizeof(bytes), 0);
    if (n <= 0) {
        end_pair(s);
        return;
    }
    if (memmem(bytes, (size_t)n, "\r\n\r\n", 4))
        heads++;
    for (ssize_t done = 0; done < n;) {
        ssize_t sent = send(s->other->fd, bytes + done, (size_t)(n - done), MSG_NOSIGNAL);
        if (sent < 0) {
            end_pair(s);
            return;
        }
        done += sent;
    }
}

int main(int argc, char **argv)
{
    int one = 1, epoll = epoll_create1(EPOLL_CLOEXEC), listener;
    if (argc != 3) {
        fprintf(stderr, "usage: relay PORT UPSTREAM_PORT\n");
        return 64;
    }
    struct sockaddr_in here = loopback(argv[1]), upstream = loopback(argv[2]);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(listener, (const struct sockaddr *)&here, sizeof(here)) < 0 ||
        listen(listener, 1024) < 0)
        fail("listen");
    watch(epoll, listener, NULL);
    for (;;) {
        struct epoll_event events[EVENTS];
        int n = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr)
                pass_on(events[i].data.ptr);
            else
                accept_pair(epoll, listener, &upstream);
        }
    }
}
