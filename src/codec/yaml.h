#pragma once
/* YAML to JSON and back (libyaml), with Kubernetes' reading of scalars (yes is true, 0x1F is 31,
 * 0o400 and 0400 are 256) and merge keys; aliases count towards the node limit, so a bomb is an
 * error, not a gigabyte. */

#include "codec/json.h"

enum {
    YAML_NODES_MAX = 200000,
    YAML_DEPTH_MAX = 256,
};

/* Parses one document (an empty one gives NULL in *ret). -EINVAL with line and column, -E2BIG over
 * the limits. */
int yaml_parse(struct str text, json_t **ret, struct err *reterr) NODISCARD;
/* Parses every document of a stream; empty ones are skipped. *ret is an array. */
int yaml_parse_all(struct str text, json_t **ret, struct err *reterr) NODISCARD;
/* Block style, keys in order, as kubectl -o yaml prints. */
void yaml_write(struct buf *b, const json_t *j);
