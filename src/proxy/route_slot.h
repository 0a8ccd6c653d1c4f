#pragma once
/* Route tables that come by themselves (RDS): each name has a slot, whose number is where a
 * snapshot keeps the table that is in force. Connection managers hold the slot, not the table. And
 * seats, which outlive what a listener says of its routes. Main thread, but for the references. */

#include <stdatomic.h>

#include "base/map.h"
#include "base/vec.h"
#include "proxy/config_source.h"
#include "proxy/route.h"
#include "xds/kept_text.h"

/* A virtual host that has come by itself. */
struct slot_host {
    struct route_host *host;
    struct kept_text *text; /* NULL: nobody wants to see it */
    struct str name;        /* of the resource; ends in NUL */
    char data[];
};

struct route_slot {
    atomic_uint refs;
    uint32_t id;
    char *name;
    struct config_source source;
    struct route_table *table; /* in force; NULL: none has come */
    struct route_table *next;  /* waits for clusters that it names */
    struct route_table *outer; /* to which hosts are joined; NULL: they come with the table */
    struct map hosts;          /* by name, struct slot_host: the newest; borrows the names */
    struct map clusters;       /* that these name -> how many routes do, as a pointer */
    VEC(struct route_change) changes; /* of next to table; a reference each */
    bool hosts_came;                  /* for the first time, or it was told that there are none */
    uint64_t hash;                    /* of what came last */
    struct kept_texts text;
    uint64_t came_ms; /* when next came */
};

struct route_slots {
    VEC(struct route_slot *) slots; /* by id; NULL: free. Holds a reference each. */
    struct map by_name;             /* the same */
};

/* Where the connections of a listener's filter chain find their routes, whatever listener of that
 * name they came by: an old connection goes by the newest routes. */
struct route_seat {
    atomic_uint refs;
    uint32_t id;
    char *key;
    struct route_slot *from;   /* one of the two, once a listener with it is in force */
    struct route_table *table; /* written in place */
    bool covered;              /* by a listener in force; for store_listeners.c */
};

struct route_seats {
    VEC(struct route_seat *) seats; /* by id; NULL: free. Holds a reference each. */
    struct map by_key;              /* the same */
};

/* A reference; made if it is not there. */
struct route_slot *route_slots_get(struct route_slots *s, struct str name,
                                   const struct config_source *source);
struct route_slot *route_slots_find(const struct route_slots *s, struct str name); /* borrowed */
/* Takes the references. */
struct slot_host *slot_host_new(struct str name, struct route_host *host, struct kept_text *text);
void slot_host_free(struct slot_host *h); /* NULL is allowed */
/* Takes h; NULL: it has gone. Returns what there was by that name before, which is the caller's. */
struct slot_host *route_slot_put_host(struct route_slot *s, struct str name, struct slot_host *h);
void route_slot_drop_hosts(struct route_slot *s);
void route_slot_forget_changes(struct route_slot *s);
/* Frees those that nobody else holds, first calling on_free. */
void route_slots_sweep(struct route_slots *s, void (*on_free)(struct route_slot *s, void *user),
                       void *user);
void route_slots_done(struct route_slots *s);

/* A reference; made if it is not there. */
struct route_seat *route_seats_get(struct route_seats *p, struct str key);
void route_seats_sweep(struct route_seats *p); /* those that nobody else holds */
void route_seats_done(struct route_seats *p);
void route_seat_set(struct route_seat *p, struct route_slot *from, struct route_table *table);
struct route_table *route_seat_table(const struct route_seat *p); /* borrowed; NULL: none */
void route_seat_unref(struct route_seat *p);                      /* NULL is allowed */

struct route_slot *route_slot_ref(struct route_slot *s);
void route_slot_unref(struct route_slot *s); /* NULL is allowed */
