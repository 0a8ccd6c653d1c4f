#pragma once
/* One request through the proxy: from a client's stream to an endpoint's and back. */

#include "proxy/worker.h"

/* Takes the stream, whose head has come; everything else happens by callbacks. */
void request_begin(struct worker *w, const struct listener_config *l, struct http_stream *s);
