/* What is filled in of a CustomResourceDefinition: names, conversion, and the status that its
 * controllers write in a real cluster: names are accepted (or another has them), it is established.
 * Here that is part of the write itself: who reads its own definition back finds it served. */
#include <ctype.h>

#include "base/time.h"
#include "lab/apiserver/custom_registry.h"

static char *lower(const char *s)
{
    char *copy = xstrdup(s);
    for (char *p = copy; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    return copy;
}

static void default_names(json_t *crd)
{
    const char *kind = json_at_str(crd, "spec.names.kind");
    if (!json_at(crd, "spec.names") || !kind)
        return;
    if (str_empty(json_at_str(crd, "spec.names.singular"))) {
        AUTO_CHARS char *singular = lower(kind);
        json_put_str(crd, "spec.names.singular", singular);
    }
    if (str_empty(json_at_str(crd, "spec.names.listKind"))) {
        AUTO_CHARS char *list = xasprintf("%sList", kind);
        json_put_str(crd, "spec.names.listKind", list);
    }
}

/* ---- conditions ---- */

static json_t *find_condition(const json_t *crd, const char *type)
{
    json_t *c;
    size_t i;
    json_array_foreach(json_at(crd, "status.conditions"), i, c)
    {
        if (streq(json_key_str(c, "type"), type))
            return c;
    }
    return NULL;
}

static void set_condition(json_t *crd, const char *type, bool holds, const char *reason,
                          const char *message)
{
    const char *status = holds ? "True" : "False";
    json_t *c = find_condition(crd, type), *list = json_at(crd, "status.conditions");
    char now[21];
    if (c && streq(json_key_str(c, "status"), status) &&
        streq(json_key_str(c, "reason"), reason) && streq(json_key_str(c, "message"), message))
        return;
    time_format_rfc3339(time_real_s(), now);
    if (!c) {
        if (!list) {
            list = json_array();
            json_put(crd, "status.conditions", list);
        }
        c = json_object();
        json_array_append_new(list, c);
    }
    if (!streq(json_key_str(c, "status"), status))
        json_put_str(c, "lastTransitionTime", now);
    json_put_str(c, "message", message);
    json_put_str(c, "reason", reason);
    json_put_str(c, "status", status);
    json_put_str(c, "type", type);
}

bool crd_is_established(const json_t *crd)
{
    return streq(json_key_str(find_condition(crd, "Established"), "status"), "True");
}

void crd_terminate(json_t *crd)
{
    json_t *list = json_at(crd, "metadata.finalizers");
    AUTO_JSON json_t *name = json_string(CRD_FINALIZER);
    if (!list) {
        list = json_array();
        json_put(crd, "metadata.finalizers", list);
    }
    if (!json_array_has(list, name))
        json_array_append(list, name);
    set_condition(crd, "Terminating", true, "InstanceDeletionPending",
                  "CustomResourceDefinition marked for deletion; CustomResource deletion will begin "
                  "soon");
}

/* ---- names ---- */

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

static void accept_names(json_t *crd)
{
    const char *reason, *taken = taken_name(crd, &reason);
    if (taken) {
        AUTO_CHARS char *message = xasprintf("\"%s\" is already in use", taken);
        set_condition(crd, "NamesAccepted", false, reason, message);
        if (!find_condition(crd, "Established"))
            set_condition(crd, "Established", false, "NotAccepted",
                          "not all names are accepted");
        return;
    }
    json_put(crd, "status.acceptedNames", json_deep_copy(json_at(crd, "spec.names")));
    set_condition(crd, "NamesAccepted", true, "NoConflicts", "no conflicts found");
    set_condition(crd, "Established", true, "InitialNamesAccepted",
                  "the initial names have been accepted");
}

static void note_stored_version(json_t *crd)
{
    json_t *list = json_at(crd, "status.storedVersions"), *v;
    size_t i;
    if (!json_is_array(list)) {
        list = json_array();
        json_put(crd, "status.storedVersions", list);
    }
    json_array_foreach(json_at(crd, "spec.versions"), i, v)
    {
        json_t *name = json_object_get(v, "name");
        if (json_is_true(json_object_get(v, "storage")) && name && !json_array_has(list, name))
            json_array_append(list, name);
    }
}

void default_crd(json_t *crd)
{
    default_names(crd);
    if (json_at(crd, "spec") && str_empty(json_at_str(crd, "spec.conversion.strategy")))
        json_put_str(crd, "spec.conversion.strategy", "None");
    if (!json_at(crd, "status.acceptedNames"))
        json_put(crd, "status.acceptedNames", json_pack("{s:s,s:s}", "kind", "", "plural", ""));
    if (json_is_object(json_at(crd, "spec.names"))) /* what lacks is told by the checks */
        accept_names(crd);
    note_stored_version(crd);
}
