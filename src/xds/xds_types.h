#pragma once
/* Type URLs: resources, extensions and where they may stand, and the types that an Any may hold. */

#include "codec/pb_json.h"
#include "xds/xds_support.h"

/* As Istio's agents say how a workload is. */
#define XDS_HEALTH_TYPE "type.googleapis.com/istio.v1.HealthInformation"
#define XDS_TYPE_PREFIX "type.googleapis.com/"
/* Before the names of our own types, which a proxy that knows them lists in its node's
 * client_features. */
#define XDS_OWN_PREFIX "type.fairlead.dev/"
/* Of our own notes among a listener's metadata: {"istio_stats": true}. */
#define XDS_LISTENER_METADATA "fairlead.dev"
/* A proxy that has a certificate of the mesh lists this there, too. */
#define XDS_IDENTITY_FEATURE "fairlead.dev/identity"

enum xds_resource {
    XDS_CLUSTER,
    XDS_ENDPOINT,
    XDS_LISTENER,
    XDS_ROUTE,
    XDS_SECRET,
    XDS_HOST,      /* of a route table: named TABLE/HOST, and subscribed to by either */
    XDS_WORKLOAD,  /* whose an address is: named NETWORK/ADDRESS (Istio's) */
    XDS_NAMES,     /* addresses that a sidecar's DNS answers with, by their names (Istio's) */
    XDS_RESOURCES, /* how many */
};

struct xds_resource_type {
    const char *word; /* "cds" */
    const char *type_url;
    const ProtobufCMessageDescriptor *message;
};

const struct xds_resource_type *xds_resource_type(enum xds_resource r);
/* -ENOENT: not a resource of ours. */
int xds_resource_of(struct str type_url, enum xds_resource *ret) NODISCARD;
/* What a virtual host's name begins with, without the slash: hosts have none, tables may (Envoy's
 * VHDS). Empty: no slash. */
struct str xds_host_table(struct str name);
/* The name in a packed resource; empty: none. Borrowed. */
struct str xds_resource_name(struct str bytes);

/* Kinds of places where extensions stand; a bit each. */
enum {
    XDS_SLOT_NETWORK_FILTER = 1 << 0,
    XDS_SLOT_LISTENER_FILTER = 1 << 1,
    XDS_SLOT_HTTP_FILTER = 1 << 2,
    XDS_SLOT_ROUTE_CONFIG = 1 << 3, /* a filter's configuration for one route */
    XDS_SLOT_UPSTREAM_SOCKET = 1 << 4,
    XDS_SLOT_DOWNSTREAM_SOCKET = 1 << 5,
    XDS_SLOT_TRANSPORT_SOCKET = XDS_SLOT_UPSTREAM_SOCKET | XDS_SLOT_DOWNSTREAM_SOCKET,
    XDS_SLOT_ACCESS_LOGGER = 1 << 6,
    XDS_SLOT_TRACER = 1 << 7,
    XDS_SLOT_LB_POLICY = 1 << 8,
    XDS_SLOT_PROTOCOL_OPTIONS = 1 << 9,
    XDS_SLOT_RETRY_HOST = 1 << 10,
    XDS_SLOT_IP_DETECTION = 1 << 11,
    XDS_SLOT_REQUEST_ID = 1 << 12,
    XDS_SLOT_FORMATTER = 1 << 13,
    XDS_SLOT_PATH_MATCH = 1 << 14,
    XDS_SLOT_PATH_REWRITE = 1 << 15,
    XDS_SLOT_REDIRECT_PREDICATE = 1 << 16,
    XDS_SLOT_SESSION_STATE = 1 << 17,
    XDS_SLOT_MATCH_INPUT = 1 << 18,
    XDS_SLOT_MATCH_ACTION = 1 << 19,
};

struct xds_extension {
    const ProtobufCMessageDescriptor *message;
    const char *name; /* as Envoy calls it, "envoy.filters.http.router"; "" if it has none */
    uint32_t slots;
    enum xds_state state;
    const char *note;
};

const struct xds_extension *xds_extensions(size_t *ret_n);
/* NULL: not an extension of ours. */
const struct xds_extension *xds_extension_find(struct str type_url);
/* Full name of the n-th type of our own; NULL behind the last. */
const char *xds_own_type(size_t n);
/* Which kind of extension a field holds; 0: the table does not say. */
uint32_t xds_slot_of(const ProtobufCMessageDescriptor *d, const char *field);
/* A value of an enum that is not USED, of a field that is. */
struct xds_value {
    const ProtobufCMessageDescriptor *message;
    const char *field, *value;
    enum xds_state state;
    const char *note;
};

const struct xds_value *xds_values(size_t *ret_n);
/* NULL: the value is used. */
const struct xds_value *xds_value_find(const ProtobufCMessageDescriptor *d, const char *field,
                                       const char *value);
/* "an HTTP filter". */
const char *xds_slot_word(uint32_t slot);

/* Any message of proto/ by its full name; NULL: unknown. */
const ProtobufCMessageDescriptor *xds_type_find(struct str full_name);
/* For pb_json: every type of proto/; opaque messages are passed over and Anys of unknown types kept
 * by their URL, which xds_check() reports. */
extern const struct pb_json_types xds_json_types;
