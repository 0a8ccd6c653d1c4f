/* The list of field errors and its wording: the same sentences as apimachinery's field.Error,
 * because they are what the user reads. The list owns its strings and holds at most
 * FIELD_ERRORS_MAX entries. */
#include "kube/validate.h"

#include <stdarg.h>
#include <stdio.h>

void field_errors_done(struct field_errors *e)
{
    for (size_t i = 0; i < e->n; i++) {
        free(e->v[i].field);
        free(e->v[i].message);
    }
    vec_done(e);
}

static void add(struct field_errors *e, const char *reason, struct buf *message, const char *field,
                va_list ap) __attribute__((format(printf, 4, 0)));
static void add(struct field_errors *e, const char *reason, struct buf *message, const char *field,
                va_list ap)
{
    AUTO_DONE(buf) struct buf path = {0};
    if (e->n < FIELD_ERRORS_MAX) {
        buf_addv(&path, field, ap);
        vec_push(e, (struct field_error){reason, buf_take_cstr(&path), buf_take_cstr(message)});
    }
    buf_done(message);
}

void error_required(struct field_errors *e, const char *detail, const char *field, ...)
{
    struct buf m = {0};
    va_list ap;
    buf_add_cstr(&m, "Required value");
    if (detail)
        buf_addf(&m, ": %s", detail);
    va_start(ap, field);
    add(e, "FieldValueRequired", &m, field, ap);
    va_end(ap);
}

void error_invalid(struct field_errors *e, const json_t *value, const char *detail,
                   const char *field, ...)
{
    struct buf m = {0};
    va_list ap;
    buf_add_cstr(&m, "Invalid value: ");
    if (value)
        json_write(&m, value);
    else
        buf_add_cstr(&m, "null");
    if (detail)
        buf_addf(&m, ": %s", detail);
    va_start(ap, field);
    add(e, "FieldValueInvalid", &m, field, ap);
    va_end(ap);
}

void error_invalid_text(struct field_errors *e, const char *value, const char *detail,
                        const char *field, ...)
{
    struct buf m = {0};
    va_list ap;
    buf_add_cstr(&m, "Invalid value: ");
    json_write_string(&m, str_from(value ? value : ""));
    if (detail)
        buf_addf(&m, ": %s", detail);
    va_start(ap, field);
    add(e, "FieldValueInvalid", &m, field, ap);
    va_end(ap);
}

void error_duplicate(struct field_errors *e, const json_t *value, const char *field, ...)
{
    struct buf m = {0};
    va_list ap;
    buf_add_cstr(&m, "Duplicate value: ");
    json_write(&m, value);
    va_start(ap, field);
    add(e, "FieldValueDuplicate", &m, field, ap);
    va_end(ap);
}

void error_forbidden(struct field_errors *e, const char *detail, const char *field, ...)
{
    struct buf m = {0};
    va_list ap;
    buf_addf(&m, "Forbidden: %s", detail);
    va_start(ap, field);
    add(e, "FieldValueForbidden", &m, field, ap);
    va_end(ap);
}

void error_too_many(struct field_errors *e, size_t max, const char *field, ...)
{
    struct buf m = {0};
    va_list ap;
    buf_addf(&m, "Too many: must have at most %zu items", max);
    va_start(ap, field);
    add(e, "FieldValueTooMany", &m, field, ap);
    va_end(ap);
}

void error_too_long(struct field_errors *e, size_t max, const char *field, ...)
{
    struct buf m = {0};
    va_list ap;
    buf_addf(&m, "Too long: may not be more than %zu bytes", max);
    va_start(ap, field);
    add(e, "FieldValueTooLong", &m, field, ap);
    va_end(ap);
}

void error_internal(struct field_errors *e, const char *detail, const char *field, ...)
{
    struct buf m = {0};
    va_list ap;
    buf_addf(&m, "Internal error: %s", detail);
    va_start(ap, field);
    add(e, "InternalError", &m, field, ap);
    va_end(ap);
}

void error_not_found(struct field_errors *e, const char *value, const char *field, ...)
{
    struct buf m = {0};
    va_list ap;
    buf_add_cstr(&m, "Not found: ");
    json_write_string(&m, str_from(value));
    va_start(ap, field);
    add(e, "FieldValueNotFound", &m, field, ap);
    va_end(ap);
}

void error_unsupported(struct field_errors *e, const char *value, const char *allowed,
                       const char *field, ...)
{
    struct buf m = {0};
    struct str rest = str_from(allowed);
    va_list ap;
    buf_add_cstr(&m, "Unsupported value: ");
    json_write_string(&m, str_from(value));
    buf_add_cstr(&m, ": supported values: ");
    for (bool first = true; rest.p; first = false) {
        if (!first)
            buf_add_cstr(&m, ", ");
        json_write_string(&m, str_cut(rest, '|', &rest));
    }
    va_start(ap, field);
    add(e, "FieldValueNotSupported", &m, field, ap);
    va_end(ap);
}

void field_errors_format(const struct field_errors *e, struct buf *ret)
{
    if (e->n > 1)
        buf_add_char(ret, '[');
    for (size_t i = 0; i < e->n; i++)
        buf_addf(ret, "%s%s: %s", i ? ", " : "", e->v[i].field, e->v[i].message);
    if (e->n > 1)
        buf_add_char(ret, ']');
}
