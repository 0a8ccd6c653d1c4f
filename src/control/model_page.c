/* Reads the control plane's values, changes none. Texts are those of `explain`. One pass over all
 * of the model in a turn of the loop: for who looks, not to be asked for each second. */
#include "control/model_page.h"

#include "base/vec.h"
#include "model/explain.h"

static void add_finding(json_t *list, const struct finding *f)
{
    static const char *const severities[] = {"info", "warning", "error"};
    json_array_append_new(list, json_pack("{s:s,s:s,s:o,s:o,s:o,s:s*}", "severity",
                                          severities[f->severity], "id", f->id, "object",
                                          json_text(str_from(f->object)), "field",
                                          json_text(str_from(f->field)), "message",
                                          json_text(str_from(f->message)), "hint", f->hint));
}

static void add_findings(json_t *list, const struct findings *f)
{
    for (size_t i = 0; f && i < f->n; i++)
        add_finding(list, &f->v[i]);
}

/* ---- Services ---- */

static int by_key(const void *a, const void *b)
{
    return strcmp((*(struct joined_service *const *)a)->key,
                  (*(struct joined_service *const *)b)->key);
}

static json_t *service_json(const struct joined_service *s)
{
    json_int_t ready = 0, others = 0;
    VEC_FOREACH (slice, &s->slices)
        for (uint32_t i = 0; i < (*slice)->n_endpoints; i++)
            (*slice)->endpoints[i].ready ? ready++ : others++;
    return json_pack("{s:o,s:I,s:I,s:I}", "name", json_text(str_from(s->key)), "slices",
                     (json_int_t)s->slices.n, "ready", ready, "notReady", others);
}

static json_t *services_json(const struct service_join *join, size_t *ret_slices)
{
    VEC(struct joined_service *) all = {0};
    struct joined_service *s;
    json_t *list = json_array();
    for (size_t at = 0; service_join_next(join, &at, &s);)
        vec_push(&all, s);
    if (all.n)
        qsort(all.v, all.n, sizeof(*all.v), by_key);
    *ret_slices = 0;
    VEC_FOREACH (one, &all) {
        *ret_slices += (*one)->slices.n;
        if ((*one)->object)
            json_array_append_new(list, service_json(*one));
    }
    vec_done(&all);
    return list;
}

/* ---- hosts ---- */

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const struct route_host *const *)a)->name,
                  (*(const struct route_host *const *)b)->name);
}

static json_t *route_json(const struct route *r)
{
    AUTO_DONE(buf) struct buf match = {0};
    AUTO_DONE(buf) struct buf action = {0};
    explain_match_text(r, &match);
    explain_action_text(r, &action);
    return json_pack("{s:o,s:o,s:{s:s,s:o,s:o}}", "match", json_text(buf_str(&match)), "action",
                     json_text(buf_str(&action)), "origin", "kind", r->origin.kind, "object",
                     json_text(str_from(r->origin.object)), "field",
                     json_text(str_from(r->origin.field)));
}

static json_t *host_json(const struct route_host *h)
{
    json_t *routes = json_array(), *j = json_pack("{s:o}", "name", json_text(str_from(h->name)));
    for (uint32_t i = 0; i < h->n_routes; i++)
        json_array_append_new(routes, route_json(&h->routes[i]));
    if (h->secret)
        json_object_set_new(j, "certificate",
                            json_text(*h->secret ? str_from(h->secret) : STR("the default")));
    if (h->passthrough.service)
        json_object_set_new(j, "passthrough",
                            json_pack("{s:o,s:i}", "service",
                                      json_text(str_from(h->passthrough.service)), "port",
                                      (int)h->passthrough.port));
    json_object_set_new(j, "routes", routes);
    return j;
}

static json_t *hosts_json(const struct control *c, json_t *refused)
{
    VEC(const struct route_host *) all = {0};
    const struct route_host *h;
    json_t *list = json_array();
    for (size_t at = 0; control_next_host(c, &at, &h);)
        vec_push(&all, h);
    if (all.n)
        qsort(all.v, all.n, sizeof(*all.v), by_name);
    VEC_FOREACH (one, &all) {
        json_array_append_new(list, host_json(*one));
        add_findings(refused, &(*one)->findings);
    }
    vec_done(&all);
    return list;
}

/* ---- the whole ---- */

static size_t add_objects_findings(const struct control *c, json_t *refused)
{
    const struct ingress_object *i;
    const struct findings *certificate;
    size_t n = 0;
    for (size_t at = 0; ingress_routes_next(control_routes(c), &at, &i); n++)
        add_findings(refused, ingress_routes_findings(control_routes(c), str_from(i->key)));
    for (size_t at = 0; control_next_bad_certificate(c, &at, &certificate);)
        add_findings(refused, certificate);
    return n;
}

json_t *model_page(const struct control *c)
{
    struct control_stats st;
    size_t slices, ingresses;
    json_t *refused = json_array(), *services = services_json(control_join(c), &slices),
           *hosts = hosts_json(c, refused);
    control_get_stats(c, &st);
    ingresses = add_objects_findings(c, refused);
    return json_pack("{s:b,s:{s:I,s:I,s:I,s:I},s:o,s:o,s:o}", "synced", st.synced, "objects",
                     "services", (json_int_t)st.services, "endpointSlices", (json_int_t)slices,
                     "ingresses", (json_int_t)ingresses, "hosts", (json_int_t)st.hosts, "services",
                     services, "hosts", hosts, "refused", refused);
}
