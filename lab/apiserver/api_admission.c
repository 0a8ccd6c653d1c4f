/* What the admission plugins of a cluster add to new objects, so that a pod here looks like a pod
 * there: the service account and its token volume, default tolerations, priority, the QoS class;
 * and an Ingress gets the default class. Runs on create, before defaults and validation. */
#include <stdio.h>

#include "base/rand.h"
#include "kube/quantity.h"
#include "lab/apiserver/api_priv.h"

static const char token_path[] = "/var/run/secrets/kubernetes.io/serviceaccount";

static json_t *list_of(json_t *object, const char *name)
{
    json_t *list = json_object_get(object, name);
    if (!json_is_array(list)) {
        list = json_array();
        json_object_set_new(object, name, list);
    }
    return list;
}

static bool mounts_token(const json_t *container)
{
    size_t i;
    json_t *m;
    json_array_foreach(json_object_get(container, "volumeMounts"), i,
                       m) if (streq(json_key_str(m, "mountPath"), token_path)) return true;
    return false;
}

static bool mount_token(json_t *spec, const char *list, const char *volume)
{
    size_t i;
    json_t *c;
    bool any = false;
    json_array_foreach(json_object_get(spec, list), i, c)
    {
        if (!json_is_object(c) || mounts_token(c))
            continue;
        json_array_append_new(
            list_of(c, "volumeMounts"),
            json_pack("{s:s,s:b,s:s}", "name", volume, "readOnly", 1, "mountPath", token_path));
        any = true;
    }
    return any;
}

static json_t *token_volume(const char *name)
{
    json_t *token = json_pack("{s:{s:i,s:s}}", "serviceAccountToken", "expirationSeconds", 3607,
                              "path", "token");
    json_t *ca = json_pack("{s:{s:s,s:[{s:s,s:s}]}}", "configMap", "name", "kube-root-ca.crt",
                           "items", "key", "ca.crt", "path", "ca.crt");
    json_t *ns =
        json_pack("{s:{s:[{s:s,s:{s:s,s:s}}]}}", "downwardAPI", "items", "path", "namespace",
                  "fieldRef", "apiVersion", "v1", "fieldPath", "metadata.namespace");
    return json_pack("{s:s,s:{s:[o,o,o],s:i}}", "name", name, "projected", "sources", token, ca, ns,
                     "defaultMode", 0644);
}

/* Of a pod that was looked at before: webhooks may have put containers in. */
static const char *token_volume_name(const json_t *spec)
{
    size_t i;
    json_t *v;
    json_array_foreach(json_object_get(spec, "volumes"), i, v)
    {
        const char *name = json_key_str(v, "name");
        if (name && str_starts(str_from(name), STR("kube-api-access-")) &&
            json_object_get(v, "projected"))
            return name;
    }
    return NULL;
}

static struct object *find_account(struct api_request *r, const char *name)
{
    int index = api_kind_find(STR(""), STR("v1"), STR("serviceaccounts"));
    return store_find(r->server->store, (uint32_t)index, r->ns, name);
}

static bool account_forbids_token(struct api_request *r, const char *account)
{
    struct object *o = find_account(r, account);
    if (!o)
        return false;
    AUTO_JSON json_t *j = object_tree(o);
    return json_is_false(json_object_get(j, "automountServiceAccountToken"));
}

/* The account a pod names must be there, or nothing would ever mount its token. "default" is made
 * by a controller, and may be on its way. False: answered. */
static bool account_is_there(struct api_request *r, const char *account, const char *pod)
{
    AUTO_JSON json_t *details = api_details(r, pod);
    if (streq(account, "default") || find_account(r, account))
        return true;
    AUTO_CHARS char *ns = xstrdup(r->ns);
    api_status(r, 403, "Forbidden", details,
               "pods \"%s\" is forbidden: error looking up service account %s/%s: serviceaccount "
               "\"%s\" not found",
               pod, ns, account, account);
    return false;
}

static bool admit_account(struct api_request *r, json_t *spec, const char *pod)
{
    char suffix[6], name[32];
    const char *account = json_key_str(spec, "serviceAccountName");
    if (str_empty(account))
        account = json_key_str(spec, "serviceAccount");
    AUTO_CHARS char *chosen = xstrdup(str_empty(account) ? "default" : account);
    if (!account_is_there(r, chosen, pod))
        return false;
    json_put_str(spec, "serviceAccountName", chosen);
    json_put_str(spec, "serviceAccount", chosen);
    const json_t *wish = json_object_get(spec, "automountServiceAccountToken");
    if (json_is_false(wish) || (!wish && account_forbids_token(r, chosen)))
        return true;
    rand_suffix(suffix, 5);
    snprintf(name, sizeof(name), "kube-api-access-%s", suffix);
    const char *there = token_volume_name(spec);
    AUTO_CHARS char *chosen_volume = xstrdup(there ? there : name);
    bool any = mount_token(spec, "initContainers", chosen_volume);
    any = mount_token(spec, "containers", chosen_volume) || any;
    if (any && !there)
        json_array_append_new(list_of(spec, "volumes"), token_volume(name));
    return true;
}

/* A pod stays five minutes on a node that is lost, unless it says otherwise. */
static void admit_toleration(json_t *spec, const char *key)
{
    size_t i;
    json_t *t;
    json_array_foreach(json_object_get(spec, "tolerations"), i, t)
    {
        const char *have = json_key_str(t, "key"), *effect = json_key_str(t, "effect");
        if ((str_empty(have) || streq(have, key)) &&
            (str_empty(effect) || streq(effect, "NoExecute")))
            return;
    }
    json_array_append_new(list_of(spec, "tolerations"),
                          json_pack("{s:s,s:s,s:s,s:i}", "key", key, "operator", "Exists", "effect",
                                    "NoExecute", "tolerationSeconds", 300));
}

