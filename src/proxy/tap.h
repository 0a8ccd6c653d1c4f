#pragma once
/* Requests that somebody watches: orders of the control plane, and what workers have seen of them.
 * As long as there is no order, a request costs one look at a word that nobody writes.
 *
 * Limits: TAP_ORDERS_MAX orders, each ends by itself; so many requests a second of each; of texts
 * TAP_TEXT_BYTES; TAP_WAITING_BYTES that wait to be told, what is more is dropped and counted.
 * Paths are told without their query, and no field that carries a credential is. */

#include <fairlead/telemetry/v1/telemetry.pb-c.h>
#include <stdatomic.h>

#include "codec/http_head.h"
#include "proxy/mesh_series.h"

enum {
    TAP_ORDERS_MAX = 4,
    TAP_FIELDS_MAX = 16,
    TAP_TEXT_BYTES = 512,
    TAP_RATE_MAX = 1000,
    TAP_SECONDS_MAX = 600,
    TAP_WAITING_BYTES = 256 * 1024,
};

extern atomic_bool tap_open;

static inline bool tap_is_open(void)
{
    return __builtin_expect(atomic_load_explicit(&tap_open, memory_order_relaxed), 0);
}

/* It is over, and counted as this. The worker's thread. */
void tap_request(const struct request *r, const struct mesh_key *k);

/* The same of what is told of it, but for the order and its fields, which are the head's. */
void tap_seen(Fairlead__Telemetry__V1__Request *m, const struct http_head *h);

/* ---- the main thread ---- */
/* Begins one, or ends it. What asks for too much gets what there is; one too many is left out. */
void tap_order(const Fairlead__Telemetry__V1__Order *m);
/* Without orders; what waits is gone. */
void tap_end_all(void);
/* Appends reports of what has been seen; *ret_dropped: how many were not kept. Orders whose time is
 * over are gone behind this. */
void tap_take(struct buf *to, uint64_t *ret_dropped);
