/* Announcing Service addresses on the lab's network.
 *
 * Every node watches Services and Nodes and computes the same answer: of the Ready nodes the one
 * whose name, hashed with the address, is smallest. That node holds the address on its eth0 as a
 * single host, so it answers ARP and neighbour solicitations; what happens to the packets is the
 * agent's business. Addresses outside the node's own subnet are left alone, and so are those that
 * somebody owns. Losing a node moves its addresses when it becomes NotReady. */
#include "lab/node/node_announce.h"

#include <errno.h>

#include "base/hash.h"
#include "lab/node/node_priv.h"
#include "lab/object_reading.h"
#include "nl/rtnl.h"

struct node_announce {
    struct loop_call settle;
    struct node *node;
    struct nl_socket *socket;
    unsigned eth0;
    VEC(struct ip) held;
};

static bool in_subnet(const struct node_announce *a, const struct ip *ip)
{
    const struct ip *own = &a->node->options->internal[ip->family == AF_INET6];
    struct prefix subnet = {*own, ip->family == AF_INET6 ? 64 : 24};
    return own->family && prefix_contains(&subnet, ip);
}

static bool elected(const struct node_announce *a, const struct ip *ip)
{
    const char *best = NULL;
    uint64_t best_hash = 0;
    json_t *node;
    for (size_t at = 0; informer_next(a->node->nodes_informer, &at, &node);) {
        const char *name = json_at_str(node, "metadata.name");
        if (!name || !condition_is_true(node, "Ready"))
            continue;
        uint64_t hash = hash_bytes_seed(name, strlen(name), hash_bytes_seed(ip->bytes, 16, 1));
        if (!best || hash < best_hash) {
            best = name;
            best_hash = hash;
        }
    }
    return streq(best, a->node->options->name);
}

static bool list_has(const struct ip *v, size_t n, const struct ip *ip)
{
    for (size_t i = 0; i < n; i++)
        if (ip_eq(&v[i], ip))
            return true;
    return false;
}

/* Somebody has it already: a Node, or what the node was told of (the API server, the host). Only
 * its owner may answer for it; the agents translate what arrives there all the same. */
static bool owned(const struct node_announce *a, const struct ip *ip)
{
    const struct node_options *o = a->node->options;
    json_t *node, *item;
    size_t i;
    struct ip other;
    bool found = list_has(o->internal, 2, ip) || list_has(o->external, 2, ip) ||
                 list_has(o->reserved, o->n_reserved, ip);
    for (size_t at = 0; !found && informer_next(a->node->nodes_informer, &at, &node);)
        json_array_foreach(json_at(node, "status.addresses"), i, item)
        {
            const char *text = json_key_str(item, "address");
            found = found || (text && ip_parse(str_from(text), &other) == 0 && ip_eq(&other, ip));
        }
    return found;
}

static void want_address(struct node_announce *a, const char *text, struct node_announce *wanted)
{
    struct ip ip;
    if (!text || ip_parse(str_from(text), &ip) < 0 || !in_subnet(a, &ip))
        return;
    if (!list_has(wanted->held.v, wanted->held.n, &ip) && !owned(a, &ip) && elected(a, &ip))
        vec_push(&wanted->held, ip);
}

static void change(struct node_announce *a, const struct ip *ip, bool add)
{
    struct prefix host = {*ip, ip->family == AF_INET6 ? 128 : 32};
    struct err err = {0};
    char text[IP_TEXT_BYTES];
    int r = add ? rtnl_addr_add(a->socket, a->eth0, &host, &err)
                : rtnl_addr_remove(a->socket, a->eth0, &host, &err);
    if (r < 0 && r != -EEXIST && r != -EADDRNOTAVAIL)
        log_warn("announcing an address", kv_s("address", ip_format(ip, text)),
                 kv_s("error", err_text(&err)));
    else
        log_info(add ? "address announced" : "address given up",
                 kv_s("address", ip_format(ip, text)));
}

static void settle(void *user)
{
    struct node_announce *a = user;
    const struct node *n = a->node;
    struct node_announce wanted = {0};
    json_t *service, *item;
    size_t i;
    if (!informer_synced(n->services_informer) || !informer_synced(n->nodes_informer))
        return;
    for (size_t at = 0; informer_next(n->services_informer, &at, &service);) {
        json_array_foreach(json_at(service, "status.loadBalancer.ingress"), i, item)
            want_address(a, json_key_str(item, "ip"), &wanted);
        json_array_foreach(json_at(service, "spec.externalIPs"), i, item)
            want_address(a, json_string_value(item), &wanted);
    }
    for (i = 0; i < a->held.n; i++)
        if (!list_has(wanted.held.v, wanted.held.n, &a->held.v[i]))
            change(a, &a->held.v[i], false);
    for (i = 0; i < wanted.held.n; i++)
        if (!list_has(a->held.v, a->held.n, &wanted.held.v[i]))
            change(a, &wanted.held.v[i], true);
    vec_done(&a->held);
    a->held.v = wanted.held.v;
    a->held.n = wanted.held.n;
    a->held.cap = wanted.held.cap;
}

void node_announce_changed(struct node_announce *a)
{
    if (a)
        loop_defer(a->node->loop, &a->settle);
}

struct node_announce *node_announce_new(struct node *n)
{
    struct node_announce *a = NEW(struct node_announce);
    loop_call_init(&a->settle, settle, a);
    a->node = n;
    if (nl_socket_new(NETLINK_ROUTE, &a->socket, NULL) < 0 ||
        rtnl_link_find(a->socket, "eth0", &a->eth0) < 0) {
        log_warn("no eth0: LoadBalancer addresses are not announced",
                 kv_s("node", n->options->name));
        nl_socket_free(a->socket);
        free(a);
        return NULL;
    }
    return a;
}

void node_announce_free(struct node_announce *a)
{
    if (!a)
        return;
    loop_call_cancel(&a->settle);
    nl_socket_free(a->socket);
    vec_done(&a->held);
    free(a);
}
