/* Messages of protobuf-c under the limits of this project. protobuf-c reads the wire by recursion
 * without a bound and takes any bytes for a string, so a scan by the same descriptors goes before
 * it: depth, UTF-8, no zero bytes, wire types. All memory comes from an arena. Owns nothing. */
#include "codec/pb_msg.h"

#include <errno.h>

#include "base/assert.h"
#include "codec/json.h"
#include "codec/pb.h"
#include "codec/pb_path.h"

struct pb_memory {
    ProtobufCAllocator allocator;
    struct arena *arena;
    bool failed;
};

static void *memory_alloc(void *user, size_t size)
{
    struct pb_memory *m = user;
    void *p = arena_alloc(m->arena, size);
    m->failed = m->failed || !p;
    return p;
}

static void memory_free(void *user, void *p)
{
    (void)user; /* the arena frees it */
    (void)p;
}

ProtobufCMessage *pb_new(const ProtobufCMessageDescriptor *d, struct arena *a)
{
    ProtobufCMessage *m = arena_alloc(a, d->sizeof_message);
    if (m)
        d->message_init(m);
    return m;
}

size_t pb_type_size(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return 8;
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_ENUM:
        break;
    }
    return 4;
}

bool pb_in_oneof(const ProtobufCFieldDescriptor *f)
{
    return f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF;
}

uint32_t pb_oneof_case(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    uint32_t number;
    memcpy(&number, (const char *)m + f->quantifier_offset, sizeof(number));
    return number;
}

static bool is_default(const ProtobufCFieldDescriptor *f, const char *at)
{
    static const char zeros[8];
    if (f->type == PROTOBUF_C_TYPE_STRING) {
        const char *s = *(char *const *)(const void *)at;
        return !s || !*s;
    }
    if (f->type == PROTOBUF_C_TYPE_BYTES)
        return ((const ProtobufCBinaryData *)(const void *)at)->len == 0;
    return memcmp(at, zeros, pb_type_size(f->type)) == 0;
}

bool pb_is_set(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    const char *at = (const char *)m + f->offset;
    if (f->label == PROTOBUF_C_LABEL_REPEATED)
        return *(const size_t *)(const void *)((const char *)m + f->quantifier_offset) > 0;
    if (pb_in_oneof(f) && pb_oneof_case(m, f) != f->id)
        return false;
    if (f->type == PROTOBUF_C_TYPE_MESSAGE)
        return *(void *const *)(const void *)at != NULL;
    if (pb_in_oneof(f))
        return true;
    if (f->label == PROTOBUF_C_LABEL_OPTIONAL && f->type != PROTOBUF_C_TYPE_STRING)
        return *(const protobuf_c_boolean *)(const void *)((const char *)m + f->quantifier_offset);
    return !is_default(f, at);
}

size_t pb_count(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    if (f->label == PROTOBUF_C_LABEL_REPEATED)
        return *(const size_t *)(const void *)((const char *)m + f->quantifier_offset);
    return pb_is_set(m, f);
}

const void *pb_value(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, size_t i)
{
    const char *at = (const char *)m + f->offset;
    if (f->label != PROTOBUF_C_LABEL_REPEATED)
        return at;
    ASSERT(i < pb_count(m, f));
    return *(const char *const *)(const void *)at + i * pb_type_size(f->type);
}

const ProtobufCMessage *pb_message(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f,
                                   size_t i)
{
    DASSERT(f->type == PROTOBUF_C_TYPE_MESSAGE);
    return *(const ProtobufCMessage *const *)pb_value(m, f, i);
}

/* protoc names the entries of a map after its field: typed_config -> TypedConfigEntry. Descriptors
 * of protobuf-c do not say more. */
bool pb_is_map(const ProtobufCMessageDescriptor *d, const ProtobufCFieldDescriptor *f)
{
    if (f->type != PROTOBUF_C_TYPE_MESSAGE || f->label != PROTOBUF_C_LABEL_REPEATED)
        return false;
    const ProtobufCMessageDescriptor *entry = f->descriptor;
    size_t n = strlen(d->name);
    if (entry->n_fields != 2 || strcmp(entry->fields[0].name, "key") != 0 ||
        strcmp(entry->fields[1].name, "value") != 0 || strncmp(entry->name, d->name, n) != 0 ||
        entry->name[n] != '.')
        return false;
    const char *at = entry->name + n + 1;
    bool upper = true;
    for (const char *p = f->name; *p; p++) {
        char c = upper && *p >= 'a' && *p <= 'z' ? (char)(*p - 'a' + 'A') : *p;
        upper = *p == '_';
        if (!upper && c != *at++)
            return false;
    }
    return strcmp(at, "Entry") == 0;
}

