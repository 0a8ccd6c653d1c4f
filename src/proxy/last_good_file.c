/* A last good configuration as bytes, and back. All or nothing: what is cut, altered or of another
 * version gives an error and no resource. */
#include "proxy/last_good_file.h"

#include <envoy/service/discovery/v3/discovery.pb-c.h>
#include <errno.h>

#include "base/hash.h"
#include "base/vec.h"
#include "codec/pb_msg.h"

typedef Envoy__Service__Discovery__V3__DeltaDiscoveryResponse pb_response;
typedef Envoy__Service__Discovery__V3__Resource pb_resource;
typedef Envoy__Config__Core__V3__Node pb_node;

static const char magic[8] = {'F', 'A', 'I', 'R', 'L', 'E', 'A', 'D'};

static void put_number(char *to, uint64_t v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = (char)(v >> 8 * i);
}

static uint64_t number(const char *from, size_t n)
{
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++)
        v |= (uint64_t)(uint8_t)from[i] << 8 * i;
    return v;
}

static uint64_t checksum(struct str file)
{
    return hash_bytes_seed(file.p + LAST_GOOD_HEADER_BYTES, file.n - LAST_GOOD_HEADER_BYTES,
                           hash_bytes_seed(file.p, 24, 0));
}

/* ---- to bytes ---- */

static int add_record(const ProtobufCMessage *m, struct buf *b)
{
    size_t at = b->n;
    buf_add(b, "\0\0\0\0", 4);
    int r = pb_pack(m, b);
    if (r == 0 && !b->failed)
        put_number(b->p + at, b->n - at - 4, 4);
    return r;
}

static int add_type(enum xds_resource type, const struct last_good_type *t, struct buf *b)
{
    char *url = (char *)(uintptr_t)xds_resource_type(type)->type_url;
    VEC(pb_resource) resources = {0};
    VEC(Google__Protobuf__Any) anys = {0};
    VEC(pb_resource *) list = {0};
    pb_response m;
    vec_reserve(&resources, t->n);
    vec_reserve(&anys, t->n);
    envoy__service__discovery__v3__delta_discovery_response__init(&m);
    for (size_t i = 0; i < t->n; i++) {
        Google__Protobuf__Any *any = vec_add(&anys);
        pb_resource *r = vec_add(&resources);
        google__protobuf__any__init(any);
        envoy__service__discovery__v3__resource__init(r);
        any->type_url = url;
        any->value.data = (uint8_t *)(uintptr_t)t->items[i].bytes.p;
        any->value.len = t->items[i].bytes.n;
        r->name = (char *)(uintptr_t)t->items[i].name.p;
        r->version = (char *)(uintptr_t)t->items[i].version.p;
        r->resource = any;
        vec_push(&list, r);
    }
    m.type_url = url;
    m.resources = list.v;
    m.n_resources = list.n;
    int r = add_record(&m.base, b);
    vec_done(&resources);
    vec_done(&anys);
    vec_done(&list);
    return r;
}

/* Names and versions end with a NUL, as xds_client gives them. */
int last_good_encode(const struct last_good_file *f, struct buf *b, struct err *reterr)
{
    size_t begin = b->n;
    pb_node node;
    char head[LAST_GOOD_HEADER_BYTES + 8] = {0};
    envoy__config__core__v3__node__init(&node);
    node.id = (char *)(uintptr_t)f->node_id.p;
    node.cluster = (char *)(uintptr_t)f->node_cluster.p;
    put_number(head + LAST_GOOD_HEADER_BYTES, f->at_ms, 8);
    buf_add(b, head, sizeof(head));
    int r = add_record(&node.base, b);
    for (enum xds_resource type = 0; type < XDS_RESOURCES && r == 0; type++)
        r = add_type(type, &f->types[type], b);
    size_t n = b->n - begin;
    if (r < 0 || b->failed || n > LAST_GOOD_BYTES_MAX)
        return err_set(reterr, -E2BIG, NULL, "over the limit of %d bytes", LAST_GOOD_BYTES_MAX);
    char *at = b->p + begin;
    memcpy(at, magic, sizeof(magic));
    put_number(at + 8, LAST_GOOD_FORMAT, 4);
    put_number(at + 16, n - LAST_GOOD_HEADER_BYTES, 8);
    put_number(at + 24, checksum(str_of(at, n)), 8);
    return 0;
}

/* ---- and back ---- */

