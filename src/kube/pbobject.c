/* Protobuf bodies into JSON trees: the field numbers stand in the message tables.
 *
 * The special messages of the API (Time, MicroTime, Duration, IntOrString, Quantity, RawExtension)
 * are written in their JSON form at once. Depth and every length are bounded; the total is bounded
 * by the body. */
#include "kube/pbobject.h"

#include <errno.h>
#include <stdio.h>

#include "base/time.h"
#include "codec/base64.h"
#include "codec/pb.h"

enum { PB_OBJECT_DEPTH_MAX = 64 };

static int decode_message(const struct schema *s, struct str raw, json_t *object, unsigned depth,
                          struct err *reterr);

static int bad(struct err *reterr, const char *what)
{
    return err_set(reterr, -EBADMSG, NULL, "invalid protobuf body: %s", what);
}

static int copy_text(struct str s, char ret[256])
{
    if (s.n > 255)
        return -EBADMSG;
    if (s.n)
        memcpy(ret, s.p, s.n);
    ret[s.n] = '\0';
    return 0;
}

int pb_object_open(struct str body, char ret_api_version[256], char ret_kind[256],
                   struct str *ret_raw, struct err *reterr)
{
    static const char magic[4] = {'k', '8', 's', 0};
    struct pb_field f, t;
    int code;
    ret_api_version[0] = ret_kind[0] = '\0';
    *ret_raw = STR("");
    if (body.n < 4 || memcmp(body.p, magic, 4) != 0)
        return bad(reterr, "the magic number is missing");
    body = str_sub(body, 4, body.n);
    while ((code = pb_next(&body, &f)) > 0) {
        if (f.number == 2 && f.wire == PB_BYTES) {
            *ret_raw = f.bytes;
        } else if (f.number == 1 && f.wire == PB_BYTES) {
            while ((code = pb_next(&f.bytes, &t)) > 0) {
                if (t.wire == PB_BYTES && t.number <= 2 &&
                    copy_text(t.bytes, t.number == 1 ? ret_api_version : ret_kind) < 0)
                    return bad(reterr, "the kind is too long");
            }
            if (code < 0)
                return bad(reterr, "broken type information");
        }
    }
    return code < 0 ? bad(reterr, "broken envelope") : 0;
}

/* NULL: not UTF-8, or with a zero byte, which what is read as a C string later would end at. */
static json_t *text_value(struct str s)
{
    if (s.n && memchr(s.p, '\0', s.n))
        return NULL;
    return json_stringn(s.n ? s.p : "", s.n);
}

/* Time, MicroTime: {1 seconds, 2 nanos}; Duration: {1 nanoseconds}. */
static int decode_clock(enum field_type type, struct str raw, json_t **ret)
{
    struct pb_field f;
    int64_t part[3] = {0};
    char text[28];
    int code;
    while ((code = pb_next(&raw, &f)) > 0)
        if (f.wire == PB_VARINT && f.number <= 2)
            part[f.number] = (int64_t)f.value;
    if (code < 0)
        return -EBADMSG;
    if (type != FIELD_DURATION && (part[1] < -62135596800 || part[1] > 253402300799))
        return -EBADMSG;
    if (type == FIELD_DURATION)
        *ret = json_sprintf("%.9gs", (double)part[1] / 1e9);
    else if (part[1] == 0 && part[2] == 0)
        *ret = json_null();
    else if (type == FIELD_TIME)
        time_format_rfc3339(part[1], text), *ret = json_string(text);
    else
        time_format_rfc3339_micro(part[1] * 1000000 + part[2] % 1000000000 / 1000, text),
            *ret = json_string(text);
    return 0;
}

static int decode_int_or_string(struct str raw, json_t **ret)
{
    struct pb_field f;
    uint64_t type = 0, number = 0;
    struct str text = STR("");
    int code;
    while ((code = pb_next(&raw, &f)) > 0) {
        if (f.number == 1)
            type = f.value;
        else if (f.number == 2)
            number = f.value;
        else if (f.number == 3 && f.wire == PB_BYTES)
            text = f.bytes;
    }
    if (code < 0)
        return -EBADMSG;
    *ret = type == 1 ? text_value(text) : json_integer((int32_t)number);
    return 0;
}

/* {1: text}: Quantity; {1: JSON}: RawExtension, FieldsV1. */
static int decode_wrapped(enum field_type type, struct str raw, json_t **ret)
{
    struct pb_field f;
    struct str text = STR("");
    int code;
    while ((code = pb_next(&raw, &f)) > 0)
        if (f.number == 1 && f.wire == PB_BYTES)
            text = f.bytes;
    if (code < 0)
        return -EBADMSG;
    if (type == FIELD_QUANTITY)
        *ret = text_value(text);
    else if (json_parse(text, 0, NULL, ret, NULL) < 0)
        return -EBADMSG;
    return 0;
}

static int decode_base64(struct str raw, json_t **ret)
{
    AUTO_DONE(buf) struct buf text = {0};
    base64_encode(raw, &text);
    *ret = json_stringn(text.p ? text.p : "", text.n);
    return 0;
}

