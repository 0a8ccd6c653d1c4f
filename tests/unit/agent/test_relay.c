/* Row 17: the relay of node ports on loopback, against servers of the test's own on 127.0.0.1 and
 * ::1. The test's thread blocks; the relay has its own. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include "agent/relay.h"
#include "base/time.h"
#include "test.h"

enum { WAIT_MS = 10000, BULK_BYTES = 3 * 1024 * 1024 };

struct server {
    int fd;
    uint16_t port;
};

static struct sockaddr_storage address(int family, uint16_t port, socklen_t *ret_len)
{
    struct sockaddr_storage sa;
    struct ip ip = {.family = AF_INET, .bytes = {127, 0, 0, 1}};
    if (family == AF_INET6)
        ip = (struct ip){.family = AF_INET6, .bytes = {[15] = 1}};
    *ret_len = ip_to_sockaddr(&ip, port, &sa);
    return sa;
}

static struct server server_up(int family)
{
    socklen_t len;
    struct sockaddr_storage sa = address(family, 0, &len);
    struct ip ip;
    struct server s = {.fd = socket(family, SOCK_STREAM, 0)};
    assert_true(s.fd >= 0);
    assert_int_equal(bind(s.fd, (struct sockaddr *)&sa, len), 0);
    assert_int_equal(listen(s.fd, 16), 0);
    assert_int_equal(getsockname(s.fd, (struct sockaddr *)&sa, &len), 0);
    assert_ok(ip_from_sockaddr((struct sockaddr *)&sa, &ip, &s.port));
    return s;
}

/* A port nobody listens at. */
static uint16_t unused_port(int family)
{
    struct server s = server_up(family);
    close(s.fd);
    return s.port;
}

static int client(int family, uint16_t port)
{
    socklen_t len;
    struct sockaddr_storage sa = address(family, port, &len);
    int fd = socket(family, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&sa, len) == 0)
        return fd;
    close(fd);
    return -1;
}

static bool readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, WAIT_MS) == 1;
}

static int accepted(const struct server *s)
{
    assert_true(readable(s->fd));
    return accept(s->fd, NULL, NULL);
}

static struct frontend frontend(int family, uint16_t port, const struct dataplane_endpoint *e,
                                size_t n)
{
    return (struct frontend){
        .key = {.family = (uint8_t)family, .node_port = 1, .proto = IPPROTO_TCP, .port = port},
        .policy = DATAPLANE_EXTERNAL,
        .endpoints = e,
        .n_endpoints = n};
}

static struct dataplane_endpoint endpoint(int family, uint16_t port)
{
    struct dataplane_endpoint e = {.port = port, .ip = {127, 0, 0, 1}};
    if (family == AF_INET6)
        e = (struct dataplane_endpoint){.port = port, .ip = {[15] = 1}};
    return e;
}

/* Until so many are listened at: what was told before has been done. */
static struct relay_counters settled(struct relay *r, uint64_t v4, uint64_t v6)
{
    struct relay_counters c;
    uint64_t end = time_mono_ms() + WAIT_MS;
    do {
        relay_get_counters(r, &c);
        poll(NULL, 0, 1);
    } while ((c.listeners[0] != v4 || c.listeners[1] != v6) && time_mono_ms() < end);
    assert_int_equal(c.listeners[0], v4);
    assert_int_equal(c.listeners[1], v6);
    return c;
}

static struct relay *relay_up(bool v4, bool v6)
{
    const struct relay_options o = {.families = {v4, v6}};
    struct relay *r;
    assert_ok(relay_new(&o, &r, NULL));
    return r;
}

static void exchange(int a, int b)
{
    char text[6] = "";
    assert_int_equal(write(a, "hello", 5), 5);
    assert_true(readable(b));
    assert_int_equal(recv(b, text, 5, MSG_WAITALL), 5);
    assert_string_equal(text, "hello");
}

static void test_row_17_both_families_both_ways(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        int family = i ? AF_INET6 : AF_INET;
        struct relay *r = relay_up(!i, i);
        struct server s = server_up(family);
        struct dataplane_endpoint e = endpoint(family, s.port);
        struct frontend f = frontend(family, unused_port(family), &e, 1);
        struct frontend other = frontend(i ? AF_INET : AF_INET6, f.key.port, &e, 1);
        relay_set(r, &other); /* a family that is not asked for */
        relay_set(r, &f);
        settled(r, !i, i);
        int c = client(family, f.key.port);
        int back = accepted(&s);
        exchange(c, back);
        exchange(back, c);
        /* One side ends, the other goes on. */
        char byte;
        assert_int_equal(shutdown(c, SHUT_WR), 0);
        assert_true(readable(back));
        assert_int_equal(read(back, &byte, 1), 0);
        exchange(back, c);
        close(back);
        assert_true(readable(c));
        assert_int_equal(read(c, &byte, 1), 0);
        close(c);
        close(s.fd);
        relay_free(r);
    }
}

