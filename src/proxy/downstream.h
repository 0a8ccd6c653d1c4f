#pragma once
/* Clients' connections of a worker, from the listening sockets on. */

#include "proxy/worker_priv.h"

/* The sockets of a listener for one worker, opened and adopted by its loop. The worker's thread, or
 * the main thread before it runs. `l` belongs to the caller. */
int downstream_listen(struct worker *w, struct listener_config *c, struct worker_listener **ret,
                      struct err *reterr) NODISCARD;
void downstream_unlisten(struct worker_listener *l);
/* The two halves of it. A socket for address `i` of c, which may fail: any thread, one for each
 * worker (or one that is shared). */
int downstream_open(struct listener_config *c, size_t i, int *ret_fd, struct err *reterr) NODISCARD;
/* Takes the sockets, one for each address, always; n 0: it does not bind. The worker's thread. */
int downstream_adopt(struct worker *w, struct listener_config *c, const int *fds, size_t n,
                     struct worker_listener **ret, struct err *reterr) NODISCARD;

/* No new requests; each connection is closed once those it has have ended. */
void downstreams_drain(struct worker *w);
/* Those whose listener is not what it was when they came. */
void downstreams_drain_stale(struct worker *w);
void downstreams_free(struct worker *w); /* at once */
