/* The controllers' frame: informers, queues, syncs.
 *
 * Owns one informer per watched kind (shared by all controllers) and a queue per controller; which
 * controllers there are is told by who starts it. A key
 * is in flight once at most; changes meanwhile mark it dirty and it comes again. Nothing runs
 * before every informer has its first list, so no controller ever acts on half a world. Failed keys
 * come back after 10 ms, doubling to 10 s. One loop, no threads. */
#include "lab/controllers/controller.h"

#include <stdio.h>

#include "base/assert.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/time.h"
#include "lab/controllers/controller_index.h"

enum {
    IN_FLIGHT_MAX = 64,
    BACKOFF_MIN_MS = 10,
    BACKOFF_MAX_MS = 10000,
    TICK_MS = 1000,
    REMEMBERED_MAX = 4096,
    GAP_MS = 5000, /* between looks at the clock: more is a sleep */
};

/* A key known to a queue. */
struct work {
    struct list_node ready; /* in controller.ready, or unlinked */
    struct controller *controller;
    struct loop_timer *timer; /* comes again then; NULL until needed */
    uint64_t due_ms;
    unsigned failures;
    bool in_flight;
    bool dirty; /* changed while in flight */
    char key[];
};

struct controller {
    const struct controller_kind *kind;
    struct controllers *set;
    struct map works;
    struct map remembered;
    struct event_recorder *events;
    struct list_node ready;
    unsigned in_flight;
};

struct watch {
    struct controllers *set;
    enum watched kind;
    struct informer *informer;
};

struct controllers {
    struct kube_client *client;
    struct controllers_options options;
    struct watch watches[_WATCHED_MAX];
    struct controller_index *index;
    const json_t *before; /* of the change being told */
    struct controller *controllers;
    size_t n_controllers;
    unsigned synced;
    struct loop_call run;
    uint64_t awake_since_ms;
    int64_t looked_at_ms; /* of the real clock */
    struct loop_timer *tick;
    struct list_node open; /* syncs whose calls are not answered yet */
};

struct sync {
    struct list_node node; /* in controllers.open */
    struct list_node parts;
    struct work *work;
    unsigned pending; /* calls, and 1 while the sync function runs */
    bool failed;
    uint64_t again_ms;
    void *kept;
    void (*done)(void *kept);
};

struct sync_part {
    struct list_node node; /* in sync.parts */
    struct kube_call *call;
    struct sync *sync;
    enum watched kind;
    bool is_delete;
    bool is_create;
    sync_answer_fn *fn;   /* of sync_ask() */
    sync_answer_fn *then; /* of sync_call_then() */
    char *text;
};

/* ---- queue ---- */

static void controllers_run(void *user);

static void run_soon(struct controllers *cs)
{
    if (cs->synced == _WATCHED_MAX)
        loop_defer(kube_client_loop(cs->client), &cs->run);
}

static void work_ready(struct work *w)
{
    if (w->in_flight)
        w->dirty = true;
    else if (!list_is_linked(&w->ready))
        list_add_tail(&w->controller->ready, &w->ready);
    run_soon(w->controller->set);
}

static void on_work_timer(void *user)
{
    work_ready(user);
}

static struct work *work_get(struct controller *c, const char *key)
{
    struct work *w = map_find_cstr(&c->works, key);
    if (w)
        return w;
    w = xcalloc(1, sizeof(*w) + strlen(key) + 1);
    w->controller = c;
    memcpy(w->key, key, strlen(key) + 1);
    map_put_cstr(&c->works, key, w);
    return w;
}

static void work_free(struct work *w)
{
    list_remove(&w->ready);
    loop_timer_free(w->timer);
    free(w);
}

void controller_enqueue(struct controller *c, const char *key)
{
    work_ready(work_get(c, key));
}

void controller_enqueue_after(struct controller *c, const char *key, uint64_t after_ms)
{
    struct work *w = work_get(c, key);
    uint64_t due_ms = time_mono_ms() + after_ms;
    if (!w->timer)
        w->timer = loop_timer_new(kube_client_loop(c->set->client), on_work_timer, w);
    if (loop_timer_is_started(w->timer) && w->due_ms <= due_ms)
        return;
    w->due_ms = due_ms;
    loop_timer_start(w->timer, after_ms);
}

