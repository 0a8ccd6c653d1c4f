/* Percent coding and query strings. Pure functions on slices; owns nothing, keeps nothing.
 *
 * Names are compared after decoding, so that "field%53elector" and "fieldSelector" cannot mean different things to
 * two readers. A NUL is refused everywhere: decoded text becomes C strings further on. */
#include "codec/url.h"

#include <errno.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int url_decode(struct str in, bool plus, struct buf *ret)
{
    for (size_t i = 0; i < in.n; i++) {
        char c = in.p[i];
        if (c == '%') {
            int hi = i + 2 < in.n ? hex_digit(in.p[i + 1]) : -1;
            int lo = i + 2 < in.n ? hex_digit(in.p[i + 2]) : -1;
            if (hi < 0 || lo < 0 || (hi == 0 && lo == 0))
                return -EINVAL;
            buf_add_char(ret, (char)(hi * 16 + lo));
            i += 2;
        } else if (c == '\0') {
            return -EINVAL;
        } else {
            buf_add_char(ret, plus && c == '+' ? ' ' : c);
        }
    }
    return ret->failed ? -ENOMEM : 0;
}

static bool is_unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
           c == '_' || c == '~';
}

void url_encode(struct str in, struct buf *ret)
{
    for (size_t i = 0; i < in.n; i++) {
        if (is_unreserved(in.p[i]))
            buf_add_char(ret, in.p[i]);
        else
            buf_addf(ret, "%%%02X", (unsigned char)in.p[i]);
    }
}

bool url_query_next(struct str *query, struct str *ret_key, struct str *ret_value)
{
    while (query->p && query->n) {
        struct str pair = str_cut(*query, '&', query);
        if (!pair.n)
            continue;
        *ret_key = str_cut(pair, '=', ret_value);
        return true;
    }
    return false;
}

int url_query_find(struct str query, const char *key, struct buf *ret)
{
    struct str k, v;
    while (url_query_next(&query, &k, &v)) {
        AUTO_DONE(buf) struct buf name = {0};
        int code = url_decode(k, true, &name);
        if (code < 0)
            return code;
        if (!str_is(buf_str(&name), key))
            continue;
        code = url_decode(v, true, ret);
        return code < 0 ? code : 1;
    }
    return 0;
}
