#pragma once
/* What %START_TIME% stands for. */

#include "codec/format.h"

/* The piece's argument: strftime's letters in UTC, %s seconds, %f microseconds, %1f to %9f so many
 * digits of the second; without one 2026-11-28T00:50:01.631Z. */
void format_time(const struct format_piece *p, int64_t unix_us, struct buf *to);
