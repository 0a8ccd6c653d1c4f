/* A set of templates, and how a rendering fails: what parser, evaluation and functions stand on. */
#include <errno.h>
#include <stdio.h>

#include "chart/template_priv.h"

enum { ARENA_MAX = 64 * 1024 * 1024 };

struct templates *templates_new(const struct chart_file *files, size_t n_files)
{
    struct templates *t = NEW(struct templates);
    t->arena = arena_new(ARENA_MAX);
    t->files = files;
    t->n_files = n_files;
    return t;
}

void templates_free(struct templates *t)
{
    if (!t)
        return;
    vec_done(&t->parts);
    arena_free(t->arena);
    free(t);
}

const struct template_part *templates_find(const struct templates *t, struct str name)
{
    const struct template_part *found = NULL;
    VEC_FOREACH (p, &t->parts)
        if (str_eq(p->name, name))
            found = p;
    return found;
}

json_t *template_fail(struct template_run *r, unsigned line, const char *fmt, ...)
{
    char what[300];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof(what), fmt, ap);
    va_end(ap);
    if (!r->err->code)
        err_set(r->err, -EINVAL, NULL, "%s:%u: %s", r->file, line, what);
    return NULL;
}
