/* JSON into messages: fields by name, scalars by type, arrays and maps. What has a form of its own
 * (Duration, Struct, Any ...) stands in pb_json_known.c. Owns nothing: the message and all it
 * points to lie in the caller's arena. */
#include "codec/pb_json.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>

#include "base/assert.h"
#include "codec/base64.h"
#include "codec/pb_json_priv.h"

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the low half of an integer comes first");

/* Fields of one message that a reader keeps account of. */
enum { FIELDS_MAX = 256 };

static int read_message(struct pb_json_reader *r, const json_t *j,
                        const ProtobufCMessageDescriptor *d, ProtobufCMessage **ret);

/* ---- scalars ---- */

/* An integer as JSON may write it: 5, "5", 5.0. *ret_big: only a uint64_t holds it. */
static int read_integer(struct pb_json_reader *r, const json_t *j, int64_t *ret, bool *ret_big)
{
    struct str s = {json_string_value(j), json_string_length(j)};
    double real = json_real_value(j);
    uint64_t big;
    *ret_big = false;
    if (json_is_integer(j)) {
        *ret = json_integer_value(j);
        return 0;
    }
    if (json_is_string(j)) {
        if (str_to_i64(s, ret) == 0)
            return 0;
        if (str_to_u64(s, &big) == 0) {
            *ret = (int64_t)big;
            *ret_big = true;
            return 0;
        }
        return pb_path_fail(&r->path, r->err, -EINVAL,
                            "expected an integer, not the string \"%.60s\"", s.p);
    }
    if (!json_is_real(j))
        return pb_json_mismatch(r, j, "an integer");
    *ret_big = real >= 9223372036854775808.0;
    if (!(real >= -9223372036854775808.0 && real < 18446744073709551616.0))
        return pb_path_fail(&r->path, r->err, -EINVAL, "%g is out of range", real);
    if (real != (*ret_big ? (double)(uint64_t)real : (double)(int64_t)real))
        return pb_path_fail(&r->path, r->err, -EINVAL, "expected an integer, not %g", real);
    *ret = *ret_big ? (int64_t)(uint64_t)real : (int64_t)real;
    return 0;
}

static int read_int(struct pb_json_reader *r, const json_t *j, ProtobufCType type, void *at)
{
    int64_t v;
    bool big, fits;
    int code = read_integer(r, j, &v, &big);
    if (code < 0)
        return code;
    bool is_short = pb_type_size(type) == 4;
    if (type == PROTOBUF_C_TYPE_UINT32 || type == PROTOBUF_C_TYPE_FIXED32)
        fits = !big && v >= 0 && v <= UINT32_MAX;
    else if (type == PROTOBUF_C_TYPE_UINT64 || type == PROTOBUF_C_TYPE_FIXED64)
        fits = big || v >= 0;
    else
        fits = !big && (!is_short || (v >= INT32_MIN && v <= INT32_MAX));
    if (!fits)
        return pb_path_fail(&r->path, r->err, -EINVAL, "a number out of range");
    memcpy(at, &v, pb_type_size(type));
    return 0;
}

static int read_double(struct pb_json_reader *r, const json_t *j, double *ret)
{
    const char *s = json_string_value(j);
    char *end;
    if (json_is_number(j)) {
        *ret = json_number_value(j);
        return 0;
    }
    if (!s)
        return pb_json_mismatch(r, j, "a number");
    *ret = strcmp(s, "NaN") == 0         ? NAN
           : strcmp(s, "Infinity") == 0  ? INFINITY
           : strcmp(s, "-Infinity") == 0 ? -INFINITY
                                         : strtod(s, &end);
    bool word = s[0] == 'N' || s[0] == 'I' || (s[0] == '-' && s[1] == 'I');
    if (!word &&
        (!*s || *end || !strchr("-0123456789", s[0]) || strpbrk(s, "xXpP") || !isfinite(*ret)))
        return pb_path_fail(&r->path, r->err, -EINVAL,
                            "expected a number, not the string \"%.60s\"", s);
    if (word && isfinite(*ret))
        return pb_path_fail(&r->path, r->err, -EINVAL,
                            "expected a number, not the string \"%.60s\"", s);
    return 0;
}

