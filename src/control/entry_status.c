/* What differs waits in a map of keys; a write that fails is tried again 30 s later. */
#include "control/entry_status.h"

#include "base/list.h"
#include "base/log.h"

enum {
    WRITES_MAX = 8, /* at a time */
    LOOK_MS = 30 * 1000,
};

struct entry_status {
    struct kube_client *client;
    struct entry_addresses *addresses;
    struct map dirty; /* keys of entries to be looked at */
    struct loop_call look;
    struct loop_timer *timer;
    struct list_node writes; /* struct write */
    unsigned n_writes;
    bool leads, synced;
};

struct write {
    struct list_node node;
    struct kube_call *call;
    struct entry_status *owner;
    char *key;
};

static void look_soon(struct entry_status *s)
{
    loop_defer(kube_client_loop(s->client), &s->look);
}

static void mark(struct entry_status *s, struct str key)
{
    map_put(&s->dirty, key, s);
    look_soon(s);
}

static void mark_all(struct entry_status *s)
{
    struct str key;
    for (size_t at = 0; entry_addresses_next(s->addresses, &at, &key);)
        mark(s, key);
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
    struct entry_status *s = w->owner;
    if (!kube_ok(r) && r->status != 404)
        log_warn("the addresses of a ServiceEntry were not written", kv_s("entry", w->key),
                 kv_s("cause", r->message));
    write_done(w);
    look_soon(s);
}

static void write_addresses(struct entry_status *s, struct str key, json_t *list)
{
    struct str name, ns = str_cut(key, '/', &name);
    AUTO_CHARS char *path = xasprintf("/apis/networking.istio.io/v1/namespaces/" STR_FMT
                                      "/serviceentries/" STR_FMT "/status",
                                      STR_ARG(ns), STR_ARG(name));
    AUTO_JSON json_t *patch = json_pack("{s:{s:O}}", "status", "addresses", list);
    struct write *w = NEW(struct write);
    w->owner = s;
    w->key = str_dup(key);
    s->n_writes++;
    list_add_tail(&s->writes, &w->node);
    w->call =
        kube_call(s->client, "PATCH", path, "application/merge-patch+json", patch, on_written, w);
}

static bool is_being_written(const struct entry_status *s, struct str key)
{
    LIST_FOREACH (node, &s->writes)
        if (str_is(key, CONTAINER_OF(node, struct write, node)->key))
            return true;
    return false;
}

static void on_look(void *user)
{
    struct entry_status *s = user;
    struct str key;
    if (!s->leads || !s->synced)
        return;
    for (size_t at = 0; s->n_writes < WRITES_MAX && map_next(&s->dirty, &at, &key, NULL);) {
        if (is_being_written(s, key))
            continue; /* the watch will tell, or the next look */
        AUTO_JSON json_t *list = entry_addresses_want(s->addresses, key);
        if (list)
            write_addresses(s, key, list);
        map_remove(&s->dirty, key);
    }
}

static void on_timer(void *user)
{
    struct entry_status *s = user;
    mark_all(s);
    loop_timer_start(s->timer, LOOK_MS);
}

void entry_status_put(struct entry_status *s, const struct service_entry *e)
{
    entry_addresses_put(s->addresses, e);
    mark(s, str_from(e->o.key));
}

void entry_status_remove(struct entry_status *s, struct str key)
{
    entry_addresses_remove(s->addresses, key);
    map_remove(&s->dirty, key);
}

void entry_status_set_leads(struct entry_status *s, bool leads)
{
    s->leads = leads;
    mark_all(s);
}

void entry_status_set_synced(struct entry_status *s)
{
    if (!s->synced)
        look_soon(s);
    s->synced = true;
}

struct entry_status *entry_status_new(struct kube_client *c)
{
    struct entry_status *s = NEW(struct entry_status);
    s->client = c;
    s->addresses = entry_addresses_new();
    list_init(&s->writes);
    loop_call_init(&s->look, on_look, s);
    s->timer = loop_timer_new(kube_client_loop(c), on_timer, s);
    loop_timer_start(s->timer, LOOK_MS);
    return s;
}

void entry_status_free(struct entry_status *s)
{
    if (!s)
        return;
    loop_call_cancel(&s->look);
    loop_timer_free(s->timer);
    LIST_FOREACH_SAFE (node, &s->writes) {
        struct write *w = CONTAINER_OF(node, struct write, node);
        kube_call_cancel(w->call);
        write_done(w);
    }
    entry_addresses_free(s->addresses);
    map_done(&s->dirty);
    free(s);
}
