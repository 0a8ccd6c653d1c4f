#pragma once
/* Which pods a command's words mean. */

#include "cli/cli.h"

/* "NAME", "pod/NAME", or the pods of "deploy/NAME", "svc/NAME" and whatever else has a selector:
 * one that is ready, said on stderr if there are others. Owned. Returns -1, or the exit code of
 * what it printed. */
int cli_pod_choose(struct cli_session *s, const char *word, char **ret);
/* All of them, as objects; a JSON array. "NAME" is a pod. Returns -1, or the exit code. */
int cli_pods_of(struct cli_session *s, const char *word, json_t **ret);
/* The pods that a label selector selects, by name; a JSON array. Returns -1, or the exit code. */
int cli_pods_select(struct cli_session *s, const char *selector, json_t **ret);
