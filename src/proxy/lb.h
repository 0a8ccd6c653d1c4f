#pragma once
/* Which endpoint a request goes to. All that takes time is done by the main thread, once for each
 * change of endpoints or of their health: a plan, immutable and shared by reference. A worker then
 * chooses by it in constant time (a ring of hashes: in the logarithm of its size). */

#include <envoy/config/cluster/v3/cluster.pb-c.h>

#include "proxy/endpoint_set.h"

#include "proxy/lb_maglev.h"
#include "proxy/lb_priority.h"

struct conn;
struct http_head;

enum lb_policy {
    LB_ROUND_ROBIN,
    LB_LEAST_REQUEST,
    LB_RANDOM,
    LB_RING_HASH,
    LB_MAGLEV,
};

struct lb_config {
    uint8_t policy; /* enum lb_policy */
    uint8_t panic_percent;
    bool locality_weighted;
    uint32_t choices; /* of LEAST_REQUEST */
    uint64_t ring_min;
    uint64_t ring_max;
    uint32_t table_size;  /* of MAGLEV */
    bool hashes_hostname; /* and not the address, of those that have one */
    /* Warming up: an endpoint gets its weight little by little; 0: at once. */
    uint64_t warm_ms;
    double warm_aggression;
    double warm_min_percent;
};

/* What the cluster says of it goes to *lb, which has the defaults. -EINVAL with the path of what is
 * wrong. */
int lb_config_compile(const Envoy__Config__Cluster__V3__Cluster *m, struct pb_path *path,
                      struct lb_config *lb, struct err *reterr) NODISCARD;

/* Entries of the set, in the order in which they are taken: by weight, as often as it says. */
struct lb_list {
    uint32_t n;
    uint32_t *order;          /* entries */
    struct lb_ring *ring;     /* of LB_RING_HASH */
    struct lb_maglev *maglev; /* of LB_MAGLEV */
};

/* The endpoints of a priority that are of one kind: all in one list, or a list for each locality.
 */
struct lb_group {
    uint32_t first_list;
    uint32_t n_localities; /* places in: */
    uint32_t *localities;  /* lists, counted from first_list; NULL: there is just one */
};

enum { LB_SLOTS = 100, LB_CHOICES_MAX = 64 };
#define LB_NONE UINT32_MAX

struct lb_plan {
    atomic_uint refs;
    struct endpoint_set *set;
    struct lb_config config;
    uint8_t group_of[LB_SLOTS]; /* a draw of one percent each */
    bool empty;                 /* no endpoint at all */
    bool plain;                 /* one list, in turn */
    bool warming;               /* an endpoint is still to get more: make it anew, soon */
    uint32_t n_priorities;
    struct lb_priority *priorities;
    VEC(struct lb_group) groups;
    VEC(struct lb_list) lists;
};

/* Main thread: of what the endpoints' flags say now. NULL: no memory. */
struct lb_plan *lb_plan_new(struct endpoint_set *s, const struct lb_config *c);
/* What part of its weight an endpoint gets that is usable for so long; hundredths, 1 to 100. */
uint32_t lb_warm_percent(const struct lb_config *c, uint64_t usable_ms);
/* Does the hash of a request choose? */
static inline bool lb_by_hash(const struct lb_config *c)
{
    return c->policy >= LB_RING_HASH;
}
bool lb_is_usable(const struct endpoint_entry *e); /* healthy, in every respect */
struct lb_plan *lb_plan_ref(struct lb_plan *p);
void lb_plan_unref(struct lb_plan *p); /* NULL is allowed */

/* What the choice may depend on. */
struct lb_request {
    uint64_t random;
    uint64_t hash;      /* of the route's hash policy */
    bool has_hash;      /* else a random one */
    uint64_t preferred; /* the id of the endpoint that a session keeps, while that can be used */
    bool prefers;
    /* For a retry: not these, if another can be found in so many tries more. */
    const struct endpoint *const *tried;
    uint32_t n_tried;
    uint32_t tries_max;
    uint8_t version; /* of HTTP, where the cluster speaks as the client does; 0: it does not */
    const struct conn *client;    /* for ORIGINAL_DST; NULL: unknown */
    const struct http_head *head; /* the same; NULL: none */
    const struct endpoint_entry
        *entry; /* what was chosen, until the next plan; NULL: none of a set */
};

/* The entry that a session keeps; NULL: it is not there, or not to be used. */
const struct endpoint_entry *lb_preferred(const struct lb_plan *p, uint64_t id);
/* Places in turn of one worker, at least lb_plan_cursors() of them. */
uint32_t lb_plan_cursors(const struct lb_plan *p);
/* An entry of the plan's set; LB_NONE: there is none that may be used. */
uint32_t lb_choose(const struct lb_plan *p, uint32_t *cursors, const struct lb_request *q);

static inline uint32_t lb_in_turn(uint32_t *cursor, uint32_t n)
{
    uint32_t at = *cursor < n ? *cursor : *cursor % n;
    *cursor = at + 1;
    return at;
}
