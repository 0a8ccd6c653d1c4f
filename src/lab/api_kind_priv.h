#pragma once
/* The parts of api_kind.c that are particular to kinds. */

#include "kube/validate.h"
#include "lab/api_kind.h"

/* Defaults that depend on other fields. */
void api_kind_default_rules(const struct api_kind *k, json_t *object);
void api_kind_validate_metadata(const struct api_kind *k, const json_t *object, struct field_errors *e);
/* Rules between fields, and what may not change. old NULL = create. */
void api_kind_validate_rules(const struct api_kind *k, const json_t *object, const json_t *old, struct field_errors *e);
