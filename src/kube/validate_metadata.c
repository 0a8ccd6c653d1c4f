/* Checks of metadata, the same for every kind: the name, what may not change, sizes. Pure. */
#include "kube/kind_rules.h"

#include <stdio.h>

static void check_name(enum name_form form, const json_t *object, struct field_errors *e)
{
    const char *name = json_at_str(object, "metadata.name");
    struct str s = str_from(name);
    if (str_empty(name)) {
        error_required(e, "name or generateName is required", "metadata.name");
        return;
    }
    if (form == NAME_LABEL_1035) {
        if (!dns1035_label_is_valid(s))
            error_invalid_text(
                e, name, s.n > 63 ? "must be no more than 63 characters" : DNS1035_LABEL_MESSAGE,
                "metadata.name");
    } else if (form == NAME_LABEL) {
        if (!str_is_dns1123_label(s))
            error_invalid_text(
                e, name, s.n > 63 ? "must be no more than 63 characters" : DNS1123_LABEL_MESSAGE,
                "metadata.name");
    } else if (!str_is_dns1123_subdomain(s)) {
        error_invalid_text(
            e, name, s.n > 253 ? "must be no more than 253 characters" : DNS1123_SUBDOMAIN_MESSAGE,
            "metadata.name");
    }
}

static void check_annotations(const json_t *object, struct field_errors *e)
{
    const char *key;
    json_t *v;
    size_t n = 0;
    json_object_foreach(json_at(object, "metadata.annotations"), key, v) n +=
        strlen(key) + json_string_length(v);
    if (n > 262144) {
        error_invalid_text(e, "", "Too long: may not be more than 262144 bytes",
                           "metadata.annotations");
    }
}

static void check_same(const json_t *object, const json_t *old, const char *path,
                       struct field_errors *e)
{
    const json_t *is = json_at(object, path), *was = json_at(old, path);
    if (is && was && !json_equal(is, was))
        error_invalid(e, is, "field is immutable", "%s", path);
}

static void check_owners(const json_t *object, struct field_errors *e)
{
    const json_t *owners = json_at(object, "metadata.ownerReferences");
    const char *controller = NULL;
    size_t i;
    json_t *o;
    json_array_foreach((json_t *)(uintptr_t)owners, i, o)
    {
        if (!json_at_bool(o, "controller", false))
            continue;
        if (controller)
            error_invalid(e, owners, "Only one reference can have Controller set to true",
                          "metadata.ownerReferences");
        controller = json_at_str(o, "name");
    }
}

/* Finalizers may only go once an object is being deleted. */
static void check_finalizers(const json_t *object, const json_t *old, struct field_errors *e)
{
    size_t i, k;
    json_t *f, *before;
    json_array_foreach(json_at(object, "metadata.finalizers"), i, f)
    {
        bool known = false;
        json_array_foreach(json_at(old, "metadata.finalizers"), k, before) known =
            known || json_equal(f, before);
        if (!qualified_name_is_valid(str_from(json_string_value(f))))
            error_invalid(e, f, QUALIFIED_NAME_MESSAGE, "metadata.finalizers[%zu]", i);
        else if (old && json_at(old, "metadata.deletionTimestamp") && !known)
            error_forbidden(e, "no new finalizers can be added if the object is being deleted",
                            "metadata.finalizers");
    }
}

void validate_metadata(enum name_form form, const json_t *object, const json_t *old,
                       struct field_errors *e)
{
    check_name(form, object, e);
    check_annotations(object, e);
    check_owners(object, e);
    check_finalizers(object, old, e);
    if (!old)
        return;
    check_same(object, old, "metadata.name", e);
    check_same(object, old, "metadata.namespace", e);
}
