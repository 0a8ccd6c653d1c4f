#pragma once
/* Host names to addresses on a loop, by the rules of the machine (/etc/hosts, /etc/resolv.conf). */

#include "base/addr.h"
#include "net/loop.h"

enum {
    RESOLVER_IPS_MAX = 8,
    RESOLVER_ALL_MAX = 4096, /* of resolver_lookup_all */
};

struct resolver;
struct resolver_query;

/* Reads resolv.conf once. */
int resolver_new(struct loop *l, struct resolver **ret, struct err *reterr) NODISCARD;
void resolver_free(struct resolver *r); /* open queries end without a callback; NULL is allowed */
DEFINE_AUTO(resolver);
/* Asks this server (UDP and TCP) instead of those of resolv.conf. -EIO when c-ares refuses it. */
int resolver_set_server(struct resolver *r, const struct ip *ip, uint16_t port) NODISCARD;

/* code 0 and 1 to RESOLVER_IPS_MAX addresses, nearest first (RFC 6724); or -ENOENT (no such name),
 * -ETIMEDOUT, -EIO, with text naming the host. ips are borrowed for the call. */
typedef void resolver_fn(int code, const struct ip *ips, size_t n, const char *text, void *user);

/* A and AAAA. Never calls back from inside. */
struct resolver_query *resolver_lookup(struct resolver *r, const char *name, resolver_fn *fn,
                                       void *user);
/* The same, of one family (0: both), and all of them. */
struct resolver_query *resolver_lookup_all(struct resolver *r, const char *name, int family,
                                           resolver_fn *fn, void *user);
/* While its callback runs: the shortest life of the answer's records in seconds, 0 if it has none
 * (of /etc/hosts). */
uint32_t resolver_query_ttl_s(const struct resolver_query *q);
void resolver_cancel(struct resolver_query *q); /* NULL is allowed */
