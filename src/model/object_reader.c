/* Parts of objects as values, and where they are. */
#include "model/object_reader.h"

#include <math.h>
#include <stdio.h>

#include "base/time.h"

void object_reader_done(struct object_reader *r)
{
    buf_done(&r->path);
}

size_t reader_enter(struct object_reader *r, const char *name)
{
    size_t mark = r->path.n;
    buf_addf(&r->path, "%s%s", mark ? "." : "", name);
    return mark;
}

size_t reader_enter_item(struct object_reader *r, const char *name, size_t i)
{
    size_t mark = r->path.n;
    buf_addf(&r->path, "%s%s[%zu]", mark ? "." : "", name, i);
    return mark;
}

size_t reader_enter_key(struct object_reader *r, const char *name, const char *key)
{
    size_t mark = r->path.n;
    buf_addf(&r->path, "%s%s[%.100s]", mark ? "." : "", name, key);
    return mark;
}

void reader_leave(struct object_reader *r, size_t mark)
{
    r->path.n = mark;
}

static void __attribute__((format(printf, 5, 0)))
tell(struct object_reader *r, enum finding_severity severity, const char *field, const char *hint,
     const char *fmt, va_list ap)
{
    AUTO_DONE(buf) struct buf message = {0};
    AUTO_CHARS char *path =
        xasprintf("%s%s%s", buf_cstr(&r->path), field && r->path.n ? "." : "", field ? field : "");
    buf_addv(&message, fmt, ap);
    finding_add(r->findings, severity, r->id, r->object, path, hint, "%s", buf_cstr(&message));
}

bool reader_error(struct object_reader *r, const char *field, const char *hint, const char *fmt,
                  ...)
{
    va_list ap;
    r->errors++;
    if (!r->findings)
        return false;
    va_start(ap, fmt);
    tell(r, FINDING_ERROR, field, hint, fmt, ap);
    va_end(ap);
    return false;
}

void reader_warn(struct object_reader *r, const char *field, const char *hint, const char *fmt, ...)
{
    va_list ap;
    if (!r->findings)
        return;
    va_start(ap, fmt);
    tell(r, FINDING_WARNING, field, hint, fmt, ap);
    va_end(ap);
}

bool reader_duration_ms(struct object_reader *r, const json_t *j, const char *name, uint64_t min_ms,
                        uint64_t *ret)
{
    const json_t *v = json_object_get(j, name);
    const char *text = json_string_value(v);
    uint64_t ms;
    if (!v || json_is_null(v))
        return true;
    if (!text || time_parse_duration(str_from(text), &ms) < 0)
        return reader_error(r, name, "write it as 1h, 2m30s, 1.5s or 200ms", "is no duration");
    if (ms < min_ms || ms > UINT32_MAX)
        return reader_error(r, name, NULL, "%.40s is not between %llu ms and 49 days", text,
                            (unsigned long long)min_ms);
    *ret = ms;
    return true;
}

bool reader_number(struct object_reader *r, const json_t *j, const char *name, int64_t min,
                   int64_t max, int64_t *ret)
{
    const json_t *v = json_object_get(j, name);
    if (!v || json_is_null(v))
        return true;
    int64_t n = json_is_integer(v) ? json_integer_value(v) : -1;
    if (!json_is_integer(v) || n < min || n > max)
        return reader_error(r, name, NULL, "is no whole number from %lld to %lld", (long long)min,
                            (long long)max);
    *ret = n;
    return true;
}

bool reader_percentage(struct object_reader *r, const json_t *j, const char *name, uint32_t *ret)
{
    const json_t *v = json_object_get(j, name), *share;
    if (!v || json_is_null(v))
        return true;
    share = json_object_get(v, "value");
    double value = share && json_is_number(share) ? json_number_value(share) : 0;
    if (!json_is_object(v) || (share && !json_is_number(share)) || !(value >= 0 && value <= 100))
        return reader_error(r, name, "write it as {value: 12.5}", "is no share from 0 to 100");
    *ret = (uint32_t)lround(value * (ROUTE_ALL / 100.0));
    return true;
}
