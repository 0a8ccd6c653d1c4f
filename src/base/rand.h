#pragma once
/* Randomness from the kernel (getrandom), buffered per thread: fit for tokens and for choices. */

#include <stddef.h>
#include <stdint.h>

void rand_bytes(void *p, size_t n);
uint64_t rand_u64(void);
/* Uniform in [0, n), n > 0. */
uint64_t rand_below(uint64_t n);
/* n characters of Kubernetes' safe alphabet (no vowels, no look-alikes), NUL-terminated: ret holds
 * n + 1. */
void rand_suffix(char *ret, size_t n);
/* RFC 9562 version 4 UUID, 36 characters and NUL. */
void rand_uuid(char ret[37]);
