/* Findings: kept as text, because they outlive what they are about. */
#include "model/finding.h"

#include "base/vec.h"

void finding_add(struct findings *f, enum finding_severity severity, const char *id,
                 const char *object, const char *field, const char *hint, const char *fmt, ...)
{
    AUTO_DONE(buf) struct buf message = {0};
    va_list ap;
    va_start(ap, fmt);
    buf_addv(&message, fmt, ap);
    va_end(ap);
    VEC_FOREACH (known, f)
        if (streq(known->object, object) && streq(known->field, field ? field : "") &&
            streq(known->message, buf_cstr(&message)))
            return;
    vec_push(f, (struct finding){.severity = severity,
                                 .id = id,
                                 .object = xstrdup(object),
                                 .field = xstrdup(field ? field : ""),
                                 .message = buf_take_cstr(&message),
                                 .hint = hint});
}

bool findings_have(const struct findings *f, const struct finding *one)
{
    for (size_t i = 0; f && i < f->n; i++)
        if (streq(f->v[i].object, one->object) && streq(f->v[i].field, one->field) &&
            streq(f->v[i].message, one->message))
            return true;
    return false;
}

void findings_done(struct findings *f)
{
    VEC_FOREACH (one, f) {
        free(one->object);
        free(one->field);
        free(one->message);
    }
    vec_done(f);
}

void findings_format(const struct findings *f, struct buf *out)
{
    static const char *const words[] = {"info", "warning", "error"};
    VEC_FOREACH (one, f)
        buf_addf(out, "%s %s %s %s: %s\n", words[one->severity], one->id, one->object,
                 *one->field ? one->field : "-", one->message);
}
