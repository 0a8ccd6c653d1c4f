#pragma once
/* Who manages which fields of an object: metadata.managedFields, and what an update or an apply
 * makes of it. */

#include "lab/apiserver/apply_object.h"

enum {
    APPLY_MANAGERS_MAX = 256,     /* of one object, as sent */
    APPLY_UPDATERS_MAX = 10,      /* older ones become "ancient-changes" */
    APPLY_MANAGER_NAME_MAX = 128, /* characters */
};

/* One entry. Entries are the same manager's if all but time and set are equal. */
struct apply_manager {
    char *name;
    char *api_version;
    char *subresource; /* "" = none */
    bool applies;      /* Apply; otherwise Update */
    char time[21];     /* "" = unknown */
    struct fields *set;
};

struct apply_managers {
    struct apply_manager *v;
    size_t n, cap;
};

/* Who acts. */
struct apply_actor {
    const char *name;
    const char *api_version;
    const char *subresource; /* "" = none */
};

/* -EINVAL: no managedFields. */
int apply_managers_parse(const json_t *list, struct apply_managers *ret, struct err *reterr)
    NODISCARD;
void apply_managers_done(struct apply_managers *m);
/* A new array, in the order real servers keep. */
json_t *apply_managers_format(struct apply_managers *m);
bool apply_managers_equal(const struct apply_managers *a, const struct apply_managers *b);

/* An object was changed from before (NULL: created) to now; ignored (may be NULL) is a top member
 * that this address does not change. */
void apply_managers_update(struct apply_managers *m, const struct apply_type *t,
                           const struct apply_actor *who, const json_t *before, const json_t *now,
                           const char *ignored);

struct apply_conflict {
    const struct apply_manager *with;
    struct fields *set;
};
struct apply_conflicts {
    struct apply_conflict *v;
    size_t n, cap;
};
void apply_conflicts_done(struct apply_conflicts *c);

/* config is applied to live, in place: merged, what who applied before and does not now is taken
 * out unless another has it. Conflicts are with what others manage and this would change; unless
 * force, nothing but *conflicts is to be used then. -EINVAL: config has no fields that can be
 * told apart. */
int apply_managers_apply(struct apply_managers *m, const struct apply_type *t,
                         const struct apply_actor *who, json_t *live, const json_t *config,
                         const char *ignored, bool force, struct apply_conflicts *conflicts,
                         struct err *reterr) NODISCARD;
