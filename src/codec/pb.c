/* Protobuf wire format: varints, fixed numbers and length-delimited fields. Every read is bounded
 * by the slice; a length past its end is malformed. Owns nothing. */
#include "codec/pb.h"

#include <assert.h>

#include <errno.h>

static int varint(struct str *in, uint64_t *ret)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        if (!in->n)
            return -EBADMSG;
        uint8_t b = (uint8_t)*in->p;
        in->p++;
        in->n--;
        if (shift == 63 && b > 1)
            return -EBADMSG;
        v |= (uint64_t)(b & 0x7f) << shift;
        if (!(b & 0x80)) {
            *ret = v;
            return 0;
        }
    }
    return -EBADMSG;
}

static int fixed(struct str *in, size_t n, uint64_t *ret)
{
    uint64_t v = 0;
    if (in->n < n)
        return -EBADMSG;
    for (size_t i = 0; i < n; i++)
        v |= (uint64_t)(uint8_t)in->p[i] << (8 * i);
    in->p += n;
    in->n -= n;
    *ret = v;
    return 0;
}

int pb_next(struct str *in, struct pb_field *ret)
{
    uint64_t tag, length;
    if (!in->n)
        return 0;
    if (varint(in, &tag) < 0 || tag >> 3 == 0 || tag >> 3 > 0x1fffffff)
        return -EBADMSG;
    *ret = (struct pb_field){.number = tag >> 3};
    switch (tag & 7) {
    case PB_VARINT:
        ret->wire = PB_VARINT;
        return varint(in, &ret->value) < 0 ? -EBADMSG : 1;
    case PB_FIXED64:
        ret->wire = PB_FIXED64;
        return fixed(in, 8, &ret->value) < 0 ? -EBADMSG : 1;
    case PB_FIXED32:
        ret->wire = PB_FIXED32;
        return fixed(in, 4, &ret->value) < 0 ? -EBADMSG : 1;
    case PB_BYTES:
        if (varint(in, &length) < 0 || length > in->n)
            return -EBADMSG;
        ret->wire = PB_BYTES;
        ret->bytes = str_of(in->p, (size_t)length);
        in->p += length;
        in->n -= (size_t)length;
        return 1;
    default:
        return -EBADMSG;
    }
}

void pb_add_varint(struct buf *to, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        buf_add_char(to, (char)(value | 0x80));
    buf_add_char(to, (char)value);
}

void pb_add_bytes(struct buf *to, unsigned number, struct str bytes)
{
    pb_add_varint(to, (uint64_t)number << 3 | PB_BYTES);
    pb_add_varint(to, bytes.n);
    buf_add_str(to, bytes);
}

void pb_add_double(struct buf *to, unsigned number, double value)
{
    uint64_t bits;
    static_assert(sizeof(bits) == sizeof(value), "a double is a fixed64");
    memcpy(&bits, &value, sizeof(bits));
    pb_add_varint(to, (uint64_t)number << 3 | PB_FIXED64);
    for (unsigned i = 0; i < sizeof(bits); i++)
        buf_add_u8(to, (uint8_t)(bits >> (8 * i)));
}

void pb_add_uint(struct buf *to, unsigned number, uint64_t value)
{
    pb_add_varint(to, (uint64_t)number << 3 | PB_VARINT);
    pb_add_varint(to, value);
}

/* One byte is left for the length, which is enough for most. */
size_t pb_begin(struct buf *to, unsigned number)
{
    pb_add_varint(to, (uint64_t)number << 3 | PB_BYTES);
    buf_add_char(to, 0);
    return to->n;
}

void pb_end(struct buf *to, size_t at)
{
    char length[10];
    size_t n = 0, size = to->n - at;
    if (to->failed)
        return;
    for (uint64_t rest = size; rest >= 0x80; rest >>= 7)
        length[n++] = (char)(rest | 0x80);
    length[n] = (char)(size >> (7 * n));
    if (n && !buf_reserve(to, n))
        return;
    memmove(to->p + at + n, to->p + at, size);
    memcpy(to->p + at - 1, length, n + 1);
    to->n += n;
}
