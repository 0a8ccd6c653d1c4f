#pragma once
/* A pod's volumes as directories of the pod's own directory (or of the host), and the container
 * mounts they become. */

#include "codec/json.h"
#include "lab/container.h"

struct volume_inputs {
    json_t *(*config)(const char *kind, const char *name,
                      void *user); /* ConfigMap or Secret; NULL = absent */
    const char *(*token)(const char *audience,
                         void *user); /* a service account token; NULL = none */
    void *user;
};

/* Makes (or rewrites) one volume of the pod below dir; *ret_path is where its files are, owned.
 * -ENOENT: something that is not optional is missing; -EOPNOTSUPP: a kind the lab does not have. */
int volume_make(const json_t *volume, const json_t *pod, const char *dir,
                const struct volume_inputs *inputs, char **ret_path, struct err *reterr) NODISCARD;
/* The mounts of a container, from volumes made before. */
int volume_mounts(const json_t *container, const json_t *pod, const char *dir,
                  container_mounts *ret, struct err *reterr) NODISCARD;
/* mkdir -p with 0755. */
int make_directories(const char *path, struct err *reterr) NODISCARD;
int write_file(const char *path, struct str text, unsigned mode, struct err *reterr) NODISCARD;
/* Removes a tree without following links. */
void remove_tree(const char *path);
