/* TCP connect latency through a ClusterIP at a number of Services, beside a direct connection in
 * the same run. Client, node and server are three network namespaces. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>

#include "base/time.h"
#include "dataplane/dataplane.h"

enum { CONNECTS = 3000 };

static void sh(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void sh(const char *fmt, ...)
{
    char cmd[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(cmd, sizeof(cmd), fmt, ap);
    va_end(ap);
    if (system(cmd) != 0) {
        fprintf(stderr, "bench: failed: %s\n", cmd);
        exit(1);
    }
}

static int socket_to(const char *ip, uint16_t port, bool listening)
{
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct linger reset = {1, 0};
    inet_pton(AF_INET, ip, &sa.sin_addr);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    if (listening ? bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, 512) < 0
                  : connect(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0) {
        fprintf(stderr, "bench: %s:%u: %s\n", ip, port, strerror(errno));
        exit(1);
    }
    return fd;
}

static int u64_cmp(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static void measure(const char *what, uint32_t services, const char *ip, uint16_t port)
{
    static uint64_t ns[CONNECTS];
    for (int i = 0; i < CONNECTS; i++) {
        struct timespec a, b;
        clock_gettime(CLOCK_MONOTONIC, &a);
        int fd = socket_to(ip, port, false);
        clock_gettime(CLOCK_MONOTONIC, &b);
        ns[i] = (uint64_t)(b.tv_sec - a.tv_sec) * 1000000000u + (uint64_t)(b.tv_nsec - a.tv_nsec);
        close(fd);
    }
    qsort(ns, CONNECTS, sizeof(ns[0]), u64_cmp);
    printf("{\"what\":\"connect %s\",\"services\":%u,\"p50_us\":%.1f,\"p99_us\":%.1f}\n", what,
           services, (double)ns[CONNECTS / 2] / 1000, (double)ns[CONNECTS * 99 / 100] / 1000);
}

static void peer(int fd, const char *ip, const char *gw, uint32_t services)
{
    char c;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (unshare(CLONE_NEWNET) < 0 || write(fd, "u", 1) != 1 || read(fd, &c, 1) != 1)
        exit(1);
    sh("ip link set lo up; ip addr add %s/24 dev eth0; ip link set eth0 up; ip route add default "
       "via %s",
       ip, gw);
    if (!services) {
        int l = socket_to(ip, 8080, true);
        if (write(fd, "r", 1) != 1)
            exit(1);
        for (;;)
            close(accept(l, NULL, NULL));
    }
    if (write(fd, "r", 1) != 1 || read(fd, &c, 1) != 1)
        exit(1);
    measure("direct", services, "10.1.2.2", 8080);
    measure("through ClusterIP", services, "10.96.0.1", 80);
    exit(0);
}

static pid_t spawn(int index, uint32_t services, int *ret_fd)
{
    int fds[2];
    char c, ip[32], gw[32];
    snprintf(ip, sizeof(ip), "10.1.%d.2", index);
    snprintf(gw, sizeof(gw), "10.1.%d.1", index);
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
        exit(1);
    pid_t pid = fork();
    if (pid == 0)
        peer(fds[1], ip, gw, services);
    if (read(fds[0], &c, 1) != 1)
        exit(1);
    sh("ip link add v%d type veth peer name eth0 netns %d; ip addr add %s/24 dev v%d; ip link set "
       "v%d up",
       index, pid, gw, index, index);
    if (write(fds[0], "g", 1) != 1 || read(fds[0], &c, 1) != 1)
        exit(1);
    *ret_fd = fds[0];
    return pid;
}

static void load(struct dataplane *d, uint32_t services)
{
    struct err e = {0};
    struct dataplane_endpoint ep = {.ip = {10, 1, 2, 2}, .port = 8080};
    VEC(struct frontend) f = {0};
    for (uint32_t i = 0; i < services; i++) {
        uint32_t ip = htonl(0x0a600001u + i);
        struct frontend x = {.key = {.family = AF_INET, .proto = IPPROTO_TCP, .port = 80},
                             .policy = DATAPLANE_CLUSTER,
                             .endpoints = &ep,
                             .n_endpoints = 1};
        memcpy(x.key.ip, &ip, 4);
        vec_push(&f, x);
    }
    struct dataplane_delta delta = {.full = true, .frontends = f.v, .n_frontends = f.n};
    if (d->ops->apply(d, &delta, &e) < 0) {
        fprintf(stderr, "bench: %s\n", err_text(&e));
        exit(1);
    }
    vec_done(&f);
}

int main(int argc, char **argv)
{
    uint32_t services = argc > 1 ? (uint32_t)atoi(argv[1]) : 1000;
    struct dataplane_config c = {0};
    struct dataplane *d;
    struct err e = {0};
    int server, client, status = 1;
    if (unshare(CLONE_NEWNET) < 0) {
        fprintf(stderr, "bench: needs root: %s\n", strerror(errno));
        return 77;
    }
    sh("ip link set lo up; echo 1 > /proc/sys/net/ipv4/ip_forward");
    if (nftables_open(&c, &d, &e) < 0) {
        fprintf(stderr, "bench: %s\n", err_text(&e));
        return 1;
    }
    load(d, services);
    pid_t server_pid = spawn(2, 0, &server), client_pid = spawn(1, services, &client);
    if (write(client, "m", 1) == 1)
        waitpid(client_pid, &status, 0);
    kill(server_pid, SIGKILL);
    waitpid(server_pid, NULL, 0);
    d->ops->free(d);
    return status ? 1 : 0;
}
