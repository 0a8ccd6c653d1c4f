/* Garbage collection by owner references: background (the owner is gone: dependents go), foreground
 * (the owner waits for its blocking dependents) and orphan (dependents forget the owner). Keys are
 * "KIND/ns/name" of the watched kinds. Rules: metav1.OwnerReference, propagationPolicy. Pods whose
 * node no longer exists go as well.
 *
 * The caches are of different moments: a dependent may be known before its owner. So an owner that
 * is not in its cache is asked for, and only one the server does not have is gone, which is
 * remembered by its uid (a uid never comes back). */
#include <stdio.h>

#include "base/time.h"
#include "base/vec.h"
#include "codec/url.h"
#include "lab/controllers/controller.h"

enum { ORPHANED_POD_S = 40 }; /* as kube-controller-manager's quarantine of missing nodes */

#define FOREGROUND "foregroundDeletion"
#define ORPHAN     "orphan"

static void enqueue(struct controller *c, enum watched kind, const json_t *object)
{
    char key[512];
    AUTO_CHARS char *full = xasprintf("%s/%s", watched_kinds[kind].kind, object_key(object, key));
    controller_enqueue(c, full);
}

static bool has_finalizer(const json_t *object, const char *name)
{
    json_t *f;
    size_t i;
    json_array_foreach(json_at(object, "metadata.finalizers"), i,
                       f) if (streq(json_string_value(f), name)) return true;
    return false;
}

static json_t *reference_to(const json_t *object, const char *uid)
{
    json_t *ref;
    size_t i;
    json_array_foreach(json_at(object, "metadata.ownerReferences"), i,
                       ref) if (streq(json_key_str(ref, "uid"), uid)) return ref;
    return NULL;
}

/* Every dependent of an owner, of all kinds. */
static void enqueue_dependents(struct controller *c, const json_t *owner)
{
    const char *uid = json_at_str(owner, "metadata.uid");
    for (int k = 0; k < _WATCHED_MAX; k++) {
        json_t *o;
        for (size_t at = 0;
             controllers_next(controller_set(c), (enum watched)k, INDEX_OWNER, uid, &at, &o);)
            enqueue(c, (enum watched)k, o);
    }
}

static void enqueue_owners(struct controller *c, const json_t *object)
{
    json_t *ref;
    size_t i;
    json_array_foreach(json_at(object, "metadata.ownerReferences"), i, ref)
    {
        const char *ns = json_at_str(object, "metadata.namespace");
        AUTO_CHARS char *key = xasprintf("%s/%s%s%s", json_key_str(ref, "kind"), ns ? ns : "",
                                         ns ? "/" : "", json_key_str(ref, "name"));
        controller_enqueue(c, key);
    }
}

static bool node_is_missing(struct controllers *cs, const json_t *pod)
{
    const char *node = json_at_str(pod, "spec.nodeName");
    return node && !informer_find(controllers_informer(cs, WATCHED_NODE), str_from(node));
}

static void on_change(struct controller *c, enum watched kind, json_t *object, bool deleted)
{
    if (!object)
        return;
    if (deleted) {
        enqueue_dependents(c, object);
        enqueue_owners(c, object); /* one that waits in the foreground may be free now */
    } else if (json_array_size(json_at(object, "metadata.ownerReferences")) ||
               has_finalizer(object, FOREGROUND) || has_finalizer(object, ORPHAN) ||
               (kind == WATCHED_POD && node_is_missing(controller_set(c), object))) {
        enqueue(c, kind, object);
    }
    if (kind == WATCHED_NODE && deleted) {
        json_t *pod;
        for (size_t at = 0;
             informer_next(controllers_informer(controller_set(c), WATCHED_POD), &at, &pod);)
            if (streq(json_at_str(pod, "spec.nodeName"), json_at_str(object, "metadata.name")))
                enqueue(c, WATCHED_POD, pod);
    }
}

/* "apps" of "apps/v1", "" of "v1": a reference means the group, whatever the version. */
static struct str group_of(const char *api_version)
{
    struct str version, group = str_cut(str_from(api_version ? api_version : ""), '/', &version);
    return version.p ? group : STR("");
}

/* The watched kind a reference names; _WATCHED_MAX: none of ours. */
static enum watched kind_of_reference(const json_t *ref)
{
    for (int k = 0; k < _WATCHED_MAX; k++)
        if (streq(watched_kinds[k].kind, json_key_str(ref, "kind")) &&
            str_eq(group_of(watched_kinds[k].api_version),
                   group_of(json_key_str(ref, "apiVersion"))))
            return (enum watched)k;
    return _WATCHED_MAX;
}

static bool is_namespaced(enum watched kind)
{
    return kind != WATCHED_NAMESPACE && kind != WATCHED_NODE;
}

static void on_owner(struct sync *s, enum watched kind, const struct kube_result *r,
                     const char *uid)
{
    if (kube_ok(r) && streq(json_at_str(r->object, "metadata.uid"), uid))
        informer_offer(controllers_informer(sync_set(s), kind), r->object);
    else
        controller_remember(sync_controller(s), uid);
    sync_again_after(s, 1);
}

