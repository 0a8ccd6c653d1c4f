#pragma once
/* What a pod needs from the API before its containers can start: ConfigMaps, Secrets, service
 * account tokens. */

#include "kube/client.h"

struct pod_inputs;

/* Asks for everything the spec names, all at once. on_ready(user) once all answers are there (never
 * from inside). Answers other than 200 and 404 are asked again with back-off. */
struct pod_inputs *pod_inputs_fetch(struct kube_client *c, const json_t *pod,
                                    void (*on_ready)(void *user), void *user);
void pod_inputs_free(struct pod_inputs *in);
bool pod_inputs_are_ready(const struct pod_inputs *in);

/* Borrowed; NULL = the API has no such object. */
json_t *pod_inputs_config(const struct pod_inputs *in, const char *kind, const char *name);
const char *pod_inputs_token(const struct pod_inputs *in, const char *audience);
/* Forgets what was missing and asks for it again; false: nothing was missing. */
bool pod_inputs_retry(struct pod_inputs *in);
