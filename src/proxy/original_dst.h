#pragma once
/* Clusters of type ORIGINAL_DST: a request goes where its connection was meant to go before it was
 * redirected here, or where a header says. An endpoint is made when it is first asked for, by each
 * worker for itself, and goes when it was not for a while. */

#include "proxy/original_dst_config.h"
#include "proxy/upstream.h"

enum { ORIGINAL_DST_MAX = 10000 }; /* endpoints of a worker, for one cluster */

/* A worker's endpoints of a cluster, which must outlive them. */
struct original_dst;
struct original_dst *original_dst_new(struct loop *l, unsigned worker, struct cluster *c);
/* Each of its pools is ended by end(). */
void original_dst_free(struct original_dst *o,
                       void (*end)(struct upstream *u)); /* NULL is allowed */
/* NULL: the connection was not redirected and no header names an address, or there are too many. */
struct upstream *original_dst_choose(struct original_dst *o, const struct lb_request *q);
