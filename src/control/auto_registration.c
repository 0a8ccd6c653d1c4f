/* An entry for each machine that is connected here, or was registered by somebody; what is to be
 * written of it waits with it, one write at a time.
 *
 * Owns groups and entries as the API server has told of them, and the calls under way. */
#include "control/auto_registration.h"

#include <errno.h>

#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/time.h"
#include "control/callers.h"

#define PATH "/apis/networking.istio.io/v1/namespaces/"

enum { WRITES_MAX = 8, LOOK_MS = 1000, AGAIN_MS = 2000, SWEEP_MS = 10 * REGISTRATION_GRACE_MS };

enum due { NOTHING, CONNECTED, DISCONNECTED, GONE };

struct registered {
    char *key, *name, *ns;
    struct auto_registration *of;
    json_t *object; /* as the API server tells it; NULL: it has not */
    json_t *wanted; /* to be made; NULL: nobody has connected here */
    char *account;  /* of who is connected here; NULL: nobody was */
    struct ip ip;
    unsigned streams;
    enum due due;
    int64_t at_us; /* when it connected, or left */
    bool health_due, healthy;
    char *message;
    uint64_t again_ms; /* nothing is written before */
    struct kube_call *call;
    bool writes_health;
    enum due writes;
};

struct auto_registration {
    struct kube_client *client;
    struct auto_registration_options o;
    struct map groups;  /* key -> json_t */
    struct map entries; /* key -> struct registered */
    struct loop_call look;
    struct loop_timer *timer;
    unsigned writes;
    uint64_t sweep_ms;
    bool leads;
    struct auto_registration_stats stats;
};

static void look_soon(struct auto_registration *a)
{
    loop_defer(kube_client_loop(a->client), &a->look);
}

static struct registered *get(struct auto_registration *a, const char *ns, const char *name)
{
    AUTO_CHARS char *key = xasprintf("%s/%s", ns, name);
    struct registered *e = map_find_cstr(&a->entries, key);
    if (e)
        return e;
    e = NEW(struct registered);
    e->of = a;
    e->key = TAKE(key);
    e->ns = xstrdup(ns);
    e->name = xstrdup(name);
    map_put_cstr(&a->entries, e->key, e);
    return e;
}

static void registered_free(struct registered *e)
{
    if (e->call) {
        kube_call_cancel(e->call);
        e->of->writes--;
    }
    json_decref(e->object);
    json_decref(e->wanted);
    free(e->message);
    free(e->account);
    free(e->key);
    free(e->ns);
    free(e->name);
    free(e);
}

static void forget_if_idle(struct registered *e)
{
    if (e->streams || e->object || e->call || e->due != NOTHING)
        return;
    map_remove_cstr(&e->of->entries, e->key);
    registered_free(e);
}

static const char *annotation(const json_t *object, const char *name)
{
    const char *text = json_key_str(json_at(object, "metadata.annotations"), name);
    return text ? text : "";
}

/* Of the group, and so one that may be written. */
static bool is_of_group(const json_t *object, const char *group)
{
    return streq(annotation(object, REGISTRATION_GROUP), group);
}

/* ---- writes ---- */

static void settle(struct registered *e, const struct kube_result *r)
{
    struct auto_registration *a = e->of;
    enum due wrote = e->writes;
    if (e->writes_health) {
        e->health_due = e->health_due && !kube_ok(r);
        return;
    }
    if (kube_ok(r) || (wrote == GONE && r->status == 404)) {
        a->stats.created += wrote == CONNECTED && r->status == 201;
        a->stats.deleted += wrote == GONE;
        if (wrote == CONNECTED && r->status == 201)
            log_info("a workload is registered", kv_s("entry", e->key));
        if (wrote == GONE)
            log_info("a workload that has gone is registered no more", kv_s("entry", e->key));
        if (e->due == wrote)
            e->due = NOTHING;
        return;
    }
    /* 409, 404: the watch will tell what there is. Who has gone needs nothing where there is
     * nothing. */
    if (wrote == DISCONNECTED && r->status == 404 && e->due == wrote)
        e->due = NOTHING;
    e->again_ms = time_mono_ms() + AGAIN_MS;
    if (r->status == 404 || r->status == 409)
        return;
    a->stats.failed++;
    log_warn("a workload's entry cannot be written: it is tried again", kv_s("entry", e->key),
             kv_s("cause", r->message));
}