static int64_t milli(const json_t *map, const char *name)
{
    const char *text = json_key_str(map, name);
    int64_t v = 0;
    if (text && quantity_milli(str_from(text), &v) < 0)
        return 0;
    return v;
}

/* Guaranteed: every container has limits for cpu and memory, equal to its requests. BestEffort:
 * none has anything. */
static const char *qos_class(const json_t *spec)
{
    static const char *const names[] = {"cpu", "memory"};
    bool guaranteed = true, anything = false;
    size_t i;
    json_t *c;
    json_array_foreach(json_object_get(spec, "containers"), i, c)
    {
        const json_t *limits = json_at(c, "resources.limits"),
                     *requests = json_at(c, "resources.requests");
        for (size_t k = 0; k < ARRAY_LEN(names); k++) {
            int64_t limit = milli(limits, names[k]);
            int64_t request =
                requests && json_key_str(requests, names[k]) ? milli(requests, names[k]) : limit;
            anything = anything || limit || request;
            guaranteed = guaranteed && limit && limit == request;
        }
    }
    return !anything ? "BestEffort" : guaranteed ? "Guaranteed" : "Burstable";
}

/* There are no PriorityClasses but the two that every cluster has. False: answered. */
static bool admit_priority(struct api_request *r, json_t *spec, const char *pod)
{
    static const struct {
        const char *name;
        int64_t value;
    } classes[] = {
        {"system-cluster-critical", 2000000000}, {"system-node-critical", 2000001000}, {"", 0}};
    const char *wanted = json_key_str(spec, "priorityClassName");
    json_t *given = json_object_get(spec, "priority");
    size_t i = 0;
    while (i < ARRAY_LEN(classes) && !streq(classes[i].name, wanted ? wanted : ""))
        i++;
    if (i == ARRAY_LEN(classes)) {
        AUTO_JSON json_t *details = api_details(r, pod);
        api_status(r, 403, "Forbidden", details,
                   "pods \"%s\" is forbidden: no PriorityClass with name %s was found", pod,
                   wanted);
        return false;
    }
    if (json_is_integer(given) && json_integer_value(given) != classes[i].value) {
        AUTO_JSON json_t *details = api_details(r, pod);
        api_status(r, 403, "Forbidden", details,
                   "pods \"%s\" is forbidden: the integer value of priority (%lld) must not be "
                   "provided in pod spec; priority admission controller computed %lld from the "
                   "given PriorityClass name",
                   pod, (long long)json_integer_value(given), (long long)classes[i].value);
        return false;
    }
    json_put_int(spec, "priority", classes[i].value);
    if (!json_object_get(spec, "preemptionPolicy"))
        json_put_str(spec, "preemptionPolicy", "PreemptLowerPriority");
    return true;
}

static bool admit_pod(struct api_request *r, json_t *object)
{
    json_t *spec = json_object_get(object, "spec");
    if (!json_is_object(spec))
        return true; /* validation says so */
    const char *name = json_at_str(object, "metadata.name");
    if (!admit_account(r, spec, name) || !admit_priority(r, spec, name))
        return false;
    admit_toleration(spec, "node.kubernetes.io/not-ready");
    admit_toleration(spec, "node.kubernetes.io/unreachable");
    json_put_str(object, "status.phase", "Pending");
    json_put_str(object, "status.qosClass", qos_class(spec));
    if (json_array_size(json_object_get(spec, "schedulingGates")))
        json_put(object, "status.conditions",
                 json_pack("[{s:s,s:s,s:s,s:s}]", "type", "PodScheduled", "status", "False",
                           "reason", "SchedulingGated", "message",
                           "Scheduling is blocked due to non-empty scheduling gates"));
    return true;
}

/* ---- Ingresses ---- */

static bool is_default_class(const json_t *class_)
{
    return streq(json_key_str(json_at(class_, "metadata.annotations"),
                              "ingressclass.kubernetes.io/is-default-class"),
                 "true");
}

/* An Ingress that names no class gets the one that is marked as the default; of several the newest,
 * of one second the first by name. */
static void admit_ingress(struct api_request *r, json_t *object)
{
    int kind = api_kind_find(STR("networking.k8s.io"), STR("v1"), STR("ingressclasses"));
    AUTO_JSON json_t *best = NULL;
    if (json_at(object, "spec.ingressClassName") ||
        json_key_str(json_at(object, "metadata.annotations"), "kubernetes.io/ingress.class"))
        return;
    for (size_t i = 0; i < store_count(r->server->store, (uint32_t)kind); i++) {
        AUTO_JSON json_t *one = object_tree(store_at(r->server->store, (uint32_t)kind, i));
        const char *made = json_at_str(one, "metadata.creationTimestamp");
        if (!is_default_class(one) ||
            (best && strcmp(made, json_at_str(best, "metadata.creationTimestamp")) <= 0))
            continue; /* in the order of their names */
        json_decref(best);
        best = TAKE(one);
    }
    if (best)
        json_put_str(object, "spec.ingressClassName", json_at_str(best, "metadata.name"));
}

bool api_admit_create(struct api_request *r, json_t *object)
{
    if (api_kind_is(r->kind, "Pod"))
        return admit_pod(r, object);
    if (api_kind_is(r->kind, "Ingress"))
        admit_ingress(r, object);
    if (api_kind_is(r->kind, "Namespace"))
        json_put(object, "spec.finalizers", json_pack("[s]", "kubernetes"));
    return true;
}
