#pragma once
/* Objects that hold for workloads: by namespace and labels, those of the root namespace for the
 * whole mesh. One that cannot be read leaves its last good form in place; without one it holds
 * itself, as broken as it is. */

#include "base/vec.h"
#include "model/istio_object.h"

/* What the table has to know of an object. */
struct selected {
    void *object;                 /* NULL: none */
    const struct istio_object *o; /* of it */
    const json_t *labels;         /* of it; NULL: of its whole namespace */
    bool nobodys;                 /* of what is no sidecar */
    bool broken;                  /* it cannot be read */
};

struct selected_kind {
    struct selected (*decode)(const json_t *j);
    void (*free)(void *object);
};

struct selected_objects;

struct selected_objects *selected_objects_new(const struct selected_kind *kind, const char *root);
void selected_objects_free(struct selected_objects *t); /* NULL is allowed */
/* What is wrong with it, borrowed until the next change; NULL: no object. */
const struct istio_object *selected_objects_put(struct selected_objects *t, const json_t *j);
void selected_objects_remove(struct selected_objects *t, struct str key);
bool selected_objects_is_root(const struct selected_objects *t, struct str ns);
/* All that hold. */
void selected_objects_each(const struct selected_objects *t,
                           void (*add)(const void *object, void *user), void *user);
/* Those of a pod (NULL: of what is not known of a namespace), of the root namespace first, each in
 * the order of their names. */
void selected_objects_find(const struct selected_objects *t, struct str ns,
                           const struct workloads *pods, const struct workload *pod,
                           void (*add)(const void *object, void *user), void *user);
