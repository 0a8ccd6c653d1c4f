/* The decision thread. Informers feed decoded objects; a changed Service is noted in a dirty set;
 * when the applying thread is free, everything dirty becomes one delta. No timer: the first change
 * goes at once, what comes while it is under way is one delta more. Nothing is written before the
 * first full list of both kinds (row 12). */
#include "agent/agent.h"

#include <errno.h>

#include "agent/applier.h"
#include "base/log.h"
#include "base/time.h"
#include "kube/informer.h"

#define SELECTOR "!service.kubernetes.io/service-proxy-name,!service.kubernetes.io/headless"

enum { UNHEALTHY_AFTER_US = 60 * 1000 * 1000 }; /* two sync periods of 30 s, as kube-proxy */

struct entry {
    struct service_object *object; /* NULL: only slices are known */
    VEC(struct slice_object *) slices;
    struct model_service *applied;
    bool dirty;
};

struct agent {
    struct kube_client *client;
    struct agent_options options;
    struct applier *applier;
    struct informer *services, *slices, *node;
    struct map entries;     /* service key -> struct entry */
    struct map slice_owner; /* slice key -> service key, owned */
    VEC(char *) dirty;
    struct delta_book book;
    char *zone;
    bool slices_started, full_sent;
    bool failed;                /* the last try */
    uint64_t unsynced_since_us; /* told to the kernel, not taken yet; 0 = nothing */
    struct agent_stats stats;
};

/* ---- entries ---- */

static struct entry *entry_get(struct agent *a, const char *key)
{
    struct entry *e = map_find_cstr(&a->entries, key);
    if (!e) {
        e = NEW(struct entry);
        map_put_cstr(&a->entries, key, e);
    }
    return e;
}

static void entry_free(struct entry *e)
{
    service_object_free(e->object);
    VEC_FOREACH (s, &e->slices)
        slice_object_free(*s);
    vec_done(&e->slices);
    model_service_unref(e->applied);
    free(e);
}

static void push(struct agent *a);

static void mark_dirty(struct agent *a, const char *key)
{
    struct entry *e = entry_get(a, key);
    if (e->dirty)
        return;
    e->dirty = true;
    vec_push(&a->dirty, xstrdup(key));
    a->stats.pending = a->dirty.n;
    if (!a->stats.pending_since_us)
        a->stats.pending_since_us = time_mono_us();
}

/* ---- deltas ---- */

static void mark_all_dirty(struct agent *a)
{
    struct str key;
    VEC(char *) keys = {0};
    for (size_t at = 0; map_next(&a->entries, &at, &key, NULL);)
        vec_push(&keys, str_dup(key));
    VEC_FOREACH (k, &keys) {
        mark_dirty(a, *k);
        free(*k);
    }
    vec_done(&keys);
}

static bool rebuild(struct agent *a, struct agent_delta *d, const char *key)
{
    struct delta_options o = {.external_ips = a->options.external_ips};
    struct entry *e = map_find_cstr(&a->entries, key);
    struct model_service *after = NULL;
    if (!e)
        return false;
    e->dirty = false;
    if (e->object)
        after = model_service_new(e->object, (const struct slice_object *const *)e->slices.v,
                                  e->slices.n);
    bool look_again = agent_delta_add(d, &a->book, &o, e->applied, after);
    model_service_unref(e->applied);
    e->applied = after;
    if (!e->object && e->slices.n == 0) {
        map_remove_cstr(&a->entries, key);
        entry_free(e);
    }
    return look_again;
}

static void push(struct agent *a)
{
    bool ready =
        a->services && a->slices && informer_synced(a->services) && informer_synced(a->slices);
    if (!ready || applier_is_busy(a->applier) || (a->full_sent && a->dirty.n == 0))
        return;
    struct agent_delta *d = agent_delta_new(!a->full_sent);
    bool look_again = false;
    d->oldest_us = a->stats.pending_since_us ? a->stats.pending_since_us : time_mono_us();
    for (size_t i = 0; i < a->dirty.n; i++) {
        look_again = rebuild(a, d, a->dirty.v[i]) || look_again;
        free(a->dirty.v[i]);
    }
    vec_clear(&a->dirty);
    a->stats.pending = 0;
    a->stats.pending_since_us = 0;
    if (look_again) {
        a->book.contested = false;
        mark_all_dirty(a);
    }
    if (agent_delta_is_empty(d)) {
        agent_delta_free(d);
        return;
    }
    a->full_sent = true;
    if (!a->unsynced_since_us)
        a->unsynced_since_us = d->oldest_us;
    applier_start(a->applier, &d);
}

