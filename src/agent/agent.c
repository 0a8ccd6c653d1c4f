/* The decision thread. Informers feed decoded objects into the model's join; when the applying
 * thread is free, everything dirty there becomes one delta. No timer: the first change goes at
 * once, what comes while it is under way is one delta more. Nothing is written before the first
 * full list of Services, slices and the Node (row 12). */
#include "agent/agent.h"

#include <errno.h>
#include <stdio.h>

#include "agent/applier.h"
#include "agent/service_cidrs.h"
#include "agent/service_health.h"
#include "base/log.h"
#include "base/time.h"
#include "kube/event_recorder.h"
#include "kube/informer.h"
#include "model/service_join.h"

#define SELECTOR "!service.kubernetes.io/service-proxy-name,!service.kubernetes.io/headless"

enum { UNHEALTHY_AFTER_MS = 60 * 1000 }; /* two sync periods of 30 s, as kube-proxy */

struct agent {
    struct loop_call push;
    struct kube_client *client;
    struct agent_options options;
    struct applier *applier;
    struct service_health *health;
    struct event_recorder *events;
    struct informer *services, *slices, *node, *cidrs;
    struct service_cidrs service_cidrs;
    struct network_list pods;
    bool networks_changed;
    struct service_join *join; /* user of an entry: the model_service handed over last */
    struct delta_book book;
    char *zone;
    struct ip node_ips[2];
    bool node_ips_changed;
    bool full_sent;
    const char *rebuilding;        /* the Service whose change is being looked at */
    bool failed;                   /* the last try */
    bool sent_full, sent[2];       /* of the delta under way: what it is, whose */
    uint64_t unsynced_since_us[2]; /* told to the kernel, not taken yet; 0 = nothing */
    struct programming_latency programming;
    struct agent_stats stats;
};

/* ---- deltas ---- */

static void note_pending(struct agent *a)
{
    if (!a->join->n_dirty)
        a->stats.pending_since_us = 0;
    else if (!a->stats.pending_since_us)
        a->stats.pending_since_us = time_mono_us();
}

static void count_no_local(struct agent *a, const struct model_service *m, int by)
{
    for (unsigned f = 0; f < 2 && m; f++)
        for (int external = 0; external < 2; external++)
            a->stats.families[f].no_local[external] +=
                (unsigned)by * model_service_without_local(m, f, external);
}

/* It goes to the kernel now. */
static void note_sent(struct agent *a, const struct agent_delta *d)
{
    a->full_sent = true;
    a->sent_full = d->full;
    for (unsigned f = 0; f < 2; f++) {
        a->sent[f] = d->families[f];
        if (!d->families[f])
            continue;
        a->stats.families[f].last_queued_real_us =
            time_real_us() - (int64_t)(time_mono_us() - d->oldest_us);
        if (!a->unsynced_since_us[f])
            a->unsynced_since_us[f] = d->oldest_us;
    }
}

static bool rebuild(struct agent *a, struct agent_delta *d, struct joined_service *s)
{
    struct delta_options o = {.external_ips = a->options.external_ips,
                              .node_ips = {a->node_ips[0], a->node_ips[1]},
                              .node_ips_changed = a->node_ips_changed};
    const struct place here = {a->options.node_name, a->zone};
    struct model_service *after = NULL, *before = s->user;
    a->rebuilding = s->key;
    count_no_local(a, before, -1);
    if (s->object)
        after = model_service_new(s->object, (const struct slice_object *const *)s->slices.v,
                                  s->slices.n, &here);
    count_no_local(a, after, 1);
    bool look_again = agent_delta_add(d, &a->book, &o, s->key, before, after);
    service_health_set(a->health, s->key, s->object ? s->object->uid : NULL,
                       after ? after->health_port : 0, after ? after->local_ready : 0);
    if (a->options.observer)
        a->options.observer->on_service(s, a->options.observer_user);
    model_service_unref(before);
    s->user = after;
    a->rebuilding = NULL;
    service_join_settle(a->join, s);
    return look_again;
}

