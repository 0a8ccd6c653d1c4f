#pragma once
/* YAML as Kubernetes uses it: a stream of documents that stand for JSON. libyaml reads, the limits are ours. */

#include "codec/json.h"

enum {
    YAML_NODES_MAX = 500 * 1000, /* after aliases are expanded: what bounds an alias bomb */
    YAML_DEPTH_MAX = 200,
};

/* Parses all documents of text into a JSON array (empty documents are left out). Scalars: null, booleans (true and false
 * only: yes, no, on and off stay strings), integers, floats, everything quoted is a string. A key that is there twice:
 * the last wins, the first such name goes to ret_duplicate (may be NULL; 128 bytes). -EINVAL with the line in
 * reterr, -E2BIG over max_bytes (0 = none) or YAML_NODES_MAX, -EOVERFLOW over YAML_DEPTH_MAX. */
int yaml_parse(struct str text, size_t max_bytes, char *ret_duplicate, json_t **ret, struct err *reterr) NODISCARD;

/* Block style, keys in the order of the object: what kubectl -o yaml prints (without its sorting). */
void yaml_write(struct buf *b, const json_t *j);
