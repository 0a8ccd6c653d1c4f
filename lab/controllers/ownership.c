/* Who controls what: Kubernetes' rules for objects that belong to an owner by its selector
 * (ReplicaSets and their pods, Deployments and their ReplicaSets), and the writing of owner
 * references (Kubernetes' ControllerRefManager). */
#include "base/vec.h"
#include "lab/controllers/controller.h"

json_t *owner_reference_to(enum watched kind, const json_t *owner)
{
    return json_pack("{s:s,s:s,s:s,s:s,s:b,s:b}", "apiVersion", watched_kinds[kind].api_version,
                     "kind", watched_kinds[kind].kind, "name", json_at_str(owner, "metadata.name"),
                     "uid", json_at_str(owner, "metadata.uid"), "controller", 1,
                     "blockOwnerDeletion", 1);
}

/* Patches one reference (taken), of this very object: those of others are left alone. */
static void patch_reference(struct sync *s, enum watched kind, const json_t *object, json_t *ref)
{
    char path[WATCHED_PATH_BYTES];
    AUTO_JSON json_t *patch =
        json_pack("{s:{s:s,s:[o]}}", "metadata", "uid", json_at_str(object, "metadata.uid"),
                  "ownerReferences", ref);
    watched_path(kind, object, path);
    sync_call(s, kind, "PATCH", path, STRATEGIC_PATCH, patch);
}

void owner_forget(struct sync *s, enum watched kind, const json_t *object, const char *uid)
{
    patch_reference(s, kind, object, json_pack("{s:s,s:s}", "$patch", "delete", "uid", uid));
}

const json_t *owner_match_labels(const json_t *owner)
{
    return json_at(owner, "spec.selector.matchLabels");
}

bool owner_selects(const json_t *owner, const json_t *object)
{
    return label_selector_matches(json_at(owner, "spec.selector"),
                                  json_at(object, "metadata.labels"));
}

/* True if the object counts as the owner's. */
static bool claim(struct sync *s, const struct owner_rule *rule, const json_t *owner,
                  const json_t *object)
{
    const char *uid = json_at_str(owner, "metadata.uid");
    bool selected = rule->selects(owner, object);
    if (owned_by(object, uid)) {
        if (!selected && !is_deleting(owner))
            owner_forget(s, rule->kind, object, uid);
        return selected;
    }
    if (!selected || owner_controller(object) || is_deleting(owner) || is_deleting(object))
        return false;
    patch_reference(s, rule->kind, object, owner_reference_to(rule->owner_kind, owner));
    return true;
}

void owner_collect(struct sync *s, const struct owner_rule *rule, const json_t *owner,
                   struct objects *ret)
{
    struct controllers *cs = sync_set(s);
    const char *ns = json_at_str(owner, "metadata.namespace"),
               *uid = json_at_str(owner, "metadata.uid");
    AUTO_CHARS char *label = index_selector(ns, rule->match_labels(owner));
    json_t *o;
    for (size_t at = 0; controllers_next(cs, rule->kind, INDEX_OWNER, uid, &at, &o);)
        if (rule->counts(o) && claim(s, rule, owner, o))
            vec_push(ret, o);
    for (size_t at = 0; controllers_next(cs, rule->kind, label ? INDEX_LABEL : INDEX_NAMESPACE,
                                         label ? label : ns, &at, &o);)
        if (rule->counts(o) && !owned_by(o, uid) && claim(s, rule, owner, o))
            vec_push(ret, o);
}
