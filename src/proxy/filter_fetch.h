#pragma once
/* Questions of filters to clusters. */

#include "proxy/filter.h"

/* NULL: there is no such cluster, no endpoint, no place for the request. Lives in the arena of the
 * client's stream; gone when it has been answered or cancelled. */
struct filter_fetch *filter_fetch_start(struct filter_call *c, const struct filter_question *q);
void filter_fetch_cancel(struct filter_fetch *f); /* NULL is allowed */
