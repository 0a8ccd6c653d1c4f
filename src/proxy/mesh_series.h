#pragma once
/* Series of Istio's metrics, as mesh_stats.c counts them and mesh_page.c shows them. */

#include "proxy/mesh_edits.h"
#include "proxy/mesh_stats.h"
#include "proxy/stats.h"

enum {
    MESH_IS_SOURCE = 1, /* told by the caller's proxy */
    MESH_IS_GRPC = 2,
    MESH_IS_DELAYED = 4,
    MESH_IS_TCP = 8, /* a connection, not a request */
};

/* All that a series tells, beside what is told of ourselves. Compared as bytes: no padding. */
struct mesh_key {
    const char *peer;               /* the other side; NULL: not known */
    struct peer_slot *slot;         /* where that will be known; NULL: nowhere */
    const char *service;            /* "HOST;NAME;NAMESPACE"; NULL: none */
    const char *host;               /* that was asked for; NULL: not told */
    const char *principal;          /* of the other side */
    const char *own;                /* ours */
    const struct mesh_edits *edits; /* how it is told; NULL: as it is */
    const char *values;             /* what they say of the request */
    uint16_t status;                /* 0: none was sent */
    uint8_t reason;                 /* enum reason */
    uint8_t grpc;                   /* the status and one more; 0: none */
    uint8_t flags;
    uint8_t zero[3];
};
static_assert(sizeof(struct mesh_key) == 8 * sizeof(char *) + 8, "no padding");

enum {
    MESH_REQUESTS,
    MESH_DURATION,
    MESH_REQUEST_BYTES = MESH_DURATION + STATS_WORDS_TIMES,
    MESH_RESPONSE_BYTES = MESH_REQUEST_BYTES + STATS_WORDS_TIMES,
    _MESH_CELLS = MESH_RESPONSE_BYTES + STATS_WORDS_TIMES,
};

struct mesh_series {
    struct mesh_series *next; /* older */
    uint64_t hash;
    struct mesh_key key;
    uint64_t *told;            /* the main thread's: what a report has had of it; NULL: nothing */
    struct stats_cell cells[]; /* as many as there are of a request, or of a connection */
};

static inline unsigned mesh_cells(const struct mesh_key *k)
{
    return k->flags & MESH_IS_TCP ? _MESH_TCP_CELLS : _MESH_CELLS;
}

/* By worker, the newest first. */
extern _Atomic(struct mesh_series *) mesh_lists[];
/* Requests for which there was no room. */
extern atomic_ullong mesh_overflow;
