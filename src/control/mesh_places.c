#include "control/mesh_places.h"

#include "base/assert.h"
#include "control/mesh_view.h"
#include "control/translate_mesh.h"

const char *mesh_place_name(const struct mesh_place *p, char *ret)
{
    return p->ip.family ? translate_mesh_address_name(&p->ip, p->port, ret)
                        : translate_mesh_port_name(p->port, ret);
}

struct used_place *mesh_places_find(const struct map *places, const struct mesh_place *p)
{
    char name[CLUSTER_NAME_MAX];
    return map_find_cstr(places, mesh_place_name(p, name));
}

void mesh_places_use(struct map *places, const struct mesh_place *p, enum mesh_use use,
                     const char *key)
{
    struct used_place *u = mesh_places_find(places, p);
    char name[CLUSTER_NAME_MAX];
    if (!u) {
        u = NEW(struct used_place);
        u->place = *p;
        map_put_cstr(places, mesh_place_name(p, name), u);
    }
    u->http += use == MESH_USE_HTTP;
    u->services += use == MESH_USE_OWN;
    if (use == MESH_USE_SHARED)
        vec_push(&u->keys, xstrdup(key));
}

void mesh_places_stop_using(struct map *places, const struct mesh_place *p, enum mesh_use use,
                            const char *key)
{
    struct used_place *u = mesh_places_find(places, p);
    char name[CLUSTER_NAME_MAX];
    ASSERT(u);
    u->http -= use == MESH_USE_HTTP;
    u->services -= use == MESH_USE_OWN;
    for (size_t i = 0; use == MESH_USE_SHARED && i < u->keys.n; i++)
        if (streq(u->keys.v[i], key)) {
            free(u->keys.v[i]);
            vec_remove(&u->keys, i);
            break;
        }
    if (u->http || u->services || u->keys.n)
        return;
    map_remove_cstr(places, mesh_place_name(p, name));
    vec_done(&u->keys);
    free(u);
}

void mesh_places_done(struct map *places)
{
    void *p;
    for (size_t at = 0; map_next(places, &at, NULL, &p);) {
        struct used_place *u = p;
        VEC_FOREACH (key, &u->keys)
            free(*key);
        vec_done(&u->keys);
        free(u);
    }
    map_done(places);
}

bool mesh_place_is_shared(const struct used_place *u)
{
    return u && !u->services && (u->http || u->keys.n);
}

bool mesh_place_varies(const struct used_place *u, const struct mesh_rules *rules)
{
    VEC_FOREACH (key, &u->keys)
        if (mesh_rules_vary(rules, *key))
            return true;
    return false;
}

/* One use of the port, and what its chain borrows. */
struct chain_use {
    const struct joined_service *s;
    const struct service_port *port;
    struct destination destination;
    struct traffic_policy policy;
    struct route_host *streams;
    char *host;
};

static int by_age(const void *a, const void *b)
{
    const struct joined_service *x = *(const struct joined_service *const *)a,
                                *y = *(const struct joined_service *const *)b;
    int d = istio_object_compare(&x->entry->o, &y->entry->o);
    return d ? d : strcmp(x->key, y->key);
}

static const struct service_port *port_of(const struct joined_service *s, uint16_t number)
{
    for (uint16_t i = 0; i < s->object->n_ports; i++)
        if (s->object->ports[i].port == number)
            return &s->object->ports[i];
    return NULL;
}

static bool has_server_name(const struct service_port *p)
{
    return port_protocol(p) == PORT_TLS;
}

static struct mesh_port_chain chain_for(struct chain_use *u, const struct mesh_rules *rules,
                                        const struct mesh_client *client, bool is_address)
{
    mesh_rules_destination(rules, client, u->s->key, &u->destination);
    destination_policy(&u->destination, NULL, u->port->port, &u->policy);
    u->streams = mesh_rules_streams(rules, client, u->s->key, u->port->port, NULL, NULL);
    u->host = service_key_host(u->s->key);
    bool by_network = !has_server_name(u->port) && !is_address,
         by_name = has_server_name(u->port) && !(is_address && mesh_is_allocated(u->s));
    return (struct mesh_port_chain){
        .service = u->s->key,
        .port = u->port,
        .server_name = by_name ? u->host : NULL,
        .networks = u->s->entry->networks,
        .n_networks = by_network ? u->s->entry->n_networks : 0,
        .policy = &u->policy,
        .streams = u->streams,
    };
}

struct xds_entry *mesh_place_listener(const struct used_place *used,
                                      const struct service_join *join,
                                      const struct mesh_rules *rules,
                                      const struct mesh_client *client, bool registry_only,
                                      const struct mesh_told *told)
{
    VEC(const struct joined_service *) users = {0};
    VEC_FOREACH (key, &used->keys) {
        const struct joined_service *s = service_join_find(join, *key);
        if (s && s->object && s->entry && port_of(s, used->place.port) &&
            mesh_rules_is_served(rules, s, used->place.port, client->ns))
            vec_push(&users, s);
    }
    if (users.n)
        qsort(users.v, users.n, sizeof(*users.v), by_age);
    struct chain_use *uses = xcalloc(users.n + 1, sizeof(*uses));
    struct mesh_port_chain *chains = xcalloc(users.n + 1, sizeof(*chains));
    for (size_t i = 0; i < users.n; i++) {
        uses[i] =
            (struct chain_use){.s = users.v[i], .port = port_of(users.v[i], used->place.port)};
        chains[i] = chain_for(&uses[i], rules, client, used->place.ip.family);
    }
    const struct mesh_port port = {.ip = used->place.ip.family ? &used->place.ip : NULL,
                                   .port = used->place.port,
                                   .http = used->http != 0,
                                   .registry_only = registry_only,
                                   .chains = chains,
                                   .n_chains = users.n,
                                   .told = told};
    struct xds_entry *e = translate_mesh_port(&port);
    for (size_t i = 0; i < users.n; i++) {
        traffic_policy_done(&uses[i].policy);
        destination_done(&uses[i].destination);
        route_host_unref(uses[i].streams);
        free(uses[i].host);
    }
    free(uses);
    free(chains);
    vec_done(&users);
    return e;
}
