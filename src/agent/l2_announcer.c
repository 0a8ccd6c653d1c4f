/* Two packet sockets for all interfaces, of ARP and of neighbour solicitations (a filter lets no
 * others wake us), opened with the first address of a family. For each IPv6 address a socket of its
 * own is a member of the group where one asks for it, so that hardware and switches let the
 * questions through. Interfaces are looked at every few seconds: Ethernet, up, and no part of
 * another one (what arrives at a port of a bridge arrives at the bridge, too). */
#include "agent/l2_announcer.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/epoll.h>

#include "base/log.h"
#include "base/map.h"
#include "base/time.h"
#include "base/vec.h"
#include "codec/arp.h"
#include "codec/ndp.h"
#include "nl/rtnl.h"

enum {
    BATCH = 128, /* packets before others have a turn */
    LOOK_MS = 5 * 1000,
    CONFLICT_LOG_MS = 10 * 1000,
    TIMES = 6, /* a new address is told */
};

/* After the first time, which is at once. */
static const uint64_t pauses_ms[TIMES - 1] = {100, 200, 400, 800, 1600};

struct announced {
    struct ip ip;
    int group_fd;   /* -1: IPv4 */
    unsigned told;  /* times */
    uint64_t at_ms; /* when next */
};

struct family {
    int fd; /* -1: nobody needs it */
    struct loop_io *io;
    struct loop_call more;
    struct l2_announcer *owner;
    bool v6;
};

struct l2_announcer {
    struct loop *loop;
    struct l2_announcer_options options;
    struct nl_socket *links_socket;
    VEC(struct rtnl_link) links;
    struct family families[2];
    struct map addresses; /* bytes -> struct announced */
    struct loop_timer *tell, *look;
    uint64_t conflict_logged_ms;
    struct l2_announcer_stats stats;
};

static const uint8_t everybody[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static struct str key_of(const struct ip *ip)
{
    return str_of(ip->bytes, ip_bytes(ip));
}

static const struct rtnl_link *link_of(const struct l2_announcer *a, unsigned index)
{
    VEC_FOREACH (l, &a->links)
        if (l->index == index)
            return l;
    return NULL;
}

/* ---- sending ---- */

static void send_packet(struct l2_announcer *a, bool v6, const struct rtnl_link *l,
                        const uint8_t to[6], const void *p, size_t n)
{
    struct sockaddr_ll address = {.sll_family = AF_PACKET,
                                  .sll_protocol = htons(v6 ? ETH_P_IPV6 : ETH_P_ARP),
                                  .sll_ifindex = (int)l->index,
                                  .sll_halen = 6};
    memcpy(address.sll_addr, to, 6);
    /* What does not go out now is asked for again, or told again. */
    IGNORE_RESULT(sendto(a->families[v6].fd, p, n, MSG_DONTWAIT, (const struct sockaddr *)&address,
                         sizeof(address)));
}

static void send_arp(struct l2_announcer *a, const struct rtnl_link *l, struct arp *m,
                     const uint8_t to[6])
{
    uint8_t bytes[ARP_BYTES];
    memcpy(m->sender_mac, l->mac, 6);
    arp_format(m, bytes);
    send_packet(a, false, l, to, bytes, sizeof(bytes));
}

static void send_advertisement(struct l2_announcer *a, const struct rtnl_link *l,
                               const struct ip *target, const struct ip *destination,
                               bool solicited, const uint8_t to[6])
{
    uint8_t bytes[NDP_ADVERTISEMENT_BYTES];
    struct ndp_advertisement m = {.source = *target,
                                  .destination = *destination,
                                  .target = *target,
                                  .solicited = solicited,
                                  .override = true};
    memcpy(m.mac, l->mac, 6);
    ndp_format_advertisement(&m, bytes);
    send_packet(a, true, l, to, bytes, sizeof(bytes));
}

static struct ip all_nodes(void)
{
    return (struct ip){.family = AF_INET6, .bytes = {0xff, 2, [15] = 1}};
}

/* Both forms of ARP, since some take only one of them. */
static void tell_by(struct l2_announcer *a, const struct rtnl_link *l, const struct ip *ip)
{
    if (ip->family == AF_INET) {
        struct arp m = {.operation = ARP_REQUEST, .sender = *ip, .target = *ip};
        send_arp(a, l, &m, everybody);
        m.operation = ARP_REPLY;
        memcpy(m.target_mac, l->mac, 6);
        send_arp(a, l, &m, everybody);
    } else {
        const struct ip all = all_nodes();
        uint8_t to[6];
        ndp_multicast_mac(&all, to);
        send_advertisement(a, l, ip, &all, false, to);
    }
    a->stats.told++;
}

static void tell(struct l2_announcer *a, const struct announced *n)
{
    VEC_FOREACH (l, &a->links)
        if (a->options.allows(&n->ip, l->name, a->options.user))
            tell_by(a, l, &n->ip);
}

/* All whose time has come. */
static void on_tell(void *user)
{
    struct l2_announcer *a = user;
    uint64_t now = time_mono_ms(), next = UINT64_MAX;
    void *value;
    for (size_t at = 0; map_next(&a->addresses, &at, NULL, &value);) {
        struct announced *n = value;
        if (n->told < TIMES && n->at_ms <= now) {
            tell(a, n);
            n->at_ms = now + pauses_ms[MIN(n->told, (unsigned)TIMES - 2)];
            n->told++;
        }
        if (n->told < TIMES)
            next = MIN(next, n->at_ms);
    }
    if (next != UINT64_MAX)
        loop_timer_start(a->tell, next > now ? next - now : 0);
}

/* ---- receiving ---- */

static void on_conflict(struct l2_announcer *a, const struct ip *ip, const uint8_t mac[6])
{
    uint64_t now = time_mono_ms();
    char text[IP_TEXT_BYTES], other[18];
    a->stats.conflicts++;
    if (a->conflict_logged_ms && now - a->conflict_logged_ms < CONFLICT_LOG_MS)
        return;
    a->conflict_logged_ms = now;
    snprintf(other, sizeof(other), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3],
             mac[4], mac[5]);
    log_warn("somebody else says that an announced address is his",
             kv_s("address", ip_format(ip, text)), kv_s("hardware", other));
}

