/* Chains in the node's table "fairlead-lab" (node_masquerade.c), a rule for each port. They are
 * written whole, in one transaction, whenever the pods that have such ports are others. Loopback
 * stays the node's own. Translation is after the agent's: what a Service claims is the Service's;
 * of two pods that name the same port the one that is there longer has it, as its rule comes first.
 */
#include "lab/node/node_host_ports.h"

#include <errno.h>
#include <stdlib.h>

#include "lab/node/node_priv.h"
#include "nl/conntrack.h"
#include "nl/nft.h"

enum { HOST_PORTS_MAX = 1024, DSTNAT_PRIORITY = -99, SRCNAT_PRIORITY = 99 };

static const char *const translating[] = {"host-ports", "host-ports-output"};
#define HAIRPIN "host-ports-hairpin"

struct host_port {
    struct ip host; /* only the family = every address of the node */
    struct ip pod;
    uint8_t proto;
    uint16_t port;
    uint16_t pod_port;
};

typedef VEC(struct host_port) host_ports;

struct node_host_ports {
    struct node *node;
    struct nft *nft; /* NULL = it cannot be done here */
    struct conntrack *conntrack;
    host_ports now;
    struct loop_call settle;
};

/* ---- what the pods want ---- */

static json_t *ports_of(const struct pod *p, size_t container)
{
    const struct pod_container *c = &p->containers[container];
    return c->is_init && !c->is_sidecar ? NULL : json_at(c->spec, "ports");
}

bool pod_wants_host_ports(const struct pod *p)
{
    json_t *port;
    size_t k;
    for (size_t i = 0; i < p->n_containers && !p->host_network; i++)
        json_array_foreach(ports_of(p, i), k,
                           port) if (json_at_int(port, "hostPort", 0) > 0) return true;
    return false;
}

static void add_port(host_ports *list, const json_t *port, const struct ip *pod)
{
    const char *proto = json_key_str(port, "protocol"), *text = json_key_str(port, "hostIP");
    struct host_port h = {.host.family = pod->family, .pod = *pod};
    int64_t number = json_at_int(port, "hostPort", 0);
    if (number < 1 || number > 65535 || !pod->family || list->n == HOST_PORTS_MAX ||
        (!str_empty(text) &&
         (ip_parse(str_from(text), &h.host) < 0 || h.host.family != pod->family)))
        return;
    h.proto = streq(proto, "UDP") ? IPPROTO_UDP : streq(proto, "SCTP") ? IPPROTO_SCTP : IPPROTO_TCP;
    h.port = (uint16_t)number;
    h.pod_port = (uint16_t)json_at_int(port, "containerPort", 0);
    vec_push(list, h);
}

static int compare_age(const void *a, const void *b)
{
    const struct pod *x = *(struct pod *const *)a, *y = *(struct pod *const *)b;
    return x->start_s != y->start_s ? (x->start_s < y->start_s ? -1 : 1) : strcmp(x->uid, y->uid);
}

static void collect(struct node *n, host_ports *ret)
{
    VEC(struct pod *) pods = {0};
    void *value;
    json_t *port;
    size_t k;
    for (size_t at = 0; map_next(&n->pods, &at, NULL, &value);)
        if (((struct pod *)value)->has_host_ports)
            vec_push(&pods, value);
    if (pods.n)
        qsort(pods.v, pods.n, sizeof(*pods.v), compare_age);
    VEC_FOREACH (p, &pods)
        for (size_t i = 0; i < (*p)->n_containers; i++)
            json_array_foreach(ports_of(*p, i), k, port)
            {
                add_port(ret, port, &(*p)->net.v4);
                add_port(ret, port, &(*p)->net.v6);
            }
    vec_done(&pods);
}

/* ---- the rules ---- */

static void match_address(struct nfnl_batch *b, bool source, const struct ip *ip, size_t n)
{
    uint32_t at = ip->family == AF_INET6 ? (source ? 8 : 24) : (source ? 12 : 16);
    nfnl_payload(b, NFT_PAYLOAD_NETWORK_HEADER, at, (uint32_t)n, nfnl_reg(0));
    nfnl_cmp(b, NFT_CMP_EQ, nfnl_reg(0), ip->bytes, n);
}

static void add_chains(struct nfnl_batch *b, uint8_t family)
{
    struct ip loopback = {.family = family, .bytes = {127}};
    if (family == AF_INET6)
        loopback = (struct ip){.family = family, .bytes = {[15] = 1}};
    nfnl_batch_table(b, family == AF_INET6 ? NFPROTO_IPV6 : NFPROTO_IPV4, "fairlead-lab");
    nfnl_table_new(b);
    nfnl_chain_new(b, translating[0], "nat", NF_INET_PRE_ROUTING, DSTNAT_PRIORITY);
    nfnl_chain_new(b, translating[1], "nat", NF_INET_LOCAL_OUT, DSTNAT_PRIORITY);
    nfnl_chain_new(b, HAIRPIN, "nat", NF_INET_POST_ROUTING, SRCNAT_PRIORITY);
    nfnl_chain_flush(b, translating[0]);
    nfnl_chain_flush(b, translating[1]);
    nfnl_chain_flush(b, HAIRPIN);
    nfnl_rule_begin(b, translating[1]);
    match_address(b, false, &loopback, family == AF_INET6 ? 16 : 1);
    nfnl_verdict(b, NFT_RETURN, NULL);
    nfnl_rule_end(b);
}

