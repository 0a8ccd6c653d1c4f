/* Checks of metadata, the same for every kind: the name, what may not change, sizes. Pure. */
#include "kube/kind_rules.h"

#include <stdio.h>

const char *path_segment_detail(const char *name)
{
    if (streq(name, ".") || streq(name, ".."))
        return name[1] ? "may not be '..'" : "may not be '.'";
    return strchr(name, '/')   ? "may not contain '/'"
           : strchr(name, '%') ? "may not contain '%'"
                               : NULL;
}

/* NULL: it is fine. s ends in NUL. */
static const char *name_detail(enum name_form form, struct str s)
{
    if (form == NAME_SEGMENT)
        return path_segment_detail(s.p);
    if (form == NAME_LABEL)
        return str_is_dns1123_label(s) ? NULL : dns1123_label_detail(s);
    if (str_is_dns1123_subdomain(s))
        return NULL;
    return s.n > 253 ? "must be no more than 253 bytes" : DNS1123_SUBDOMAIN_MESSAGE;
}

static void check_name(enum name_form form, const json_t *object, struct field_errors *e)
{
    const char *name = json_at_str(object, "metadata.name");
    if (str_empty(name))
        error_required(e, "name or generateName is required", "metadata.name");
    else if (name_detail(form, str_from(name)))
        error_invalid_text(e, name, name_detail(form, str_from(name)), "metadata.name");
}

static void check_annotations(const json_t *object, struct field_errors *e)
{
    const char *key;
    json_t *v;
    size_t n = 0;
    json_object_foreach(json_at(object, "metadata.annotations"), key, v) n +=
        strlen(key) + json_string_length(v);
    if (n > 262144) {
        error_too_long(e, 262144, "metadata.annotations");
    }
}

static void check_same(const json_t *object, const json_t *old, const char *path,
                       struct field_errors *e)
{
    const json_t *is = json_at(object, path), *was = json_at(old, path);
    if (is && !(was && json_equal(is, was)))
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
        if (streq(json_key_str(o, "apiVersion"), "v1") && streq(json_key_str(o, "kind"), "Event"))
            error_invalid(e, o, "an Event is disallowed from being an owner",
                          "metadata.ownerReferences[%zu]", i);
        if (!json_at_bool(o, "controller", false))
            continue;
        if (controller)
            error_invalid(e, owners, "Only one reference can have Controller set to true",
                          "metadata.ownerReferences");
        controller = json_at_str(o, "name");
    }
}

/* Names with a domain, but for those of Kubernetes itself, and those of Leases: whose controller
 * would take the others off again? */
static void check_finalizer_name(const json_t *f, size_t i, bool lease, struct field_errors *e)
{
    static const char standard[] = "kubernetes|orphan|foregroundDeletion";
    const char *name = json_string_value(f);
    if (!qualified_name_is_valid(str_from(name)))
        error_invalid(e, f, QUALIFIED_NAME_MESSAGE, "metadata.finalizers");
    if (!strchr(name, '/') && !value_is_listed(standard, name) && !lease)
        error_invalid(e, f, "name is neither a standard finalizer name nor is it fully qualified",
                      "metadata.finalizers[%zu]", i);
}

/* Once an object is being deleted, finalizers may only go. */
static void check_finalizers(const json_t *object, const json_t *old, struct field_errors *e)
{
    json_t *list = json_at(object, "metadata.finalizers"), *f;
    bool deleting = json_at(old, "metadata.deletionTimestamp") != NULL, orphan = false, all = false;
    size_t i;
    json_array_foreach(list, i, f)
    {
        check_finalizer_name(f, i, streq(json_key_str(object, "kind"), "Lease"), e);
        orphan = orphan || streq(json_string_value(f), "orphan");
        all = all || streq(json_string_value(f), "foregroundDeletion");
        if (deleting && !json_array_has(json_at(old, "metadata.finalizers"), f))
            error_forbidden(e, "no new finalizers can be added if the object is being deleted",
                            "metadata.finalizers");
    }
    if (orphan && all)
        error_invalid(e, list, "finalizer orphan and foregroundDeletion cannot be both set",
                      "metadata.finalizers");
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
    static const char *const fixed[] = {
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
        "metadata.deletionTimestamp",
        "metadata.deletionGracePeriodSeconds",
    };
    for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
        check_same(object, old, fixed[i], e);
}
