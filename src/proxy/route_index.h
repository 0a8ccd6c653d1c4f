#pragma once
/* Indexes of a route table: hosts by name and by wildcard, and the routes of a host by their paths,
 * so that 5,000 routes cost what 5 do. */

#include "proxy/route.h"

struct route_domains;

/* -EINVAL: a domain twice (hosts by index). It lives in the table's arena, and the other in a. */
int route_domains_build(struct route_table *t, struct pb_path *path, struct err *reterr) NODISCARD;
int route_index_build(struct route_host *h, struct arena *a) NODISCARD;
