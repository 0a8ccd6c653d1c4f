/* Informers feed the join, the table of Ingresses and the certificates; what is dirty there is
 * worked off on the loop: endpoints, then hosts for at most SLICE_US a turn, then what is made of
 * them all, then the streams. */
#include "control/control_priv.h"

#include <errno.h>

#include "base/log.h"
#include "base/time.h"
#include "codec/base64.h"
#include "control/token_keys.h"
#include "model/certificate.h"

enum { SLICE_US = 5000 };

static void work_soon(struct control *c)
{
    if (!c->pending_since_us)
        c->pending_since_us = time_mono_us();
    loop_defer(kube_client_loop(c->client), &c->work);
}

/* ---- telling ---- */

static void record(struct control *c, const json_t *object, const char *kind, const char *version,
                   const struct finding *f)
{
    event_record(c->events, object, kind, version,
                 f->severity == FINDING_INFO ? "Normal" : "Warning", f->id, "%s%s%s%s%s", f->field,
                 *f->field ? ": " : "", f->message, f->hint ? "; " : "", f->hint ? f->hint : "");
}

static mesh_observer on_mesh_finding;

static void tell(struct control *c, const struct finding *f)
{
    struct str name, ns = str_cut(str_from(f->object), '/', &name);
    const struct ingress_object *i = ingress_routes_find(c->routes, str_from(f->object));
    AUTO_JSON json_t *object = json_pack("{s:{s:s%,s:s%,s:s}}", "metadata", "namespace", ns.p, ns.n,
                                         "name", name.p, name.n, "uid", i ? i->uid : "");
    record(c, object, "Ingress", "networking.k8s.io/v1", f);
}

/* Of a host: by the kind of object that makes it. */
static void tell_of(struct control *c, const struct route_host *h, const struct finding *f)
{
    if (streq(h->owner.kind, "VirtualService"))
        on_mesh_finding(f, c);
    else
        tell(c, f);
}

/* What was told of a host's last form is not told again. */
static void tell_new(struct control *c, const struct findings *before, const struct findings *after)
{
    for (size_t i = 0; i < after->n; i++)
        if (!findings_have(before, &after->v[i]))
            tell(c, &after->v[i]);
}

static void tell_objects(struct control *c)
{
    const struct ingress_object *i;
    while ((i = ingress_routes_take_changed(c->routes)))
        tell_new(c, NULL, ingress_routes_findings(c->routes, str_from(i->key)));
}

/* A certificate that is not there is told of with the host, by its first Ingress. */
static void check_secret(struct control *c, struct route_host *h)
{
    if (!h->secret || !*h->secret || !h->n_routes || gateway_has_secret(c->gateway, h->secret))
        return;
    certificate_tell_absent(h);
}

/* ---- what guards name ---- */

static void for_named(struct control *c, const struct route_host *h,
                      void (*fn)(struct named_objects *n, enum named_kind kind, const char *key))
{
    if (h && h->client_cert)
        fn(c->named, NAMED_SECRET, h->client_cert->secret);
    for (uint32_t i = 0; h && i < h->n_routes; i++) {
        const struct route_guard *g = h->routes[i].guard;
        const struct route_backend_tls *with = h->routes[i].upstream.with;
        if (g && g->basic.secret)
            fn(c->named, NAMED_SECRET, g->basic.secret);
        if (g && g->request.set_headers)
            fn(c->named, NAMED_CONFIG_MAP, g->request.set_headers);
        if (with && with->secret)
            fn(c->named, NAMED_SECRET, with->secret);
        if (h->routes[i].answer_map)
            fn(c->named, NAMED_CONFIG_MAP, h->routes[i].answer_map);
    }
}

static void tell_missing(struct route_host *h, const struct route *r, const char *annotation,
                         const char *what, const char *name)
{
    AUTO_CHARS char *field =
        xasprintf("metadata.annotations[" INGRESS_NGINX_PREFIX "%s]", annotation);
    finding_add(&h->findings, FINDING_ERROR, "AuthNotUsable", r->origin.object, field,
                "create it, or correct it",
                "there is no %s %s that can be used: its paths answer 503", what, name);
}

