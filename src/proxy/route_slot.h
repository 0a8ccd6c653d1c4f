#pragma once
/* Route tables that come by themselves (RDS): each name has a slot, whose number is where a
 * snapshot keeps the table that is in force. Connection managers hold the slot, not the table. Main
 * thread, but for the references. */

#include <stdatomic.h>

#include "base/vec.h"
#include "proxy/config_source.h"
#include "proxy/kept_text.h"
#include "proxy/route.h"

struct route_slot {
    atomic_uint refs;
    uint32_t id;
    char *name;
    struct config_source source;
    struct route_table *table; /* in force; NULL: none has come */
    struct route_table *next;  /* waits for clusters that it names */
    uint64_t hash;             /* of what came last */
    struct kept_texts text;
};

struct route_slots {
    VEC(struct route_slot *) slots; /* by id; NULL: free. Holds a reference each. */
};

/* A reference; made if it is not there. */
struct route_slot *route_slots_get(struct route_slots *s, struct str name,
                                   const struct config_source *source);
struct route_slot *route_slots_find(const struct route_slots *s, struct str name); /* borrowed */
/* Frees those that nobody else holds, first calling on_free. */
void route_slots_sweep(struct route_slots *s, void (*on_free)(struct route_slot *s, void *user),
                       void *user);
void route_slots_done(struct route_slots *s);

struct route_slot *route_slot_ref(struct route_slot *s);
void route_slot_unref(struct route_slot *s); /* NULL is allowed */
