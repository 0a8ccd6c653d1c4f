#pragma once
/* A command in a container, for other commands. */

#include "cli/cli.h"

/* Runs it without input; what it prints is appended. pod: a name in the session's namespace.
 * Returns the command's exit code, or that of what could not be done, which is told. */
int cli_exec_capture(struct cli_session *s, const char *pod, const char *container,
                     const char *const *command, size_t n_command, struct buf *out,
                     struct buf *errors);
