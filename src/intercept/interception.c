/* Two chains of NAT a family, and two that keep apart the pod's questions of DNS and the proxy's
 * own, which may have the same ports. Order matters: the first rule that fits decides. */
#include "intercept/interception.h"

#include <errno.h>
#include <net/if.h>

#include "base/err.h"

#define TABLE    INTERCEPTION_TABLE
#define OUTBOUND "outbound"
#define INBOUND  "inbound"
#define ASKED    "dns-asked"
#define ANSWERED "dns-answered"

enum {
    DSTNAT_PRIORITY = -100,
    RAW_PRIORITY = -300, /* before connections are looked up */
    DNS_PORT = 53,
    PROXYS_ZONE = 1,
    PODS_ZONE = 2,
    HBONE_PORT = 15008,
};

/* Ports of the proxy itself, which others ask: statistics, readiness, the pod's own probes. */
static const uint16_t own_ports[] = {HBONE_PORT, 15090, 15021, 15020};

/* ---- lists ---- */

static int for_each(const char *text, int (*fn)(struct str one, void *list, struct err *reterr),
                    void *list, struct err *reterr)
{
    struct str rest = str_from(text);
    int r = 0;
    while (rest.n && r == 0)
        r = fn(str_trim(str_cut(rest, ',', &rest)), list, reterr);
    return r;
}

static int read_port(struct str one, void *list, struct err *reterr)
{
    struct port_list *to = list;
    uint64_t n;
    if (!one.n)
        return 0;
    if (str_is(one, "*")) {
        to->all = true;
        return 0;
    }
    if (str_to_u64(one, &n) < 0 || n < 1 || n > 65535)
        return err_set(reterr, -EINVAL, NULL,
                       "'" STR_FMT "' is no port: numbers with commas "
                       "between them, or *",
                       STR_ARG(one));
    vec_push(&to->v, (uint16_t)n);
    return 0;
}

int port_list_read(const char *text, struct port_list *ret, struct err *reterr)
{
    return for_each(text, read_port, ret, reterr);
}

static int read_prefix(struct str one, void *list, struct err *reterr)
{
    struct prefix_list *to = list;
    struct prefix p;
    if (!one.n)
        return 0;
    if (str_is(one, "*")) {
        to->all = true;
        return 0;
    }
    if (prefix_parse(one, &p) < 0)
        return err_set(reterr, -EINVAL, NULL,
                       "'" STR_FMT "' is no network: 10.0.0.0/8 and the like "
                       "with commas between them, or *",
                       STR_ARG(one));
    vec_push(&to->v, p);
    return 0;
}

int prefix_list_read(const char *text, struct prefix_list *ret, struct err *reterr)
{
    return for_each(text, read_prefix, ret, reterr);
}

void interception_done(struct interception *i)
{
    vec_done(&i->inbound.v);
    vec_done(&i->inbound_except.v);
    vec_done(&i->outbound.v);
    vec_done(&i->dns.v);
    vec_done(&i->outbound_except.v);
    vec_done(&i->outbound_also.v);
    vec_done(&i->outbound_ports_except.v);
}

/* ---- what rules look at ---- */

static bool is_v6(const struct nfnl_batch *b)
{
    return b->family == NFPROTO_IPV6;
}

static bool is_of_family(const struct prefix *p, const struct nfnl_batch *b)
{
    return (p->ip.family == AF_INET6) == is_v6(b);
}

static void match_loopback_device(struct nfnl_batch *b)
{
    const char name[IFNAMSIZ] = "lo";
    nfnl_meta(b, NFT_META_OIFNAME, nfnl_reg(0));
    nfnl_cmp(b, NFT_CMP_EQ, nfnl_reg(0), name, sizeof(name));
}

static void match_ip(struct nfnl_batch *b, bool source, uint32_t op, const struct ip *ip)
{
    uint32_t at = is_v6(b) ? (source ? 8 : 24) : (source ? 12 : 16);
    size_t n = ip_bytes(ip);
    nfnl_payload(b, NFT_PAYLOAD_NETWORK_HEADER, at, (uint32_t)n, nfnl_reg(0));
    nfnl_cmp(b, op, nfnl_reg(0), ip->bytes, n);
}

static void match_prefix(struct nfnl_batch *b, const struct prefix *p)
{
    struct ip network = prefix_network(p);
    uint8_t mask[16] = {0}, none[16] = {0};
    size_t n = ip_bytes(&p->ip);
    for (unsigned bit = 0; bit < p->len; bit++)
        mask[bit / 8] = (uint8_t)(mask[bit / 8] | 0x80 >> bit % 8);
    nfnl_payload(b, NFT_PAYLOAD_NETWORK_HEADER, is_v6(b) ? 24 : 16, (uint32_t)n, nfnl_reg(0));
    nfnl_bitwise(b, nfnl_reg(0), nfnl_reg(0), mask, none, n);
    nfnl_cmp(b, NFT_CMP_EQ, nfnl_reg(0), network.bytes, n);
}

