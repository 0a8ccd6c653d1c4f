#include "proxy/interception_command.h"

#include <errno.h>
#include <stdio.h>

#include "base/program.h"
#include "net/resolv_conf.h"
#include "nl/nft.h"
#include "nl/rtnl.h"
#include "proxy/dns_capture.h"
#include "proxy/interception.h"

struct words {
    const char *inbound, *inbound_except, *outbound, *outbound_except, *also, *ports_except;
};

static int read_words(const struct words *w, struct interception *i)
{
    const struct {
        const char *flag, *text;
        struct port_list *ports;
        struct prefix_list *prefixes;
    } all[] = {
        {"inbound-ports", w->inbound, &i->inbound, NULL},
        {"exclude-inbound-ports", w->inbound_except, &i->inbound_except, NULL},
        {"outbound-ip-ranges", w->outbound, NULL, &i->outbound},
        {"exclude-outbound-ip-ranges", w->outbound_except, NULL, &i->outbound_except},
        {"outbound-ports", w->also, &i->outbound_also, NULL},
        {"exclude-outbound-ports", w->ports_except, &i->outbound_ports_except, NULL},
    };
    for (size_t k = 0; k < ARRAY_LEN(all); k++) {
        struct err err = {0};
        int r = all[k].ports ? port_list_read(all[k].text, all[k].ports, &err)
                             : prefix_list_read(all[k].text, all[k].prefixes, &err);
        if (r < 0)
            return program_fail(EXIT_USAGE_ERROR, NULL, "--%s: %s", all[k].flag, err_text(&err));
    }
    return -1;
}

/* The pod's name servers, which are the proxy's, too. */
static void add_name_servers(struct interception *i)
{
    struct resolv_conf conf;
    resolv_conf_read("/etc/resolv.conf", &conf);
    for (size_t k = 0; k < conf.n_servers; k++)
        vec_push(&i->dns.v,
                 ((struct prefix){conf.servers[k], (uint8_t)(8 * ip_bytes(&conf.servers[k]))}));
    resolv_conf_done(&conf);
    i->dns_port = DNS_CAPTURE_PORT;
}

/* An address of it that is no loopback's: the pod is called by it, and calls. */
static int on_address(const struct prefix *p, unsigned index, void *user)
{
    bool *has = user;
    (void)index;
    *has = *has || (p->ip.family == AF_INET6 && p->ip.bytes[0] != 0xfe && !ip_is_loopback(&p->ip));
    return 0;
}

/* Whence the proxy hands to the app what comes by IPv6: 127.0.0.6 needs no such thing. */
static int put_source(struct nl_socket *s, bool remove, struct err *reterr)
{
    const struct prefix six = {{AF_INET6, {[15] = 6}}, 128};
    unsigned lo;
    int r = rtnl_link_find(s, "lo", &lo);
    if (r < 0)
        return err_set(reterr, r, NULL, "there is no link lo");
    r = remove ? rtnl_addr_remove(s, lo, &six, reterr) : rtnl_addr_add(s, lo, &six, reterr);
    return r == -EEXIST || r == -EADDRNOTAVAIL || r == -ENOENT ? 0 : r;
}

/* *ipv6: asked for; found. */
static int prepare_ipv6(bool *ipv6, bool remove, struct err *reterr)
{
    AUTO(nl_socket) struct nl_socket *s = NULL;
    int r = nl_socket_new(NETLINK_ROUTE, &s, reterr);
    if (r == 0 && !*ipv6)
        r = rtnl_addr_each(s, on_address, ipv6, reterr);
    return r < 0 || !*ipv6 ? r : put_source(s, remove, reterr);
}

