/* Checks against the tables. Walks an object that schema_decode has accepted (types are right),
 * collects at most FIELD_ERRORS_MAX errors with paths and messages as a real API server words them.
 * Pure. */
#include "kube/validate.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"

static bool is_alnum(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool label_value_is_valid(struct str s)
{
    if (!s.n)
        return true;
    if (s.n > 63 || !is_alnum(s.p[0]) || !is_alnum(s.p[s.n - 1]))
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (!is_alnum(s.p[i]) && s.p[i] != '-' && s.p[i] != '_' && s.p[i] != '.')
            return false;
    return true;
}

bool qualified_name_is_valid(struct str s)
{
    struct str name;
    struct str first = str_cut(s, '/', &name);
    if (!name.p)
        return first.n && label_value_is_valid(first);
    return str_is_dns1123_subdomain(first) && name.n && label_value_is_valid(name);
}

void validate_qualified_name(const json_t *v, const char *path, struct field_errors *e)
{
    if (json_is_string(v) && !qualified_name_is_valid(str_from(json_string_value(v))))
        error_invalid(e, v, QUALIFIED_NAME_MESSAGE, "%s", path);
}

const char *dns1123_label_detail(struct str s)
{
    return s.n > 63                       ? "must be no more than 63 bytes"
           : s.n && memchr(s.p, '.', s.n) ? "must not contain dots"
                                          : DNS1123_LABEL_MESSAGE;
}

const char *port_name_detail(struct str s)
{
    bool letter = false, twice = false;
    if (s.n > 15)
        return "must be no more than 15 characters";
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        letter = letter || (c >= 'a' && c <= 'z');
        twice = twice || (c == '-' && i && s.p[i - 1] == '-');
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'))
            return "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)";
    }
    return !letter                                ? "must contain at least one letter (a-z)"
           : twice                                ? "must not contain consecutive hyphens"
           : s.p[0] == '-' || s.p[s.n - 1] == '-' ? "must not begin or end with a hyphen"
                                                  : NULL;
}

static bool env_name_is_valid(struct str s)
{
    if (!s.n || str_is(s, ".") || str_starts(s, STR("..")))
        return false;
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || (unsigned char)s.p[i] > 0x7e || s.p[i] == '=')
            return false;
    return true;
}

static bool config_key_is_valid(struct str s)
{
    if (!s.n || s.n > 253 || str_is(s, ".") || str_is(s, "..") || str_starts(s, STR("..")))
        return false;
    for (size_t i = 0; i < s.n; i++)
        if (!is_alnum(s.p[i]) && s.p[i] != '-' && s.p[i] != '_' && s.p[i] != '.')
            return false;
    return true;
}

struct at {
    const struct at *up;
    const char *name;
    size_t index;
    bool is_key; /* written as [name] */
};

static void write_path(struct buf *b, const struct at *at)
{
    if (!at)
        return;
    write_path(b, at->up);
    if (!at->name)
        buf_addf(b, "[%zu]", at->index);
    else if (at->is_key)
        buf_addf(b, "[%s]", at->name);
    else
        buf_addf(b, "%s%s", b->n ? "." : "", at->name);
}

struct walk {
    struct field_errors *errors;
};

static void check_object(struct walk *w, const struct schema *s, const json_t *object,
                         const struct at *at);

static void invalid_at(struct walk *w, const json_t *v, const char *detail, const struct at *at)
{
    AUTO_DONE(buf) struct buf path = {0};
    write_path(&path, at);
    error_invalid(w->errors, v, detail, "%s", buf_cstr(&path));
}

static void check_format(struct walk *w, const struct schema_field *f, const json_t *v,
                         const struct at *at)
{
    struct str s = str_of(json_string_value(v), json_string_length(v));
    switch (f->format) {
    case FORMAT_DNS_LABEL:
        if (!str_is_dns1123_label(s))
            invalid_at(w, v, dns1123_label_detail(s), at);
        break;
    case FORMAT_DNS_SUBDOMAIN:
        if (!str_is_dns1123_subdomain(s))
            invalid_at(w, v, DNS1123_SUBDOMAIN_MESSAGE, at);
        break;
    case FORMAT_PORT_NAME:
        if (port_name_detail(s))
            invalid_at(w, v, port_name_detail(s), at);
        break;
    case FORMAT_ENV_NAME:
        if (!env_name_is_valid(s))
            invalid_at(w, v,
                       "a valid environment variable name must consist only of printable ASCII "
                       "characters other "
                       "than '='",
                       at);
        break;
    case FORMAT_ABS_PATH:
        if (s.p[0] != '/')
            invalid_at(w, v, "must be an absolute path", at);
        break;
    case FORMAT_IP:
        if (legacy_ip_detail(s))
            invalid_at(w, v, legacy_ip_detail(s), at);
        break;
    case FORMAT_QUALIFIED_NAME:
        if (!qualified_name_is_valid(s))
            invalid_at(w, v, QUALIFIED_NAME_MESSAGE, at);
        break;
    case FORMAT_NONE:
    case FORMAT_LABELS:
    case FORMAT_LABEL_KEYS:
    case FORMAT_CONFIG_KEYS:
        break;
    }
}