const ProtobufCFieldDescriptor *pb_field_of(const ProtobufCMessageDescriptor *d, unsigned number)
{
    const ProtobufCFieldDescriptor *f = protobuf_c_message_descriptor_get_field(d, number);
    ASSERT(f);
    return f;
}

struct str pb_type_name(struct str type_url)
{
    const char *slash = type_url.n ? memrchr(type_url.p, '/', type_url.n) : NULL;
    return slash ? str_sub(type_url, (size_t)(slash - type_url.p) + 1, type_url.n) : type_url;
}

static enum pb_wire wire_of(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
        return PB_FIXED32;
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return PB_FIXED64;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
        return PB_BYTES;
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_ENUM:
    case PROTOBUF_C_TYPE_BOOL:
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_UINT64:
        break;
    }
    return PB_VARINT;
}

struct scan {
    struct pb_path path;
    unsigned depth;
    struct err *err;
};

static int scan_message(struct scan *s, const ProtobufCMessageDescriptor *d, struct str bytes);

static int scan_field(struct scan *s, const ProtobufCFieldDescriptor *f, const struct pb_field *v)
{
    int code = 0;
    bool packed = f->label == PROTOBUF_C_LABEL_REPEATED && v->wire == PB_BYTES;
    size_t mark = pb_path_field(&s->path, f->name);
    if (v->wire != wire_of(f->type) && !packed)
        code = pb_path_fail(&s->path, s->err, -EBADMSG, "is not encoded as its type is");
    else if (f->type == PROTOBUF_C_TYPE_MESSAGE)
        code = scan_message(s, f->descriptor, v->bytes);
    else if (f->type == PROTOBUF_C_TYPE_STRING && v->bytes.n && memchr(v->bytes.p, 0, v->bytes.n))
        code = pb_path_fail(&s->path, s->err, -EBADMSG, "a string with a zero byte");
    else if (f->type == PROTOBUF_C_TYPE_STRING && !json_is_utf8(v->bytes))
        code = pb_path_fail(&s->path, s->err, -EBADMSG, "a string that is not UTF-8");
    pb_path_back(&s->path, mark);
    return code;
}

static int scan_message(struct scan *s, const ProtobufCMessageDescriptor *d, struct str bytes)
{
    int code;
    if (s->depth >= PB_DEPTH_MAX)
        return pb_path_fail(&s->path, s->err, -E2BIG, "messages nested deeper than %d",
                            PB_DEPTH_MAX);
    s->depth++;
    for (;;) {
        struct pb_field v;
        code = pb_next(&bytes, &v);
        if (code < 0)
            pb_path_fail(&s->path, s->err, code, "malformed protobuf (%s)", d->name);
        if (code <= 0)
            break;
        const ProtobufCFieldDescriptor *f =
            protobuf_c_message_descriptor_get_field(d, (unsigned)v.number);
        code = f ? scan_field(s, f, &v) : 0;
        if (code < 0)
            break;
    }
    s->depth--;
    return code;
}

int pb_unpack(const ProtobufCMessageDescriptor *d, struct str bytes, struct arena *a,
              ProtobufCMessage **ret, struct err *reterr)
{
    struct scan s = {.err = reterr};
    struct pb_memory memory = {{memory_alloc, memory_free, &memory}, a, false};
    int code = scan_message(&s, d, bytes);
    if (code < 0)
        return code;
    ProtobufCMessage *m = protobuf_c_message_unpack(d, &memory.allocator, bytes.n,
                                                    (const uint8_t *)(bytes.n ? bytes.p : ""));
    if (!m && memory.failed)
        return err_set(reterr, -ENOMEM, NULL, "%s of %zu bytes is over the limit of memory",
                       d->name, bytes.n);
    if (!m)
        return err_set(reterr, -EBADMSG, NULL, "malformed protobuf (%s)", d->name);
    *ret = m;
    return 0;
}

int pb_pack(const ProtobufCMessage *m, struct buf *b)
{
    size_t n = protobuf_c_message_get_packed_size(m);
    void *at = n ? buf_reserve(b, n) : NULL;
    if (n && !at)
        return -ENOMEM;
    if (n)
        b->n += protobuf_c_message_pack(m, at);
    return 0;
}
