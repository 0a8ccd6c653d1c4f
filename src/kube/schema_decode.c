/* Decoding an object against its table: the same leniency and the same messages as the Go decoder
 * of a real API server.
 *
 * Works in place on the tree. A place in the object is a chain of frames on the stack, made into
 * text only for a message. Unknown fields are removed and recorded; null and what Go would omit is
 * removed; a wrong type ends it. */
#include "kube/schema.h"

#include <errno.h>
#include <inttypes.h>

#include "base/time.h"
#include "codec/base64.h"
#include "kube/quantity.h"

struct frame {
    const struct frame *up;
    const char *name; /* member, or NULL: an index */
    size_t index;
    bool in_map; /* name is a key of a map */
};

struct decode {
    struct schema_findings *findings;
    struct err *reterr;
};

static int decode_object(struct decode *d, const struct schema *s, json_t *object,
                         const struct frame *at);

/* spec.containers[0].image */
static void write_path(struct buf *b, const struct frame *at)
{
    if (!at)
        return;
    write_path(b, at->up);
    if (!at->name)
        buf_addf(b, "[%zu]", at->index);
    else
        buf_addf(b, "%s%s", b->n ? "." : "", at->name);
}

/* spec.containers.image, as Go names the place */
static void write_go_path(struct buf *b, const struct frame *at)
{
    if (!at)
        return;
    write_go_path(b, at->up);
    if (at->name && !at->in_map)
        buf_addf(b, "%s%s", b->n ? "." : "", at->name);
}

static const char *go_kind(const json_t *v)
{
    if (json_is_string(v))
        return "string";
    if (json_is_number(v))
        return "number";
    if (json_is_boolean(v))
        return "bool";
    return json_is_array(v) ? "array" : "object";
}

static void go_type(struct buf *b, const struct schema_field *f, bool element)
{
    static const char *const names[] = {
        [FIELD_STRING] = "string",
        [FIELD_BOOL] = "bool",
        [FIELD_INT32] = "int32",
        [FIELD_INT64] = "int64",
        [FIELD_BYTES] = "[]uint8",
        [FIELD_TIME] = "v1.Time",
        [FIELD_DURATION] = "string",
        [FIELD_MICROTIME] = "v1.MicroTime",
        [FIELD_INT_OR_STRING] = "intstr.IntOrString",
        [FIELD_QUANTITY] = "resource.Quantity",
        [FIELD_ANY] = "interface {}",
        [FIELD_OBJECT] = NULL,
    };
    if (!element && f->shape == SHAPE_LIST)
        buf_add_cstr(b, "[]");
    if (!element && f->shape == SHAPE_MAP)
        buf_add_cstr(b, "map[string]");
    if (f->go_type)
        buf_add_cstr(b, f->go_type);
    else if (names[f->type])
        buf_add_cstr(b, names[f->type]);
    else
        buf_addf(b, "v1.%s", f->of->name);
}

static int type_error(struct decode *d, const struct schema *s, const struct schema_field *f,
                      bool element, const json_t *v, const struct frame *at)
{
    AUTO_DONE(buf) struct buf path = {0};
    AUTO_DONE(buf) struct buf type = {0};
    AUTO_DONE(buf) struct buf kind = {0};
    write_go_path(&path, at);
    go_type(&type, f, element);
    buf_add_cstr(&kind, go_kind(v));
    if (json_is_number(v) && (f->type == FIELD_INT32 || f->type == FIELD_INT64)) {
        buf_add_char(&kind, ' ');
        json_write(&kind, v);
    }
    return err_set(d->reterr, -EINVAL, NULL,
                   "json: cannot unmarshal %s into Go struct field %s.%s of type %s",
                   buf_cstr(&kind), s->name, buf_cstr(&path), buf_cstr(&type));
}

/* 2006-01-02T15:04:05.000000 and the zone. */
static bool has_micros(struct str s)
{
    size_t n = 0;
    if (s.n < 21 || s.p[19] != '.')
        return false;
    while (20 + n < s.n && s.p[20 + n] >= '0' && s.p[20 + n] <= '9')
        n++;
    return n == 6;
}