/* More than pipes and socket buffers hold, and a reader who is late. */
static void test_row_17_bulk(void **state)
{
    static char out[BULK_BYTES], in[BULK_BYTES];
    struct relay *r = relay_up(true, false);
    struct server s = server_up(AF_INET);
    struct dataplane_endpoint e = endpoint(AF_INET, s.port);
    struct frontend f = frontend(AF_INET, unused_port(AF_INET), &e, 1);
    (void)state;
    for (size_t i = 0; i < sizeof(out); i++)
        out[i] = (char)(i * 2654435761u >> 13);
    relay_set(r, &f);
    settled(r, 1, 0);
    int c = client(AF_INET, f.key.port), back = accepted(&s);
    size_t sent = 0, got = 0;
    while (got < sizeof(in)) {
        ssize_t n = sent < sizeof(out)
                        ? send(c, out + sent, sizeof(out) - sent, MSG_DONTWAIT | MSG_NOSIGNAL)
                        : -1;
        sent += n > 0 ? (size_t)n : 0;
        if (n > 0)
            continue; /* until nothing goes in any more */
        assert_true(readable(back));
        n = recv(back, in + got, sizeof(in) - got, MSG_DONTWAIT);
        assert_true(n > 0);
        got += (size_t)n;
    }
    assert_memory_equal(in, out, sizeof(in));
    close(c);
    close(back);
    close(s.fd);
    relay_free(r);
}

static void test_row_17_what_is_not_served(void **state)
{
    struct relay *r = relay_up(true, false);
    struct server s = server_up(AF_INET);
    struct dataplane_endpoint e = endpoint(AF_INET, s.port);
    struct frontend f = frontend(AF_INET, unused_port(AF_INET), &e, 1), g = f;
    struct frontend taken = frontend(AF_INET, s.port, &e, 1);
    (void)state;
    g.key.proto = IPPROTO_UDP;
    relay_set(r, &g);
    g = f;
    g.key.node_port = 0;
    relay_set(r, &g);
    g = f;
    g.n_endpoints = 0;
    relay_set(r, &g);
    relay_set(r, &taken);
    relay_set(r, &f);
    assert_int_equal(settled(r, 1, 0).failures[0], 1);
    /* It goes, and what is open with it. */
    int c = client(AF_INET, f.key.port), back = accepted(&s);
    char byte;
    exchange(c, back);
    g = f;
    g.removed = true;
    relay_set(r, &g);
    settled(r, 0, 0);
    assert_true(readable(c));
    assert_true(read(c, &byte, 1) <= 0);
    assert_int_equal(client(AF_INET, f.key.port), -1);
    close(c);
    close(back);
    /* An endpoint that refuses: the client is told by the end. */
    struct dataplane_endpoint dead = endpoint(AF_INET, unused_port(AF_INET));
    f.endpoints = &dead;
    relay_set(r, &f);
    settled(r, 1, 0);
    c = client(AF_INET, f.key.port);
    assert_true(readable(c));
    assert_true(read(c, &byte, 1) <= 0);
    struct relay_counters counters;
    relay_get_counters(r, &counters);
    assert_int_equal(counters.unreachable, 1);
    close(c);
    /* Who had the port goes: it is ours within the second. */
    close(s.fd);
    assert_int_equal(settled(r, 2, 0).failures[0], 1);
    relay_free(r);
}

/* Which server a new connection comes to. */
static int reached(const struct server s[2], uint16_t port)
{
    struct pollfd p[2] = {{.fd = s[0].fd, .events = POLLIN}, {.fd = s[1].fd, .events = POLLIN}};
    int c = client(AF_INET, port);
    assert_true(c >= 0);
    assert_int_equal(poll(p, 2, WAIT_MS), 1);
    int which = p[0].revents ? 0 : 1;
    close(accept(s[which].fd, NULL, NULL));
    close(c);
    return which;
}

static void test_row_17_choice(void **state)
{
    struct relay *r = relay_up(true, false);
    struct server s[2] = {server_up(AF_INET), server_up(AF_INET)};
    struct dataplane_endpoint e[2] = {endpoint(AF_INET, s[0].port), endpoint(AF_INET, s[1].port)};
    struct frontend f = frontend(AF_INET, unused_port(AF_INET), e, 2);
    int seen[2] = {0};
    (void)state;
    relay_set(r, &f);
    settled(r, 1, 0);
    for (int i = 0; i < 64; i++)
        seen[reached(s, f.key.port)]++;
    assert_true(seen[0] && seen[1]);
    /* Affinity: always the same one, until it is not there any more. */
    f.affinity_s = 1000;
    relay_set(r, &f);
    f.key.port = unused_port(AF_INET); /* what is told in order is done in order */
    relay_set(r, &f);
    settled(r, 2, 0);
    int first = reached(s, f.key.port);
    for (int i = 0; i < 32; i++)
        assert_int_equal(reached(s, f.key.port), first);
    f.endpoints = &e[!first];
    f.n_endpoints = 1;
    relay_set(r, &f);
    struct frontend last = frontend(AF_INET, unused_port(AF_INET), e, 1);
    relay_set(r, &last);
    settled(r, 3, 0);
    assert_int_equal(reached(s, f.key.port), !first);
    /* externalTrafficPolicy Local: only what is here. */
    last.policy = DATAPLANE_EXTERNAL_LOCAL;
    last.n_endpoints = 2;
    last.local = &e[1];
    last.n_local = 1;
    relay_set(r, &last);
    struct frontend gone = f;
    gone.removed = true;
    relay_set(r, &gone);
    settled(r, 2, 0);
    for (int i = 0; i < 16; i++)
        assert_int_equal(reached(s, last.key.port), 1);
    last.n_local = 0;
    relay_set(r, &last);
    settled(r, 1, 0);
    close(s[0].fd);
    close(s[1].fd);
    relay_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_row_17_both_families_both_ways),
        cmocka_unit_test(test_row_17_bulk),
        cmocka_unit_test(test_row_17_what_is_not_served),
        cmocka_unit_test(test_row_17_choice),
    };
    return RUN_TESTS(tests);
}
