/* The packet table: who reaches what, masqueraded or not. Every row is asked twice, of an evaluator
 * that reads the frontends and of a real kernel: a node with two pods and an outsider, each a
 * network namespace that lives as long as its process (skipped where that is not allowed). Rows
 * named are those of src/agent/README.md. */
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
    return true;
}

/* ---- what is installed ---- */

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

static struct frontend fe_local(const char *ip, uint8_t family, uint16_t port,
                                enum dataplane_policy policy, const struct dataplane_endpoint *e,
                                const struct dataplane_endpoint *local)
{
    struct frontend f = fe(ip, family, IPPROTO_TCP, port, policy, e, e != NULL);
    f.local = local;
    f.n_local = local != NULL;
    return f;
}

static struct dataplane *backend;
static struct dataplane_endpoint a4[2], both4[2], a6[1], udp4[1], out4[1], out6[1];
static struct frontend frontends[40];
static size_t n_frontends;

static void apply(struct frontend *f, size_t n, bool full)
{
    struct err e = {0};
    struct address_change lists[6] = {{.list = DATAPLANE_CLUSTER_IPS},
                                      {.list = DATAPLANE_CLUSTER_IPS},
                                      {.list = DATAPLANE_LOCAL_ENDPOINTS},
                                      {.list = DATAPLANE_LOCAL_ENDPOINTS},
                                      {.list = DATAPLANE_LOCAL_ENDPOINTS}};
    static const char *const ips[] = {"10.96.0.1", "fd96::1", "10.244.1.2", "10.244.2.2",
                                      "fd44:1::2"};
    for (size_t i = 0; i < ARRAY_LEN(ips); i++)
        assert_int_equal(ip_parse(str_from(ips[i]), &lists[i].ip), 0);
    struct dataplane_delta d = {.full = full,
                                .frontends = f,
                                .n_frontends = n,
                                .addresses = lists,
                                .n_addresses = ARRAY_LEN(ips)};
    if (backend->ops->apply(backend, &d, &e) < 0)
        fail_msg("%s", err_text(&e));
    backend->ops->settle(backend);
}

static const struct prefix pods[2] = {{{AF_INET, {10, 244}}, 16}, {{AF_INET6, {0xfd, 0x44}}, 16}};

