/* What each Ingress has as its addresses is kept as text, so that a change costs what it touches;
 * what differs from what it should be waits in a queue, of which a few are written at a time. A
 * write that fails is tried again at the next look at all of them, which comes every 30 s. */
#include "control/ingress_status.h"

#include "base/list.h"
#include "base/log.h"
#include "control/status_writes.h"
#include "kube/informer.h"

enum { LOOK_MS = 30 * 1000 };

struct ingress_status {
    struct kube_client *client;
    struct control *control;
    struct informer *services;
    bool leads;
    struct loop_timer *timer;
    struct loop_call look;
    struct map items;       /* key -> struct item */
    struct list_node queue; /* items to be looked at */
    struct status_writes *writes;
    json_t *want; /* status.loadBalancer.ingress; NULL: not known yet */
    char *want_text;
};

struct item {
    struct list_node queue;
    char *have; /* what it has, as text */
    char key[];
};

static char *text_of(const json_t *list)
{
    AUTO_DONE(buf) struct buf b = {0};
    if (json_array_size(list))
        json_write(&b, list);
    return xstrdup(b.n ? buf_cstr(&b) : "");
}

static void look_soon(struct ingress_status *s)
{
    loop_defer(kube_client_loop(s->client), &s->look);
}

static void enqueue(struct ingress_status *s, struct item *i)
{
    if (!list_is_linked(&i->queue))
        list_add_tail(&s->queue, &i->queue);
    look_soon(s);
}

static void enqueue_all(struct ingress_status *s)
{
    void *item;
    for (size_t at = 0; map_next(&s->items, &at, NULL, &item);)
        enqueue(s, item);
}

static void keep(struct ingress_status *s, struct item *i, const json_t *object)
{
    char *have = text_of(json_at(object, "status.loadBalancer.ingress"));
    free(i->have);
    i->have = have;
    if (!streq(have, s->want_text))
        enqueue(s, i);
}

static void on_written(const char *key, const struct kube_result *r, void *user)
{
    struct ingress_status *s = user;
    struct item *i = map_find_cstr(&s->items, key);
    if (!kube_ok(r) && r->status != 404)
        log_warn("the status of an Ingress was not written", kv_s("ingress", key),
                 kv_s("cause", r->message));
    if (kube_ok(r) && r->object && i)
        keep(s, i, r->object); /* not again before the watch tells */
    look_soon(s);
}

static void write_status(struct ingress_status *s, const struct item *i)
{
    struct str name, ns = str_cut(str_from(i->key), '/', &name);
    AUTO_CHARS char *path =
        xasprintf("/apis/networking.k8s.io/v1/namespaces/" STR_FMT "/ingresses/" STR_FMT "/status",
                  STR_ARG(ns), STR_ARG(name));
    AUTO_JSON json_t *patch =
        json_pack("{s:{s:{s:O}}}", "status", "loadBalancer", "ingress", s->want);
    status_writes_patch(s->writes, str_from(i->key), path, patch);
}

static void on_look(void *user)
{
    struct ingress_status *s = user;
    if (!s->leads || !s->want)
        return;
    while (status_writes_have_room(s->writes) && !list_is_empty(&s->queue)) {
        struct item *i = CONTAINER_OF(s->queue.next, struct item, queue);
        list_remove(&i->queue);
        if (!streq(i->have, s->want_text) && control_serves(s->control, str_from(i->key)))
            write_status(s, i);
    }
}

static void on_timer(void *user)
{
    struct ingress_status *s = user;
    enqueue_all(s);
    loop_timer_start(s->timer, LOOK_MS);
}

void ingress_status_set_leads(struct ingress_status *s, bool leads)
{
    s->leads = leads;
    enqueue_all(s);
}

/* ---- what is watched ---- */

static void want(struct ingress_status *s, json_t *list)
{
    json_decref(s->want);
    free(s->want_text);
    s->want = list;
    s->want_text = text_of(list);
    enqueue_all(s);
}

static void on_service(json_t *object, void *user)
{
    json_t *list = json_array(), *to;
    size_t i;
    json_array_foreach(json_at(object, "status.loadBalancer.ingress"), i, to)
    {
        const char *ip = json_key_str(to, "ip"), *host = json_key_str(to, "hostname");
        json_array_append_new(list, ip ? json_pack("{s:s}", "ip", ip)
                                       : json_pack("{s:s*}", "hostname", host));
    }
    want(user, list);
}

static void on_service_gone(struct str key, json_t *object, void *user)
{
    (void)key;
    (void)object;
    want(user, json_array());
}

static void on_synced(void *user)
{
    look_soon(user);
}

static void item_free(struct item *i)
{
    list_remove(&i->queue);
    free(i->have);
    free(i);
}

static void on_ingress(const json_t *object, struct str key, void *user)
{
    struct ingress_status *s = user;
    struct item *i = map_find(&s->items, key);
    if (!object) {
        if (i)
            item_free(map_remove(&s->items, key));
        return;
    }
    if (!i) {
        i = xcalloc(1, sizeof(*i) + key.n + 1);
        memcpy(i->key, key.p, key.n);
        map_put(&s->items, key, i);
    }
    keep(s, i, object);
}

struct ingress_status *ingress_status_new(struct kube_client *c, struct control *control,
                                          const char *service)
{
    static const struct informer_ops service_ops = {
        .on_upsert = on_service, .on_delete = on_service_gone, .on_synced = on_synced};
    struct ingress_status *s = NEW(struct ingress_status);
    struct str name, ns = str_cut(str_from(service), '/', &name);
    AUTO_CHARS char *path = xasprintf("/api/v1/namespaces/" STR_FMT "/services", STR_ARG(ns));
    AUTO_CHARS char *field = xasprintf("metadata.name=" STR_FMT, STR_ARG(name));
    const struct informer_options so = {.path = path, .field_selector = field, .lean = true};
    s->client = c;
    s->control = control;
    list_init(&s->queue);
    s->writes = status_writes_new(c, on_written, s);
    loop_call_init(&s->look, on_look, s);
    s->timer = loop_timer_new(kube_client_loop(c), on_timer, s);
    loop_timer_start(s->timer, LOOK_MS);
    s->services = informer_start(c, &so, &service_ops, s);
    control_set_observer(control, on_ingress, s);
    return s;
}

void ingress_status_free(struct ingress_status *s)
{
    void *item;
    if (!s)
        return;
    control_set_observer(s->control, NULL, NULL);
    loop_call_cancel(&s->look);
    loop_timer_free(s->timer);
    informer_free(s->services);
    status_writes_free(s->writes);
    for (size_t at = 0; map_next(&s->items, &at, NULL, &item);)
        item_free(item);
    map_done(&s->items);
    json_decref(s->want);
    free(s->want_text);
    free(s);
}
