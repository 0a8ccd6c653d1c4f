#pragma once
/* Between the parts of port-forward: one forwarded connection, between a client's stream and a port
 * of a pod. */

#include "lab/node/kubelet_priv.h"

struct forward_lane;

/* The client's side of it. */
struct forward_lane_ops {
    void (*send)(struct str bytes, void *user);
    /* The pod's side is over, for this reason (NULL: it had said all): nothing is sent after this.
     * The lane goes on taking what the client sends until forward_lane_free. */
    void (*over)(const char *reason, void *user);
    /* What was taken has gone on: more may come. */
    void (*more)(void *user);
    bool (*is_full)(void *user);
};

enum { FORWARD_QUEUE_BYTES = 256 * 1024 };

/* Connects to the port on the pod's own loopback, by IPv4, then by IPv6. NULL: it cannot, which is
 * told (ops->over is not called; the caller's buffer says why). */
struct forward_lane *forward_lane_new(struct pod *p, uint16_t port,
                                      const struct forward_lane_ops *ops, void *user,
                                      struct buf *ret_reason);
void forward_lane_free(struct forward_lane *l);
/* False: take no more until `more`. */
bool forward_lane_take(struct forward_lane *l, struct str bytes);
void forward_lane_take_end(struct forward_lane *l);
void forward_lane_resume(struct forward_lane *l); /* the client's side is not full any more */

/* kubelet_forward_channels.c: over a WebSocket with channels, v4.channel.k8s.io. */
bool forward_channels_wanted(struct http_exchange *x);
void forward_channels(struct pod *p, struct http_exchange *x);