#define BAD(...) err_set(reterr, -EBADMSG, NULL, __VA_ARGS__)

static int check_header(struct str bytes, struct err *reterr)
{
    if (bytes.n < LAST_GOOD_HEADER_BYTES)
        return BAD("it is cut: %zu bytes, not even a header", bytes.n);
    if (memcmp(bytes.p, magic, sizeof(magic)) != 0)
        return BAD("it is no configuration that was kept");
    uint64_t format = number(bytes.p + 8, 4), body = number(bytes.p + 16, 8);
    if (format != LAST_GOOD_FORMAT)
        return BAD("it is of version %llu of the format, and this program knows %d",
                   (unsigned long long)format, LAST_GOOD_FORMAT);
    if (body > bytes.n - LAST_GOOD_HEADER_BYTES)
        return BAD("it is cut: %zu bytes of %llu", bytes.n,
                   (unsigned long long)body + LAST_GOOD_HEADER_BYTES);
    if (body < bytes.n - LAST_GOOD_HEADER_BYTES || number(bytes.p + 12, 4))
        return BAD("it was altered: its header does not fit");
    if (checksum(bytes) != number(bytes.p + 24, 8))
        return BAD("it was altered: its checksum does not fit");
    return 0;
}

/* The next record of *left as a message. */
static int read_record(struct str *left, const ProtobufCMessageDescriptor *d, struct arena *a,
                       ProtobufCMessage **ret, struct err *reterr)
{
    uint64_t n = left->n >= 4 ? number(left->p, 4) : 0;
    if (left->n < 4 || n > left->n - 4)
        return BAD("a record does not fit");
    struct str bytes = str_sub(*left, 4, 4 + n);
    *left = str_sub(*left, 4 + n, left->n);
    return pb_unpack(d, bytes, a, ret, reterr);
}

static int read_type(enum xds_resource type, struct str *left, struct arena *a,
                     struct last_good_type *ret, struct err *reterr)
{
    const char *url = xds_resource_type(type)->type_url;
    ProtobufCMessage *message;
    int r = read_record(left, &envoy__service__discovery__v3__delta_discovery_response__descriptor,
                        a, &message, reterr);
    if (r < 0)
        return r;
    const pb_response *m = (const void *)message;
    if (strcmp(m->type_url, url) != 0)
        return BAD("%.100s where %s is expected", m->type_url, url);
    ret->items = arena_alloc(a, (m->n_resources + 1) * sizeof(*ret->items));
    if (!ret->items)
        return BAD("no room for %zu resources", m->n_resources);
    for (size_t i = 0; i < m->n_resources; i++) {
        const pb_resource *res = m->resources[i];
        struct str bytes = {NULL, 0};
        if (res->resource && strcmp(res->resource->type_url, url) == 0)
            bytes = str_of(res->resource->value.data, res->resource->value.len);
        struct str name = bytes.n ? xds_resource_name(bytes) : bytes;
        if (name.n && type == XDS_HOST) /* has a name of its own beside the resource's */
            name = str_from(res->name);
        if (!name.n || !str_is(name, res->name))
            return BAD("resource %zu of %s is not what its name says", i, url);
        ret->items[ret->n++] = (struct xds_item){name, str_from(res->version), bytes, false, NULL};
    }
    return 0;
}

int last_good_decode(struct str bytes, struct arena *a, struct last_good_file *ret,
                     struct err *reterr)
{
    struct last_good_file f = {.at_ms = 0};
    ProtobufCMessage *message;
    int r = check_header(bytes, reterr);
    if (r < 0)
        return r;
    struct str left = str_sub(bytes, LAST_GOOD_HEADER_BYTES, bytes.n);
    if (left.n < 8)
        return BAD("it has no time");
    f.at_ms = number(left.p, 8);
    left = str_sub(left, 8, left.n);
    r = read_record(&left, &envoy__config__core__v3__node__descriptor, a, &message, reterr);
    if (r < 0)
        return r;
    f.node_id = str_from(((const pb_node *)(const void *)message)->id);
    f.node_cluster = str_from(((const pb_node *)(const void *)message)->cluster);
    /* what an older one did not know is not there */
    for (enum xds_resource type = 0; type < XDS_RESOURCES && left.n; type++) {
        r = read_type(type, &left, a, &f.types[type], reterr);
        if (r < 0)
            return r;
    }
    if (left.n)
        return BAD("%zu bytes too many", left.n);
    *ret = f;
    return 0;
}
