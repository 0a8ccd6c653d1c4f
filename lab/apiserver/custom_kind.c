/* What is asked of a custom object: types and unknown members, defaults, checks. Metadata is as
 * that of every object; the rest is the structural schema's (crd_schema.h). Pure. */
#include "lab/apiserver/custom_kind.h"

#include "kube/schema_tables.h"

/* What every object has, whatever its schema. */
static const struct schema_field common_fields[] = {
    {.name = "kind", .type = FIELD_STRING},
    {.name = "apiVersion", .type = FIELD_STRING},
    {.name = "metadata", .type = FIELD_OBJECT, .of = &schema_object_meta},
};
static const struct schema common = {"CustomResource", common_fields, ARRAY_LEN(common_fields)};

int custom_decode(const struct custom_kind *k, json_t *object, struct schema_findings *f,
                  struct err *reterr)
{
    AUTO_JSON json_t *head = json_object();
    for (size_t i = 0; i < ARRAY_LEN(common_fields); i++) {
        json_t *v = json_object_get(object, common_fields[i].name);
        if (v)
            json_object_set(head, common_fields[i].name, v);
    }
    int code = schema_decode(&common, head, f, reterr); /* metadata is changed in place */
    if (code < 0)
        return code;
    crd_prune(k->schema->root, object, true, f);
    return 0;
}

void custom_default(const struct custom_kind *k, json_t *object)
{
    crd_default(k->schema->root, object);
}

void custom_validate(const struct custom_kind *k, const json_t *object, const json_t *old,
                     struct field_errors *e)
{
    schema_validate(&common, object, e);
    crd_validate(k->schema->root, object, old, "", e);
    if (k->scale)
        custom_scale_check(k, object, e);
}

void custom_from_stored(const struct api_kind *k, json_t *object)
{
    if (streq(json_key_str(object, "apiVersion"), k->group_version))
        return;
    json_object_set_new(object, "apiVersion", json_string(k->group_version));
    crd_prune(k->custom->schema->root, object, true, NULL);
    crd_default(k->custom->schema->root, object);
}

void custom_to_stored(const struct api_kind *home, json_t *object)
{
    if (streq(json_key_str(object, "apiVersion"), home->group_version))
        return;
    json_object_set_new(object, "apiVersion", json_string(home->group_version));
    crd_prune(home->custom->schema->root, object, true, NULL);
}

bool custom_has_subresource(const struct api_kind *k, const char *subresource)
{
    return (k->has_status && streq(subresource, "status")) ||
           (k->has_scale && streq(subresource, "scale"));
}

static bool is_counted(const struct api_kind *k, const char *name)
{
    return !streq(name, "metadata") && !streq(name, "kind") && !streq(name, "apiVersion") &&
           !(k->has_status && streq(name, "status"));
}

static bool has_same(const struct api_kind *k, const json_t *a, const json_t *b)
{
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)a, name, value)
    {
        json_t *other = json_object_get(b, name);
        if (is_counted(k, name) && !(other && json_equal(value, other)))
            return false;
    }
    return true;
}

bool custom_is_same(const struct api_kind *k, const json_t *a, const json_t *b)
{
    return has_same(k, a, b) && has_same(k, b, a);
}
