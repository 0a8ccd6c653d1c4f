/* Messages into JSON: what is set, by the names of the fields; types with a form of their own by a
 * table. An Any is unpacked and printed with its "@type"; one of an unknown type as base64. Owns
 * nothing but the tree it makes. */
#include <errno.h>
#include <math.h>
#include <stdio.h>

#include "base/assert.h"
#include "codec/base64.h"
#include "codec/pb_json.h"
#include "codec/pb_time.h"

/* For the contents of one Any; of an Any in an Any half as much. */
enum { ANY_MEMORY_MAX = 64 << 20 };

struct printer {
    const struct pb_json_types *types;
    struct pb_path path;
    unsigned depth, anys; /* nested around here */
    struct err *err;
};

static int print_message(struct printer *p, const ProtobufCMessage *m, json_t **ret);

static int no_memory(struct printer *p)
{
    return pb_path_fail(&p->path, p->err, -ENOMEM, "out of memory");
}

static const char *text_of(const void *at)
{
    const char *s = *(const char *const *)at;
    return s ? s : "";
}

static json_t *print_real(double v)
{
    if (isnan(v))
        return json_string("NaN");
    if (isinf(v))
        return json_string(v < 0 ? "-Infinity" : "Infinity");
    return json_real(v);
}

static json_t *print_enum(const ProtobufCEnumDescriptor *d, int value)
{
    const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value(d, value);
    if (strcmp(d->name, "google.protobuf.NullValue") == 0)
        return json_null();
    return v ? json_string(v->name) : json_integer(value);
}

static json_t *print_wide(int64_t v, bool is_signed)
{
    char digits[24];
    snprintf(digits, sizeof(digits), is_signed ? "%lld" : "%llu", (long long)v);
    return json_string(digits);
}

/* NULL: no memory. */
static json_t *print_bytes(const ProtobufCBinaryData *v)
{
    AUTO_DONE(buf) struct buf b = {0};
    base64_encode(str_of(v->data, v->len), &b);
    if (b.failed)
        return NULL;
    return json_stringn(b.n ? b.p : "", b.n);
}

/* One scalar; NULL: no memory. */
static json_t *print_scalar(const ProtobufCFieldDescriptor *f, const void *at)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        return json_integer(*(const int32_t *)at);
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        return json_integer(*(const uint32_t *)at);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        return print_wide(*(const int64_t *)at, true);
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return print_wide(*(const int64_t *)at, false);
    case PROTOBUF_C_TYPE_FLOAT:
        return print_real((double)*(const float *)at);
    case PROTOBUF_C_TYPE_DOUBLE:
        return print_real(*(const double *)at);
    case PROTOBUF_C_TYPE_BOOL:
        return json_boolean(*(const protobuf_c_boolean *)at);
    case PROTOBUF_C_TYPE_ENUM:
        return print_enum(f->descriptor, *(const int *)at);
    case PROTOBUF_C_TYPE_STRING:
        return json_text(str_from(text_of(at)));
    case PROTOBUF_C_TYPE_BYTES:
        return print_bytes(at);
    case PROTOBUF_C_TYPE_MESSAGE:
        break;
    }
    return json_null();
}

static int print_value(struct printer *p, const ProtobufCFieldDescriptor *f, const void *at,
                       json_t **ret)
{
    if (f->type == PROTOBUF_C_TYPE_MESSAGE) {
        const ProtobufCMessage *m = *(const ProtobufCMessage *const *)at;
        const ProtobufCMessageDescriptor *d = f->descriptor;
        if (m)
            return print_message(p, m, ret);
        /* The value of a map's entry that came without one. */
        AUTO(arena) struct arena *a = arena_new(0);
        m = pb_new(d, a);
        return m ? print_message(p, m, ret) : no_memory(p);
    }
    *ret = print_scalar(f, at);
    return *ret ? 0 : no_memory(p);
}

