/* Deployment controller: revisions as ReplicaSets, and moving replicas between them.
 *
 * Reads the caches of Deployments and ReplicaSets. The ReplicaSet whose template equals the
 * Deployment's (hash label apart) is the new one; the rest are old. What a set says and how it is
 * written: deployment_set.c; how replicas move: deployment_roll.c; what the status says:
 * deployment_status.c. Rules: apps/v1 Deployment; annotations of kubectl rollout. */
#include <stdio.h>

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

static int older_first(const void *a, const void *b)
{
    const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
    int d = strcmp(json_at_str(x, "metadata.creationTimestamp"),
                   json_at_str(y, "metadata.creationTimestamp"));
    if (d)
        return d;
    int64_t rx = set_revision(x), ry = set_revision(y);
    return rx < ry ? -1 : rx > ry;
}

static void collect(struct rollout *r)
{
    AUTO_JSON json_t *want = set_template(r->deployment);
    owner_collect(r->s, &rule, r->deployment, &r->all);
    if (r->all.n)
        qsort(r->all.v, r->all.n, sizeof(*r->all.v), older_first);
    for (size_t i = 0; i < r->all.n; i++) {
        AUTO_JSON json_t *have = set_template(r->all.v[i]);
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

/* Old sets without pods beyond revisionHistoryLimit go, the oldest first. */
static int by_revision(const void *a, const void *b)
{
    int64_t x = set_revision(*(json_t *const *)a), y = set_revision(*(json_t *const *)b);
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
            rollout_sync_revision(&r);
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