/* By whom clients' certificates are verified. */
static void tell_no_ca(struct route_host *h, const char *secret)
{
    if (streq(h->owner.kind, "VirtualService"))
        finding_add(&h->findings, FINDING_ERROR, "SecretNotFound", h->owner.object, "spec.gateways",
                    "create it, with ca.crt",
                    "there is no Secret %s by which clients of host %s are verified: 503", secret,
                    h->name);
    else
        tell_missing(h, &h->routes[0], "auth-tls-secret", "Secret with ca.crt", secret);
}

/* Told of each Ingress once, as long as it is so. */
static void check_named(struct control *c, struct route_host *h)
{
    const struct auth_objects *objects = gateway_auth_objects(c->gateway);
    const struct route_guard *told = NULL;
    const struct route_client_cert *cert = h->client_cert;
    if (cert && h->n_routes && named_objects_settled(c->named, NAMED_SECRET, cert->secret) &&
        !auth_objects_ca(objects, cert->secret))
        tell_no_ca(h, cert->secret);
    for (uint32_t i = 0; i < h->n_routes; i++) {
        const struct route *r = &h->routes[i];
        const struct route_guard *g = r->guard;
        if (!g || g == told)
            continue;
        const char *secret = g->basic.secret, *fields = g->request.set_headers;
        told = g;
        if (secret && named_objects_settled(c->named, NAMED_SECRET, secret) &&
            !auth_objects_users(objects, secret, g->basic.map))
            tell_missing(h, r, "auth-secret", "Secret", secret);
        if (fields && named_objects_settled(c->named, NAMED_CONFIG_MAP, fields) &&
            !auth_objects_fields(objects, fields))
            tell_missing(h, r, "auth-proxy-set-headers", "ConfigMap", fields);
    }
}

/* The same of what endpoints over TLS are shown and verified by. */
static void check_backends(struct control *c, struct route_host *h)
{
    const struct auth_objects *objects = gateway_auth_objects(c->gateway);
    const struct route_backend_tls *told = NULL;
    for (uint32_t i = 0; i < h->n_routes; i++) {
        const struct route *r = &h->routes[i];
        const struct route_backend_tls *t = r->upstream.with;
        if (!t || t == told || !t->secret)
            continue;
        told = t;
        if (named_objects_settled(c->named, NAMED_SECRET, t->secret) &&
            !auth_objects_backend(objects, t->secret, t->verify))
            tell_missing(h, r, "proxy-ssl-secret",
                         t->verify ? "Secret with ca.crt"
                                   : "Secret with tls.crt and tls.key, or ca.crt,",
                         t->secret);
    }
}

static bool is_told(const struct route_host *h, const char *object, const char *field)
{
    for (size_t i = 0; i < h->findings.n; i++)
        if (streq(h->findings.v[i].object, object) && streq(h->findings.v[i].field, field))
            return true;
    return false;
}

/* Those that are not allowed. */
static void list_refused(const struct control *c, const struct auth_fields *fields, struct buf *ret)
{
    const struct ingress_settings *settings = ingress_config_settings(c->config);
    for (size_t i = 0; i < fields->n; i++)
        if (!ingress_settings_allow(settings, fields->v[i].name))
            buf_addf(ret, "%s%.100s", ret->n ? ", " : "", fields->v[i].name);
}

/* Of fields of answers: once of each Ingress. */
static void check_fields(struct control *c, struct route_host *h)
{
    static const char field[] = "metadata.annotations[" INGRESS_NGINX_PREFIX "custom-headers]";
    for (uint32_t i = 0; i < h->n_routes; i++) {
        const struct route *r = &h->routes[i];
        AUTO_DONE(buf) struct buf refused = {0};
        if (!r->answer_map || is_told(h, r->origin.object, field) ||
            !named_objects_settled(c->named, NAMED_CONFIG_MAP, r->answer_map))
            continue;
        const struct auth_fields *fields =
            auth_objects_fields(gateway_auth_objects(c->gateway), r->answer_map);
        if (fields)
            list_refused(c, fields, &refused);
        if (!fields)
            finding_add(&h->findings, FINDING_WARNING, "FieldsNotFound", r->origin.object, field,
                        "create it, or correct it", "there is no ConfigMap %s: no fields are set",
                        r->answer_map);
        else if (refused.n)
            finding_add(&h->findings, FINDING_WARNING, "FieldNotAllowed", r->origin.object, field,
                        "name them in global-allowed-response-headers of control's ConfigMap",
                        "not allowed, and left out: %s", buf_cstr(&refused));
    }
}

