/* Findings of a check, with a limit for each state so that warnings do not crowd out refusals. Owns
 * the texts. */
#include "xds/xds_report.h"

#include <errno.h>
#include <stdio.h>

#include "base/assert.h"

void xds_report_done(struct xds_report *r)
{
    VEC_FOREACH (f, &r->findings) {
        free(f->path);
        free(f->text);
    }
    vec_done(&r->findings);
    *r = (struct xds_report){0};
}

void xds_report_add(struct xds_report *r, enum xds_state state, const char *path, const char *fmt,
                    ...)
{
    char text[600];
    va_list ap;
    ASSERT(state != XDS_USED);
    size_t *count = state == XDS_WARN ? &r->warned : &r->refused;
    if ((*count)++ >= XDS_FINDINGS_MAX)
        return;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    vec_push(&r->findings, (struct xds_finding){state, 0, xstrdup(path), xstrdup(text)});
}

int xds_report_err(const struct xds_report *r, struct err *reterr)
{
    char more[40] = "";
    if (!r->refused)
        return 0;
    if (r->refused > 1)
        snprintf(more, sizeof(more), " (and %zu more)", r->refused - 1);
    VEC_FOREACH (f, &r->findings) {
        size_t n = strlen(f->path), room = sizeof(reterr->path);
        bool cut = n >= room;
        char path[sizeof(reterr->path)];
        snprintf(path, sizeof(path), "%s%s", cut ? "..." : "", f->path + (cut ? n - room + 4 : 0));
        if (f->state == XDS_REFUSE)
            return err_set(reterr, -EINVAL, path, "%s%s", f->text, more);
    }
    return err_set(reterr, -EINVAL, NULL, "refused");
}
