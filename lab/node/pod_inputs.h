#pragma once
/* What a pod needs from the API: ConfigMaps, Secrets, service account tokens. Needed before its
 * containers can start, and kept up to date while they run. */

#include "lab/node/config_watch.h"

struct pod_inputs;

struct pod_inputs_ops {
    void (*on_ready)(void *user);  /* all answers are there */
    void (*on_change)(void *user); /* after that: an object or a token is another one now */
};

/* Asks for everything the spec names, all at once; callbacks never come from inside. Answers other
 * than 200, 403 and 404 are asked again with back-off. ConfigMaps and Secrets that are not
 * immutable are watched once all is there; tokens are renewed before they expire. */
struct pod_inputs *pod_inputs_fetch(struct kube_client *c, struct config_watches *watches,
                                    const json_t *pod, const struct pod_inputs_ops *ops,
                                    void *user);
void pod_inputs_free(struct pod_inputs *in);
bool pod_inputs_are_ready(const struct pod_inputs *in);

/* Borrowed; NULL = the API has no such object. */
json_t *pod_inputs_config(const struct pod_inputs *in, const char *kind, const char *name);
const char *pod_inputs_token(const struct pod_inputs *in, const char *audience);
/* Forgets what was missing and asks for it again; false: nothing was missing. */
bool pod_inputs_retry(struct pod_inputs *in);

/* When to renew a token that was issued now and lives that long: at 80 % of its life, and after
 * oldest_ms at the latest. Pure. */
uint64_t token_renew_after_ms(int64_t life_s, uint64_t oldest_ms);
