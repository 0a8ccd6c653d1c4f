#pragma once
/* What a node's container runtime is given: the plugin in its directory of programs, an entry in
 * the list of plugins of its network. Files are replaced in one step. */

#include <sys/stat.h>

#include "base/err.h"
#include "codec/json.h"

struct node_files {
    const char *program;    /* the plugin's file, here */
    const char *bin_dir;    /* the runtime's, as it is seen here */
    const char *conf_dir;   /* the same */
    const char *conf_name;  /* of the list; NULL: the first by name, as the runtime takes it */
    const char *socket;     /* as the plugin finds it, on the node */
    const json_t *excluded; /* namespaces whose pods are never asked about */
    bool dry;               /* nothing is written: what would be changes is told */
    struct stat as_put;     /* of the program on the node, when it was what it should be */
};

/* Makes both what they should be; *ret_changed: they were not. -ENOENT: the network has no list of
 * plugins (yet). Nothing is half done. */
int node_files_put(struct node_files *f, bool *ret_changed, struct err *reterr) NODISCARD;
/* The entry, then the program. What is not there is fine. */
int node_files_remove(const struct node_files *f, struct err *reterr) NODISCARD;
