/* What differs waits in a map of keys; a write that fails is tried again 30 s later. */
#include "control/entry_status.h"

#include "base/log.h"
#include "control/status_writes.h"

enum { LOOK_MS = 30 * 1000 };

struct entry_status {
    struct kube_client *client;
    struct entry_addresses *addresses;
    struct map dirty; /* keys of entries to be looked at */
    struct loop_call look;
    struct loop_timer *timer;
    struct status_writes *writes;
    bool leads, synced;
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

static void on_written(const char *key, const struct kube_result *r, void *user)
{
    if (!kube_ok(r) && r->status != 404)
        log_warn("the addresses of a ServiceEntry were not written", kv_s("entry", key),
                 kv_s("cause", r->message));
    look_soon(user);
}

static void write_addresses(struct entry_status *s, struct str key, json_t *list)
{
    struct str name, ns = str_cut(key, '/', &name);
    AUTO_CHARS char *path = xasprintf("/apis/networking.istio.io/v1/namespaces/" STR_FMT
                                      "/serviceentries/" STR_FMT "/status",
                                      STR_ARG(ns), STR_ARG(name));
    AUTO_JSON json_t *patch = json_pack("{s:{s:O}}", "status", "addresses", list);
    status_writes_patch(s->writes, key, path, patch);
}

static void on_look(void *user)
{
    struct entry_status *s = user;
    struct str key;
    if (!s->leads || !s->synced)
        return;
    for (size_t at = 0;
         status_writes_have_room(s->writes) && map_next(&s->dirty, &at, &key, NULL);) {
        if (status_writes_have(s->writes, key))
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
    s->writes = status_writes_new(c, on_written, s);
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
    status_writes_free(s->writes);
    entry_addresses_free(s->addresses);
    map_done(&s->dirty);
    free(s);
}