static int install(void **state)
{
    static const struct dataplane_config c = {.cluster_cidrs = pods, .n_cluster_cidrs = 2};
    struct err e = {0};
    (void)state;
    a4[0] = ep("10.244.1.2", 8080);
    a4[1] = ep("10.244.1.2", 8081);
    both4[0] = ep("10.244.1.2", 8080);
    both4[1] = ep("10.244.2.2", 8080);
    a6[0] = ep("fd44:1::2", 8080);
    udp4[0] = ep("10.244.1.2", 9000);
    out4[0] = ep("198.51.100.2", 8080); /* as a pod of another node */
    out6[0] = ep("fd99::2", 8080);
    struct frontend f[] = {
        fe("10.96.0.1", AF_INET, IPPROTO_TCP, 80, DATAPLANE_CLUSTER, a4, 1),
        fe("10.96.0.1", AF_INET, IPPROTO_UDP, 53, DATAPLANE_CLUSTER, udp4, 1),
        fe("10.96.0.2", AF_INET, IPPROTO_TCP, 80, DATAPLANE_CLUSTER, NULL, 0),
        fe("10.96.0.3", AF_INET, IPPROTO_TCP, 80, DATAPLANE_CLUSTER, both4, 2),
        fe("10.96.0.4", AF_INET, IPPROTO_TCP, 80, DATAPLANE_CLUSTER, a4, 2),
        fe("203.0.113.1", AF_INET, IPPROTO_TCP, 80, DATAPLANE_EXTERNAL, a4, 1),
        fe("203.0.113.2", AF_INET, IPPROTO_TCP, 80, DATAPLANE_EXTERNAL, NULL, 0),
        fe(NULL, AF_INET, IPPROTO_TCP, 30080, DATAPLANE_EXTERNAL, a4, 1),
        fe(NULL, AF_INET, IPPROTO_TCP, 30081, DATAPLANE_EXTERNAL, NULL, 0),
        fe("fd96::1", AF_INET6, IPPROTO_TCP, 80, DATAPLANE_CLUSTER, a6, 1),
        fe("fd96::2", AF_INET6, IPPROTO_TCP, 80, DATAPLANE_CLUSTER, NULL, 0),
        fe(NULL, AF_INET6, IPPROTO_TCP, 30080, DATAPLANE_EXTERNAL, a6, 1),
        fe_local("203.0.113.3", AF_INET, 80, DATAPLANE_EXTERNAL_LOCAL, out4, a4),
        fe_local("203.0.113.4", AF_INET, 80, DATAPLANE_EXTERNAL_LOCAL, out4, NULL),
        fe_local("203.0.113.5", AF_INET, 80, DATAPLANE_EXTERNAL_LOCAL, NULL, NULL),
        fe_local(NULL, AF_INET, 30082, DATAPLANE_EXTERNAL_LOCAL, out4, a4),
        fe_local(NULL, AF_INET, 30083, DATAPLANE_EXTERNAL_LOCAL, out4, NULL),
        fe_local(NULL, AF_INET, 30084, DATAPLANE_EXTERNAL_LOCAL, NULL, NULL),
        fe_local("10.96.0.5", AF_INET, 80, DATAPLANE_CLUSTER_LOCAL, out4, a4),
        fe_local("10.96.0.6", AF_INET, 80, DATAPLANE_CLUSTER_LOCAL, out4, NULL),
        fe_local("10.96.0.7", AF_INET, 80, DATAPLANE_CLUSTER_LOCAL, NULL, NULL),
        fe_local("fd98::3", AF_INET6, 80, DATAPLANE_EXTERNAL_LOCAL, out6, a6),
        fe_local("fd98::4", AF_INET6, 80, DATAPLANE_EXTERNAL_LOCAL, out6, NULL),
        fe_local(NULL, AF_INET6, 30082, DATAPLANE_EXTERNAL_LOCAL, out6, a6),
        fe_local("fd96::5", AF_INET6, 80, DATAPLANE_CLUSTER_LOCAL, out6, a6),
        fe_local("fd96::6", AF_INET6, 80, DATAPLANE_CLUSTER_LOCAL, out6, NULL),
    };
    n_frontends = ARRAY_LEN(f);
    memcpy(frontends, f, sizeof(f));
    if (nftables_open(&c, &backend, &e) < 0)
        fail_msg("%s", err_text(&e));
    apply(frontends, n_frontends, true);
    return 0;
}

static int remove_all(void **state)
{
    (void)state;
    backend->ops->free(backend);
    return 0;
}

/* ---- the table ---- */

struct row {
    const char *rows;
    int from;
    const char *to;
    uint16_t port;
    uint8_t proto;
    const char *want; /* "NAME:PORT", REJECT or DROP */
    bool masqueraded;
};

