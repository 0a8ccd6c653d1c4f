#include "control/mesh_ports.h"

#include "control/translate_mesh.h"

static bool has_address(const struct service_object *o)
{
    return !o->headless && !o->external_name && o->n_cluster_ips;
}

bool mesh_is_http(enum port_protocol p)
{
    return p == PORT_HTTP || p == PORT_HTTP2;
}

/* A port of the number comes once. */
static bool is_first(const struct service_object *o, uint16_t i)
{
    for (uint16_t k = 0; k < i; k++)
        if (o->ports[k].port == o->ports[i].port && port_protocol(&o->ports[k]) != PORT_OTHER)
            return false;
    return true;
}

bool mesh_is_proxys(uint16_t port)
{
    return port == MESH_OUTBOUND_PORT || port == MESH_INBOUND_PORT || port == MESH_READY_PORT ||
           port == MESH_STATS_PORT;
}

bool mesh_is_carried(const struct service_object *o, uint16_t i)
{
    enum port_protocol p = port_protocol(&o->ports[i]);
    return p != PORT_OTHER && !o->external_name &&
           (mesh_is_http(p) || mesh_is_shared(o, i) ? !mesh_is_proxys(o->ports[i].port)
                                                    : has_address(o)) &&
           is_first(o, i);
}

bool mesh_is_shared(const struct service_object *o, uint16_t i)
{
    return service_key_is_entry(o->key) && !mesh_is_http(port_protocol(&o->ports[i]));
}

bool mesh_is_allocated(const struct joined_service *s)
{
    return s->entry && s->object && s->object->n_cluster_ips && s->entry->allocates;
}
