/* Resources, packed once, and how they stand in responses. */
#include "xds/xds_entry.h"

#include <stdio.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/mem.h"
#include "codec/pb.h"

enum { VERSION_SEED = 1, VERSION_N = 16 };

static struct xds_entry *entry_alloc(enum xds_resource type, struct str name, struct str version,
                                     struct str endpoints)
{
    struct xds_entry *e = xmalloc(sizeof(*e) + version.n);
    *e = (struct xds_entry){
        .refs = 1,
        .type = type,
        .key = xds_name_new(type, name),
        .endpoints_key = endpoints.n ? xds_name_new(XDS_ENDPOINT, endpoints) : NULL,
        .version = str_of(e->data, version.n),
    };
    if (version.n)
        memcpy(e->data, version.p, version.n);
    e->name = e->key->text;
    if (e->endpoints_key)
        e->endpoints = e->endpoints_key->text;
    return e;
}

/* Of a field of bytes whose number is below 16. */
static size_t field_size(size_t n)
{
    size_t size = 2 + n;
    for (uint64_t rest = n; rest >= 0x80; rest >>= 7)
        size++;
    return size;
}

enum {
    RESOURCE_VERSION = 1,
    RESOURCE_RESOURCE = 2,
    RESOURCE_NAME = 3,
    ANY_TYPE = 1,
    ANY_VALUE = 2
};

/* Resource{name, version, resource: an Any}, the Any and the message in it last, so that they are
 * runs; the message, which may be long, is copied once. */
static void pack(struct xds_entry *e, struct str message)
{
    struct str url = str_from(xds_resource_type(e->type)->type_url);
    size_t any_n = field_size(url.n) + field_size(message.n);
    struct buf b = {0};
    IGNORE_RESULT(buf_reserve(&b, field_size(e->name.n) + field_size(e->version.n) +
                                      field_size(any_n))); /* what fails is seen below */
    pb_add_bytes(&b, RESOURCE_NAME, e->name);
    pb_add_bytes(&b, RESOURCE_VERSION, e->version);
    pb_add_varint(&b, (uint64_t)RESOURCE_RESOURCE << 3 | PB_BYTES);
    pb_add_varint(&b, any_n);
    pb_add_bytes(&b, ANY_TYPE, url);
    pb_add_bytes(&b, ANY_VALUE, message);
    ASSERT(!b.failed);
    e->packed = b.p;
    e->resource = buf_str(&b);
    e->any = str_sub(e->resource, b.n - any_n, b.n);
    e->message = str_sub(e->resource, b.n - message.n, b.n);
}

struct xds_entry *xds_entry_new(enum xds_resource type, struct str name, struct str message,
                                struct str endpoints)
{
    char version[VERSION_N + 1];
    snprintf(version, sizeof(version), "%016llx",
             (unsigned long long)hash_bytes_seed(message.p, message.n, VERSION_SEED));
    struct xds_entry *e = entry_alloc(type, name, str_from(version), endpoints);
    pack(e, message);
    return e;
}

struct xds_entry *xds_entry_new_held(enum xds_resource type, struct str name, struct str version)
{
    return entry_alloc(type, name, version, STR(""));
}

struct xds_entry *xds_entry_ref(struct xds_entry *e)
{
    e->refs++;
    return e;
}

void xds_entry_unref(struct xds_entry *e)
{
    if (!e || --e->refs)
        return;
    xds_name_unref(e->key);
    xds_name_unref(e->endpoints_key);
    free(e->packed);
    free(e);
}

void xds_entry_add(struct buf *to, enum xds_form form, const struct xds_entry *e)
{
    static const struct str wrapped = STR(XDS_TYPE_PREFIX "envoy.service.discovery.v3.Resource");
    enum { RESOURCES = 2 }; /* of both kinds of responses */
    if (form == XDS_AS_RESOURCE) {
        pb_add_bytes(to, RESOURCES, e->resource);
    } else if (e->type != XDS_HOST && e->type != XDS_NAMES) {
        pb_add_bytes(to, RESOURCES, e->any);
    } else {
        size_t any = pb_begin(to, RESOURCES);
        pb_add_bytes(to, ANY_TYPE, wrapped);
        pb_add_bytes(to, ANY_VALUE, e->resource);
        pb_end(to, any);
    }
}
