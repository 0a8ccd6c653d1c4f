/* Deployment controller: revisions as ReplicaSets, and moving replicas between them.
 *
 * Reads the caches of Deployments and ReplicaSets. The ReplicaSet whose template equals the
 * Deployment's (hash label apart) is the new one; the rest are old. RollingUpdate keeps within
 * maxSurge and maxUnavailable by what is available, never by what was ordered. Rules: apps/v1
 * Deployment; annotations of kubectl rollout. */
#include <stdio.h>

#include "base/hash.h"
#include "base/vec.h"
#include "lab/controller.h"

#define REVISION   "deployment.kubernetes.io/revision"
#define HASH_LABEL "pod-template-hash"

struct sets {
    json_t **v;
    size_t n;
    size_t cap;
};

struct rollout {
    struct sync *s;
    json_t *deployment;
    const char *ns;
    const char *name;
    int64_t want;
    int64_t max_surge;
    int64_t max_unavailable;
    json_t *new_set; /* NULL: not made yet */
    struct sets old;
    struct sets all;
};

static void on_change(struct controller *c, enum watched kind, json_t *object, bool deleted)
{
    (void)deleted;
    if (kind == WATCHED_DEPLOYMENT) {
        controller_enqueue_object(c, object);
    } else if (kind == WATCHED_REPLICASET) {
        const json_t *owner = owner_controller(object);
        if (streq(json_key_str(owner, "kind"), "Deployment"))
            controller_enqueue(
                c, key_of(json_at_str(object, "metadata.namespace"), json_key_str(owner, "name")));
    }
}

static int64_t replicas_of(const json_t *set)
{
    return json_at_int(set, "spec.replicas", 1);
}

static int64_t available_of(const json_t *set)
{
    return json_at_int(set, "status.availableReplicas", 0);
}

static json_t *template_without_hash(const json_t *object)
{
    json_t *t = json_deep_copy(json_at(object, "spec.template"));
    if (!t)
        return json_object();
    json_object_del(json_at(t, "metadata.labels"), HASH_LABEL);
    if (json_at(t, "metadata.labels") && !json_object_size(json_at(t, "metadata.labels")))
        json_del(t, "metadata.labels");
    return t;
}

static int64_t revision_of(const json_t *object)
{
    const char *text = json_key_str(json_at(object, "metadata.annotations"), REVISION);
    int64_t v;
    return text && str_to_i64(str_from(text), &v) == 0 ? v : 0;
}

static int older_first(const void *a, const void *b)
{
    const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
    int d = strcmp(json_at_str(x, "metadata.creationTimestamp"),
                   json_at_str(y, "metadata.creationTimestamp"));
    if (d)
        return d;
    int64_t rx = revision_of(x), ry = revision_of(y);
    return rx < ry ? -1 : rx > ry;
}

static void collect(struct rollout *r)
{
    struct informer *sets = controllers_informer(sync_set(r->s), WATCHED_REPLICASET);
    const char *uid = json_at_str(r->deployment, "metadata.uid");
    AUTO_JSON json_t *want = template_without_hash(r->deployment);
    json_t *set;
    for (size_t at = 0; informer_next(sets, &at, &set);)
        if (streq(json_at_str(set, "metadata.namespace"), r->ns) && owned_by(set, uid))
            vec_push(&r->all, set);
    if (r->all.n)
        qsort(r->all.v, r->all.n, sizeof(*r->all.v), older_first);
    for (size_t i = 0; i < r->all.n; i++) {
        AUTO_JSON json_t *have = template_without_hash(r->all.v[i]);
        if (!r->new_set && json_equal(have, want))
            r->new_set = r->all.v[i];
    }
    for (size_t i = 0; i < r->all.n; i++)
        if (r->all.v[i] != r->new_set)
            vec_push(&r->old, r->all.v[i]);
}

/* "25%" or 3, of total. */
static int64_t int_or_percent(const json_t *v, int64_t total, bool round_up,
                              int64_t fallback_percent)
{
    int64_t percent = fallback_percent;
    if (json_is_integer(v))
        return json_integer_value(v);
    const char *text = json_string_value(v);
    if (text && str_ends(str_from(text), STR("%")))
        if (str_to_i64(str_of(text, strlen(text) - 1), &percent) < 0)
            percent = fallback_percent;
    return (total * percent + (round_up ? 99 : 0)) / 100;
}

