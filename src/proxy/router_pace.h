#pragma once
/* r->pace: an answer's body at no more than so many bytes a second. */

#include "proxy/request_priv.h"

/* bytes_per_s: greater than 0; before: bytes that go without a limit. Without memory there is none:
 * it is no protection. */
void router_pace_begin(struct request *r, uint64_t bytes_per_s, uint64_t before);
/* Of the endpoint; takes the data. heard: whenever some of it goes on, for what is held back by
 * ourselves is not idle. */
void router_pace_data(struct request *r, struct chain *data, bool end,
                      void (*heard)(struct request *r));
void router_pace_drained(struct request *r); /* the client has taken what was queued */
void router_pace_flush(struct request *r);   /* trailers follow */
void router_pace_done(struct request *r);
