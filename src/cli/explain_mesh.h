#pragma once
/* fairlead explain --from: a call of a pod in the mesh. */

#include "codec/json.h"
#include "model/explain.h"

/* word: POD, pod/NAME, deploy/NAME and what else makes pods; objects: all that there are. Prints;
 * an exit code. */
int cli_explain_from(const char *word, const char *namespace_, const char *output,
                     const json_t *objects, const struct explain_request *q, uint16_t port);