static void match_tcp(struct nfnl_batch *b)
{
    uint8_t tcp = IPPROTO_TCP;
    nfnl_meta(b, NFT_META_L4PROTO, nfnl_reg(0));
    nfnl_cmp(b, NFT_CMP_EQ, nfnl_reg(0), &tcp, 1);
}

/* Where the packet goes to, or comes from; of the protocol that has been matched. */
static void match_number(struct nfnl_batch *b, bool source, uint32_t op, uint16_t port)
{
    uint8_t number[] = {(uint8_t)(port >> 8), (uint8_t)port};
    nfnl_payload(b, NFT_PAYLOAD_TRANSPORT_HEADER, source ? 0 : 2, 2, nfnl_reg(0));
    nfnl_cmp(b, op, nfnl_reg(0), number, 2);
}

static void match_port(struct nfnl_batch *b, uint32_t op, uint16_t port)
{
    match_tcp(b);
    match_number(b, false, op, port);
}

static void match_udp(struct nfnl_batch *b, bool source, uint16_t port)
{
    uint8_t udp = IPPROTO_UDP;
    nfnl_meta(b, NFT_META_L4PROTO, nfnl_reg(0));
    nfnl_cmp(b, NFT_CMP_EQ, nfnl_reg(0), &udp, 1);
    match_number(b, source, NFT_CMP_EQ, port);
}

/* The socket's owner; key: NFT_META_SKUID or NFT_META_SKGID. */
static void match_owner(struct nfnl_batch *b, uint32_t key, uint32_t op, uint32_t id)
{
    nfnl_meta(b, key, nfnl_reg(0));
    nfnl_cmp(b, op, nfnl_reg(0), &id, sizeof(id));
}

static void redirect(struct nfnl_batch *b, uint16_t port)
{
    uint8_t number[] = {(uint8_t)(port >> 8), (uint8_t)port};
    nfnl_immediate(b, nfnl_reg(0), number, 2);
    nfnl_redirect(b, nfnl_reg(0));
}

/* A rule of the chain: what it looks at, then what becomes of it. */
#define RULE(b, chain, ...)                                                                        \
    do {                                                                                           \
        nfnl_rule_begin(b, chain);                                                                 \
        __VA_ARGS__;                                                                               \
        nfnl_rule_end(b);                                                                          \
    } while (0)
#define RETURN(b) nfnl_verdict(b, NFT_RETURN, NULL)

/* ---- outbound ---- */

/* What the proxy sends is let through; but to its own pod, under a Service's name, it goes in by
 * the front door. What the app says to itself it says to itself. */
static void write_owner(const struct interception *i, struct nfnl_batch *b, uint32_t key,
                        uint32_t id, const struct ip *loopback)
{
    RULE(b, OUTBOUND, match_loopback_device(b); match_ip(b, false, NFT_CMP_NEQ, loopback);
         match_port(b, NFT_CMP_NEQ, HBONE_PORT); match_owner(b, key, NFT_CMP_EQ, id);
         redirect(b, i->inbound_port));
    RULE(b, OUTBOUND, match_loopback_device(b); match_owner(b, key, NFT_CMP_NEQ, id); RETURN(b));
    RULE(b, OUTBOUND, match_owner(b, key, NFT_CMP_EQ, id); RETURN(b));
}

/* ---- DNS ---- */

/* What the pod asks its name servers; all: whoever else it asks, but itself (write_dns_all). */
static void write_dns(const struct interception *i, struct nfnl_batch *b)
{
    VEC_FOREACH (p, &i->dns.v) {
        if (!is_of_family(p, b))
            continue;
        RULE(b, OUTBOUND, match_ip(b, false, NFT_CMP_EQ, &p->ip); match_udp(b, false, DNS_PORT);
             redirect(b, i->dns_port));
        RULE(b, OUTBOUND, match_ip(b, false, NFT_CMP_EQ, &p->ip);
             match_port(b, NFT_CMP_EQ, DNS_PORT); redirect(b, i->dns_port));
    }
}

static void write_dns_all(const struct interception *i, struct nfnl_batch *b)
{
    RULE(b, OUTBOUND, match_udp(b, false, DNS_PORT); redirect(b, i->dns_port));
    RULE(b, OUTBOUND, match_port(b, NFT_CMP_EQ, DNS_PORT); redirect(b, i->dns_port));
}

static void set_zone(struct nfnl_batch *b, uint16_t zone)
{
    nfnl_immediate(b, nfnl_reg(0), &zone, sizeof(zone));
    nfnl_ct_set(b, NFT_CT_ZONE, nfnl_reg(0));
}

/* The proxy asks the same servers, from ports that the pod had a moment ago: what is remembered of
 * the pod's questions must not lead the proxy's to itself. */
