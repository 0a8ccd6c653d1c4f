#pragma once
/* The frontends a backend has put in place: key -> policy and endpoints, in the order of their
 * indices. Shared by the backends and by the fake. */

#include "base/buf.h"
#include "base/map.h"
#include "dataplane/dataplane.h"

/* Endpoints by index. */
struct endpoint_slots {
    uint32_t n, size;
    struct dataplane_endpoint *v;
};
enum endpoint_scope {
    SCOPE_CLUSTER,
    SCOPE_LOCAL, /* what traffic policy Local chooses from */
    _SCOPE_MAX,
};

struct frontend_state {
    struct frontend_key key;
    uint8_t policy;
    uint8_t seen; /* of a full delta */
    struct endpoint_slots slots[_SCOPE_MAX];
};

struct frontend_table {
    struct map map;
};

void frontend_table_done(struct frontend_table *t);
struct frontend_state *frontend_table_find(const struct frontend_table *t,
                                           const struct frontend_key *k);
struct frontend_state *frontend_table_get(struct frontend_table *t,
                                          const struct frontend_key *k); /* adds */
void frontend_table_remove(struct frontend_table *t, const struct frontend_key *k);
bool frontend_table_next(const struct frontend_table *t, size_t *at, struct frontend_state **ret);
void frontend_table_dump(const struct frontend_table *t, struct buf *out);

/* Puts an endpoint at an index, growing as needed; holes are zero. */
void endpoint_slots_put(struct endpoint_slots *s, uint32_t index,
                        const struct dataplane_endpoint *e);
bool endpoint_slots_have(const struct endpoint_slots *s, const struct dataplane_endpoint *e);
bool endpoint_eq(const struct dataplane_endpoint *a, const struct dataplane_endpoint *b);

/* Plans the smallest change from s to the wanted endpoints: what stays keeps its index, holes are
 * filled by new endpoints and then from the end. For each index that changes calls on_index(index,
 * old or NULL, new or NULL), and brings s to the new state. */
typedef void endpoint_index_fn(uint32_t index, const struct dataplane_endpoint *old_,
                               const struct dataplane_endpoint *new_, void *user);
void endpoint_slots_change(struct endpoint_slots *s, const struct dataplane_endpoint *want,
                           uint32_t n, endpoint_index_fn *on_index, void *user);
