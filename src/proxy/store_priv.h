#pragma once
/* The store's state: store.c puts in force what store_clusters.c and store_listeners.c have made
 * ready. They never call each other: what has changed is looked at by store.c, soon. */

#include <envoy/extensions/transport_sockets/tls/v3/secret.pb-c.h>

#include "base/hash.h"
#include "proxy/store.h"
#include "xds/kept_text.h"
#include "xds/xds_check.h"

struct store_cluster {
    struct list_node node; /* of warming or leaving ones */
    struct store *store;
    char *name;
    struct cluster *live;        /* in force; NULL: not yet */
    struct cluster *warming;     /* waits for its endpoints; NULL: none */
    struct loop_timer *timer;    /* of warming or leaving */
    struct config_source source; /* of its endpoints */
    char *eds_name;              /* NULL: they are in place */
    uint64_t hash;               /* of the message */
    struct kept_texts text;
    bool is_static;
    bool leaving;        /* stays only for routes that still name it */
    bool endpoints_came; /* of the warming one */
};

/* The endpoints of a name, kept as they came for clusters that will want them. */
struct store_assignment {
    struct buf bytes;
    bool came;
    struct kept_texts text;
    VEC(struct store_cluster *) users;
};

struct store_secret {
    char *name;
    struct arena *arena;                                                 /* of the message */
    const Envoy__Extensions__TransportSockets__Tls__V3__Secret *message; /* NULL: not come yet */
    struct config_source source;
    struct kept_texts text; /* its version alone */
    bool is_static;
    bool needed; /* found by store_secrets_sweep */
};

struct store_listener {
    struct store *store;
    char *name;
    struct listener_config *live;
    struct listener_config *warming; /* waits for its route tables, and their clusters */
    struct loop_timer *timer;
    uint64_t hash;
    struct kept_texts text;
    bool is_static;
    bool late; /* was waited for long enough */
};

struct store {
    struct loop *loop;
    const struct store_ops *ops;
    void *user;
    struct map clusters;    /* name -> struct store_cluster */
    struct map assignments; /* EDS name -> struct store_assignment */
    struct map listeners;   /* name -> struct store_listener */
    struct map gone;        /* name -> struct listener_config: what its open connections go by */
    struct map secrets;     /* name -> struct store_secret */
    struct map told;        /* findings that were told */
    struct list_node warming, leaving;
    struct route_slots slots;
    struct route_seats seats;
    VEC(bool) wanted_slots;      /* by id: its table was asked for */
    struct cluster_table *table; /* NULL: to be made anew */
    struct loop_call settle;
    struct loop_timer *clusters_late;
    struct loop_timer *again; /* when tables that wait are to be looked at again */
    uint64_t again_ms;
    struct config_source cds, lds;
    bool has_cds, has_lds;
    bool clusters_came, listeners_wanted, listeners_came;
    bool changed;       /* since the last snapshot */
    bool secrets_stale; /* some may not be needed any more */
    bool running;
    bool keeps_texts; /* somebody may want to see them */
};

/* What one resource of an update is made of. */
struct store_item {
    struct arena *arena; /* of the message; gone behind the call */
    ProtobufCMessage *message;
    struct str name, bytes;
    struct xds_item *from; /* NULL: a message of the bootstrap */
    bool is_static;
    struct pb_path *path; /* stands at the message */
    struct err *err;
};

static inline uint64_t store_hash(struct str bytes)
{
    return hash_bytes(bytes.p, bytes.n);
}

/* What stands in the bootstrap is shown from there. */
static inline void store_keep(const struct store *s, struct kept_texts *k,
                              const struct store_item *i)
{
    if (s->keeps_texts && !i->is_static)
        kept_texts_offer(k, xds_item_text(i->from));
}

/* A snapshot of what is ready is to be made, soon. */
static inline void store_changed(struct store *s)
{
    s->changed = true;
    loop_defer_soon(s->loop, &s->settle);
}

static inline void store_count(enum server_stat what)
{
    stats_inc(stats_main(stats_server()), what);
}

/* How long something waits for what it needs. */
struct store_wait {
    bool for_ever;
    uint64_t ms;
};

static inline void store_wait_add(struct store_wait *w, uint64_t ms)
{
    w->for_ever |= !ms;
    w->ms = MAX(w->ms, ms);
}

/* store_tell.c */
/* Findings of a resource; each once, whichever has it. */
void store_tell(struct store *s, enum xds_resource type, struct str name,
                const struct xds_report *r);
void store_refuse(enum xds_resource type, const struct xds_item *item, const struct err *e,
                  struct buf *refused);

/* store_clusters.c */
int store_cluster_add(struct store *s, const struct store_item *i) NODISCARD;
void store_cluster_remove(struct store *s, struct str name);
int store_assignment_add(struct store *s, const struct store_item *i) NODISCARD;
/* Warming ones that have what they need come into force. */
void store_clusters_warm(struct store *s);
/* Those that leave and that nothing names any more go. */
void store_clusters_settle(struct store *s, bool (*is_named)(struct store *s, struct str name));
/* A cluster that it names is, for the first time. */
bool store_is_warming(const struct store *s, bool (*names)(const void *what, struct str cluster),
                      const void *what);
void store_clusters_run(struct store *s, bool run);
void store_clusters_done(struct store *s);

/* store_secrets.c */
const Envoy__Extensions__TransportSockets__Tls__V3__Secret *
store_find_secret(struct str name, const Envoy__Config__Core__V3__ConfigSource *from, void *user);
int store_secret_add(struct store *s, const struct store_item *i) NODISCARD;
/* Adds what slot has to wait for; NULL: plain. */
void store_secrets_wait(const struct store *s, const struct tls_slot *slot, struct store_wait *w);
void store_secrets_sweep(struct store *s); /* those that nobody needs */
void store_secrets_done(struct store *s);

/* store_routes.c */
/* Of the bytes alone: what has not changed is not unpacked. */
int store_routes_read(struct store *s, const struct store_item *i, struct xds_report *report)
    NODISCARD;
/* Virtual hosts: each host's refusal is its own, but where two have one domain: then all that came
 * for their table are refused. */
void store_hosts_update(struct store *s, const struct xds_update *u, struct buf *refused);
void store_hosts_unwant(struct store *s, struct route_slot *slot);
void store_routes_settle(struct store *s); /* tables whose clusters are there come into force */
bool store_table_names(const void *table, struct str cluster);
/* The table in force, or a host of it that is replaced only in the next. */
bool store_slot_names(const struct route_slot *slot, struct str cluster);

/* store_listeners.c */
int store_listener_add(struct store *s, const struct store_item *i) NODISCARD;
void store_listener_remove(struct store *s, struct str name);
/* Tables whose clusters are there come into force, then listeners whose tables are. */
void store_listeners_settle(struct store *s);
bool store_names_cluster(struct store *s, struct str name); /* a table in force */
bool store_listeners_are_warm(const struct store *s);
bool store_listeners_wait(const struct store *s); /* one, or a table */
void store_listeners_done(struct store *s);