static void on_written(const struct kube_result *r, void *user)
{
    struct registered *e = user;
    struct auto_registration *a = e->of;
    e->call = NULL;
    a->writes--;
    settle(e, r);
    forget_if_idle(e);
    look_soon(a);
}

static void call(struct registered *e, const char *method, bool named, const char *sub,
                 const json_t *body)
{
    AUTO_CHARS char *path = xasprintf(PATH "%s/workloadentries%s%s%s", e->ns, named ? "/" : "",
                                      named ? e->name : "", sub);
    e->of->writes++;
    e->call = kube_call(e->of->client, method, path,
                        streq(method, "PATCH") ? "application/merge-patch+json" : NULL, body,
                        on_written, e);
}

static void write_connected(struct registered *e)
{
    AUTO_JSON json_t *patch = registration_connected(e->of->o.controller, e->at_us);
    if (e->object) {
        call(e, "PATCH", true, "", patch);
        return;
    }
    AUTO_JSON json_t *whole = json_deep_copy(e->wanted);
    json_t *annotations = json_at(whole, "metadata.annotations"), *value;
    const char *key;
    json_object_foreach(json_at(patch, "metadata.annotations"), key,
                        value) if (!json_is_null(value)) json_object_set(annotations, key, value);
    call(e, "POST", false, "", whole);
}

/* As it is now: whoever has changed it since is looked at first. */
static void write_gone(struct registered *e)
{
    const char *version = json_at_str(e->object, "metadata.resourceVersion");
    AUTO_JSON json_t *options =
        json_pack("{s:s,s:s,s:{s:s*}}", "apiVersion", "v1", "kind", "DeleteOptions",
                  "preconditions", "resourceVersion", version);
    call(e, "DELETE", true, "", options);
}

static void write_health(struct registered *e)
{
    AUTO_JSON json_t *list =
        registration_health(e->object, e->healthy, e->message ? e->message : "", time_real_us());
    AUTO_JSON json_t *patch = json_pack("{s:{s:O}}", "status", "conditions", list);
    call(e, "PATCH", true, "/status", patch);
}

/* Another control plane has it now. */
static bool is_elsewhere(const struct registered *e)
{
    return e->object && *annotation(e->object, REGISTRATION_CONNECTED) &&
           !streq(annotation(e->object, REGISTRATION_CONTROLLER), e->of->o.controller);
}

static void write_due(struct registered *e)
{
    e->writes = e->due;
    e->writes_health = false;
    switch (e->due) {
    case CONNECTED:
        write_connected(e);
        break;
    case DISCONNECTED: {
        AUTO_JSON json_t *patch = registration_disconnected(e->at_us);
        call(e, "PATCH", true, "", patch);
        break;
    }
    case GONE:
        write_gone(e);
        break;
    case NOTHING:
        e->writes_health = true;
        write_health(e);
        break;
    }
}

static void on_look(void *user)
{
    struct auto_registration *a = user;
    uint64_t now_ms = time_mono_ms();
    void *p;
    for (size_t at = 0; a->writes < WRITES_MAX && map_next(&a->entries, &at, NULL, &p);) {
        struct registered *e = p;
        bool health = e->health_due && e->object && e->streams;
        if (!e->call && e->again_ms <= now_ms && (e->due != NOTHING || health))
            write_due(e);
    }
}

/* ---- who has gone ---- */

/* Its control plane is none that runs: nobody will say that it has gone. */
static bool is_orphan(const struct auto_registration *a, const struct registered *e)
{
    const char *controller = annotation(e->object, REGISTRATION_CONTROLLER);
    if (!*annotation(e->object, REGISTRATION_GROUP) ||
        !*annotation(e->object, REGISTRATION_CONNECTED) || e->streams)
        return false;
    if (streq(controller, a->o.controller))
        return true;
    AUTO_CHARS char *key = xasprintf("%s/%s", a->o.namespace_, controller);
    return !workloads_find(a->o.pods, str_from(key));
}

static void check(struct auto_registration *a, struct registered *e, bool sweep)
{
    int64_t before_us = time_real_us() - (int64_t)REGISTRATION_GRACE_MS * 1000;
    if (e->due != NOTHING || !e->object || e->streams)
        return;
    bool ours = streq(annotation(e->object, REGISTRATION_CONTROLLER), a->o.controller);
    if (registration_is_over(e->object, before_us) && (ours || (a->leads && sweep))) {
        e->due = GONE;
    } else if (sweep && (ours || a->leads) && is_orphan(a, e)) {
        e->due = DISCONNECTED;
        e->at_us = time_real_us();
    }
}

