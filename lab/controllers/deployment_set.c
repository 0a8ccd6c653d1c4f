/* Deployments: one revision's ReplicaSet, as its numbers are read and as it is written.
 *
 * What a set says (revision, replicas, the size it was scaled for), and the calls that make, scale
 * and annotate it. Decides neither which sets there should be nor how many replicas they get: that
 * is for those that call it (deployment_controller.c, deployment_roll.c, deployment_status.c), of
 * which it knows nothing. Rules: apps/v1 ReplicaSet; annotations of kubectl rollout. */
#include <stdio.h>

#include "lab/controllers/deployment_priv.h"

/* ---- reading ---- */

int64_t set_number(const json_t *set, const char *annotation, int64_t otherwise)
{
    const char *text = json_key_str(json_at(set, "metadata.annotations"), annotation);
    int64_t v;
    return text && str_to_i64(str_from(text), &v) == 0 ? v : otherwise;
}

int64_t set_revision(const json_t *object)
{
    return set_number(object, REVISION, 0);
}

int64_t set_replicas(const json_t *set)
{
    return json_at_int(set, "spec.replicas", 1);
}

/* A set that was just made smaller still tells the old number: what it may keep counts at most. */
int64_t set_available(const json_t *set)
{
    return MIN(json_at_int(set, "status.availableReplicas", 0), set_replicas(set));
}

int64_t sets_sum(const struct objects *sets, int64_t (*of)(const json_t *set))
{
    int64_t total = 0;
    for (size_t i = 0; i < sets->n; i++)
        total += of(sets->v[i]);
    return total;
}

json_t *set_template(const json_t *object)
{
    json_t *t = json_deep_copy(json_at(object, "spec.template"));
    if (!t)
        return json_object();
    json_object_del(json_at(t, "metadata.labels"), HASH_LABEL);
    if (json_at(t, "metadata.labels") && !json_object_size(json_at(t, "metadata.labels")))
        json_del(t, "metadata.labels");
    return t;
}

/* ---- writing ---- */

/* {desired-replicas, max-replicas}: for what the set was scaled last. */
static void add_size_annotations(const struct rollout *r, json_t *annotations)
{
    char text[24];
    snprintf(text, sizeof(text), "%lld", (long long)r->want);
    json_object_set_new(annotations, DESIRED_REPLICAS, json_string(text));
    snprintf(text, sizeof(text), "%lld", (long long)(r->want + r->max_surge));
    json_object_set_new(annotations, MAX_REPLICAS, json_string(text));
}

void set_scale(struct rollout *r, const json_t *set, int64_t replicas)
{
    char path[700];
    bool noted = set_number(set, DESIRED_REPLICAS, -1) == r->want &&
                 set_number(set, MAX_REPLICAS, -1) == r->want + r->max_surge;
    if (set_replicas(set) == replicas && (noted || replicas == 0))
        return;
    json_t *annotations = json_object();
    AUTO_JSON json_t *patch =
        json_pack("{s:{s:I},s:{s:o}}", "spec", "replicas", (json_int_t)replicas, "metadata",
                  "annotations", annotations);
    add_size_annotations(r, annotations);
    snprintf(path, sizeof(path), "/apis/apps/v1/namespaces/%s/replicasets/%s", r->ns,
             json_at_str(set, "metadata.name"));
    sync_call(r->s, WATCHED_REPLICASET, "PATCH", path, MERGE_PATCH, patch);
    if (set_replicas(set) == replicas)
        return;
    event_record(controller_events(sync_controller(r->s)), r->deployment, "Deployment", "apps/v1",
                 "Normal", "ScalingReplicaSet", "Scaled %s replica set %s from %lld to %lld",
                 replicas > set_replicas(set) ? "up" : "down", json_at_str(set, "metadata.name"),
                 (long long)set_replicas(set), (long long)replicas);
}

static int64_t next_revision(const struct rollout *r)
{
    int64_t newest = 0;
    for (size_t i = 0; i < r->old.n; i++)
        newest = MAX(newest, set_revision(r->old.v[i]));
    return newest + 1;
}

/* Not for the sets: what is about the Deployment itself, and what is about each set's size. */
static bool annotation_stays(const char *name)
{
    static const char *const own[] = {"kubectl.kubernetes.io/last-applied-configuration", REVISION,
                                      DESIRED_REPLICAS, MAX_REPLICAS};
    for (size_t i = 0; i < ARRAY_LEN(own); i++)
        if (streq(name, own[i]))
            return true;
    return false;
}

/* The Deployment's annotations that the new set lacks, as its change-cause; NULL: none. */
static json_t *annotations_missing(const struct rollout *r)
{
    const json_t *have = json_at(r->new_set, "metadata.annotations");
    json_t *missing = NULL, *v;
    const char *name;
    json_object_foreach(json_at(r->deployment, "metadata.annotations"), name, v)
    {
        const json_t *same = json_object_get(have, name);
        if (annotation_stays(name) || (same && json_equal(same, v)))
            continue;
        missing = missing ? missing : json_object();
        json_object_set(missing, name, v);
    }
    return missing;
}