static int apply(const struct interception *i, bool ipv6, bool remove)
{
    AUTO(nft) struct nft *nft = NULL;
    struct nfnl_batch b;
    struct err err = {0};
    int r = prepare_ipv6(&ipv6, remove, &err);
    r = r < 0 ? r : nft_new(&nft, &err);
    if (r == 0) {
        nft_batch_begin(nft, &b, 0);
        if (remove)
            interception_remove(ipv6, &b);
        else
            interception_write(i, ipv6, &b);
        r = nft_commit(nft, &b, &err);
        nfnl_batch_done(&b);
    }
    if (r == -EPERM)
        return program_fail(
            EXIT_FAILED, "give the container the capability NET_ADMIN, in the pod's own network",
            "may not change the rules of this network namespace: %s", err_text(&err));
    if (r < 0)
        return program_fail(EXIT_FAILED, NULL, "the rules cannot be made: %s", err_text(&err));
    return EXIT_OK;
}

int proxy_interception_command(int argc, char **argv)
{
    struct words w = {"*", "", "*", "", "", ""};
    int64_t uid = 1337, gid = 1337, inbound = 15006, outbound = 15001;
    bool remove = false, ipv6 = false, dns = false;
    struct arg args[] = {
        {"inbound-ports", 'b', ARG_STRING, &w.inbound, "PORTS",
         "ports of the pod to which calls go through the proxy, or * (default *)", 0, 0, false},
        {"exclude-inbound-ports", 'd', ARG_STRING, &w.inbound_except, "PORTS", "but not these", 0,
         0, false},
        {"outbound-ip-ranges", 'i', ARG_STRING, &w.outbound, "NETWORKS",
         "where calls of the pod to go through the proxy, or * (default *)", 0, 0, false},
        {"exclude-outbound-ip-ranges", 'x', ARG_STRING, &w.outbound_except, "NETWORKS",
         "but not these", 0, 0, false},
        {"outbound-ports", 'q', ARG_STRING, &w.also, "PORTS",
         "ports calls to which do wherever they go", 0, 0, false},
        {"exclude-outbound-ports", 'o', ARG_STRING, &w.ports_except, "PORTS",
         "and to which none do", 0, 0, false},
        {"proxy-uid", 'u', ARG_INT, &uid, "UID", "the proxy's user (default 1337)", 1, UINT32_MAX,
         false},
        {"proxy-gid", 'g', ARG_INT, &gid, "GID", "its group (default 1337)", 1, UINT32_MAX, false},
        {"outbound-port", 'p', ARG_INT, &outbound, "PORT",
         "where the proxy takes what the pod sends (default 15001)", 1, 65535, false},
        {"inbound-port", 'z', ARG_INT, &inbound, "PORT",
         "where it takes what is sent to it (default 15006)", 1, 65535, false},
        {"dns", 0, ARG_BOOL, &dns, NULL,
         "what is asked of the name servers of /etc/resolv.conf, too: the proxy answers at 15053",
         0, 0, false},
        {"ipv6", 0, ARG_BOOL, &ipv6, NULL,
         "of that family, too (default: if there are addresses of it)", 0, 0, false},
        {"remove", 0, ARG_BOOL, &remove, NULL, "takes the rules away", 0, 0, false},
        {.name = NULL}};
    const struct program p = {
        "fairlead-proxy interception",
        "leads what this network namespace sends and is sent through the proxy in it",
        "[flags]",
        "  fairlead-proxy interception\n"
        "  fairlead-proxy interception --exclude-inbound-ports 9100 --exclude-outbound-ports 3306\n"
        "  fairlead-proxy interception --remove\n",
        args,
        false};
    AUTO_DONE(arg_list) struct arg_list rest = {0};
    struct interception i = {0};
    int code = program_start(&p, argc, argv, &rest, NULL);
    if (code >= 0)
        return code;
    if (rest.n)
        return program_fail(EXIT_USAGE_ERROR, "fairlead-proxy interception --help",
                            "'%s' is not expected", rest.v[0]);
    i.uid = (uint32_t)uid;
    i.gid = (uint32_t)gid;
    i.inbound_port = (uint16_t)inbound;
    i.outbound_port = (uint16_t)outbound;
    code = read_words(&w, &i);
    if (dns)
        add_name_servers(&i);
    if (code < 0)
        code = apply(&i, ipv6, remove);
    interception_done(&i);
    return code;
}