static int decode_value(const struct schema_field *f, const struct pb_field *in, unsigned depth,
                        json_t **ret, struct err *reterr)
{
    bool scalar = f->type == FIELD_BOOL || f->type == FIELD_INT32 || f->type == FIELD_INT64;
    *ret = NULL;
    if (scalar != (in->wire == PB_VARINT) || (!scalar && in->wire != PB_BYTES))
        return bad(reterr, f->name);
    int code = 0;
    switch (f->type) {
    case FIELD_BOOL:
        *ret = json_boolean(in->value);
        break;
    case FIELD_INT32:
        *ret = json_integer((int32_t)in->value);
        break;
    case FIELD_INT64:
        *ret = json_integer((int64_t)in->value);
        break;
    case FIELD_STRING:
        *ret = text_value(in->bytes);
        break;
    case FIELD_BYTES:
        code = decode_base64(in->bytes, ret);
        break;
    case FIELD_TIME:
    case FIELD_MICROTIME:
    case FIELD_DURATION:
        code = decode_clock(f->type, in->bytes, ret);
        break;
    case FIELD_INT_OR_STRING:
        code = decode_int_or_string(in->bytes, ret);
        break;
    case FIELD_QUANTITY:
    case FIELD_ANY:
        code = decode_wrapped(f->type, in->bytes, ret);
        break;
    case FIELD_OBJECT:
        *ret = json_object();
        code = decode_message(f->of, in->bytes, *ret, depth + 1, reterr);
        break;
    }
    if (code == 0 && *ret)
        return 0;
    json_decref(*ret);
    return bad(reterr, f->name);
}

/* A map entry: {1: key, 2: value}. */
static int decode_entry(const struct schema_field *f, struct str raw, json_t *object,
                        unsigned depth, struct err *reterr)
{
    struct pb_field part;
    struct pb_field value = {.wire = PB_BYTES, .bytes = STR("")};
    struct str key = STR("");
    json_t *v;
    int code;
    while ((code = pb_next(&raw, &part)) > 0) {
        if (part.number == 1 && part.wire == PB_BYTES)
            key = part.bytes;
        else if (part.number == 2)
            value = part;
    }
    if (code < 0)
        return bad(reterr, f->name);
    json_t *map = json_object_get(object, f->name);
    if (!json_is_object(map)) {
        map = json_object();
        json_object_set_new(object, f->name, map);
    }
    if (key.n && memchr(key.p, '\0', key.n))
        return bad(reterr, f->name);
    code = decode_value(f, &value, depth, &v, reterr);
    if (code < 0)
        return code;
    return json_object_setn_new(map, key.n ? key.p : "", key.n, v) < 0 ? bad(reterr, f->name) : 0;
}

/* Repeated numbers may come packed. */
static int decode_packed(const struct schema_field *f, struct str raw, json_t *list,
                         struct err *reterr)
{
    while (raw.n) {
        uint64_t v = 0;
        unsigned shift = 0;
        uint8_t b;
        do {
            if (!raw.n || shift > 63)
                return bad(reterr, f->name);
            b = (uint8_t)*raw.p;
            raw = str_sub(raw, 1, raw.n);
            v |= (uint64_t)(b & 0x7f) << shift;
            shift += 7;
        } while (b & 0x80);
        json_array_append_new(list, json_integer((int64_t)v));
    }
    return 0;
}

static int decode_element(const struct schema_field *f, const struct pb_field *in, json_t *object,
                          unsigned depth, struct err *reterr)
{
    json_t *v;
    json_t *list = json_object_get(object, f->name);
    if (!json_is_array(list)) {
        list = json_array();
        json_object_set_new(object, f->name, list);
    }
    if (in->wire == PB_BYTES && (f->type == FIELD_INT32 || f->type == FIELD_INT64))
        return decode_packed(f, in->bytes, list, reterr);
    int code = decode_value(f, in, depth, &v, reterr);
    if (code == 0)
        json_array_append_new(list, v);
    return code;
}

static int decode_field(const struct schema_field *f, const struct pb_field *in, json_t *object,
                        unsigned depth, struct err *reterr)
{
    json_t *v;
    if (f->inlined)
        return in->wire == PB_BYTES ? decode_message(f->of, in->bytes, object, depth + 1, reterr)
                                    : bad(reterr, "inline");
    if (f->shape == SHAPE_LIST)
        return decode_element(f, in, object, depth, reterr);
    if (f->shape == SHAPE_MAP)
        return in->wire == PB_BYTES ? decode_entry(f, in->bytes, object, depth, reterr)
                                    : bad(reterr, f->name);
    int code = decode_value(f, in, depth, &v, reterr);
    if (code == 0)
        json_object_set_new(object, f->name, v);
    return code;
}

static int decode_message(const struct schema *s, struct str raw, json_t *object, unsigned depth,
                          struct err *reterr)
{
    struct pb_field in;
    int code;
    if (depth > PB_OBJECT_DEPTH_MAX)
        return bad(reterr, "nested too deeply");
    while ((code = pb_next(&raw, &in)) > 0) {
        const struct schema_field *f = schema_find_pb(s, in.number);
        if (!f)
            continue;
        code = decode_field(f, &in, object, depth, reterr);
        if (code < 0)
            return code;
    }
    return code < 0 ? bad(reterr, s->name) : 0;
}

int pb_object_decode(const struct schema *s, struct str raw, json_t **ret, struct err *reterr)
{
    json_t *object = json_object();
    int code = decode_message(s, raw, object, 0, reterr);
    if (code < 0) {
        json_decref(object);
        return code;
    }
    *ret = object;
    return 0;
}
