/* Paths, canonically: in one pass from segment to segment, each written behind what stays of those
 * before it. */
#include "codec/url_path.h"

#include <stdint.h>
#include <string.h>

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* The octet of an escape at the beginning of s; -1: none is there. */
static int escaped(struct str s)
{
    int high, low;
    if (s.n < 3 || s.p[0] != '%')
        return -1;
    high = hex_digit(s.p[1]);
    low = hex_digit(s.p[2]);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

static bool is_unreserved(int c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

/* Slashes that were escaped, as they are; *ret: there were some. */
static size_t unescape_slashes(struct str path, char *to, bool *ret)
{
    size_t n = 0;
    *ret = false;
    for (size_t i = 0; i < path.n; i++) {
        int c = escaped(str_sub(path, i, path.n));
        if (c == '/' || c == '\\') {
            to[n++] = (char)c;
            i += 2;
            *ret = true;
        } else {
            to[n++] = path.p[i];
        }
    }
    return n;
}

/* What follows a lone % must not make an escape of it that was none before. */
static bool begins_escape(const char *p, size_t n)
{
    return (n && p[n - 1] == '%') || (n > 1 && p[n - 2] == '%' && hex_digit(p[n - 1]) >= 0);
}

/* What an octet may mean to a path. */
enum { SPECIAL = 1, SLASH, OTHER, END };
static const uint8_t meaning[256] = {
    /* what stands in no path as it is */
    ['"'] = SPECIAL,
    ['<'] = SPECIAL,
    ['>'] = SPECIAL,
    ['^'] = SPECIAL,
    ['`'] = SPECIAL,
    ['{'] = SPECIAL,
    ['|'] = SPECIAL,
    ['}'] = SPECIAL,
    /* what is looked at closely: of slashes what follows them, of the others that they are there */
    ['/'] = SLASH,
    ['%'] = OTHER,
    ['\\'] = OTHER,
    /* and what begins the query */
    ['?'] = END};

static bool is_special(char c)
{
    return meaning[(uint8_t)c] == SPECIAL;
}

bool url_path_is_plain(struct str target)
{
    for (size_t i = 0; i < target.n; i++) {
        uint8_t m = meaning[(uint8_t)target.p[i]];
        if (!m)
            continue;
        if (m == END)
            return true;
        if (m != SLASH || (i + 1 < target.n && (target.p[i + 1] == '/' || target.p[i + 1] == '.')))
            return false;
    }
    return true;
}

static size_t count_special(struct str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++)
        n += is_special(s.p[i]);
    return n;
}

size_t url_path_room(const struct url_path_rules *rules, struct str target)
{
    return target.n + (rules->normalize ? 2 * count_special(target) : 0);
}

/* In place, from the end. */
static size_t escape(char *p, size_t n)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t total = n + 2 * count_special(str_of(p, n));
    for (size_t i = n, out = total; i-- > 0 && out > i + 1;) {
        char c = p[i];
        if (is_special(c)) {
            p[--out] = digits[c & 15];
            p[--out] = digits[(uint8_t)c >> 4];
            c = '%';
        }
        p[--out] = c;
    }
    return total;
}

static bool has_nul(struct str s)
{
    return str_contains(s, STR("%00"));
}

/* In place: \ becomes /, escapes of unreserved octets those. */
static size_t decode(char *p, size_t n)
{
    size_t out = 0;
    for (size_t i = 0; i < n; i++) {
        int c = escaped(str_of(p + i, n - i));
        if (is_unreserved(c) && !begins_escape(p, out)) {
            p[out++] = (char)c;
            i += 2;
        } else {
            p[out++] = p[i] == '\\' ? '/' : p[i];
        }
    }
    return out;
}

/* In place, RFC 3986 section 5.2.4; above the root is the root. */
static size_t remove_dots(char *p, size_t n)
{
    size_t out = 0;
    for (size_t i = 0; i < n;) { /* p[i] is a slash */
        const char *slash = memchr(p + i + 1, '/', n - i - 1);
        size_t end = slash ? (size_t)(slash - p) : n;
        struct str segment = str_of(p + i + 1, end - i - 1);
        bool up = str_is(segment, ".."), dots = up || str_is(segment, ".");
        if (up)
            while (out && p[--out] != '/')
                ;
        if (!dots) {
            memmove(p + out, p + i, end - i);
            out += end - i;
        } else if (end == n) {
            p[out++] = '/';
        }
        i = end;
    }
    return out;
}

static size_t merge(char *p, size_t n)
{
    size_t out = 0;
    for (size_t i = 0; i < n; i++)
        if (p[i] != '/' || !out || p[out - 1] != '/')
            p[out++] = p[i];
    return out;
}

enum url_path_result url_path_canonical(const struct url_path_rules *rules, struct str target,
                                        char *to, size_t *ret_n)
{
    const char *mark = target.n ? memchr(target.p, '?', target.n) : NULL;
    struct str path = mark ? str_sub(target, 0, (size_t)(mark - target.p)) : target;
    struct str query = str_sub(target, path.n, target.n);
    bool slashes = false;
    size_t n;
    if (!path.n || path.p[0] != '/' || url_path_is_plain(path))
        return URL_PATH_SAME;
    if (rules->escaped_slashes == URL_SLASHES_KEEP) {
        memcpy(to, path.p, path.n);
        n = path.n;
    } else {
        n = unescape_slashes(path, to, &slashes);
    }
    if (slashes && rules->escaped_slashes == URL_SLASHES_REFUSE)
        return URL_PATH_REFUSED;
    if (rules->normalize && has_nul(path))
        return URL_PATH_REFUSED;
    if (rules->normalize)
        n = escape(to, remove_dots(to, decode(to, n)));
    if (rules->merge_slashes)
        n = merge(to, n);
    if (n == path.n && memcmp(to, path.p, n) == 0)
        return URL_PATH_SAME;
    if (query.n)
        memcpy(to + n, query.p, query.n);
    *ret_n = n + query.n;
    return slashes && rules->escaped_slashes == URL_SLASHES_REDIRECT ? URL_PATH_REDIRECTED
                                                                     : URL_PATH_CHANGED;
}
