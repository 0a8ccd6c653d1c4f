/* gRPC's frames and fields. */
#include "codec/grpc.h"

#include <errno.h>

enum { PREFIX = 5 }; /* compressed or not, and the length in four bytes */

int grpc_next(struct chain *in, size_t max, struct chain *ret)
{
    uint8_t prefix[PREFIX];
    if (in->n < PREFIX)
        return 0;
    chain_copy(in, prefix, PREFIX);
    size_t n =
        (size_t)prefix[1] << 24 | (size_t)prefix[2] << 16 | (size_t)prefix[3] << 8 | prefix[4];
    if (prefix[0])
        return -EPROTO;
    if (n > max)
        return -EMSGSIZE;
    if (in->n < PREFIX + n)
        return 0;
    chain_consume(in, PREFIX);
    chain_move(ret, in, n);
    return 1;
}

struct prefix {
    char bytes[PREFIX];
};

static struct prefix prefix_of(size_t n)
{
    return (struct prefix){{0, (char)(n >> 24), (char)(n >> 16), (char)(n >> 8), (char)n}};
}

void grpc_add(struct chain *out, struct str message)
{
    const struct prefix p = prefix_of(message.n);
    chain_add(out, str_of(p.bytes, PREFIX));
    chain_add(out, message);
}

void grpc_move(struct chain *out, struct chain *message)
{
    const struct prefix p = prefix_of(message->n);
    chain_add_exact(out, str_of(p.bytes, PREFIX));
    chain_move_all(out, message);
}

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static void decode(struct buf *to, struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '%' && i + 2 < s.n && hex(s.p[i + 1]) >= 0 && hex(s.p[i + 2]) >= 0) {
            buf_add_char(to, (char)(hex(s.p[i + 1]) << 4 | hex(s.p[i + 2])));
            i += 2;
        } else {
            buf_add_char(to, s.p[i]); /* what is no escape stands for itself */
        }
    }
}

void grpc_message_encode(struct buf *to, struct str s)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < s.n; i++) {
        uint8_t c = (uint8_t)s.p[i];
        if (c >= 0x20 && c <= 0x7e && c != '%') {
            buf_add_char(to, s.p[i]);
            continue;
        }
        buf_add_char(to, '%');
        buf_add_char(to, digits[c >> 4]);
        buf_add_char(to, digits[c & 15]);
    }
}

int grpc_status_read(const struct http_head *h, int *ret_code, struct buf *ret_message)
{
    struct str status = http_field_value(http_head_find(h, HTTP_NAME_GRPC_STATUS));
    uint64_t code;
    if (!status.p)
        return -ENOENT;
    *ret_code =
        str_to_u64(status, &code) == 0 && code <= GRPC_UNAUTHENTICATED ? (int)code : GRPC_UNKNOWN;
    decode(ret_message, http_field_value(http_head_find(h, HTTP_NAME_GRPC_MESSAGE)));
    return 0;
}

int grpc_code_of_http(unsigned status)
{
    switch (status) {
    case 400:
        return GRPC_INTERNAL;
    case 401:
        return GRPC_UNAUTHENTICATED;
    case 403:
        return GRPC_PERMISSION_DENIED;
    case 404:
        return GRPC_UNIMPLEMENTED;
    case 429:
    case 502:
    case 503:
    case 504:
        return GRPC_UNAVAILABLE;
    default:
        return GRPC_UNKNOWN;
    }
}

int grpc_timeout_parse(struct str s, uint64_t *ret_ms)
{
    static const struct {
        char unit;
        uint64_t ms, per;
    } units[] = {{'H', 3600000, 1}, {'M', 60000, 1}, {'S', 1000, 1},
                 {'m', 1, 1},       {'u', 1, 1000},  {'n', 1, 1000000}};
    uint64_t n;
    if (s.n < 2 || s.n > 9 || str_to_u64(str_sub(s, 0, s.n - 1), &n) < 0)
        return -EINVAL; /* at most eight digits */
    for (size_t i = 0; i < ARRAY_LEN(units); i++)
        if (s.p[s.n - 1] == units[i].unit) {
            *ret_ms = (n * units[i].ms + units[i].per - 1) / units[i].per;
            return 0;
        }
    return -EINVAL;
}
