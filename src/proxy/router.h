#pragma once
/* The end of a request's filter chain: a cluster, an endpoint, a stream to it. */

#include "proxy/request_priv.h"

/* The route's action is to forward. */
/* The cluster that the route's forward names for it. */
const struct route_cluster *router_choose_cluster(struct request *r, const struct route_query *q);
void router_begin(struct request *r, const struct route_query *q);
/* What the client sends goes on. */
void router_data(struct request *r, struct chain *data, bool end);
/* What the client sends is more than it may. */
void router_refuse_body(struct request *r);
void router_trailers(struct request *r, struct http_head *trailers);
void router_drained(struct request *r); /* the client has taken what was queued for it */
/* An answer with that status is about to go out: true if that to another request goes out instead,
 * which is under way then. */
bool router_detour(struct request *r, uint16_t status);
