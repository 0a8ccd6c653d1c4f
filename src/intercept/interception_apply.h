#pragma once
/* Rules made, taken away and looked for, in the network namespace of the calling thread. */

#include "intercept/interception.h"

/* ipv6: of that family, too; false: if there are addresses of it. Needs CAP_NET_ADMIN. Nothing has
 * changed at failure. */
int interception_apply(const struct interception *i, bool ipv6, struct err *reterr) NODISCARD;
int interception_take_away(bool ipv6, struct err *reterr) NODISCARD;
/* Whether the table is there; needs CAP_NET_ADMIN. */
int interception_exists(bool *ret, struct err *reterr) NODISCARD;
/* The same without rights, by a connection of one's own: as the proxy's user, while nobody listens
 * at the inbound port. -ENOENT: there are no rules. */
int interception_try(const struct interception *i, struct err *reterr) NODISCARD;
