/* String slices. Pure; owns nothing. */
#include "base/str.h"

#include <ctype.h>
#include <errno.h>

#include "base/assert.h"

static char ascii_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

bool str_eq_nocase(struct str a, struct str b)
{
    if (a.n != b.n)
        return false;
    for (size_t i = 0; i < a.n; i++)
        if (ascii_lower(a.p[i]) != ascii_lower(b.p[i]))
            return false;
    return true;
}

bool str_starts(struct str s, struct str prefix)
{
    return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

bool str_ends(struct str s, struct str suffix)
{
    return s.n >= suffix.n &&
           (suffix.n == 0 || memcmp(s.p + s.n - suffix.n, suffix.p, suffix.n) == 0);
}

bool str_contains(struct str s, struct str needle)
{
    return needle.n == 0 || (s.n >= needle.n && memmem(s.p, s.n, needle.p, needle.n) != NULL);
}

struct str str_cut(struct str s, char sep, struct str *rest)
{
    const char *at = s.n ? memchr(s.p, sep, s.n) : NULL;
    if (!at) {
        *rest = (struct str){NULL, 0};
        return s;
    }
    size_t before = (size_t)(at - s.p);
    *rest = (struct str){at + 1, s.n - before - 1};
    return (struct str){s.p, before};
}

struct str str_trim(struct str s)
{
    while (s.n && (s.p[0] == ' ' || s.p[0] == '\t')) {
        s.p++;
        s.n--;
    }
    while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
        s.n--;
    return s;
}

struct str str_sub(struct str s, size_t from, size_t to)
{
    ASSERT(from <= to && to <= s.n);
    return (struct str){s.p + from, to - from};
}

char *str_dup(struct str s)
{
    return xstrndup(s.p, s.n);
}

int str_to_u64(struct str s, uint64_t *ret)
{
    uint64_t v = 0;
    if (s.n == 0)
        return -EINVAL;
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9')
            return -EINVAL;
        uint64_t digit = (uint64_t)(s.p[i] - '0');
        if (v > (UINT64_MAX - digit) / 10)
            return -ERANGE;
        v = v * 10 + digit;
    }
    *ret = v;
    return 0;
}

int str_to_i64(struct str s, int64_t *ret)
{
    bool negative = s.n && s.p[0] == '-';
    uint64_t v;
    int r = str_to_u64(negative ? str_sub(s, 1, s.n) : s, &v);
    if (r < 0)
        return r;
    if (v > (uint64_t)INT64_MAX + (negative ? 1 : 0))
        return -ERANGE;
    *ret = negative ? (int64_t)(0 - v) : (int64_t)v;
    return 0;
}

bool streq(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static bool label_char(char c, bool edge)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (c == '-' && !edge);
}

bool str_is_dns1123_label(struct str s)
{
    if (s.n == 0 || s.n > 63)
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (!label_char(s.p[i], i == 0 || i == s.n - 1))
            return false;
    return true;
}

bool str_is_dns1123_subdomain(struct str s)
{
    if (s.n == 0 || s.n > 253)
        return false;
    /* Unlike a label of a host name, a part may be longer than 63 (Kubernetes checks the whole
     * only). */
    bool edge = true;
    for (size_t i = 0; i < s.n; i++) {
        bool last = i == s.n - 1 || s.p[i + 1] == '.';
        if (s.p[i] == '.') {
            if (edge)
                return false;
            edge = true;
            continue;
        }
        if (!label_char(s.p[i], edge || last))
            return false;
        edge = false;
    }
    return !edge;
}
