#pragma once
/* The Deployment controller's inside: one pass over one Deployment. */

#include "lab/controllers/controller.h"

#define REVISION         "deployment.kubernetes.io/revision"
#define DESIRED_REPLICAS "deployment.kubernetes.io/desired-replicas"
#define MAX_REPLICAS     "deployment.kubernetes.io/max-replicas"
#define HASH_LABEL       "pod-template-hash"

struct rollout {
    struct sync *s;
    json_t *deployment;
    const char *ns;
    const char *name;
    bool recreate;
    int64_t want;
    int64_t max_surge;
    int64_t max_unavailable;
    int64_t collisions; /* names of sets that were taken */
    json_t *new_set;    /* NULL: not made yet */
    struct objects old;
    struct objects all;  /* the oldest first */
    const char *created; /* name of the set this pass makes, or NULL */
    char created_name[300];
    bool moved; /* a rollout step was possible: progress is judged */
};

/* deployment_set.c */
int64_t set_number(const json_t *set, const char *annotation, int64_t otherwise);
int64_t set_revision(const json_t *set);
int64_t set_replicas(const json_t *set);
int64_t set_available(const json_t *set);
int64_t sets_sum(const struct objects *sets, int64_t (*of)(const json_t *set));
/* The pod template without the hash label: what makes revisions differ. Owned. */
json_t *set_template(const json_t *object);
void set_scale(struct rollout *r, const json_t *set, int64_t replicas);
void set_create(struct rollout *r, int64_t replicas);
/* The new set carries the newest revision; the Deployment says the same. */
void rollout_sync_revision(struct rollout *r);

/* deployment_roll.c */
/* True if the sets were last scaled for another number of replicas. */
bool rollout_is_scaling(const struct rollout *r);
/* Follows spec.replicas without going on with the rollout: in proportion where sets share it. */
void rollout_scale(struct rollout *r);
void rollout_roll(struct rollout *r);

/* deployment_status.c */
bool rollout_is_complete(const struct rollout *r);
void rollout_write_status(struct rollout *r);
