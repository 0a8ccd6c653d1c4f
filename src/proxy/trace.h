#pragma once
/* A request's part in a trace: decided when it begins, told to the endpoint, told to the collector
 * when it ends. Of a connection manager without tracing nothing is touched. */

#include "proxy/request_priv.h"

/* NULL: no memory; the request goes on without. */
struct request_trace *trace_begin(struct request *r);
/* The request's head is about to go to an endpoint. */
void trace_inject(struct request *r, struct http_head *h);
/* It is over. Harmless where it is not sampled. */
void trace_end(struct request *r);
