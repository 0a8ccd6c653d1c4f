#pragma once
/* Copies of requests for another cluster (route.v3.RouteAction.RequestMirrorPolicy), whose answers
 * are dropped. A copy is made when the request is whole and lives on by itself: it never holds up,
 * fails or changes the request it was made of, and is left out where there is no memory, no
 * endpoint or no place for it. */

#include "base/chain.h"
#include "net/conn.h"
#include "proxy/mirror_config.h"
#include "proxy/worker.h"

/* What is to be copied of one request; lives in its stream's arena. */
struct mirror_plan;
/* head: as it goes to the endpoint. otherwise: what a route without policies goes by, its table's.
 * NULL: nothing is to be copied, or there is no memory. */
struct mirror_plan *mirror_plan_new(struct worker *w, const struct proxy_config *c,
                                    const struct route_forward *f,
                                    const struct mirror_policies *otherwise,
                                    const struct http_head *head, const struct conn *client,
                                    struct arena *a);
/* A piece of the body. */
void mirror_plan_keep(struct mirror_plan *p, const struct chain *data);
/* The request is whole: its copies go out. Harmless twice. */
void mirror_plan_go(struct mirror_plan *p);
void mirror_plan_done(struct mirror_plan *p); /* the request is over; what has gone out goes on */
