/* What differs waits by the path of its status, with what it is to be, until the watch tells that
 * it is so; a write that fails is tried again 30 s later. */
#include "control/object_status.h"

#include "base/log.h"
#include "base/map.h"
#include "base/time.h"
#include "control/status_writes.h"
#include "model/object_condition.h"

enum { LOOK_MS = 30 * 1000 };

struct object_status {
    struct kube_client *client;
    struct map due;  /* path -> json_t, a list of conditions */
    struct map told; /* paths that have been written since they were put */
    struct loop_call look;
    struct loop_timer *timer;
    struct status_writes *writes;
    bool leads;
};

static void look_soon(struct object_status *s)
{
    loop_defer(kube_client_loop(s->client), &s->look);
}

static void on_written(const char *path, const struct kube_result *r, void *user)
{
    if (!kube_ok(r) && r->status != 404)
        log_warn("the status of an object was not written", kv_s("path", path),
                 kv_s("cause", r->message));
    look_soon(user);
}

static void write_conditions(struct object_status *s, struct str path, json_t *list)
{
    AUTO_JSON json_t *patch = json_pack("{s:{s:O}}", "status", "conditions", list);
    AUTO_CHARS char *text = str_dup(path);
    map_put(&s->told, path, s);
    status_writes_patch(s->writes, path, text, patch);
}

static void on_look(void *user)
{
    struct object_status *s = user;
    struct str path;
    void *list;
    for (size_t at = 0;
         s->leads && status_writes_have_room(s->writes) && map_next(&s->due, &at, &path, &list);)
        if (!map_find(&s->told, path) && !status_writes_have(s->writes, path))
            write_conditions(s, path, list);
}

/* What has been written and is not so: once more. */
static void on_timer(void *user)
{
    struct object_status *s = user;
    map_done(&s->told);
    look_soon(s);
    loop_timer_start(s->timer, LOOK_MS);
}

static void forget(struct object_status *s, const char *path)
{
    json_decref(map_remove_cstr(&s->due, path));
    map_remove_cstr(&s->told, path);
}

static char *path_of(const char *list, struct str key)
{
    struct str plural, name, ns = str_cut(key, '/', &name);
    const char *slash = strrchr(list, '/');
    plural = str_from(slash);
    return xasprintf(STR_FMT "/namespaces/" STR_FMT STR_FMT "/" STR_FMT "/status",
                     (int)(slash - list), list, STR_ARG(ns), STR_ARG(plural), STR_ARG(name));
}

void object_status_put(struct object_status *s, const char *list, const json_t *object,
                       const struct findings *f)
{
    AUTO_CHARS char *key = xasprintf("%s/%s", json_at_str(object, "metadata.namespace"),
                                     json_at_str(object, "metadata.name")),
                    *path = path_of(list, str_from(key));
    json_t *want = object_condition_want(object, f, time_real_s());
    forget(s, path);
    if (!want)
        return;
    map_put_cstr(&s->due, path, want);
    look_soon(s);
}

void object_status_remove(struct object_status *s, const char *list, struct str key)
{
    AUTO_CHARS char *path = path_of(list, key);
    forget(s, path);
}

void object_status_set_leads(struct object_status *s, bool leads)
{
    s->leads = leads;
    look_soon(s);
}

struct object_status *object_status_new(struct kube_client *c)
{
    struct object_status *s = NEW(struct object_status);
    s->client = c;
    s->writes = status_writes_new(c, on_written, s);
    loop_call_init(&s->look, on_look, s);
    s->timer = loop_timer_new(kube_client_loop(c), on_timer, s);
    loop_timer_start(s->timer, LOOK_MS);
    return s;
}

void object_status_free(struct object_status *s)
{
    void *list;
    if (!s)
        return;
    loop_call_cancel(&s->look);
    loop_timer_free(s->timer);
    status_writes_free(s->writes);
    for (size_t at = 0; map_next(&s->due, &at, NULL, &list);)
        json_decref(list);
    map_done(&s->due);
    map_done(&s->told);
    free(s);
}
