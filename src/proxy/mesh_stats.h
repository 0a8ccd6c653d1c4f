#pragma once
/* Istio's standard metrics: requests and connections by who asked whom, and how it went. Each
 * worker has a table of series of its own, which nobody else writes; who looks adds them up. Names
 * and labels are Istio's.
 *
 * Limits: MESH_SERIES_MAX series a worker, MESH_HOSTS_MAX names of hosts of requests that are for
 * no Service; what is beyond is counted under "unknown" and told in istio_series_overflow_total. */

#include "base/buf.h"
#include "proxy/mesh_client.h"

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

/* Whether what a listener's chain serves is counted. */
struct mesh_watch {
    uint8_t reporter;               /* enum mesh_reporter */
    bool no_host;                   /* what was called, where it is no Service, is not told */
    const struct mesh_edits *edits; /* of requests; NULL: none */
};

/* It has ended, and its connection manager counts. The worker's thread. */
void mesh_stats_request(const struct request *r);

/* Of a connection whose bytes go through. */
enum {
    MESH_TCP_OPENED,
    MESH_TCP_CLOSED,
    MESH_TCP_SENT, /* to the client */
    MESH_TCP_RECEIVED,
    _MESH_TCP_CELLS,
};
struct mesh_tcp {
    enum mesh_reporter reporter;
    unsigned worker;
    const struct mesh_client *client;       /* of MESH_DESTINATION */
    const char *service, *peer, *principal; /* as a mesh_key has them */
    uint8_t reason;                         /* enum reason; 0: it is open */
};
/* Where it is counted. The worker's thread. */
struct stats_cell *mesh_stats_tcp(const struct mesh_tcp *t);

/* ---- the main thread ---- */
/* All series, as Prometheus reads them; those that come later are not in it. */
struct mesh_page *mesh_page_new(void);
void mesh_page_free(struct mesh_page *p); /* NULL is allowed */
/* Appends the next piece, about `bytes` of it. False: that was the last one. */
bool mesh_page_next(struct mesh_page *p, size_t bytes, struct buf *to);
/* Behind the workers. */
void mesh_stats_done(void);