#define T IPPROTO_TCP
#define U IPPROTO_UDP
static const struct row table[] = {
    {"13 27", POD_B, "10.96.0.1", 80, T, "a:8080", false},
    {"13", OUTSIDE, "10.96.0.1", 80, T, "a:8080", true},
    {"13", NODE, "10.96.0.1", 80, T, "a:8080", true},
    {"25", POD_A, "10.96.0.1", 80, T, "a:8080", true},
    {"3 4", POD_B, "10.96.0.1", 53, U, "a:9000", false},
    {"15", OUTSIDE, "198.51.100.1", 30080, T, "a:8080", true},
    {"15", POD_B, "198.51.100.1", 30080, T, "a:8080", true},
    {"15", POD_B, "10.244.2.1", 30080, T, "a:8080", true},
    {"15", NODE, "198.51.100.1", 30080, T, "a:8080", true},
    {"18 19", OUTSIDE, "203.0.113.1", 80, T, "a:8080", true},
    {"18 19", POD_B, "203.0.113.1", 80, T, "a:8080", true},
    {"34", POD_B, "10.96.0.2", 80, T, "REJECT", false},
    {"34", NODE, "10.96.0.2", 80, T, "REJECT", false},
    {"34", OUTSIDE, "10.96.0.2", 80, T, "REJECT", false},
    {"34", OUTSIDE, "203.0.113.2", 80, T, "REJECT", false},
    {"34", OUTSIDE, "198.51.100.1", 30081, T, "REJECT", false},
    {"34", NODE, "198.51.100.1", 30081, T, "REJECT", false},
    {"36", POD_B, "10.96.0.1", 81, T, "REJECT", false},
    {"36", NODE, "10.96.0.1", 81, T, "REJECT", false},
    {"27", POD_B, "10.244.1.2", 8080, T, "a:8080", false},
    {"11 27", POD_B, "fd44:1::2", 8080, T, "a:8080", false},
    {"11 13", POD_B, "fd96::1", 80, T, "a:8080", false},
    {"11 13", OUTSIDE, "fd96::1", 80, T, "a:8080", true},
    {"11 25", POD_A, "fd96::1", 80, T, "a:8080", true},
    {"11 15", OUTSIDE, "fd99::1", 30080, T, "a:8080", true},
    {"11 34", POD_B, "fd96::2", 80, T, "REJECT", false},
    {"11 36", POD_B, "fd96::1", 81, T, "REJECT", false},
    {"22a", POD_B, "203.0.113.3", 80, T, "out:8080", false},
    {"22b", NODE, "203.0.113.3", 80, T, "out:8080", true},
    {"22c", OUTSIDE, "203.0.113.3", 80, T, "a:8080", false},
    {"22a 30", POD_A, "203.0.113.4", 80, T, "out:8080", false},
    {"22b 30", NODE, "203.0.113.4", 80, T, "out:8080", true},
    {"22d 35", OUTSIDE, "203.0.113.4", 80, T, "DROP", false},
    {"22 34", OUTSIDE, "203.0.113.5", 80, T, "REJECT", false},
    {"22 34", POD_B, "203.0.113.5", 80, T, "REJECT", false},
    {"22 34", NODE, "203.0.113.5", 80, T, "REJECT", false},
    {"22a", POD_B, "198.51.100.1", 30082, T, "out:8080", false},
    {"22b", NODE, "198.51.100.1", 30082, T, "out:8080", true},
    {"22c", OUTSIDE, "198.51.100.1", 30082, T, "a:8080", false},
    {"22a", POD_B, "198.51.100.1", 30083, T, "out:8080", false},
    {"22d 35", OUTSIDE, "198.51.100.1", 30083, T, "DROP", false},
    {"22 34", OUTSIDE, "198.51.100.1", 30084, T, "REJECT", false},
    {"24", POD_B, "10.96.0.5", 80, T, "a:8080", false},
    {"24", NODE, "10.96.0.5", 80, T, "a:8080", true},
    {"24", OUTSIDE, "10.96.0.5", 80, T, "a:8080", true},
    {"24 25", POD_A, "10.96.0.5", 80, T, "a:8080", true},
    {"24 35", POD_B, "10.96.0.6", 80, T, "DROP", false},
    {"24 35", NODE, "10.96.0.6", 80, T, "DROP", false},
    {"24 34", POD_B, "10.96.0.7", 80, T, "REJECT", false},
    {"11 22a", POD_B, "fd98::3", 80, T, "out:8080", false},
    {"11 22c", OUTSIDE, "fd98::3", 80, T, "a:8080", false},
    {"11 22d", OUTSIDE, "fd98::4", 80, T, "DROP", false},
    {"11 22c", OUTSIDE, "fd99::1", 30082, T, "a:8080", false},
    {"11 24", POD_B, "fd96::5", 80, T, "a:8080", false},
    {"11 35", POD_B, "fd96::6", 80, T, "DROP", false},
};

/* The evaluator: what the frontends and the configuration say, without a kernel. */
static const struct frontend *frontend_for(const struct row *r, const struct ip *to, bool node)
{
    for (size_t i = 0; i < n_frontends; i++) {
        const struct frontend_key *k = &frontends[i].key;
        if (k->family == to->family && k->node_port == node && k->proto == r->proto &&
            k->port == r->port && (node || memcmp(k->ip, to->bytes, 16) == 0))
            return &frontends[i];
    }
    return NULL;
}

static bool is_node_address(const char *ip)
{
    for (int i = 0; i < NODE; i++)
        if (streq(ip, hosts[i].gw4) || streq(ip, hosts[i].gw6))
            return true;
    return false;
}

static const char *host_name_of(const struct ip *ip)
{
    for (int i = 0; i < NODE; i++) {
        struct ip h;
        assert_int_equal(ip_parse(str_from(ip->family == AF_INET ? hosts[i].v4 : hosts[i].v6), &h),
                         0);
        if (ip_eq(&h, ip))
            return hosts[i].name;
    }
    return "nobody";
}

