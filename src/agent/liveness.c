/* One socket, two timers: when to speak, and when somebody would have been silent for too long. Who
 * is known when this begins is taken to be there until it has been silent, so that an agent that
 * starts does not claim what others have. */
#include "agent/liveness.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/epoll.h>

#include "base/log.h"
#include "base/time.h"

enum {
    BATCH = 256, /* datagrams before others have a turn */
    GOOD_BYES = 3,
};

struct liveness {
    struct loop *loop;
    struct loop_io *io;
    struct loop_timer *speak, *look;
    struct loop_call more;
    int fd;
    uint8_t family;
    uint16_t port;
    char *node;
    char *key;
    size_t key_n;
    bool serves, has_peers;
    uint64_t spoke_ms;
    int64_t said_ms; /* the time in the last heartbeat */
    struct peer_table *peers;
    void (*on_change)(void *user);
    void *user;
    struct liveness_stats stats;
};

static struct str key_of(const struct liveness *l)
{
    return str_of(l->key, l->key_n);
}

static void look(struct liveness *l)
{
    uint64_t now = time_mono_ms(), next;
    bool changed = peer_table_look(l->peers, now, &next);
    if (next == UINT64_MAX)
        loop_timer_stop(l->look);
    else
        loop_timer_start(l->look, next > now ? next - now : 0);
    if (changed)
        l->on_change(l->user);
}

static void say(struct liveness *l)
{
    AUTO_DONE(buf) struct buf b = {0};
    struct ip ip;
    if (!l->key)
        return;
    l->said_ms = MAX(l->said_ms + 1, time_real_us() / 1000);
    const struct heartbeat h = {str_from(l->node), l->said_ms, l->serves};
    heartbeat_encode(&h, key_of(l), &b);
    for (size_t at = 0; peer_table_next(l->peers, &at, &ip);) {
        struct sockaddr_storage to;
        if (ip.family != l->family)
            continue;
        socklen_t n = ip_to_sockaddr(&ip, l->port, &to);
        if (sendto(l->fd, b.p, b.n, MSG_DONTWAIT, (const struct sockaddr *)&to, n) > 0)
            l->stats.sent++;
    }
}

static void on_speak(void *user)
{
    struct liveness *l = user;
    uint64_t now = time_mono_ms();
    /* We were stopped, not they. */
    if (l->spoke_ms && now - l->spoke_ms > LIVENESS_DEAD_MS / 2)
        peer_table_forgive(l->peers, false, now);
    l->spoke_ms = now;
    say(l);
    look(l);
    loop_timer_start(l->speak, LIVENESS_PERIOD_MS);
}

static void on_look(void *user)
{
    struct liveness *l = user;
    /* What waits to be read is heard first. */
    if (time_mono_ms() - l->spoke_ms <= LIVENESS_DEAD_MS / 2)
        look(l);
}

/* False: there is nothing more. */
static bool hear_one(struct liveness *l)
{
    char data[HEARTBEAT_BYTES_MAX + 1];
    struct heartbeat h;
    ssize_t n = recv(l->fd, data, sizeof(data), MSG_DONTWAIT);
    if (n < 0)
        return errno == EINTR || errno == ECONNREFUSED;
    if (l->key && heartbeat_decode(str_of(data, (size_t)n), key_of(l), &h) == 0 &&
        peer_table_hear(l->peers, &h, time_mono_ms(), time_real_us() / 1000))
        l->stats.received++;
    else
        l->stats.refused++;
    return true;
}

static void hear(void *user)
{
    struct liveness *l = user;
    int i = 0;
    while (i < BATCH && hear_one(l))
        i++;
    if (i == BATCH)
        loop_defer_next(l->loop, &l->more);
    look(l);
}

static void on_io(struct loop_io *io, uint32_t events, void *user)
{
    (void)io;
    (void)events;
    hear(user);
}

static int open_socket(uint8_t family, uint16_t port, struct err *reterr)
{
    struct sockaddr_storage any;
    const struct ip ip = {.family = family};
    int on = 1;
    int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_set(reterr, -errno, NULL, "no socket for heartbeats: %s", strerror(errno));
    if (family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
    socklen_t n = ip_to_sockaddr(&ip, port, &any);
    if (bind(fd, (const struct sockaddr *)&any, n) < 0) {
        int code = -errno;
        close(fd);
        return err_set(reterr, code, NULL, "UDP port %u for heartbeats: %s", port, strerror(-code));
    }
    return fd;
}

int liveness_new(struct loop *loop, const char *node, uint8_t family, uint16_t port,
                 void (*on_change)(void *user), void *user, struct liveness **ret,
                 struct err *reterr)
{
    int fd = open_socket(family, port, reterr);
    if (fd < 0)
        return fd;
    struct liveness *l = NEW(struct liveness);
    int r = loop_io_add(loop, fd, on_io, l, &l->io);
    if (r < 0) {
        close(fd);
        free(l);
        return err_set(reterr, r, NULL, "heartbeats cannot be waited for");
    }
    loop_call_init(&l->more, hear, l);
    l->loop = loop;
    l->fd = fd;
    l->family = family;
    l->port = port;
    l->node = xstrdup(node);
    l->on_change = on_change;
    l->user = user;
    l->peers = peer_table_new();
    l->speak = loop_timer_new(loop, on_speak, l);
    l->look = loop_timer_new(loop, on_look, l);
    loop_timer_start(l->speak, 0);
    *ret = l;
    return 0;
}

void liveness_free(struct liveness *l)
{
    if (!l)
        return;
    l->serves = false;
    for (int i = 0; i < GOOD_BYES; i++)
        say(l);
    loop_call_cancel(&l->more);
    loop_timer_free(l->speak);
    loop_timer_free(l->look);
    loop_io_remove(l->io);
    close(l->fd);
    peer_table_free(l->peers);
    free(l->node);
    free(l->key);
    free(l);
}

void liveness_set_key(struct liveness *l, struct str key)
{
    if (key.n == l->key_n && (!key.n || memcmp(key.p, l->key, key.n) == 0))
        return;
    free(l->key);
    l->key = key.n ? str_dup(key) : NULL;
    l->key_n = key.n;
    /* Nobody could be heard without it, and all change it at about the same time. */
    peer_table_forgive(l->peers, true, time_mono_ms());
    say(l);
    l->on_change(l->user);
}

void liveness_put_peer(struct liveness *l, const char *node, const struct ip *ip)
{
    if (!streq(node, l->node) && !peer_table_put(l->peers, node, ip, !l->has_peers, time_mono_ms()))
        log_warn("too many nodes for heartbeats; this one is taken for gone", kv_s("node", node),
                 kv_i("limit", LIVENESS_PEERS_MAX));
}

void liveness_end_peers(struct liveness *l)
{
    l->has_peers = true;
    peer_table_sweep(l->peers);
    look(l);
}

void liveness_set_serves(struct liveness *l, bool serves)
{
    if (l->serves == serves)
        return;
    l->serves = serves;
    say(l);
    l->on_change(l->user);
}

bool liveness_is_alive(const struct liveness *l, const char *node)
{
    return l->key && (streq(node, l->node) ? l->serves : peer_table_is_alive(l->peers, node));
}

void liveness_get_stats(const struct liveness *l, struct liveness_stats *ret)
{
    *ret = l->stats;
    ret->alive = peer_table_count_alive(l->peers);
}
