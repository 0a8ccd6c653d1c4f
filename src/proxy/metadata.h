#pragma once
/* Metadata of clusters and endpoints: what filter_metadata says, and what metrics make of it. */

#include <envoy/config/core/v3/base.pb-c.h>

#include "base/str.h"

/* The struct of that name; NULL: none. m may be NULL. Borrowed. */
const Google__Protobuf__Struct *metadata_find(const Envoy__Config__Core__V3__Metadata *m,
                                              const char *name);
/* NULL: there is no such field. s may be NULL. Borrowed. */
const Google__Protobuf__Value *metadata_value(const Google__Protobuf__Struct *s, const char *key);
/* Of a string; .p NULL: it is none. */
struct str metadata_text(const Google__Protobuf__Struct *s, const char *key);

bool metadata_is_true(const Google__Protobuf__Struct *s, const char *key);

/* A label_text(): the workload of an endpoint (istio.workload); NULL: it is not told. */
const char *metadata_workload(const Envoy__Config__Core__V3__Metadata *m);
/* The first Service of a cluster (istio.services), "HOST;NAME;NAMESPACE"; of Istio's clusters of
 * what goes on as it is their name alone. */
const char *metadata_service(const Envoy__Config__Core__V3__Metadata *m, const char *cluster);