static int print_list(struct printer *p, const ProtobufCMessage *m,
                      const ProtobufCFieldDescriptor *f, json_t **ret)
{
    AUTO_JSON json_t *list = json_array();
    for (size_t i = 0; i < pb_count(m, f); i++) {
        json_t *v = NULL;
        size_t mark = pb_path_index(&p->path, i);
        int code = print_value(p, f, pb_value(m, f, i), &v);
        if (code < 0)
            return code;
        json_array_append_new(list, v);
        pb_path_back(&p->path, mark);
    }
    *ret = TAKE(list);
    return 0;
}

static void print_key(const ProtobufCMessage *entry, const ProtobufCFieldDescriptor *f,
                      struct buf *ret)
{
    AUTO_JSON json_t *key = print_scalar(f, pb_value(entry, f, 0));
    if (!key)
        ret->failed = true;
    else if (json_is_string(key))
        buf_add(ret, json_string_value(key), json_string_length(key));
    else
        json_write(ret, key);
}

static int print_map(struct printer *p, const ProtobufCMessage *m,
                     const ProtobufCFieldDescriptor *f, json_t **ret)
{
    const ProtobufCMessageDescriptor *d = f->descriptor;
    AUTO_JSON json_t *map = json_object();
    for (size_t i = 0; i < pb_count(m, f); i++) {
        AUTO_DONE(buf) struct buf key = {0};
        const ProtobufCMessage *entry = pb_message(m, f, i);
        json_t *v = NULL;
        print_key(entry, &d->fields[0], &key);
        size_t mark = pb_path_key(&p->path, buf_str(&key));
        int code = key.failed
                       ? no_memory(p)
                       : print_value(p, &d->fields[1], pb_value(entry, &d->fields[1], 0), &v);
        if (code < 0)
            return code;
        json_object_setn_new(map, key.n ? key.p : "", key.n, v);
        pb_path_back(&p->path, mark);
    }
    *ret = TAKE(map);
    return 0;
}

static int print_fields(struct printer *p, const ProtobufCMessage *m, json_t **ret)
{
    AUTO_JSON json_t *object = json_object();
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *f = &m->descriptor->fields[i];
        json_t *v = NULL;
        if (!pb_is_set(m, f))
            continue;
        size_t mark = pb_path_field(&p->path, f->name);
        int code = pb_is_map(m->descriptor, f) ? print_map(p, m, f, &v)
                   : f->label == PROTOBUF_C_LABEL_REPEATED
                       ? print_list(p, m, f, &v)
                       : print_value(p, f, pb_value(m, f, 0), &v);
        if (code < 0)
            return code;
        json_object_set_new(object, f->name, v);
        pb_path_back(&p->path, mark);
    }
    *ret = TAKE(object);
    return 0;
}

/* ---- types with a form of their own ---- */

static const void *field(const ProtobufCMessage *m, unsigned number)
{
    return (const char *)m + pb_field_of(m->descriptor, number)->offset;
}

static int print_wrapper(struct printer *p, const ProtobufCMessage *m, json_t **ret)
{
    return print_value(p, pb_field_of(m->descriptor, 1), field(m, 1), ret);
}

static int print_time(struct printer *p, const ProtobufCMessage *m, json_t **ret,
                      int (*format)(int64_t seconds, int32_t nanos, char *ret, size_t size))
{
    char text[48];
    if (format(*(const int64_t *)field(m, 1), *(const int32_t *)field(m, 2), text, sizeof(text)) <
        0)
        return pb_path_fail(&p->path, p->err, -EINVAL, "is out of range for a %s",
                            m->descriptor->short_name);
    *ret = json_string(text);
    return 0;
}

static int print_duration(struct printer *p, const ProtobufCMessage *m, json_t **ret)
{
    return print_time(p, m, ret, pb_duration_format);
}

static int print_timestamp(struct printer *p, const ProtobufCMessage *m, json_t **ret)
{
    return print_time(p, m, ret, pb_timestamp_format);
}

static int print_struct(struct printer *p, const ProtobufCMessage *m, json_t **ret)
{
    return print_map(p, m, pb_field_of(m->descriptor, 1), ret);
}

static int print_list_value(struct printer *p, const ProtobufCMessage *m, json_t **ret)
{
    return print_list(p, m, pb_field_of(m->descriptor, 1), ret);
}

