#pragma once
/* JSON as Go writes it, which Helm's toJson gives: members in the order of their names, <, > and &
 * as escapes. */

#include "codec/json.h"

void go_json_write(struct buf *b, const json_t *j);
