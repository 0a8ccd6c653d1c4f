#pragma once
/* The network filter RBAC: who may connect. Asked once, when a connection is open (its handshake
 * done) and before anything serves it. */

#include "net/conn.h"
#include "proxy/compile.h"

struct network_rbac;

/* c->path stands at the packed message. -EINVAL with the path of what is wrong; -ENOMEM. */
int network_rbac_compile(struct compile *c, struct str packed, struct network_rbac **ret) NODISCARD;
void network_rbac_free(struct network_rbac *f); /* NULL is allowed */
/* server_name: what its ClientHello asked for; empty: nothing. */
bool network_rbac_allows(const struct network_rbac *f, const struct conn *client,
                         struct str server_name);