static void on_named(enum named_kind kind, const char *key, json_t *object, void *user)
{
    static const char *const kinds[] = {"Secret", "ConfigMap"};
    struct control *c = user;
    struct auth_objects *objects = gateway_auth_objects(c->gateway);
    AUTO_DONE(buf) struct buf wrong = {0};
    AUTO_CHARS char *name = xasprintf("%s:%s", kinds[kind], key);
    if (kind == NAMED_SECRET) {
        auth_objects_put_secret(objects, key, object, &wrong);
        gateway_named_changed(c->gateway, key);
        credential_watch_changed(c->credentials, key);
    } else {
        auth_objects_put_config_map(objects, key, object, &wrong);
    }
    if (object && wrong.n)
        event_record(c->events, object, kinds[kind], "v1", "Warning", "AuthInvalid", "left out: %s",
                     buf_cstr(&wrong));
    ingress_routes_service_changed(c->routes, str_from(name));
    if (kind == NAMED_SECRET)
        gateway_routes_secret_changed(c->gateways, key);
    work_soon(c);
}

static void on_named_synced(void *user)
{
    work_soon(user);
}

/* ---- work ---- */

bool control_is_synced(const struct control *c)
{
    return c->services && c->slices && c->ingresses && c->classes && c->secrets &&
           informer_synced(c->services) && informer_synced(c->slices) &&
           informer_synced(c->ingresses) && informer_synced(c->classes) &&
           informer_synced(c->secrets) && ingress_config_synced(c->config) &&
           (!c->others || (network_watch_synced(c->network) && cluster_watch_settled(c->others)));
}

static void work_services(struct control *c)
{
    struct joined_service *s;
    bool changed = false;
    service_entries_settle(c->entries);
    while ((s = service_join_take_dirty(c->join))) {
        bool is_service = !service_key_is_entry(s->key);
        gateway_service_changed(c->gateway, s->key);
        if (is_service)
            proxyless_service_changed(c->proxyless, s->key);
        mesh_service_changed(c->mesh, s->key);
        if (is_service)
            ingress_routes_service_changed(c->routes, str_from(s->key));
        service_join_settle(c->join, s);
        changed = true;
    }
    if (!changed && !c->streams_changed)
        return;
    gateway_put_streams(c->gateway, ingress_config_tcp_services(c->config));
    ingress_config_tell_missing(c->config, c->join);
    c->streams_changed = false;
}

/* Certificates that Ingresses name. */
static void count_secret(struct control *c, const struct route_host *h, bool more)
{
    if (!h || str_empty(h->secret) || !streq(h->owner.kind, "Ingress"))
        return;
    uintptr_t n = (uintptr_t)map_find_cstr(&c->ingress_secrets, h->secret) + (more ? 1 : -1);
    if (n)
        map_put_cstr(&c->ingress_secrets, h->secret, (void *)n);
    else
        map_remove_cstr(&c->ingress_secrets, h->secret);
}

/* Of two doors that make a host one is served. h is taken. */
static void work_host(struct control *c, enum route_door door, const char *name,
                      struct route_host *h)
{
    const struct route_host *loser;
    struct route_host *of = route_hosts_put(&c->doors, door, name, h, &loser);
    for_named(c, of, named_objects_use);
    if (of) {
        check_secret(c, of);
        check_named(c, of);
        check_backends(c, of);
        check_fields(c, of);
    }
    count_secret(c, of, true);
    struct route_host *before = gateway_put_host(c->gateway, name, of);
    count_secret(c, before, false);
    (void)(of ? map_put_cstr(&c->hosts, name, of) : map_remove_cstr(&c->hosts, name));
    const struct findings *told = before && before != of ? &before->findings : NULL;
    for (size_t i = 0; of && of != before && i < of->findings.n; i++)
        if (!findings_have(told, &of->findings.v[i]))
            tell_of(c, of, &of->findings.v[i]);
    if (loser && loser->findings.n)
        tell_of(c, loser, &loser->findings.v[loser->findings.n - 1]);
    for_named(c, before, named_objects_end_use);
    route_host_unref(before);
    c->stats.host_rebuilds++;
}