/* Is the owner a reference names gone? *ret_asked: that will be known later. */
static bool owner_is_gone(struct sync *s, const json_t *object, const json_t *ref, bool *ret_asked)
{
    const char *ns = json_at_str(object, "metadata.namespace"), *name = json_key_str(ref, "name"),
               *uid = json_key_str(ref, "uid");
    enum watched kind = kind_of_reference(ref);
    bool inside = kind != _WATCHED_MAX && is_namespaced(kind);
    if (kind == _WATCHED_MAX || !uid || !name || (inside && !ns))
        return false; /* the last: an owner in which namespace? */
    const json_t *o = informer_find(controllers_informer(sync_set(s), kind),
                                    str_from(inside ? key_of(ns, name) : name));
    if (streq(json_at_str(o, "metadata.uid"), uid))
        return false;
    if (controller_remembers(sync_controller(s), uid))
        return true;
    AUTO_DONE(buf) struct buf path = {0};
    buf_addf(&path, "%s%s%s/%s/", watched_kinds[kind].path, inside ? "/namespaces/" : "",
             inside ? ns : "", watched_kinds[kind].plural);
    url_encode(str_from(name), &path);
    sync_ask(s, kind, buf_cstr(&path), uid, on_owner);
    *ret_asked = true;
    return false;
}

static void delete_object(struct sync *s, enum watched kind, const json_t *object,
                          const char *policy)
{
    char path[WATCHED_PATH_BYTES];
    AUTO_JSON json_t *options = json_pack(
        "{s:s,s:s,s:s,s:{s:s}}", "kind", "DeleteOptions", "apiVersion", "v1", "propagationPolicy",
        policy, "preconditions", "uid", json_at_str(object, "metadata.uid"));
    watched_path(kind, object, path);
    sync_call(s, kind, "DELETE", path, NULL, options);
}

/* Removes a finalizer by a merge patch that carries the version read, so that a change meanwhile
 * wins. */
static void drop_finalizer(struct sync *s, enum watched kind, const json_t *object,
                           const char *name)
{
    char path[WATCHED_PATH_BYTES];
    AUTO_JSON json_t *patch = json_object();
    json_t *left = json_array(), *f;
    size_t i;
    json_array_foreach(json_at(object, "metadata.finalizers"), i,
                       f) if (!streq(json_string_value(f), name)) json_array_append(left, f);
    json_put(patch, "metadata.finalizers", left);
    json_put_str(patch, "metadata.resourceVersion",
                 json_at_str(object, "metadata.resourceVersion"));
    watched_path(kind, object, path);
    sync_call(s, kind, "PATCH", path, MERGE_PATCH, patch);
}

/* An owner being deleted with a policy that concerns its dependents. */
static void sync_owner(struct sync *s, enum watched kind, const json_t *owner)
{
    const char *uid = json_at_str(owner, "metadata.uid");
    bool orphan = has_finalizer(owner, ORPHAN);
    size_t waiting = 0;
    for (int k = 0; k < _WATCHED_MAX; k++) {
        json_t *o;
        for (size_t at = 0;
             controllers_next(sync_set(s), (enum watched)k, INDEX_OWNER, uid, &at, &o);) {
            const json_t *ref = reference_to(o, uid);
            if (!ref)
                continue;
            if (orphan) {
                owner_forget(s, (enum watched)k, o, uid);
                waiting++;
            } else {
                waiting += json_is_true(json_object_get(ref, "blockOwnerDeletion"));
                if (!is_deleting(o))
                    delete_object(s, (enum watched)k, o, "Foreground");
            }
        }
    }
    if (waiting == 0)
        drop_finalizer(s, kind, owner, orphan ? ORPHAN : FOREGROUND);
    else if (orphan)
        sync_again_after(s, 20);
}

/* An object whose owners are all gone is garbage. */
static void sync_dependent(struct sync *s, enum watched kind, const json_t *object)
{
    json_t *ref;
    size_t i, gone = 0, n = json_array_size(json_at(object, "metadata.ownerReferences"));
    bool asked = false;
    if (is_deleting(object))
        return;
    json_array_foreach(json_at(object, "metadata.ownerReferences"), i, ref) gone +=
        owner_is_gone(s, object, ref, &asked);
    if (n && gone == n)
        delete_object(s, kind, object, "Background");
}

/* A pod whose node does not exist. Young ones wait: their node may be about to register, and a
 * ReplicaSet whose template names such a node would make new ones as fast as they go. */
static void sync_orphaned_pod(struct sync *s, const json_t *pod)
{
    char path[WATCHED_PATH_BYTES];
    int64_t created_us;
    const char *created = json_at_str(pod, "metadata.creationTimestamp");
    if (created && time_parse_rfc3339(str_from(created), &created_us) == 0) {
        int64_t left_s = created_us / 1000000 + ORPHANED_POD_S - time_real_s();
        if (left_s > 0) {
            sync_again_after(s, (uint64_t)left_s * 1000);
            return;
        }
    }
    AUTO_JSON json_t *now = json_pack("{s:s,s:s,s:i}", "kind", "DeleteOptions", "apiVersion", "v1",
                                      "gracePeriodSeconds", 0);
    watched_path(WATCHED_POD, pod, path);
    sync_call(s, WATCHED_POD, "DELETE", path, NULL, now);
}

static void sync_object(struct sync *s, const char *key)
{
    struct str rest, kind_name = str_cut(str_from(key), '/', &rest);
    for (int k = 0; k < _WATCHED_MAX; k++) {
        if (!str_is(kind_name, watched_kinds[k].kind))
            continue;
        const json_t *o = informer_find(controllers_informer(sync_set(s), (enum watched)k), rest);
        if (!o)
            return;
        if (k == WATCHED_POD && node_is_missing(sync_set(s), o))
            sync_orphaned_pod(s, o);
        if (is_deleting(o) && (has_finalizer(o, FOREGROUND) || has_finalizer(o, ORPHAN))) {
            sync_owner(s, (enum watched)k, o);
        } else {
            sync_dependent(s, (enum watched)k, o);
        }
        return;
    }
}

const struct controller_kind garbage_controller = {"garbage", on_change, sync_object, NULL, NULL};
