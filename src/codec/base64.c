/* Base64 codecs. Pure. */
#include "codec/base64.h"

#include <errno.h>

static const char standard[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void encode(struct str in, const char *alphabet, bool pad, struct buf *ret)
{
    for (size_t i = 0; i < in.n; i += 3) {
        size_t n = MIN((size_t)3, in.n - i);
        uint32_t v = 0;
        for (size_t k = 0; k < 3; k++)
            v = v << 8 | (k < n ? (unsigned char)in.p[i + k] : 0);
        for (size_t k = 0; k < 4; k++) {
            if (k <= n)
                buf_add_char(ret, alphabet[v >> (18 - 6 * k) & 63]);
            else if (pad)
                buf_add_char(ret, '=');
        }
    }
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
