#pragma once
/* Connections to which ports a listener filter leaves alone
 * (ListenerFilterChainMatchPredicate). Immutable. */

#include <envoy/config/listener/v3/listener_components.pb-c.h>

#include "proxy/compile.h"

enum { PORT_PREDICATE_RULES_MAX = 4096, PORT_PREDICATE_DEPTH_MAX = 8 };

struct port_predicate;

/* c->path stands at the message. -EINVAL: too many, too deep, or it says nothing. */
int port_predicate_compile(struct compile *c,
                           const Envoy__Config__Listener__V3__ListenerFilterChainMatchPredicate *m,
                           struct port_predicate **ret) NODISCARD;
void port_predicate_free(struct port_predicate *p); /* NULL is allowed */
/* p NULL: no. */
bool port_predicate_holds(const struct port_predicate *p, uint16_t port);