struct verdict {
    char text[64]; /* as row.want */
    bool masqueraded;
};

/* What becomes of a packet to this frontend: row 22 in its order, then the endpoint and who sees
 * whom. */
static struct verdict evaluate(const struct frontend *f, const struct ip *from, bool from_node)
{
    bool pod = prefix_contains(&pods[from->family == AF_INET6], from);
    bool local = f->policy == DATAPLANE_CLUSTER_LOCAL ||
                 (f->policy == DATAPLANE_EXTERNAL_LOCAL && !pod && !from_node);
    const struct dataplane_endpoint *e = local ? f->local : f->endpoints;
    struct verdict v = {.text = "REJECT"};
    if (f->n_endpoints == 0)
        return v;
    if (local && f->n_local == 0) {
        snprintf(v.text, sizeof(v.text), "DROP");
        return v;
    }
    struct ip ip = {.family = from->family};
    memcpy(ip.bytes, e->ip, 16);
    switch (f->policy) {
    case DATAPLANE_EXTERNAL:
        v.masqueraded = true;
        break;
    case DATAPLANE_EXTERNAL_LOCAL:
        v.masqueraded = from_node;
        break;
    case DATAPLANE_CLUSTER:
    case DATAPLANE_CLUSTER_LOCAL:
    case _DATAPLANE_POLICY_MAX:
        v.masqueraded = !pod;
    }
    v.masqueraded = v.masqueraded || ip_eq(from, &ip);
    snprintf(v.text, sizeof(v.text), "%s:%u", host_name_of(&ip), e->port);
    return v;
}

static void assert_evaluates(const struct row *r)
{
    struct ip to, from;
    assert_int_equal(ip_parse(str_from(r->to), &to), 0);
    assert_int_equal(
        ip_parse(str_from(to.family == AF_INET ? hosts[r->from].v4 : hosts[r->from].v6), &from), 0);
    const struct frontend *f = frontend_for(r, &to, false);
    if (!f && is_node_address(r->to))
        f = frontend_for(r, &to, true);
    if (!f) { /* another port of a ClusterIP, or no Service at all */
        bool vip = streq(r->to, "10.96.0.1") || streq(r->to, "fd96::1");
        assert_int_equal(vip, streq(r->want, "REJECT"));
        return;
    }
    struct verdict v = evaluate(f, &from, r->from == NODE);
    if (!streq(v.text, r->want) || v.masqueraded != r->masqueraded)
        fail_msg("rows %s: %s -> %s:%u: the evaluator says %s, masqueraded %d", r->rows,
                 hosts[r->from].name, r->to, r->port, v.text, v.masqueraded);
}

static void assert_kernel_agrees(const struct row *r)
{
    bool dropped = streq(r->want, "DROP");
    struct request q = {.port = r->port, .proto = r->proto, .wait_ms = dropped ? DROP_MS : 0};
    snprintf(q.ip, sizeof(q.ip), "%s", r->to);
    struct answer a = ask_from(r->from, &q);
    const char *peer = strchr(a.text, ' '), *want = dropped ? "TIMEOUT" : r->want;
    bool v6 = strchr(r->to, ':');
    if (strncmp(a.text, want, strlen(want)) != 0)
        fail_msg("rows %s: %s -> %s:%u: want %s, got %s", r->rows, hosts[r->from].name, r->to,
                 r->port, r->want, a.text);
    if (!peer || r->from == NODE)
        return;
    bool seen = !streq(peer + 1, v6 ? hosts[r->from].v6 : hosts[r->from].v4);
    if (seen != r->masqueraded)
        fail_msg("rows %s: %s -> %s:%u: masqueraded %d, want %d: %s", r->rows, hosts[r->from].name,
                 r->to, r->port, seen, r->masqueraded, a.text);
}

/* The first neighbour discovery of a fresh link takes a second or more. */
static void warm_up(void)
{
    struct request q = {.port = 8080, .proto = T};
    for (int from = 0; from < N_HOSTS; from++)
        for (int to = 0; to < NODE; to++)
            for (int i = 0; i < 8; i++) {
                snprintf(q.ip, sizeof(q.ip), "%s", hosts[to].v6);
                if (from == to || strchr(ask_from(from, &q).text, ':'))
                    break;
            }
}

