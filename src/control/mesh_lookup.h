#pragma once
/* Hosts that objects name, as clusters that sidecars have. */

#include "control/translate.h"
#include "model/service_entries.h"

struct mesh_lookup {
    const struct service_join *join;
    const struct service_entries *entries; /* NULL: none */
};

/* user: a struct mesh_lookup. False: nobody has that host with such a port. */
bool mesh_find_cluster(const char *host, uint16_t port, char ret[CLUSTER_NAME_MAX], void *user);
