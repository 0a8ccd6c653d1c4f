#pragma once
/* A node with two pods and an outsider, each a network namespace that lives as long as its process,
 * and the node's the test's own. Servers everywhere say who they are and whom they see. Root. */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "dataplane/dataplane.h"
#include "test.h"

enum { POD_A, POD_B, OUTSIDE, NODE, N_HOSTS };
#define MANY_SOURCES "100.64.0.0/10"    /* all of them are OUTSIDE's, too */
enum { WAIT_MS = 1500, DROP_MS = 300 }; /* what answers at all does so at once */

struct host {
    const char *name;
    const char *v4, *gw4, *v6, *gw6;
    pid_t pid;
    int fd;
};

static struct host hosts[N_HOSTS] = {
    {.name = "a", .v4 = "10.244.1.2", .gw4 = "10.244.1.1", .v6 = "fd44:1::2", .gw6 = "fd44:1::1"},
    {.name = "b", .v4 = "10.244.2.2", .gw4 = "10.244.2.1", .v6 = "fd44:2::2", .gw6 = "fd44:2::1"},
    {.name = "out", .v4 = "198.51.100.2", .gw4 = "198.51.100.1", .v6 = "fd99::2", .gw6 = "fd99::1"},
    {.name = "node", .v4 = "198.51.100.1", .v6 = "fd99::1"},
};

enum op { ONCE, OPEN, AGAIN }; /* OPEN keeps the connection, AGAIN uses it */
struct request {
    char ip[64], src[64]; /* src may be empty */
    uint16_t port, src_port;
    uint8_t proto;
    enum op op;
    int wait_ms; /* 0: WAIT_MS */
};
struct answer {
    char text[128]; /* "NAME:PORT PEER", "REJECT", "TIMEOUT" */
};

/* ---- network ---- */

static void sh(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static void sh(const char *fmt, ...)
{
    char cmd[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(cmd, sizeof(cmd), fmt, ap);
    va_end(ap);
    if (system(cmd) != 0) {
        fprintf(stderr, "failed: %s\n", cmd);
        exit(1);
    }
}

static void write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
    if (fd >= 0)
        close(fd);
}

/* ---- servers: answer with who they are and whom they see ---- */

static int bind_socket(int type, uint16_t port)
{
    int on = 1, fd = socket(AF_INET6, type | SOCK_CLOEXEC, 0);
    struct sockaddr_in6 sa = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 ||
        (type == SOCK_STREAM && listen(fd, 64) < 0))
        exit(1);
    return fd;
}

static void describe(const char *name, uint16_t port, const struct sockaddr_in6 *peer, char *ret,
                     size_t n)
{
    char ip[64];
    inet_ntop(AF_INET6, &peer->sin6_addr, ip, sizeof(ip));
    snprintf(ret, n, "%s:%u %s", name, port, strncmp(ip, "::ffff:", 7) == 0 ? ip + 7 : ip);
}

/* A byte in, who we are out, for as long as the connection lasts. */
static void serve_kept(const char *name, int fd)
{
    char in;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (read(fd, &in, 1) == 1 && write(fd, name, strlen(name)) > 0)
        ;
    exit(0);
}

static void serve(const char *name)
{
    static const uint16_t ports[4] = {8080, 8081, 9000, 8090};
    struct pollfd p[4];
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    signal(SIGCHLD, SIG_IGN);
    for (int i = 0; i < 4; i++)
        p[i] = (struct pollfd){.fd = bind_socket(i == 2 ? SOCK_DGRAM : SOCK_STREAM, ports[i]),
                               .events = POLLIN};
    for (;;) {
        poll(p, 4, -1);
        for (int i = 0; i < 4; i++) {
            struct sockaddr_in6 peer;
            socklen_t len = sizeof(peer);
            char text[128], in[128];
            if (!(p[i].revents & POLLIN))
                continue;
            if (i == 2) {
                if (recvfrom(p[i].fd, in, sizeof(in), 0, (struct sockaddr *)&peer, &len) < 0)
                    continue;
                describe(name, ports[i], &peer, text, sizeof(text));
                (void)!sendto(p[i].fd, text, strlen(text), 0, (struct sockaddr *)&peer, len);
                continue;
            }
            int fd = accept(p[i].fd, (struct sockaddr *)&peer, &len);
            if (i == 3) {
                if (fork() == 0)
                    serve_kept(name, fd);
                close(fd);
                continue;
            }
            describe(name, ports[i], &peer, text, sizeof(text));
            (void)!write(fd, text, strlen(text));
            close(fd);
        }
    }
}

/* ---- client ---- */

