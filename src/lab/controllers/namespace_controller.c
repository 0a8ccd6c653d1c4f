/* Namespace termination: deletes everything in a namespace that is being deleted, then removes the
 * finalizer "kubernetes". Works on whatever the server offers (discovery), so kinds added later are
 * covered. */
#include <stdio.h>

#include "base/vec.h"
#include "lab/controllers/controller.h"

enum { TERMINATION_POLL_MS = 200 };

/* A deletion under way: one collection after the other, then the finalizer. Lives beside the sync,
 * which ends at once. */
struct termination {
    struct controller *controller;
    char *ns;
    VEC(char *) groups;      /* "/api/v1", "/apis/apps/v1", … */
    VEC(char *) collections; /* path of each namespaced collection */
    size_t at;
    bool discovered;
    int64_t left; /* objects still seen in this round */
};

static void step(struct termination *t);

static void termination_free(struct termination *t)
{
    VEC_FOREACH (g, &t->groups)
        free(*g);
    VEC_FOREACH (c, &t->collections)
        free(*c);
    vec_done(&t->groups);
    vec_done(&t->collections);
    free(t->ns);
    free(t);
}

static void on_change(struct controller *c, enum watched kind, json_t *object, bool deleted)
{
    if (kind == WATCHED_NAMESPACE && !deleted && is_deleting(object))
        controller_enqueue_object(c, object);
}

static struct kube_client *client_of(struct termination *t)
{
    return controllers_client(controller_set(t->controller));
}

static void retry(struct termination *t)
{
    controller_enqueue_after(t->controller, t->ns, TERMINATION_POLL_MS);
    termination_free(t);
}

static void on_finalized(const struct kube_result *r, void *user)
{
    struct termination *t = user;
    if (kube_ok(r) || r->status == 404)
        termination_free(t);
    else
        retry(t);
}

static void finalize(struct termination *t)
{
    json_t *have = informer_find(
        controllers_informer(controller_set(t->controller), WATCHED_NAMESPACE), str_from(t->ns));
    char path[300];
    if (!have) {
        termination_free(t);
        return;
    }
    AUTO_JSON json_t *ns = json_deep_copy(have);
    json_t *left = json_array(), *f;
    size_t i;
    json_array_foreach(json_at(have, "spec.finalizers"), i,
                       f) if (!streq(json_string_value(f), "kubernetes"))
        json_array_append(left, f);
    json_put(ns, "spec.finalizers", left);
    json_put_str(ns, "kind", "Namespace");
    json_put_str(ns, "apiVersion", "v1");
    snprintf(path, sizeof(path), "/api/v1/namespaces/%s/finalize", t->ns);
    (void)kube_call(client_of(t), "PUT", path, NULL, ns, on_finalized, t);
}

static void on_listed(const struct kube_result *r, void *user)
{
    struct termination *t = user;
    if (kube_ok(r))
        t->left += (int64_t)json_array_size(json_at(r->object, "items"));
    else if (r->status != 404 && r->status != 405)
        t->left++;
    t->at++;
    step(t);
}

static void on_collection_deleted(const struct kube_result *r, void *user)
{
    struct termination *t = user;
    if (r->code < 0) {
        retry(t);
        return;
    }
    AUTO_CHARS char *path = xasprintf("%s?limit=1", t->collections.v[t->at]);
    (void)kube_call(client_of(t), "GET", path, NULL, NULL, on_listed, t);
}

static void on_resources(const struct kube_result *r, void *user)
{
    struct termination *t = user;
    json_t *resource;
    size_t i;
    if (!kube_ok(r)) {
        retry(t);
        return;
    }
    json_array_foreach(json_at(r->object, "resources"), i, resource)
    {
        const char *name = json_key_str(resource, "name");
        bool can_delete = false;
        json_t *verb;
        size_t k;
        json_array_foreach(json_object_get(resource, "verbs"), k, verb) can_delete =
            can_delete || streq(json_string_value(verb), "deletecollection");
        /* Events last of all would be nicest to a reader; they go with the rest, as in Kubernetes.
         */
        if (can_delete && json_is_true(json_object_get(resource, "namespaced")) &&
            !strchr(name, '/'))
            vec_push(&t->collections,
                     xasprintf("%s/namespaces/%s/%s", t->groups.v[t->at], t->ns, name));
    }
    if (++t->at == t->groups.n) {
        t->at = 0;
        t->discovered = true;
    }
    step(t);
}

static void on_groups(const struct kube_result *r, void *user)
{
    struct termination *t = user;
    json_t *group;
    size_t i;
    if (!kube_ok(r)) {
        retry(t);
        return;
    }
    vec_push(&t->groups, xstrdup("/api/v1"));
    json_array_foreach(json_at(r->object, "groups"), i, group)
    {
        const char *version = json_at_str(group, "preferredVersion.groupVersion");
        if (version)
            vec_push(&t->groups, xasprintf("/apis/%s", version));
    }
    step(t);
}

/* The next call: resources of a group, then each collection, then the end of the round. */
static void step(struct termination *t)
{
    if (!t->discovered) {
        (void)kube_call(client_of(t), "GET", t->groups.v[t->at], NULL, NULL, on_resources, t);
        return;
    }
    if (t->at < t->collections.n) {
        (void)kube_call(client_of(t), "DELETE", t->collections.v[t->at], NULL, NULL,
                        on_collection_deleted, t);
        return;
    }
    if (t->left == 0)
        finalize(t);
    else
        retry(t);
}

static void sync_namespace(struct sync *s, const char *key)
{
    const json_t *ns =
        informer_find(controllers_informer(sync_set(s), WATCHED_NAMESPACE), str_from(key));
    if (!ns || !is_deleting(ns))
        return;
    struct termination *t = NEW(struct termination);
    t->controller = sync_controller(s);
    t->ns = xstrdup(key);
    (void)kube_call(client_of(t), "GET", "/apis", NULL, NULL, on_groups, t);
}

const struct controller_kind namespace_controller = {"namespace", on_change, sync_namespace, NULL,
                                                     NULL};
