#pragma once
/* Readers of the annotations that protect: values by closed grammars into a guard. Each returns
 * NULL, or why the value is not taken; then what protects closes (ingress_annotations.c). */

#include "model/ingress_annotations.h"

enum { INGRESS_BODY_MAX_BYTES = 1 << 20 }; /* of ingress-nginx, where nothing is said */

const char *read_proxy_body_size(struct ingress_policy *p, const char *value);
const char *read_allow_source_range(struct ingress_policy *p, const char *value);
const char *read_whitelist_source_range(struct ingress_policy *p, const char *value);
const char *read_denylist_source_range(struct ingress_policy *p, const char *value);
const char *read_limit_connections(struct ingress_policy *p, const char *value);
const char *read_limit_rpm(struct ingress_policy *p, const char *value);
const char *read_limit_rps(struct ingress_policy *p, const char *value);
const char *read_limit_burst_multiplier(struct ingress_policy *p, const char *value);
const char *read_limit_allowlist(struct ingress_policy *p, const char *value);
const char *read_limit_whitelist(struct ingress_policy *p, const char *value);
/* When all have been read. */
void ingress_guard_finish(struct ingress_policy *p, const struct ingress_object *i);