static int read_real(struct pb_json_reader *r, const json_t *j, ProtobufCType type, void *at)
{
    double v = 0;
    int code = read_double(r, j, &v);
    float single = (float)v;
    if (code < 0)
        return code;
    if (type == PROTOBUF_C_TYPE_FLOAT && isfinite(v) && !isfinite(single))
        return pb_path_fail(&r->path, r->err, -EINVAL, "%g is out of range", v);
    if (type == PROTOBUF_C_TYPE_FLOAT)
        memcpy(at, &single, sizeof(single));
    else
        memcpy(at, &v, sizeof(v));
    return 0;
}

static int read_enum(struct pb_json_reader *r, const json_t *j, const ProtobufCEnumDescriptor *d,
                     void *at)
{
    const char *name = json_string_value(j);
    if (!name)
        return json_is_number(j) ? read_int(r, j, PROTOBUF_C_TYPE_ENUM, at)
                                 : pb_json_mismatch(r, j, "the name of a value");
    const ProtobufCEnumValue *v = protobuf_c_enum_descriptor_get_value_by_name(d, name);
    if (!v)
        return pb_path_fail(&r->path, r->err, -EINVAL, "\"%.60s\" is no value of %s", name,
                            d->name);
    memcpy(at, &v->value, sizeof(int32_t));
    return 0;
}

static int read_string(struct pb_json_reader *r, const json_t *j, char **at)
{
    struct str s = {json_string_value(j), json_string_length(j)};
    if (!s.p)
        return pb_json_mismatch(r, j, "a string");
    if (memchr(s.p, 0, s.n))
        return pb_path_fail(&r->path, r->err, -EINVAL, "a string with a zero byte");
    s = arena_str(r->arena, s);
    *at = (char *)(uintptr_t)s.p;
    return s.p ? 0 : pb_json_no_memory(r);
}

static int read_bytes(struct pb_json_reader *r, const json_t *j, ProtobufCBinaryData *at)
{
    AUTO_DONE(buf) struct buf b = {0};
    struct str s = {json_string_value(j), json_string_length(j)};
    if (!s.p)
        return pb_json_mismatch(r, j, "bytes in base64");
    bool url = memchr(s.p, '-', s.n) || memchr(s.p, '_', s.n);
    while (s.n && s.p[s.n - 1] == '=') /* both forms, padded or not */
        s.n--;
    AUTO_DONE(buf) struct buf text = {0};
    buf_add_str(&text, s);
    for (size_t i = 0; !url && i < (4 - s.n % 4) % 4; i++)
        buf_add_char(&text, '=');
    int code = url ? base64url_decode(s, &b) : base64_decode(buf_str(&text), &b);
    if (text.failed || b.failed)
        return pb_json_no_memory(r);
    if (code < 0)
        return pb_path_fail(&r->path, r->err, -EINVAL, "expected bytes in base64");
    s = arena_str(r->arena, buf_str(&b));
    if (!s.p)
        return pb_json_no_memory(r);
    *at = (ProtobufCBinaryData){s.n, (uint8_t *)(uintptr_t)s.p};
    return 0;
}

static int read_value(struct pb_json_reader *r, const json_t *j, const ProtobufCFieldDescriptor *f,
                      void *at)
{
    protobuf_c_boolean truth = json_is_true(j);
    ProtobufCMessage *m;
    int code;
    switch (f->type) {
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_DOUBLE:
        return read_real(r, j, f->type, at);
    case PROTOBUF_C_TYPE_BOOL:
        if (!json_is_boolean(j))
            return pb_json_mismatch(r, j, "true or false");
        memcpy(at, &truth, sizeof(truth));
        return 0;
    case PROTOBUF_C_TYPE_ENUM:
        return read_enum(r, j, f->descriptor, at);
    case PROTOBUF_C_TYPE_STRING:
        return read_string(r, j, at);
    case PROTOBUF_C_TYPE_BYTES:
        return read_bytes(r, j, at);
    case PROTOBUF_C_TYPE_MESSAGE:
        code = read_message(r, j, f->descriptor, &m);
        if (code == 0)
            memcpy(at, &m, sizeof(m));
        return code;
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        break;
    }
    return read_int(r, j, f->type, at);
}

