#pragma once
/* Hashing: xxHash (XXH3, 64 bits). The seed of a process is random, so that input cannot aim at a
 * bucket. */

#include <stddef.h>
#include <stdint.h>

uint64_t hash_bytes(const void *p, size_t n);                     /* seeded per process */
uint64_t hash_bytes_seed(const void *p, size_t n, uint64_t seed); /* stable across processes */
/* XXH64: where others must come to the same number. */
uint64_t hash_xxh64(const void *p, size_t n, uint64_t seed);
