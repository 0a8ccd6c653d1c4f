/* Every 2 s the Lease is read; it is written back, with the version that was read, if it is ours or
 * free. A conflict means that somebody else was quicker: the next round sees it. */
#include "kube/leader.h"

#include "base/time.h"

enum {
    LEASE_S = 15,
    RENEW_DEADLINE_MS = 10 * 1000,
    RETRY_MS = 2000,
};

struct leader {
    struct kube_client *client;
    struct loop_timer *timer;
    struct kube_call *call; /* under way */
    void (*on_change)(bool leads, void *user);
    void *user;
    char *collection, *path, *namespace_, *name, *identity;
    char *seen;          /* holder and time of the Lease as it was seen last */
    uint64_t seen_ms;    /* when that was first seen */
    uint64_t renewed_ms; /* our last renewal, from the moment it was asked for */
    uint64_t asked_ms;
    bool leads;
};

static void set_leads(struct leader *l, bool leads)
{
    if (l->leads == leads)
        return;
    l->leads = leads;
    l->on_change(leads, l->user);
}

/* The round is over. */
static void rest(struct leader *l)
{
    if (l->leads && time_mono_ms() - l->renewed_ms > RENEW_DEADLINE_MS)
        set_leads(l, false);
    loop_timer_start(l->timer, RETRY_MS);
}

static void on_written(const struct kube_result *r, void *user)
{
    struct leader *l = user;
    l->call = NULL;
    if (kube_ok(r)) {
        l->renewed_ms = l->asked_ms;
        set_leads(l, true);
    }
    rest(l);
}

static json_t *spec_of(const struct leader *l, const json_t *before)
{
    char now[28];
    bool ours = streq(json_key_str(before, "holderIdentity"), l->identity);
    const char *acquired = ours ? json_key_str(before, "acquireTime") : NULL;
    int64_t transitions = json_at_int(before, "leaseTransitions", 0);
    time_format_rfc3339_micro(time_real_us(), now);
    return json_pack("{s:s,s:i,s:s,s:s,s:I}", "holderIdentity", l->identity, "leaseDurationSeconds",
                     LEASE_S, "acquireTime", acquired ? acquired : now, "renewTime", now,
                     "leaseTransitions", (json_int_t)(transitions + (before && !ours)));
}

static void create(struct leader *l)
{
    AUTO_JSON json_t *o = json_pack("{s:s,s:s,s:{s:s,s:s},s:o}", "apiVersion",
                                    "coordination.k8s.io/v1", "kind", "Lease", "metadata", "name",
                                    l->name, "namespace", l->namespace_, "spec", spec_of(l, NULL));
    l->call = kube_call(l->client, "POST", l->collection, NULL, o, on_written, l);
}

/* Has its holder renewed it while we looked? */
static bool is_held(struct leader *l, const json_t *spec)
{
    const char *holder = json_key_str(spec, "holderIdentity"),
               *renewed = json_key_str(spec, "renewTime");
    uint64_t duration_ms = (uint64_t)json_at_int(spec, "leaseDurationSeconds", LEASE_S) * 1000;
    char *now = xasprintf("%s %s", holder ? holder : "", renewed ? renewed : "");
    if (!streq(now, l->seen))
        l->seen_ms = time_mono_ms();
    free(l->seen);
    l->seen = now;
    return !str_empty(holder) && !streq(holder, l->identity) &&
           time_mono_ms() - l->seen_ms < duration_ms;
}

static void on_read(const struct kube_result *r, void *user)
{
    struct leader *l = user;
    l->call = NULL;
    if (r->code == 0 && r->status == 404) {
        create(l);
        return;
    }
    if (!kube_ok(r) || !r->object) {
        rest(l);
        return;
    }
    const json_t *spec = json_object_get(r->object, "spec");
    if (is_held(l, spec)) {
        set_leads(l, false);
        rest(l);
        return;
    }
    AUTO_JSON json_t *o = json_deep_copy(r->object);
    json_object_set_new(o, "spec", spec_of(l, spec));
    l->call = kube_call(l->client, "PUT", l->path, NULL, o, on_written, l);
}

static void on_timer(void *user)
{
    struct leader *l = user;
    l->asked_ms = time_mono_ms();
    l->call = kube_call(l->client, "GET", l->path, NULL, NULL, on_read, l);
}

struct leader *leader_new(struct kube_client *c, const char *namespace_, const char *name,
                          const char *identity, void (*on_change)(bool leads, void *user),
                          void *user)
{
    struct leader *l = NEW(struct leader);
    l->client = c;
    l->on_change = on_change;
    l->user = user;
    l->namespace_ = xstrdup(namespace_);
    l->name = xstrdup(name);
    l->identity = xstrdup(identity);
    l->collection = xasprintf("/apis/coordination.k8s.io/v1/namespaces/%s/leases", namespace_);
    l->path = xasprintf("%s/%s", l->collection, name);
    l->timer = loop_timer_new(kube_client_loop(c), on_timer, l);
    loop_timer_start(l->timer, 0);
    return l;
}

void leader_free(struct leader *l)
{
    if (!l)
        return;
    if (l->call)
        kube_call_cancel(l->call);
    if (l->leads) { /* the next one need not wait for 15 s */
        AUTO_JSON json_t *o =
            json_pack("{s:{s:s,s:i}}", "spec", "holderIdentity", "", "leaseDurationSeconds", 1);
        kube_call(l->client, "PATCH", l->path, "application/merge-patch+json", o, NULL, NULL);
    }
    loop_timer_free(l->timer);
    free(l->collection);
    free(l->path);
    free(l->namespace_);
    free(l->name);
    free(l->identity);
    free(l->seen);
    free(l);
}

bool leader_leads(const struct leader *l)
{
    return l->leads;
}
