/* Deployments: status, and the conditions that say how a rollout goes.
 *
 * Progressing is True while something moves, turns False with ProgressDeadlineExceeded when nothing
 * has moved for progressDeadlineSeconds, and stays at NewReplicaSetAvailable once it is complete;
 * its lastUpdateTime is the last time something moved. Rules: apps/v1 DeploymentCondition. */
#include <stdio.h>

#include "base/time.h"
#include "lab/controllers/deployment_priv.h"

struct counts {
    int64_t total, updated, ready, available, unavailable;
};

static int64_t status_replicas(const json_t *set)
{
    return json_at_int(set, "status.replicas", 0);
}

static int64_t status_ready(const json_t *set)
{
    return json_at_int(set, "status.readyReplicas", 0);
}

static struct counts count(const struct rollout *r)
{
    struct counts c = {.total = sets_sum(&r->all, status_replicas),
                       .updated = r->new_set ? status_replicas(r->new_set) : 0,
                       .ready = sets_sum(&r->all, status_ready),
                       .available = sets_sum(&r->all, set_available)};
    c.unavailable = MAX((int64_t)0, sets_sum(&r->all, set_replicas) - c.available);
    return c;
}

static bool counts_complete(const struct rollout *r, const struct counts *c)
{
    return c->updated == r->want && c->total == r->want && c->available == r->want;
}

bool rollout_is_complete(const struct rollout *r)
{
    struct counts c = count(r);
    return counts_complete(r, &c);
}

/* Compared with the status that is written there. */
static bool moved_on(const struct rollout *r, const struct counts *c)
{
    const json_t *old = json_at(r->deployment, "status");
    int64_t updated = json_at_int(old, "updatedReplicas", 0),
            total = json_at_int(old, "replicas", 0);
    return c->updated > updated || c->total - c->updated < total - updated ||
           c->ready > json_at_int(old, "readyReplicas", 0) ||
           c->available > json_at_int(old, "availableReplicas", 0);
}

/* Seconds until the deadline, from when something moved last; 0 or less: it is over. */
static int64_t deadline_left(const json_t *condition, int64_t deadline_s)
{
    const char *text = json_key_str(condition, "lastUpdateTime");
    int64_t since_us;
    if (!text || time_parse_rfc3339(str_from(text), &since_us) < 0)
        return deadline_s;
    return since_us / 1000000 + deadline_s - time_real_s();
}

static json_t *progress_new(const struct rollout *r, const char *status, const char *reason,
                            const char *message)
{
    char now[21];
    json_t *c = condition_new(r->deployment, "Progressing", status, reason, message);
    time_format_rfc3339(time_real_s(), now);
    json_put_str(c, "lastUpdateTime", now);
    return c;
}

static json_t *progress_about(const struct rollout *r, const char *status, const char *reason,
                              const char *format)
{
    char text[500];
    const char *name = r->new_set ? json_at_str(r->new_set, "metadata.name") : NULL;
    AUTO_CHARS char *subject =
        name ? xasprintf("ReplicaSet \"%s\"", name) : xasprintf("Deployment \"%s\"", r->name);
    snprintf(text, sizeof(text), "%s %s", subject, format);
    return progress_new(r, status, reason, text);
}

/* Stopped and going on are told once; a deadline that has passed stays told. */
static json_t *progress_paused(const struct rollout *r, const json_t *was)
{
    bool paused = json_is_true(json_at(r->deployment, "spec.paused"));
    const char *reason = json_key_str(was, "reason");
    if (streq(reason, "ProgressDeadlineExceeded"))
        return NULL;
    if (paused && !streq(reason, "DeploymentPaused"))
        return progress_new(r, "Unknown", "DeploymentPaused", "Deployment is paused");
    if (!paused && streq(reason, "DeploymentPaused"))
        return progress_new(r, "Unknown", "DeploymentResumed", "Deployment is resumed");
    return NULL;
}

/* The Progressing condition as it shall be; NULL: none. A new reference. */
static json_t *progress(struct rollout *r, const struct counts *c)
{
    json_t *was = condition_find(r->deployment, "Progressing");
    int64_t deadline_s = json_at_int(r->deployment, "spec.progressDeadlineSeconds", 600);
    if (deadline_s >= INT32_MAX)
        return NULL;
    json_t *changed = progress_paused(r, was);
    if (changed)
        return changed;
    if (r->created) {
        AUTO_CHARS char *text = xasprintf("Created new replica set \"%s\"", r->created);
        return progress_new(r, "True", "NewReplicaSetCreated", text);
    }
    if (!was && r->new_set) {
        AUTO_CHARS char *text =
            xasprintf("Found new replica set \"%s\"", json_at_str(r->new_set, "metadata.name"));
        return progress_new(r, "True", "FoundNewReplicaSet", text);
    }
    bool was_complete = streq(json_key_str(was, "reason"), "NewReplicaSetAvailable");
    if (!r->moved || !was || (c->total == c->updated && was_complete))
        return json_incref(was);
    if (counts_complete(r, c))
        return progress_about(r, "True", "NewReplicaSetAvailable", "has successfully progressed.");
    if (moved_on(r, c))
        return progress_about(r, "True", "ReplicaSetUpdated", "is progressing.");
    int64_t left = deadline_left(was, deadline_s);
    if (streq(json_key_str(was, "reason"), "ProgressDeadlineExceeded") || was_complete)
        return json_incref(was);
    if (left < 0)
        return progress_about(r, "False", "ProgressDeadlineExceeded", "has timed out progressing.");
    sync_again_after(r->s, (uint64_t)left * 1000 + 1000);
    return json_incref(was);
}

static json_t *conditions(struct rollout *r, const struct counts *c)
{
    json_t *list = json_array();
    bool enough = c->available >= r->want - r->max_unavailable;
    json_array_append_new(
        list, condition_new(r->deployment, "Available", enough ? "True" : "False",
                            enough ? "MinimumReplicasAvailable" : "MinimumReplicasUnavailable",
                            enough ? "Deployment has minimum availability."
                                   : "Deployment does not have minimum availability."));
    json_t *p = progress(r, c);
    if (p)
        json_array_append_new(list, p);
    return list;
}

void rollout_write_status(struct rollout *r)
{
    char path[700];
    struct counts c = count(r);
    AUTO_JSON json_t *status = json_object();
    json_t *old = json_at(r->deployment, "status");
    json_put_int(status, "observedGeneration",
                 json_at_int(r->deployment, "metadata.generation", 0));
    const struct {
        const char *name;
        int64_t v;
    } counts[] = {{"replicas", c.total},
                  {"updatedReplicas", c.updated},
                  {"readyReplicas", c.ready},
                  {"availableReplicas", c.available},
                  {"unavailableReplicas", c.unavailable},
                  {"collisionCount", r->collisions}};
    for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
        if (counts[i].v)
            json_put_int(status, counts[i].name, counts[i].v);
        else if (json_object_get(old, counts[i].name))
            json_object_set_new(status, counts[i].name, json_null()); /* merge patch: remove */
    }
    json_put(status, "conditions", conditions(r, &c));
    const char *member;
    json_t *value;
    bool same = true;
    json_object_foreach(status, member, value) same =
        same && json_equal(value, json_object_get(old, member));
    if (same)
        return;
    AUTO_JSON json_t *patch = json_object();
    json_object_set(patch, "status", status);
    snprintf(path, sizeof(path), "/apis/apps/v1/namespaces/%s/deployments/%s/status", r->ns,
             r->name);
    sync_call(r->s, WATCHED_DEPLOYMENT, "PATCH", path, MERGE_PATCH, patch);
}
