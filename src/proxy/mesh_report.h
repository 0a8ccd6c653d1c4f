#pragma once
/* The mesh's series as reports to the control plane (fairlead.telemetry.v1): what has come of each
 * since the report before. The main thread. */

#include <fairlead/telemetry/v1/telemetry.pb-c.h>

#include "proxy/mesh_series.h"

/* Who is spoken with, as bytes that live as long as the series. */
void mesh_report_pair(const struct mesh_key *k, Fairlead__Telemetry__V1__Pair *ret);
/* Appends reports, until there are `bytes` of them: what is left is told the next time. */
void mesh_report(size_t bytes, struct buf *to);
/* What has been counted so far is not told any more. */
void mesh_report_begin(void);

static inline ProtobufCBinaryData mesh_bytes(struct str s)
{
    return (ProtobufCBinaryData){s.n, (uint8_t *)(uintptr_t)s.p};
}
