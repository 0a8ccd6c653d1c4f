#pragma once
/* Constraints of single fields that their types do not say: required, not empty, ranges. One small
 * table (xds_validate.def). What needs more than one message (does the cluster exist?) is not here.
 */

#include "codec/pb_path.h"
#include "xds/xds_report.h"

/* Reports what m itself breaks, not the messages in it. */
void xds_validate(const ProtobufCMessage *m, struct pb_path *path, struct xds_report *r);