static bool is_ours(const struct l2_announcer *a, const uint8_t mac[6])
{
    VEC_FOREACH (l, &a->links)
        if (memcmp(l->mac, mac, 6) == 0)
            return true;
    return false;
}

static const struct announced *find(const struct l2_announcer *a, const struct ip *ip,
                                    const struct rtnl_link *l)
{
    const struct announced *n = map_find(&a->addresses, key_of(ip));
    return n && a->options.allows(ip, l->name, a->options.user) ? n : NULL;
}

static void on_arp(struct l2_announcer *a, const struct rtnl_link *l, struct str packet,
                   const uint8_t from[6])
{
    struct arp m;
    (void)from;
    if (arp_parse(packet, &m) < 0)
        return;
    if (find(a, &m.sender, l) && !is_ours(a, m.sender_mac))
        on_conflict(a, &m.sender, m.sender_mac);
    if (m.operation != ARP_REQUEST || ip_eq(&m.sender, &m.target) || !find(a, &m.target, l))
        return;
    a->stats.requests++;
    struct arp answer = {.operation = ARP_REPLY, .sender = m.target, .target = m.sender};
    memcpy(answer.target_mac, m.sender_mac, 6);
    send_arp(a, l, &answer, m.sender_mac);
    a->stats.answers++;
}

static void on_solicitation(struct l2_announcer *a, const struct rtnl_link *l, struct str packet,
                            const uint8_t from[6])
{
    static const struct ip nobody = {.family = AF_INET6};
    struct ndp_solicitation s;
    uint8_t to[6];
    if (ndp_parse_solicitation(packet, &s) < 0 || !find(a, &s.target, l))
        return;
    a->stats.requests++;
    bool probes = ip_eq(&s.source, &nobody); /* somebody who wants it for himself: all hear it */
    struct ip destination = probes ? all_nodes() : s.source;
    if (probes)
        ndp_multicast_mac(&destination, to);
    else
        memcpy(to, s.has_mac ? s.mac : from, 6);
    if (probes && !is_ours(a, from))
        on_conflict(a, &s.target, from);
    send_advertisement(a, l, &s.target, &destination, !probes, to);
    a->stats.answers++;
}

