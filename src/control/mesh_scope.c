#include "control/mesh_scope.h"

#include "control/translate_mesh.h"

static bool is_registry_only(const struct sidecar_scope *of, bool otherwise)
{
    return of->outbound == OUTBOUND_AS_ALL ? otherwise : of->outbound == OUTBOUND_REGISTRY_ONLY;
}

struct mesh_scope *mesh_scope_new(const struct sidecar_scope *of, struct str ns,
                                  struct xds_set *common, const struct mesh_view *view,
                                  bool all_registry_only)
{
    struct mesh_scope *s = NEW(struct mesh_scope);
    bool registry_only = is_registry_only(of, all_registry_only);
    s->ns = str_dup(ns);
    s->of = sidecar_scope_ref(of);
    s->set = xds_set_new_over(common);
    s->listeners = (struct mesh_listeners){
        .set = s->set,
        .join = view->join,
        .rules = view->rules,
        .client = {.ns = str_from(s->ns), .pods = view->peers->pods},
        .registry_only = registry_only,
    };
    return s;
}

void mesh_scope_tell(struct mesh_scope *s, const struct mesh_told *told)
{
    mesh_listeners_tell(&s->listeners, told);
    xds_set_put(s->set, translate_mesh_outbound(s->listeners.registry_only, MESH_V4, told));
}

void mesh_scope_free(struct mesh_scope *s)
{
    void *p;
    list_remove(&s->node);
    mesh_zones_done(&s->zones);
    put_resources_drop_map(s->set, &s->put);
    for (size_t at = 0; map_next(&s->uses, &at, NULL, &p);) {
        mesh_uses_done(p);
        free(p);
    }
    map_done(&s->uses);
    mesh_listeners_done(&s->listeners);
    xds_set_free(s->set);
    sidecar_scope_unref(s->of);
    free(s->ns);
    free(s);
}

bool mesh_scope_knows(const struct mesh_scope *s, const char *key)
{
    return mesh_rules_is_known(s->listeners.rules, s->of, str_from(s->ns), key);
}

void mesh_scope_exchange(struct mesh_scope *s, const struct mesh_scope_change *c)
{
    const char *key = c->key;
    struct mesh_uses *before = map_remove_cstr(&s->uses, key), *now = NULL;
    bool known = mesh_scope_knows(s, key), is = c->service && c->service->object,
         entry = service_key_is_entry(key);
    struct mesh_view v = *c->view;
    if (!known && !before && !entry)
        return;
    v.client = (struct mesh_client){.ns = str_from(s->ns), .pods = v.peers->pods};
    v.scope = s->of;
    v.short_name = str_is(service_key_namespace(key), s->ns);
    v.endpoints_only = c->endpoints_only && before && known;
    v.alike = c->view->set;
    v.told = s->listeners.told;
    v.set = s->set;
    v.findings = NULL;
    if (is && known) {
        now = NEW(struct mesh_uses);
        mesh_listeners_use(&s->listeners, now, c->service);
        map_put_cstr(&s->uses, key, now);
    }
    /* Of an entry its host's others may be there. */
    mesh_view_exchange(&v, &s->put, key, now || entry);
    mesh_listeners_exchange(&s->listeners, before, now, key, v.endpoints_only);
    if (c->by_locality || !known)
        mesh_zones_exchange(&s->zones, NULL, &v, key, (now || entry) && c->is_local);
    if (before)
        mesh_uses_done(before);
    free(before);
}
