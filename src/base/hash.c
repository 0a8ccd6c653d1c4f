/* xxHash behind two functions. Owns the seed of the process, drawn once. */
#include "base/hash.h"

#include <xxhash.h>

#include "base/rand.h"

uint64_t hash_bytes_seed(const void *p, size_t n, uint64_t seed)
{
    return XXH3_64bits_withSeed(p, n, seed);
}

uint64_t hash_bytes(const void *p, size_t n)
{
    static uint64_t seed;
    if (!seed)
        seed = rand_u64() | 1;
    return hash_bytes_seed(p, n, seed);
}

uint64_t hash_xxh64(const void *p, size_t n, uint64_t seed)
{
    return XXH64(p, n, seed);
}
