#pragma once
/* Clocks and the time formats of the Kubernetes API. A manual clock lets tests run without
 * sleeping. */

#include <stdint.h>

#include "base/buf.h"

uint64_t time_mono_us(void); /* monotonic, microseconds */
uint64_t time_mono_ms(void);
int64_t time_real_us(void); /* since the epoch */
int64_t time_real_s(void);

/* From now on both clocks answer this value (microseconds); 0 returns to the real ones. Tests only.
 */
void time_set_manual(uint64_t now_us);

/* RFC 3339 in UTC: metav1.Time has seconds, metav1.MicroTime six digits. buf sizes include the NUL.
 */
void time_format_rfc3339(int64_t unix_s, char ret[21]);
void time_format_rfc3339_micro(int64_t unix_us, char ret[28]);
/* Sat, 28 Nov 2026 14:09:44 GMT (RFC 9110 section 5.6.7). */
void time_format_http(int64_t unix_s, char ret[30]);
int time_parse_rfc3339(struct str s, int64_t *ret_unix_us) NODISCARD;

/* The Age column: 5s, 2m5s, 10m, 3h5m, 2d, 1y30d (apimachinery duration.HumanDuration). */
void time_format_human(int64_t seconds, char ret[24]);

/* Go-style durations for flags: 300ms, 1.5s, 2m30s, 1h. */
int time_parse_duration(struct str s, uint64_t *ret_ms) NODISCARD;
