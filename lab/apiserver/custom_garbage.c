/* Owners and dependents where one of them is of a custom kind. The garbage controller watches the
 * built-in kinds (lab/controllers); what it does for those is done for custom ones here, where all
 * kinds are: dependents whose owners are all gone go; an owner that waits in the foreground waits
 * for its blocking dependents; one that lets go is forgotten by them. (metav1.OwnerReference)
 *
 * Owns the uids of owners that have gone, and the timer that looks at them: nothing is written from
 * inside an event. Objects are parsed only if their bytes have the uid. */
#include "base/log.h"
#include "base/vec.h"
#include "lab/apiserver/custom_registry.h"

#define FOREGROUND "foregroundDeletion"
#define ORPHAN     "orphan"

enum { LOOK_MS = 0, RETRY_MS = 1000, UIDS_MAX = 65536 };

struct dependents {
    VEC(struct object *) v;
};

static bool has_bytes(const struct object *o, const char *text)
{
    return memmem(o->json->p, o->json->n, text, strlen(text)) != NULL;
}

static bool is_custom(const struct object *o)
{
    return api_kind_at(o->kind)->custom != NULL;
}

static json_t *reference_to(const json_t *object, const char *uid)
{
    json_t *ref;
    size_t i;
    json_array_foreach(json_at(object, "metadata.ownerReferences"), i, ref)
    {
        if (streq(json_key_str(ref, "uid"), uid))
            return ref;
    }
    return NULL;
}

/* All that name the uid as an owner; custom ones only, if only_custom. References. */
static void find_dependents(struct api_server *s, const char *uid, bool only_custom,
                            struct dependents *ret)
{
    for (size_t k = 0; k < api_kinds_count(); k++) {
        const struct api_kind *kind = api_kind_at(k);
        bool stored = kind->row ? kind->home : !kind->stored_as && !kind->review;
        if (!stored || (only_custom && !kind->custom))
            continue;
        for (size_t i = 0; i < store_count(s->store, (uint32_t)k); i++) {
            struct object *o = store_at(s->store, (uint32_t)k, i);
            if (streq(o->uid, uid) || !has_bytes(o, uid))
                continue;
            AUTO_JSON json_t *tree = object_tree(o);
            if (reference_to(tree, uid))
                vec_push(&ret->v, object_ref(o));
        }
    }
}

static void dependents_done(struct dependents *d)
{
    VEC_FOREACH (o, &d->v)
        object_unref(*o);
    vec_done(&d->v);
}

/* Is there the object a reference means? Kinds nobody knows are not known to be gone. */
static bool owner_is_there(struct api_server *s, const json_t *ref, const char *ns)
{
    struct str version,
        group = str_cut(
            str_from(json_key_str(ref, "apiVersion") ? json_key_str(ref, "apiVersion") : ""), '/',
            &version);
    const char *name = json_key_str(ref, "name");
    bool known = false;
    if (!version.p)
        group = STR("");
    for (size_t k = 0; k < api_kinds_count() && name; k++) {
        const struct api_kind *kind = api_kind_at(k);
        if (!kind->kind || !streq(kind->kind, json_key_str(ref, "kind")) ||
            !str_is(group, kind->group))
            continue;
        known = true;
        const struct object *o =
            store_find(s->store, (uint32_t)api_kind_index(kind), kind->namespaced ? ns : "", name);
        if (o && streq(o->uid, json_key_str(ref, "uid")))
            return true;
    }
    return !known;
}

static bool is_garbage(struct api_server *s, const struct object *o)
{
    AUTO_JSON json_t *tree = object_tree(o);
    json_t *refs = json_at(tree, "metadata.ownerReferences"), *ref;
    size_t i;
    if (json_at_str(tree, "metadata.deletionTimestamp"))
        return false;
    json_array_foreach(refs, i, ref)
    {
        if (owner_is_there(s, ref, o->ns))
            return false;
    }
    return json_array_size(refs) > 0;
}

/* False: a write failed. */
static bool collect(struct api_server *s, const char *uid, bool only_custom)
{
    struct dependents d = {0};
    struct err err = {0};
    bool ok = true;
    find_dependents(s, uid, only_custom, &d);
    VEC_FOREACH (o, &d.v)
        if (is_garbage(s, *o))
            ok = api_delete_object(s, *o, "Background", &err) >= 0 && ok;
    dependents_done(&d);
    if (!ok)
        log_warn("a dependent could not be deleted", kv_s("error", err_text(&err)));
    return ok;
}

/* ---- owners that wait ---- */

static bool has_finalizer(const json_t *tree, const char *name)
{
    AUTO_JSON json_t *text = json_string(name);
    return json_array_has(json_at(tree, "metadata.finalizers"), text);
}

static bool forget_owner(struct api_server *s, struct object *o, const char *uid)
{
    AUTO_JSON json_t *tree = object_tree(o);
    json_t *refs = json_at(tree, "metadata.ownerReferences");
    for (size_t i = json_array_size(refs); i-- > 0;)
        if (streq(json_key_str(json_array_get(refs, i), "uid"), uid))
            json_array_remove(refs, i);
    if (!json_array_size(refs))
        json_del(tree, "metadata.ownerReferences");
    return store_put(s->store, o->kind, tree, NULL, NULL) == 0;
}

