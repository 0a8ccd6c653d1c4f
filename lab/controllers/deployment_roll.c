/* Deployments: how replicas move between ReplicaSets.
 *
 * A rolling update stays within maxSurge and maxUnavailable by what is available, never by what was
 * ordered. A change of spec.replicas in its middle is shared out in proportion to what the sets
 * have. Rules: apps/v1 DeploymentStrategy. */
#include <stdio.h>

#include "base/vec.h"
#include "lab/controllers/deployment_priv.h"

/* Wanted, or still there: pods of a set that was just made smaller run until they are deleted. */
static int64_t set_running(const json_t *set)
{
    return MAX(json_at_int(set, "status.replicas", 0), set_replicas(set));
}

/* ---- a changed number of replicas ---- */

bool rollout_is_scaling(const struct rollout *r)
{
    for (size_t i = 0; i < r->all.n; i++)
        if (set_replicas(r->all.v[i]) > 0 &&
            set_number(r->all.v[i], DESIRED_REPLICAS, r->want) != r->want)
            return true;
    return false;
}

static int larger_first(const void *a, const void *b)
{
    int64_t x = set_replicas(*(json_t *const *)a), y = set_replicas(*(json_t *const *)b);
    return x > y ? -1 : x < y;
}

/* The share of a set in a change of total to allowed: as its part of what all sets may have,
 * rounded to the nearest. */
static int64_t share_of(const struct rollout *r, const json_t *set, int64_t allowed)
{
    int64_t have = set_replicas(set), was = set_number(set, MAX_REPLICAS, 0);
    if (r->want == 0)
        return -have;
    if (was <= 0)
        was = MAX((int64_t)1, json_at_int(r->deployment, "status.replicas", 0));
    return (2 * have * allowed + was) / (2 * was) - have;
}

static void scale_in_proportion(struct rollout *r, struct objects *active)
{
    int64_t allowed = r->want > 0 ? r->want + r->max_surge : 0, added = 0;
    int64_t to_add = allowed - sets_sum(active, set_replicas);
    int64_t size[64];
    size_t n = MIN(active->n, ARRAY_LEN(size));
    qsort(active->v, active->n, sizeof(*active->v), larger_first);
    for (size_t i = 0; i < n; i++) {
        int64_t share = share_of(r, active->v[i], allowed), left = to_add - added;
        share = to_add > 0 ? MAX((int64_t)0, MIN(share, left)) : MIN((int64_t)0, MAX(share, left));
        added += share;
        size[i] = set_replicas(active->v[i]) + share;
    }
    for (size_t i = 0; i < n; i++) {
        if (i == 0) /* what rounding left over goes to the largest */
            size[i] = MAX((int64_t)0, size[i] + to_add - added);
        set_scale(r, active->v[i], size[i]);
    }
}

void rollout_scale(struct rollout *r)
{
    struct objects active = {0};
    for (size_t i = 0; i < r->all.n; i++)
        if (set_replicas(r->all.v[i]) > 0)
            vec_push(&active, r->all.v[i]);
    bool saturated = r->new_set && set_replicas(r->new_set) == r->want &&
                     set_number(r->new_set, DESIRED_REPLICAS, -1) == r->want &&
                     set_available(r->new_set) == r->want;
    if (active.n <= 1) {
        json_t *only = active.n ? active.v[0] : r->new_set;
        if (!only && r->all.n)
            only = r->all.v[r->all.n - 1];
        if (only)
            set_scale(r, only, r->want);
    } else if (saturated) {
        for (size_t i = 0; i < r->old.n; i++)
            set_scale(r, r->old.v[i], 0);
    } else if (!r->recreate) {
        scale_in_proportion(r, &active);
    }
    vec_done(&active);
}

/* ---- rolling ---- */

/* How many the new set may have now. */
static int64_t new_set_size(const struct rollout *r)
{
    int64_t now = r->new_set ? set_replicas(r->new_set) : 0;
    int64_t total = sets_sum(&r->all, set_running), most = r->want + r->max_surge;
    if (now >= r->want || total >= most)
        return MIN(now, r->want);
    return now + MIN(most - total, r->want - now);
}

/* Takes up to n replicas from the old sets; those that are not available go first. */
static void shrink_old(struct rollout *r)
{
    int64_t least = r->want - r->max_unavailable;
    int64_t total = sets_sum(&r->all, set_replicas), available = sets_sum(&r->all, set_available);
    int64_t new_missing = r->new_set ? set_replicas(r->new_set) - set_available(r->new_set) : 0;
    int64_t broken_budget = total - least - new_missing;
    int64_t good_budget = available - least;
    for (size_t i = 0; i < r->old.n; i++) {
        json_t *set = r->old.v[i];
        int64_t have = set_replicas(set), good = MIN(set_available(set), have);
        int64_t drop_broken = MAX((int64_t)0, MIN(have - good, broken_budget));
        int64_t drop_good =
            MAX((int64_t)0, MIN(good, MIN(good_budget, broken_budget - drop_broken)));
        broken_budget -= drop_broken + drop_good;
        good_budget -= drop_good;
        set_scale(r, set, have - drop_broken - drop_good);
    }
}

/* Pods of the old sets that may still run, also those that are ending. */
static bool old_pods_run(const struct rollout *r)
{
    for (size_t i = 0; i < r->old.n; i++) {
        json_t *pod;
        const char *uid = json_at_str(r->old.v[i], "metadata.uid");
        for (size_t at = 0;
             controllers_next(sync_set(r->s), WATCHED_POD, INDEX_OWNER, uid, &at, &pod);) {
            const char *phase = json_at_str(pod, "status.phase");
            if (!streq(phase, "Succeeded") && !streq(phase, "Failed"))
                return true;
        }
    }
    return false;
}

void rollout_roll(struct rollout *r)
{
    r->moved = true;
    if (r->recreate) {
        for (size_t i = 0; i < r->old.n; i++)
            set_scale(r, r->old.v[i], 0);
        if (sets_sum(&r->old, set_replicas) == 0 && !old_pods_run(r)) {
            if (r->new_set)
                set_scale(r, r->new_set, r->want);
            else
                set_create(r, r->want);
        }
        return;
    }
    int64_t size = new_set_size(r);
    if (!r->new_set)
        set_create(r, size);
    else
        set_scale(r, r->new_set, size);
    if (r->new_set && size == set_replicas(r->new_set))
        shrink_old(r);
}