static void on_timer(void *user)
{
    struct auto_registration *a = user;
    uint64_t now_ms = time_mono_ms();
    bool sweep = now_ms >= a->sweep_ms;
    void *p;
    if (sweep)
        a->sweep_ms = now_ms + SWEEP_MS;
    for (size_t at = 0; map_next(&a->entries, &at, NULL, &p);)
        check(a, p, sweep);
    on_look(a);
    loop_timer_start(a->timer, LOOK_MS);
}

/* ---- what the API server tells ---- */

static char *key_of(const json_t *object)
{
    const char *ns = json_at_str(object, "metadata.namespace"),
               *name = json_at_str(object, "metadata.name");
    return ns && name ? xasprintf("%s/%s", ns, name) : NULL;
}

void auto_registration_put_group(struct auto_registration *a, const json_t *group)
{
    AUTO_CHARS char *key = key_of(group);
    if (key)
        json_decref(map_put_cstr(&a->groups, key, json_incref((json_t *)(uintptr_t)group)));
}

void auto_registration_remove_group(struct auto_registration *a, struct str key)
{
    json_decref(map_remove(&a->groups, key));
}

void auto_registration_put_entry(struct auto_registration *a, const json_t *entry)
{
    AUTO_CHARS char *key = key_of(entry);
    struct registered *e = key ? map_find_cstr(&a->entries, key) : NULL;
    if (!key || (!e && !*annotation(entry, REGISTRATION_GROUP)))
        return; /* one that somebody has written */
    if (!e)
        e = get(a, json_at_str(entry, "metadata.namespace"), json_at_str(entry, "metadata.name"));
    json_decref(e->object);
    e->object = json_incref((json_t *)(uintptr_t)entry);
    if (e->due == DISCONNECTED && !e->call && is_elsewhere(e) && !a->leads)
        e->due = NOTHING;
    look_soon(a);
}

void auto_registration_remove_entry(struct auto_registration *a, struct str key)
{
    struct registered *e = map_find(&a->entries, key);
    if (!e)
        return;
    json_decref(e->object);
    e->object = NULL;
    if (e->streams) /* somebody has deleted it: its proxy is there */
        e->due = CONNECTED;
    else if (!e->call)
        e->due = NOTHING;
    look_soon(a);
    forget_if_idle(e);
}

/* ---- who comes ---- */

static int check_address(const struct auto_registration *a, const struct ip *ip, struct err *reterr)
{
    const struct workload *w = workloads_find_ip(a->o.pods, (struct str){0}, ip);
    const uint8_t first = ip->bytes[0];
    bool link_local = ip->family == AF_INET ? first == 169 && ip->bytes[1] == 254
                                            : first == 0xfe && (ip->bytes[1] & 0xc0) == 0x80,
         many = ip->family == AF_INET ? first >= 224 : first == 0xff;
    if (ip_is_loopback(ip) || ip_is_any(ip) || link_local || many)
        return err_set(reterr, -EACCES, "node.id", "a workload has an address that others reach");
    if (w && !w->entry)
        return err_set(reterr, -EACCES, "node.id", "that address is one of pod %s", w->key);
    return 0;
}

static size_t count_of(const struct auto_registration *a, const char *ns, struct str account)
{
    size_t n = 0;
    void *p;
    for (size_t at = 0; map_next(&a->entries, &at, NULL, &p);) {
        const struct registered *e = p;
        const json_t *of = e->object ? e->object : e->wanted;
        const char *is = json_at_str(of, "spec.serviceAccount");
        n += streq(e->ns, ns) && is && str_is(account, is);
    }
    return n;
}

static int refuse(struct auto_registration *a, int code, const struct registration *r,
                  const struct err *err)
{
    a->stats.refused++;
    log_info("a workload is not registered", kv_s("namespace", r->ns), kv_s("group", r->group),
             kv_s("error", err_text(err)));
    return code;
}

