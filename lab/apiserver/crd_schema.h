#pragma once
/* The structural schema of one version of a CustomResourceDefinition, read once into nodes: what
 * validation, defaults, pruning and server-side apply of its objects ask. (apiextensions.k8s.io/v1
 * JSONSchemaProps; KEP-2556.) */

#include "codec/json.h"
#include "codec/regex.h"
#include "kube/schema.h"
#include "kube/validate.h"

enum {
    CRD_SCHEMA_BYTES_MAX = 16 * 1024 * 1024, /* what one version's nodes may take */
    CRD_SCHEMA_DEPTH_MAX = 128,
};

enum crd_type {
    CRD_ANY, /* no type is said */
    CRD_OBJECT,
    CRD_ARRAY,
    CRD_STRING,
    CRD_INTEGER,
    CRD_NUMBER,
    CRD_BOOLEAN,
};

enum crd_list {
    CRD_LIST_ATOMIC,
    CRD_LIST_SET,
    CRD_LIST_MAP,
};

struct crd_node;

struct crd_property {
    const char *name;
    struct crd_node *node;
};

struct crd_nodes {
    struct crd_node **v;
    size_t n;
};

struct crd_words {
    const char **v;
    size_t n;
};

/* What few nodes have. Numbers that are not said are absent in `has`. */
struct crd_checks {
    enum {
        CRD_HAS_MIN = 1,
        CRD_HAS_MAX = 2,
        CRD_HAS_MULTIPLE = 4,
    } has;
    bool min_excluded, max_excluded;
    double min, max, multiple_of;
    int64_t min_length, max_length; /* -1: none */
    int64_t min_items, max_items;
    int64_t min_properties, max_properties;
    const char *pattern;       /* NULL: none */
    const struct regex *regex; /* NULL: it cannot be compiled here; then it is not checked */
    const char *format;
    json_t *values; /* enum; NULL: any */
    struct crd_nodes all_of, any_of, one_of;
    struct crd_node *not_;
};

struct crd_node {
    enum crd_type type;
    enum crd_list list;
    bool nullable;
    bool preserve; /* unknown members stay */
    bool int_or_string;
    bool embedded;                   /* an object with kind, apiVersion and metadata */
    bool closed;                     /* additionalProperties: false */
    bool map_atomic;                 /* x-kubernetes-map-type */
    struct crd_property *properties; /* sorted by name */
    size_t n_properties;
    struct crd_node *additional; /* of every other member */
    struct crd_node *items;
    struct crd_words required;
    struct crd_words keys; /* x-kubernetes-list-map-keys */
    json_t *def;           /* NULL: none */
    struct crd_checks *checks;
};

struct crd_schema {
    struct arena *arena;
    struct crd_node *root;
    size_t n_rules;    /* x-kubernetes-validations met on the way: not evaluated */
    size_t n_patterns; /* that cannot be compiled here: not checked */
};

/* From openAPIV3Schema. Words of a wrong type are as if they were not there: crd_check.c tells of
 * them before. -E2BIG: too large or too deep. The caller frees it. */
int crd_schema_read(const json_t *schema, struct crd_schema **ret, struct err *reterr) NODISCARD;
void crd_schema_free(struct crd_schema *s); /* NULL is allowed */
DEFINE_AUTO(crd_schema);

/* The node of a member; NULL: it has none of its own. */
const struct crd_node *crd_property(const struct crd_node *n, const char *name);

/* crd_value.c. root: kind, apiVersion and metadata are not looked at. Paths begin with what base
 * says ("" at the root). old (NULL: none) has what may stay wrong because it was. */
void crd_validate(const struct crd_node *n, const json_t *value, const json_t *old,
                  const char *base, struct field_errors *e);

/* crd_coerce.c: in place. Unknown members go, and are told to f (may be NULL). */
void crd_prune(const struct crd_node *n, json_t *value, bool root, struct schema_findings *f);
/* null where null is not allowed goes; what is not there gets its default. */
void crd_default(const struct crd_node *n, json_t *value);
