/* Requests at a rate through a gateway, for bench/control/run.py.
 *
 *   control-load ADDRESS HOST HOSTS CONNECTIONS REQUESTS RATE
 *
 * HOST may hold one %: the number of a host, 0 to HOSTS - 1, is put there, each in its turn.
 * Open-loop over keep-alive connections to port 80: requests have their times by the clock, whoever
 * is late, and a latency counts from when a request ought to have gone. Nothing is tried again: an
 * answer other than 200, a connection that ends or is refused, and no answer within 10 s are
 * counted as failed, and the next request opens another connection. A connection that ends while
 * nothing is asked costs nothing. Ends after REQUESTS (at most 1,000,000), and two minutes late at
 * the latest; prints key=value lines; exit code 1: some failed. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { IN_BYTES = 16 * 1024, EVENTS = 64, REQUESTS_MAX = 1000000, STATUSES = 600 };

#define NO_ANSWER_NS (10 * 1000000000ull)
#define LATE_NS      (120 * 1000000000ull)

struct client {
    int fd;       /* -1: none */
    size_t n;     /* of the answer, so far */
    size_t whole; /* of the answer; 0 = its head is not there yet */
    uint64_t due; /* when it ought to have been asked; 0 = idle */
    int status;
    char in[IN_BYTES];
};

static struct client *clients;
static size_t n_clients, turn;
static struct sockaddr_in to;
static const char *host;
static unsigned long hosts, wanted, asked, done;
static unsigned long lost, refused, silent, by_status[STATUSES];
static uint32_t *latencies_us;
static int epoll;

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void fail(const char *what)
{
    perror(what);
    exit(2);
}

static void drop(struct client *c)
{
    if (c->fd >= 0)
        close(c->fd);
    c->fd = -1;
}

static void finish(struct client *c)
{
    latencies_us[done++] = (uint32_t)((now_ns() - c->due) / 1000);
    c->due = 0;
}

static bool open_connection(struct client *c)
{
    int one = 1;
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        fail("socket");
    if (connect(c->fd, (const struct sockaddr *)&to, sizeof(to)) < 0)
        return false;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &e) < 0)
        fail("epoll_ctl");
    return true;
}

static void ask(struct client *c, uint64_t due)
{
    char request[512], number[32] = "";
    const char *mark = strchr(host, '%');
    int before = mark ? (int)(mark - host) : (int)strlen(host);
    if (mark)
        snprintf(number, sizeof(number), "%lu", asked % hosts);
    int n = snprintf(request, sizeof(request),
                     "GET /name HTTP/1.1\r\nhost: %.*s%s%s\r\nuser-agent: control-load\r\n\r\n",
                     before, host, number, mark ? mark + 1 : "");
    if (n >= (int)sizeof(request)) {
        fprintf(stderr, "control-load: HOST is too long\n");
        exit(64);
    }
    asked++;
    c->due = due;
    c->n = c->whole = 0;
    if (c->fd < 0 && !open_connection(c)) {
        refused++;
        finish(c);
        drop(c);
    } else if (send(c->fd, request, (size_t)n, MSG_NOSIGNAL) != n) {
        lost++;
        finish(c);
        drop(c);
    }
}

static void read_head(struct client *c)
{
    c->in[c->n] = 0;
    const char *end = strstr(c->in, "\r\n\r\n"), *length = strcasestr(c->in, "content-length:");
    if (!end)
        return;
    c->status = atoi(c->in + strlen("HTTP/1.1 "));
    c->whole = (size_t)(end - c->in) + 4 + (length && length < end ? (size_t)atol(length + 15) : 0);
}

static void on_readable(struct client *c)
{
    ssize_t n = recv(c->fd, c->in + c->n, sizeof(c->in) - 1 - c->n, 0);
    if (n <= 0 || !c->due) {
        if (c->due) {
            lost++;
            finish(c);
        }
        drop(c);
        return;
    }
    c->n += (size_t)n;
    if (!c->whole)
        read_head(c);
    if (!c->whole || c->n < c->whole)
        return;
    by_status[c->status > 0 && c->status < STATUSES ? c->status : 0]++;
    finish(c);
}

static struct client *idle_client(void)
{
    for (size_t i = 0; i < n_clients; i++) {
        struct client *c = &clients[turn++ % n_clients];
        if (!c->due)
            return c;
    }
    return NULL;
}

static void drop_silent(uint64_t now)
{
    for (size_t i = 0; i < n_clients; i++)
        if (clients[i].due && clients[i].due + NO_ANSWER_NS < now) {
            silent++;
            finish(&clients[i]);
            drop(&clients[i]);
        }
}

static void run(double rate)
{
    struct epoll_event events[EVENTS];
    uint64_t begin = now_ns(), end = begin + (uint64_t)((double)wanted * 1e9 / rate) + LATE_NS;
    while (done < wanted) {
        uint64_t now = now_ns(), due = begin + (uint64_t)((double)asked * 1e9 / rate);
        struct client *c = asked < wanted && now >= due ? idle_client() : NULL;
        if (c) {
            ask(c, due);
            continue;
        }
        uint64_t wait = asked < wanted && due > now ? due - now : 1000000;
        struct timespec t = {0, (long)(wait < 1000000 ? wait : 1000000)};
        int n = epoll_pwait2(epoll, events, EVENTS, &t, NULL);
        for (int i = 0; i < n; i++)
            on_readable(events[i].data.ptr);
        drop_silent(now);
        if (now > end) {
            fprintf(stderr, "control-load: two minutes late: %lu of %lu\n", done, wanted);
            exit(2);
        }
    }
}

static int by_value(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static unsigned long report(double seconds)
{
    unsigned long failed = done - by_status[200];
    qsort(latencies_us, done, sizeof(*latencies_us), by_value);
    printf("requests=%lu\nfailed=%lu\nlost=%lu\nrefused=%lu\nsilent=%lu\n", done, failed, lost,
           refused, silent);
    for (int i = 0; i < STATUSES; i++)
        if (by_status[i])
            printf("status_%d=%lu\n", i, by_status[i]);
    printf("seconds=%.2f\np50_us=%u\np99_us=%u\nmax_us=%u\n", seconds, latencies_us[done / 2],
           latencies_us[done - 1 - done / 100], latencies_us[done - 1]);
    return failed;
}

int main(int argc, char **argv)
{
    if (argc != 7) {
        fprintf(stderr, "usage: control-load ADDRESS HOST HOSTS CONNECTIONS REQUESTS RATE\n");
        return 64;
    }
    to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(80)};
    host = argv[2];
    hosts = strtoul(argv[3], NULL, 10);
    n_clients = strtoul(argv[4], NULL, 10);
    wanted = strtoul(argv[5], NULL, 10);
    double rate = atof(argv[6]);
    if (inet_pton(AF_INET, argv[1], &to.sin_addr) != 1 || !hosts || !n_clients ||
        n_clients > 1000 || !wanted || wanted > REQUESTS_MAX || !(rate > 0)) {
        fprintf(stderr,
                "control-load: an address (IPv4), and numbers above 0: at most 1000 "
                "connections, %d requests\n",
                REQUESTS_MAX);
        return 64;
    }
    clients = calloc(n_clients, sizeof(*clients));
    latencies_us = calloc(wanted, sizeof(*latencies_us));
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (!clients || !latencies_us || epoll < 0)
        fail("control-load");
    for (size_t i = 0; i < n_clients; i++)
        clients[i].fd = -1;
    uint64_t begin = now_ns();
    run(rate);
    return report((double)(now_ns() - begin) / 1e9) ? 1 : 0;
}
