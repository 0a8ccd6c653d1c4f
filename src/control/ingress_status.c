/* One informer for the Service, one for the Ingresses with their status; what differs from what it
 * should be waits in a queue, of which a few are written at a time. A write that fails waits for the
 * next change or the next look, which comes every 30 s. */
#include "control/ingress_status.h"

#include "base/log.h"
#include "base/list.h"
#include "kube/informer.h"
#include "kube/leader.h"

enum {
    WRITES_MAX = 8, /* at a time */
    LOOK_MS = 30 * 1000,
};

struct ingress_status {
    struct kube_client *client;
    const struct control *control;
    struct informer *services, *ingresses;
    struct leader *leader;
    struct loop_timer *timer;
    struct loop_call look;
    json_t *want; /* status.loadBalancer.ingress; NULL: not known yet */
    struct list_node writes; /* under way */
    unsigned n_writes;
};

struct write {
    struct list_node node;
    struct kube_call *call;
    struct ingress_status *owner;
    char *key;
};

static void look_soon(struct ingress_status *s)
{
    loop_defer(kube_client_loop(s->client), &s->look);
}

static void write_done(struct write *w)
{
    list_remove(&w->node);
    w->owner->n_writes--;
    free(w->key);
    free(w);
}

static void on_written(const struct kube_result *r, void *user)
{
    struct write *w = user;
    struct ingress_status *s = w->owner;
    bool ok = kube_ok(r) || r->status == 404;
    if (!ok)
        log_warn("the status of an Ingress was not written", kv_s("ingress", w->key),
                 kv_s("cause", r->message));
    write_done(w);
    if (kube_ok(r) && r->object)
        informer_offer(s->ingresses, r->object); /* not again before the watch tells */
    if (ok)
        look_soon(s);
}

static void write_status(struct ingress_status *s, const json_t *ingress, struct str key)
{
    struct str name, ns = str_cut(key, '/', &name);
    AUTO_CHARS char *path = xasprintf("/apis/networking.k8s.io/v1/namespaces/" STR_FMT
                                      "/ingresses/" STR_FMT "/status",
                                      STR_ARG(ns), STR_ARG(name));
    AUTO_JSON json_t *patch = json_pack(
        "{s:{s:s*},s:{s:{s:O}}}", "metadata", "resourceVersion",
        json_at_str(ingress, "metadata.resourceVersion"), "status", "loadBalancer", "ingress",
        s->want);
    struct write *w = NEW(struct write);
    w->owner = s;
    w->key = str_dup(key);
    s->n_writes++;
    list_add_tail(&s->writes, &w->node);
    w->call = kube_call(s->client, "PATCH", path, "application/merge-patch+json", patch, on_written, w);
}

static void on_look(void *user)
{
    struct ingress_status *s = user;
    json_t *ingress;
    if (!leader_leads(s->leader) || !s->want || !informer_synced(s->ingresses))
        return;
    for (size_t at = 0; s->n_writes < WRITES_MAX && informer_next(s->ingresses, &at, &ingress);) {
        char key[512];
        object_key(ingress, key);
        json_t *have = json_at(ingress, "status.loadBalancer.ingress");
        bool same = have ? json_equal(have, s->want) : !json_array_size(s->want);
        if (!same && control_serves(s->control, str_from(key)))
            write_status(s, ingress, str_from(key));
    }
}

static void on_timer(void *user)
{
    struct ingress_status *s = user;
    look_soon(s);
    loop_timer_start(s->timer, LOOK_MS);
}

static void on_leads(bool leads, void *user)
{
    log_info(leads ? "leading: status is written here" : "not leading any more");
    look_soon(user);
}

/* ---- what is watched ---- */

static void on_service(json_t *object, void *user)
{
    struct ingress_status *s = user;
    json_t *want = json_array(), *to;
    size_t i;
    json_array_foreach(json_at(object, "status.loadBalancer.ingress"), i, to)
    {
        const char *ip = json_key_str(to, "ip"), *host = json_key_str(to, "hostname");
        json_array_append_new(want, ip ? json_pack("{s:s}", "ip", ip)
                                       : json_pack("{s:s*}", "hostname", host));
    }
    json_decref(s->want);
    s->want = want;
    look_soon(s);
}

static void on_service_gone(struct str key, json_t *object, void *user)
{
    struct ingress_status *s = user;
    (void)key;
    (void)object;
    json_decref(s->want);
    s->want = json_array();
    look_soon(s);
}

static void on_ingress(json_t *object, void *user)
{
    (void)object;
    look_soon(user);
}

static void on_ingress_gone(struct str key, json_t *object, void *user)
{
    (void)key;
    (void)object;
    (void)user;
}

static void on_synced(void *user)
{
    look_soon(user);
}

struct ingress_status *ingress_status_new(struct kube_client *c, const struct control *control,
                                          const char *service, const char *namespace_,
                                          const char *identity)
{
    static const struct informer_ops service_ops = {.on_upsert = on_service,
                                                    .on_delete = on_service_gone,
                                                    .on_synced = on_synced},
                                     ingress_ops = {.on_upsert = on_ingress,
                                                    .on_delete = on_ingress_gone,
                                                    .on_synced = on_synced};
    struct ingress_status *s = NEW(struct ingress_status);
    struct str name, ns = str_cut(str_from(service), '/', &name);
    AUTO_CHARS char *path = xasprintf("/api/v1/namespaces/" STR_FMT "/services", STR_ARG(ns));
    AUTO_CHARS char *field = xasprintf("metadata.name=" STR_FMT, STR_ARG(name));
    const struct informer_options so = {.path = path, .field_selector = field, .lean = true},
                                  io = {.path = "/apis/networking.k8s.io/v1/ingresses",
                                        .lean = true,
                                        .cache = true};
    s->client = c;
    s->control = control;
    list_init(&s->writes);
    loop_call_init(&s->look, on_look, s);
    s->timer = loop_timer_new(kube_client_loop(c), on_timer, s);
    loop_timer_start(s->timer, LOOK_MS);
    s->services = informer_start(c, &so, &service_ops, s);
    s->ingresses = informer_start(c, &io, &ingress_ops, s);
    s->leader = leader_new(c, namespace_, "fairlead-control-leader", identity, on_leads, s);
    return s;
}

void ingress_status_free(struct ingress_status *s)
{
    if (!s)
        return;
    loop_call_cancel(&s->look);
    loop_timer_free(s->timer);
    informer_free(s->services);
    informer_free(s->ingresses);
    leader_free(s->leader);
    LIST_FOREACH_SAFE (node, &s->writes) {
        struct write *w = CONTAINER_OF(node, struct write, node);
        kube_call_cancel(w->call);
        write_done(w);
    }
    json_decref(s->want);
    free(s);
}

bool ingress_status_leads(const struct ingress_status *s)
{
    return leader_leads(s->leader);
}