/* True: none is left. */
static bool work_hosts(struct control *c)
{
    uint64_t until = time_mono_us() + SLICE_US;
    const char *name;
    struct route_host *h;
    while (time_mono_us() < until)
        if (ingress_routes_take_dirty(c->routes, &name, &h))
            work_host(c, ROUTE_DOOR_INGRESS, name, h);
        else if (gateway_routes_take_dirty(c->gateways, &name, &h))
            work_host(c, ROUTE_DOOR_GATEWAY, name, h);
        else
            return true;
    return false;
}

static void note_pushed(struct control *c)
{
    struct control_stats *s = &c->stats;
    s->pushes++;
    s->last_latency_us = time_mono_us() - c->pending_since_us;
    s->latency_max_us = s->synced ? MAX(s->latency_max_us, s->last_latency_us) : 0;
    if (!s->synced)
        log_info("first sync done", kv_i("hosts", (int64_t)gateway_hosts(c->gateway)),
                 kv_i("services", (int64_t)c->join->n_services),
                 kv_i("took_us", (int64_t)s->last_latency_us));
    s->synced = true;
    c->pending_since_us = 0;
}

static void work(void *user)
{
    struct control *c = user;
    if (!control_is_synced(c))
        return;
    if (c->telemetry_changed)
        mesh_providers_changed(c->mesh);
    if (c->telemetry_changed)
        gateway_telemetry_changed(c->gateway);
    c->telemetry_changed = false;
    if (gateway_routes_take_passage_change(c->gateways))
        gateway_set_passages(c->gateway, c->gateways);
    work_services(c);
    bool done = work_hosts(c);
    if (done && !c->stats.synced && !named_objects_synced(c->named))
        return; /* nobody is served with what is closed until its Secret is known */
    if (done) {
        tell_objects(c);
        gateway_flush(c->gateway);
        note_pushed(c);
    } else {
        loop_defer_next(kube_client_loop(c->client), &c->work);
    }
    if (c->service && c->stats.synced)
        xds_service_push(c->service);
}

/* ---- what is watched ---- */

/* Which networks clusters are on, or which gateways lead to them. */
static void on_clusters(void *user)
{
    struct control *c = user;
    mesh_clusters_changed(c->mesh);
    work_soon(c);
}

static void on_service(json_t *object, void *user)
{
    struct control *c = user;
    struct service_object *s = service_object_decode(object);
    if (!s)
        return;
    if (clusters_put_gateway(c->clusters, 0, str_from(s->key), object))
        on_clusters(c);
    service_join_add_service(c->join, &s);
    service_entries_put_service(c->entries, object);
    work_soon(c);
}

static void on_service_gone(struct str key, json_t *object, void *user)
{
    struct control *c = user;
    (void)object;
    if (clusters_put_gateway(c->clusters, 0, key, NULL))
        on_clusters(c);
    service_join_remove_service(c->join, key);
    service_entries_remove_service(c->entries, key);
    work_soon(c);
}

static void on_slice(json_t *object, void *user)
{
    struct control *c = user;
    const struct slice_decoding o = {.topologies = &c->join->topologies};
    struct slice_object *s = slice_object_decode(object, &o);
    char key[512];
    if (s)
        service_join_add_slice(c->join, &s);
    else
        service_join_remove_slice(c->join, str_from(object_key(object, key)));
    work_soon(c);
}

static void on_slice_gone(struct str key, json_t *object, void *user)
{
    struct control *c = user;
    (void)object;
    service_join_remove_slice(c->join, key);
    work_soon(c);
}

static void on_ingress(json_t *object, void *user)
{
    struct control *c = user;
    struct ingress_object *i = ingress_object_decode(object);
    if (!i)
        return;
    if (c->observer)
        c->observer(object, str_from(i->key), c->observer_user);
    ingress_routes_add(c->routes, i);
    work_soon(c);
}

static void on_ingress_gone(struct str key, json_t *object, void *user)
{
    struct control *c = user;
    (void)object;
    if (c->observer)
        c->observer(NULL, key, c->observer_user);
    ingress_routes_remove(c->routes, key);
    work_soon(c);
}

static void on_class(json_t *object, void *user)
{
    struct control *c = user;
    struct ingress_class *k = ingress_class_decode(object);
    if (!k)
        return;
    if (k->parameters && ingress_routes_is_controller(c->routes, k->controller))
        event_record(c->events, object, "IngressClass", "networking.k8s.io/v1", "Warning",
                     "ParametersNotUsed",
                     "spec.parameters: %s has no effect: they may refer to nothing; what holds for "
                     "all Ingresses stands in the ConfigMap that control's --configmap names",
                     k->parameters);
    ingress_routes_add_class(c->routes, k);
    work_soon(c);
}

