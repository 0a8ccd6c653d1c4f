#pragma once
/* The join of Services with their EndpointSlices: what a watch tells becomes one entry per Service,
 * and the set of entries that changed since somebody looked. The entries are the same for every
 * node: agent, control plane and cluster DNS make of them what they need. Services of one name in
 * several clusters are one entry: its object is that of the first one, our own before others. */

#include "base/list.h"
#include "kube/types.h"

struct service_entry;

struct joined_service {
    struct list_node dirty;            /* linked while it is */
    const struct service_entry *entry; /* whose host it is; NULL: a Service; its owner's */
    struct service_object *object;     /* NULL: only slices are known; others by next */
    VEC(struct slice_object *) slices; /* sorted by key */
    void *user;                        /* what its owner made of it; NULL when the entry goes */
    char key[];
};

struct service_join {
    struct intern topologies;
    struct map services;    /* service key -> struct joined_service */
    struct map slices;      /* slice key -> struct slice_object */
    struct list_node dirty; /* in the order they became it */
    size_t n_services;      /* with an object */
    size_t n_dirty;
};

struct service_join *service_join_new(void);
void service_join_free(struct service_join *j);

/* Each adds, replaces or removes, and marks what that touches. The objects are taken. A slice may
 * move to another Service. */
void service_join_add_service(struct service_join *j, struct service_object **object);
void service_join_remove_service(struct service_join *j, struct str key);
/* That of one cluster; the above: of our own. */
void service_join_remove_service_of(struct service_join *j, struct str key, uint16_t cluster);
void service_join_add_slice(struct service_join *j, struct slice_object **slice);
void service_join_remove_slice(struct service_join *j, struct str key);

/* Borrowed; NULL = nothing known. */
struct joined_service *service_join_find(const struct service_join *j, const char *key);
/* for (size_t at = 0; service_join_next(j, &at, &s);) */
bool service_join_next(const struct service_join *j, size_t *at, struct joined_service **ret);

/* Is there an endpoint that may be asked by that port (name): ready, or still serving while it
 * ends? */
bool joined_service_has_endpoints(const struct joined_service *s, const char *port);

/* Whatever its state. */
bool joined_service_has_ip(const struct joined_service *s, uint16_t cluster, const struct ip *ip);

void service_join_mark_all(struct service_join *j);
/* Those whose endpoints have hints: what changes with the zone of a place. */
void service_join_mark_hinted(struct service_join *j);
/* What its owner makes of it would be something else now, for a reason of his own. */
void service_join_mark(struct service_join *j, struct joined_service *s);
/* The next dirty one, which then is no more; NULL = none left. */
struct joined_service *service_join_take_dirty(struct service_join *j);
/* The owner is done with it: an entry of which nothing is left goes. */
void service_join_settle(struct service_join *j, struct joined_service *s);
