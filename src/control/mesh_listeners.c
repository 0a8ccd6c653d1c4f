#include "control/mesh_listeners.h"

#include <stdio.h>

#include "control/mesh_view.h"
#include "control/translate_mesh.h"

void mesh_uses_done(struct mesh_uses *u)
{
    vec_done(&u->places);
    vec_done(&u->headless);
}

void mesh_listeners_done(struct mesh_listeners *l)
{
    mesh_places_done(&l->places);
    map_done(&l->headless);
}

/* ---- ports that addresses share ---- */

/* Somebody uses it who did not, or otherwise. */
static void put_place(struct mesh_listeners *l, const struct mesh_place *p)
{
    const struct used_place *u = mesh_places_find(&l->places, p);
    char listener[CLUSTER_NAME_MAX], number[8];
    if (mesh_place_is_shared(u))
        xds_set_put(l->set, mesh_place_listener(u, l->join, l->rules, &l->client, l->registry_only,
                                                l->told));
    else if (!u || !u->services) /* a Service's own is its own to put */
        xds_set_remove(l->set, XDS_LISTENER, str_from(mesh_place_name(p, listener)));
    snprintf(number, sizeof(number), "%u", p->port);
    if (u && u->http)
        xds_set_put(l->set, translate_mesh_port_routes(p->port, l->registry_only));
    else if (!p->ip.family)
        xds_set_remove(l->set, XDS_ROUTE, str_from(number));
    if (l->on_put)
        l->on_put(p, l->user);
}

/* Is there something else to be put because of that use? Of HTTP alone, which says nothing of whom
 * it is for, the listener stays what it is while there is one. */
static bool place_changes(const struct mesh_listeners *l, const struct mesh_place_use *use)
{
    const struct used_place *u = mesh_places_find(&l->places, &use->place);
    char name[CLUSTER_NAME_MAX];
    if (use->use == MESH_USE_OWN)
        return u && u->keys.n;
    return use->use == MESH_USE_SHARED || !u || (u->keys.n && u->http <= 1) ||
           !xds_set_find(l->set, XDS_LISTENER, str_from(mesh_place_name(&use->place, name)));
}

static void use_place(struct mesh_listeners *l, struct mesh_uses *now,
                      const struct service_object *o, struct mesh_place_use use)
{
    vec_push(&now->places, use);
    mesh_places_use(&l->places, &use.place, use.use, o->key);
}

static void use_places(struct mesh_listeners *l, struct mesh_uses *now,
                       const struct joined_service *s)
{
    const struct service_object *o = s->object;
    bool any = !o->n_cluster_ips || mesh_is_allocated(s); /* who asks another DNS goes elsewhere */
    for (uint16_t i = 0; i < o->n_ports; i++) {
        bool shared = mesh_is_shared(o, i), http = mesh_is_http(port_protocol(&o->ports[i]));
        struct mesh_place_use use = {{.port = o->ports[i].port},
                                     http     ? MESH_USE_HTTP
                                     : shared ? MESH_USE_SHARED
                                              : MESH_USE_OWN};
        if (!mesh_is_carried(o, i))
            continue;
        if (http || (shared && any))
            use_place(l, now, o, use);
        for (uint16_t k = 0; !http && k < o->n_cluster_ips; k++) {
            use.place.ip = o->cluster_ips[k];
            use_place(l, now, o, use);
        }
    }
}

/* ---- pods of headless Services ---- */

static void use_headless_place(struct mesh_listeners *l, struct mesh_uses *now,
                               struct mesh_headless p)
{
    char name[CLUSTER_NAME_MAX];
    translate_mesh_address_name(&p.ip, p.port, name);
    uintptr_t n = (uintptr_t)map_find_cstr(&l->headless, name);
    map_put_cstr(&l->headless, name, (void *)(n + 1));
    vec_push(&now->headless, p);
    if (!n)
        xds_set_put(l->set, translate_mesh_headless(&p.ip, p.port, l->told));
}

