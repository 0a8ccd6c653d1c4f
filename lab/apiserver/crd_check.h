#pragma once
/* Is an openAPIV3Schema a structural schema? (KEP-2556) */

#include "kube/validate.h"

/* path: where it stands. has_status: the version has a status subresource, which needs an object at
 * the root. */
void crd_check_schema(const json_t *schema, const char *path, bool has_status,
                      struct field_errors *e);
