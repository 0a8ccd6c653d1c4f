/* A request line or the preface of HTTP/2 (RFC 9113 section 3.4); fields are not looked at. */
#include "codec/http_inspect.h"

#include <errno.h>

enum { METHOD_BYTES_MAX = 32 };

static bool is_method_char(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '-' || c == '_';
}

int http_inspect(struct str bytes, struct str *ret)
{
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    struct str s = str_sub(bytes, 0, MIN(bytes.n, (size_t)HTTP_INSPECT_BYTES_MAX));
    size_t i = 0, n = MIN(s.n, sizeof(preface) - 1);
    if (n > 4 && memcmp(s.p, preface, n) == 0) {
        if (n < sizeof(preface) - 1)
            return 0;
        *ret = STR("h2c");
        return 1;
    }
    while (i < s.n && is_method_char(s.p[i]))
        i++;
    if (i > METHOD_BYTES_MAX || (i < s.n && (!i || s.p[i] != ' ')))
        return -EPROTO;
    const char *end = s.n ? memchr(s.p, '\n', s.n) : NULL;
    if (!end)
        return s.n < HTTP_INSPECT_BYTES_MAX ? 0 : -EPROTO;
    struct str line = str_sub(s, 0, (size_t)(end - s.p));
    if (str_ends(line, STR("\r")))
        line.n--;
    bool old = str_ends(line, STR(" HTTP/1.0"));
    if (!old && !str_ends(line, STR(" HTTP/1.1")))
        return -EPROTO;
    *ret = old ? STR("http/1.0") : STR("http/1.1");
    return 1;
}
