/* The origin of the proxies' benchmark: answers every request at once with a body of the same size.
 *
 *   origin PORT [BODY_BYTES]
 *
 * One thread, one epoll, requests without bodies. Small enough that what is measured is the proxy.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BYTES = 64 * 1024, EVENTS = 256 };

static char *answer;
static size_t answer_bytes;

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void make_answer(size_t body)
{
    answer = malloc(body + 512);
    if (!answer)
        fail("malloc");
    int n = sprintf(answer,
                    "HTTP/1.1 200 OK\r\nserver: origin\r\ncontent-type: text/plain\r\n"
                    "content-length: %zu\r\ncache-control: no-store\r\n\r\n",
                    body);
    memset(answer + n, 'x', body);
    answer_bytes = (size_t)n + body;
}

/* False: the connection is over. */
static int serve(int fd)
{
    static char in[BYTES];
    ssize_t n = recv(fd, in, sizeof(in), 0);
    if (n <= 0)
        return 0;
    for (const char *p = in; (p = memmem(p, (size_t)(in + n - p), "\r\n\r\n", 4)); p += 4)
        for (size_t done = 0; done < answer_bytes;) {
            ssize_t sent = send(fd, answer + done, answer_bytes - done, MSG_NOSIGNAL);
            if (sent <= 0)
                return 0;
            done += (size_t)sent;
        }
    return 1;
}

int main(int argc, char **argv)
{
    int one = 1, epoll = epoll_create1(EPOLL_CLOEXEC);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (argc < 2) {
        fprintf(stderr, "usage: origin PORT [BODY_BYTES]\n");
        return 64;
    }
    struct sockaddr_in here = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)atoi(argv[1])),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    make_answer(argc > 2 ? (size_t)atol(argv[2]) : 1024);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(listener, (const struct sockaddr *)&here, sizeof(here)) < 0 ||
        listen(listener, 1024) < 0)
        fail("listen");
    struct epoll_event e = {.events = EPOLLIN, .data.fd = listener};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &e) < 0)
        fail("epoll_ctl");
    for (;;) {
        struct epoll_event events[EVENTS];
        int n = epoll_wait(epoll, events, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
                setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
                e.data.fd = fd;
                if (fd >= 0 && epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e) < 0)
                    fail("epoll_ctl");
            } else if (!serve(fd)) {
                close(fd);
            }
        }
    }
}
