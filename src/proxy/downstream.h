#pragma once
/* Clients' connections of a worker. */

#include "proxy/worker_priv.h"

/* A listener's on_accept; user: struct worker_listener. Takes the descriptor. */
void downstream_accept(int fd, void *user);
/* No new requests; each connection is closed once those it has have ended. */
void downstreams_drain(struct worker *w);
/* Those whose listener is not what it was when they came. */
void downstreams_drain_stale(struct worker *w);
void downstreams_free(struct worker *w); /* at once */