static void on_class_gone(struct str key, json_t *object, void *user)
{
    struct control *c = user;
    (void)object;
    ingress_routes_remove_class(c->routes, key);
    work_soon(c);
}

static void decode_data(const json_t *secret, const char *name, struct buf *ret)
{
    const char *text = json_key_str(json_at(secret, "data"), name);
    if (text && base64_decode(str_from(text), ret) < 0)
        buf_clear(ret);
}

static void forget_bad_certificate(struct control *c, struct str key)
{
    struct findings *f = map_remove(&c->bad_certificates, key);
    if (f)
        findings_done(f);
    free(f);
}

static void note_bad_certificate(struct control *c, const json_t *object, const char *key,
                                 const char *why)
{
    struct findings *f = NEW(struct findings);
    forget_bad_certificate(c, str_from(key));
    certificate_tell_invalid(f, key, why);
    record(c, object, "Secret", "v1", &f->v[0]);
    map_put_cstr(&c->bad_certificates, key, f);
}

static void on_secret(json_t *object, void *user)
{
    struct control *c = user;
    AUTO_DONE(buf) struct buf chain = {0};
    AUTO_DONE(buf) struct buf key_pem = {0};
    struct err err = {0};
    char key[512];
    object_key(object, key);
    decode_data(object, "tls.crt", &chain);
    decode_data(object, "tls.key", &key_pem);
    if (!chain.n || !key_pem.n ||
        gateway_put_secret(c->gateway, key, buf_str(&chain), buf_str(&key_pem), &err) < 0) {
        log_warn("a certificate cannot be used; the last good one stays", kv_s("secret", key),
                 kv_s("error", err.code ? err_text(&err) : "tls.crt or tls.key is missing"));
        note_bad_certificate(c, object, key,
                             err.code ? err_text(&err) : "tls.crt or tls.key is missing");
    } else {
        forget_bad_certificate(c, str_from(key));
        work_soon(c);
    }
    if (key_pem.n)
        explicit_bzero(key_pem.p, key_pem.n);
}

static void on_secret_gone(struct str key, json_t *object, void *user)
{
    struct control *c = user;
    AUTO_CHARS char *name = str_dup(key);
    (void)object;
    forget_bad_certificate(c, key);
    IGNORE_RESULT(gateway_put_secret(c->gateway, name, STR(""), STR(""), NULL)); /* removal */
    work_soon(c);
}

static void on_synced(void *user)
{
    work_soon(user);
}

/* What holds for all, or ports that go to Services. */
static void on_config(void *user)
{
    struct control *c = user;
    if (!c->config)
        return; /* it is being made */
    ingress_routes_set_settings(c->routes, ingress_config_settings(c->config));
    gateway_set_config(c->gateway, ingress_config_settings(c->config),
                       ingress_config_answer_fields(c->config),
                       ingress_config_request_fields(c->config));
    c->streams_changed = true;
    work_soon(c);
}

static void on_error(const char *text, void *user)
{
    struct control *c = user;
    c->stats.watch_failures++;
    log_warn("watch lost; what proxies have stays", kv_s("cause", text));
}

static struct informer *watch(struct control *c, const char *path, const char *field_selector,
                              const struct informer_ops *ops)
{
    const struct informer_options o = {
        .path = path, .field_selector = field_selector, .lean = true};
    return informer_start(c->client, &o, ops, c);
}

#define OPS(name)                                                                                  \
    {                                                                                              \
        .on_upsert = on_##name, .on_delete = on_##name##_gone, .on_synced = on_synced,             \
        .on_error = on_error                                                                       \
    }

static void watch_all(struct control *c)
{
    static const struct informer_ops service = OPS(service), slice = OPS(slice),
                                     ingress = OPS(ingress), class_ = OPS(class),
                                     secret = OPS(secret);
    c->services = watch(c, "/api/v1/services", NULL, &service);
    c->slices = watch(c, "/apis/discovery.k8s.io/v1/endpointslices", NULL, &slice);
    c->classes = watch(c, "/apis/networking.k8s.io/v1/ingressclasses", NULL, &class_);
    c->ingresses = watch(c, "/apis/networking.k8s.io/v1/ingresses", NULL, &ingress);
    c->secrets = watch(c, "/api/v1/secrets", "type=kubernetes.io/tls", &secret);
}