bool value_is_listed(const char *values, const char *v)
{
    struct str rest = str_from(values);
    while (rest.p)
        if (str_is(str_cut(rest, '|', &rest), v))
            return true;
    return false;
}

static void check_scalar(struct walk *w, const struct schema_field *f, const json_t *v,
                         const struct at *at)
{
    AUTO_DONE(buf) struct buf path = {0};
    if (f->bounded && json_is_integer(v) &&
        (json_integer_value(v) < f->min || json_integer_value(v) > f->max)) {
        char detail[96];
        if (f->min == 0 && f->max == INT32_MAX)
            snprintf(detail, sizeof(detail), "must be greater than or equal to 0");
        else if (f->min == 1 && f->max == INT32_MAX)
            snprintf(detail, sizeof(detail), "must be greater than 0");
        else
            snprintf(detail, sizeof(detail),
                     "must be between %" PRId64 " and %" PRId64 ", inclusive", f->min, f->max);
        invalid_at(w, v, detail, at);
    }
    if (!json_is_string(v))
        return;
    if (f->values && json_string_length(v) && !value_is_listed(f->values, json_string_value(v))) {
        write_path(&path, at);
        error_unsupported(w->errors, json_string_value(v), f->values, "%s", buf_cstr(&path));
    }
    if (f->format && json_string_length(v))
        check_format(w, f, v, at);
}

/* Label keys are shown with the map's path alone, as real servers do. */
static void check_keys(struct walk *w, const struct schema_field *f, const char *key,
                       const json_t *v, const struct at *map_at)
{
    AUTO_DONE(buf) struct buf path = {0};
    AUTO_CHARS char *lower = xstrdup(key);
    struct str k = str_from(key);
    write_path(&path, map_at);
    for (char *c = lower; f->format == FORMAT_LABEL_KEYS && *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c - 'A' + 'a'); /* annotations take domains in any letters */
    if (f->format == FORMAT_CONFIG_KEYS) {
        if (!config_key_is_valid(k))
            error_invalid_text(
                w->errors, key,
                "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. "
                "'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is "
                "'[-._a-zA-Z0-9]+')",
                "%s[%s]", buf_cstr(&path), key);
        return;
    }
    if (!qualified_name_is_valid(str_from(lower)))
        error_invalid_text(w->errors, key, QUALIFIED_NAME_MESSAGE, "%s", buf_cstr(&path));
    if (f->format == FORMAT_LABELS && json_is_string(v) &&
        !label_value_is_valid(str_from(json_string_value(v))))
        error_invalid(w->errors, v, LABEL_VALUE_MESSAGE, "%s", buf_cstr(&path));
}

static void check_value(struct walk *w, const struct schema_field *f, const json_t *v,
                        const struct at *at)
{
    if (f->type == FIELD_OBJECT)
        check_object(w, f->of, v, at);
    else
        check_scalar(w, f, v, at);
}

static void check_member(struct walk *w, const struct schema_field *f, const json_t *v,
                         const struct at *at)
{
    json_t *whole = (json_t *)(uintptr_t)v;
    json_t *item;
    const char *key;
    size_t i;
    if (f->shape == SHAPE_LIST) {
        json_array_foreach(whole, i, item)
        {
            struct at here = {at, NULL, i, false};
            check_value(w, f, item, &here);
        }
    } else if (f->shape == SHAPE_MAP) {
        json_object_foreach(whole, key, item)
        {
            struct at here = {at, key, 0, true};
            if (f->format)
                check_keys(w, f, key, item, at);
            else
                check_value(w, f, item, &here);
        }
    } else {
        check_value(w, f, v, at);
    }
}

static bool is_missing(const struct schema_field *f, const json_t *v)
{
    if (!v)
        return true;
    if (json_is_string(v))
        return json_string_length(v) == 0;
    if (json_is_array(v))
        return json_array_size(v) == 0;
    return json_is_integer(v) && json_integer_value(v) == 0 && f->type != FIELD_INT_OR_STRING &&
           !f->pointer;
}

static void check_object(struct walk *w, const struct schema *s, const json_t *object,
                         const struct at *at)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct schema_field *f = &s->fields[i];
        if (f->inlined) {
            check_object(w, f->of, object, at);
            continue;
        }
        const json_t *v = json_object_get(object, f->name);
        struct at here = {at, f->name, 0, false};
        if (f->required && is_missing(f, v)) {
            AUTO_DONE(buf) struct buf path = {0};
            write_path(&path, &here);
            if (f->values)
                error_required(w->errors, NULL, "%s", buf_cstr(&path));
            else
                error_required(w->errors, NULL, "%s", buf_cstr(&path));
        } else if (v) {
            check_member(w, f, v, &here);
        }
    }
}

void schema_validate(const struct schema *s, const json_t *object, struct field_errors *e)
{
    struct walk w = {e};
    check_object(&w, s, object, NULL);
}