static void add_networks(struct agent *a, struct agent_delta *d)
{
    struct network_list services = {0};
    service_cidrs_collect(&a->service_cidrs, &services);
    VEC_FOREACH (p, &a->pods)
        vec_push(&d->pod_networks, *p);
    VEC_FOREACH (p, &services)
        vec_push(&d->service_networks, *p);
    d->has_networks = d->families[0] = d->families[1] = true;
    a->networks_changed = false;
    vec_done(&services);
}

static void tell_applied(struct agent *a, bool ok)
{
    if (a->options.observer)
        a->options.observer->on_applied(ok, a->options.observer_user);
}

static bool is_synced(const struct agent *a)
{
    return a->services && a->slices && a->node && informer_synced(a->services) &&
           informer_synced(a->slices) && informer_synced(a->node);
}

static void push(struct agent *a)
{
    struct joined_service *s;
    if (!is_synced(a) || applier_is_busy(a->applier) ||
        (a->full_sent && !a->join->n_dirty && !a->networks_changed))
        return;
    struct agent_delta *d = agent_delta_new(!a->full_sent);
    bool look_again = false;
    d->oldest_us = a->stats.pending_since_us ? a->stats.pending_since_us : time_mono_us();
    while ((s = service_join_take_dirty(a->join)))
        look_again = rebuild(a, d, s) || look_again;
    a->node_ips_changed = false;
    if (a->networks_changed)
        add_networks(a, d);
    a->stats.service_changes_pending = a->stats.endpoint_changes_pending = 0;
    if (look_again) {
        a->book.contested = false;
        service_join_mark_all(a->join);
    }
    note_pending(a);
    if (agent_delta_is_empty(d)) {
        agent_delta_free(d);
        programming_latency_sent(&a->programming); /* the kernel has it already */
        programming_latency_arrived(&a->programming, time_real_us());
        if (!a->failed)
            tell_applied(a, true);
        return;
    }
    note_sent(a, d);
    for (size_t i = 0; a->options.relay && i < d->frontends.n; i++)
        relay_set(a->options.relay, &d->frontends.v[i]);
    programming_latency_sent(&a->programming);
    applier_start(a->applier, &d);
}

/* A success brings all that was told before, whichever family this was about; a repair is about
 * both. */
static void count_sync(struct agent *a, const struct applier_result *r)
{
    uint64_t now = time_mono_us();
    bool repair = !r->oldest_us;
    a->failed = r->code < 0;
    a->stats.sync_failures += a->failed;
    for (unsigned i = 0; i < 2; i++) {
        struct agent_family_stats *f = &a->stats.families[i];
        if (!a->failed)
            a->unsynced_since_us[i] = 0;
        if (!repair && !a->sent[i])
            continue;
        f->sync_failures += a->failed;
        durations_add(&f->syncs, r->took_us);
        durations_add(repair || a->sent_full ? &f->full_syncs : &f->partial_syncs, r->took_us);
        if (a->failed)
            continue;
        f->last_sync_us = now;
        f->last_sync_real_us = time_real_us();
    }
}

/* Somebody else was at our table. One Event a kind of change, whose count grows. */
static void tell_foreign(struct agent *a, const struct applier_result *r,
                         const struct dataplane_counters *told)
{
    AUTO_DONE(buf) struct buf what = {0};
    const char *name = a->options.node_name;
    AUTO_JSON json_t *node = json_pack("{s:{s:s,s:s}}", "metadata", "name", name, "uid", name);
    for (size_t i = 0; i < DATAPLANE_FOREIGN_KINDS; i++)
        if (r->counters.foreign[i] > told->foreign[i])
            buf_addf(&what, "%s%ss", what.n ? ", " : "", dataplane_foreign_words[i]);
    if (!what.n)
        buf_add_cstr(&what, "parts");
    log_warn("table was changed by somebody else and is put back", kv_s("what", buf_cstr(&what)),
             kv_i("took_us", (int64_t)r->took_us));
    event_record(a->events, node, "Node", "v1", "Warning", "ServiceRulesRestored",
                 "%s of the nftables table fairlead were changed by somebody else and are put back",
                 buf_cstr(&what));
}