static void stop_using_headless_place(struct mesh_listeners *l, const struct mesh_headless *p)
{
    char name[CLUSTER_NAME_MAX];
    translate_mesh_address_name(&p->ip, p->port, name);
    uintptr_t n = (uintptr_t)map_find_cstr(&l->headless, name);
    if (n > 1) {
        map_put_cstr(&l->headless, name, (void *)(n - 1));
        return;
    }
    map_remove_cstr(&l->headless, name);
    xds_set_remove(l->set, XDS_LISTENER, str_from(name));
}

static bool has_bytes_by(const struct service_object *o, const char *port)
{
    for (uint16_t i = 0; i < o->n_ports; i++) {
        enum port_protocol p = port_protocol(&o->ports[i]);
        if (streq(o->ports[i].name, port) && p != PORT_OTHER && !mesh_is_http(p))
            return true;
    }
    return false;
}

/* What has no address of its own is found by its pods'. */
static void use_headless(struct mesh_listeners *l, struct mesh_uses *now,
                         const struct joined_service *s)
{
    if (!l->registry_only || !s->object->headless)
        return;
    VEC_FOREACH (slice, &s->slices)
        for (uint32_t k = 0; !(*slice)->cluster && (*slice)->family && k < (*slice)->n_ports; k++)
            for (uint32_t i = 0; i < (*slice)->n_endpoints; i++) {
                const struct slice_port *p = &(*slice)->ports[k];
                if (p->port && has_bytes_by(s->object, p->name))
                    use_headless_place(l, now,
                                       (struct mesh_headless){slice_object_ip(*slice, i), p->port});
            }
}

/* ---- layers over them ---- */

void mesh_listeners_put_over(const struct mesh_listeners *l, const struct mesh_layer *over,
                             const struct mesh_place *p)
{
    const struct used_place *u = mesh_places_find(&l->places, p);
    struct put_resources now = {0}, *before;
    char key[CLUSTER_NAME_MAX];
    before = map_remove_cstr(over->put, mesh_place_name(p, key));
    if (mesh_place_is_shared(u) &&
        (over->tells || (over->of_namespace && mesh_place_varies(u, l->rules))))
        put_resources_over(
            over->set, &now,
            mesh_place_listener(u, l->join, l->rules, &over->client, l->registry_only, over->told));
    if (before)
        put_resources_drop_rest(over->set, before, &now);
    if (!now.v.n) {
        free(before);
        return;
    }
    before = before ? before : NEW(struct put_resources);
    *before = now;
    map_put_cstr(over->put, key, before);
}

/* ---- both ---- */

void mesh_listeners_tell(struct mesh_listeners *l, const struct mesh_told *told)
{
    struct str name, rest;
    void *u;
    l->told = told;
    for (size_t at = 0; map_next(&l->places, &at, NULL, &u);)
        put_place(l, &((const struct used_place *)u)->place);
    for (size_t at = 0; map_next(&l->headless, &at, &name, NULL);) { /* "10.0.0.1_80" */
        struct ip ip;
        uint64_t port;
        if (ip_parse(str_cut(name, '_', &rest), &ip) == 0 && str_to_u64(rest, &port) == 0)
            xds_set_put(l->set, translate_mesh_headless(&ip, (uint16_t)port, told));
    }
}

void mesh_listeners_use(struct mesh_listeners *l, struct mesh_uses *now,
                        const struct joined_service *s)
{
    use_places(l, now, s);
    use_headless(l, now, s);
}

void mesh_listeners_exchange(struct mesh_listeners *l, const struct mesh_uses *before,
                             const struct mesh_uses *now, const char *key, bool endpoints_only)
{
    const struct mesh_uses *both[] = {before, now};
    for (size_t i = 0; before && i < before->places.n; i++)
        mesh_places_stop_using(&l->places, &before->places.v[i].place, before->places.v[i].use,
                               key);
    for (size_t i = 0; i < ARRAY_LEN(both) && !endpoints_only; i++)
        for (size_t k = 0; both[i] && k < both[i]->places.n; k++)
            if (place_changes(l, &both[i]->places.v[k]))
                put_place(l, &both[i]->places.v[k].place);
    for (size_t i = 0; before && i < before->headless.n; i++)
        stop_using_headless_place(l, &before->headless.v[i]);
}