static void test_rows_13_to_36_table(void **state)
{
    (void)state;
    warm_up();
    for (size_t i = 0; i < ARRAY_LEN(table); i++) {
        assert_evaluates(&table[i]);
        assert_kernel_agrees(&table[i]);
    }
}

static void test_row_28_uniform_choice(void **state)
{
    (void)state;
    unsigned a = 0, n = 300;
    struct request q = {.ip = "10.96.0.3", .port = 80, .proto = T};
    for (unsigned i = 0; i < n; i++)
        a += ask_from(OUTSIDE, &q).text[0] == 'a';
    assert_in_range(a, 100, 200); /* 5.8 standard deviations */
}

static void test_row_8_ports_differ_per_endpoint(void **state)
{
    (void)state;
    bool seen[2] = {false, false};
    struct request q = {.ip = "10.96.0.4", .port = 80, .proto = T};
    for (int i = 0; i < 64 && !(seen[0] && seen[1]); i++) {
        struct answer r = ask_from(POD_B, &q);
        seen[0] = seen[0] || strncmp(r.text, "a:8080", 6) == 0;
        seen[1] = seen[1] || strncmp(r.text, "a:8081", 6) == 0;
    }
    assert_true(seen[0] && seen[1]);
}

static void test_row_38_udp_flows_follow_the_endpoints(void **state)
{
    (void)state;
    struct dataplane_endpoint to_b = ep("10.244.2.2", 9000);
    struct request q = {.ip = "10.96.0.1", .port = 53, .proto = U, .src_port = 5353};
    struct frontend f = frontends[1];
    struct dataplane_counters before, after;
    assert_int_equal(ask_from(OUTSIDE, &q).text[0], 'a');
    assert_int_equal(ask_from(OUTSIDE, &q).text[0], 'a');
    backend->ops->counters(backend, &before);
    f.endpoints = &to_b; /* the same source port: the old flow would go on for 30 s */
    apply(&f, 1, false);
    assert_int_equal(ask_from(OUTSIDE, &q).text[0], 'b');
    backend->ops->counters(backend, &after);
    assert_true(after.conntrack_removed > before.conntrack_removed);
    /* A healthy flow is left alone: serving while it drains. */
    f.endpoints = udp4;
    f.draining = &to_b;
    f.n_draining = 1;
    apply(&f, 1, false);
    assert_int_equal(ask_from(OUTSIDE, &q).text[0], 'b');
    /* No endpoint at all: the flow goes, and the next packet is rejected. */
    f.n_endpoints = f.n_draining = 0;
    apply(&f, 1, false);
    assert_string_equal(ask_from(OUTSIDE, &q).text, "REJECT");
    apply(&frontends[1], 1, false);
    assert_int_equal(ask_from(OUTSIDE, &q).text[0], 'a');
}

/* Connections that are there go on whatever becomes of their endpoint; only new ones are rejected.
 */
static void test_rows_37_39_connections_are_never_cut(void **state)
{
    static const int from[] = {POD_B, OUTSIDE, NODE};
    struct dataplane_endpoint kept = ep("10.244.1.2", 8090), other = ep("10.244.2.2", 8090);
    struct frontend f = fe("10.96.0.9", AF_INET, T, 90, DATAPLANE_CLUSTER, &kept, 1);
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(from); i++) {
        struct request q = {.ip = "10.96.0.9", .port = 90, .proto = T, .op = OPEN};
        f.removed = false;
        f.endpoints = &kept;
        f.n_endpoints = 1;
        apply(&f, 1, false);
        assert_string_equal(ask_from(from[i], &q).text, "a");
        q.op = AGAIN;
        f.endpoints = &other; /* another endpoint instead */
        apply(&f, 1, false);
        assert_string_equal(ask_from(from[i], &q).text, "a");
        f.n_endpoints = 0; /* none: the next connection is rejected, this one is not */
        apply(&f, 1, false);
        assert_string_equal(ask_from(from[i], &q).text, "a");
        q.op = ONCE;
        assert_string_equal(ask_from(from[i], &q).text, "REJECT");
        q.op = AGAIN;
        f.removed = true; /* the Service is gone */
        apply(&f, 1, false);
        assert_string_equal(ask_from(from[i], &q).text, "a");
    }
}

