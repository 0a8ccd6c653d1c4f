#pragma once
/* Names of resources. Each is there once for all who have to do with it, and has a number, so that
 * what is kept of many names is kept by number (xds_table.h) and no text is compared. The table of
 * names is the thread's own: what holds names belongs to one thread. */

#include <stdint.h>

#include "xds/xds_types.h"

struct xds_name {
    unsigned refs;
    uint32_t id; /* among names of its type, small; another's when this one has gone */
    enum xds_resource type;
    struct xds_name *table; /* of a virtual host: the name of its table; NULL: none */
    struct str text;
    char data[];
};

/* One more reference, to that which is there or a new one. */
struct xds_name *xds_name_new(enum xds_resource type, struct str text);
struct xds_name *xds_name_find(enum xds_resource type, struct str text); /* borrowed; NULL */
struct xds_name *xds_name_get(enum xds_resource type, uint32_t id);      /* borrowed; in use */
struct xds_name *xds_name_ref(struct xds_name *n);
void xds_name_unref(struct xds_name *n); /* NULL is allowed */
size_t xds_names_used(enum xds_resource type);
