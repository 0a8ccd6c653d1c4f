#pragma once
/* The hosts of a table by their domains (route.v3.VirtualHost.domains): a name, "*.suffix",
 * "prefix*" or "*"; in small letters. Immutable; another is made of one and what has changed, at
 * the cost of that, since the two share all the rest. */

#include "proxy/route.h"

struct route_domains;

/* Which domain of which change is wrong, and how. */
struct route_clash {
    size_t change, domain;
    const char *text;
};

/* NULL: *ret says why not. before: NULL: none; what changes is of it. References are taken, not
 * given. */
struct route_domains *route_domains_new(const struct route_domains *before,
                                        const struct route_change *changes, size_t n,
                                        struct route_clash *ret);
void route_domains_free(struct route_domains *d); /* NULL is allowed */
/* NULL: none has it. */
struct route_host *route_domains_find(const struct route_domains *d, struct str name);
