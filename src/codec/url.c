/* Percent-encoding and query strings (RFC 3986, and the form encoding of query parameters). Pure.
 */
#include "codec/url.h"

#include <errno.h>

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int url_decode(struct str s, bool query, struct buf *ret)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == '%') {
            int high = i + 2 < s.n ? hex(s.p[i + 1]) : -1;
            int low = i + 2 < s.n ? hex(s.p[i + 2]) : -1;
            if (high < 0 || low < 0 || (high == 0 && low == 0))
                return -EINVAL;
            c = (char)(high * 16 + low);
            i += 2;
        } else if (c == '+' && query) {
            c = ' ';
        }
        buf_add_char(ret, c);
    }
    return ret->failed ? -ENOMEM : 0;
}

void url_encode(struct str s, struct buf *ret)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
            (c && strchr("-._~", c)))
            buf_add_char(ret, c);
        else
            buf_addf(ret, "%%%02X", (unsigned char)c);
    }
}

bool url_param_next(struct str *rest, struct str *ret_name, struct str *ret_value)
{
    while (rest->p && rest->n) {
        struct str part = str_cut(*rest, '&', rest);
        if (!part.n)
            continue;
        *ret_name = str_cut(part, '=', ret_value);
        return true;
    }
    return false;
}

char *url_param(struct str query, const char *name)
{
    struct str rest = query, key, value;
    while (url_param_next(&rest, &key, &value)) {
        AUTO_DONE(buf) struct buf decoded_key = {0};
        AUTO_DONE(buf) struct buf decoded = {0};
        if (url_decode(key, true, &decoded_key) < 0 || !str_is(buf_str(&decoded_key), name))
            continue;
        return url_decode(value, true, &decoded) < 0 ? NULL : buf_take_cstr(&decoded);
    }
    return NULL;
}

bool url_param_bool(struct str query, const char *name)
{
    AUTO_CHARS char *v = url_param(query, name);
    return v && !streq(v, "false") && !streq(v, "False") && !streq(v, "0");
}
