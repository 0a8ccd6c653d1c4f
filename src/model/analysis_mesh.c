/* VirtualServices and DestinationRules: what each says that it cannot, and what they name that is
 * not there, for anybody and for clients of each namespace that has rules of its own. */
#include "model/analysis_priv.h"
#include "model/mesh_rules.h"

/* What does not see the rest of the cluster says nothing of absence. */
static void copy(const struct analysis *a, const struct findings *from)
{
    for (size_t i = 0; i < from->n; i++) {
        const struct finding *f = &from->v[i];
        bool absence = streq(f->id, "HostNotFound") || streq(f->id, "SubsetNotFound");
        if (!absence || a->in->knows_services)
            finding_add(a->out, f->severity, f->id, f->object, f->field, f->hint, "%s", f->message);
    }
}

static void put(const struct analysis *a, struct mesh_rules *rules, const json_t *object)
{
    struct virtual_service *v =
        analysis_is(object, "VirtualService") ? virtual_service_decode(object) : NULL;
    struct destination_rule *d =
        analysis_is(object, "DestinationRule") ? destination_rule_decode(object) : NULL;
    if (v) {
        copy(a, &v->o.findings);
        mesh_rules_put_virtual_service(rules, v);
    }
    if (d) {
        copy(a, &d->o.findings);
        mesh_rules_put_destination_rule(rules, d);
    }
}

static void look(const struct analysis *a, const struct mesh_rules *rules, struct str ns)
{
    const struct mesh_client client = {.ns = ns};
    struct joined_service *s;
    struct findings found = {0};
    for (size_t at = 0; service_join_next(a->snapshot->join, &at, &s);)
        for (uint16_t i = 0; s->object && i < s->object->n_ports; i++) {
            uint16_t port = s->object->ports[i].port;
            route_host_unref(mesh_rules_routes(rules, &client, s->key, port, &found));
            route_host_unref(mesh_rules_streams(rules, &client, s->key, port, NULL, &found));
        }
    copy(a, &found);
    findings_done(&found);
}

void analysis_mesh(const struct analysis *a)
{
    struct mesh_rules *rules = mesh_rules_new(a->snapshot->join);
    struct map namespaces = {0};
    struct str ns;
    json_t *object;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)a->in->objects, i, object)
    {
        const char *of = json_at_str(object, "metadata.namespace");
        size_t before = mesh_rules_count(rules);
        put(a, rules, object);
        if (of && mesh_rules_count(rules) > before)
            map_put_cstr(&namespaces, of, rules);
    }
    if (mesh_rules_count(rules))
        look(a, rules, STR(""));
    for (size_t at = 0; map_next(&namespaces, &at, &ns, NULL);)
        look(a, rules, ns);
    map_done(&namespaces);
    mesh_rules_free(rules);
}