static void on_applied(const struct applier_result *r, void *user)
{
    struct agent *a = user;
    struct agent_stats *s = &a->stats;
    uint64_t now = time_mono_us();
    bool failed_before = a->failed;
    const struct dataplane_counters told = s->dataplane;
    s->dataplane = r->counters;
    if (r->sample)
        return;
    count_sync(a, r);
    if (!a->failed)
        programming_latency_arrived(&a->programming, time_real_us());
    tell_applied(a, !a->failed);
    if (a->failed)
        log_error("kernel refused the change", kv_s("cause", err_text(&r->err)));
    if (!r->oldest_us) {
        if (r->repaired)
            tell_foreign(a, r, &told);
        else if (r->code == 0 && failed_before)
            log_warn("the kernel took the change at another try",
                     kv_i("took_us", (int64_t)r->took_us));
        return;
    }
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
    note_pending(a);
    loop_defer(l, &a->push);
}

static void on_service(json_t *object, void *user)
{
    struct agent *a = user;
    struct service_object *s = service_object_decode(object);
    if (!s)
        return;
    a->stats.service_changes++;
    a->stats.service_changes_pending++;
    service_join_add_service(a->join, &s);
    push_soon(a);
}

static void on_service_gone(struct str key, json_t *object, void *user)
{
    struct agent *a = user;
    (void)object;
    a->stats.service_changes++;
    a->stats.service_changes_pending++;
    service_join_remove_service(a->join, key);
    push_soon(a);
}

/* ---- EndpointSlices ---- */

static void on_slice(json_t *object, void *user)
{
    struct agent *a = user;
    const struct slice_decoding o = {.topologies = &a->join->topologies};
    struct slice_object *s = slice_object_decode(object, &o);
    char key[512];
    a->stats.endpoint_changes++;
    a->stats.endpoint_changes_pending++;
    const char *family = json_at_str(object, "addressType");
    programming_latency_note(&a->programming, str_from(object_key(object, key)),
                             family && streq(family, "IPv6"),
                             json_key_str(json_at(object, "metadata.annotations"),
                                          "endpoints.kubernetes.io/last-change-trigger-time"));
    if (s)
        service_join_add_slice(a->join, &s);
    else
        service_join_remove_slice(a->join, str_from(object_key(object, key)));
    push_soon(a);
}

