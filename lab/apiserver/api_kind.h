#pragma once
/* The kinds the API server serves, one row each, and what it asks of them. */

#include "base/vec.h"
#include "kube/kind_rules.h"
#include "kube/table.h"

enum { API_FIELD_PATHS_MAX = 12, API_FORMS = 3, API_KINDS_MAX = 2048 };

struct custom_kind;

/* One row says all there is to know of a kind; adding a kind is adding a row (and its message table
 * in kube/). */
struct api_kind {
    const char *group; /* "" = core */
    const char *version;
    const char *kind;
    const char *plural;
    const char *singular;
    const char *short_names[4]; /* NULL-terminated */
    const struct schema *schema;
    const struct table *table;
    enum name_form name_form;
    bool namespaced;
    bool in_all;     /* category "all" */
    bool has_status; /* status subresource */
    bool has_scale;
    bool has_proxy; /* HTTP is passed on to it */
    bool counts_generation;
    bool created_by_update;                       /* a PUT to a name that is not there */
    bool deleted_shown;                           /* DELETE answers with the object, not a Status */
    bool review;                                  /* POST only: answered, never stored */
    const char *field_paths[API_FIELD_PATHS_MAX]; /* NULL-terminated; selectable beside
                                                     metadata.name and metadata.namespace */
    /* What depends on more than one field; any may be NULL. old is NULL on create. */
    void (*decode)(json_t *object, struct schema_findings *f); /* what the table does not know */
    void (*set_defaults)(json_t *object);
    void (*validate)(const json_t *object, const json_t *old, struct field_errors *e);
    /* Another form of a stored kind: the plural and group of that (NULL: core), always v1; the
     * number of the form, from 1; and the renaming, in place. */
    const char *stored_as, *stored_group;
    uint8_t form;
    void (*to_stored)(json_t *object);
    void (*from_stored)(json_t *object);
    /* Of a CustomResourceDefinition: one row for each version, and one, the home, where its objects
     * are kept, which is that of the storage version in all but that nobody asks for it. */
    const struct custom_kind *custom; /* NULL: built in, or no more */
    bool home;
    bool served;
    bool converts;       /* there are objects of other versions */
    uint32_t row;        /* 0: built in */
    uint32_t stored_row; /* the home's */
    const char *resource, *group_version;
};

/* The rows by number: the built-in ones, then custom ones, among which may be some that are not
 * served (any more). */
size_t api_kinds_count(void);
const struct api_kind *api_kind_at(size_t index);
bool api_kind_is_served(const struct api_kind *k);
/* A free row for a custom kind, to be filled (row alone is set); NULL: API_KINDS_MAX are in use. */
struct api_kind *api_kind_add(void);
void api_kinds_forget_custom(void);

/* "PodList"; room for what is made. */
enum { API_KIND_NAME_BYTES = 128 };
const char *api_kind_list_kind(const struct api_kind *k, char room[API_KIND_NAME_BYTES]);
/* New arrays of names. */
json_t *api_kind_short_names(const struct api_kind *k);
json_t *api_kind_categories(const struct api_kind *k);

/* Is it another form than the stored one? And the renaming, in place. */
bool api_kind_is_form(const struct api_kind *k);
void api_kind_to_stored(const struct api_kind *k, json_t *object);
void api_kind_from_stored(const struct api_kind *k, json_t *object);

/* Is it that kind of Kubernetes' own? A custom kind may be called the same. */
bool api_kind_is(const struct api_kind *k, const char *kind);
/* "pods", "deployments.apps": how messages and the store name a kind. */
const char *api_kind_resource(const struct api_kind *k);
const char *api_kind_group_version(const struct api_kind *k); /* "v1", "apps/v1" */
/* Namespaces are deleted one by one only. */
bool api_kind_has_collection_delete(const struct api_kind *k);
/* By group, version and plural; -1 if absent. */
int api_kind_find(struct str group, struct str version, struct str plural);
/* Where objects of this kind are kept: the index of the row, or of the row it is another form of.
 */
int api_kind_index(const struct api_kind *k);
/* A selectable field of a stored object as selectors compare it: flags and numbers that are absent
 * read as false and 0. The result is the caller's. */
char *api_kind_field_text(size_t kind, const char *path, const json_t *object);

struct api_cause {
    char *field;
    const char *reason; /* FieldValueInvalid, FieldValueRequired, … */
    char *message;
};
struct api_causes {
    struct api_cause *v;
    size_t n;
    size_t cap;
};
void api_cause_add(struct api_causes *c, const char *reason, const char *field, const char *fmt,
                   ...) __attribute__((format(printf, 4, 5)));
void api_causes_done(struct api_causes *c);
/* Empties errors. */
void api_causes_take(struct api_causes *c, struct field_errors *errors);

enum api_strictness {
    API_IGNORE,
    API_WARN,
    API_STRICT,
};

/* Checks types and names; unknown fields are dropped and listed in warnings (lines). -EINVAL: a
 * wrong type, in reterr. */
int api_kind_decode(const struct api_kind *k, json_t *object, struct buf *warnings,
                    struct err *reterr) NODISCARD;
void api_kind_default(const struct api_kind *k, json_t *object);
/* old NULL = create. */
void api_kind_validate(const struct api_kind *k, const json_t *object, const json_t *old,
                       struct api_causes *causes);
int api_patch_json(json_t **object, const json_t *patch, struct err *reterr) NODISCARD;
void api_patch_merge(json_t *object, const json_t *patch);

/* Label and field selectors. */
struct label_selector;
int label_selector_parse(const char *text, struct label_selector **ret, struct err *reterr)
    NODISCARD;
void label_selector_free(struct label_selector *s);
/* find(user, key) gives the value of a label or NULL. */
bool label_selector_match(const struct label_selector *s,
                          const char *(*find)(void *user, const char *key), void *user);

struct field_selector;
int field_selector_parse(const struct api_kind *k, const char *text, struct field_selector **ret,
                         struct err *reterr) NODISCARD;
void field_selector_free(struct field_selector *s);
bool field_selector_match(const struct field_selector *s,
                          const char *(*find)(void *user, const char *path), void *user);
