/* Deployment controller: revisions as ReplicaSets, and moving replicas between them.
 *
 * Reads the caches of Deployments and ReplicaSets. The ReplicaSet whose template equals the
 * Deployment's (hash label apart) is the new one; the rest are old. How replicas move:
 * deployment_roll.c; what the status says: deployment_status.c. Rules: apps/v1 Deployment;
 * annotations of kubectl rollout. */
#include <stdio.h>

#include "base/hash.h"
#include "base/vec.h"
#include "lab/controllers/deployment_priv.h"

static void enqueue_owner(struct controller *c, const json_t *set)
{
    const json_t *owner = owner_controller(set);
    if (streq(json_key_str(owner, "kind"), "Deployment"))
        controller_enqueue(
            c, key_of(json_at_str(set, "metadata.namespace"), json_key_str(owner, "name")));
}

static bool every_set(const json_t *set)
{
    return set != NULL;
}

static const struct owner_rule rule = {WATCHED_DEPLOYMENT, WATCHED_REPLICASET, owner_match_labels,
                                       owner_selects, every_set};

static void on_change(struct controller *c, enum watched kind, json_t *object, bool deleted)
{
    if (kind == WATCHED_DEPLOYMENT) {
        controller_enqueue_object(c, object);
    } else if (kind == WATCHED_REPLICASET) {
        const char *ns = json_at_str(object, "metadata.namespace");
        json_t *deployment;
        enqueue_owner(c, object);
        enqueue_owner(c, controllers_before(controller_set(c)));
        for (size_t at = 0;
             !owner_controller(object) && controllers_next(controller_set(c), WATCHED_DEPLOYMENT,
                                                           INDEX_NAMESPACE, ns, &at, &deployment);)
            if (owner_selects(deployment, object))
                controller_enqueue_object(c, deployment);
    } else if (kind == WATCHED_POD && deleted) { /* Recreate waits for the last one */
        const json_t *owner = owner_controller(object);
        const char *key =
            key_of(json_at_str(object, "metadata.namespace"), json_key_str(owner, "name"));
        if (streq(json_key_str(owner, "kind"), "ReplicaSet"))
            enqueue_owner(c,
                          informer_find(controllers_informer(controller_set(c), WATCHED_REPLICASET),
                                        str_from(key)));
    }
}

int64_t set_number(const json_t *set, const char *annotation, int64_t otherwise)
{
    const char *text = json_key_str(json_at(set, "metadata.annotations"), annotation);
    int64_t v;
    return text && str_to_i64(str_from(text), &v) == 0 ? v : otherwise;
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
    return set_number(object, REVISION, 0);
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
    AUTO_JSON json_t *want = template_without_hash(r->deployment);
    owner_collect(r->s, &rule, r->deployment, &r->all);
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
    r->recreate = streq(json_at_str(r->deployment, "spec.strategy.type"), "Recreate");
    if (r->recreate)
        return; /* neither more nor fewer */
    r->max_surge = int_or_percent(json_object_get(rolling, "maxSurge"), r->want, true, 25);
    r->max_unavailable =
        int_or_percent(json_object_get(rolling, "maxUnavailable"), r->want, false, 25);
    if (r->max_surge == 0 && r->max_unavailable == 0)
        r->max_unavailable = 1; /* both rounded to zero: it must be able to move */
    r->max_unavailable = MIN(r->max_unavailable, r->want);
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
    AUTO_JSON json_t *template = template_without_hash(r->deployment);
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
static void sync_revision(struct rollout *r)
{
    char path[700], text[24];
    int64_t revision = r->new_set ? revision_of(r->new_set) : 0;
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
    if (revision_of(r->deployment) == revision)
        return;
    AUTO_JSON json_t *patch = json_object();
    snprintf(text, sizeof(text), "%lld", (long long)revision);
    json_put(patch, "metadata.annotations", json_pack("{s:s}", REVISION, text));
    snprintf(path, sizeof(path), "/apis/apps/v1/namespaces/%s/deployments/%s", r->ns, r->name);
    sync_call(r->s, WATCHED_DEPLOYMENT, "PATCH", path, MERGE_PATCH, patch);
}

/* Old sets without pods beyond revisionHistoryLimit go, the oldest first. */
static int by_revision(const void *a, const void *b)
{
    int64_t x = revision_of(*(json_t *const *)a), y = revision_of(*(json_t *const *)b);
    return x < y ? -1 : x > y;
}

static void clean_history(struct rollout *r)
{
    int64_t keep = json_at_int(r->deployment, "spec.revisionHistoryLimit", 10);
    int64_t idle = 0;
    char path[700];
    for (size_t i = 0; i < r->old.n; i++)
        idle +=
            set_replicas(r->old.v[i]) == 0 && json_at_int(r->old.v[i], "status.replicas", 0) == 0;
    if (r->old.n)
        qsort(r->old.v, r->old.n, sizeof(*r->old.v), by_revision);
    for (size_t i = 0; i < r->old.n && idle > keep; i++) {
        json_t *set = r->old.v[i];
        if (set_replicas(set) || json_at_int(set, "status.replicas", 0) || is_deleting(set))
            continue;
        snprintf(path, sizeof(path), "/apis/apps/v1/namespaces/%s/replicasets/%s", r->ns,
                 json_at_str(set, "metadata.name"));
        sync_call(r->s, WATCHED_REPLICASET, "DELETE", path, NULL, NULL);
        idle--;
    }
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
    r.collisions = json_at_int(r.deployment, "status.collisionCount", 0);
    read_strategy(&r);
    collect(&r);
    if (!is_deleting(r.deployment)) {
        bool paused = json_is_true(json_at(r.deployment, "spec.paused"));
        if (!paused)
            sync_revision(&r);
        if (paused || rollout_is_scaling(&r))
            rollout_scale(&r); /* a paused Deployment still follows its replicas */
        else
            rollout_roll(&r);
        if (paused || rollout_is_complete(&r))
            clean_history(&r);
    }
    rollout_write_status(&r);
    vec_done(&r.old);
    vec_done(&r.all);
    json_decref(r.deployment);
}

const struct controller_kind deployment_controller = {"deployment", on_change, sync_deployment,
                                                      NULL, NULL};