/* The same for a connection that was there before its destination became a Service's address. */
static void test_row_37_connections_from_before_go_on(void **state)
{
    struct request q = {.ip = "10.244.1.2", .port = 8090, .proto = T, .op = OPEN};
    struct frontend f = fe("10.244.1.2", AF_INET, T, 8090, DATAPLANE_EXTERNAL, NULL, 0);
    (void)state;
    assert_string_equal(ask_from(POD_B, &q).text, "a");
    apply(&f, 1, false);
    q.op = AGAIN;
    assert_string_equal(ask_from(POD_B, &q).text, "a");
    q.op = ONCE;
    assert_string_equal(ask_from(POD_B, &q).text, "REJECT");
    f.removed = true;
    apply(&f, 1, false);
}

/* Restarts the backend with these addresses for node ports; frontends stay as they are. */
static void reopen(const struct dataplane_config *c)
{
    struct err e = {0};
    backend->ops->free(backend);
    if (nftables_open(c, &backend, &e) < 0)
        fail_msg("%s", err_text(&e));
    apply(frontends, n_frontends, true);
}

static void assert_node_port(int from, const char *ip, const char *want)
{
    struct request q = {.port = 30080, .proto = T};
    snprintf(q.ip, sizeof(q.ip), "%s", ip);
    struct answer a = ask_from(from, &q);
    if (strncmp(a.text, want, strlen(want)) != 0)
        fail_msg("node port at %s: want %s, got %s", ip, want, a.text);
}

/* The node's own traffic leaves under the address of the way it takes. */
static void test_row_22_the_node_is_masqueraded(void **state)
{
    struct request q = {.ip = "203.0.113.3", .src = "192.0.2.77", .port = 80, .proto = T};
    (void)state;
    sh("ip addr add 192.0.2.77/32 dev lo");
    assert_string_equal(ask_from(NODE, &q).text, "out:8080 198.51.100.1");
    snprintf(q.ip, sizeof(q.ip), "198.51.100.2");
    q.port = 8080;
    assert_string_equal(ask_from(NODE, &q).text, "out:8080 192.0.2.77"); /* not by us else */
    sh("ip addr del 192.0.2.77/32 dev lo");
}

/* Without anything that tells pods from others, pods are others: no short cut to endpoints of other
 * nodes, and their addresses are kept. */
static void test_row_23_policy_local_without_a_detector(void **state)
{
    struct dataplane_config c = {.masquerade_all = false};
    struct request q = {.ip = "203.0.113.3", .port = 80, .proto = T};
    (void)state;
    reopen(&c);
    assert_string_equal(ask_from(POD_B, &q).text, "a:8080 10.244.2.2");
    assert_string_equal(ask_from(OUTSIDE, &q).text, "a:8080 198.51.100.2");
    assert_memory_equal(ask_from(NODE, &q).text, "out:8080", 8);
    snprintf(q.ip, sizeof(q.ip), "203.0.113.4");
    q.wait_ms = DROP_MS;
    assert_string_equal(ask_from(POD_B, &q).text, "TIMEOUT");
    assert_memory_equal(ask_from(NODE, &q).text, "out:8080", 8);
    c = (struct dataplane_config){.cluster_cidrs = pods, .n_cluster_cidrs = 2};
    reopen(&c);
    assert_string_equal(ask_from(POD_B, &q).text, "out:8080 10.244.2.2");
}

/* Each of several local endpoints is chosen, and no other; the policy is switched live. */
static void test_rows_22_30_local_endpoints_come_and_go(void **state)
{
    struct dataplane_endpoint all[3] = {ep("10.244.1.2", 8080), ep("10.244.2.2", 8080),
                                        ep("198.51.100.2", 8080)};
    struct request q = {.ip = "203.0.113.9", .port = 80, .proto = T};
    struct frontend f = fe_local("203.0.113.9", AF_INET, 80, DATAPLANE_EXTERNAL_LOCAL, all, all);
    bool seen[2] = {false, false};
    (void)state;
    f.n_endpoints = 3;
    f.n_local = 2;
    apply(&f, 1, false);
    for (int i = 0; i < 100; i++) {
        struct answer a = ask_from(OUTSIDE, &q);
        assert_true(a.text[0] == 'a' || a.text[0] == 'b');
        assert_non_null(strstr(a.text, " 198.51.100.2"));
        seen[a.text[0] == 'b'] = true;
    }
    assert_true(seen[0] && seen[1]);
    f.n_local = 1;
    apply(&f, 1, false);
    for (int i = 0; i < 20; i++)
        assert_int_equal(ask_from(OUTSIDE, &q).text[0], 'a');
    f.n_local = 0;
    apply(&f, 1, false);
    q.wait_ms = DROP_MS;
    assert_string_equal(ask_from(OUTSIDE, &q).text, "TIMEOUT");
    f.policy = DATAPLANE_EXTERNAL;
    apply(&f, 1, false);
    assert_non_null(strstr(ask_from(OUTSIDE, &q).text, ":8080 "));
    f.removed = true;
    apply(&f, 1, false);
    assert_string_equal(ask_from(OUTSIDE, &q).text, "TIMEOUT");
}

