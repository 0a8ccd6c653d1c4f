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

/* ---- whole URLs ---- */

static bool starts_nocase(struct str s, const char *prefix)
{
    size_t n = strlen(prefix);
    return s.n >= n && str_eq_nocase(str_sub(s, 0, n), str_from(prefix));
}

/* A name, or, in brackets, an address of IPv6. */
static bool is_host(struct str host, bool brackets)
{
    for (size_t i = 0; i < host.n; i++) {
        char c = host.p[i], low = (char)(c | 0x20);
        bool word = (low >= 'a' && low <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
                    c == '_';
        if (!(brackets ? hex(c) >= 0 || c == ':' || c == '.' : word))
            return false;
    }
    return host.n > 0 && host.n <= 255;
}

static int split_authority(struct str authority, struct url_parts *ret)
{
    struct str host = authority, port = {NULL, 0};
    bool brackets = host.n && host.p[0] == '[';
    uint64_t number;
    if (brackets) {
        struct str rest;
        host = str_cut(str_sub(host, 1, host.n), ']', &rest);
        if (!rest.p || (rest.n && rest.p[0] != ':'))
            return -EINVAL;
        if (rest.n)
            port = str_sub(rest, 1, rest.n);
    } else {
        host = str_cut(host, ':', &port);
    }
    if (!is_host(host, brackets))
        return -EINVAL;
    ret->host = host;
    ret->port = ret->tls ? 443 : 80;
    if (!port.p)
        return 0;
    if (str_to_u64(port, &number) < 0 || number < 1 || number > 65535)
        return -EINVAL;
    ret->port = (uint16_t)number;
    return 0;
}

int url_split(struct str s, struct url_parts *ret)
{
    struct url_parts u = {.tls = starts_nocase(s, "https://")};
    size_t at = 0;
    if (s.n > URL_BYTES_MAX || (!u.tls && !starts_nocase(s, "http://")))
        return -EINVAL;
    struct str rest = str_sub(s, u.tls ? 8 : 7, s.n);
    for (size_t i = 0; i < rest.n; i++)
        if (rest.p[i] <= ' ' || rest.p[i] > '~' || strchr("#\\\"<>", rest.p[i]))
            return -EINVAL;
    while (at < rest.n && rest.p[at] != '/' && rest.p[at] != '?')
        at++;
    int r = split_authority(str_sub(rest, 0, at), &u);
    if (r < 0)
        return r;
    u.target = str_sub(rest, at, rest.n);
    *ret = u;
    return 0;
}
