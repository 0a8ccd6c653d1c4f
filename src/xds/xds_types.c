/* Resources and extensions by type URL. Tables only: immutable, any thread. */
#include "xds/xds_types.h"

#include <envoy/config/cluster/v3/cluster.pb-c.h>
#include <envoy/config/endpoint/v3/endpoint.pb-c.h>
#include <envoy/config/listener/v3/listener.pb-c.h>
#include <envoy/config/route/v3/route.pb-c.h>
#include <envoy/extensions/transport_sockets/tls/v3/secret.pb-c.h>
#include <errno.h>
#include <google/protobuf/any.pb-c.h>
#include <google/protobuf/duration.pb-c.h>
#include <google/protobuf/empty.pb-c.h>
#include <google/protobuf/struct.pb-c.h>
#include <google/protobuf/timestamp.pb-c.h>
#include <google/protobuf/wrappers.pb-c.h>
#include <istio/networking/nds/v1/nds.pb-c.h>
#include <istio/workload/workload.pb-c.h>

#include "base/assert.h"
#include "codec/pb.h"

#define RESOURCE(word, name, symbol)                                                               \
    {                                                                                              \
        word, XDS_TYPE_PREFIX name, &symbol##__descriptor                                          \
    }
static const struct xds_resource_type resources[XDS_RESOURCES] = {
    [XDS_CLUSTER] =
        RESOURCE("cds", "envoy.config.cluster.v3.Cluster", envoy__config__cluster__v3__cluster),
    [XDS_ENDPOINT] = RESOURCE("eds", "envoy.config.endpoint.v3.ClusterLoadAssignment",
                              envoy__config__endpoint__v3__cluster_load_assignment),
    [XDS_LISTENER] =
        RESOURCE("lds", "envoy.config.listener.v3.Listener", envoy__config__listener__v3__listener),
    [XDS_ROUTE] = RESOURCE("rds", "envoy.config.route.v3.RouteConfiguration",
                           envoy__config__route__v3__route_configuration),
    [XDS_SECRET] = RESOURCE("sds", "envoy.extensions.transport_sockets.tls.v3.Secret",
                            envoy__extensions__transport_sockets__tls__v3__secret),
    [XDS_HOST] = RESOURCE("vhds", "envoy.config.route.v3.VirtualHost",
                          envoy__config__route__v3__virtual_host),
    [XDS_WORKLOAD] = RESOURCE("wds", "istio.workload.Address", istio__workload__address),
    [XDS_NAMES] = RESOURCE("nds", "istio.networking.nds.v1.NameTable",
                           istio__networking__nds__v1__name_table),
};

const struct xds_resource_type *xds_resource_type(enum xds_resource r)
{
    ASSERT(r < XDS_RESOURCES);
    return &resources[r];
}

int xds_resource_of(struct str type_url, enum xds_resource *ret)
{
    for (size_t i = 0; i < XDS_RESOURCES; i++)
        if (str_is(pb_type_name(type_url), resources[i].message->name)) {
            *ret = (enum xds_resource)i;
            return 0;
        }
    return -ENOENT;
}

struct str xds_host_table(struct str name)
{
    for (size_t i = name.n; i > 0; i--)
        if (name.p[i - 1] == '/')
            return str_sub(name, 0, i - 1);
    return str_of(name.p, 0);
}

/* Field 1 of all of them. */
struct str xds_resource_name(struct str bytes)
{
    struct pb_field f;
    struct str name = STR("");
    while (pb_next(&bytes, &f) == 1)
        if (f.number == 1 && f.wire == PB_BYTES)
            name = f.bytes;
    return name;
}

#define SECTION(title)
#define MESSAGE(symbol, full_name)      extern const ProtobufCMessageDescriptor symbol##__descriptor;
#define OPAQUE(symbol, full_name, note) MESSAGE(symbol, full_name)
#define FIELD(field, state, note)
#define EXTENSION(symbol, name, slots, state, note)
#define SLOT(symbol, field, slot)
#define VALUE(symbol, field, value, state, note)
#include "xds/xds_support.def"