static json_t *annotations_for_set(const struct rollout *r, int64_t revision)
{
    json_t *to = json_object(), *v;
    const char *name;
    char text[24];
    json_object_foreach(json_at(r->deployment, "metadata.annotations"), name,
                        v) if (!annotation_stays(name)) json_object_set(to, name, v);
    snprintf(text, sizeof(text), "%lld", (long long)revision);
    json_object_set_new(to, REVISION, json_string(text));
    add_size_annotations(r, to);
    return to;
}

void set_create(struct rollout *r, int64_t replicas)
{
    char hash[11], path[400];
    AUTO_JSON json_t *template = set_template(r->deployment);
    AUTO_JSON json_t *set = json_object();
    template_hash(template, r->collisions, hash);
    AUTO_CHARS char *name = xasprintf("%s-%s", r->name, hash);
    if (informer_find(controllers_informer(sync_set(r->s), WATCHED_REPLICASET),
                      str_from(key_of(r->ns, name)))) {
        r->collisions++; /* the name is somebody else's: with the next count it is another one */
        return;
    }
    json_t *copy = json_deep_copy(template),
           *selector = json_deep_copy(json_at(r->deployment, "spec.selector"));
    json_t *refs = json_array();
    json_put_str(copy, "metadata.labels." HASH_LABEL, hash);
    json_put_str(selector, "matchLabels." HASH_LABEL, hash);
    json_array_append_new(refs, owner_reference_to(WATCHED_DEPLOYMENT, r->deployment));
    json_put_str(set, "apiVersion", "apps/v1");
    json_put_str(set, "kind", "ReplicaSet");
    json_put_str(set, "metadata.name", name);
    json_put_str(set, "metadata.namespace", r->ns);
    json_put(set, "metadata.labels", json_deep_copy(json_at(copy, "metadata.labels")));
    json_put(set, "metadata.annotations", annotations_for_set(r, next_revision(r)));
    json_put(set, "metadata.ownerReferences", refs);
    json_put_int(set, "spec.replicas", replicas);
    if (json_at(r->deployment, "spec.minReadySeconds"))
        json_put(set, "spec.minReadySeconds",
                 json_deep_copy(json_at(r->deployment, "spec.minReadySeconds")));
    json_put(set, "spec.selector", selector);
    json_put(set, "spec.template", copy);
    snprintf(path, sizeof(path), "/apis/apps/v1/namespaces/%s/replicasets", r->ns);
    sync_call(r->s, WATCHED_REPLICASET, "POST", path, NULL, set);
    snprintf(r->created_name, sizeof(r->created_name), "%s", name);
    r->created = r->created_name;
    event_record(controller_events(sync_controller(r->s)), r->deployment, "Deployment", "apps/v1",
                 "Normal", "ScalingReplicaSet", "Scaled up replica set %s from 0 to %lld", name,
                 (long long)replicas);
}

/* The new set carries the newest revision; the Deployment says the same (kubectl rollout reads
 * both). */
void rollout_sync_revision(struct rollout *r)
{
    char path[700], text[24];
    int64_t revision = r->new_set ? set_revision(r->new_set) : 0;
    int64_t min_ready = json_at_int(r->deployment, "spec.minReadySeconds", 0);
    bool older = r->new_set && revision < next_revision(r) && r->old.n;
    AUTO_JSON json_t *missing = r->new_set ? annotations_missing(r) : NULL;
    if (older || missing ||
        (r->new_set && json_at_int(r->new_set, "spec.minReadySeconds", 0) != min_ready)) {
        AUTO_JSON json_t *patch = json_object();
        json_put_int(patch, "spec.minReadySeconds", min_ready);
        if (older) {
            revision = next_revision(r);
            json_put(patch, "metadata.annotations", annotations_for_set(r, revision));
        } else if (missing) {
            json_put(patch, "metadata.annotations", json_incref(missing));
        }
        snprintf(path, sizeof(path), "/apis/apps/v1/namespaces/%s/replicasets/%s", r->ns,
                 json_at_str(r->new_set, "metadata.name"));
        sync_call(r->s, WATCHED_REPLICASET, "PATCH", path, MERGE_PATCH, patch);
    }
    if (!r->new_set)
        revision = next_revision(r);
    if (set_revision(r->deployment) == revision)
        return;
    AUTO_JSON json_t *patch = json_object();
    snprintf(text, sizeof(text), "%lld", (long long)revision);
    json_put(patch, "metadata.annotations", json_pack("{s:s}", REVISION, text));
    snprintf(path, sizeof(path), "/apis/apps/v1/namespaces/%s/deployments/%s", r->ns, r->name);
    sync_call(r->s, WATCHED_DEPLOYMENT, "PATCH", path, MERGE_PATCH, patch);
}