static void count_sync(struct agent_stats *s, uint64_t took_us)
{
    unsigned i = 0;
    for (uint64_t limit = 1000; i < ARRAY_LEN(s->sync_buckets) - 1 && took_us > limit; limit *= 2)
        i++;
    s->sync_buckets[i]++;
    s->sync_us_total += took_us;
    s->syncs++;
}

static void on_applied(const struct applier_result *r, void *user)
{
    struct agent *a = user;
    struct agent_stats *s = &a->stats;
    uint64_t now = time_mono_us();
    bool failed_before = a->failed;
    s->dataplane = r->counters;
    a->failed = r->code < 0;
    if (r->code < 0) {
        s->sync_failures++;
        log_error("kernel refused the change", kv_s("cause", err_text(&r->err)));
    } else {
        s->last_sync_us = now;
        a->unsynced_since_us = 0; /* a success brings all that was told before */
    }
    if (!r->oldest_us) {
        if (r->code == 0)
            log_warn(failed_before ? "the kernel took the change at another try"
                                   : "table was changed by somebody else and is put back",
                     kv_i("took_us", (int64_t)r->took_us));
        return;
    }
    count_sync(s, r->took_us);
    s->last_latency_us = now - r->oldest_us;
    if (s->synced)
        s->latency_max_us = MAX(s->latency_max_us, s->last_latency_us);
    if (!s->synced && r->code == 0) {
        s->synced = true;
        log_info("first sync done", kv_i("services", (int64_t)r->services),
                 kv_i("frontends", (int64_t)r->counters.frontends),
                 kv_i("took_us", (int64_t)r->took_us));
    } else {
        log_debug("synced", kv_i("services", (int64_t)r->services),
                  kv_i("took_us", (int64_t)r->took_us),
                  kv_i("latency_us", (int64_t)s->last_latency_us));
    }
    push(a);
}

/* ---- Services ---- */

static void on_push(void *user)
{
    push(user);
}

/* Events of one read from the server are one delta. */
static void push_soon(struct agent *a)
{
    struct loop *l = kube_client_loop(a->client);
    loop_defer_cancel(l, on_push, a);
    loop_defer(l, on_push, a);
}

static void on_service(json_t *object, void *user)
{
    struct agent *a = user;
    struct service_object *s = service_object_decode(object);
    if (!s)
        return;
    struct entry *e = entry_get(a, s->key);
    a->stats.services += e->object == NULL;
    a->stats.service_changes++;
    service_object_free(e->object);
    e->object = s;
    mark_dirty(a, s->key);
    push_soon(a);
}

static void on_service_gone(struct str key, json_t *object, void *user)
{
    struct agent *a = user;
    AUTO_CHARS char *k = str_dup(key);
    struct entry *e = map_find(&a->entries, key);
    (void)object;
    if (!e || !e->object)
        return;
    a->stats.services--;
    a->stats.service_changes++;
    service_object_free(TAKE(e->object));
    mark_dirty(a, k);
    push_soon(a);
}

/* ---- EndpointSlices ---- */

static void slice_drop(struct agent *a, struct str key)
{
    AUTO_CHARS char *owner = map_remove(&a->slice_owner, key);
    struct entry *e = owner ? map_find_cstr(&a->entries, owner) : NULL;
    if (!e)
        return;
    a->stats.slices--;
    for (size_t i = 0; i < e->slices.n; i++)
        if (str_is(key, e->slices.v[i]->key)) {
            slice_object_free(e->slices.v[i]);
            vec_remove(&e->slices, i);
            break;
        }
    mark_dirty(a, owner);
}

static void on_slice(json_t *object, void *user)
{
    struct agent *a = user;
    struct slice_place where = {a->options.node_name, a->zone};
    struct slice_object *s = slice_object_decode(object, &where);
    char key[512];
    a->stats.endpoint_changes++;
    slice_drop(a, str_from(s ? s->key : object_key(object, key)));
    if (s) {
        struct entry *e = entry_get(a, s->service_key);
        vec_push(&e->slices, s);
        map_put_cstr(&a->slice_owner, s->key, xstrdup(s->service_key));
        a->stats.slices++;
        mark_dirty(a, s->service_key);
    }
    push_soon(a);
}

