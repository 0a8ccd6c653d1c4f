/* Base64 codecs. Pure. */
#include "codec/base64.h"

#include <errno.h>

#include "base/assert.h"

static const char standard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* Up to three bytes to four characters; how many of them are not padding. */
static size_t encode_group(const unsigned char *p, size_t n, const char *alphabet, char ret[4])
{
    ASSERT(n >= 1 && n <= 3);
    uint32_t v = (uint32_t)p[0] << 16 | (n > 1 ? (uint32_t)p[1] << 8 : 0) | (n > 2 ? p[2] : 0);
    for (size_t k = 0; k < 4; k++)
        ret[k] = k <= n ? alphabet[v >> (18 - 6 * k) & 63] : '=';
    return n + 1;
}

static void encode(struct str in, const char *alphabet, bool pad, struct buf *ret)
{
    for (size_t i = 0; i < in.n; i += 3) {
        char four[4];
        size_t n =
            encode_group((const unsigned char *)in.p + i, MIN(in.n - i, (size_t)3), alphabet, four);
        buf_add(ret, four, pad ? 4 : n);
    }
}

void base64_encode_short(const unsigned char *p, size_t n, char *ret)
{
    for (size_t i = 0; i < n; i += 3, ret += 4)
        (void)encode_group(p + i, MIN(n - i, (size_t)3), standard, ret);
    *ret = '\0';
}

void base64_encode(struct str in, struct buf *ret)
{
    encode(in, standard, true, ret);
}

void base64url_encode(struct str in, struct buf *ret)
{
    encode(in, url, false, ret);
}

static int decode(struct str in, const char *alphabet, bool padded, struct buf *ret)
{
    uint32_t v = 0;
    unsigned count = 0, pads = 0;
    for (size_t i = 0; i < in.n; i++) {
        char c = in.p[i];
        if (padded && (c == '\n' || c == '\r'))
            continue;
        if (padded && c == '=') {
            pads++;
            continue;
        }
        const char *at = c ? strchr(alphabet, c) : NULL;
        if (!at || pads)
            return -EINVAL;
        v = v << 6 | (uint32_t)(at - alphabet);
        if (++count % 4 == 0) {
            buf_add_u8(ret, (uint8_t)(v >> 16));
            buf_add_u8(ret, (uint8_t)(v >> 8));
            buf_add_u8(ret, (uint8_t)v);
            v = 0;
        }
    }
    unsigned left = count % 4;
    if (left == 1 || (padded && (left ? pads != 4 - left : pads != 0)))
        return -EINVAL;
    if (left == 2)
        buf_add_u8(ret, (uint8_t)(v >> 4));
    if (left == 3) {
        buf_add_u8(ret, (uint8_t)(v >> 10));
        buf_add_u8(ret, (uint8_t)(v >> 2));
    }
    return ret->failed ? -ENOMEM : 0;
}

int base64_decode(struct str in, struct buf *ret)
{
    return decode(in, standard, true, ret);
}

int base64url_decode(struct str in, struct buf *ret)
{
    return decode(in, url, false, ret);
}