static int decode_time(struct decode *d, const struct schema_field *f, const json_t *v,
                       json_t **ret)
{
    struct str text = str_from(json_string_value(v));
    char out[28];
    int64_t us;
    if (f->type == FIELD_MICROTIME && !has_micros(text))
        return err_set(d->reterr, -EINVAL, NULL,
                       "parsing time \"%.60s\" as \"2006-01-02T15:04:05.000000Z07:00\": six digits "
                       "are expected behind the seconds",
                       text.p);
    if (time_parse_rfc3339(text, &us) < 0)
        return err_set(
            d->reterr, -EINVAL, NULL,
            "parsing time \"%.60s\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"%.60s\"",
            text.p, text.p);
    if (f->type == FIELD_TIME)
        time_format_rfc3339(us / 1000000 - (us % 1000000 < 0), out);
    else
        time_format_rfc3339_micro(us, out);
    if (!str_is(text, out))
        *ret = json_string(out);
    return 0;
}

static int decode_quantity(struct decode *d, const json_t *v, json_t **ret)
{
    AUTO_DONE(buf) struct buf in = {0};
    char out[QUANTITY_TEXT_BYTES];
    if (json_is_string(v))
        buf_add(&in, json_string_value(v), json_string_length(v));
    else if (json_is_integer(v))
        json_write(&in, v);
    else
        buf_addf(&in, "%.9g", json_real_value(v));
    if (quantity_canonical(buf_str(&in), out) < 0)
        return err_set(d->reterr, -EINVAL, NULL,
                       "quantities must match the regular expression "
                       "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
    if (!json_is_string(v) || !str_is(buf_str(&in), out))
        *ret = json_string(out);
    return 0;
}

static int decode_bytes(struct decode *d, const json_t *v)
{
    AUTO_DONE(buf) struct buf raw = {0};
    if (base64_decode(str_of(json_string_value(v), json_string_length(v)), &raw) < 0)
        return err_set(d->reterr, -EINVAL, NULL, "illegal base64 data at input byte 0");
    return 0;
}

static bool is_int32(const json_t *v)
{
    return json_is_integer(v) && json_integer_value(v) >= INT32_MIN &&
           json_integer_value(v) <= INT32_MAX;
}

/* One value. *ret stays NULL when v may stay as it is. */
static int decode_one(struct decode *d, const struct schema *s, const struct schema_field *f,
                      json_t *v, const struct frame *at, json_t **ret)
{
    bool ok = true;
    switch (f->type) {
    case FIELD_STRING:
    case FIELD_DURATION:
        ok = json_is_string(v);
        break;
    case FIELD_BOOL:
        ok = json_is_boolean(v);
        break;
    case FIELD_INT32:
    case FIELD_INT64:
        ok = f->type == FIELD_INT64 ? json_is_integer(v) : is_int32(v);
        break;
    case FIELD_INT_OR_STRING:
        ok = json_is_string(v) || is_int32(v);
        break;
    case FIELD_BYTES:
        if (json_is_string(v))
            return decode_bytes(d, v);
        ok = false;
        break;
    case FIELD_TIME:
    case FIELD_MICROTIME:
        if (json_is_string(v))
            return decode_time(d, f, v, ret);
        ok = false;
        break;
    case FIELD_QUANTITY:
        if (json_is_string(v) || json_is_number(v))
            return decode_quantity(d, v, ret);
        ok = false;
        break;
    case FIELD_OBJECT:
        if (json_is_object(v))
            return decode_object(d, f->of, v, at);
        ok = false;
        break;
    case FIELD_ANY:
        break;
    }
    return ok ? 0 : type_error(d, s, f, true, v, at);
}

static int decode_list(struct decode *d, const struct schema *s, const struct schema_field *f,
                       json_t *list, const struct frame *at)
{
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        json_t *replaced = NULL;
        struct frame here = {at, NULL, i, false};
        if (json_is_null(item)) {
            AUTO_DONE(buf) struct buf path = {0};
            write_path(&path, &here);
            return err_set(d->reterr, -EINVAL, NULL, "%s: null is not allowed in a list",
                           buf_cstr(&path));
        }
        int code = decode_one(d, s, f, item, &here, &replaced);
        if (code < 0) {
            json_decref(replaced);
            return code;
        }
        if (replaced)
            json_array_set_new(list, i, replaced);
    }
    return 0;
}

