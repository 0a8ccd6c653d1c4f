#pragma once
/* Connections of one worker to one endpoint: those in use, those that are kept for reuse, and the
 * requests that wait for one. */

#include "base/list.h"
#include "net/http_stream.h"
#include "proxy/cluster.h"
#include "proxy/reasons.h"

struct upstream;

/* A request that wants a stream; embedded in it. */
struct upstream_wait {
    struct list_node node;
    struct upstream *upstream;         /* while it waits */
    const struct http_stream_ops *ops; /* of the stream */
    void *user;
    /* One of the two, later: never from inside upstream_take. */
    void (*on_ready)(struct http_stream *s, void *user);
    void (*on_failed)(enum reason why, const char *text, void *user);
};

struct upstream *upstream_new(struct loop *l, struct cluster *c, struct endpoint *e);
/* Connections in use end with their streams; nobody waits. */
void upstream_free(struct upstream *u);
struct endpoint *upstream_endpoint(const struct upstream *u);

/* A stream on an idle connection, or NULL: w waits for one. fresh: on a connection that has carried
 * nothing yet. */
struct http_stream *upstream_take(struct upstream *u, struct upstream_wait *w, bool fresh);
/* As many connections as there may be, and as many that wait for one. */
bool upstream_is_full(const struct upstream *u);
void upstream_cancel(struct upstream_wait *w); /* waits no more; nothing if it did not */
