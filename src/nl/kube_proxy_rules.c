/* The traces of a kube-proxy by mode: its nf_tables table; the chain KUBE-SERVICES in the nat table
 * of iptables, of either kind; the interface of ipvs. Tables of the older iptables come to be when
 * they are asked for, with hooks that every packet passes: only those that are there are. Their
 * rules are searched for the name, not parsed. */
#include "nl/kube_proxy_rules.h"

#include <assert.h>
#include <errno.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nl/rtnl.h"

#define PROXY_TABLE    "kube-proxy"
#define SERVICES_CHAIN "KUBE-SERVICES"
#define IPVS_LINK      "kube-ipvs0"

enum { LEGACY_BYTES_MAX = 256 * 1024 * 1024 }; /* ten times what 10,000 Services take */

static const struct {
    uint8_t nfproto;
    int family, level;
    const char *name, *iptables, *legacy_tables;
} families[] = {
    {NFPROTO_IPV4, AF_INET, IPPROTO_IP, "ip", "iptables", "/proc/net/ip_tables_names"},
    {NFPROTO_IPV6, AF_INET6, IPPROTO_IPV6, "ip6", "ip6tables", "/proc/net/ip6_tables_names"},
};
static_assert(IPT_SO_GET_INFO == IP6T_SO_GET_INFO && IPT_SO_GET_ENTRIES == IP6T_SO_GET_ENTRIES,
              "one code for both families");
static_assert(sizeof(struct ipt_getinfo) == sizeof(struct ip6t_getinfo), "the same");
static_assert(offsetof(struct ipt_get_entries, entrytable) ==
                  offsetof(struct ip6t_get_entries, entrytable),
              "the same");

static void add(struct buf *ret, int *n, const char *what, const char *of, const char *more)
{
    buf_addf(ret, "%s%s%s%s", *n ? ", " : "", what, of, more);
    ++*n;
}

static int on_chain(struct str name, void *user)
{
    *(bool *)user |= str_is(name, SERVICES_CHAIN);
    return 0;
}

static void on_restart(void *user)
{
    *(bool *)user = false;
}

static bool has_line(const char *path, const char *line)
{
    char text[64];
    bool found = false;
    FILE *f = fopen(path, "re");
    while (f && !found && fgets(text, sizeof(text), f)) {
        text[strcspn(text, "\n")] = 0;
        found = streq(text, line);
    }
    if (f)
        fclose(f);
    return found;
}

/* Whether the chain is in the older iptables' nat table. A table that changes meanwhile (EAGAIN) is
 * one that somebody works on: asked again. */
static bool is_in_legacy(int family, int level)
{
    AUTO_FD int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    for (int tries = 0; fd >= 0 && tries < 10; tries++) {
        struct ipt_getinfo info = {.name = "nat"};
        socklen_t n = sizeof(info);
        if (getsockopt(fd, level, IPT_SO_GET_INFO, &info, &n) < 0 || info.size > LEGACY_BYTES_MAX)
            return false;
        n = (socklen_t)(sizeof(struct ipt_get_entries) + info.size);
        struct ipt_get_entries *e = try_malloc(n);
        if (!e)
            return false;
        memset(e, 0, sizeof(*e));
        memcpy(e->name, "nat", sizeof("nat"));
        e->size = info.size;
        bool read = getsockopt(fd, level, IPT_SO_GET_ENTRIES, e, &n) == 0;
        bool again = !read && errno == EAGAIN;
        bool found =
            read && memmem(e->entrytable, info.size, SERVICES_CHAIN, sizeof(SERVICES_CHAIN));
        free(e);
        if (!again)
            return found;
    }
    return false;
}

int kube_proxy_rules_find(struct buf *ret, struct err *reterr)
{
    AUTO(nft) struct nft *nft = NULL;
    AUTO(nl_socket) struct nl_socket *links = NULL;
    unsigned index;
    int n = 0, r = nft_new(&nft, reterr);
    if (r == 0)
        r = nl_socket_new(NETLINK_ROUTE, &links, reterr);
    for (size_t i = 0; r == 0 && i < ARRAY_LEN(families); i++) {
        bool there = false;
        r = nft_table_exists(nft, families[i].nfproto, PROXY_TABLE, &there, reterr);
        if (r == 0 && there)
            add(ret, &n, "table ", families[i].name, " " PROXY_TABLE " of nftables");
        there = false;
        if (r == 0)
            r = nft_list(nft, families[i].nfproto, "nat", NFT_MSG_GETCHAIN, on_chain, on_restart,
                         &there, reterr);
        if (r == -ENOENT)
            r = 0; /* no such table */
        if (r == 0 && there)
            add(ret, &n, "chain " SERVICES_CHAIN " of ", families[i].iptables, "");
        if (r == 0 && has_line(families[i].legacy_tables, "nat") &&
            is_in_legacy(families[i].family, families[i].level))
            add(ret, &n, "chain " SERVICES_CHAIN " of ", families[i].iptables, "-legacy");
    }
    if (r == 0 && rtnl_link_find(links, IPVS_LINK, &index) == 0)
        add(ret, &n, "interface ", IPVS_LINK, " of ipvs");
    return r < 0 ? r : n;
}
