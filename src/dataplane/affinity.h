#pragma once
/* The books of ClientIP affinity: groups of frontends that share it (those of one service port),
 * and a number for every endpoint of a group. A client is remembered with the number; as long as
 * the number leads to an endpoint, the client gets that. No kernel. */

#include "base/map.h"
#include "dataplane/frontend_table.h"

/* A number: class of its timeout, group, slot of the endpoint in the group. No part is ever 0. */
enum {
    AFFINITY_CLASS_SHIFT = 28,
    AFFINITY_GROUP_SHIFT = 14,
    AFFINITY_SLOT_MASK = 0x00003fff,
    AFFINITY_CLASSES_MAX = 15,   /* timeouts that differ */
    AFFINITY_GROUPS_MAX = 16383, /* of a family */
    AFFINITY_SLOTS_MAX = 16383,
};

struct affinity_slot {
    struct dataplane_endpoint endpoint; /* port 0: free */
    uint32_t refs[_SCOPE_MAX];          /* frontends that choose from it */
    bool pinned[_SCOPE_MAX];            /* the number leads to it */
};

struct affinity_group {
    uint32_t number; /* class and group */
    uint32_t refs;   /* frontends */
    bool named;      /* false: found in the kernel, no frontend has come for it yet */
    struct frontend_key key;
    VEC(struct affinity_slot) slots; /* slot s at s - 1 */
    VEC(uint32_t) free;              /* slots */
    struct map by_endpoint;          /* -> slot */
};

struct affinity_book {
    struct affinity_group *groups[AFFINITY_GROUPS_MAX + 1];
    uint32_t next;
    struct map by_key; /* key and class -> group */
};

void affinity_book_done(struct affinity_book *b);
/* The group of this name and class, with one reference more; NULL: there are too many. */
struct affinity_group *affinity_group_get(struct affinity_book *b, const struct frontend_key *key,
                                          unsigned class_);
/* The group of this number, as found in the kernel. NULL: no number of ours. */
struct affinity_group *affinity_group_adopt(struct affinity_book *b, uint32_t number);
/* Gives a group that was found its name; false if another one has it. */
bool affinity_group_name(struct affinity_book *b, struct affinity_group *g,
                         const struct frontend_key *key);
/* Returns true if that was the last reference and the group is gone. */
bool affinity_group_unref(struct affinity_book *b, struct affinity_group *g);
static inline unsigned affinity_class(uint32_t number)
{
    return number >> AFFINITY_CLASS_SHIFT;
}

/* A frontend of the group chooses from this endpoint: its number, 0 = there are too many. */
uint32_t affinity_endpoint_ref(struct affinity_group *g, enum endpoint_scope scope,
                               const struct dataplane_endpoint *e);
void affinity_endpoint_unref(struct affinity_group *g, enum endpoint_scope scope,
                             const struct dataplane_endpoint *e);
uint32_t affinity_endpoint_number(const struct affinity_group *g,
                                  const struct dataplane_endpoint *e);
/* As found in the kernel; false: it contradicts what was found before. */
bool affinity_endpoint_adopt(struct affinity_group *g, enum endpoint_scope scope, uint32_t number,
                             const struct dataplane_endpoint *e);
bool affinity_pin_adopt(struct affinity_book *b, enum endpoint_scope scope, uint32_t number,
                        const struct dataplane_endpoint *e);

/* Calls on_pin for every number that is to lead to its endpoint from now on, or no more, and frees
 * the slots that nobody uses. */
typedef void affinity_pin_fn(bool add, enum endpoint_scope scope, uint32_t number,
                             const struct dataplane_endpoint *e, void *user);
void affinity_group_sweep(struct affinity_group *g, affinity_pin_fn *on_pin, void *user);
