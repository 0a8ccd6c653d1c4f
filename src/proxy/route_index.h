#pragma once
/* The routes of a host by their paths, so that 5,000 cost what 5 do. */

#include "proxy/route.h"

int route_index_build(struct route_host *h, struct arena *a) NODISCARD; /* it lives in a */
