#pragma once
/* UDP flows in the kernel's connection table: look through them, delete some. Blocking. */

#include "codec/ctnl.h"
#include "nl/nl_socket.h"

struct conntrack;

int conntrack_new(struct conntrack **ret, struct err *reterr) NODISCARD;
void conntrack_free(struct conntrack *c);
DEFINE_AUTO(conntrack);

/* Deletes the UDP flows that match the filter and for which stale() is true. The kernel filters
 * where it can (5.8), what it sends besides is skipped here. ret_deleted may be NULL. */
int conntrack_delete_udp(struct conntrack *c, const struct conntrack_filter *f,
                         bool (*stale)(const struct conntrack_flow *flow, void *user), void *user,
                         size_t *ret_deleted, struct err *reterr) NODISCARD;
