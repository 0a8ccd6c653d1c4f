#pragma once
/* What a server of the xDS protocol serves: resources by type and name, each packed once for all
 * who ask. One set for all clients that see the same; streams watch it. One thread. */

#include "base/list.h"
#include "xds/xds_table.h"

struct xds_runs;

struct xds_watch {
    struct list_node node;
    /* It has come, changed or gone. */
    void (*on_change)(struct xds_watch *w, struct xds_name *name);
};

struct xds_set {
    struct xds_table entries[XDS_RESOURCES]; /* its own */
    struct list_node watches;
    uint64_t changes;     /* ever */
    struct xds_set *over; /* what it shows beside its own; NULL: nothing */
    struct xds_watch watch;
    struct xds_runs *runs; /* of the lowest set: what streams were sent of all; NULL: nothing yet */
};

struct xds_set *xds_set_new(void);
/* One that shows what `under` has, too, but for names that it has itself: what many see in common
 * is there once. `under` must outlive it. */
struct xds_set *xds_set_new_over(struct xds_set *under);
void xds_set_free(struct xds_set *s); /* nobody watches any more */
/* Another set under it, which must outlive it: what it shows otherwise from now on is told. */
void xds_set_move(struct xds_set *s, struct xds_set *under);

/* Takes the entry. False: it was there already, with the same version. */
bool xds_set_put(struct xds_set *s, struct xds_entry *e);
bool xds_set_remove(struct xds_set *s, enum xds_resource type, struct str name);
struct xds_entry *xds_set_find(const struct xds_set *s, enum xds_resource type,
                               struct str name); /* borrowed; NULL */
struct xds_entry *xds_set_find_name(const struct xds_set *s, const struct xds_name *name);
size_t xds_set_count(const struct xds_set *s, enum xds_resource type); /* its own */
/* Zero-initialised; for each entry that the set shows. */
struct xds_iter {
    const struct xds_set *layer;
    size_t at;
};
bool xds_set_next(const struct xds_set *s, enum xds_resource type, struct xds_iter *i,
                  struct xds_entry **ret);
void xds_set_watch(struct xds_set *s, struct xds_watch *w);
void xds_set_unwatch(struct xds_watch *w);
