#pragma once
/* A resource as a server of the xDS protocol has it, packed once for all who ask. One thread. */

#include "base/buf.h"
#include "xds/xds_name.h"

/* One resource as it goes out; immutable and reference-counted. */
struct xds_entry {
    unsigned refs;
    enum xds_resource type;
    struct xds_name *key;
    struct xds_name *endpoints_key; /* NULL: there are none */
    struct str name;                /* the key's */
    struct str version;   /* of the content: the same from every server and after a restart */
    struct str resource;  /* a packed envoy.service.discovery.v3.Resource */
    struct str any;       /* the google.protobuf.Any in it */
    struct str message;   /* the packed message in that */
    struct str endpoints; /* of a cluster: what its endpoints are called in EDS; empty: none */
    char *packed;         /* whose memory that is; NULL: only the version is known */
    char data[];
};

/* message: the packed resource. endpoints: empty if it has none. */
struct xds_entry *xds_entry_new(enum xds_resource type, struct str name, struct str message,
                                struct str endpoints);
/* One of which only the version is known: what a client says it holds. */
struct xds_entry *xds_entry_new_held(enum xds_resource type, struct str name, struct str version);
struct xds_entry *xds_entry_ref(struct xds_entry *e);
void xds_entry_unref(struct xds_entry *e); /* NULL is allowed */

/* How a resource stands in a response. */
enum xds_form {
    XDS_AS_RESOURCE, /* delta: in its Resource */
    XDS_AS_ANY,      /* state of the world; those whose names stand nowhere else, in a Resource */
};
/* Its field in a response. */
void xds_entry_add(struct buf *to, enum xds_form form, const struct xds_entry *e);