static void read_strategy(struct rollout *r)
{
    const json_t *rolling = json_at(r->deployment, "spec.strategy.rollingUpdate");
    r->want = json_at_int(r->deployment, "spec.replicas", 1);
    r->max_surge = int_or_percent(json_object_get(rolling, "maxSurge"), r->want, true, 25);
    r->max_unavailable =
        int_or_percent(json_object_get(rolling, "maxUnavailable"), r->want, false, 25);
    if (r->max_surge == 0 && r->max_unavailable == 0)
        r->max_unavailable = 1; /* both rounded to zero: it must be able to move */
}

/* ---- writing ---- */

static void scale(struct rollout *r, const json_t *set, int64_t replicas)
{
    char path[700];
    if (replicas_of(set) == replicas)
        return;
    AUTO_JSON json_t *patch = json_pack("{s:{s:I}}", "spec", "replicas", (json_int_t)replicas);
    snprintf(path, sizeof(path), "/apis/apps/v1/namespaces/%s/replicasets/%s", r->ns,
             json_at_str(set, "metadata.name"));
    sync_call(r->s, WATCHED_REPLICASET, "PATCH", path, MERGE_PATCH, patch);
    event_record(controllers_events(sync_set(r->s)), r->deployment, "Deployment", "apps/v1",
                 "Normal", "ScalingReplicaSet", "Scaled %s replica set %s from %lld to %lld",
                 replicas > replicas_of(set) ? "up" : "down", json_at_str(set, "metadata.name"),
                 (long long)replicas_of(set), (long long)replicas);
}

static int64_t next_revision(const struct rollout *r)
{
    int64_t newest = 0;
    for (size_t i = 0; i < r->old.n; i++)
        newest = MAX(newest, revision_of(r->old.v[i]));
    return newest + 1;
}

/* Ten characters of a stable hash of the template, of the alphabet Kubernetes uses in names. */
static void template_hash(const json_t *template, int64_t collisions, char ret[11])
{
    static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";
    char *text = json_dumps(template, JSON_SORT_KEYS | JSON_COMPACT);
    uint64_t h = hash_bytes_seed(text ? text : "", text ? strlen(text) : 0, (uint64_t)collisions);
    free(text);
    for (int i = 0; i < 10; i++, h /= 27)
        ret[i] = alphabet[h % 27];
    ret[10] = '\0';
}

static json_t *annotations_for_set(const struct rollout *r, int64_t revision)
{
    json_t *from = json_at(r->deployment, "metadata.annotations");
    json_t *to = from ? json_deep_copy(from) : json_object();
    char text[24];
    json_object_del(to, "kubectl.kubernetes.io/last-applied-configuration");
    json_object_del(to, REVISION);
    snprintf(text, sizeof(text), "%lld", (long long)revision);
    json_object_set_new(to, REVISION, json_string(text));
    snprintf(text, sizeof(text), "%lld", (long long)r->want);
    json_object_set_new(to, "deployment.kubernetes.io/desired-replicas", json_string(text));
    return to;
}

static void create_set(struct rollout *r, int64_t replicas)
{
    char hash[11], path[400];
    AUTO_JSON json_t *template = template_without_hash(r->deployment);
    AUTO_JSON json_t *set = json_object();
    template_hash(template, json_at_int(r->deployment, "status.collisionCount", 0), hash);
    AUTO_CHARS char *name = xasprintf("%s-%s", r->name, hash);
    json_t *copy = json_deep_copy(template),
           *selector = json_deep_copy(json_at(r->deployment, "spec.selector"));
    json_t *refs = json_array();
    json_put_str(copy, "metadata.labels." HASH_LABEL, hash);
    json_put_str(selector, "matchLabels." HASH_LABEL, hash);
    json_array_append_new(refs, owner_reference_new(r->deployment, "apps/v1", "Deployment"));
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
    event_record(controllers_events(sync_set(r->s)), r->deployment, "Deployment", "apps/v1",
                 "Normal", "ScalingReplicaSet", "Scaled up replica set %s from 0 to %lld", name,
                 (long long)replicas);
}

/* The new set carries the newest revision; the Deployment says the same (kubectl rollout reads
 * both). */
