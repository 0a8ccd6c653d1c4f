#pragma once
/* Clients' connections of a worker, from the listening sockets on. */

#include "proxy/worker_priv.h"

/* The sockets of a listener for one worker, opened and adopted by its loop. The worker's thread, or
 * the main thread before it runs. `l` belongs to the caller. */
int downstream_listen(struct worker *w, struct listener_config *c, struct worker_listener **ret,
                      struct err *reterr) NODISCARD;
/* Who has connected already is still served, while the worker runs. */
void downstream_unlisten(struct worker_listener *l);
/* Binds sockets for that many workers, which take them when they listen: what may fail, fails here.
 * None accepts before. The main thread, before anybody else has c. */
int downstream_bind(struct listener_config *c, unsigned workers, struct err *reterr) NODISCARD;
/* Takes the sockets, one for each address, always; n 0: it does not bind. The worker's thread. */
int downstream_adopt(struct worker *w, struct listener_config *c, const int *fds, size_t n,
                     struct worker_listener **ret, struct err *reterr) NODISCARD;

/* No new requests; each connection is closed once those it has have ended. */
void downstreams_drain(struct worker *w);
/* Those whose listener is not what it was when they came. */
void downstreams_drain_stale(struct worker *w);
void downstreams_free(struct worker *w); /* at once */
