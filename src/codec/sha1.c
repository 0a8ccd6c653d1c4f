/* SHA-1. */
#include "codec/sha1.h"

static uint32_t be32(const unsigned char *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint32_t rotate(uint32_t v, unsigned n)
{
    return v << n | v >> (32 - n);
}

static void sha1_block(uint32_t h[5], const unsigned char block[64])
{
    uint32_t w[80], a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
    for (size_t i = 0; i < 16; i++)
        w[i] = be32(block + i * 4);
    for (size_t i = 16; i < 80; i++)
        w[i] = rotate(w[i - 3] ^ w[i - 8] ^ w[i - 14] ^ w[i - 16], 1);
    for (size_t i = 0; i < 80; i++) {
        static const uint32_t k[4] = {0x5a827999, 0x6ed9eba1, 0x8f1bbcdc, 0xca62c1d6};
        uint32_t f = i < 20              ? (b & c) | (~b & d)
                     : i < 40 || i >= 60 ? b ^ c ^ d
                                         : (b & c) | (b & d) | (c & d);
        uint32_t t = rotate(a, 5) + f + e + k[i / 20] + w[i];
        e = d;
        d = c;
        c = rotate(b, 30);
        b = a;
        a = t;
    }
    h[0] += a;
    h[1] += b;
    h[2] += c;
    h[3] += d;
    h[4] += e;
}

/* The last block or two: what is left, one bit, the length. */
static void finish(uint32_t h[5], struct str left, uint64_t bytes)
{
    unsigned char blocks[128] = {0};
    size_t n = left.n < 56 ? 64 : 128;
    if (left.n)
        memcpy(blocks, left.p, left.n);
    blocks[left.n] = 0x80;
    for (size_t i = 0; i < 8; i++)
        blocks[n - 1 - i] = (unsigned char)(bytes * 8 >> 8 * i);
    for (size_t at = 0; at < n; at += 64)
        sha1_block(h, blocks + at);
}

void sha1(struct str s, unsigned char ret[SHA1_BYTES])
{
    uint32_t h[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    size_t at = 0;
    for (; s.n - at >= 64; at += 64)
        sha1_block(h, (const unsigned char *)s.p + at);
    finish(h, str_sub(s, at, s.n), s.n);
    for (size_t i = 0; i < SHA1_BYTES; i++)
        ret[i] = (unsigned char)(h[i / 4] >> (24 - i % 4 * 8));
}