static int may_connect(struct auto_registration *a, const struct registration *r,
                       const char *account, json_t **ret_entry, struct err *reterr)
{
    AUTO_CHARS char *group_key = xasprintf("%s/%s", r->ns, r->group);
    AUTO_CHARS char *name = registration_name(r);
    AUTO_CHARS char *key = xasprintf("%s/%s", r->ns, name);
    const json_t *group = map_find_cstr(&a->groups, group_key);
    const struct registered *there = map_find_cstr(&a->entries, key);
    struct str account_name, ns = callers_account(account, &account_name);
    if (!str_is(ns, r->ns))
        return err_set(reterr, -EACCES, "node.id", "%s is not of namespace %.100s", account, r->ns);
    if (!group)
        return err_set(reterr, -ENOENT, "node.metadata", "there is no WorkloadGroup %.300s",
                       group_key);
    int code = check_address(a, &r->ip, reterr);
    if (code == 0)
        code = registration_entry(r, group, account_name, ret_entry, reterr);
    if (code < 0)
        return code;
    const char *of = there ? json_at_str(there->object, "spec.serviceAccount") : NULL;
    if (there && there->object && !is_of_group(there->object, r->group))
        return err_set(reterr, -EACCES, "node.metadata",
                       "WorkloadEntry %s is there, and not of that group", key);
    if (!str_empty(of) && !str_is(account_name, of))
        return err_set(reterr, -EACCES, "node.metadata", "WorkloadEntry %s is of account %.100s",
                       key, of);
    if (!there && count_of(a, r->ns, account_name) >= REGISTRATION_ENTRIES_MAX)
        return err_set(reterr, -EUSERS, NULL, "%s has %d WorkloadEntries", account,
                       REGISTRATION_ENTRIES_MAX);
    return 0;
}

int auto_registration_connect(struct auto_registration *a, const struct registration *r,
                              const char *account, struct registered **ret, struct err *reterr)
{
    AUTO_JSON json_t *entry = NULL;
    int code = may_connect(a, r, account, &entry, reterr);
    if (code < 0)
        return refuse(a, code, r, reterr);
    struct registered *e = get(a, r->ns, json_at_str(entry, "metadata.name"));
    json_decref(e->wanted);
    e->wanted = TAKE(entry);
    free(e->account);
    e->account = xstrdup(account);
    e->ip = r->ip;
    e->at_us = time_real_us();
    e->due = CONNECTED;
    e->again_ms = 0;
    a->stats.connected += e->streams++ == 0;
    look_soon(a);
    *ret = e;
    return 0;
}

void auto_registration_leave(struct auto_registration *a, struct registered *e)
{
    ASSERT(e->streams);
    if (--e->streams)
        return;
    a->stats.connected--;
    e->health_due = false;
    e->at_us = time_real_us();
    e->due = is_elsewhere(e) ? NOTHING : DISCONNECTED;
    look_soon(a);
}

void auto_registration_health(struct auto_registration *a, struct registered *e, bool healthy,
                              const char *message)
{
    e->healthy = healthy;
    free(e->message);
    e->message = xstrdup(message ? message : "");
    e->health_due = true;
    look_soon(a);
}

bool auto_registration_has(const struct auto_registration *a, const char *account,
                           const struct ip *ip)
{
    void *p;
    for (size_t at = 0; map_next(&a->entries, &at, NULL, &p);) {
        const struct registered *e = p;
        if (e->streams && streq(e->account, account) && ip_eq(&e->ip, ip))
            return true;
    }
    return false;
}

/* ---- lifetime ---- */

void auto_registration_set_leads(struct auto_registration *a, bool leads)
{
    a->leads = leads;
}

struct auto_registration *auto_registration_new(struct kube_client *c,
                                                const struct auto_registration_options *o)
{
    struct auto_registration *a = NEW(struct auto_registration);
    a->client = c;
    a->o = *o;
    loop_call_init(&a->look, on_look, a);
    a->timer = loop_timer_new(kube_client_loop(c), on_timer, a);
    loop_timer_start(a->timer, LOOK_MS);
    a->sweep_ms = time_mono_ms() + SWEEP_MS; /* who is there comes first */
    return a;
}

void auto_registration_free(struct auto_registration *a)
{
    void *p;
    if (!a)
        return;
    loop_call_cancel(&a->look);
    loop_timer_free(a->timer);
    for (size_t at = 0; map_next(&a->entries, &at, NULL, &p);)
        registered_free(p);
    for (size_t at = 0; map_next(&a->groups, &at, NULL, &p);)
        json_decref(p);
    map_done(&a->entries);
    map_done(&a->groups);
    free(a);
}

struct auto_registration_stats auto_registration_get_stats(const struct auto_registration *a)
{
    struct auto_registration_stats s = a->stats;
    s.entries = a->entries.used;
    return s;
}
