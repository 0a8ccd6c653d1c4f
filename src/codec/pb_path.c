/* The text of a field path, grown and cut as a walk goes down and up. Owns nothing. */
#include "codec/pb_path.h"

#include <stdio.h>

#include "base/assert.h"

/* No printf: a walk of a large resource takes a million steps. */
static size_t add(struct pb_path *p, const char *before, struct str s, const char *after)
{
    size_t mark = p->n, n_before = strlen(before), n_after = strlen(after);
    char *at = p->text + mark;
    if (n_before + s.n + n_after >= sizeof(p->text) - mark)
        return mark;
    memcpy(at, before, n_before);
    memcpy(at + n_before, s.p, s.n);
    memcpy(at + n_before + s.n, after, n_after);
    p->n += n_before + s.n + n_after;
    p->text[p->n] = '\0';
    return mark;
}

size_t pb_path_field(struct pb_path *p, const char *name)
{
    return add(p, p->n ? "." : "", str_from(name), "");
}

size_t pb_path_index(struct pb_path *p, size_t index)
{
    char digits[24];
    int n = snprintf(digits, sizeof(digits), "%zu", index);
    return add(p, "[", str_of(digits, (size_t)n), "]");
}

size_t pb_path_key(struct pb_path *p, struct str key)
{
    return add(p, "[\"", str_of(key.n ? key.p : "", MIN(key.n, (size_t)200)), "\"]");
}

void pb_path_back(struct pb_path *p, size_t mark)
{
    ASSERT(mark <= p->n);
    p->n = mark;
    p->text[mark] = '\0';
}

int pb_path_fail(const struct pb_path *p, struct err *reterr, int code, const char *fmt, ...)
{
    char msg[sizeof(reterr->msg)], tail[sizeof(reterr->path)];
    const char *path = p->text;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(msg, sizeof(msg), fmt, ap);
    va_end(ap);
    if (p->n >= sizeof(tail)) {
        snprintf(tail, sizeof(tail), "...%s", p->text + (p->n - (sizeof(tail) - 4)));
        path = tail;
    }
    return err_set(reterr, code, path, "%s", msg);
}
