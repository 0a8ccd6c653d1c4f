#pragma once
/* One request through the proxy: from a client's stream to an endpoint's and back. */

#include "proxy/mesh_stats.h"
#include "proxy/worker.h"

/* A line in the logs for what could not be read. */
void request_log_bad(struct worker *w, const struct http_config *http, unsigned status);
/* Takes the stream, whose head has come; everything else happens by callbacks. `http` and
 * client (NULL: not known) outlive it. */
void request_begin(struct worker *w, const struct http_config *http, struct http_stream *s,
                   const struct mesh_client *client);
