/* What the parts of a migration's report write with. */
#include "base/vec.h"
#include "model/ingress_annotations.h"
#include "model/migrate_priv.h"

void migrate_note_add(struct migrate_subject *s, enum migrate_verdict verdict, const char *field,
                      const char *action, const char *fmt, ...)
{
    AUTO_DONE(buf) struct buf message = {0};
    va_list ap;
    va_start(ap, fmt);
    buf_addv(&message, fmt, ap);
    va_end(ap);
    s->verdict = MAX(s->verdict, verdict);
    struct migrate_note *n = vec_add(s);
    *n = (struct migrate_note){verdict, xstrdup(field), buf_take_cstr(&message),
                               action ? xstrdup(action) : NULL};
}

const char *migrate_annotation_state(const char *name)
{
    const char *row, *state;
    for (size_t n = 0; (row = ingress_annotation_row(n, &state)); n++)
        if (streq(row, name))
            return state;
    return NULL;
}
