#pragma once
/* One request through the proxy: from a client's stream to an endpoint's and back. */

#include "proxy/worker.h"

/* Takes the stream, whose head has come; everything else happens by callbacks. */
/* A line in the logs for what could not be read. */
void request_log_bad(struct worker *w, const struct listener_config *l, unsigned status);
void request_begin(struct worker *w, const struct listener_config *l, struct http_stream *s);