static int decode_map(struct decode *d, const struct schema *s, const struct schema_field *f,
                      json_t *map, const struct frame *at)
{
    const char *key;
    json_t *v;
    void *tmp;
    json_object_foreach_safe(map, tmp, key, v)
    {
        json_t *replaced = NULL;
        struct frame here = {at, key, 0, true};
        if (json_is_null(v)) { /* Go: the zero value */
            json_object_set_new(map, key,
                                f->type == FIELD_OBJECT ? json_object() : json_string(""));
            continue;
        }
        int code = decode_one(d, s, f, v, &here, &replaced);
        if (code < 0) {
            json_decref(replaced);
            return code;
        }
        if (replaced)
            json_object_set_new(map, key, replaced);
    }
    return 0;
}

static bool is_empty(const struct schema_field *f, const json_t *v)
{
    if (json_is_array(v))
        return json_array_size(v) == 0;
    if (json_is_object(v))
        return f->shape == SHAPE_MAP && json_object_size(v) == 0;
    if (f->pointer || f->type == FIELD_INT_OR_STRING || f->type == FIELD_QUANTITY ||
        f->type == FIELD_ANY)
        return false;
    if (json_is_string(v))
        return json_string_length(v) == 0;
    return json_is_false(v) || (json_is_integer(v) && json_integer_value(v) == 0);
}

static int decode_member(struct decode *d, const struct schema *s, const struct schema_field *f,
                         json_t *v, const struct frame *at, json_t **ret)
{
    if (f->shape == SHAPE_LIST)
        return json_is_array(v) ? decode_list(d, s, f, v, at) : type_error(d, s, f, false, v, at);
    if (f->shape == SHAPE_MAP)
        return json_is_object(v) ? decode_map(d, s, f, v, at) : type_error(d, s, f, false, v, at);
    return decode_one(d, s, f, v, at, ret);
}

static void unknown_member(struct decode *d, const struct frame *at)
{
    AUTO_DONE(buf) struct buf path = {0};
    write_path(&path, at);
    schema_findings_add(d->findings, "unknown field \"%.200s\"", buf_cstr(&path));
}

static int decode_object(struct decode *d, const struct schema *s, json_t *object,
                         const struct frame *at)
{
    const char *key;
    json_t *v;
    void *tmp;
    json_object_foreach_safe(object, tmp, key, v)
    {
        const struct schema_field *f = schema_find(s, str_from(key));
        struct frame here = {at, key, 0, false};
        json_t *replaced = NULL;
        if (!f)
            unknown_member(d, &here);
        if (!f || json_is_null(v)) {
            json_object_del(object, key);
            continue;
        }
        int code = decode_member(d, s, f, v, &here, &replaced);
        if (code < 0) {
            json_decref(replaced);
            return code;
        }
        if (f->omitempty && is_empty(f, replaced ? replaced : v)) {
            json_decref(replaced);
            json_object_del(object, key);
        } else if (replaced) {
            json_object_set_new(object, key, replaced);
        }
    }
    return 0;
}

int schema_decode(const struct schema *s, json_t *object, struct schema_findings *f,
                  struct err *reterr)
{
    struct decode d = {f, reterr};
    if (!json_is_object(object))
        return err_set(reterr, -EINVAL, NULL,
                       "json: cannot unmarshal %s into Go value of type v1.%s", go_kind(object),
                       s->name);
    return decode_object(&d, s, object, NULL);
}
