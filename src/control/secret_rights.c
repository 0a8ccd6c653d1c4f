/* An answer for each account that has streams; those that are to be asked about wait in a list. */
#include "control/secret_rights.h"

#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/time.h"
#include "codec/json.h"
#include "control/callers.h"

enum {
    ASKED_MAX = 16,
    YES_MS = 5 * 60 * 1000,
    NO_MS = 60 * 1000,
    AGAIN_MS = 5 * 1000, /* behind a failure */
    TICK_MS = 1000,
};

enum answer { UNKNOWN, YES, NO };

struct right {
    struct list_node node; /* of those that wait; linked: it does */
    struct secret_rights *of;
    char *account;
    unsigned uses;
    bool wanted;
    enum answer answer;
    uint64_t until_ms;
    struct kube_call *call;
};

struct secret_rights {
    struct kube_client *client;
    struct map accounts;
    struct list_node waiting;
    struct loop_timer *timer;
    size_t asked;
    void (*on_change)(const char *account, void *user);
    void *user;
};

static void right_free(struct right *q)
{
    if (list_is_linked(&q->node))
        list_remove(&q->node);
    if (q->call) {
        kube_call_cancel(q->call);
        q->of->asked--;
    }
    free(q->account);
    free(q);
}

/* ---- asking ---- */

static void pump(struct secret_rights *r);

static void settle(struct right *q, enum answer answer)
{
    enum answer before = q->answer;
    struct str name, ns = callers_account(q->account, &name);
    q->answer = answer;
    q->until_ms = time_mono_ms() + (answer == YES ? YES_MS : NO_MS);
    if (before == answer)
        return;
    if (answer == NO)
        log_warn("a proxy is given no private keys: its service account may not list Secrets of "
                 "its namespace",
                 kv_s("account", q->account), kv_str("namespace", ns));
    q->of->on_change(q->account, q->of->user);
}

static void on_review(const struct kube_result *result, void *user)
{
    struct right *q = user;
    struct secret_rights *r = q->of;
    const json_t *status = result->object ? json_object_get(result->object, "status") : NULL;
    q->call = NULL;
    r->asked--;
    if (kube_ok(result) && json_is_boolean(json_object_get(status, "allowed")))
        settle(q, json_is_true(json_object_get(status, "allowed")) ? YES : NO);
    else
        q->until_ms = time_mono_ms() + AGAIN_MS;
    pump(r);
}

static void ask(struct right *q)
{
    struct str name, ns = callers_account(q->account, &name);
    AUTO_CHARS char *ns_text = str_dup(ns);
    AUTO_CHARS char *group = xasprintf("system:serviceaccounts:%s", ns_text);
    AUTO_JSON json_t *review = json_pack(
        "{s:s,s:s,s:{s:s,s:[s,s,s],s:{s:s,s:s,s:s}}}", "apiVersion", "authorization.k8s.io/v1",
        "kind", "SubjectAccessReview", "spec", "user", q->account, "groups",
        "system:serviceaccounts", group, "system:authenticated", "resourceAttributes", "namespace",
        ns_text, "verb", "list", "resource", "secrets");
    q->of->asked++;
    q->call = kube_call(q->of->client, "POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews",
                        NULL, review, on_review, q);
}

static void pump(struct secret_rights *r)
{
    while (r->asked < ASKED_MAX && !list_is_empty(&r->waiting)) {
        struct right *q = CONTAINER_OF(r->waiting.next, struct right, node);
        list_remove(&q->node);
        ask(q);
    }
}

static void want(struct right *q, uint64_t now_ms)
{
    if (q->call || list_is_linked(&q->node) || q->until_ms > now_ms)
        return;
    list_add_tail(&q->of->waiting, &q->node);
    pump(q->of);
}

static void on_tick(void *user)
{
    struct secret_rights *r = user;
    uint64_t now_ms = time_mono_ms();
    void *p;
    bool any = false;
    for (size_t at = 0; map_next(&r->accounts, &at, NULL, &p);) {
        struct right *q = p;
        if (q->wanted)
            want(q, now_ms);
        any = any || q->wanted;
    }
    if (any)
        loop_timer_start(r->timer, TICK_MS);
}

/* ---- who ---- */

void secret_rights_use(struct secret_rights *r, const char *account)
{
    struct right *q = map_find_cstr(&r->accounts, account);
    if (!q) {
        q = NEW(struct right);
        q->of = r;
        q->account = xstrdup(account);
        map_put_cstr(&r->accounts, account, q);
    }
    q->uses++;
}

void secret_rights_end_use(struct secret_rights *r, const char *account)
{
    struct right *q = map_find_cstr(&r->accounts, account);
    ASSERT(q && q->uses);
    if (--q->uses)
        return;
    map_remove_cstr(&r->accounts, account);
    right_free(q);
    pump(r);
}

enum xds_may secret_rights_may(struct secret_rights *r, const char *account)
{
    struct right *q = map_find_cstr(&r->accounts, account);
    struct str name;
    if (!q || !callers_account(account, &name).n)
        return XDS_MAY_NOT;
    if (!q->wanted) {
        q->wanted = true;
        loop_timer_start(r->timer, TICK_MS);
        want(q, time_mono_ms());
    }
    return q->answer == YES ? XDS_MAY : q->answer == NO ? XDS_MAY_NOT : XDS_MAY_LATER;
}

bool secret_rights_refused(const struct secret_rights *r, const char *account)
{
    const struct right *q = map_find_cstr(&r->accounts, account);
    return q && q->answer == NO;
}

/* ---- lifetime ---- */

struct secret_rights *secret_rights_new(struct kube_client *c,
                                        void (*on_change)(const char *account, void *user),
                                        void *user)
{
    struct secret_rights *r = NEW(struct secret_rights);
    r->client = c;
    r->on_change = on_change;
    r->user = user;
    list_init(&r->waiting);
    r->timer = loop_timer_new(kube_client_loop(c), on_tick, r);
    return r;
}

void secret_rights_free(struct secret_rights *r)
{
    void *p;
    if (!r)
        return;
    for (size_t at = 0; map_next(&r->accounts, &at, NULL, &p);)
        right_free(p);
    map_done(&r->accounts);
    loop_timer_free(r->timer);
    free(r);
}
