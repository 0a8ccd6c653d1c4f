#pragma once
/* What a scalar of a YAML document means. */

#include "codec/json.h"

/* A plain scalar (no quotes, no tag); NULL: a string that is not UTF-8. New reference. */
json_t *yaml_plain_scalar(struct str s);
/* An infinity or NaN: JSON has no such number. */
bool yaml_is_no_number(struct str s);
/* The scalar as its tag says ("tag:yaml.org,2002:int"); NULL: it cannot be read so. */
json_t *yaml_tagged_scalar(struct str s, const char *tag);
