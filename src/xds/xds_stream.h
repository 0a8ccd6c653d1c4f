#pragma once
/* The server's side of an aggregated discovery stream, without the stream: requests in, responses
 * out, from a set of resources that changes. Delta and state of the world (Envoy's xDS protocol,
 * ADS variants).
 *
 * One response of a type is under way at a time; what changes meanwhile is looked at when its
 * answer comes, as it is then. Make before break: listeners, routes and virtual hosts wait until
 * clusters and their endpoints have been taken, clusters leave when those that named them have.
 * Secrets and endpoints wait for nothing.
 *
 * Who is none of ours (its node lists none of our types) is given virtual hosts in their tables
 * (xds_inline.h), and a cluster's endpoints again whenever the cluster has changed. Others ask for
 * them by the name of their table: all of it, those that come later too; if there is none, the
 * table's name is told as removed. In the state of the world each response has all of them, wrapped
 * in their Resources, since their names stand nowhere else. */

#include <envoy/config/core/v3/base.pb-c.h>

#include "base/chain.h"
#include "xds/xds_set.h"

struct xds_stream;

enum {
    XDS_NAMES_MAX = 100000,            /* that a client asks for, of one type */
    XDS_DELTA_BYTES = 2 * 1024 * 1024, /* a delta response is not made longer than this and one
                                          resource: clients of gRPC take 4 MiB */
    XDS_DELTA_HOSTS_BYTES = 24 << 20,  /* the same of virtual hosts: the first response is taken for
                                          the whole table, and who asks is one of ours */
};

struct xds_answer {
    enum xds_resource type;
    bool refused;
    const char *text;    /* of a refusal */
    const char *version; /* state of the world: what the client says it has */
};

struct xds_stream_ops {
    /* A packed DiscoveryResponse or DeltaDiscoveryResponse, of which the most is shared with other
     * streams. Take what you want: the rest is dropped. */
    void (*send)(struct chain *message, void *user);
    /* The first request: who asks. The set it is to be given, or NULL with reterr. The node is gone
     * when this returns. */
    struct xds_set *(*on_node)(const Envoy__Config__Core__V3__Node *node, void *user,
                               struct err *reterr);
    /* A response was taken, or refused. May be NULL. */
    void (*on_answer)(const struct xds_answer *a, void *user);
    /* Istio's agents say with a request of a type of its own how the workload is; message: why it
     * is not well. May be NULL. */
    void (*on_health)(bool healthy, const char *message, void *user);
};

/* The set must outlive it. */
struct xds_stream *xds_stream_new(bool delta, const struct xds_stream_ops *ops, void *user);
void xds_stream_free(struct xds_stream *s); /* NULL is allowed */
/* This client is given no secret: as if there were none. Before its first request. */
void xds_stream_hide_secrets(struct xds_stream *s);

/* Of each secret it is asked whether this client may have it; where that is not known yet nothing
 * is said of it. Before its first request. */
enum xds_may { XDS_MAY, XDS_MAY_NOT, XDS_MAY_LATER };
typedef enum xds_may xds_may_fn(struct str secret, void *user);
void xds_stream_guard_secrets(struct xds_stream *s, xds_may_fn *fn, void *user);
/* It may be another answer now. */
void xds_stream_secrets_changed(struct xds_stream *s);

/* Answers what may be answered at once. -EBADMSG: not a request; -EACCES: on_node knows no set for
 * it; -E2BIG: too many names. The stream is to be ended. */
int xds_stream_receive(struct xds_stream *s, struct str message, struct err *reterr) NODISCARD;
/* The set has changed, wholly or in part: sends what may go. Cheap if nothing concerns this
 * stream. */
void xds_stream_push(struct xds_stream *s);

/* A burst is over: forgets what it has kept to send others the same. */
void xds_stream_trim(struct xds_stream *s);

/* For who looks: what the client has (its last ACK) against what it was sent. */
struct xds_stream_state {
    bool asked, all;
    size_t names, held;
    uint64_t sent, acked, refused; /* responses */
    bool outstanding;
    size_t waiting;  /* names to be looked at */
    size_t withheld; /* secrets that it asks for, are there, and it may not have */
};
void xds_stream_get_state(const struct xds_stream *s, enum xds_resource type,
                          struct xds_stream_state *ret);
