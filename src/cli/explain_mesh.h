#pragma once
/* fairlead explain --from: a call of a pod in the mesh. */

#include "codec/json.h"
#include "model/explain.h"
#include "model/mesh_snapshot.h"

/* A pod of that name, or one of what is called so ("deploy/web"); NULL: there is none. */
const struct workload *cli_explain_find_pod(const struct mesh_snapshot *s, const char *ns,
                                            const char *word);
/* word: POD, pod/NAME, deploy/NAME and what else makes pods; objects: all that there are. Prints;
 * an exit code. */
int cli_explain_from(const char *word, const char *namespace_, const char *output,
                     const json_t *objects, const struct explain_request *q, uint16_t port);