static void sync_revision(struct rollout *r)
{
    char path[700], text[24];
    int64_t revision = r->new_set ? revision_of(r->new_set) : 0;
    if (r->new_set && revision < next_revision(r) && r->old.n) {
        revision = next_revision(r);
        AUTO_JSON json_t *patch = json_object();
        json_put(patch, "metadata.annotations", annotations_for_set(r, revision));
        snprintf(path, sizeof(path), "/apis/apps/v1/namespaces/%s/replicasets/%s", r->ns,
                 json_at_str(r->new_set, "metadata.name"));
        sync_call(r->s, WATCHED_REPLICASET, "PATCH", path, MERGE_PATCH, patch);
    }
    if (!r->new_set)
        revision = next_revision(r);
    if (revision_of(r->deployment) == revision)
        return;
    AUTO_JSON json_t *patch = json_object();
    snprintf(text, sizeof(text), "%lld", (long long)revision);
    json_put(patch, "metadata.annotations", json_pack("{s:s}", REVISION, text));
    snprintf(path, sizeof(path), "/apis/apps/v1/namespaces/%s/deployments/%s", r->ns, r->name);
    sync_call(r->s, WATCHED_DEPLOYMENT, "PATCH", path, MERGE_PATCH, patch);
}

/* ---- moving replicas ---- */

static int64_t sum(const struct sets *sets, int64_t (*of)(const json_t *set))
{
    int64_t total = 0;
    for (size_t i = 0; i < sets->n; i++)
        total += of(sets->v[i]);
    return total;
}

/* How many the new set may have now. */
static int64_t new_set_size(const struct rollout *r)
{
    int64_t now = r->new_set ? replicas_of(r->new_set) : 0;
    int64_t total = sum(&r->all, replicas_of), most = r->want + r->max_surge;
    if (now >= r->want || total >= most)
        return MIN(now, r->want);
    return now + MIN(most - total, r->want - now);
}

/* Takes up to n replicas from the old sets; those that are not available go first. */
static void shrink_old(struct rollout *r)
{
    int64_t least = r->want - r->max_unavailable;
    int64_t total = sum(&r->all, replicas_of), available = sum(&r->all, available_of);
    int64_t new_missing = r->new_set ? replicas_of(r->new_set) - available_of(r->new_set) : 0;
    int64_t broken_budget = total - least - new_missing;
    int64_t good_budget = available - least;
    for (size_t i = 0; i < r->old.n; i++) {
        json_t *set = r->old.v[i];
        int64_t have = replicas_of(set), good = MIN(available_of(set), have);
        int64_t drop_broken = MAX((int64_t)0, MIN(have - good, broken_budget));
        int64_t drop_good =
            MAX((int64_t)0, MIN(good, MIN(good_budget, broken_budget - drop_broken)));
        broken_budget -= drop_broken + drop_good;
        good_budget -= drop_good;
        scale(r, set, have - drop_broken - drop_good);
    }
}

static void roll(struct rollout *r)
{
    bool recreate = streq(json_at_str(r->deployment, "spec.strategy.type"), "Recreate");
    int64_t old_pods = 0;
    if (recreate) {
        for (size_t i = 0; i < r->old.n; i++) {
            old_pods += json_at_int(r->old.v[i], "status.replicas", 0);
            scale(r, r->old.v[i], 0);
        }
        if (old_pods == 0 && !r->new_set)
            create_set(r, r->want);
        else if (old_pods == 0)
            scale(r, r->new_set, r->want);
        return;
    }
    int64_t size = new_set_size(r);
    if (!r->new_set)
        create_set(r, size);
    else
        scale(r, r->new_set, size);
    if (r->new_set && size == replicas_of(r->new_set))
        shrink_old(r);
}

/* Old sets without pods beyond revisionHistoryLimit go, the oldest first. */
static void clean_history(struct rollout *r)
{
    int64_t keep = json_at_int(r->deployment, "spec.revisionHistoryLimit", 10);
    int64_t idle = 0;
    char path[700];
    for (size_t i = 0; i < r->old.n; i++)
        idle +=
            replicas_of(r->old.v[i]) == 0 && json_at_int(r->old.v[i], "status.replicas", 0) == 0;
    for (size_t i = 0; i < r->old.n && idle > keep; i++) {
        json_t *set = r->old.v[i];
        if (replicas_of(set) || json_at_int(set, "status.replicas", 0) || is_deleting(set))
            continue;
        snprintf(path, sizeof(path), "/apis/apps/v1/namespaces/%s/replicasets/%s", r->ns,
                 json_at_str(set, "metadata.name"));
        sync_call(r->s, WATCHED_REPLICASET, "DELETE", path, NULL, NULL);
        idle--;
    }
}

/* ---- status ---- */

static int64_t status_replicas(const json_t *set)
{
    return json_at_int(set, "status.replicas", 0);
}