void controller_enqueue_object(struct controller *c, const json_t *object)
{
    char key[512];
    controller_enqueue(c, object_key(object, key));
}

/* ---- sync ---- */

static void part_free(struct sync_part *part)
{
    list_remove(&part->node);
    free(part->text);
    free(part);
}

static void sync_free(struct sync *s)
{
    LIST_FOREACH_SAFE (node, &s->parts) {
        struct sync_part *part = CONTAINER_OF(node, struct sync_part, node);
        kube_call_cancel(part->call);
        part_free(part);
    }
    if (s->done)
        s->done(s->kept);
    list_remove(&s->node);
    free(s);
}

static void sync_part_done(struct sync *s)
{
    struct work *w = s->work;
    struct controller *c = w->controller;
    if (--s->pending)
        return;
    w->in_flight = false;
    c->in_flight--;
    bool dirty = w->dirty;
    w->dirty = false;
    if (s->failed) {
        uint64_t wait = BACKOFF_MIN_MS << MIN(w->failures, 10u);
        w->failures++;
        if (c->kind->on_failed)
            c->kind->on_failed(c, w->key);
        controller_enqueue_after(c, w->key, MIN(wait, (uint64_t)BACKOFF_MAX_MS));
    } else {
        w->failures = 0;
        if (s->again_ms)
            controller_enqueue_after(c, w->key, s->again_ms);
    }
    if (dirty && !s->failed) {
        work_ready(w);
    } else if (!s->failed && !s->again_ms && !(w->timer && loop_timer_is_started(w->timer))) {
        map_remove_cstr(&c->works, w->key);
        work_free(w);
    }
    run_soon(c->set);
    sync_free(s);
}

static void on_sync_call(const struct kube_result *r, void *user)
{
    struct sync_part *part = user;
    struct sync *s = part->sync;
    struct controller *c = s->work->controller;
    bool fine = kube_ok(r) || ((part->is_delete || part->fn) && r->status == 404) ||
                (part->is_create && r->status == 409 && streq(r->reason, "AlreadyExists"));
    if (!fine) {
        s->failed = true;
        if (r->status != 409 && r->status != 404)
            log_warn("api call failed", kv_s("controller", c->kind->name),
                     kv_s("object", s->work->key), kv_i("status", r->status),
                     kv_s("err", r->message));
    } else if (part->fn) {
        part->fn(s, part->kind, r, part->text);
    } else if (kube_ok(r) && part->kind != _WATCHED_MAX && json_at_str(r->object, "metadata.uid")) {
        informer_offer(c->set->watches[part->kind].informer, r->object);
    }
    if (part->then)
        part->then(s, part->kind, r, part->text);
    part_free(part);
    sync_part_done(s);
}

static struct sync_part *part_new(struct sync *s, enum watched kind)
{
    struct sync_part *part = NEW(struct sync_part);
    part->sync = s;
    part->kind = kind;
    s->pending++;
    list_add_tail(&s->parts, &part->node);
    return part;
}

static struct sync_part *call_new(struct sync *s, enum watched kind, const char *method,
                                  const char *path, const char *content_type, const json_t *body)
{
    struct sync_part *part = part_new(s, kind);
    part->is_delete = streq(method, "DELETE");
    part->is_create = streq(method, "POST");
    part->call = kube_call(s->work->controller->set->client, method, path, content_type, body,
                           on_sync_call, part);
    return part;
}

void sync_call(struct sync *s, enum watched kind, const char *method, const char *path,
               const char *content_type, const json_t *body)
{
    (void)call_new(s, kind, method, path, content_type, body);
}

void sync_call_then(struct sync *s, enum watched kind, const char *method, const char *path,
                    const char *content_type, const json_t *body, const char *text,
                    sync_answer_fn *then)
{
    struct sync_part *part = call_new(s, kind, method, path, content_type, body);
    part->text = xstrdup(text);
    part->then = then;
}

