#pragma once
/* Names that a sidecar's DNS answers itself: hosts that no other DNS need know (ServiceEntries), as
 * the control plane tells of them (istio.networking.nds.v1.NameTable, in one resource or in many).
 * One thread. */

#include "base/addr.h"
#include "base/map.h"
#include "xds/xds_client.h"

enum {
    NAME_TABLE_NAMES_MAX = 65536, /* further ones are asked of others */
    NAME_TABLE_IPS_MAX = 256,     /* of a name */
};

struct name_addresses {
    const void *from; /* the resource */
    size_t n;
    struct ip ips[];
};

/* Zero-initialised it is empty. */
struct name_table {
    struct map names;     /* in lower case -> struct name_addresses; also "*.name" */
    struct map resources; /* name -> struct name_resource */
};

/* Resources of XDS_NAMES. Of two that have a name the later one counts. What cannot be read goes
 * into `refused`, and is as it was. */
void name_table_update(struct name_table *t, const struct xds_update *u, struct buf *refused);
void name_table_done(struct name_table *t);
/* name: in lower case, without the dot at the end. NULL: not ours. */
const struct name_addresses *name_table_find(const struct name_table *t, struct str name);
