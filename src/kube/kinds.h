#pragma once
/* The kinds of the API: one row per kind says all there is to know of it. */

#include "kube/table.h"
#include "kube/validate.h"

enum kind_flags {
    KIND_NAMESPACED = 1 << 0,
    KIND_STATUS = 1 << 1,        /* has the status subresource: plain writes leave status alone */
    KIND_SCALE = 1 << 2,
    KIND_GENERATION = 1 << 3,    /* metadata.generation counts changes of spec */
    KIND_CREATE_ONLY = 1 << 4,   /* reviews: answered, never stored */
    KIND_LOG = 1 << 5,           /* pods: log, exec, attach, binding, eviction */
    KIND_TOKEN = 1 << 6,         /* service accounts: token */
    KIND_FINALIZE = 1 << 7,      /* namespaces: finalize */
    KIND_ALL = 1 << 8,           /* category "all" */
    KIND_NAME_LABEL = 1 << 9,    /* names are RFC 1123 labels */
    KIND_NAME_1035 = 1 << 10,    /* names are RFC 1035 labels (services) */
};

enum { KIND_FIELDS_MAX = 12 };

struct kind {
    const char *group; /* "" = core */
    const char *version;
    const char *kind;
    const char *plural;
    const char *singular;
    const char *short_names; /* "po", "a,b", or NULL */
    unsigned flags;
    const struct schema *schema;
    const struct table_column *columns;
    size_t n_columns;
    const char *fields[KIND_FIELDS_MAX]; /* field selectors besides metadata.name and metadata.namespace */
    /* What depends on more than one field. Any may be NULL. old is NULL on create. */
    void (*set_defaults)(json_t *object);
    void (*validate)(const json_t *object, const json_t *old, struct field_errors *e);
    /* Before a plain create or update: reset what clients may not set. old is NULL on create. */
    void (*prepare)(json_t *object, const json_t *old);
    /* Kept under another kind's table; the two functions rename between the forms, in place. */
    const struct kind *stored_as;
    void (*to_stored)(json_t *object);
    void (*from_stored)(json_t *object);
};

extern const struct kind kind_namespace, kind_node, kind_pod, kind_service, kind_endpoints, kind_configmap, kind_secret,
    kind_serviceaccount, kind_event, kind_events_event, kind_deployment, kind_replicaset, kind_endpointslice, kind_lease;

/* All of them, stored or not, in the order of discovery. */
const struct kind *const *kinds_all(size_t *ret_n);
const struct kind *kind_find(struct str group, struct str version, struct str plural);
const struct kind *kind_find_kind(struct str api_version, struct str kind);
/* "v1", "apps/v1" */
const char *kind_api_version(const struct kind *k, char ret[128]);

static inline bool kind_has(const struct kind *k, enum kind_flags f)
{
    return (k->flags & f) != 0;
}
static inline const struct kind *kind_storage(const struct kind *k)
{
    return k->stored_as ? k->stored_as : k;
}

/* Hooks of the rows; default.c, validate_kinds.c. */
void default_pod(json_t *object);
void default_pod_template(json_t *object); /* Deployment, ReplicaSet */
void default_service(json_t *object);
void default_secret(json_t *object);
void default_endpointslice(json_t *object);
void validate_pod(const json_t *object, const json_t *old, struct field_errors *e);
void validate_service(const json_t *object, const json_t *old, struct field_errors *e);
void validate_deployment(const json_t *object, const json_t *old, struct field_errors *e);
void validate_replicaset(const json_t *object, const json_t *old, struct field_errors *e);
void validate_configmap(const json_t *object, const json_t *old, struct field_errors *e);
void validate_secret(const json_t *object, const json_t *old, struct field_errors *e);
void validate_endpointslice(const json_t *object, const json_t *old, struct field_errors *e);
void validate_node(const json_t *object, const json_t *old, struct field_errors *e);
void validate_endpoints(const json_t *object, const json_t *old, struct field_errors *e);
void event_to_stored(json_t *object);
void event_from_stored(json_t *object);

/* metadata: name or generateName present and well-formed, labels, annotations, owner references; immutable fields
 * against old (NULL on create). */
void validate_metadata(const struct kind *k, const json_t *object, const json_t *old, struct field_errors *e);