static void write_zones(const struct interception *i, struct nfnl_batch *b)
{
    if (!i->dns.v.n && !i->dns.all)
        return;
    nfnl_chain_new(b, ASKED, "filter", NF_INET_LOCAL_OUT, RAW_PRIORITY);
    nfnl_chain_new(b, ANSWERED, "filter", NF_INET_PRE_ROUTING, RAW_PRIORITY);
    RULE(b, ASKED, match_udp(b, false, DNS_PORT);
         match_owner(b, NFT_META_SKUID, NFT_CMP_EQ, i->uid); set_zone(b, PROXYS_ZONE); RETURN(b));
    RULE(b, ASKED, match_udp(b, true, i->dns_port);
         match_owner(b, NFT_META_SKUID, NFT_CMP_EQ, i->uid); set_zone(b, PODS_ZONE); RETURN(b));
    VEC_FOREACH (p, &i->dns.v) {
        if (!is_of_family(p, b))
            continue;
        RULE(b, ASKED, match_ip(b, false, NFT_CMP_EQ, &p->ip); match_udp(b, false, DNS_PORT);
             set_zone(b, PODS_ZONE));
        RULE(b, ANSWERED, match_ip(b, true, NFT_CMP_EQ, &p->ip); match_udp(b, true, DNS_PORT);
             set_zone(b, PROXYS_ZONE));
    }
    if (i->dns.all) {
        RULE(b, ASKED, match_udp(b, false, DNS_PORT); set_zone(b, PODS_ZONE));
        RULE(b, ANSWERED, match_udp(b, true, DNS_PORT); set_zone(b, PROXYS_ZONE));
    }
}

static void write_outbound(const struct interception *i, struct nfnl_batch *b)
{
    const struct ip loopback = is_v6(b) ? (struct ip){AF_INET6, {[15] = 1}}
                                        : (struct ip){AF_INET, {127, 0, 0, 1}},
                    handed_on = is_v6(b) ? (struct ip){AF_INET6, {[15] = 6}}
                                         : (struct ip){AF_INET, {127, 0, 0, 6}};
    RULE(b, OUTBOUND, match_loopback_device(b); match_ip(b, true, NFT_CMP_EQ, &handed_on);
         RETURN(b));
    write_owner(i, b, NFT_META_SKUID, i->uid, &loopback);
    write_owner(i, b, NFT_META_SKGID, i->gid, &loopback);
    write_dns(i, b);
    RULE(b, OUTBOUND, match_ip(b, false, NFT_CMP_EQ, &loopback); RETURN(b));
    if (i->dns.all)
        write_dns_all(i, b);
    VEC_FOREACH (port, &i->outbound_ports_except.v)
        RULE(b, OUTBOUND, match_port(b, NFT_CMP_EQ, *port); RETURN(b));
    VEC_FOREACH (p, &i->outbound_except.v)
        if (is_of_family(p, b))
            RULE(b, OUTBOUND, match_prefix(b, p); RETURN(b));
    VEC_FOREACH (port, &i->outbound_also.v)
        RULE(b, OUTBOUND, match_port(b, NFT_CMP_EQ, *port); redirect(b, i->outbound_port));
    VEC_FOREACH (p, &i->outbound.v)
        if (is_of_family(p, b))
            RULE(b, OUTBOUND, match_prefix(b, p); match_tcp(b); redirect(b, i->outbound_port));
    if (i->outbound.all || i->outbound_also.all)
        RULE(b, OUTBOUND, match_tcp(b); redirect(b, i->outbound_port));
}

/* ---- inbound ---- */

static void write_inbound(const struct interception *i, struct nfnl_batch *b)
{
    for (size_t k = 0; k < ARRAY_LEN(own_ports); k++)
        RULE(b, INBOUND, match_port(b, NFT_CMP_EQ, own_ports[k]); RETURN(b));
    VEC_FOREACH (port, &i->inbound_except.v)
        RULE(b, INBOUND, match_port(b, NFT_CMP_EQ, *port); RETURN(b));
    VEC_FOREACH (port, &i->inbound.v)
        RULE(b, INBOUND, match_port(b, NFT_CMP_EQ, *port); redirect(b, i->inbound_port));
    if (i->inbound.all)
        RULE(b, INBOUND, match_tcp(b); redirect(b, i->inbound_port));
}

static void write_family(const struct interception *i, uint8_t family, struct nfnl_batch *b)
{
    nfnl_batch_table(b, family, TABLE);
    nfnl_table_new(b); /* it may be there: as it was is nobody's wish */
    nfnl_table_delete(b);
    nfnl_table_new(b);
    nfnl_chain_new(b, OUTBOUND, "nat", NF_INET_LOCAL_OUT, DSTNAT_PRIORITY);
    nfnl_chain_new(b, INBOUND, "nat", NF_INET_PRE_ROUTING, DSTNAT_PRIORITY);
    write_outbound(i, b);
    write_inbound(i, b);
    write_zones(i, b);
}

void interception_write(const struct interception *i, bool ipv6, struct nfnl_batch *b)
{
    write_family(i, NFPROTO_IPV4, b);
    if (ipv6)
        write_family(i, NFPROTO_IPV6, b);
}

void interception_remove(bool ipv6, struct nfnl_batch *b)
{
    const uint8_t families[] = {NFPROTO_IPV4, NFPROTO_IPV6};
    for (size_t k = 0; k < (ipv6 ? 2u : 1u); k++) {
        nfnl_batch_table(b, families[k], TABLE);
        nfnl_table_new(b);
        nfnl_table_delete(b);
    }
}
