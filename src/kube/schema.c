/* Look-up in message tables, and the defaults they carry.
 *
 * Messages have at most some sixty fields, so a scan is as good as a hash and needs no set-up.
 * Tables are constant data; nothing here owns memory beyond one call. */
#include "kube/schema.h"

#include <stdarg.h>

#include "base/assert.h"

const struct schema_field *schema_find(const struct schema *s, struct str name)
{
    for (size_t i = 0; i < s->n; i++) {
        const struct schema_field *f = &s->fields[i];
        if (f->inlined) {
            const struct schema_field *inner = schema_find(f->of, name);
            if (inner)
                return inner;
        } else if (str_is(name, f->name)) {
            return f;
        }
    }
    return NULL;
}

const struct schema_field *schema_find_pb(const struct schema *s, uint64_t number)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->fields[i].pb == number && number)
            return &s->fields[i];
    return NULL;
}

const struct schema *schema_of_kind(const char *api_version, const char *kind)
{
    for (size_t i = 0; i < n_schema_kinds; i++)
        if (streq(schema_kinds[i].api_version, api_version) && streq(schema_kinds[i].kind, kind))
            return schema_kinds[i].schema;
    return NULL;
}

void schema_findings_done(struct schema_findings *f)
{
    buf_done(&f->unknown);
    f->n = 0;
}

void schema_findings_add(struct schema_findings *f, const char *fmt, ...)
{
    va_list ap;
    if (!f || f->n >= (f->max ? f->max : 20))
        return;
    if (f->n++)
        buf_add_char(&f->unknown, '\n');
    va_start(ap, fmt);
    buf_addv(&f->unknown, fmt, ap);
    va_end(ap);
}

static json_t *default_value(const char *text)
{
    size_t n = strlen(text);
    int64_t number;
    ASSERT(n > 0);
    if (text[0] == '"' && !memchr(text, '\\', n))
        return json_stringn(text + 1, n - 2);
    if (streq(text, "{}"))
        return json_object();
    if (streq(text, "true") || streq(text, "false"))
        return json_boolean(text[0] == 't');
    if (str_to_i64(str_of(text, n), &number) == 0)
        return json_integer(number);
    return json_loads(text, JSON_DECODE_ANY, NULL);
}

static void default_inside(const struct schema_field *f, json_t *v)
{
    size_t i;
    const char *key;
    json_t *item;
    if (f->shape == SHAPE_LIST) {
        json_array_foreach(v, i, item) schema_default(f->of, item);
    } else if (f->shape == SHAPE_MAP) {
        json_object_foreach(v, key, item) schema_default(f->of, item);
    } else {
        schema_default(f->of, v);
    }
}

void schema_default(const struct schema *s, json_t *object)
{
    if (!json_is_object(object))
        return;
    for (size_t i = 0; i < s->n; i++) {
        const struct schema_field *f = &s->fields[i];
        if (f->inlined) {
            schema_default(f->of, object);
            continue;
        }
        json_t *v = json_object_get(object, f->name);
        if (!v && f->def) {
            v = default_value(f->def);
            json_object_set_new(object, f->name, v);
        }
        if (v && f->type == FIELD_OBJECT)
            default_inside(f, v);
    }
}
