#pragma once
/* How commands about proxies reach them, with what kubectl users have: the admin interface stays on
 * the pod's loopback and is asked by `fairlead-proxy request` in the container (right: create
 * pods/exec); the control plane's debug port is asked through the API server (right: get
 * pods/proxy). */

#include "cli/cli.h"

/* Of a proxy: "POD.NAMESPACE" as istioctl has it, "POD", "TYPE/NAME". Opens no session. */
struct proxy_name {
    char *pod, *container; /* owned */
};
/* The session's namespace becomes the proxy's. -1, or an exit code, told. */
int proxy_name_find(struct cli_session *s, const char *word, struct proxy_name *ret);
void proxy_name_done(struct proxy_name *p);

/* The body of an answer of its admin interface. -1, or an exit code, told. */
int proxy_admin_ask(struct cli_session *s, const struct proxy_name *p, const char *method,
                    const char *path, struct buf *ret);
/* The same, as JSON. */
int proxy_admin_json(struct cli_session *s, const struct proxy_name *p, const char *path,
                     json_t **ret);

enum { CONTROL_DEBUG_PORT = 15014 };
/* The control plane's pods that run, a JSON array, perhaps empty. -1, or an exit code, told. */
int control_pods(struct cli_session *s, const char *control_namespace, json_t **ret);
/* Where the API server passes a path on to the debug port of one of them. Owned. */
char *control_target(const char *control_namespace, const char *pod, const char *path);
/* Told: none answers. Returns the exit code. */
int control_is_silent(const char *control_namespace);
/* Calls fn with what each control plane's debug port answers; those that do not answer are told on
 * stderr. -1, or an exit code, told: none answers. */
int control_ask_each(struct cli_session *s, const char *control_namespace, const char *path,
                     void (*fn)(const char *control, json_t *answer, void *user), void *user);
