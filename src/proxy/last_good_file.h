#pragma once
/* The bytes of a last good configuration: resources by type, each with its name and version, under
 * a header. Pure.
 *
 *    0  8  "FAIRLEAD"
 *    8  4  version of the format, LAST_GOOD_FORMAT
 *   12  4  0
 *   16  8  bytes of the body, which is the rest of the file
 *   24  8  XXH3 of the body, seeded with that of the 24 bytes before
 *
 * Body: 8 bytes of wall-clock time (ms since 1970), then records (4 bytes of length, bytes): a
 * core.v3.Node with id and cluster, then a DeltaDiscoveryResponse for each type in the order of
 * enum xds_resource. Numbers are little-endian. The checksum finds what a disk does; against
 * somebody who may write there is no defence but the directory's mode. */

#include "base/buf.h"
#include "xds/xds_client.h"

enum {
    LAST_GOOD_FORMAT = 1,
    LAST_GOOD_HEADER_BYTES = 32,
    LAST_GOOD_BYTES_MAX = 64 << 20, /* a larger one is neither written nor read */
};

struct last_good_type {
    struct xds_item *items;
    size_t n;
};

struct last_good_file {
    struct str node_id, node_cluster;
    uint64_t at_ms; /* when it was written */
    struct last_good_type types[XDS_RESOURCES];
};

/* Adds the bytes. -E2BIG: more than LAST_GOOD_BYTES_MAX. */
int last_good_encode(const struct last_good_file *f, struct buf *b, struct err *reterr) NODISCARD;
/* Everything lies in the arena, or in bytes, which outlive it. -EBADMSG: what is wrong with it. */
int last_good_decode(struct str bytes, struct arena *a, struct last_good_file *ret,
                     struct err *reterr) NODISCARD;
