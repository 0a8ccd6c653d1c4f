#pragma once
/* A pod's volumes as directories of the pod's own directory (or of the host), and the container
 * mounts they become. */

#include "codec/json.h"
#include "lab/node/container.h"
#include "lab/node/pod_env.h"

struct volume_inputs {
    json_t *(*config)(const char *kind, const char *name,
                      void *user); /* ConfigMap or Secret; NULL = absent */
    const char *(*token)(const char *audience,
                         void *user); /* a service account token; NULL = none */
    void *user;
};

/* Makes one volume of the pod below dir, or brings its files up to date. -ENOENT: something that is
 * not optional is missing; -EOPNOTSUPP: a kind the lab does not have. */
int volume_make(const json_t *volume, const json_t *pod, const char *dir,
                const struct volume_inputs *inputs, struct err *reterr) NODISCARD;
/* Its files come from the API and may change while the pod runs. */
bool volume_is_written(const json_t *volume);
/* The mounts of a container, from volumes made before; e expands subPathExpr. */
int volume_mounts(const json_t *container, const json_t *pod, const char *dir, const struct env *e,
                  container_mounts *ret, struct err *reterr) NODISCARD;
