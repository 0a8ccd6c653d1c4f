#pragma once
/* A request goes through the filters of its listener. */

#include "proxy/request_priv.h"

/* Its route, if any, is known. `then` is called when all filters let it go on: now, later, or
 * never. */
void filter_start(struct request *r, void (*then)(struct request *r));
/* A piece of the body while filters are asked. False: nobody gathers it. */
bool filter_start_data(struct request *r, struct chain *data, bool end);
