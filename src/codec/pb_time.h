#pragma once
/* Duration and Timestamp of protobuf as texts: "1.5s", "2026-01-31T12:00:00.5Z". */

#include "base/str.h"

/* Seconds of a Duration: +- 10,000 years. */
#define PB_DURATION_SECONDS_MAX INT64_C(315576000000)

/* -EINVAL: not such a text; -ERANGE. Nanoseconds have the sign of the seconds. */
int pb_duration_parse(struct str s, int64_t *ret_seconds, int32_t *ret_nanos) NODISCARD;
/* -ERANGE: no valid Duration. 40 bytes are enough. */
int pb_duration_format(int64_t seconds, int32_t nanos, char *ret, size_t size) NODISCARD;

/* RFC 3339 with Z or an offset, years 1 to 9999. */
int pb_timestamp_parse(struct str s, int64_t *ret_seconds, int32_t *ret_nanos) NODISCARD;
int pb_timestamp_format(int64_t seconds, int32_t nanos, char *ret, size_t size) NODISCARD;
