#pragma once
/* Connections of one worker to one endpoint: those in use, those that take another stream, and the
 * requests that wait for one. It goes on for its requests after its endpoint has left the cluster.
 */

#include "base/list.h"
#include "codec/proxy_protocol.h"
#include "net/http_stream.h"
#include "proxy/cluster.h"
#include "proxy/reasons.h"

struct upstream;

/* A request's place at an endpoint, and its wait for a stream; embedded in it, zeroed. */
struct upstream_wait {
    struct list_node node;
    struct upstream *at; /* between upstream_enter and upstream_leave */
    bool waits;
    bool observed;                     /* by outlier detection */
    bool counted;                      /* as one that runs */
    bool loads;                        /* its endpoint, for those who choose by load */
    bool answered;                     /* a head has come, and was counted */
    uint64_t sent_ms;                  /* when its stream was opened; of the loop */
    struct str name;                   /* by which it is spoken to over TLS; upstream_name() */
    struct str head;                   /* of the PROXY protocol; upstream_speak_for() */
    uint8_t priority;                  /* of the circuit breakers: 0 default, 1 high */
    const struct http_stream_ops *ops; /* of the stream */
    void *user;
    /* One of the two, later: never from inside upstream_take. */
    void (*on_ready)(struct http_stream *s, void *user);
    void (*on_failed)(enum reason why, const char *text, void *user);
};

/* version: of HTTP; 0: as the cluster says. */
struct upstream *upstream_new(struct loop *l, unsigned worker, struct cluster *c,
                              struct endpoint *e, unsigned version);
/* Its endpoint has gone: idle connections are closed at once, requests that wait or run finish;
 * then it is freed. */
void upstream_retire(struct upstream *u);
/* At once; no request is left. */
void upstream_free(struct upstream *u);
bool upstream_is_used(const struct upstream *u); /* it has requests */
struct endpoint *upstream_endpoint(const struct upstream *u);
struct stats_cell *upstream_stats(const struct upstream *u); /* the worker's, of its cluster */

/* The request has chosen it. Until it leaves, the upstream and its endpoint are there. */
void upstream_enter(struct upstream *u, struct upstream_wait *w);
/* Where the cluster says that the request's host is whom TLS speaks to: that of the head, which
 * stays where it is while it waits. Before upstream_take(). */
void upstream_name(struct upstream_wait *w, const struct cluster *c, const struct http_head *h);
/* Where the cluster's endpoints are told who the client is: on connections for that one alone.
 * NULL: nobody is. The head is kept in the arena. Before upstream_take(). */
void upstream_speak_for(struct upstream_wait *w, const struct cluster *c, const struct conn *client,
                        struct arena *a);
/* The head that a connection of the cluster begins with, for that client (NULL: for nobody); 0: it
 * has none. */
size_t upstream_proxy_head(const struct cluster *c, const struct conn *client,
                           char ret[PROXY_PROTOCOL_WRITTEN_MAX]);
/* A stream on a connection that is open: 0. -EAGAIN: w waits for one. -EBUSY: a circuit breaker is
 * open. fresh: on a connection that has carried nothing yet. */
int upstream_take(struct upstream_wait *w, bool fresh, struct http_stream **ret) NODISCARD;
void upstream_cancel(struct upstream_wait *w); /* waits no more; nothing if it did not */
/* Its stream is over, or it will have none: it counts no more. Harmless if it did not. */
void upstream_ended(struct upstream_wait *w);
/* How it went, for statistics and outlier detection: the status of the answer, or what happened
 * instead. */
void upstream_answered(struct upstream_wait *w, unsigned status);
/* And it counts no more. */
void upstream_failed(struct upstream_wait *w, enum reason why);
/* After that the endpoint may be gone. Harmless twice. */
void upstream_leave(struct upstream_wait *w);