static const struct xds_extension extensions[] = {
#define SECTION(title)
#define MESSAGE(symbol, full_name)
#define OPAQUE(symbol, full_name, note)
#define FIELD(field, state, note)
#define EXTENSION(symbol, name, slots, state, note)                                                \
    {&symbol##__descriptor, name, slots, XDS_##state, note},
#define SLOT(symbol, field, slot)
#define VALUE(symbol, field, value, state, note)
#include "xds/xds_support.def"
};

static const struct slot {
    const ProtobufCMessageDescriptor *message;
    const char *field;
    uint32_t slot;
} slots[] = {
#define SECTION(title)
#define MESSAGE(symbol, full_name)
#define OPAQUE(symbol, full_name, note)
#define FIELD(field, state, note)
#define EXTENSION(symbol, name, slots, state, note)
#define SLOT(symbol, field, slot) {&symbol##__descriptor, #field, slot},
#define VALUE(symbol, field, value, state, note)
#include "xds/xds_support.def"
};

static const struct xds_value values[] = {
#define SECTION(title)
#define MESSAGE(symbol, full_name)
#define OPAQUE(symbol, full_name, note)
#define FIELD(field, state, note)
#define EXTENSION(symbol, name, slots, state, note)
#define SLOT(symbol, field, slot)
#define VALUE(symbol, field, value, state, note)                                                   \
    {&symbol##__descriptor, #field, #value, XDS_##state, note},
#include "xds/xds_support.def"
};

const char *xds_own_type(size_t n)
{
    for (size_t i = 0; i < ARRAY_LEN(extensions); i++)
        if (str_starts(str_from(extensions[i].message->name), STR("fairlead.")) && !n--)
            return extensions[i].message->name;
    return NULL;
}

const struct xds_value *xds_values(size_t *ret_n)
{
    *ret_n = ARRAY_LEN(values);
    return values;
}

const struct xds_value *xds_value_find(const ProtobufCMessageDescriptor *d, const char *field,
                                       const char *value)
{
    for (size_t i = 0; i < ARRAY_LEN(values); i++)
        if (values[i].message == d && strcmp(values[i].field, field) == 0 &&
            strcmp(values[i].value, value) == 0)
            return &values[i];
    return NULL;
}

const struct xds_extension *xds_extensions(size_t *ret_n)
{
    *ret_n = ARRAY_LEN(extensions);
    return extensions;
}

const struct xds_extension *xds_extension_find(struct str type_url)
{
    const ProtobufCMessageDescriptor *d = xds_support_type(pb_type_name(type_url));
    for (size_t i = 0; d && i < ARRAY_LEN(extensions); i++)
        if (extensions[i].message == d)
            return &extensions[i];
    return NULL;
}

uint32_t xds_slot_of(const ProtobufCMessageDescriptor *d, const char *field)
{
    for (size_t i = 0; i < ARRAY_LEN(slots); i++)
        if (slots[i].message == d && strcmp(slots[i].field, field) == 0)
            return slots[i].slot;
    return 0;
}

const char *xds_slot_word(uint32_t slot)
{
    static const char *const words[] = {
        "a network filter",
        "a listener filter",
        "an HTTP filter",
        "a filter's configuration for a route",
        "an upstream transport socket",
        "a downstream transport socket",
        "an access logger",
        "a tracer",
        "a load balancing policy",
        "protocol options",
        "a retry host predicate",
        "an original IP detection",
        "a request ID extension",
        "a formatter",
        "a path match policy",
        "a path rewrite policy",
        "an internal redirect predicate",
        "a session state",
        "an input of a matcher",
        "an action of a matcher",
    };
    unsigned bit = slot ? (unsigned)__builtin_ctz(slot) : (unsigned)ARRAY_LEN(words);
    return bit < ARRAY_LEN(words) ? words[bit] : "an extension";
}

const ProtobufCMessageDescriptor *xds_type_find(struct str full_name)
{
    static const ProtobufCMessageDescriptor *const known[] = {
        &google__protobuf__any__descriptor,          &google__protobuf__bool_value__descriptor,
        &google__protobuf__bytes_value__descriptor,  &google__protobuf__double_value__descriptor,
        &google__protobuf__duration__descriptor,     &google__protobuf__empty__descriptor,
        &google__protobuf__float_value__descriptor,  &google__protobuf__int32_value__descriptor,
        &google__protobuf__int64_value__descriptor,  &google__protobuf__list_value__descriptor,
        &google__protobuf__string_value__descriptor, &google__protobuf__struct__descriptor,
        &google__protobuf__timestamp__descriptor,    &google__protobuf__uint32_value__descriptor,
        &google__protobuf__uint64_value__descriptor, &google__protobuf__value__descriptor,
    };
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (str_is(full_name, known[i]->name))
            return known[i];
    return full_name.n ? xds_support_type(full_name) : NULL;
}

static bool is_opaque(const ProtobufCMessageDescriptor *d)
{
    const struct xds_row *row = d->n_fields ? NULL : xds_support_find(d);
    return row && row->kind == XDS_ROW_OPAQUE;
}

const struct pb_json_types xds_json_types = {
    .find = xds_type_find,
    .is_opaque = is_opaque,
    .pass_unknown = true,
};