void sync_ask(struct sync *s, enum watched kind, const char *path, const char *text,
              sync_answer_fn *fn)
{
    struct sync_part *part = part_new(s, kind);
    part->fn = fn;
    part->text = xstrdup(text);
    part->call =
        kube_call(s->work->controller->set->client, "GET", path, NULL, NULL, on_sync_call, part);
}

void controller_remember(struct controller *c, const char *text)
{
    static char present; /* a map keeps no empty values */
    if (c->remembered.used >= REMEMBERED_MAX)
        map_done(&c->remembered);
    map_put_cstr(&c->remembered, text, &present);
}

bool controller_remembers(const struct controller *c, const char *text)
{
    return map_find_cstr(&c->remembered, text) != NULL;
}

static void on_refreshed(const struct kube_result *r, void *user)
{
    struct watch *watch = user;
    if (kube_ok(r) && r->object)
        informer_correct(watch->informer, r->object);
}

void controller_refresh(struct controller *c, enum watched kind, const char *path)
{
    (void)kube_call(c->set->client, "GET", path, NULL, NULL, on_refreshed, &c->set->watches[kind]);
}

void sync_keep(struct sync *s, void *kept, void (*done)(void *kept))
{
    ASSERT(!s->done);
    s->kept = kept;
    s->done = done;
}

void *sync_kept(const struct sync *s)
{
    return s->kept;
}

void sync_again_after(struct sync *s, uint64_t after_ms)
{
    s->again_ms = s->again_ms ? MIN(s->again_ms, after_ms) : after_ms;
}

static void work_run(struct work *w)
{
    struct controller *c = w->controller;
    struct sync *s = NEW(struct sync);
    list_init(&s->parts);
    list_add_tail(&c->set->open, &s->node);
    s->work = w;
    s->pending = 1;
    w->in_flight = true;
    w->dirty = false;
    c->in_flight++;
    c->kind->sync(s, w->key);
    sync_part_done(s);
}

static void controllers_run(void *user)
{
    struct controllers *cs = user;
    for (size_t i = 0; i < cs->n_controllers; i++) {
        struct controller *c = &cs->controllers[i];
        while (!list_is_empty(&c->ready) && c->in_flight < IN_FLIGHT_MAX) {
            struct work *w = CONTAINER_OF(c->ready.next, struct work, ready);
            list_remove(&w->ready);
            work_run(w);
        }
    }
}

/* ---- informers ---- */

static void tell_change(struct watch *watch, json_t *object, bool deleted)
{
    for (size_t i = 0; i < watch->set->n_controllers; i++) {
        struct controller *c = &watch->set->controllers[i];
        c->kind->on_change(c, watch->kind, object, deleted);
    }
}

static void on_upsert(json_t *object, void *user)
{
    struct watch *watch = user;
    struct controllers *cs = watch->set;
    controller_index_put(cs->index, watch->kind, object, &cs->before);
    tell_change(watch, object, false);
    cs->before = NULL;
    controller_index_settle(cs->index);
}

static void on_delete(struct str key, json_t *object, void *user)
{
    struct watch *watch = user;
    AUTO_CHARS char *text = str_dup(key);
    controller_index_remove(watch->set->index, watch->kind, text);
    tell_change(watch, object, true);
}

static void on_synced(void *user)
{
    struct watch *watch = user;
    struct controllers *cs = watch->set;
    if (cs->synced < _WATCHED_MAX && ++cs->synced == _WATCHED_MAX)
        log_info("caches are filled", kv_i("kinds", _WATCHED_MAX));
    run_soon(cs);
}

static void on_error(const char *text, void *user)
{
    struct watch *watch = user;
    if (watch->kind == WATCHED_NODE || watch->kind == WATCHED_LEASE)
        watch->set->awake_since_ms = time_mono_ms();
    log_warn("watch failed", kv_s("err", text));
}