static void on_slice_gone(struct str key, json_t *object, void *user)
{
    struct agent *a = user;
    (void)object;
    a->stats.endpoint_changes++;
    a->stats.endpoint_changes_pending++;
    programming_latency_forget(&a->programming, key);
    service_join_remove_slice(a->join, key);
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

/* The first InternalIP of each family, unless it was told. */
static void read_node_ips(const json_t *node, const struct ip *told, struct ip ret[2])
{
    size_t i;
    json_t *item;
    memset(ret, 0, 2 * sizeof(*ret));
    json_array_foreach(json_at(node, "status.addresses"), i, item)
    {
        struct ip ip;
        const char *type = json_at_str(item, "type"), *text = json_at_str(item, "address");
        if (!type || !text || !streq(type, "InternalIP") || ip_parse(str_from(text), &ip) < 0)
            continue;
        if (!ret[ip.family == AF_INET6].family)
            ret[ip.family == AF_INET6] = ip;
    }
    if (told->family)
        ret[told->family == AF_INET6] = *told;
}

static void take_node_ips(struct agent *a, const json_t *node)
{
    struct ip ips[2];
    read_node_ips(node, &a->options.bind_ip, ips);
    if (memcmp(ips, a->node_ips, sizeof(ips)) == 0)
        return;
    memcpy(a->node_ips, ips, sizeof(ips));
    a->node_ips_changed = true;
    service_join_mark_all(a->join);
    push_soon(a);
}

/* ---- networks ---- */

/* Row 36. */
static void on_service_cidr(json_t *object, void *user)
{
    struct agent *a = user;
    service_cidrs_set(&a->service_cidrs, object);
    a->networks_changed = true;
    push_soon(a);
}

static void on_service_cidr_gone(struct str key, json_t *object, void *user)
{
    struct agent *a = user;
    (void)object;
    service_cidrs_remove(&a->service_cidrs, key);
    a->networks_changed = true;
    push_soon(a);
}

static void on_service_cidr_error(const char *text, void *user)
{
    (void)user;
    log_warn(
        "ServiceCIDRs cannot be watched; addresses that no Service has are not dropped, unless "
        "they were before",
        kv_s("cause", text));
}

/* Row 14: a node that lost its networks keeps those it had, until there are others. */
static void take_pod_cidrs(struct agent *a, const json_t *node)
{
    struct network_list now = {0};
    AUTO_DONE(buf) struct buf text = {0};
    char one[PREFIX_TEXT_BYTES];
    network_list_add_json(&now, json_at(node, "spec.podCIDRs"));
    if (now.n == 0 || network_list_eq(&now, &a->pods)) {
        vec_done(&now);
        return;
    }
    VEC_FOREACH (p, &now)
        buf_addf(&text, "%s%s", text.n ? "," : "", prefix_format(p, one));
    log_info("networks of the node's pods", kv_s("podCIDRs", buf_cstr(&text)));
    vec_done(&a->pods);
    a->pods = now;
    a->networks_changed = true;
    push_soon(a);
}

/* Row 32: the zone decides about hints. */
static void on_node(json_t *object, void *user)
{
    struct agent *a = user;
    const char *zone =
        json_key_str(json_at(object, "metadata.labels"), "topology.kubernetes.io/zone");
    a->stats.node_eligible = node_is_eligible(object);
    take_node_ips(a, object);
    if (a->options.node_cidr)
        take_pod_cidrs(a, object);
    if (streq(zone, a->zone))
        return;
    log_info("zone of the node", kv_s("zone", zone));
    free(a->zone);
    a->zone = zone ? xstrdup(zone) : NULL;
    service_join_mark_hinted(a->join);
    push_soon(a);
}

static void on_node_gone(struct str key, json_t *object, void *user)
{
    struct agent *a = user;
    (void)key;
    (void)object;
    a->stats.node_eligible = false;
}

/* ---- health of Services ---- */

static bool on_is_healthy(void *user)
{
    struct agent_stats s;
    agent_get_stats(user, &s);
    return s.synced && s.healthy;
}

static void on_health_failed(const char *key, const char *uid, const char *text, void *user)
{
    struct agent *a = user;
    struct str name, ns = str_cut(str_from(key), '/', &name);
    AUTO_CHARS char *name_text = str_dup(name), *ns_text = str_dup(ns);
    AUTO_JSON json_t *object = json_pack("{s:{s:s,s:s,s:s}}", "metadata", "namespace", ns_text,
                                         "name", name_text, "uid", uid ? uid : "");
    log_error("no port for health checks", kv_s("service", key), kv_s("cause", text));
    event_record(a->events, object, "Service", "v1", "Warning", "FailedToStartServiceHealthcheck",
                 "node %s: %s", a->options.node_name, text);
}

/* ---- life ---- */

int agent_new(struct kube_client *c, struct dataplane *backend, const struct agent_options *o,
              struct agent **ret, struct err *reterr)
{
    static const struct informer_ops service_ops = {on_service, on_service_gone, on_synced,
                                                    on_error};
    static const struct informer_ops slice_ops = {on_slice, on_slice_gone, on_synced, on_error};
    static const struct informer_ops node_ops = {on_node, on_node_gone, on_synced, on_error};
    static const struct informer_ops cidr_ops = {on_service_cidr, on_service_cidr_gone, NULL,
                                                 on_service_cidr_error};
    static const struct informer_options cidrs = {
        .path = "/apis/networking.k8s.io/v1/servicecidrs", .optional = true, .lean = true};
    struct agent *a = NEW(struct agent);
    loop_call_init(&a->push, on_push, a);
    AUTO_CHARS char *field = xasprintf("metadata.name=%s", o->node_name);
    const struct informer_options services = {
        .path = "/api/v1/services", .label_selector = SELECTOR, .lean = true};
    const struct informer_options slices = {.path = "/apis/discovery.k8s.io/v1/endpointslices",
                                            .label_selector = SELECTOR,
                                            .lean = true};
    const struct informer_options node = {
        .path = "/api/v1/nodes", .field_selector = field, .lean = true};
    a->client = c;
    a->options = *o;
    a->programming.started_us = time_real_us();
    a->stats.programming = &a->programming;
    const struct service_health_config health = {.addresses = o->node_port_addresses,
                                                 .n_addresses = o->n_node_port_addresses,
                                                 .is_healthy = on_is_healthy,
                                                 .on_failed = on_health_failed,
                                                 .user = a};
    int r = applier_new(kube_client_loop(c), backend, on_applied, a, &a->applier, reterr);
    if (r < 0) {
        free(a);
        return r;
    }
    a->health = service_health_new(kube_client_loop(c), &health);
    a->events = event_recorder_new(c, "fairlead.dev/agent", o->node_name);
    a->join = service_join_new();
    a->services = informer_start(c, &services, &service_ops, a);
    a->slices = informer_start(c, &slices, &slice_ops, a);
    a->node = informer_start(c, &node, &node_ops, a);
    if (o->service_cidrs)
        a->cidrs = informer_start(c, &cidrs, &cidr_ops, a);
    for (size_t i = 0; i < o->n_cluster_cidrs; i++)
        vec_push(&a->pods, o->cluster_cidrs[i]);
    network_list_sort(&a->pods);
    *ret = a;
    return 0;
}

void agent_free(struct agent *a)
{
    struct joined_service *s;
    if (!a)
        return;
    loop_call_cancel(&a->push);
    informer_free(a->services);
    informer_free(a->slices);
    informer_free(a->node);
    informer_free(a->cidrs);
    service_cidrs_done(&a->service_cidrs);
    vec_done(&a->pods);
    applier_free(a->applier);
    service_health_free(a->health);
    event_recorder_free(a->events);
    for (size_t at = 0; service_join_next(a->join, &at, &s);)
        model_service_unref(s->user);
    service_join_free(a->join);
    delta_book_done(&a->book);
    programming_latency_done(&a->programming);
    free(a->zone);
    free(a);
}

void agent_dump(int fd, void *user)
{
    const struct agent *a = user;
    char line[768];
    int n = snprintf(line, sizeof(line),
                     "agent of node %s: %zu services, %zu slices, %zu waiting, rebuilding %s\n",
                     a->options.node_name, a->join->n_services, a->join->slices.used,
                     a->join->n_dirty, a->rebuilding ? a->rebuilding : "nothing");
    IGNORE_RESULT(write(fd, line, MIN((size_t)n, sizeof(line) - 1))); /* nowhere to tell it */
    applier_dump(a->applier, fd);
}

void agent_get_stats(const struct agent *a, struct agent_stats *ret)
{
    *ret = a->stats;
    ret->localhost = a->options.localhost;
    if (a->options.relay)
        relay_get_counters(a->options.relay, &ret->relay);
    ret->services = a->join->n_services;
    ret->slices = a->join->slices.used;
    ret->healthy = true;
    uint64_t limit_us =
        (a->options.unhealthy_after_ms ? a->options.unhealthy_after_ms : UNHEALTHY_AFTER_MS) * 1000;
    for (unsigned f = 0; f < 2; f++) {
        /* What waits to be looked at may be of either family. */
        uint64_t since =
            a->unsynced_since_us[f] ? a->unsynced_since_us[f] : a->stats.pending_since_us;
        ret->families[f].healthy = !since || time_mono_us() - since <= limit_us;
        ret->healthy = ret->healthy && ret->families[f].healthy;
    }
}
