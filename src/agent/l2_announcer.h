#pragma once
/* Answers for addresses that no interface has: ARP and IPv6 neighbour discovery by packet sockets,
 * on Ethernet interfaces, from the interface's own hardware address. A new address is told to all
 * several times; one that is removed is not answered for any more. Needs CAP_NET_RAW. */

#include "base/addr.h"
#include "net/loop.h"

struct l2_announcer;

struct l2_announcer_options {
    /* Is it to be announced by this interface? */
    bool (*allows)(const struct ip *ip, const char *interface, void *user);
    void *user;
};

struct l2_announcer_stats {
    uint64_t requests, answers, told, conflicts; /* conflicts: somebody else says that it is his */
    size_t addresses, interfaces;
};

int l2_announcer_new(struct loop *l, const struct l2_announcer_options *o,
                     struct l2_announcer **ret, struct err *reterr) NODISCARD;
void l2_announcer_free(struct l2_announcer *a); /* NULL is allowed */
/* Nothing if it is announced already. */
void l2_announcer_add(struct l2_announcer *a, const struct ip *ip);
void l2_announcer_remove(struct l2_announcer *a, const struct ip *ip);
/* What options->allows says may be something else. */
void l2_announcer_look(struct l2_announcer *a);
void l2_announcer_get_stats(const struct l2_announcer *a, struct l2_announcer_stats *ret);
/* for (size_t at = 0; l2_announcer_next(a, &at, &ip);) */
bool l2_announcer_next(const struct l2_announcer *a, size_t *at, struct ip *ret);
