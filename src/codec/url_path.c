/* Normal forms of paths. Nothing is copied where there is nothing to do. */
#include "codec/url_path.h"

#include <errno.h>

static int hex(char c)
{
    return c >= '0' && c <= '9'                 ? c - '0'
           : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10
                                                : -1;
}

static bool is_unreserved(int c)
{
    return (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') ||
           (c && strchr("-._~", c) != NULL);
}

/* What a path may not hold as it is; ASCII. */
static bool is_escaped(char c)
{
    return c && strchr(" \"<>^`{|}", c) != NULL;
}

static bool is_normal(const struct url_path_rules *r, struct str path)
{
    for (size_t i = 0; i < path.n; i++) {
        char c = path.p[i];
        if (c == '/' && i + 1 < path.n &&
            (path.p[i + 1] == '/' || (r->normalize && path.p[i + 1] == '.')))
            return false;
        if (r->normalize && (c == '%' || c == '\\' || is_escaped(c)))
            return false;
    }
    return true;
}

/* Up to three bytes for each; negative: an escaped NUL. */
static ssize_t write_plain(struct str path, char *to)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t n = 0;
    for (size_t i = 0; i < path.n; i++) {
        char c = path.p[i];
        int high = -1, low = -1;
        if (c == '%' && path.n - i > 2) {
            high = hex(path.p[i + 1]);
            low = hex(path.p[i + 2]);
        }
        int value = high < 0 || low < 0 ? -1 : high * 16 + low;
        if (value == 0)
            return -EBADMSG;
        if (value > 0 && is_unreserved(value)) {
            to[n++] = (char)value;
            i += 2;
        } else if (is_escaped(c)) {
            to[n++] = '%';
            to[n++] = digits[(uint8_t)c >> 4];
            to[n++] = digits[c & 15];
        } else {
            to[n++] = c == '\\' ? '/' : c;
        }
    }
    return (ssize_t)n;
}

/* RFC 3986 section 5.2.4, in place; p begins with a slash. */
static size_t remove_dots(char *p, size_t n)
{
    size_t to = 0, i = 0;
    while (i < n) { /* at a slash */
        size_t end = i + 1;
        while (end < n && p[end] != '/')
            end++;
        struct str segment = str_of(p + i + 1, end - i - 1);
        bool up = str_is(segment, ".."), here = str_is(segment, ".");
        if (up)
            while (to > 0 && p[--to] != '/')
                ;
        if (!up && !here) {
            memmove(p + to, p + i, end - i);
            to += end - i;
        } else if (end == n) {
            p[to++] = '/';
        }
        i = end;
    }
    return to;
}

/* Keeps one slash of several, of those at the beginning or of all. */
static size_t merge(char *p, size_t n, bool all)
{
    size_t to = 0;
    bool begins = true;
    for (size_t i = 0; i < n; i++) {
        bool again = to && p[i] == '/' && p[to - 1] == '/';
        begins = begins && p[i] == '/';
        if (!again || !(all || begins))
            p[to++] = p[i];
    }
    return to;
}

int url_path_apply(const struct url_path_rules *r, struct str path, struct arena *a,
                   struct str *ret)
{
    const char *mark = path.n ? memchr(path.p, '?', path.n) : NULL;
    struct str only = str_sub(path, 0, mark ? (size_t)(mark - path.p) : path.n);
    if (!only.n || *only.p != '/' || is_normal(r, only)) {
        *ret = path;
        return 0;
    }
    char *to = arena_alloc_raw(a, only.n * 3 + path.n - only.n);
    if (!to)
        return -ENOMEM;
    ssize_t n = (ssize_t)only.n;
    if (r->normalize) {
        n = write_plain(only, to);
        if (n < 0)
            return (int)n;
        n = (ssize_t)merge(to, remove_dots(to, (size_t)n), false);
    } else {
        memcpy(to, only.p, only.n);
    }
    if (r->merge_slashes)
        n = (ssize_t)merge(to, (size_t)n, true);
    if (mark)
        memcpy(to + n, mark, path.n - only.n);
    *ret = str_of(to, (size_t)n + path.n - only.n);
    return 0;
}
