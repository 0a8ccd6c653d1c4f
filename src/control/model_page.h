#pragma once
/* The model as JSON, for /debug/snapshot: how many objects there are, the Services with their
 * endpoints, hosts with their routes, and what is refused and why. It names Secrets; nothing that
 * stands in one is in the model. Lists are sorted by name: two pages may be compared. */

#include "control/control.h"

/* Owned by the caller. Before the first lists are complete: what is known so far. */
json_t *model_page(const struct control *c) NODISCARD;
