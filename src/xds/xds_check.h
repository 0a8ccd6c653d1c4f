#pragma once
/* Is a message what this proxy supports? One walk over all that is set in it, through Anys too. */

#include <google/protobuf/any.pb-c.h>

#include "codec/pb_msg.h"
#include "codec/pb_path.h"
#include "xds/xds_report.h"
#include "xds/xds_types.h"

/* Memory for the contents of one Any while they are looked at; of one in an Any half as much, and
 * so on, so that all together stays below twice this. */
enum { XDS_CHECK_MEMORY_MAX = 64 << 20 };

/* Adds to the report: fields whose row is not USED (with note), fields of the wire that are unknown
 * (a warning), extensions that are unknown, refused or out of their place (a refusal; a warning
 * where is_optional is set beside them), enum values without a name, and broken constraints
 * (xds_validate.h). -EINVAL if anything was refused. */
int xds_check(const ProtobufCMessage *m, struct xds_report *r) NODISCARD;

/* A resource as it came: unpacked into a and checked; r is empty before, one for each resource.
 * *ret is set only if it was accepted. Errors of the bytes and the first refusal go to reterr, all
 * findings to r. */
int xds_resource_unpack(enum xds_resource type, struct str bytes, struct arena *a,
                        ProtobufCMessage **ret, struct xds_report *r, struct err *reterr) NODISCARD;

/* The same of a part, a message of descriptor d that stands at `at`; r may hold more already. */
int xds_part_unpack(const ProtobufCMessageDescriptor *d, struct str bytes, const struct pb_path *at,
                    struct arena *a, ProtobufCMessage **ret, struct xds_report *r,
                    struct err *reterr) NODISCARD;

/* The extension in an Any of a checked message, by its type URL: see (*ret)->descriptor. -ENOENT if
 * it is not in the table or not used (an optional one: leave it out). */
int xds_any_unpack(const Google__Protobuf__Any *any, struct arena *a, ProtobufCMessage **ret,
                   struct err *reterr) NODISCARD;