/* ---- fields ---- */

/* Room for n values of a repeated field, its length set. */
static int make_room(struct pb_json_reader *r, const ProtobufCFieldDescriptor *f, size_t n,
                     ProtobufCMessage *m, char **ret)
{
    *ret = arena_alloc(r->arena, n * pb_type_size(f->type));
    if (!*ret)
        return pb_json_no_memory(r);
    memcpy((char *)m + f->offset, ret, sizeof(*ret));
    memcpy((char *)m + f->quantifier_offset, &n, sizeof(n));
    return 0;
}

static int read_list(struct pb_json_reader *r, const json_t *j, const ProtobufCFieldDescriptor *f,
                     ProtobufCMessage *m)
{
    char *at;
    json_t *v;
    size_t i;
    if (!json_is_array(j))
        return pb_json_mismatch(r, j, "a list");
    if (json_array_size(j) == 0)
        return 0;
    int code = make_room(r, f, json_array_size(j), m, &at);
    if (code < 0)
        return code;
    json_array_foreach((json_t *)(uintptr_t)j, i, v)
    {
        size_t mark = pb_path_index(&r->path, i);
        code = read_value(r, v, f, at + i * pb_type_size(f->type));
        if (code < 0)
            return code;
        pb_path_back(&r->path, mark);
    }
    return 0;
}

static int read_key(struct pb_json_reader *r, struct str key, const ProtobufCFieldDescriptor *f,
                    void *at)
{
    AUTO_JSON json_t *text = json_stringn(key.p, key.n);
    AUTO_JSON json_t *truth = json_boolean(str_is(key, "true"));
    bool is_truth = str_is(key, "true") || str_is(key, "false");
    return read_value(r, f->type == PROTOBUF_C_TYPE_BOOL && is_truth ? truth : text, f, at);
}

static int read_map(struct pb_json_reader *r, const json_t *j, const ProtobufCFieldDescriptor *f,
                    ProtobufCMessage *m)
{
    const ProtobufCMessageDescriptor *d = f->descriptor;
    char *at;
    const char *key;
    json_t *v;
    size_t n, i = 0;
    if (!json_is_object(j))
        return pb_json_mismatch(r, j, "an object");
    if (json_object_size(j) == 0)
        return 0;
    int code = make_room(r, f, json_object_size(j), m, &at);
    json_object_keylen_foreach((json_t *)(uintptr_t)j, key, n, v)
    {
        if (code < 0)
            return code;
        size_t mark = pb_path_key(&r->path, str_of(key, n));
        ProtobufCMessage *entry = pb_new(d, r->arena);
        code = entry
                   ? read_key(r, str_of(key, n), &d->fields[0], (char *)entry + d->fields[0].offset)
                   : pb_json_no_memory(r);
        if (code == 0)
            code = read_value(r, v, &d->fields[1], (char *)entry + d->fields[1].offset);
        if (code < 0)
            return code;
        memcpy(at + i++ * sizeof(entry), &entry, sizeof(entry));
        pb_path_back(&r->path, mark);
    }
    return code;
}

static int read_single(struct pb_json_reader *r, const json_t *j,
                       const ProtobufCMessageDescriptor *d, const ProtobufCFieldDescriptor *f,
                       ProtobufCMessage *m)
{
    protobuf_c_boolean has = true;
    uint32_t other = pb_in_oneof(f) ? pb_oneof_case(m, f) : 0;
    if (other && other != f->id)
        return pb_path_fail(&r->path, r->err, -EINVAL, "excludes %s: only one of them may be set",
                            pb_field_of(d, other)->name);
    int code = read_value(r, j, f, (char *)m + f->offset);
    if (code < 0)
        return code;
    if (pb_in_oneof(f))
        memcpy((char *)m + f->quantifier_offset, &f->id, sizeof(f->id));
    else if (f->label == PROTOBUF_C_LABEL_OPTIONAL && f->type != PROTOBUF_C_TYPE_MESSAGE &&
             f->type != PROTOBUF_C_TYPE_STRING)
        memcpy((char *)m + f->quantifier_offset, &has, sizeof(has));
    return 0;
}