static void on_slice_gone(struct str key, json_t *object, void *user)
{
    struct agent *a = user;
    (void)object;
    a->stats.endpoint_changes++;
    slice_drop(a, key);
    push_soon(a);
}

static void on_synced(void *user)
{
    push_soon(user);
}

static void on_error(const char *text, void *user)
{
    (void)user;
    log_warn("watch lost; what is in the kernel stays", kv_s("cause", text));
}

/* ---- Node ---- */

static void start_slices(struct agent *a)
{
    static const struct informer_ops ops = {on_slice, on_slice_gone, on_synced, on_error};
    const struct informer_options o = {.path = "/apis/discovery.k8s.io/v1/endpointslices",
                                       .label_selector = SELECTOR};
    informer_free(a->slices);
    a->slices = informer_start(a->client, &o, &ops, a);
}

static bool node_is_eligible(const json_t *node)
{
    size_t i;
    json_t *taint;
    if (json_at_str(node, "metadata.deletionTimestamp"))
        return false;
    json_array_foreach(json_at(node, "spec.taints"), i, taint)
    {
        const char *key = json_at_str(taint, "key");
        if (key && streq(key, "ToBeDeletedByClusterAutoscaler"))
            return false;
    }
    return true;
}

/* Row 32: the zone decides about hints, so its change reads all slices again. */
static void on_node(json_t *object, void *user)
{
    struct agent *a = user;
    const char *zone =
        json_key_str(json_at(object, "metadata.labels"), "topology.kubernetes.io/zone");
    bool changed = !streq(zone, a->zone);
    a->stats.node_eligible = node_is_eligible(object);
    if (!changed)
        return;
    free(a->zone);
    a->zone = zone ? xstrdup(zone) : NULL;
    if (a->slices_started) {
        log_info("zone changed", kv_s("zone", zone));
        start_slices(a);
    }
}

static void on_node_gone(struct str key, json_t *object, void *user)
{
    struct agent *a = user;
    (void)key;
    (void)object;
    a->stats.node_eligible = false;
}

static void on_node_synced(void *user)
{
    struct agent *a = user;
    if (!a->slices_started)
        start_slices(a);
    a->slices_started = true;
}

/* ---- life ---- */

int agent_new(struct kube_client *c, struct dataplane *backend, const struct agent_options *o,
              struct agent **ret, struct err *reterr)
{
    static const struct informer_ops service_ops = {on_service, on_service_gone, on_synced,
                                                    on_error};
    static const struct informer_ops node_ops = {on_node, on_node_gone, on_node_synced, on_error};
    struct agent *a = NEW(struct agent);
    AUTO_CHARS char *field = xasprintf("metadata.name=%s", o->node_name);
    const struct informer_options services = {.path = "/api/v1/services",
                                              .label_selector = SELECTOR};
    const struct informer_options node = {.path = "/api/v1/nodes", .field_selector = field};
    a->client = c;
    a->options = *o;
    int r = applier_new(kube_client_loop(c), backend, on_applied, a, &a->applier, reterr);
    if (r < 0) {
        free(a);
        return r;
    }
    a->services = informer_start(c, &services, &service_ops, a);
    a->node = informer_start(c, &node, &node_ops, a);
    *ret = a;
    return 0;
}

void agent_free(struct agent *a)
{
    void *value;
    if (!a)
        return;
    loop_defer_cancel(kube_client_loop(a->client), on_push, a);
    informer_free(a->services);
    informer_free(a->slices);
    informer_free(a->node);
    applier_free(a->applier);
    for (size_t at = 0; map_next(&a->entries, &at, NULL, &value);)
        entry_free(value);
    map_done(&a->entries);
    for (size_t at = 0; map_next(&a->slice_owner, &at, NULL, &value);)
        free(value);
    map_done(&a->slice_owner);
    VEC_FOREACH (k, &a->dirty)
        free(*k);
    vec_done(&a->dirty);
    delta_book_done(&a->book);
    free(a->zone);
    free(a);
}

void agent_get_stats(const struct agent *a, struct agent_stats *ret)
{
    uint64_t since = a->unsynced_since_us ? a->unsynced_since_us : a->stats.pending_since_us;
    *ret = a->stats;
    ret->healthy = !since || time_mono_us() - since <= UNHEALTHY_AFTER_US;
}
