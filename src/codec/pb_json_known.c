/* Types with a JSON form of their own: Any, Duration, Timestamp, the wrappers, Struct, Value and
 * ListValue; reading. Their fields are reached by number, so that no generated header is needed.
 * Owns nothing. */
#include <errno.h>

#include "base/assert.h"
#include "codec/base64.h"
#include "codec/pb_json_priv.h"
#include "codec/pb_time.h"

/* Fields by number (google/protobuf/any.proto, duration.proto, timestamp.proto, struct.proto). */
enum {
    ANY_TYPE_URL = 1,
    ANY_VALUE = 2,
    TIME_SECONDS = 1,
    TIME_NANOS = 2,
    WRAPPER_VALUE = 1,
    VALUE_NULL = 1,
    VALUE_NUMBER = 2,
    VALUE_STRING = 3,
    VALUE_BOOL = 4,
    VALUE_STRUCT = 5,
    VALUE_LIST = 6,
};

static void *slot(ProtobufCMessage *m, unsigned number)
{
    return (char *)m + pb_field_of(m->descriptor, number)->offset;
}

static int read_field(struct pb_json_reader *r, const json_t *j, ProtobufCMessage *m,
                      unsigned number)
{
    const ProtobufCFieldDescriptor *f = pb_field_of(m->descriptor, number);
    if (pb_in_oneof(f))
        memcpy((char *)m + f->quantifier_offset, &f->id, sizeof(f->id));
    return r->read_value(r, j, f, slot(m, number));
}

static int read_wrapper(struct pb_json_reader *r, const json_t *j, ProtobufCMessage *m)
{
    return read_field(r, j, m, WRAPPER_VALUE);
}

static int read_time(struct pb_json_reader *r, const json_t *j, ProtobufCMessage *m,
                     int (*parse)(struct str s, int64_t *ret_seconds, int32_t *ret_nanos),
                     const char *expected)
{
    struct str s = {json_string_value(j), json_string_length(j)};
    int64_t seconds;
    int32_t nanos;
    if (!s.p)
        return pb_json_mismatch(r, j, expected);
    int code = parse(s, &seconds, &nanos);
    if (code < 0)
        return pb_path_fail(&r->path, r->err, -EINVAL, "expected %s, not \"%.60s\"%s", expected,
                            s.p, code == -ERANGE ? " (out of range)" : "");
    memcpy(slot(m, TIME_SECONDS), &seconds, sizeof(seconds));
    memcpy(slot(m, TIME_NANOS), &nanos, sizeof(nanos));
    return 0;
}

static int read_duration(struct pb_json_reader *r, const json_t *j, ProtobufCMessage *m)
{
    return read_time(r, j, m, pb_duration_parse, "a duration such as \"0.25s\"");
}

static int read_timestamp(struct pb_json_reader *r, const json_t *j, ProtobufCMessage *m)
{
    return read_time(r, j, m, pb_timestamp_parse, "a time such as \"2026-01-31T12:00:00Z\"");
}

/* Struct.fields is a map and ListValue.values a list of Value: the common form of field 1. */
static int read_only_field(struct pb_json_reader *r, const json_t *j, ProtobufCMessage *m, size_t n)
{
    const ProtobufCFieldDescriptor *f = pb_field_of(m->descriptor, 1);
    const ProtobufCMessageDescriptor *d = f->descriptor;
    bool is_map = json_is_object(j);
    const char *key = NULL;
    void *at = json_object_iter((json_t *)(uintptr_t)j);
    ProtobufCMessage **values = arena_alloc(r->arena, MAX(n, (size_t)1) * sizeof(*values));
    if (!values)
        return pb_json_no_memory(r);
    memcpy((char *)m + f->offset, &values, sizeof(values));
    memcpy((char *)m + f->quantifier_offset, &n, sizeof(n));
    for (size_t i = 0; i < n; i++) {
        const json_t *v = is_map ? json_object_iter_value(at) : json_array_get(j, i);
        if (is_map)
            key = json_object_iter_key(at);
        size_t mark = is_map ? pb_path_key(&r->path, str_from(key)) : pb_path_index(&r->path, i);
        if (is_map) {
            AUTO_JSON json_t *text = json_string(key);
            values[i] = pb_new(d, r->arena);
            int code = values[i] ? read_field(r, text, values[i], 1) : pb_json_no_memory(r);
            if (code < 0)
                return code;
        }
        int code = is_map ? read_field(r, v, values[i], 2) : r->read_message(r, v, d, &values[i]);
        if (code < 0)
            return code;
        pb_path_back(&r->path, mark);
        at = is_map ? json_object_iter_next((json_t *)(uintptr_t)j, at) : NULL;
    }
    return 0;
}

static int read_struct(struct pb_json_reader *r, const json_t *j, ProtobufCMessage *m)
{
    if (!json_is_object(j))
        return pb_json_mismatch(r, j, "an object");
    return read_only_field(r, j, m, json_object_size(j));
}

static int read_list_value(struct pb_json_reader *r, const json_t *j, ProtobufCMessage *m)
{
    if (!json_is_array(j))
        return pb_json_mismatch(r, j, "a list");
    return read_only_field(r, j, m, json_array_size(j));
}