static void let_go(struct api_server *s, struct object *owner, const char *finalizer)
{
    AUTO_JSON json_t *tree = object_tree(owner);
    AUTO_JSON json_t *text = json_string(finalizer);
    json_t *list = json_at(tree, "metadata.finalizers");
    struct err err = {0};
    for (size_t i = json_array_size(list); i-- > 0;)
        if (json_equal(json_array_get(list, i), text))
            json_array_remove(list, i);
    if (!json_array_size(list))
        json_del(tree, "metadata.finalizers");
    if (api_delete_step(s, owner->kind, tree, owner, NULL, &err) < 0)
        log_warn("an owner could not be let go", kv_s("error", err_text(&err)));
}

/* A custom owner that is being deleted, and has one of the two finalizers. */
static void settle_owner(struct api_server *s, struct object *owner)
{
    AUTO_JSON json_t *tree = object_tree(owner);
    bool orphan = has_finalizer(tree, ORPHAN);
    struct dependents d = {0};
    size_t waiting = 0;
    if (!json_at_str(tree, "metadata.deletionTimestamp") ||
        !(orphan || has_finalizer(tree, FOREGROUND)))
        return;
    find_dependents(s, owner->uid, false, &d);
    VEC_FOREACH (o, &d.v) {
        AUTO_JSON json_t *dependent = object_tree(*o);
        const json_t *ref = reference_to(dependent, owner->uid);
        struct err err = {0};
        if (orphan)
            waiting += !forget_owner(s, *o, owner->uid);
        else if (api_delete_object(s, *o, "Foreground", &err) != 1)
            waiting += json_is_true(json_object_get(ref, "blockOwnerDeletion"));
    }
    dependents_done(&d);
    if (!waiting)
        let_go(s, owner, orphan ? ORPHAN : FOREGROUND);
}

static void settle_owners(struct api_server *s)
{
    struct dependents owners = {0};
    for (size_t k = 0; k < api_kinds_count(); k++) {
        if (!api_kind_at(k)->home || !api_kind_at(k)->custom)
            continue;
        for (size_t i = 0; i < store_count(s->store, (uint32_t)k); i++) {
            struct object *o = store_at(s->store, (uint32_t)k, i);
            if (has_bytes(o, "\"deletionTimestamp\"") &&
                (has_bytes(o, FOREGROUND) || has_bytes(o, ORPHAN)))
                vec_push(&owners.v, object_ref(o));
        }
    }
    VEC_FOREACH (o, &owners.v)
        if (store_find(s->store, (*o)->kind, (*o)->ns, (*o)->name) == *o)
            settle_owner(s, *o);
    dependents_done(&owners);
}

/* ---- events ---- */

static void on_look(void *user)
{
    struct api_server *s = user;
    while (s->garbage.n) {
        char *uid = vec_pop(&s->garbage);
        bool custom_owner = uid[0] == 'c';
        bool ok = collect(s, uid + 1, !custom_owner);
        free(uid);
        if (!ok) {
            loop_timer_start(s->garbage_timer, RETRY_MS);
            break;
        }
    }
    settle_owners(s);
}

static bool any_custom(const struct api_server *s)
{
    for (size_t k = 0; k < api_kinds_count(); k++)
        if (api_kind_at(k)->home && store_count(s->store, (uint32_t)k))
            return true;
    return false;
}

static void note(struct api_server *s, char what, const char *uid)
{
    if (s->garbage.n < UIDS_MAX)
        vec_push(&s->garbage, xasprintf("%c%s", what, uid));
    loop_timer_start(s->garbage_timer, LOOK_MS);
}

void custom_garbage_event(struct api_server *s, const struct store_event *e)
{
    bool custom = is_custom(e->object);
    if (!s->garbage_timer || (!custom && (e->type != STORE_DELETED || !any_custom(s))))
        return;
    if (e->type == STORE_DELETED) {
        note(s, custom ? 'c' : 'b', e->object->uid);
    } else if (has_bytes(e->object, "\"ownerReferences\"")) {
        AUTO_JSON json_t *tree = object_tree(e->object);
        json_t *ref;
        size_t i;
        json_array_foreach(json_at(tree, "metadata.ownerReferences"), i, ref)
        {
            if (json_key_str(ref, "uid") && !owner_is_there(s, ref, e->object->ns))
                note(s, 'b', json_key_str(ref, "uid"));
        }
    }
    if (has_bytes(e->object, "\"deletionTimestamp\""))
        loop_timer_start(s->garbage_timer, LOOK_MS);
}

void custom_garbage_start(struct api_server *s)
{
    s->garbage_timer = loop_timer_new(s->loop, on_look, s);
}

void custom_garbage_stop(struct api_server *s)
{
    loop_timer_free(s->garbage_timer);
    s->garbage_timer = NULL;
    VEC_FOREACH (uid, &s->garbage)
        free(*uid);
    vec_done(&s->garbage);
}
