#pragma once
/* Fields that a filter takes from one message to another. */

#include "base/arena.h"
#include "codec/http_head.h"

/* Does it say how one message is framed, or how its connection goes on? Then it says nothing of
 * another. */
bool filter_field_is_of_one_hop(const struct http_field *f);
/* A copy that outlives its message. False: no memory. */
bool filter_field_keep(const struct http_field *f, struct arena *a, struct http_header *ret);
