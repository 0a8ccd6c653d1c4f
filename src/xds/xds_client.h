#pragma once
/* The client's side of an aggregated discovery stream, without the stream: responses in, requests
 * out. Subscriptions and what is held of them outlive streams, so that a new one goes on where the
 * last ended. State of the world and delta (Envoy's xDS protocol, ADS variants).
 *
 * It decides nothing about resources: they go to on_update, whose word makes the ACK or the NACK.
 */

#include <envoy/config/core/v3/base.pb-c.h>

#include "base/buf.h"
#include "base/map.h"
#include "xds/kept_text.h"
#include "xds/xds_types.h"

struct xds_client;

enum {
    XDS_RESPONSE_BYTES_MAX = 256 << 20, /* one response, unpacked */
    XDS_NACK_TEXT_MAX = 4096,           /* of an error_detail; the rest is left out */
};

/* One resource of a response. */
struct xds_item {
    struct str name;
    struct str version;     /* delta: its own; else the response's */
    struct str bytes;       /* the resource's message, packed */
    bool refused;           /* for on_update to set: it is as if it had not come */
    struct kept_text *text; /* xds_item_text(): NULL: nobody has wanted it yet */
};
/* A reference to what all who keep it share. */
struct kept_text *xds_item_text(struct xds_item *i);
void xds_items_done(struct xds_item *items, size_t n); /* of whoever has made them */

struct xds_update {
    enum xds_resource type;
    bool full; /* what is not among the items does not exist any more */
    struct xds_item *items;
    size_t n_items;
    const struct str *removed; /* delta */
    size_t n_removed;
};

struct xds_client_ops {
    /* A request for the open stream: a packed DiscoveryRequest, or DeltaDiscoveryRequest. */
    void (*send)(struct str message, void *user);
    /* A response; all of it is gone when this returns. May subscribe and unsubscribe. What is added
     * to `refused` is the text of the NACK; nothing: an ACK. */
    void (*on_update)(const struct xds_update *u, struct buf *refused, void *user);
};

/* node is borrowed and outlives the client; it goes with the first request of a stream. */
struct xds_client *xds_client_new(bool delta, const Envoy__Config__Core__V3__Node *node,
                                  const struct xds_client_ops *ops, void *user);
void xds_client_free(struct xds_client *c);                /* NULL is allowed */
const char *xds_client_method(const struct xds_client *c); /* path of the gRPC method */

/* All resources of the type (clusters, listeners). */
void xds_client_subscribe_all(struct xds_client *c, enum xds_resource type);
/* Of virtual hosts: the name of their table. */
void xds_client_subscribe(struct xds_client *c, enum xds_resource type, struct str name);
void xds_client_unsubscribe(struct xds_client *c, enum xds_resource type, struct str name);
bool xds_client_is_subscribed(const struct xds_client *c, enum xds_resource type, struct str name);
/* What is held already, from a copy on disk: delta servers need not send it again. */
void xds_client_hold(struct xds_client *c, enum xds_resource type, struct str name,
                     struct str version);
/* Sends what subscriptions have changed. Called by itself behind on_update. */
void xds_client_flush(struct xds_client *c);

void xds_client_open(struct xds_client *c); /* a stream is there: asks for everything */
void xds_client_close(struct xds_client *c);
/* On an open stream, behind its first request: how the workload is, as Istio's agents say it. */
void xds_client_tell_health(struct xds_client *c, bool healthy, const char *message);
/* -EBADMSG: not a response; the stream is to be ended. */
int xds_client_receive(struct xds_client *c, struct str message, struct err *reterr) NODISCARD;
