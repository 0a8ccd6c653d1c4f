/* Kernel randomness. Owns a small buffer per thread, wiped as it is used. */
#include "base/rand.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "base/assert.h"
#include "base/mem.h"

static _Thread_local struct {
    unsigned char bytes[1024];
    size_t left;
} pool;

static void rand_fill(unsigned char *p, size_t n)
{
    while (n) {
        ssize_t got = getrandom(p, n, 0);
        if (got < 0) {
            ASSERT(errno == EINTR);
            continue;
        }
        p += got;
        n -= (size_t)got;
    }
}

void rand_bytes(void *p, size_t n)
{
    if (n > sizeof(pool.bytes) / 4) {
        rand_fill(p, n);
        return;
    }
    if (pool.left < n) {
        rand_fill(pool.bytes, sizeof(pool.bytes));
        pool.left = sizeof(pool.bytes);
    }
    pool.left -= n;
    memcpy(p, pool.bytes + pool.left, n);
    explicit_bzero(pool.bytes + pool.left, n);
}

uint64_t rand_u64(void)
{
    uint64_t v;
    rand_bytes(&v, sizeof(v));
    return v;
}

uint64_t rand_below(uint64_t n)
{
    ASSERT(n > 0);
    uint64_t limit = UINT64_MAX - UINT64_MAX % n;
    uint64_t v;
    do
        v = rand_u64();
    while (v >= limit);
    return v % n;
}

void rand_suffix(char *ret, size_t n)
{
    static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";
    for (size_t i = 0; i < n; i++)
        ret[i] = alphabet[rand_below(sizeof(alphabet) - 1)];
    ret[n] = '\0';
}

void rand_uuid(char ret[37])
{
    unsigned char b[16];
    rand_bytes(b, sizeof(b));
    b[6] = (unsigned char)((b[6] & 0x0f) | 0x40);
    b[8] = (unsigned char)((b[8] & 0x3f) | 0x80);
    snprintf(ret, 37, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", b[0],
             b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13],
             b[14], b[15]);
}