/* ---- the whole ---- */

static void on_pod(const struct workload *pod, void *user)
{
    struct control *c = user;
    mesh_pod_changed(c->mesh, pod);
    if (service_entries_workload_changed(c->entries, pod) || c->join->n_dirty)
        work_soon(c);
}

static void on_remote_pod(uint16_t cluster, const struct workload *pod, void *user)
{
    struct control *c = user;
    mesh_remote_pod_changed(c->mesh, cluster, pod);
    work_soon(c);
}

static void on_network(const char *network, void *user)
{
    struct control *c = user;
    if (clusters_set_network(c->clusters, 0, network))
        on_clusters(c);
    work_soon(c);
}

/* Those that are of the mesh with ours. */
static void watch_clusters(struct control *c)
{
    c->remote = (struct remote_cluster_options){.loop = kube_client_loop(c->client),
                                                .join = c->join,
                                                .clusters = c->clusters,
                                                .root_namespace = c->options->root_namespace,
                                                .on_change = on_synced,
                                                .on_clusters = on_clusters,
                                                .on_pod = on_remote_pod,
                                                .user = c};
    c->network = network_watch_new(c->client, c->options->root_namespace, on_network, c);
    c->others = cluster_watch_new(c->client, c->events, &c->remote);
}

static void on_pods_synced(void *user)
{
    struct control *c = user;
    service_entries_workloads_changed(c->entries);
    work_soon(c);
}

static void on_authentication(struct str ns, void *user)
{
    struct control *c = user;
    if (!c->stats.synced)
        return;
    mesh_authentications_changed(c->mesh, ns);
    work_soon(c);
}

static const struct authentication_watch_ops authentication_ops = {on_authentication, on_synced};
/* What is wrong with an object of Istio's, by itself or because of others. */
static void on_istio_finding(const struct istio_kind *kind, const struct finding *f,
                             const char *uid, void *user)
{
    struct control *c = user;
    struct str name, ns = str_cut(str_from(f->object), '/', &name);
    AUTO_JSON json_t *object = json_pack("{s:{s:s%,s:s%,s:s}}", "metadata", "namespace", ns.p, ns.n,
                                         "name", name.p, name.n, "uid", uid);
    record(c, object, kind->name, kind->version, f);
}

static void on_mesh_finding(const struct finding *f, void *user)
{
    struct control *c = user;
    const struct virtual_service *v =
        mesh_rules_virtual_service(mesh_get_rules(c->mesh), str_from(f->object));
    on_istio_finding(istio_kind_find("VirtualService"), f, v ? v->o.uid : "", c);
}

static void on_credential_finding(const struct destination_rule *d, const struct finding *f,
                                  void *user)
{
    on_istio_finding(istio_kind_find("DestinationRule"), f, d->o.uid, user);
}

static void on_token_finding(const struct finding *f, const char *uid, void *user)
{
    on_istio_finding(istio_kind_find("RequestAuthentication"), f, uid, user);
}

static void on_right(const char *account, void *user)
{
    struct control *c = user;
    if (c->service)
        xds_service_secrets_changed(c->service, account);
}

static void on_keys(void *user)
{
    struct control *c = user;
    if (!c->stats.synced)
        return;
    mesh_authorizations_changed(c->mesh, str_from(c->options->root_namespace));
    work_soon(c);
}

static void on_keys_trouble(const char *source, const char *why, void *user)
{
    struct control *c = user;
    token_keys_tell(c->tokens, source, why, on_token_finding, c);
}

static void on_guard(struct str ns, void *user)
{
    struct control *c = user;
    token_keys_use(c->keys, c->tokens);
    if (!c->stats.synced)
        return;
    mesh_authorizations_changed(c->mesh, ns);
    work_soon(c);
}

static void on_scope(struct str ns, void *user)
{
    struct control *c = user;
    if (!c->stats.synced)
        return;
    mesh_sidecars_changed(c->mesh, ns);
    work_soon(c);
}

const struct proxy_settings_table *control_want_settings(struct control *c)
{
    (void)istio_watch_want(c->istio);
    return c->settings;
}

