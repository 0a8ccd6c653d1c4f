#pragma once
/* Tables of routes whose virtual hosts come by themselves, for clients that do not take those:
 * Envoy asks for them without a word of which (1.40: an empty request, once, whatever tables come
 * later).
 */

#include "xds/xds_set.h"

/* The table with the hosts that the set has for it; of two with one domain the first by its name
 * has it. Referenced; a table of which none come by themselves is itself. */
struct xds_entry *xds_inline_hosts(const struct xds_set *set, struct xds_entry *table);
