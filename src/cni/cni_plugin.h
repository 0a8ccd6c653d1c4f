#pragma once
/* The plugin: what a container runtime runs for each pod's network, with what it says in variables
 * and on standard input. Blocking, bounded. */

#include "base/buf.h"
#include "base/err.h"

/* In variables CNI_...; NULL: not there. */
struct cni_environment {
    const char *command, *netns, *args;
};

/* Reads standard input's text, does what is asked, writes what goes to standard output. Returns the
 * exit code. */
int cni_plugin_run(const struct cni_environment *e, struct str input, struct buf *output);
