/* Event recorder: builds Events, folds repeats, limits the rate. Owns a small table of what it sent
 * (1024 entries, thrown away whole when full: losing a count is harmless), a token bucket (burst
 * 100, of which 40 are kept for warnings, 10 per second) and the warnings that wait for a token:
 * who warns once says it to nobody else, so the bucket may delay it and not swallow it. */
#include "kube/event_recorder.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/map.h"
#include "base/time.h"
#include "base/vec.h"

enum {
    EVENTS_REMEMBERED = 1024,
    EVENTS_BURST = 100,
    EVENTS_FOR_WARNINGS = 40,
    EVENTS_PER_S = 10,
    EVENTS_WAITING = 256,
    EVENTS_WAIT_MS = 1000 / EVENTS_PER_S,
};

struct event_sent {
    char *name;
    int64_t count;
};

/* A first Event whose time has not come: what it is sent as, and where. */
struct event_waiting {
    json_t *event;
    char *ns;
};

struct event_recorder {
    struct kube_client *client;
    char *component;
    char *host;
    struct map sent; /* "ns/kind/name/uid/reason/message" -> struct event_sent */
    double tokens;
    uint64_t tokens_at_ms;
    VEC(struct event_waiting) waiting; /* oldest first */
    struct loop_timer *timer;
};

static void on_token(void *user);

struct event_recorder *event_recorder_new(struct kube_client *c, const char *component,
                                          const char *host)
{
    struct event_recorder *r = NEW(struct event_recorder);
    r->client = c;
    r->component = xstrdup(component);
    r->host = host ? xstrdup(host) : NULL;
    r->tokens = EVENTS_BURST;
    r->tokens_at_ms = time_mono_ms();
    r->timer = loop_timer_new(kube_client_loop(c), on_token, r);
    return r;
}

static void forget_all(struct event_recorder *r)
{
    void *value;
    for (size_t at = 0; map_next(&r->sent, &at, NULL, &value);) {
        free(((struct event_sent *)value)->name);
        free(value);
    }
    map_done(&r->sent);
}

static void waiting_done(struct event_waiting *w)
{
    json_decref(w->event);
    free(w->ns);
}

void event_recorder_free(struct event_recorder *r)
{
    if (!r)
        return;
    forget_all(r);
    VEC_FOREACH (w, &r->waiting)
        waiting_done(w);
    vec_done(&r->waiting);
    loop_timer_free(r->timer);
    free(r->component);
    free(r->host);
    free(r);
}

/* The last ones of the bucket are for warnings: what goes as it should must not silence them. */
static bool take_token(struct event_recorder *r, bool is_warning)
{
    uint64_t now = time_mono_ms();
    r->tokens = MIN((double)EVENTS_BURST,
                    r->tokens + (double)(now - r->tokens_at_ms) * EVENTS_PER_S / 1000);
    r->tokens_at_ms = now;
    if (r->tokens < (is_warning ? 1 : 1 + EVENTS_FOR_WARNINGS))
        return false;
    r->tokens -= 1;
    return true;
}

static void put_if(json_t *o, const char *path, const char *value)
{
    if (!str_empty(value))
        json_put_str(o, path, value);
}

static void record_repeat(struct event_recorder *r, struct event_sent *sent, const char *ns)
{
    char now[21], path[600];
    AUTO_JSON json_t *patch = json_object();
    time_format_rfc3339(time_real_s(), now);
    json_put_int(patch, "count", ++sent->count);
    json_put_str(patch, "lastTimestamp", now);
    snprintf(path, sizeof(path), "/api/v1/namespaces/%s/events/%s", ns, sent->name);
    (void)kube_call(r->client, "PATCH", path, "application/merge-patch+json", patch, NULL, NULL);
}