static void test_row_16_node_port_addresses(void **state)
{
    static const struct prefix some[] = {{{AF_INET, {198, 51, 100}}, 24},
                                         {{AF_INET6, {0xfd, 0x99, [15] = 1}}, 128}},
                               v4[] = {{{AF_INET, {198, 51, 100, 1}}, 32}};
    struct dataplane_config c = {.cluster_cidrs = pods,
                                 .n_cluster_cidrs = 2,
                                 .node_port_addresses = some,
                                 .n_node_port_addresses = 2};
    (void)state;
    assert_node_port(POD_B, "10.244.1.1", "a:8080");  /* by default every address, */
    assert_node_port(NODE, "127.0.0.1", "REJECT");    /* but never loopback */
    assert_node_port(OUTSIDE, "203.0.113.1", "TIME"); /* nor one that is not the node's */
    reopen(&c);
    assert_node_port(POD_B, "10.244.1.1", "REJECT");
    assert_node_port(POD_B, "198.51.100.1", "a:8080");
    assert_node_port(OUTSIDE, "fd99::1", "a:8080");
    assert_node_port(OUTSIDE, "fd44:1::1", "REJECT");
    sh("ip addr add 198.51.100.77/24 dev v2"); /* counts from the moment it is there */
    assert_node_port(OUTSIDE, "198.51.100.77", "a:8080");
    sh("ip addr del 198.51.100.77/24 dev v2");
    c.node_port_addresses = v4; /* a family that is not named has none */
    c.n_node_port_addresses = 1;
    reopen(&c);
    assert_node_port(OUTSIDE, "198.51.100.1", "a:8080");
    assert_node_port(OUTSIDE, "fd99::1", "REJECT");
    c.n_node_port_addresses = 0;
    reopen(&c);
    assert_node_port(OUTSIDE, "fd99::1", "a:8080");
}

static void test_row_47_restart_keeps_traffic(void **state)
{
    static const struct dataplane_config c = {.cluster_cidrs = pods, .n_cluster_cidrs = 2};
    struct request q = {.ip = "10.96.0.1", .port = 80, .proto = T};
    struct err e = {0};
    (void)state;
    backend->ops->free(backend);
    assert_int_equal(ask_from(POD_B, &q).text[0], 'a'); /* without an agent */
    assert_int_equal(nftables_open(&c, &backend, &e), 0);
    assert_int_equal(ask_from(POD_B, &q).text[0], 'a'); /* taken over, nothing applied yet */
    apply(frontends, n_frontends, true);
    assert_int_equal(ask_from(POD_B, &q).text[0], 'a');
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_13_to_36_table),
        cmocka_unit_test(test_row_28_uniform_choice),
        cmocka_unit_test(test_row_8_ports_differ_per_endpoint),
        cmocka_unit_test(test_row_38_udp_flows_follow_the_endpoints),
        cmocka_unit_test(test_rows_37_39_connections_are_never_cut),
        cmocka_unit_test(test_row_37_connections_from_before_go_on),
        cmocka_unit_test(test_rows_22_30_local_endpoints_come_and_go),
        cmocka_unit_test(test_row_22_the_node_is_masqueraded),
        cmocka_unit_test(test_row_23_policy_local_without_a_detector),
        cmocka_unit_test(test_row_16_node_port_addresses),
        cmocka_unit_test(test_row_47_restart_keeps_traffic),
    };
    if (geteuid() != 0 || system("command -v ip >/dev/null") != 0 || !network_up()) {
        fprintf(stderr, "skipped: needs root, ip(8) and network namespaces\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, install, remove_all);
}
