/* What is filled in of a CustomResourceDefinition: names, conversion, and the parts of its status
 * that do not depend on others. Pure but for the clock. */
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

json_t *crd_condition(const json_t *crd, const char *type)
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

void crd_set_condition(json_t *crd, const char *type, bool holds, const char *reason,
                       const char *message)
{
    const char *status = holds ? "True" : "False";
    json_t *c = crd_condition(crd, type), *list = json_at(crd, "status.conditions");
    char now[21];
    if (c && streq(json_key_str(c, "status"), status) && streq(json_key_str(c, "reason"), reason) &&
        streq(json_key_str(c, "message"), message))
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
    return streq(json_key_str(crd_condition(crd, "Established"), "status"), "True");
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
    crd_set_condition(
        crd, "Terminating", true, "InstanceDeletionPending",
        "CustomResourceDefinition marked for deletion; CustomResource deletion will begin "
        "soon");
}

/* ---- versions ---- */

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
    note_stored_version(crd);
}