/* name in lowerCamelCase? */
static bool is_camel_of(const char *key, const char *name)
{
    bool upper = false;
    for (; *name; name++) {
        if (*name == '_') {
            upper = true;
            continue;
        }
        char c = upper && *name >= 'a' && *name <= 'z' ? (char)(*name - 'a' + 'A') : *name;
        if (c != *key++)
            return false;
        upper = false;
    }
    return !*key;
}

static const ProtobufCFieldDescriptor *find_field(const ProtobufCMessageDescriptor *d,
                                                  const char *key)
{
    const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field_by_name(d, key);
    for (unsigned i = 0; !f && i < d->n_fields; i++)
        if (is_camel_of(key, d->fields[i].name))
            f = &d->fields[i];
    return f;
}

static bool takes_null(const ProtobufCFieldDescriptor *f)
{
    const ProtobufCMessageDescriptor *d = f->descriptor;
    return f->type == PROTOBUF_C_TYPE_MESSAGE && f->label != PROTOBUF_C_LABEL_REPEATED &&
           pb_type_is(d, "google.protobuf.Value");
}

static int read_member(struct pb_json_reader *r, const char *key, const json_t *j,
                       ProtobufCMessage *m, bool *seen)
{
    const ProtobufCMessageDescriptor *d = m->descriptor;
    const ProtobufCFieldDescriptor *f = find_field(d, key);
    size_t mark = pb_path_field(&r->path, f ? f->name : key);
    int code = 0;
    if (!f)
        return pb_path_fail(&r->path, r->err, -EINVAL, "unknown field of %s", d->name);
    if (seen[f - d->fields])
        return pb_path_fail(&r->path, r->err, -EINVAL, "is there twice");
    seen[f - d->fields] = true;
    if (!json_is_null(j) || takes_null(f)) {
        if (pb_is_map(d, f))
            code = read_map(r, j, f, m);
        else if (f->label == PROTOBUF_C_LABEL_REPEATED)
            code = read_list(r, j, f, m);
        else
            code = read_single(r, j, d, f, m);
    }
    if (code == 0)
        pb_path_back(&r->path, mark);
    return code;
}

static int read_members(struct pb_json_reader *r, const json_t *j, ProtobufCMessage *m)
{
    const ProtobufCMessageDescriptor *d = m->descriptor;
    bool seen[FIELDS_MAX] = {false};
    const char *key;
    json_t *v;
    int code = 0;
    ASSERT(d->n_fields <= FIELDS_MAX);
    if (!json_is_object(j))
        return pb_json_mismatch(r, j, "an object");
    if (r->types && r->types->is_opaque && r->types->is_opaque(d))
        return 0;
    json_object_foreach((json_t *)(uintptr_t)j, key, v)
    {
        code = read_member(r, key, v, m, seen);
        if (code < 0)
            break;
    }
    return code;
}

static int read_message(struct pb_json_reader *r, const json_t *j,
                        const ProtobufCMessageDescriptor *d, ProtobufCMessage **ret)
{
    pb_json_known_reader known = pb_json_known_read(d);
    if (r->depth >= PB_DEPTH_MAX)
        return pb_path_fail(&r->path, r->err, -E2BIG, "nested deeper than %d messages",
                            PB_DEPTH_MAX);
    ProtobufCMessage *m = pb_new(d, r->arena);
    if (!m)
        return pb_json_no_memory(r);
    r->depth++;
    int code = known ? known(r, j, m) : read_members(r, j, m);
    r->depth--;
    if (code == 0)
        *ret = m;
    return code;
}

int pb_json_parse(const json_t *j, const ProtobufCMessageDescriptor *d,
                  const struct pb_json_types *types, struct arena *a, ProtobufCMessage **ret,
                  struct pb_path *ret_path, struct err *reterr)
{
    struct pb_json_reader r = {.types = types,
                               .arena = a,
                               .err = reterr,
                               .read_message = read_message,
                               .read_value = read_value};
    int code = read_message(&r, j, d, ret);
    if (code < 0 && ret_path)
        *ret_path = r.path;
    return code;
}