void control_set_leads(struct control *c, bool leads)
{
    if (leads && c->options->allocates)
        (void)istio_watch_want(c->istio); /* sidecars may be with others */
    entry_status_set_leads(c->addresses, leads && c->options->allocates);
    object_status_set_leads(c->status, leads && c->options->allocates);
    auto_registration_set_leads(c->registration, leads);
}

static void on_telemetry(void *user)
{
    struct control *c = user;
    c->telemetry_changed = true;
    work_soon(c);
}

/* Of which Services each cluster has its own may have changed. */
static void on_mesh_config(void *user)
{
    struct control *c = user;
    const json_t *now = (*mesh_config_watch_get(c->mesh_config))->service_settings;
    on_telemetry(c);
    if (json_equal(now, c->service_settings) || now == c->service_settings)
        return;
    json_decref(c->service_settings);
    c->service_settings = json_deep_copy(now);
    service_join_mark_all(c->join);
}

static const struct istio_watch_ops istio_ops = {on_synced, on_guard, on_scope, on_telemetry,
                                                 on_istio_finding};
static const struct key_sets_ops key_ops = {on_keys, on_keys_trouble};
static const struct pod_watch_ops pod_ops = {on_pod, on_pods_synced};
static const struct named_objects_ops named_ops = {on_named, on_named_synced};
static const struct ingress_config_ops config_ops = {on_config};

int control_new(struct kube_client *client, const struct control_options *o, struct control **ret,
                struct err *reterr)
{
    struct control *c = NEW(struct control);
    c->client = client;
    c->options = o;
    loop_call_init(&c->work, work, c);
    c->join = service_join_new();
    int r = gateway_new(&o->gateway, c->join, &c->gateway, reterr);
    if (r < 0) {
        service_join_free(c->join);
        free(c);
        return r;
    }
    c->proxyless = proxyless_new(c->join);
    c->rights = secret_rights_new(client, on_right, c);
    c->pods = pod_watch_new(client, &pod_ops, c);
    c->clusters = clusters_new(o->cluster_id, pod_watch_table(c->pods));
    c->authentications =
        authentication_watch_new(client, o->root_namespace, &authentication_ops, c);
    c->authorizations = authorization_policies_new(o->root_namespace);
    c->tokens = request_authentications_new(o->root_namespace);
    c->sidecars = sidecar_scopes_new(o->root_namespace);
    c->telemetries = telemetry_policies_new(o->root_namespace);
    c->events = event_recorder_new(client, "fairlead.dev/control", o->host);
    c->mesh_config = mesh_config_watch_new(client, c->events, o->mesh_config, on_mesh_config, c);
    c->keys = key_sets_new(kube_client_loop(client),
                           &(struct key_sets_options){o->loopback_keys, &key_ops, c});
    const struct mesh_peers peers = {.pods = pod_watch_table(c->pods),
                                     .authentications =
                                         authentication_watch_table(c->authentications),
                                     .authorizations = c->authorizations,
                                     .tokens = c->tokens,
                                     .trust_domain = o->trust_domain,
                                     .sidecars = c->sidecars,
                                     .telemetries = c->telemetries,
                                     .config = mesh_config_watch_get(c->mesh_config),
                                     .keys = c->keys,
                                     .clusters = c->clusters,
                                     .objects = gateway_auth_objects(c->gateway)};
    c->mesh = mesh_new(c->join, &peers);
    c->entries = service_entries_new(c->join, pod_watch_table(c->pods));
    mesh_rules_set_entries(mesh_get_rules(c->mesh), c->entries);
    c->addresses = entry_status_new(client);
    c->status = object_status_new(client);
    c->settings = proxy_settings_new(o->root_namespace);
    mesh_set_observer(c->mesh, on_mesh_finding, c);
    if (o->registry_only)
        mesh_set_registry_only(c->mesh);
    gateway_set_mesh(c->gateway,
                     &(struct gateway_mesh){*mesh_get_peers(c->mesh), mesh_get_rules(c->mesh),
                                            o->root_namespace});
    c->gateway_options = (struct gateway_routes_options){o->gateway_labels, o->root_namespace};
    c->gateways = gateway_routes_new(&c->gateway_options, mesh_get_rules(c->mesh));
    c->registration = auto_registration_new(
        client, &(struct auto_registration_options){.controller = o->host ?: "fairlead-control",
                                                    .namespace_ = o->root_namespace,
                                                    .pods = pod_watch_table(c->pods)});
    const struct istio_tables tables = {.rules = mesh_get_rules(c->mesh),
                                        .gateways = c->gateways,
                                        .authorizations = c->authorizations,
                                        .tokens = c->tokens,
                                        .entries = c->entries,
                                        .addresses = c->addresses,
                                        .sidecars = c->sidecars,
                                        .telemetries = c->telemetries,
                                        .config = mesh_config_watch_get(c->mesh_config),
                                        .settings = c->settings,
                                        .status = c->status,
                                        .registration = c->registration};
    c->istio = istio_watch_new(client, &tables, &istio_ops, c);
    c->routes = ingress_routes_new(&o->ingress, c->join);
    c->named = named_objects_new(client, &named_ops, c);
    c->credentials = credential_watch_new(&(struct credential_watch_options){
        c->named, mesh_get_rules(c->mesh), gateway_auth_objects(c->gateway), o->root_namespace,
        on_credential_finding, c});
    c->config = ingress_config_new(client, c->events, &o->config, &config_ops, c);
    if (o->joins_clusters)
        watch_clusters(c);
    watch_all(c);
    *ret = c;
    return 0;
}