static void add_port_rules(struct nfnl_batch *b, const struct host_port *h)
{
    static const struct ip any;
    uint32_t local = 2; /* RTN_LOCAL */
    uint8_t port[] = {(uint8_t)(h->port >> 8), (uint8_t)h->port},
            to[] = {(uint8_t)(h->pod_port >> 8), (uint8_t)h->pod_port};
    size_t n = ip_bytes(&h->pod);
    for (size_t i = 0; i < ARRAY_LEN(translating); i++) {
        nfnl_rule_begin(b, translating[i]);
        nfnl_fib(b, NFT_FIB_RESULT_ADDRTYPE, NFTA_FIB_F_DADDR, nfnl_reg(0));
        nfnl_cmp(b, NFT_CMP_EQ, nfnl_reg(0), &local, sizeof(local));
        if (memcmp(h->host.bytes, any.bytes, n) != 0)
            match_address(b, false, &h->host, n);
        nfnl_meta(b, NFT_META_L4PROTO, nfnl_reg(0));
        nfnl_cmp(b, NFT_CMP_EQ, nfnl_reg(0), &h->proto, 1);
        nfnl_payload(b, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, nfnl_reg(0));
        nfnl_cmp(b, NFT_CMP_EQ, nfnl_reg(0), port, 2);
        nfnl_immediate(b, nfnl_reg(0), h->pod.bytes, n);
        nfnl_immediate(b, nfnl_reg(4), to, 2);
        nfnl_dnat(b, b->family, nfnl_reg(0), nfnl_reg(4));
        nfnl_rule_end(b);
    }
    nfnl_rule_begin(b, HAIRPIN); /* to a pod from itself: it must not see its own address */
    match_address(b, true, &h->pod, n);
    match_address(b, false, &h->pod, n);
    nfnl_masquerade(b, 0);
    nfnl_rule_end(b);
}

static void program(struct node_host_ports *h)
{
    const struct node_options *o = h->node->options;
    const uint8_t families[] = {o->pod_v4.ip.family, o->pod_v6.ip.family};
    struct nfnl_batch b;
    struct err err = {0};
    nft_batch_begin(h->nft, &b, 0);
    for (size_t i = 0; i < ARRAY_LEN(families); i++) {
        if (!families[i])
            continue;
        add_chains(&b, families[i]);
        VEC_FOREACH (p, &h->now)
            if (p->pod.family == families[i])
                add_port_rules(&b, p);
    }
    if (nft_commit(h->nft, &b, &err) < 0)
        log_warn("host ports do not lead to their pods", kv_s("node", o->name),
                 kv_s("error", err_text(&err)));
    nfnl_batch_done(&b);
}

/* ---- UDP flows, which would go on as they were ---- */

struct flows {
    const struct node_options *options;
    const host_ports *was, *is;
};

static const struct host_port *port_of(const host_ports *list, const struct conntrack_flow *f)
{
    const struct ip any = {.family = f->dst.family};
    VEC_FOREACH (h, list)
        if (h->proto == IPPROTO_UDP && h->port == f->dst_port &&
            (ip_eq(&h->host, &any) || ip_eq(&h->host, &f->dst)))
            return h;
    return NULL;
}

static bool flow_is_stale(const struct conntrack_flow *f, void *user)
{
    const struct flows *s = user;
    bool v6 = f->dst.family == AF_INET6;
    const struct host_port *h = port_of(s->is, f);
    if (!ip_eq(&f->dst, &s->options->internal[v6]) && !ip_eq(&f->dst, &s->options->external[v6]))
        return false;
    return h ? !ip_eq(&h->pod, &f->reply_src) || h->pod_port != f->reply_src_port
             : port_of(s->was, f) != NULL;
}

static void drop_flows(struct node_host_ports *h, const host_ports *was)
{
    struct flows flows = {h->node->options, was, &h->now};
    const host_ports *const both[] = {was, &h->now};
    bool wanted[2] = {false, false};
    struct err ignored;
    for (size_t i = 0; i < ARRAY_LEN(both); i++)
        VEC_FOREACH (p, both[i])
            if (p->proto == IPPROTO_UDP)
                wanted[p->pod.family == AF_INET6] = true;
    for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
        const struct conntrack_filter filter = {.family = i ? AF_INET6 : AF_INET};
        if (wanted[i] && h->conntrack &&
            conntrack_delete_udp(h->conntrack, &filter, flow_is_stale, &flows, NULL, &ignored) < 0)
            log_warn("flows of host ports stay", kv_s("error", err_text(&ignored)));
    }
}

/* ---- life ---- */

static void settle(void *user)
{
    struct node_host_ports *h = user;
    host_ports was = {.v = h->now.v, .n = h->now.n, .cap = h->now.cap};
    h->now = (host_ports){0};
    collect(h->node, &h->now);
    program(h);
    drop_flows(h, &was);
    vec_done(&was);
}

void node_host_ports_changed(struct node_host_ports *h)
{
    if (h && h->nft)
        loop_defer(h->node->loop, &h->settle);
}

void node_host_ports_settle(struct node_host_ports *h)
{
    if (!h || !loop_call_is_queued(&h->settle))
        return;
    loop_call_cancel(&h->settle);
    settle(h);
}

struct node_host_ports *node_host_ports_new(struct node *n)
{
    struct node_host_ports *h = NEW(struct node_host_ports);
    loop_call_init(&h->settle, settle, h);
    struct err err = {0};
    h->node = n;
    if (nft_new(&h->nft, &err) < 0 || conntrack_new(&h->conntrack, &err) < 0)
        log_warn("host ports", kv_s("node", n->options->name), kv_s("error", err_text(&err)));
    if (h->nft)
        program(h);
    return h;
}

void node_host_ports_free(struct node_host_ports *h)
{
    if (!h)
        return;
    loop_call_cancel(&h->settle);
    vec_done(&h->now);
    h->now = (host_ports){0};
    if (h->nft)
        program(h);
    nft_free(h->nft);
    conntrack_free(h->conntrack);
    free(h);
}