/* False: there is nothing more. */
static bool receive_one(struct family *f)
{
    struct l2_announcer *a = f->owner;
    char data[1600];
    struct sockaddr_ll from = {0};
    socklen_t n_from = sizeof(from);
    ssize_t n =
        recvfrom(f->fd, data, sizeof(data), MSG_DONTWAIT, (struct sockaddr *)&from, &n_from);
    if (n < 0)
        return errno == EINTR || errno == ENETDOWN;
    const struct rtnl_link *l = link_of(a, (unsigned)from.sll_ifindex);
    if (l && from.sll_pkttype != PACKET_OTHERHOST && from.sll_pkttype != PACKET_OUTGOING)
        (f->v6 ? on_solicitation : on_arp)(a, l, str_of(data, (size_t)n), from.sll_addr);
    return true;
}

static void receive(void *user)
{
    struct family *f = user;
    int i = 0;
    while (i < BATCH && receive_one(f))
        i++;
    if (i == BATCH)
        loop_defer_next(f->owner->loop, &f->more);
}

static void on_io(struct loop_io *io, uint32_t events, void *user)
{
    (void)io;
    (void)events;
    receive(user);
}

/* ---- sockets ---- */

/* From the network header on: requests and replies of ARP; neighbour solicitations that have not
 * been routed. */
static int set_filter(int fd, bool v6)
{
    struct sock_filter arp[] = {
        BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 6),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARP_REQUEST, 1, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARP_REPLY, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0xffff),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_filter solicitations[] = {
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 6),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IPPROTO_ICMPV6, 0, 5),
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 7),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 255, 0, 3),
        BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 40),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 135, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, 0xffff),
        BPF_STMT(BPF_RET | BPF_K, 0),
    };
    struct sock_fprog program = {
        .len = (unsigned short)(v6 ? ARRAY_LEN(solicitations) : ARRAY_LEN(arp)),
        .filter = v6 ? solicitations : arp};
    return setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)) < 0 ? -errno : 0;
}

/* The filter comes before the first packet: a socket of no protocol gets none. */
static int open_packets(bool v6)
{
    const struct sockaddr_ll all = {.sll_family = AF_PACKET,
                                    .sll_protocol = htons(v6 ? ETH_P_IPV6 : ETH_P_ARP)};
    AUTO_FD int fd = socket(AF_PACKET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    int r = set_filter(fd, v6);
    if (r == 0 && bind(fd, (const struct sockaddr *)&all, sizeof(all)) < 0)
        r = -errno;
    return r < 0 ? r : TAKE_FD(fd);
}

static int family_open(struct l2_announcer *a, bool v6)
{
    struct family *f = &a->families[v6];
    if (f->fd >= 0)
        return 0;
    int fd = open_packets(v6);
    if (fd < 0)
        return fd;
    int r = loop_io_add(a->loop, fd, on_io, f, &f->io);
    if (r < 0)
        close(fd);
    else
        f->fd = fd;
    return r;
}

static void family_close(struct family *f)
{
    loop_call_cancel(&f->more);
    loop_io_remove(f->io);
    if (f->fd >= 0)
        close(f->fd);
    f->io = NULL;
    f->fd = -1;
}

/* ---- interfaces ---- */

static void join(const struct l2_announcer *a, const struct announced *n)
{
    if (n->group_fd < 0)
        return;
    const struct ip group = ndp_solicited_node(&n->ip);
    VEC_FOREACH (l, &a->links) {
        struct ipv6_mreq m = {.ipv6mr_interface = l->index};
        memcpy(&m.ipv6mr_multiaddr, group.bytes, 16);
        /* It may be a member already, or the interface may be going. */
        IGNORE_RESULT(setsockopt(n->group_fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &m, sizeof(m)));
    }
}

static int on_link(const struct rtnl_link *l, void *user)
{
    struct l2_announcer *a = user;
    if (l->ethernet && !l->master && l->flags & IFF_UP && !(l->flags & (IFF_LOOPBACK | IFF_NOARP)))
        vec_push(&a->links, *l);
    return 0;
}

/* Was it here before, with this hardware address? */
static bool was_there(const struct rtnl_link *v, size_t n, const struct rtnl_link *l)
{
    for (size_t i = 0; i < n; i++)
        if (v[i].index == l->index && memcmp(v[i].mac, l->mac, 6) == 0)
            return true;
    return false;
}

static void read_links(struct l2_announcer *a)
{
    struct err err = {0};
    VEC(struct rtnl_link) before = {a->links.v, a->links.n, a->links.cap};
    a->links.v = NULL;
    a->links.n = a->links.cap = 0;
    if (rtnl_link_each(a->links_socket, on_link, a, &err) < 0) {
        log_warn("interfaces cannot be listed; those known are kept",
                 kv_s("cause", err_text(&err)));
        vec_done(&a->links);
        a->links.v = before.v;
        a->links.n = before.n;
        a->links.cap = before.cap;
        return;
    }
    bool changed = false;
    VEC_FOREACH (l, &a->links)
        changed = changed || !was_there(before.v, before.n, l);
    vec_done(&before);
    void *value;
    for (size_t at = 0; changed && map_next(&a->addresses, &at, NULL, &value);) {
        struct announced *n = value;
        join(a, n);
        n->told = 0;
        n->at_ms = 0;
    }
    if (changed && a->addresses.used)
        loop_timer_start(a->tell, 0);
}

static void on_look(void *user)
{
    struct l2_announcer *a = user;
    read_links(a);
    loop_timer_start(a->look, LOOK_MS);
}

/* ---- addresses ---- */

void l2_announcer_look(struct l2_announcer *a)
{
    void *value;
    for (size_t at = 0; map_next(&a->addresses, &at, NULL, &value);) {
        ((struct announced *)value)->told = 0;
        ((struct announced *)value)->at_ms = 0;
    }
    if (a->addresses.used)
        loop_timer_start(a->tell, 0);
}

void l2_announcer_add(struct l2_announcer *a, const struct ip *ip)
{
    bool v6 = ip->family == AF_INET6;
    char text[IP_TEXT_BYTES];
    if (map_find(&a->addresses, key_of(ip)))
        return;
    int r = family_open(a, v6);
    if (r < 0) {
        log_error("an address cannot be announced", kv_s("address", ip_format(ip, text)),
                  kv_s("cause", strerror(-r)),
                  kv_s("hint", r == -EPERM ? "this needs CAP_NET_RAW" : ""));
        return;
    }
    if (!a->links.n)
        read_links(a);
    struct announced *n = NEW(struct announced);
    n->ip = *ip;
    n->group_fd = v6 ? socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0) : -1;
    map_put(&a->addresses, key_of(ip), n);
    join(a, n);
    on_tell(a);
}