static void on_tick(void *user)
{
    struct controllers *cs = user;
    if (cs->synced >= _WATCHED_MAX)
        for (size_t i = 0; i < cs->n_controllers; i++)
            if (cs->controllers[i].kind->on_tick)
                cs->controllers[i].kind->on_tick(&cs->controllers[i]);
    loop_timer_start(cs->tick, TICK_MS);
}

struct controllers *controllers_start(struct kube_client *client,
                                      const struct controllers_options *o,
                                      const struct controller_kind *const *kinds, size_t n)
{
    static const struct informer_ops ops = {on_upsert, on_delete, on_synced, on_error};
    struct controllers *cs = NEW(struct controllers);
    loop_call_init(&cs->run, controllers_run, cs);
    cs->client = client;
    cs->options = *o;
    cs->index = controller_index_new();
    cs->controllers = xcalloc(n, sizeof(*cs->controllers));
    cs->n_controllers = n;
    list_init(&cs->open);
    for (size_t i = 0; i < n; i++) {
        cs->controllers[i].kind = kinds[i];
        cs->controllers[i].set = cs;
        cs->controllers[i].events = event_recorder_new(client, "fairlead.dev/lab", NULL);
        list_init(&cs->controllers[i].ready);
    }
    for (int i = 0; i < _WATCHED_MAX; i++) {
        cs->watches[i].set = cs;
        cs->watches[i].kind = (enum watched)i;
        AUTO_CHARS char *path = xasprintf("%s/%s", watched_kinds[i].path, watched_kinds[i].plural);
        struct informer_options io = {.path = path, .cache = true};
        cs->watches[i].informer = informer_start(client, &io, &ops, &cs->watches[i]);
    }
    cs->tick = loop_timer_new(kube_client_loop(client), on_tick, cs);
    loop_timer_start(cs->tick, TICK_MS);
    return cs;
}

void controllers_free(struct controllers *cs)
{
    if (!cs)
        return;
    loop_call_cancel(&cs->run);
    LIST_FOREACH_SAFE (node, &cs->open)
        sync_free(CONTAINER_OF(node, struct sync, node));
    for (int i = 0; i < _WATCHED_MAX; i++)
        informer_free(cs->watches[i].informer);
    for (size_t i = 0; i < cs->n_controllers; i++) {
        void *value;
        for (size_t at = 0; map_next(&cs->controllers[i].works, &at, NULL, &value);)
            work_free(value);
        map_done(&cs->controllers[i].works);
        map_done(&cs->controllers[i].remembered);
        event_recorder_free(cs->controllers[i].events);
    }
    free(cs->controllers);
    controller_index_free(cs->index);
    loop_timer_free(cs->tick);
    free(cs);
}

const struct controllers_options *controllers_options_of(const struct controllers *cs)
{
    return &cs->options;
}

struct controllers *controller_set(struct controller *c)
{
    return c->set;
}

uint64_t controllers_awake_ms(struct controllers *cs)
{
    int64_t now_ms = time_real_us() / 1000, gap_ms = now_ms - cs->looked_at_ms;
    if (gap_ms < -GAP_MS || gap_ms > GAP_MS)
        cs->awake_since_ms = time_mono_ms();
    cs->looked_at_ms = now_ms;
    return time_mono_ms() - cs->awake_since_ms;
}

struct controller *sync_controller(struct sync *s)
{
    return s->work->controller;
}

const char *sync_key(const struct sync *s)
{
    return s->work->key;
}

struct controllers *sync_set(struct sync *s)
{
    return s->work->controller->set;
}

struct informer *controllers_informer(struct controllers *cs, enum watched kind)
{
    return cs->watches[kind].informer;
}

bool controllers_next(struct controllers *cs, enum watched kind, enum index_by by,
                      const char *value, size_t *at, json_t **ret)
{
    struct str key;
    while (controller_index_next(cs->index, kind, by, value, at, &key)) {
        *ret = informer_find(cs->watches[kind].informer, key);
        if (*ret)
            return true;
    }
    return false;
}

const json_t *controllers_before(const struct controllers *cs)
{
    return cs->before;
}

struct event_recorder *controller_events(struct controller *c)
{
    return c->events;
}
