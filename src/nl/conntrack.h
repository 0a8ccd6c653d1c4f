#pragma once
/* UDP flows in the kernel's connection table: look through them, delete some. Blocking. */

#include "base/addr.h"
#include "nl/nl_socket.h"

struct conntrack;

int conntrack_new(struct conntrack **ret, struct err *reterr) NODISCARD;
void conntrack_free(struct conntrack *c);
DEFINE_AUTO(conntrack);

struct conntrack_flow {
    struct ip src, dst; /* as the client sent it */
    uint16_t src_port, dst_port;
    struct ip reply_src; /* who answers: the endpoint, or dst if nothing was rewritten */
    uint16_t reply_src_port;
};

/* Which flows to look at: the kernel filters where it can (5.8), what it sends besides is skipped
 * here. */
struct conntrack_filter {
    uint8_t family;
    struct ip dst;     /* family 0 = any */
    uint16_t dst_port; /* 0 = any */
};

/* Deletes the UDP flows for which stale() is true. ret_deleted may be NULL. */
int conntrack_delete_udp(struct conntrack *c, const struct conntrack_filter *f,
                         bool (*stale)(const struct conntrack_flow *flow, void *user), void *user,
                         size_t *ret_deleted, struct err *reterr) NODISCARD;
