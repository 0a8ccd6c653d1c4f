/* Namespace termination: deletes everything in a namespace that is being deleted, then removes the
 * finalizer "kubernetes". Works on whatever the server offers (discovery), so kinds added later are
 * covered.
 *
 * A sync is one pass: what there is, collection after collection, then the finalizer if nothing was
 * left. It is about the namespace it began with, by uid. What is held by finalizers is looked for
 * again when something of the namespace has gone, and every second for kinds that no cache has. */
#include <stdio.h>

#include "base/vec.h"
#include "lab/controllers/controller.h"

enum {
    LOOK_AGAIN_MS = 1000,
    GONE_MS = 50, /* others may go at the same moment */
};

/* A pass; lives as long as its sync. */
struct termination {
    char *ns;
    char *uid;
    VEC(char *) groups;      /* "/api/v1", "/apis/apps/v1", … */
    VEC(char *) collections; /* path of each namespaced collection */
    size_t at;
    bool asked_to_go; /* the collection at at */
    bool left;        /* objects were still seen in this pass */
};

static void termination_free(void *user)
{
    struct termination *t = user;
    VEC_FOREACH (g, &t->groups)
        free(*g);
    VEC_FOREACH (c, &t->collections)
        free(*c);
    vec_done(&t->groups);
    vec_done(&t->collections);
    free(t->ns);
    free(t->uid);
    free(t);
}

static json_t *find_deleting(struct controllers *cs, const char *name)
{
    json_t *ns = informer_find(controllers_informer(cs, WATCHED_NAMESPACE), str_from(name));
    return ns && is_deleting(ns) ? ns : NULL;
}

static void on_change(struct controller *c, enum watched kind, json_t *object, bool deleted)
{
    const char *ns = json_at_str(object, "metadata.namespace");
    if (kind == WATCHED_NAMESPACE && !deleted && is_deleting(object))
        controller_enqueue_object(c, object);
    else if (deleted && ns && find_deleting(controller_set(c), ns))
        controller_enqueue_after(c, ns, GONE_MS);
}

static void finalize(struct sync *s, const json_t *have)
{
    char path[WATCHED_PATH_BYTES + 10];
    AUTO_JSON json_t *ns = json_deep_copy(have);
    json_t *left = json_array(), *f;
    size_t i;
    json_array_foreach(json_at(have, "spec.finalizers"), i,
                       f) if (!streq(json_string_value(f), "kubernetes"))
        json_array_append(left, f);
    json_put(ns, "spec.finalizers", left);
    json_put_str(ns, "kind", "Namespace");
    json_put_str(ns, "apiVersion", "v1");
    watched_path(WATCHED_NAMESPACE, have, path);
    strcat(path, "/finalize");
    sync_call(s, _WATCHED_MAX, "PUT", path, NULL, ns);
}

static void next_collection(struct sync *s);

static void on_collection_deleted(struct sync *s, enum watched kind, const struct kube_result *r,
                                  const char *text)
{
    (void)kind;
    (void)text;
    if (r->code == 0)
        next_collection(s);
}

/* The collection at hand: looked at, emptied, looked at again. */
static void on_listed(struct sync *s, enum watched kind, const struct kube_result *r,
                      const char *text)
{
    struct termination *t = sync_kept(s);
    bool any = json_array_size(json_at(r->object, "items")) > 0;
    (void)kind;
    if (any && !t->asked_to_go) {
        t->asked_to_go = true;
        sync_call_then(s, _WATCHED_MAX, "DELETE", t->collections.v[t->at], NULL, NULL, text,
                       on_collection_deleted);
        return;
    }
    t->left = t->left || any;
    t->asked_to_go = false;
    t->at++;
    next_collection(s);
}

static void next_collection(struct sync *s)
{
    struct termination *t = sync_kept(s);
    const json_t *ns = find_deleting(sync_set(s), t->ns);
    if (!ns || !streq(json_at_str(ns, "metadata.uid"), t->uid))
        return; /* it has ended; what has its name now is another */
    if (t->at < t->collections.n) {
        AUTO_CHARS char *path = xasprintf("%s?limit=1", t->collections.v[t->at]);
        sync_ask(s, _WATCHED_MAX, path, "", on_listed);
    } else if (t->left) {
        sync_again_after(s, LOOK_AGAIN_MS);
    } else {
        finalize(s, ns);
    }
}

static bool can(const json_t *resource, const char *what)
{
    json_t *verb;
    size_t i;
    json_array_foreach(json_object_get(resource, "verbs"), i,
                       verb) if (streq(json_string_value(verb), what)) return true;
    return false;
}

static void next_group(struct sync *s);

/* Events last of all would be nicest to a reader; they go with the rest, as in Kubernetes. */
static void on_resources(struct sync *s, enum watched kind, const struct kube_result *r,
                         const char *text)
{
    struct termination *t = sync_kept(s);
    json_t *resource;
    size_t i;
    (void)kind;
    (void)text;
    json_array_foreach(json_at(r->object, "resources"), i, resource)
    {
        const char *name = json_key_str(resource, "name");
        if (name && !strchr(name, '/') && can(resource, "deletecollection") &&
            can(resource, "list") && json_is_true(json_object_get(resource, "namespaced")))
            vec_push(&t->collections,
                     xasprintf("%s/namespaces/%s/%s", t->groups.v[t->at], t->ns, name));
    }
    t->at++;
    next_group(s);
}

static void next_group(struct sync *s)
{
    struct termination *t = sync_kept(s);
    if (t->at < t->groups.n) {
        sync_ask(s, _WATCHED_MAX, t->groups.v[t->at], "", on_resources);
        return;
    }
    t->at = 0;
    next_collection(s);
}

static void on_groups(struct sync *s, enum watched kind, const struct kube_result *r,
                      const char *text)
{
    struct termination *t = sync_kept(s);
    json_t *group;
    size_t i;
    (void)kind;
    (void)text;
    vec_push(&t->groups, xstrdup("/api/v1"));
    json_array_foreach(json_at(r->object, "groups"), i, group)
    {
        const char *version = json_at_str(group, "preferredVersion.groupVersion");
        if (version)
            vec_push(&t->groups, xasprintf("/apis/%s", version));
    }
    next_group(s);
}

static void sync_namespace(struct sync *s, const char *key)
{
    const json_t *ns = find_deleting(sync_set(s), key);
    if (!ns)
        return;
    struct termination *t = NEW(struct termination);
    t->ns = xstrdup(key);
    t->uid = xstrdup(json_at_str(ns, "metadata.uid"));
    sync_keep(s, t, termination_free);
    sync_ask(s, _WATCHED_MAX, "/apis", "", on_groups);
}

const struct controller_kind namespace_controller = {"namespace", on_change, sync_namespace, NULL,
                                                     NULL};