static int print_any_value(struct printer *p, const ProtobufCMessage *m, json_t **ret)
{
    uint32_t number = pb_oneof_case(m, pb_field_of(m->descriptor, 1));
    if (!number) {
        *ret = json_null();
        return 0;
    }
    return print_value(p, pb_field_of(m->descriptor, number), field(m, number), ret);
}

static int print_contents(struct printer *p, const ProtobufCMessageDescriptor *d, struct str bytes,
                          json_t **ret)
{
    AUTO(arena) struct arena *a = arena_new((size_t)ANY_MEMORY_MAX >> MIN(p->anys, 16u));
    ProtobufCMessage *m;
    struct err e = {0};
    int code = pb_unpack(d, bytes, a, &m, &e);
    if (code == -ENOMEM)
        return no_memory(p);
    if (code < 0)
        return pb_path_fail(&p->path, p->err, -EINVAL, "does not hold a %s: %s", d->name,
                            err_text(&e));
    p->anys++;
    code = print_message(p, m, ret);
    p->anys--;
    return code;
}

static bool has_own_form(const ProtobufCMessageDescriptor *d);

static int print_any(struct printer *p, const ProtobufCMessage *m, json_t **ret)
{
    const char *type_url = text_of(field(m, 1));
    const ProtobufCBinaryData *value = field(m, 2);
    const ProtobufCMessageDescriptor *d = NULL;
    AUTO_JSON json_t *object = json_object();
    AUTO_JSON json_t *contents = NULL;
    if (!*type_url && !value->len) {
        *ret = TAKE(object);
        return 0;
    }
    if (p->types)
        d = p->types->find(pb_type_name(str_from(type_url)));
    json_object_set_new(object, "@type", json_text(str_from(type_url)));
    if (!d) {
        if (value->len && json_object_set_new(object, "value", print_bytes(value)) < 0)
            return no_memory(p);
        *ret = TAKE(object);
        return 0;
    }
    int code = print_contents(p, d, str_of(value->data, value->len), &contents);
    if (code < 0)
        return code;
    if (has_own_form(d))
        json_object_set(object, "value", contents);
    else
        json_object_update(object, contents);
    *ret = TAKE(object);
    return 0;
}

static const struct {
    const char *name;
    int (*print)(struct printer *p, const ProtobufCMessage *m, json_t **ret);
} known[] = {
    {"Any", print_any},
    {"BoolValue", print_wrapper},
    {"BytesValue", print_wrapper},
    {"DoubleValue", print_wrapper},
    {"Duration", print_duration},
    {"FloatValue", print_wrapper},
    {"Int32Value", print_wrapper},
    {"Int64Value", print_wrapper},
    {"ListValue", print_list_value},
    {"StringValue", print_wrapper},
    {"Struct", print_struct},
    {"Timestamp", print_timestamp},
    {"UInt32Value", print_wrapper},
    {"UInt64Value", print_wrapper},
    {"Value", print_any_value},
};

/* The row of the table; its length: the common form. */
static size_t own_form(const ProtobufCMessageDescriptor *d)
{
    bool ours = strncmp(d->name, "google.protobuf.", 16) == 0;
    size_t i = 0;
    while (i < ARRAY_LEN(known) && !(ours && strcmp(d->name + 16, known[i].name) == 0))
        i++;
    return i;
}

static bool has_own_form(const ProtobufCMessageDescriptor *d)
{
    return own_form(d) < ARRAY_LEN(known);
}

static int print_message(struct printer *p, const ProtobufCMessage *m, json_t **ret)
{
    size_t i = own_form(m->descriptor);
    if (p->depth >= PB_DEPTH_MAX)
        return pb_path_fail(&p->path, p->err, -EINVAL, "nested deeper than %d messages",
                            PB_DEPTH_MAX);
    p->depth++;
    int code = i < ARRAY_LEN(known) ? known[i].print(p, m, ret) : print_fields(p, m, ret);
    p->depth--;
    return code;
}

int pb_json_print(const ProtobufCMessage *m, const struct pb_json_types *types, json_t **ret,
                  struct err *reterr)
{
    struct printer p = {.types = types, .err = reterr};
    return print_message(&p, m, ret);
}