static int read_any_value(struct pb_json_reader *r, const json_t *j, ProtobufCMessage *m)
{
    AUTO_JSON json_t *zero = json_integer(0);
    switch (json_typeof(j)) {
    case JSON_OBJECT:
        return read_field(r, j, m, VALUE_STRUCT);
    case JSON_ARRAY:
        return read_field(r, j, m, VALUE_LIST);
    case JSON_STRING:
        return read_field(r, j, m, VALUE_STRING);
    case JSON_INTEGER:
    case JSON_REAL:
        return read_field(r, j, m, VALUE_NUMBER);
    case JSON_TRUE:
    case JSON_FALSE:
        return read_field(r, j, m, VALUE_BOOL);
    case JSON_NULL:
        break;
    }
    return read_field(r, zero, m, VALUE_NULL);
}

/* ---- Any ---- */

/* The contents, read in memory of their own and packed into b. */
static int read_contents(struct pb_json_reader *r, const json_t *j,
                         const ProtobufCMessageDescriptor *d, struct buf *b)
{
    struct arena *outer = r->arena;
    AUTO(arena) struct arena *inner = arena_new((size_t)PB_JSON_ANY_MAX >> MIN(r->anys, 16u));
    AUTO_JSON json_t *rest = NULL;
    ProtobufCMessage *m;
    if (pb_json_known_read(d)) {
        rest = json_incref(json_object_get(j, "value"));
        if (!rest || json_object_size(j) != 2)
            return pb_path_fail(&r->path, r->err, -EINVAL,
                                "expected \"value\" beside \"@type\": %s", d->name);
    } else {
        rest = json_copy((json_t *)(uintptr_t)j);
        json_object_del(rest, "@type");
    }
    r->arena = inner;
    r->anys++;
    int code = r->read_message(r, rest, d, &m);
    r->arena = outer;
    r->anys--;
    if (code == 0 && pb_pack(m, b) < 0)
        code = pb_json_no_memory(r);
    return code;
}

/* An unknown type: what it holds is kept only where it is printed as bytes. */
static int read_unknown(struct pb_json_reader *r, const json_t *j, const char *type_url,
                        ProtobufCMessage *m)
{
    const json_t *value = json_object_get(j, "value");
    if (!r->types || !r->types->pass_unknown)
        return pb_path_fail(&r->path, r->err, -EINVAL, "the type \"%.200s\" is not known",
                            type_url);
    if (json_object_size(j) == 2 && json_is_string(value))
        return read_field(r, value, m, ANY_VALUE);
    return 0;
}

static int read_any(struct pb_json_reader *r, const json_t *j, ProtobufCMessage *m)
{
    AUTO_DONE(buf) struct buf b = {.cap = PB_JSON_ANY_MAX};
    const json_t *type = json_object_get(j, "@type");
    const ProtobufCMessageDescriptor *d = NULL;
    if (!json_is_object(j))
        return pb_json_mismatch(r, j, "an object with \"@type\"");
    if (!type && json_object_size(j) == 0)
        return 0;
    if (!json_is_string(type))
        return pb_path_fail(&r->path, r->err, -EINVAL,
                            "expected \"@type\", such as \"type.googleapis.com/google.protobuf."
                            "Duration\"");
    int code = read_field(r, type, m, ANY_TYPE_URL);
    if (code < 0)
        return code;
    if (r->types)
        d = r->types->find(pb_type_name(str_from(json_string_value(type))));
    if (!d)
        return read_unknown(r, j, json_string_value(type), m);
    code = read_contents(r, j, d, &b);
    if (code < 0)
        return code;
    struct str bytes = arena_str(r->arena, buf_str(&b));
    if (!bytes.p)
        return pb_json_no_memory(r);
    ProtobufCBinaryData value = {bytes.n, (uint8_t *)(uintptr_t)bytes.p};
    memcpy(slot(m, ANY_VALUE), &value, sizeof(value));
    return 0;
}

static const struct known_type {
    const char *name;
    pb_json_known_reader read;
} known[] = {
    {"google.protobuf.Any", read_any},
    {"google.protobuf.BoolValue", read_wrapper},
    {"google.protobuf.BytesValue", read_wrapper},
    {"google.protobuf.DoubleValue", read_wrapper},
    {"google.protobuf.Duration", read_duration},
    {"google.protobuf.FloatValue", read_wrapper},
    {"google.protobuf.Int32Value", read_wrapper},
    {"google.protobuf.Int64Value", read_wrapper},
    {"google.protobuf.ListValue", read_list_value},
    {"google.protobuf.StringValue", read_wrapper},
    {"google.protobuf.Struct", read_struct},
    {"google.protobuf.Timestamp", read_timestamp},
    {"google.protobuf.UInt32Value", read_wrapper},
    {"google.protobuf.UInt64Value", read_wrapper},
    {"google.protobuf.Value", read_any_value},
};

pb_json_known_reader pb_json_known_read(const ProtobufCMessageDescriptor *d)
{
    if (strncmp(d->name, "google.protobuf.", 16) != 0)
        return NULL;
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (pb_type_is(d, known[i].name))
            return known[i].read;
    return NULL;
}