static json_t *event_new(const struct event_recorder *r, const json_t *object, const char *kind,
                         const char *api_version, const char *type, const char *reason,
                         const char *message, const char *ns, const char *event_name)
{
    char now[21];
    json_t *e = json_object();
    time_format_rfc3339(time_real_s(), now);
    json_put_str(e, "apiVersion", "v1");
    json_put_str(e, "kind", "Event");
    json_put_str(e, "metadata.name", event_name);
    json_put_str(e, "metadata.namespace", ns);
    json_put_str(e, "involvedObject.kind", kind);
    json_put_str(e, "involvedObject.apiVersion", api_version);
    put_if(e, "involvedObject.namespace", json_at_str(object, "metadata.namespace"));
    put_if(e, "involvedObject.name", json_at_str(object, "metadata.name"));
    put_if(e, "involvedObject.uid", json_at_str(object, "metadata.uid"));
    put_if(e, "involvedObject.resourceVersion", json_at_str(object, "metadata.resourceVersion"));
    json_put_str(e, "type", type);
    json_put_str(e, "reason", reason);
    json_put(e, "message", json_text(str_from(message))); /* it may be cut in a character */
    json_put_str(e, "source.component", r->component);
    put_if(e, "source.host", r->host);
    json_put_str(e, "reportingComponent", r->component);
    json_put_str(e, "reportingInstance", r->host ? r->host : "");
    json_put_str(e, "firstTimestamp", now);
    json_put_str(e, "lastTimestamp", now);
    json_put_int(e, "count", 1);
    return e;
}

static void send_first(struct event_recorder *r, const json_t *event, const char *ns)
{
    char path[600];
    snprintf(path, sizeof(path), "/api/v1/namespaces/%s/events", ns);
    (void)kube_call(r->client, "POST", path, NULL, event, NULL, NULL);
}

static void on_token(void *user)
{
    struct event_recorder *r = user;
    while (r->waiting.n && take_token(r, true)) {
        send_first(r, r->waiting.v[0].event, r->waiting.v[0].ns);
        waiting_done(&r->waiting.v[0]);
        vec_remove(&r->waiting, 0);
    }
    if (r->waiting.n)
        loop_timer_start(r->timer, EVENTS_WAIT_MS);
}

/* Takes event. */
static void wait_for_token(struct event_recorder *r, json_t *event, const char *ns)
{
    vec_push(&r->waiting, ((struct event_waiting){event, xstrdup(ns)}));
    if (!loop_timer_is_started(r->timer))
        loop_timer_start(r->timer, EVENTS_WAIT_MS);
}

void event_record(struct event_recorder *r, const json_t *object, const char *kind,
                  const char *api_version, const char *type, const char *reason, const char *fmt,
                  ...)
{
    char message[1024], key[2048];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(message, sizeof(message), fmt, ap);
    va_end(ap);
    const char *name = json_at_str(object, "metadata.name"),
               *uid = json_at_str(object, "metadata.uid");
    const char *ns = json_at_str(object, "metadata.namespace");
    ns = ns ? ns : "default";
    snprintf(key, sizeof(key), "%s/%s/%s/%s/%s/%s", ns, kind, name ? name : "", uid ? uid : "",
             reason, message);
    struct event_sent *sent = map_find_cstr(&r->sent, key);
    bool is_warning = streq(type, "Warning"), now = !r->waiting.n && take_token(r, is_warning);
    if (sent && now)
        record_repeat(r, sent, ns);
    if (sent || (!now && (!is_warning || r->waiting.n >= EVENTS_WAITING)))
        return;
    if (r->sent.used >= EVENTS_REMEMBERED)
        forget_all(r);
    sent = NEW(struct event_sent);
    sent->name =
        xasprintf("%.200s.%llx", name ? name : "object", (unsigned long long)time_real_us());
    sent->count = 1;
    map_put_cstr(&r->sent, key, sent);
    AUTO_JSON json_t *event =
        event_new(r, object, kind, api_version, type, reason, message, ns, sent->name);
    if (now)
        send_first(r, event, ns);
    else
        wait_for_token(r, json_incref(event), ns);
}
