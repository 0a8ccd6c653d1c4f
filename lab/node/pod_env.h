#pragma once
/* Environment of a container: variables in order, $(NAME) expansion, and the fields a pod can tell
 * about itself. */

#include "base/vec.h"
#include "codec/json.h"

struct env_var {
    char *name;
    char *value;
    bool is_runtime; /* what every container has; $(NAME) does not know it */
};
struct env {
    VEC(struct env_var) vars;
};

void env_done(struct env *e);
/* Replaces a variable of that name in place. */
void env_set(struct env *e, const char *name, const char *value);
/* One that a container runtime sets (HOME, HOSTNAME); the pod's own of that name replaces it. */
void env_set_runtime(struct env *e, const char *name, const char *value);
const char *env_get(const struct env *e, const char *name);
/* Kubernetes' expansion: $(NAME) becomes the value if there is one and stays as it is otherwise; $$
 * is a plain $. Owned. */
char *env_expand(const struct env *e, const char *text);
/* "NAME=value" strings, NULL-terminated; free with argv_free (lab/image.h). */
char **env_to_envp(const struct env *e);

/* What a fieldRef path names in a pod ("metadata.labels['app']", "status.podIP"); owned, NULL = not
 * a field we know. */
char *pod_field(const json_t *pod, const char *path);
/* What a resourceFieldRef names in a container: the limit or request, or what the node has; owned,
 * NULL = unknown. */
char *container_resource(const json_t *container, const char *resource, const char *divisor);

/* Looks an object up: kind "ConfigMap" or "Secret"; NULL = not there. Borrowed. */
typedef json_t *env_lookup_fn(const char *kind, const char *name, void *user);
/* envFrom and env of a container spec, after what is in e already. -ENOENT: a reference that is not
 * optional is missing; reterr says which, as kubelet does. */
int env_of_container(struct env *e, const json_t *pod, const json_t *container,
                     env_lookup_fn *lookup, void *user, struct err *reterr) NODISCARD;
/* The value of a key of a ConfigMap or Secret (decoded); owned, NULL = absent. *ret_bytes may be
 * NULL. */
char *config_value(const json_t *object, const char *kind, const char *key, size_t *ret_bytes);
