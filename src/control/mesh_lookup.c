#include "control/mesh_lookup.h"

#include "control/mesh_ports.h"

static bool has_port(const struct service_join *join, const char *key, uint16_t port)
{
    const struct joined_service *s = service_join_find(join, key);
    for (uint16_t i = 0; s && s->object && i < s->object->n_ports; i++)
        if (s->object->ports[i].port == port && mesh_is_carried(s->object, i))
            return true;
    return false;
}

bool mesh_find_cluster(const char *host, uint16_t port, char ret[CLUSTER_NAME_MAX], void *user)
{
    const struct mesh_lookup *l = user;
    AUTO_CHARS char *key = istio_host_service(host);
    char *one;
    if (key && has_port(l->join, key, port)) {
        translate_cluster_name(key, port, NULL, ret);
        return true;
    }
    bool found = false;
    for (size_t at = 0;
         l->entries && !found && (one = service_entries_next(l->entries, host, &at));) {
        found = has_port(l->join, one, port);
        if (found)
            translate_cluster_name(one, port, NULL, ret);
        free(one);
    }
    return found;
}
