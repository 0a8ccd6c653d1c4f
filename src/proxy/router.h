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
/* The endpoint has said something, or is not asked to: it is not idle. */
void router_heard(struct request *r);

/* ---- router_pace.c: r->pace, where its answer's body has a rate ---- */
void router_pace_begin(struct request *r, uint64_t bytes_per_s, uint64_t before);
void router_pace_data(struct request *r, struct chain *data,
                      bool end); /* of the endpoint; takes it */
void router_pace_drained(struct request *r);
void router_pace_flush(struct request *r); /* trailers follow */
void router_pace_done(struct request *r);

/* An answer with that status is about to go out: true if that to another request goes out instead,
 * which is under way then. */
bool router_detour(struct request *r, uint16_t status);
