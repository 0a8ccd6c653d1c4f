/* Pods of a template: how they are made of it, made and deleted in the owner's name, and when one
 * counts as available. For ReplicaSets, ReplicationControllers, DaemonSets and Jobs; which pods
 * there should be they decide themselves. Rules: core/v1 PodTemplateSpec, minReadySeconds. */
#include <stdio.h>

#include "base/hash.h"
#include "base/time.h"
#include "lab/controllers/controller.h"

json_t *template_pod(enum watched owner_kind, const json_t *owner)
{
    static const char *const copied[] = {"labels", "annotations", "finalizers"};
    json_t *template = json_at(owner, "spec.template"), *pod = json_object(), *refs = json_array();
    AUTO_CHARS char *prefix = xasprintf("%s-", json_at_str(owner, "metadata.name"));
    json_put_str(pod, "apiVersion", "v1");
    json_put_str(pod, "kind", "Pod");
    json_put(pod, "metadata", json_object());
    for (size_t i = 0; i < ARRAY_LEN(copied); i++) {
        json_t *v = json_object_get(json_at(template, "metadata"), copied[i]);
        if (v)
            json_object_set_new(json_object_get(pod, "metadata"), copied[i], json_deep_copy(v));
    }
    json_put_str(pod, "metadata.generateName", prefix);
    json_put_str(pod, "metadata.namespace", json_at_str(owner, "metadata.namespace"));
    json_array_append_new(refs, owner_reference_to(owner_kind, owner));
    json_put(pod, "metadata.ownerReferences", refs);
    json_put(pod, "spec", json_deep_copy(json_at(template, "spec")));
    return pod;
}

/* The owner whose key is being synced, if it is still there; text is its kind. */
static const json_t *owner_of(struct sync *s, const char *text,
                              const struct watched_kind **ret_kind)
{
    for (int k = 0; k < _WATCHED_MAX; k++) {
        *ret_kind = &watched_kinds[k];
        if (streq(watched_kinds[k].kind, text))
            return informer_find(controllers_informer(sync_set(s), (enum watched)k),
                                 str_from(sync_key(s)));
    }
    return NULL;
}

static void on_created(struct sync *s, enum watched kind, const struct kube_result *r,
                       const char *text)
{
    const struct watched_kind *k;
    const json_t *owner = owner_of(s, text, &k);
    struct event_recorder *events = controller_events(sync_controller(s));
    const char *name = json_at_str(r->object, "metadata.name");
    (void)kind;
    if (owner && kube_ok(r) && name)
        event_record(events, owner, k->kind, k->api_version, "Normal", "SuccessfulCreate",
                     "Created pod: %s", name);
    else if (owner && !kube_ok(r))
        event_record(events, owner, k->kind, k->api_version, "Warning", "FailedCreate",
                     "Error creating: %s", r->message);
}

static void on_deleted(struct sync *s, enum watched kind, const struct kube_result *r,
                       const char *text)
{
    const struct watched_kind *k;
    const json_t *owner = owner_of(s, text, &k);
    const char *name = json_at_str(r->object, "metadata.name"); /* gone at once: a Status */
    if (!name)
        name = json_at_str(r->object, "details.name");
    (void)kind;
    if (owner && kube_ok(r) && name)
        event_record(controller_events(sync_controller(s)), owner, k->kind, k->api_version,
                     "Normal", "SuccessfulDelete", "Deleted pod: %s", name);
}

void template_pod_create(struct sync *s, enum watched owner_kind, json_t *pod)
{
    char path[300];
    snprintf(path, sizeof(path), "/api/v1/namespaces/%s/pods",
             json_at_str(pod, "metadata.namespace"));
    sync_call_then(s, WATCHED_POD, "POST", path, NULL, pod, watched_kinds[owner_kind].kind,
                   on_created);
    json_decref(pod);
}

void template_pod_delete(struct sync *s, enum watched owner_kind, const json_t *pod)
{
    char path[WATCHED_PATH_BYTES];
    watched_path(WATCHED_POD, pod, path);
    AUTO_JSON json_t *options =
        json_pack("{s:s,s:s,s:{s:s}}", "kind", "DeleteOptions", "apiVersion", "v1", "preconditions",
                  "uid", json_at_str(pod, "metadata.uid"));
    sync_call_then(s, WATCHED_POD, "DELETE", path, NULL, options, watched_kinds[owner_kind].kind,
                   on_deleted);
}

bool pod_is_available(const json_t *pod, int64_t min_ready_s, int64_t *ret_wait_s)
{
    int64_t since_us;
    if (!pod_is_ready(pod))
        return false;
    if (min_ready_s == 0)
        return true;
    const char *since = json_key_str(condition_find(pod, "Ready"), "lastTransitionTime");
    if (!since || time_parse_rfc3339(str_from(since), &since_us) < 0)
        return false;
    int64_t left = since_us / 1000000 + min_ready_s - time_real_s();
    if (left > 0)
        *ret_wait_s = *ret_wait_s ? MIN(*ret_wait_s, left) : left;
    return left <= 0;
}

void template_hash(const json_t *template, int64_t collisions, char ret[11])
{
    static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";
    char *text = json_dumps(template, JSON_SORT_KEYS | JSON_COMPACT);
    uint64_t h = hash_bytes_seed(text ? text : "", text ? strlen(text) : 0, (uint64_t)collisions);
    free(text);
    for (int i = 0; i < 10; i++, h /= 27)
        ret[i] = alphabet[h % 27];
    ret[10] = '\0';
}

static void enqueue_owner(struct controller *c, enum watched owner_kind, const char *ns,
                          const json_t *owner)
{
    if (streq(json_key_str(owner, "kind"), watched_kinds[owner_kind].kind))
        controller_enqueue(c, key_of(ns, json_key_str(owner, "name")));
}

bool enqueue_pod_owners(struct controller *c, enum watched owner_kind, const json_t *pod,
                        bool deleted)
{
    const char *ns = json_at_str(pod, "metadata.namespace");
    const json_t *owner = owner_controller(pod),
                 *before = owner_controller(controllers_before(controller_set(c)));
    enqueue_owner(c, owner_kind, ns, owner);
    if (before && !streq(json_key_str(before, "uid"), json_key_str(owner, "uid")))
        enqueue_owner(c, owner_kind, ns, before);
    return !owner && !deleted && !is_deleting(pod);
}