static void ask(const struct request *q, struct answer *ret)
{
    static int kept = -1;
    struct sockaddr_storage sa;
    struct ip ip;
    struct pollfd p = {.events = POLLOUT};
    int on = 1, error = 0, wait_ms = q->wait_ms ? q->wait_ms : WAIT_MS;
    socklen_t len, n = sizeof(error);
    *ret = (struct answer){.text = "ERROR"};
    if (ip_parse(str_from(q->ip), &ip) < 0)
        return;
    len = ip_to_sockaddr(&ip, q->port, &sa);
    p.fd = q->op == AGAIN ? kept
                          : socket(sa.ss_family,
                                   (q->proto == IPPROTO_UDP ? SOCK_DGRAM : SOCK_STREAM) |
                                       SOCK_NONBLOCK | SOCK_CLOEXEC,
                                   0);
    if (q->op != AGAIN && (q->src_port || q->src[0])) {
        struct sockaddr_storage local;
        struct ip any = {.family = ip.family};
        if (q->src[0] && ip_parse(str_from(q->src), &any) < 0)
            return;
        socklen_t l = ip_to_sockaddr(&any, q->src_port, &local);
        setsockopt(p.fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        (void)!bind(p.fd, (struct sockaddr *)&local, l);
    }
    if (q->op != AGAIN && connect(p.fd, (struct sockaddr *)&sa, len) < 0 && errno != EINPROGRESS)
        error = errno;
    if (!error && q->proto == IPPROTO_UDP)
        (void)!send(p.fd, "x", 1, 0);
    else if (!error && poll(&p, 1, wait_ms) == 0)
        error = ETIMEDOUT;
    else if (!error)
        getsockopt(p.fd, SOL_SOCKET, SO_ERROR, &error, &n);
    p.events = POLLIN;
    if (!error && q->op != ONCE)
        (void)!send(p.fd, "x", 1, MSG_NOSIGNAL);
    if (!error && poll(&p, 1, wait_ms) == 0)
        error = ETIMEDOUT;
    ssize_t got = error ? -1 : recv(p.fd, ret->text, sizeof(ret->text) - 1, 0);
    if (!error && got < 0)
        error = errno;
    if (error)
        snprintf(ret->text, sizeof(ret->text), "%s",
                 error == ETIMEDOUT      ? "TIMEOUT"
                 : error == ECONNREFUSED ? "REJECT"
                                         : strerror(error));
    else
        ret->text[got] = 0;
    kept = q->op == ONCE ? kept : p.fd;
    if (q->op == ONCE)
        close(p.fd);
}

static struct answer ask_from(int from, const struct request *q)
{
    struct answer a = {.text = "LOST"};
    if (from == NODE) {
        ask(q, &a);
        return a;
    }
    if (write(hosts[from].fd, q, sizeof(*q)) != sizeof(*q) ||
        read(hosts[from].fd, &a, sizeof(a)) != sizeof(a))
        fail_msg("host %s is gone", hosts[from].name);
    return a;
}

static void host_main(struct host *h, int fd)
{
    char go;
    struct request q;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (unshare(CLONE_NEWNET) < 0 || write(fd, "u", 1) != 1 || read(fd, &go, 1) != 1)
        exit(1);
    write_file("/proc/sys/net/ipv6/conf/default/accept_dad", "0");
    write_file("/proc/sys/net/ipv6/conf/eth0/accept_dad", "0");
    if (h == &hosts[OUTSIDE])
        sh("ip link set lo up; ip route add local " MANY_SOURCES " dev lo");
    sh("ip link set lo up; ip addr add %s/24 dev eth0; ip -6 addr add %s/64 dev eth0 nodad; ip "
       "link set eth0 up; ip route add default via %s; ip -6 route add default via %s",
       h->v4, h->v6, h->gw4, h->gw6);
    if (fork() == 0)
        serve(h->name);
    if (write(fd, "r", 1) != 1)
        exit(1);
    while (read(fd, &q, sizeof(q)) == sizeof(q)) {
        struct answer a;
        ask(&q, &a);
        if (write(fd, &a, sizeof(a)) != sizeof(a))
            break;
    }
    exit(0);
}

static bool network_up(void)
{
    if (unshare(CLONE_NEWNET) < 0)
        return false;
    write_file("/proc/sys/net/ipv6/conf/default/accept_dad", "0");
    sh("ip link set lo up");
    write_file("/proc/sys/net/ipv4/ip_forward", "1");
    write_file("/proc/sys/net/ipv6/conf/all/forwarding", "1");
    for (int i = 0; i < NODE; i++) {
        struct host *h = &hosts[i];
        int fds[2];
        char c;
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) < 0)
            return false;
        h->pid = fork();
        if (h->pid == 0) {
            close(fds[0]);
            host_main(h, fds[1]);
        }
        close(fds[1]);
        h->fd = fds[0];
        if (read(h->fd, &c, 1) != 1)
            return false;
        sh("ip link add v%d type veth peer name eth0 netns %d; ip addr add %s/24 dev v%d; ip -6 "
           "addr add %s/64 dev v%d nodad; ip link set v%d up",
           i, h->pid, h->gw4, i, h->gw6, i, i);
        if (write(h->fd, "g", 1) != 1 || read(h->fd, &c, 1) != 1)
            return false;
    }
    /* Somewhere for packets to unknown places to go, so that nothing but our rules rejects them;
     * not back where they came from, where a redirect would use up the sender's share of ICMP. */
    sh("ip link add void type veth peer name void1; ip link set void up; ip link set void1 up; "
       "ip route add default dev void; ip -6 route "
       "add default dev void");
    sh("ip route add " MANY_SOURCES " via %s", hosts[OUTSIDE].v4);
    return true;
}

/* ---- frontends ---- */

static struct dataplane_endpoint ep(const char *ip, uint16_t port)
{
    struct ip x;
    struct dataplane_endpoint e = {.port = port};
    assert_int_equal(ip_parse(str_from(ip), &x), 0);
    memcpy(e.ip, x.bytes, 16);
    return e;
}

static struct frontend fe(const char *ip, uint8_t family, uint8_t proto, uint16_t port,
                          enum dataplane_policy policy, const struct dataplane_endpoint *e,
                          size_t n)
{
    struct frontend f = {.key = {.family = family, .proto = proto, .port = port},
                         .policy = policy,
                         .endpoints = e,
                         .n_endpoints = n};
    struct ip x;
    f.key.node_port = ip == NULL;
    if (ip) {
        assert_int_equal(ip_parse(str_from(ip), &x), 0);
        memcpy(f.key.ip, x.bytes, 16);
    }
    return f;
}
