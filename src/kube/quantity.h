#pragma once
/* Resource quantities: "100m", "1Gi", "1e3". */

#include "base/str.h"

enum { QUANTITY_TEXT_BYTES = 48 };

/* The canonical form (no fraction, the largest suffix that fits): 1000m -> 1, 1024Ki -> 1Mi, 0.5 ->
 * 500m. -EINVAL. */
int quantity_canonical(struct str in, char ret[QUANTITY_TEXT_BYTES]) NODISCARD;

/* Value rounded up to an integer; -EINVAL, -ERANGE. */
int quantity_value(struct str in, int64_t *ret) NODISCARD;
/* Thousandths, rounded up: what CPU is counted in. */
int quantity_milli(struct str in, int64_t *ret) NODISCARD;
