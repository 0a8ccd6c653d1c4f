#pragma once
/* The tables that describe the objects of the API: one struct schema per message, one struct
 * schema_field per field. Everything that depends on the shape of an object reads these tables:
 * decoding of JSON and protobuf bodies, unknown fields, defaults, validation, strategic merge.
 * They are generated from src/kube/schemas; tables made at run time (custom resources) use the same
 * structs. */

#include "codec/json.h"

enum field_type {
    FIELD_STRING,
    FIELD_BOOL,
    FIELD_INT32,
    FIELD_INT64,
    FIELD_BYTES,         /* base64 in JSON */
    FIELD_TIME,          /* RFC 3339, seconds */
    FIELD_MICROTIME,     /* RFC 3339, six digits */
    FIELD_DURATION,      /* Go duration text */
    FIELD_INT_OR_STRING, /* number or string */
    FIELD_QUANTITY,      /* number or string; kept in canonical form */
    FIELD_ANY,           /* any JSON, not looked into */
    FIELD_OBJECT,        /* struct schema_field.of */
};

enum field_shape {
    SHAPE_ONE,
    SHAPE_LIST, /* array of type */
    SHAPE_MAP,  /* object with free keys, values of type */
};

/* What a string must look like; checked by validate.c. */
enum field_format {
    FORMAT_NONE,
    FORMAT_DNS_LABEL,     /* RFC 1123 label */
    FORMAT_DNS_SUBDOMAIN, /* RFC 1123 subdomain */
    FORMAT_PORT_NAME,     /* IANA service name: at most 15 characters, one letter at least */
    FORMAT_ENV_NAME,
    FORMAT_ABS_PATH,
    FORMAT_IP,
    FORMAT_LABELS,      /* a map of label keys and values */
    FORMAT_LABEL_KEYS,  /* a map whose keys are qualified names (annotations) */
    FORMAT_CONFIG_KEYS, /* a map whose keys are file names (ConfigMap, Secret) */
    FORMAT_QUALIFIED_NAME,
};

struct schema;

struct schema_field {
    const char *name; /* in JSON */
    enum field_type type;
    enum field_shape shape;
    uint16_t pb;      /* field number in the protobuf form; 0 = none */
    bool inlined;     /* the members of `of` stand in the parent (protobuf: a message of its own) */
    bool omitempty;   /* an empty value is dropped */
    bool pointer;     /* an empty value that is there means something */
    bool required;    /* must be there and not empty */
    bool bounded;     /* min and max hold */
    bool patch_merge; /* strategic merge: lists by merge_key (none: a set of primitives) */
    bool patch_retain_keys; /* strategic merge: $retainKeys is used */
    bool set;               /* server-side apply: list of distinct primitives */
    bool atomic;            /* server-side apply: list or map replaced as a whole */
    enum field_format format;
    int64_t min;
    int64_t max;
    const struct schema *of;
    const char *go_type;   /* for error messages, where the type's own name does not do */
    const char *merge_key; /* strategic merge */
    const char *map_keys;  /* server-side apply: "containerPort,protocol" */
    const char *def;       /* default, as JSON text */
    const char *values;    /* allowed strings, "A|B|C" */
};

struct schema {
    const char *name; /* the type's name, as error messages show it */
    const struct schema_field *fields;
    size_t n;
};

/* The kinds that have a table (generated). */
struct schema_kind {
    const char *api_version;
    const char *kind;
    const struct schema *schema;
};
extern const struct schema_kind schema_kinds[];
extern const size_t n_schema_kinds;

/* The table of a kind's objects; NULL = none of ours (it may be a server's own). */
const struct schema *schema_of_kind(const char *api_version, const char *kind);
/* The field called name, looking into inlined messages too; NULL = unknown. */
const struct schema_field *schema_find(const struct schema *s, struct str name);
/* By protobuf number, of this message only. */
const struct schema_field *schema_find_pb(const struct schema *s, uint64_t number);

/* What a decode found beside the object. */
struct schema_findings {
    struct buf unknown; /* lines: unknown field "spec.foo" */
    size_t n;
    size_t max; /* more are not recorded; 0 = 20 */
};
void schema_findings_done(struct schema_findings *f);
void schema_findings_add(struct schema_findings *f, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Brings an object into the form it is kept in: removes unknown fields (recorded in f, which may be
 * NULL), nulls and empty values that Go would omit; checks types; writes times and quantities
 * canonically. -EINVAL with the message a Go decoder would give; the object is then half done and
 * must be dropped. */
int schema_decode(const struct schema *s, json_t *object, struct schema_findings *f,
                  struct err *reterr) NODISCARD;

/* Fills in the defaults of the tables, in what is there. */
void schema_default(const struct schema *s, json_t *object);
