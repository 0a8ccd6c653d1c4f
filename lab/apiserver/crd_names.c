/* Does another definition have the names already? What the naming and the establishing controller
 * of a real cluster write is here part of the write itself: who reads its own definition back finds
 * it served. */
#include "lab/apiserver/custom_registry.h"

static bool has_name(const struct api_kind *k, const char *name)
{
    json_t *item;
    size_t i;
    if (streq(k->plural, name) || streq(k->singular, name))
        return true;
    json_array_foreach(json_object_get(k->custom->names, "shortNames"), i, item)
    {
        if (streq(json_string_value(item), name))
            return true;
    }
    return false;
}

static bool has_kind(const struct api_kind *k, const char *name)
{
    return streq(k->kind, name) || streq(json_key_str(k->custom->names, "listKind"), name);
}

static bool is_taken(const json_t *crd, const char *name,
                     bool (*has)(const struct api_kind *k, const char *name))
{
    const char *group = json_at_str(crd, "spec.group"), *own = json_at_str(crd, "metadata.name");
    for (size_t i = 0; i < api_kinds_count() && name; i++) {
        const struct api_kind *k = api_kind_at(i);
        if (k->custom && k->home && streq(k->group, group) && !streq(k->resource, own) &&
            has(k, name))
            return true;
    }
    return false;
}

/* The first of its names that another definition of the group has; *ret_reason says which it is. */
static const char *taken_name(const json_t *crd, const char **ret_reason)
{
    static const struct {
        const char *member, *reason;
        bool (*has)(const struct api_kind *k, const char *name);
    } names[] = {{"plural", "PluralConflict", has_name},
                 {"singular", "SingularConflict", has_name},
                 {"kind", "KindConflict", has_kind},
                 {"listKind", "ListKindConflict", has_kind}};
    const json_t *own = json_at(crd, "spec.names");
    json_t *item;
    size_t i;
    for (i = 0; i < ARRAY_LEN(names); i++) {
        const char *name = json_key_str(own, names[i].member);
        *ret_reason = names[i].reason;
        if (is_taken(crd, name, names[i].has))
            return name;
    }
    *ret_reason = "ShortNamesConflict";
    json_array_foreach(json_object_get(own, "shortNames"), i, item)
    {
        if (is_taken(crd, json_string_value(item), has_name))
            return json_string_value(item);
    }
    return NULL;
}

void crd_accept_names(json_t *crd)
{
    const char *reason, *taken;
    if (!json_is_object(json_at(crd, "spec.names")))
        return; /* what lacks is told by the checks */
    taken = taken_name(crd, &reason);
    if (taken) {
        AUTO_CHARS char *message = xasprintf("\"%s\" is already in use", taken);
        crd_set_condition(crd, "NamesAccepted", false, reason, message);
        if (!crd_condition(crd, "Established"))
            crd_set_condition(crd, "Established", false, "NotAccepted",
                              "not all names are accepted");
        return;
    }
    json_put(crd, "status.acceptedNames", json_deep_copy(json_at(crd, "spec.names")));
    crd_set_condition(crd, "NamesAccepted", true, "NoConflicts", "no conflicts found");
    crd_set_condition(crd, "Established", true, "InitialNamesAccepted",
                      "the initial names have been accepted");
}