static void announced_free(struct announced *n)
{
    if (n && n->group_fd >= 0)
        close(n->group_fd);
    free(n);
}

void l2_announcer_remove(struct l2_announcer *a, const struct ip *ip)
{
    announced_free(map_remove(&a->addresses, key_of(ip)));
}

int l2_announcer_new(struct loop *l, const struct l2_announcer_options *o,
                     struct l2_announcer **ret, struct err *reterr)
{
    struct l2_announcer *a = NEW(struct l2_announcer);
    int r = nl_socket_new(NETLINK_ROUTE, &a->links_socket, reterr);
    if (r < 0) {
        free(a);
        return r;
    }
    a->loop = l;
    a->options = *o;
    for (int v6 = 0; v6 < 2; v6++) {
        a->families[v6] = (struct family){.fd = -1, .owner = a, .v6 = v6};
        loop_call_init(&a->families[v6].more, receive, &a->families[v6]);
    }
    a->tell = loop_timer_new(l, on_tell, a);
    a->look = loop_timer_new(l, on_look, a);
    loop_timer_start(a->look, 0);
    *ret = a;
    return 0;
}

void l2_announcer_free(struct l2_announcer *a)
{
    void *value;
    if (!a)
        return;
    family_close(&a->families[0]);
    family_close(&a->families[1]);
    loop_timer_free(a->tell);
    loop_timer_free(a->look);
    for (size_t at = 0; map_next(&a->addresses, &at, NULL, &value);)
        announced_free(value);
    map_done(&a->addresses);
    vec_done(&a->links);
    nl_socket_free(a->links_socket);
    free(a);
}

void l2_announcer_get_stats(const struct l2_announcer *a, struct l2_announcer_stats *ret)
{
    *ret = a->stats;
    ret->addresses = a->addresses.used;
    ret->interfaces = a->links.n;
}

bool l2_announcer_next(const struct l2_announcer *a, size_t *at, struct ip *ret)
{
    void *value;
    if (!map_next(&a->addresses, at, NULL, &value))
        return false;
    *ret = ((const struct announced *)value)->ip;
    return true;
}
