/* Names of annotations, conditions and fields are Istio's (pilot's auto-registration). */
#include "model/workload_registration.h"

#include <errno.h>

#include "base/time.h"

enum { NAME_MAX_BYTES = 253, MESSAGE_MAX = 256, LABELS_MAX = 256 };

#define HEALTHY "Healthy"

char *registration_name(const struct registration *r)
{
    char ip[IP_TEXT_BYTES];
    AUTO_CHARS char *name = NULL;
    ip_format(&r->ip, ip);
    for (char *c = ip; *c; c++)
        if (*c == ':')
            *c = '-';
    name = xasprintf("%s-%s%s%s", r->group, ip, *r->network ? "-" : "", r->network);
    size_t n = strlen(name);
    return xstrdup(n > NAME_MAX_BYTES ? name + n - NAME_MAX_BYTES : name);
}

static void merge(json_t *to, const json_t *more)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)more, key,
                        value) if (json_is_string(value) && json_object_size(to) < LABELS_MAX)
        json_object_set(to, key, value);
}

int registration_entry(const struct registration *r, const json_t *group, struct str account,
                       json_t **ret, struct err *reterr)
{
    const json_t *template = json_at(group, "spec.template");
    const char *wanted = json_key_str(template, "serviceAccount");
    if (!str_empty(wanted) && !str_is(account, wanted))
        return err_set(reterr, -EACCES, "node.metadata",
                       "WorkloadGroup %s/%s is for service account %.100s", r->ns, r->group,
                       wanted);
    char ip[IP_TEXT_BYTES];
    AUTO_CHARS char *name = registration_name(r);
    AUTO_JSON json_t *labels = json_object();
    AUTO_JSON json_t *annotations = json_pack("{s:s}", REGISTRATION_GROUP, r->group);
    AUTO_JSON json_t *spec =
        json_is_object(template) ? json_copy((json_t *)(uintptr_t) template) : json_object();
    merge(labels, json_object_get(template, "labels"));
    merge(labels, json_at(group, "spec.metadata.labels"));
    merge(labels, r->labels);
    merge(annotations, json_at(group, "spec.metadata.annotations"));
    json_object_set_new(annotations, REGISTRATION_GROUP, json_string(r->group));
    if (r->probed)
        json_object_set_new(annotations, REGISTRATION_HEALTH, json_string("true"));
    json_object_set_new(spec, "address", json_string(ip_format(&r->ip, ip)));
    json_object_set(spec, "labels", labels);
    /* Whoever registers is known by his account: the entry says so for who calls it. */
    json_object_set_new(spec, "serviceAccount", json_text(account));
    if (*r->network)
        json_object_set_new(spec, "network", json_text(str_from(r->network)));
    if (*r->locality)
        json_object_set_new(spec, "locality", json_text(str_from(r->locality)));
    const char *uid = json_at_str(group, "metadata.uid");
    *ret = json_pack("{s:s,s:s,s:{s:s,s:s,s:O,s:O,s:[{s:s,s:s,s:s,s:s,s:b}]},s:O}", "apiVersion",
                     "networking.istio.io/v1", "kind", "WorkloadEntry", "metadata", "name", name,
                     "namespace", r->ns, "labels", labels, "annotations", annotations,
                     "ownerReferences", "apiVersion", "networking.istio.io/v1", "kind",
                     "WorkloadGroup", "name", r->group, "uid", uid ? uid : "", "controller", 1,
                     "spec", spec);
    return *ret ? 0 : err_set(reterr, -EINVAL, "node.metadata", "a name in it is no text");
}

json_t *registration_connected(const char *controller, int64_t unix_us)
{
    char at[28];
    time_format_rfc3339_micro(unix_us, at);
    return json_pack("{s:{s:{s:s,s:s,s:n}}}", "metadata", "annotations", REGISTRATION_CONTROLLER,
                     controller, REGISTRATION_CONNECTED, at, REGISTRATION_DISCONNECTED);
}

json_t *registration_disconnected(int64_t unix_us)
{
    char at[28];
    time_format_rfc3339_micro(unix_us, at);
    return json_pack("{s:{s:{s:n,s:s}}}", "metadata", "annotations", REGISTRATION_CONNECTED,
                     REGISTRATION_DISCONNECTED, at);
}

static bool is_healthy(const json_t *object)
{
    const json_t *list = json_at(object, "status.conditions"), *one;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)list, i,
                       one) if (streq(json_key_str(one, "type"),
                                      HEALTHY)) return streq(json_key_str(one, "status"), "True");
    return false;
}

json_t *registration_health(const json_t *object, bool healthy, const char *message,
                            int64_t unix_us)
{
    const json_t *list = json_at(object, "status.conditions"), *one;
    json_t *all = json_array();
    char at[28];
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)list, i,
                       one) if (!streq(json_key_str(one, "type"), HEALTHY))
        json_array_append(all, (json_t *)(uintptr_t)one);
    time_format_rfc3339_micro(unix_us, at);
    json_array_append_new(all, json_pack("{s:s,s:s,s:s,s:s}", "type", HEALTHY, "status",
                                         healthy ? "True" : "False", "lastProbeTime", at,
                                         "lastTransitionTime", at));
    if (!healthy)
        json_object_set_new(json_array_get(all, json_array_size(all) - 1), "message",
                            json_text(str_of(message, strnlen(message, MESSAGE_MAX))));
    return all;
}

/* As Go reads a truth. */
static bool is_true(const char *text)
{
    static const char *const words[] = {"1", "t", "T", "true", "TRUE", "True"};
    for (size_t i = 0; text && i < ARRAY_LEN(words); i++)
        if (streq(text, words[i]))
            return true;
    return false;
}

static const char *annotation(const json_t *object, const char *name)
{
    return json_key_str(json_at(object, "metadata.annotations"), name);
}

bool registration_is_unwell(const json_t *object)
{
    return is_true(annotation(object, REGISTRATION_HEALTH)) && !is_healthy(object);
}

bool registration_is_over(const json_t *object, int64_t unix_us)
{
    const char *since = annotation(object, REGISTRATION_DISCONNECTED);
    int64_t at;
    return !str_empty(annotation(object, REGISTRATION_GROUP)) &&
           str_empty(annotation(object, REGISTRATION_CONNECTED)) && !str_empty(since) &&
           (time_parse_rfc3339(str_from(since), &at) < 0 || at <= unix_us);
}
