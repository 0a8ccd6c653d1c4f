#pragma once
/* One version of a CustomResourceDefinition as the server asks it: schema, columns, subresources.
 * Made from the definition (custom_registry.c), immutable, freed when the definition changes. */

#include "kube/table.h"
#include "lab/apiserver/api_kind.h"
#include "lab/apiserver/crd_schema.h"

struct custom_kind {
    uint32_t refs;       /* rows: a version's and, of the storage version, the home */
    struct arena *arena; /* every text of the row of api_kind.h, too */
    struct crd_schema *schema;
    json_t *names;                /* spec.names */
    json_t *scale;                /* subresources.scale; NULL: none */
    struct table_column *columns; /* path is a JSON path */
    size_t n_columns;
    const char *crd;     /* the definition's name */
    const char *warning; /* the version is deprecated; NULL: it is not */
    bool has_status;
    bool terminating; /* its definition is being deleted: nothing is created any more */
};

/* custom_kind.c: what api_kind.c asks. */
int custom_decode(const struct custom_kind *k, json_t *object, struct schema_findings *f,
                  struct err *reterr) NODISCARD;
void custom_default(const struct custom_kind *k, json_t *object);
void custom_validate(const struct custom_kind *k, const json_t *object, const json_t *old,
                     struct field_errors *e);
/* A stored object as the version of the row: pruned by its schema, with its defaults. */
void custom_from_stored(const struct api_kind *k, json_t *object);
/* The same back, home being where it is kept. */
void custom_to_stored(const struct api_kind *home, json_t *object);
/* Is all the same that counts for metadata.generation? */
bool custom_is_same(const struct api_kind *k, const json_t *a, const json_t *b);

bool custom_has_subresource(const struct api_kind *k, const char *subresource);

/* custom_columns.c */
/* What a JSON path of the API (".spec.ports[0].name", ".status.conditions[?(@.type=="Ready")]
 * .status") finds first; a new reference, NULL: nothing. */
json_t *custom_path_find(const char *path, const json_t *object);
/* The cells of a row, as table_write_cell takes them; a new array. */
json_t *custom_cells(const struct custom_kind *k, const json_t *object);

/* custom_scale.c: autoscaling/v1 Scale by the paths of the definition. */
int64_t custom_scale_read(const struct custom_kind *k, const json_t *object, int64_t *ret_status,
                          json_t **ret_selector);
/* What the paths lead to has to be a number, and not below 0. */
void custom_scale_check(const struct custom_kind *k, const json_t *object, struct field_errors *e);
void custom_scale_write(const struct custom_kind *k, json_t *object, int64_t replicas);
