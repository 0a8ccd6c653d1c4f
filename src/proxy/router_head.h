#pragma once
/* Heads on their way through the router: what a request says to its endpoint, and what its answer
 * says of the way. */

#include "proxy/request_priv.h"

/* What goes out is what was matched and changed, once: path, host, fields. */
void router_change_request(struct request *r, const struct route_query *q);
/* Each try, before it goes to the endpoint of that entry (NULL: of none): how often it was sent,
 * how much time is left, the host that the endpoint goes by. */
void router_change_try(struct request *r, const struct endpoint_entry *e);
/* Does a first try need it? */
static inline bool router_changes_try(const struct request *r)
{
    return r->route->forward.auto_host || r->host->counts_attempts;
}
/* An endpoint's answer, before the configuration's changes. */
void router_change_answer(struct request *r, struct http_head *h);