void control_free(struct control *c)
{
    if (!c)
        return;
    cluster_watch_free(c->others);
    network_watch_free(c->network);
    loop_call_cancel(&c->work);
    informer_free(c->services);
    informer_free(c->slices);
    informer_free(c->ingresses);
    informer_free(c->classes);
    informer_free(c->secrets);
    gateway_free(c->gateway);
    proxyless_free(c->proxyless);
    secret_rights_free(c->rights);
    istio_watch_free(c->istio);
    auto_registration_free(c->registration);
    gateway_routes_free(c->gateways);
    route_hosts_done(&c->doors);
    credential_watch_free(c->credentials);
    mesh_free(c->mesh);
    service_entries_free(c->entries);
    entry_status_free(c->addresses);
    object_status_free(c->status);
    proxy_settings_free(c->settings);
    clusters_free(c->clusters);
    pod_watch_free(c->pods);
    authentication_watch_free(c->authentications);
    selected_objects_free(c->authorizations);
    selected_objects_free(c->tokens);
    key_sets_free(c->keys);
    selected_objects_free(c->sidecars);
    selected_objects_free(c->telemetries);
    mesh_config_watch_free(c->mesh_config);
    json_decref(c->service_settings);
    ingress_routes_free(c->routes);
    ingress_config_free(c->config);
    event_recorder_free(c->events);
    service_join_free(c->join);
    map_done(&c->hosts);
    map_done(&c->ingress_secrets);
    struct str key;
    for (size_t at = 0; map_next(&c->bad_certificates, &at, &key, NULL);)
        forget_bad_certificate(c, key);
    map_done(&c->bad_certificates);
    named_objects_free(c->named);
    free(c);
}

void control_set_service(struct control *c, struct xds_service *s)
{
    c->service = s;
}

void control_set_observer(struct control *c, control_observer *fn, void *user)
{
    c->observer = fn;
    c->observer_user = user;
}

bool control_serves(const struct control *c, struct str ingress)
{
    return ingress_routes_find(c->routes, ingress) != NULL;
}

void control_get_stats(const struct control *c, struct control_stats *ret)
{
    *ret = c->stats;
    ret->services = c->join->n_services;
    ret->hosts = gateway_hosts(c->gateway);
    ret->pending = c->join->n_dirty;
}

struct gateway *control_gateway(const struct control *c)
{
    return c->gateway;
}

const struct service_join *control_join(const struct control *c)
{
    return c->join;
}

const struct ingress_routes *control_routes(const struct control *c)
{
    return c->routes;
}

bool control_next_host(const struct control *c, size_t *at, const struct route_host **ret)
{
    void *value;
    if (!map_next(&c->hosts, at, NULL, &value))
        return false;
    *ret = value;
    return true;
}

bool control_next_bad_certificate(const struct control *c, size_t *at, const struct findings **ret)
{
    void *value;
    if (!map_next(&c->bad_certificates, at, NULL, &value))
        return false;
    *ret = value;
    return true;
}

json_t *control_describe_clusters(const struct control *c)
{
    return c->others ? cluster_watch_describe(c->others) : json_array();
}
