#pragma once
/* Istio's standard metrics: requests by who asked whom, and how it went. Each worker has a table of
 * series of its own, which nobody else writes; who looks adds them up. Names and labels are
 * Istio's.
 *
 * Limits: MESH_SERIES_MAX series a worker, MESH_HOSTS_MAX names of hosts of requests that are for
 * no Service; what is beyond is counted under "unknown" and told in istio_series_overflow_total. */

#include "base/buf.h"
#include "net/conn.h"
#include "proxy/peer.h"

struct request;

enum {
    MESH_SERIES_MAX = 4096, /* of a worker */
    MESH_HOSTS_MAX = 1024,
};

enum mesh_reporter {
    MESH_NOBODY, /* nothing is counted */
    MESH_SOURCE,
    MESH_DESTINATION,
};

/* A client's connection, as its requests are counted. Zeroed: nothing is known. */
struct mesh_client {
    struct peer_slot *slot;
    const char *principal; /* spiffe://... of its certificate, without the scheme; NULL: none */
    const char *own;       /* ours */
};
/* c is open. */
void mesh_client_init(struct mesh_client *m, const struct conn *c);
void mesh_client_done(struct mesh_client *m);

/* It has ended, and its connection manager counts. The worker's thread. */
void mesh_stats_request(const struct request *r);

/* ---- the main thread ---- */
/* All series, as Prometheus reads them; those that come later are not in it. */
struct mesh_page *mesh_page_new(void);
void mesh_page_free(struct mesh_page *p); /* NULL is allowed */
/* Appends the next piece, about `bytes` of it. False: that was the last one. */
bool mesh_page_next(struct mesh_page *p, size_t bytes, struct buf *to);
/* Behind the workers. */
void mesh_stats_done(void);