static int64_t status_ready(const json_t *set)
{
    return json_at_int(set, "status.readyReplicas", 0);
}

static json_t *conditions(const struct rollout *r, int64_t updated, int64_t available,
                          int64_t total)
{
    json_t *list = json_array();
    char text[400];
    bool enough = available >= r->want - r->max_unavailable;
    json_array_append_new(
        list, condition_new(r->deployment, "Available", enough ? "True" : "False",
                            enough ? "MinimumReplicasAvailable" : "MinimumReplicasUnavailable",
                            enough ? "Deployment has minimum availability."
                                   : "Deployment does not have minimum availability."));
    const char *set_name = r->new_set ? json_at_str(r->new_set, "metadata.name") : "";
    bool complete = r->new_set && updated == r->want && total == r->want && available == r->want;
    const json_t *was = condition_find(r->deployment, "Progressing");
    const char *reason = complete || streq(json_key_str(was, "reason"), "NewReplicaSetAvailable")
                             ? "NewReplicaSetAvailable"
                             : "ReplicaSetUpdated";
    if (!complete && r->new_set && updated < r->want)
        reason = "ReplicaSetUpdated";
    snprintf(text, sizeof(text),
             complete ? "ReplicaSet \"%s\" has successfully progressed."
                      : "ReplicaSet \"%s\" is progressing.",
             set_name);
    if (!complete && streq(reason, "NewReplicaSetAvailable"))
        snprintf(text, sizeof(text), "ReplicaSet \"%s\" has successfully progressed.", set_name);
    json_array_append_new(list, condition_new(r->deployment, "Progressing", "True", reason, text));
    return list;
}

static void write_status(struct rollout *r)
{
    char path[700];
    int64_t total = sum(&r->all, status_replicas), ready = sum(&r->all, status_ready);
    int64_t available = sum(&r->all, available_of),
            updated = r->new_set ? status_replicas(r->new_set) : 0;
    AUTO_JSON json_t *status = json_object();
    json_put_int(status, "observedGeneration",
                 json_at_int(r->deployment, "metadata.generation", 0));
    const struct {
        const char *name;
        int64_t v;
    } counts[] = {{"replicas", total},
                  {"updatedReplicas", updated},
                  {"readyReplicas", ready},
                  {"availableReplicas", available},
                  {"unavailableReplicas", MAX((int64_t)0, MAX(r->want, total) - available)}};
    for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
        if (counts[i].v)
            json_put_int(status, counts[i].name, counts[i].v);
        else if (json_at(r->deployment, "status") &&
                 json_object_get(json_at(r->deployment, "status"), counts[i].name))
            json_object_set_new(status, counts[i].name, json_null()); /* merge patch: remove */
    }
    json_put(status, "conditions", conditions(r, updated, available, total));
    const char *member;
    json_t *value;
    bool same = true;
    json_object_foreach(status, member, value) same =
        same && json_equal(value, json_object_get(json_at(r->deployment, "status"), member));
    if (same)
        return;
    AUTO_JSON json_t *patch = json_object();
    json_object_set(patch, "status", status);
    snprintf(path, sizeof(path), "/apis/apps/v1/namespaces/%s/deployments/%s/status", r->ns,
             r->name);
    sync_call(r->s, WATCHED_DEPLOYMENT, "PATCH", path, MERGE_PATCH, patch);
}

static void sync_deployment(struct sync *s, const char *key)
{
    struct rollout r = {.s = s};
    r.deployment =
        informer_find(controllers_informer(sync_set(s), WATCHED_DEPLOYMENT), str_from(key));
    if (!r.deployment)
        return;
    r.ns = json_at_str(r.deployment, "metadata.namespace");
    r.name = json_at_str(r.deployment, "metadata.name");
    json_incref(r.deployment); /* answers replace cached objects while this sync still reads */
    read_strategy(&r);
    collect(&r);
    if (!is_deleting(r.deployment)) {
        bool paused = json_is_true(json_at(r.deployment, "spec.paused"));
        if (!paused) {
            sync_revision(&r);
            roll(&r);
            clean_history(&r);
        } else if (r.new_set && r.all.n == 1) {
            scale(&r, r.new_set, r.want); /* a paused Deployment still follows its replicas */
        }
    }
    write_status(&r);
    vec_done(&r.old);
    vec_done(&r.all);
    json_decref(r.deployment);
}

const struct controller_kind deployment_controller = {"deployment", on_change, sync_deployment,
                                                      NULL, NULL};
