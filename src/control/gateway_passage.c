#include "control/gateway_passage.h"

#include <netinet/in.h>
#include <stdio.h>

#include "control/put_resources.h"
#include "control/translate_mesh.h"
#include "model/service_key.h"

#define LISTENER "passage"

struct passed {
    struct put_resources put;
    VEC(char *) names; /* of clusters, which clients say */
};

struct gateway_passage {
    const struct gateway_passage_options *o;
    const struct gateway_mesh *mesh;
    struct xds_set *set;            /* NULL: nobody is of the mesh yet */
    VEC(struct gateway_host) hosts; /* its own */
    struct map services;            /* key -> struct passed */
    bool changed;
};

struct gateway_passage *gateway_passage_new(const struct gateway_passage_options *o)
{
    struct gateway_passage *p = NEW(struct gateway_passage);
    p->o = o;
    return p;
}

static void clear_names(struct passed *s)
{
    VEC_FOREACH (name, &s->names)
        free(*name);
    vec_clear(&s->names);
}

static void passed_free(struct passed *s)
{
    clear_names(s);
    vec_done(&s->names);
    free(s);
}

static void clear_hosts(struct gateway_passage *p)
{
    VEC_FOREACH (h, &p->hosts) {
        free(h->ns);
        free(h->host);
    }
    vec_clear(&p->hosts);
}

void gateway_passage_free(struct gateway_passage *p)
{
    void *s;
    if (!p)
        return;
    for (size_t at = 0; map_next(&p->services, &at, NULL, &s);) {
        if (p->set)
            put_resources_drop_all(p->set, &((struct passed *)s)->put);
        passed_free(s);
    }
    map_done(&p->services);
    clear_hosts(p);
    vec_done(&p->hosts);
    free(p);
}

/* ---- a Service ---- */

static bool is_meant(const struct gateway_passage *p, const char *key)
{
    AUTO_CHARS char *host = service_key_host(key);
    struct str ns = service_key_namespace(key);
    if (service_key_is_entry(key))
        return false;
    VEC_FOREACH (h, &p->hosts)
        if ((!h->ns || str_is(ns, h->ns)) && istio_host_covers(h->host, host))
            return true;
    return false;
}

/* Of all endpoints, or of a subset: who takes the TLS of the mesh, in our own network. */
static void put_port(struct gateway_passage *p, const struct joined_service *s, uint16_t number,
                     const struct destination *d, const struct destination_subset *subset,
                     struct passed *to, struct put_resources *now)
{
    const struct service_port port = {
        .name = (char *)(uintptr_t) "tcp", .proto = IPPROTO_TCP, .port = number};
    const struct mesh_subset of = {subset ? subset->name : NULL, subset ? subset->labels : NULL};
    struct mesh_found found = {.peers = &p->mesh->peers};
    struct traffic_policy policy;
    char name[CLUSTER_NAME_MAX];
    translate_mesh_sni(s->key, number, of.name, name);
    destination_policy(d, subset, number, &policy);
    policy.tls.mode = TRAFFIC_TLS_DISABLE; /* it has its client's */
    if (policy.balance == TRAFFIC_PASSTHROUGH)
        policy.balance = TRAFFIC_LEAST_REQUEST;
    const struct mesh_cluster c = {
        .name = name, .service = s->key, .subset = of.name, .port = &port, .policy = &policy};
    put_resources_add(p->set, now,
                      mesh_found_passage(&found, name, s->key, number, subset ? &of : NULL, s));
    put_resources_add(p->set, now, translate_mesh_cluster(&c));
    vec_push(&to->names, xstrdup(name));
    mesh_found_done(&found);
    traffic_policy_done(&policy);
}

static void put_service(struct gateway_passage *p, const struct joined_service *s,
                        struct passed *to, struct put_resources *now)
{
    const struct mesh_client client = {.ns = str_from(p->mesh->ns), .pods = p->mesh->peers.pods};
    const struct service_object *o = s->object;
    struct destination d = {0};
    mesh_rules_destination(p->mesh->rules, &client, s->key, &d);
    for (uint16_t i = 0; i < o->n_ports; i++)
        for (size_t k = 0; o->ports[i].proto == IPPROTO_TCP && k <= d.n_subsets; k++)
            put_port(p, s, o->ports[i].port, &d, k ? &d.subsets[k - 1] : NULL, to, now);
    destination_done(&d);
}

static bool has_same_names(const struct passed *s, char *const *names, size_t n)
{
    bool same = s->names.n == n;
    for (size_t i = 0; same && i < n; i++)
        same = streq(s->names.v[i], names[i]);
    return same;
}

void gateway_passage_service_changed(struct gateway_passage *p, const char *key)
{
    const struct joined_service *s = service_join_find(p->o->join, key);
    struct passed *before = map_find_cstr(&p->services, key);
    bool is = p->set && s && s->object && !s->object->external_name && is_meant(p, key);
    if (!p->set || (!is && !before))
        return;
    struct passed *now = NEW(struct passed);
    struct put_resources put = {0};
    if (is)
        put_service(p, s, now, &put);
    p->changed = p->changed || !before || !has_same_names(before, now->names.v, now->names.n);
    if (before)
        put_resources_drop_rest(p->set, &before->put, &put);
    now->put = put;
    map_remove_cstr(&p->services, key);
    if (is)
        map_put_cstr(&p->services, key, now);
    else
        passed_free(now);
    if (before)
        passed_free(before);
}

/* ---- the whole ---- */

static void look_at_all(struct gateway_passage *p)
{
    VEC(char *) keys = {0};
    struct joined_service *s;
    struct str key;
    for (size_t at = 0; service_join_next(p->o->join, &at, &s);)
        vec_push(&keys, xstrdup(s->key));
    for (size_t at = 0; map_next(&p->services, &at, &key, NULL);)
        vec_push(&keys, str_dup(key)); /* such as have gone, too */
    VEC_FOREACH (one, &keys) {
        gateway_passage_service_changed(p, *one);
        free(*one);
    }
    vec_done(&keys);
}

void gateway_passage_begin(struct gateway_passage *p, const struct gateway_mesh *m,
                           struct xds_set *set)
{
    if (p->set)
        return;
    p->mesh = m;
    p->set = set;
    look_at_all(p);
}

void gateway_passage_set_hosts(struct gateway_passage *p, const struct gateway_routes *from)
{
    const struct gateway_host *h;
    clear_hosts(p);
    for (size_t at = 0; gateway_routes_next_passage(from, &at, &h);)
        vec_push(&p->hosts, (struct gateway_host){h->ns ? xstrdup(h->ns) : NULL, xstrdup(h->host)});
    look_at_all(p);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void gateway_passage_flush(struct gateway_passage *p)
{
    VEC(const char *) names = {0};
    void *s;
    if (!p->set || !p->changed)
        return;
    p->changed = false;
    for (size_t at = 0; map_next(&p->services, &at, NULL, &s);)
        VEC_FOREACH (name, &((struct passed *)s)->names)
            vec_push(&names, *name);
    if (names.n)
        qsort(names.v, names.n, sizeof(*names.v), by_text);
    if (names.n)
        xds_set_put(p->set, translate_passage(LISTENER, p->o->address, CLUSTER_GATEWAY_PORT,
                                              names.v, names.n));
    else
        xds_set_remove(p->set, XDS_LISTENER, STR(LISTENER));
    vec_done(&names);
}
