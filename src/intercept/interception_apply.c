#include "intercept/interception_apply.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "nl/nft.h"
#include "nl/rtnl.h"

enum { TRY_MS = 2000, TRY_PORT = 15002 }; /* Istio's port of its own trial */

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

/* i NULL: they go. */
static int change(const struct interception *i, bool ipv6, struct err *reterr)
{
    AUTO(nft) struct nft *nft = NULL;
    struct nfnl_batch b;
    int r = prepare_ipv6(&ipv6, !i, reterr);
    if (r == 0)
        r = nft_new(&nft, reterr);
    if (r < 0)
        return r;
    nft_batch_begin(nft, &b, 0);
    if (i)
        interception_write(i, ipv6, &b);
    else
        interception_remove(ipv6, &b);
    r = nft_commit(nft, &b, reterr);
    nfnl_batch_done(&b);
    return r;
}

int interception_apply(const struct interception *i, bool ipv6, struct err *reterr)
{
    return change(i, ipv6, reterr);
}

int interception_take_away(bool ipv6, struct err *reterr)
{
    return change(NULL, ipv6, reterr);
}

int interception_exists(bool *ret, struct err *reterr)
{
    AUTO(nft) struct nft *nft = NULL;
    int r = nft_new(&nft, reterr);
    return r < 0 ? r : nft_table_exists(nft, NFPROTO_IPV4, INTERCEPTION_TABLE, ret, reterr);
}

/* ---- without rights ---- */

static int socket_at(uint32_t address, uint16_t port, bool listens)
{
    const struct sockaddr_in sa = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(address)};
    AUTO_FD int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int on = 1;
    if (fd < 0)
        return -errno;
    if (listens && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
        return -errno;
    int r = listens ? bind(fd, (const struct sockaddr *)&sa, sizeof(sa))
                    : connect(fd, (const struct sockaddr *)&sa, sizeof(sa));
    if (r < 0 && errno != EINPROGRESS)
        return -errno;
    if (listens && listen(fd, 1) < 0)
        return -errno;
    return TAKE_FD(fd);
}

/* What the proxy says to another address of its own pod comes in by the front door: the one rule
 * that is there whatever else is asked for. 127.0.0.2 is such an address in every pod. */
int interception_try(const struct interception *i, struct err *reterr)
{
    AUTO_FD int door = socket_at(INADDR_ANY, i->inbound_port, true);
    if (door < 0)
        return err_set(reterr, door, NULL, "listen on port %u: %s", i->inbound_port,
                       strerror(-door));
    AUTO_FD int call = socket_at(INADDR_LOOPBACK + 1, TRY_PORT, false);
    struct pollfd p = {.fd = door, .events = POLLIN};
    if (call < 0 && call != -ECONNREFUSED)
        return err_set(reterr, call, NULL, "connect to 127.0.0.2 port %u: %s", TRY_PORT,
                       strerror(-call));
    if (call < 0 || poll(&p, 1, TRY_MS) <= 0)
        return err_set(reterr, -ENOENT, NULL,
                       "what this pod sends and is sent is not led to its proxy");
    return 0;
}
