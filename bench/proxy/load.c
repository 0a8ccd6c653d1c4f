/* Load for the proxies' benchmark: GETs of 357 bytes with 7 headers over keep-alive connections.
 *
 *   load PORT CONNECTIONS REQUESTS [RATE]
 *
 * Without RATE closed-loop: each connection asks again as soon as it is answered. With RATE
 * (requests a second) open-loop: requests have their times by the clock, whoever is late, and a
 * latency counts from the time a request ought to have gone (no coordinated omission). Ends after
 * REQUESTS answers; prints key=value lines. Every answer is checked for 200 and its length. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { IN_BYTES = 16 * 1024, EVENTS = 256, BUCKETS = 64 * 32 };

static const char request[] =
    "GET /products/catalogue/items?page=2&sort=price HTTP/1.1\r\n"
    "host: shop.example.test\r\n"
    "user-agent: Mozilla/5.0 (X11; Linux x86_64) load/1.0 (fairlead bench)\r\n"
    "accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
    "accept-language: en-GB,en;q=0.7\r\n"
    "accept-encoding: gzip, deflate, br\r\n"
    "x-forwarded-proto: https\r\n"
    "cookie: session=0123456789abcde\r\n"
    "\r\n";

struct client {
    int fd;
    size_t n;     /* of the answer, so far */
    size_t whole; /* of the answer; 0 = head not there yet */
    uint64_t due; /* when it ought to have been asked; 0 = idle */
    char in[IN_BYTES];
};

static struct client *clients;
static size_t n_clients;
static unsigned long done, errors, wanted;
static unsigned long histogram[BUCKETS];

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* 32 steps for each power of two: within 3 %. */
static size_t bucket_of(uint64_t ns)
{
    if (ns < 64)
        return (size_t)ns / 2;
    unsigned shift = 63u - (unsigned)__builtin_clzll(ns) - 5u;
    return (size_t)(shift * 32 + (ns >> shift));
}

static double quantile_us(double q)
{
    unsigned long total = 0, seen = 0;
    for (size_t i = 0; i < BUCKETS; i++)
        total += histogram[i];
    for (size_t i = 0; i < BUCKETS; i++) {
        seen += histogram[i];
        if (total && (double)seen >= q * (double)total) {
            size_t shift = i / 32 ? i / 32 - 1 : 0;
            return (double)((uint64_t)(i - shift * 32) << shift) / 1000.0;
        }
    }
    return 0;
}

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static void ask(struct client *c, uint64_t due)
{
    c->due = due;
    c->n = c->whole = 0;
    if (send(c->fd, request, sizeof(request) - 1, MSG_NOSIGNAL) != (ssize_t)sizeof(request) - 1)
        fail("send");
}

/* The whole answer's length once its head is there. */
static void read_head(struct client *c)
{
    c->in[c->n] = 0;
    const char *end = strstr(c->in, "\r\n\r\n"), *length = strcasestr(c->in, "content-length:");
    if (!end)
        return;
    if (strncmp(c->in, "HTTP/1.1 200", 12) != 0 || !length || length > end) {
        errors++;
        c->whole = c->n;
        return;
    }
    c->whole = (size_t)(end - c->in) + 4 + (size_t)atol(length + 15);
}

/* True: an answer is whole. */
static int receive(struct client *c)
{
    size_t room = sizeof(c->in) - 1;
    char *at = c->whole ? c->in : c->in + c->n; /* a body is not kept */
    ssize_t n = recv(c->fd, at, c->whole ? room : room - c->n, 0);
    if (n <= 0 || !c->due) {
        fprintf(stderr, "load: connection lost\n");
        exit(1);
    }
    c->n += (size_t)n;
    if (!c->whole)
        read_head(c);
    return c->whole && c->n >= c->whole;
}

static void connect_all(int epoll, const char *port)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)atoi(port)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;
    for (size_t i = 0; i < n_clients; i++) {
        struct client *c = &clients[i];
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
        c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (c->fd < 0 || connect(c->fd, (const struct sockaddr *)&to, sizeof(to)) < 0)
            fail("connect");
        setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &e) < 0)
            fail("epoll_ctl");
    }
}

static void answered(struct client *c)
{
    size_t b = bucket_of(now_ns() - c->due);
    histogram[b < BUCKETS ? b : BUCKETS - 1]++;
    done++;
    c->due = 0;
}

static void run_closed(int epoll)
{
    struct epoll_event events[EVENTS];
    unsigned long asked = 0;
    for (size_t i = 0; i < n_clients && asked < wanted; i++, asked++)
        ask(&clients[i], now_ns());
    while (done < wanted) {
        int n = epoll_wait(epoll, events, EVENTS, 5000);
        if (n <= 0)
            fail("no answer in 5 s");
        for (int i = 0; i < n; i++) {
            struct client *c = events[i].data.ptr;
            if (!receive(c))
                continue;
            answered(c);
            if (asked < wanted) {
                ask(c, now_ns());
                asked++;
            }
        }
    }
}

static struct client *idle_client(size_t *at)
{
    for (size_t i = 0; i < n_clients; i++, (*at)++)
        if (!clients[*at % n_clients].due)
            return &clients[(*at)++ % n_clients];
    return NULL;
}

static void run_open(int epoll, double rate)
{
    struct epoll_event events[EVENTS];
    uint64_t begin = now_ns();
    unsigned long asked = 0;
    size_t at = 0;
    while (done < wanted) {
        uint64_t now = now_ns(), due = begin + (uint64_t)((double)asked * 1e9 / rate);
        struct client *c = asked < wanted && now >= due ? idle_client(&at) : NULL;
        if (c) {
            ask(c, due);
            asked++;
            continue;
        }
        uint64_t wait = asked < wanted && due > now ? due - now : 1000000;
        struct timespec t = {0, (long)(wait < 1000000 ? wait : 1000000)};
        int n = epoll_pwait2(epoll, events, EVENTS, &t, NULL);
        for (int i = 0; i < n; i++)
            if (receive(events[i].data.ptr))
                answered(events[i].data.ptr);
        if (now - begin > 120000000000u)
            fail("too slow");
    }
}

int main(int argc, char **argv)
{
    _Static_assert(sizeof(request) - 1 == 357, "the request that figures are told of");
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (argc < 4) {
        fprintf(stderr, "usage: load PORT CONNECTIONS REQUESTS [RATE]\n");
        return 64;
    }
    n_clients = (size_t)atol(argv[2]);
    wanted = (unsigned long)atol(argv[3]);
    clients = calloc(n_clients, sizeof(*clients));
    if (!clients)
        fail("calloc");
    connect_all(epoll, argv[1]);
    uint64_t begin = now_ns();
    if (argc > 4)
        run_open(epoll, atof(argv[4]));
    else
        run_closed(epoll);
    double seconds = (double)(now_ns() - begin) / 1e9;
    printf("requests=%lu\nerrors=%lu\nseconds=%.4f\nrps=%.0f\np50_us=%.1f\np99_us=%.1f\np999_us=%."
           "1f\n",
           done, errors, seconds, (double)done / seconds, quantile_us(0.5), quantile_us(0.99),
           quantile_us(0.999));
    return errors ? 1 : 0;
}
