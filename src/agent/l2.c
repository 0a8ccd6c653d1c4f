/* Each Service with balancer addresses is an item. It is looked at when the agent makes something
 * of it, all of them when rules, nodes or agents come and go. An address is held while any of its
 * Services wants it here. One that is lost is silent at once; one that is won waits until the
 * kernel has taken what the agent has made of the Service. */
#include "agent/l2.h"

#include <errno.h>

#include "agent/l2_rules.h"
#include "base/log.h"
#include "base/map.h"
#include "kube/event_recorder.h"
#include "kube/informer.h"
#include "kube/topology.h"

enum {
    TELL_MS = 20 * 60 * 1000, /* again who announces what: Events live for an hour */
    KEY_BYTES_MIN = 16,
};

struct held {
    struct ip ip;
    bool is; /* held */
};

struct item {
    char *key, *uid;
    VEC(struct held) ips;
    VEC(char *) nodes; /* that have endpoints; only with local */
    bool has_endpoints, local;
    bool settled; /* what the agent made of it last is in the kernel */
    bool is_told;
};

struct l2 {
    struct kube_client *client;
    const struct l2_options *options;
    struct l2_rules *rules;
    struct liveness *liveness; /* NULL: this node's own address is not known yet */
    struct l2_announcer *announcer;
    struct event_recorder *events;
    struct informer *pools, *advertisements, *nodes, *key;
    char *key_bytes; /* as text, until there is somebody to be given it */
    bool serves;
    struct map items;  /* key of a Service -> struct item */
    struct map counts; /* bytes of an address -> how many items hold it */
    VEC(struct item *) unsettled;
    struct loop_call look;
    struct loop_timer *tell;
};

/* ---- one Service ---- */

static struct str bytes_of(const struct ip *ip)
{
    return str_of(ip->bytes, ip_bytes(ip));
}

static void count(struct l2 *l, struct held *h, bool add)
{
    uintptr_t n = (uintptr_t)map_find(&l->counts, bytes_of(&h->ip));
    uintptr_t now = add ? n + 1 : n - 1;
    h->is = add;
    if (now)
        map_put(&l->counts, bytes_of(&h->ip), (void *)now);
    else
        map_remove(&l->counts, bytes_of(&h->ip));
    if (add && n == 0)
        l2_announcer_add(l->announcer, &h->ip);
    else if (!now)
        l2_announcer_remove(l->announcer, &h->ip);
}

static bool is_synced(const struct l2 *l)
{
    return informer_synced(l->pools) && informer_synced(l->advertisements) &&
           informer_synced(l->nodes);
}

static bool is_alive(const char *node, void *user)
{
    const struct l2 *l = user;
    return l->liveness && liveness_is_alive(l->liveness, node);
}

static bool is_elected(struct l2 *l, const struct item *i)
{
    struct ip ips[2];
    size_t n = MIN(i->ips.n, ARRAY_LEN(ips));
    for (size_t k = 0; k < n; k++)
        ips[k] = i->ips.v[k].ip;
    const struct l2_question q = {.ips = ips,
                                  .n_ips = n,
                                  .has_endpoints = i->has_endpoints,
                                  .local = i->local,
                                  .nodes = (const char *const *)i->nodes.v,
                                  .n_nodes = i->nodes.n,
                                  .is_alive = is_alive,
                                  .user = l};
    return is_synced(l) && streq(l2_rules_choose(l->rules, &q), l->options->node_name);
}

static void tell_item(struct l2 *l, const struct item *i)
{
    struct str name, ns = str_cut(str_from(i->key), '/', &name);
    AUTO_JSON json_t *object = json_pack("{s:{s:s%,s:s%,s:s}}", "metadata", "namespace", ns.p, ns.n,
                                         "name", name.p, name.n, "uid", i->uid);
    event_record(l->events, object, "Service", "v1", "Normal", "nodeAssigned",
                 "announcing from node \"%s\" with protocol \"layer2\"", l->options->node_name);
}

static void look_at(struct l2 *l, struct item *i)
{
    bool elected = is_elected(l, i), holds = false;
    char text[IP_TEXT_BYTES];
    VEC_FOREACH (h, &i->ips) {
        if (h->is != elected && (i->settled || !elected)) {
            log_info(elected ? "address announced" : "address given up",
                     kv_s("address", ip_format(&h->ip, text)), kv_s("service", i->key));
            count(l, h, elected);
        }
        holds = holds || h->is;
    }
    if (holds && !i->is_told)
        tell_item(l, i);
    i->is_told = holds;
}

static void look_at_all(void *user)
{
    struct l2 *l = user;
    void *value;
    for (size_t at = 0; map_next(&l->items, &at, NULL, &value);)
        look_at(l, value);
}

static void look_soon(struct l2 *l)
{
    loop_defer(kube_client_loop(l->client), &l->look);
}

static void on_tell(void *user)
{
    struct l2 *l = user;
    void *value;
    for (size_t at = 0; map_next(&l->items, &at, NULL, &value);)
        if (((struct item *)value)->is_told)
            tell_item(l, value);
    loop_timer_start(l->tell, TELL_MS);
}

/* ---- what the agent does ---- */

static void read_endpoints(struct item *i, const struct joined_service *s)
{
    VEC_FOREACH (n, &i->nodes)
        free(*n);
    vec_clear(&i->nodes);
    i->has_endpoints = false;
    VEC_FOREACH (slice, &s->slices)
        for (uint32_t k = 0; k < (*slice)->n_endpoints; k++) {
            const struct slice_endpoint *e = &(*slice)->endpoints[k];
            if (!(*slice)->family || (!e->ready && !e->serving))
                continue;
            i->has_endpoints = true;
            const char *node = i->local ? topology_node(slice_object_topology(*slice, k)) : NULL;
            bool known = !node;
            VEC_FOREACH (n, &i->nodes)
                known = known || streq(*n, node);
            if (!known)
                vec_push(&i->nodes, xstrdup(node));
        }
}

/* Addresses that stay are held as they were. */
static void read_addresses(struct l2 *l, struct item *i, const struct service_object *o)
{
    VEC(struct held) now = {0};
    for (size_t k = 0; o && k < o->n_balancer_ips; k++)
        vec_push(&now, ((struct held){.ip = o->balancer_ips[k]}));
    VEC_FOREACH (before, &i->ips) {
        bool stays = false;
        VEC_FOREACH (h, &now)
            if (!stays && ip_eq(&h->ip, &before->ip)) {
                h->is = before->is;
                stays = true;
            }
        if (!stays && before->is)
            count(l, before, false);
    }
    vec_done(&i->ips);
    i->ips.v = now.v;
    i->ips.n = now.n;
    i->ips.cap = now.cap;
}

static void forget_unsettled(struct l2 *l, const struct item *i)
{
    for (size_t k = 0; k < l->unsettled.n; k++)
        if (l->unsettled.v[k] == i) {
            vec_remove(&l->unsettled, k);
            return;
        }
}

static void item_free(struct l2 *l, struct item *i)
{
    forget_unsettled(l, i);
    read_addresses(l, i, NULL);
    VEC_FOREACH (n, &i->nodes)
        free(*n);
    vec_done(&i->nodes);
    vec_done(&i->ips);
    free(i->key);
    free(i->uid);
    free(i);
}

static void on_service(const struct joined_service *s, void *user)
{
    struct l2 *l = user;
    const struct service_object *o = s->object;
    struct item *i = map_find_cstr(&l->items, s->key);
    if (!o || !o->n_balancer_ips || o->dns_only) {
        if (i)
            item_free(l, map_remove_cstr(&l->items, s->key));
        return;
    }
    if (!i) {
        i = NEW(struct item);
        i->key = xstrdup(s->key);
        map_put_cstr(&l->items, s->key, i);
    }
    free(i->uid);
    i->uid = xstrdup(o->uid ? o->uid : "");
    i->local = o->external_local;
    read_endpoints(i, s);
    read_addresses(l, i, o);
    forget_unsettled(l, i);
    i->settled = false;
    vec_push(&l->unsettled, i);
    look_at(l, i); /* what is lost is lost now */
}

static void on_applied(bool ok, void *user)
{
    struct l2 *l = user;
    l->serves = ok;
    if (l->liveness)
        liveness_set_serves(l->liveness, ok);
    if (!ok)
        return;
    VEC_FOREACH (i, &l->unsettled) {
        (*i)->settled = true;
        look_at(l, *i);
    }
    vec_clear(&l->unsettled);
}

const struct agent_observer l2_observer = {on_service, on_applied};

/* ---- what is watched ---- */

static void on_alive_change(void *user)
{
    look_soon(user);
}

static void give_key(struct l2 *l)
{
    if (l->liveness && l->key_bytes)
        liveness_set_key(l->liveness, str_from(l->key_bytes));
}

/* With the first address of this node that is known. */
static void open_liveness(struct l2 *l, uint8_t family)
{
    struct err err = {0};
    if (liveness_new(kube_client_loop(l->client), l->options->node_name, family, l->options->port,
                     on_alive_change, l, &l->liveness, &err) < 0) {
        log_error("addresses are not announced: no heartbeats", kv_s("cause", err_text(&err)));
        return;
    }
    liveness_set_serves(l->liveness, l->serves);
}

static void read_candidates(struct l2 *l)
{
    const char *name;
    struct ip ip;
    if (!is_synced(l))
        return;
    for (size_t at = 0; !l->liveness && l2_rules_next_candidate(l->rules, &at, &name, &ip);)
        if (streq(name, l->options->node_name) && ip.family)
            open_liveness(l, ip.family);
    if (!l->liveness)
        return;
    for (size_t at = 0; l2_rules_next_candidate(l->rules, &at, &name, &ip);)
        liveness_put_peer(l->liveness, name, &ip);
    liveness_end_peers(l->liveness);
    give_key(l);
}

static void rules_changed(struct l2 *l)
{
    read_candidates(l);
    l2_announcer_look(l->announcer);
    look_soon(l);
}

static void on_pool(json_t *object, void *user)
{
    struct l2 *l = user;
    l2_rules_put_pool(l->rules, object);
    rules_changed(l);
}

static void on_pool_gone(struct str key, json_t *object, void *user)
{
    struct l2 *l = user;
    (void)object;
    l2_rules_remove_pool(l->rules, key);
    rules_changed(l);
}

static void on_advertisement(json_t *object, void *user)
{
    struct l2 *l = user;
    const char *wrong = l2_rules_put_advertisement(l->rules, object);
    if (wrong) {
        log_warn("an L2Advertisement announces nothing",
                 kv_s("advertisement", json_at_str(object, "metadata.name")), kv_s("cause", wrong));
        event_record(l->events, object, "L2Advertisement", "metallb.io/v1beta1", "Warning",
                     "InvalidL2Advertisement", "%s; it announces nothing", wrong);
    }
    rules_changed(l);
}

static void on_advertisement_gone(struct str key, json_t *object, void *user)
{
    struct l2 *l = user;
    (void)object;
    l2_rules_remove_advertisement(l->rules, key);
    rules_changed(l);
}

static void on_node(json_t *object, void *user)
{
    struct l2 *l = user;
    if (l2_rules_put_node(l->rules, object))
        rules_changed(l);
}

static void on_node_gone(struct str key, json_t *object, void *user)
{
    struct l2 *l = user;
    (void)object;
    l2_rules_remove_node(l->rules, key);
    rules_changed(l);
}

static void on_key(json_t *object, void *user)
{
    struct l2 *l = user;
    const char *text = json_key_str(json_at(object, "data"), "key");
    if (!text || strlen(text) < KEY_BYTES_MIN) {
        log_error("the Secret of heartbeats has no `key` of 16 bytes or more; what was known stays",
                  kv_s("secret", l->options->key_secret));
        return;
    }
    free(l->key_bytes);
    l->key_bytes = xstrdup(text); /* as it stands there: it is nobody's business what it means */
    give_key(l);
}

static void on_key_gone(struct str key, json_t *object, void *user)
{
    const struct l2 *l = user;
    (void)key;
    (void)object;
    log_warn("the Secret of heartbeats is gone; its key goes on being used",
             kv_s("secret", l->options->key_secret));
}

static void on_synced(void *user)
{
    rules_changed(user);
}

static void on_key_synced(void *user)
{
    const struct l2 *l = user;
    if (!l->key_bytes)
        log_warn("addresses are not announced before there is a Secret for heartbeats",
                 kv_s("secret", l->options->key_secret));
}

static void on_error(const char *text, void *user)
{
    (void)user;
    log_warn("what decides about announcing cannot be watched; what is known stays",
             kv_s("cause", text));
}

static void watch(struct l2 *l)
{
    static const struct informer_ops pool_ops = {on_pool, on_pool_gone, on_synced, on_error},
                                     advertisement_ops = {on_advertisement, on_advertisement_gone,
                                                          on_synced, on_error},
                                     node_ops = {on_node, on_node_gone, on_synced, on_error},
                                     key_ops = {on_key, on_key_gone, on_key_synced, on_error};
    struct str name, ns = str_cut(str_from(l->options->key_secret), '/', &name);
    const char *group = "/apis/metallb.io/v1beta1/namespaces/";
    AUTO_CHARS char *pools = xasprintf("%s%s/ipaddresspools", group, l->options->namespace_);
    AUTO_CHARS char *advertisements =
        xasprintf("%s%s/l2advertisements", group, l->options->namespace_);
    AUTO_CHARS char *secrets = xasprintf("/api/v1/namespaces/" STR_FMT "/secrets", STR_ARG(ns));
    AUTO_CHARS char *field = xasprintf("metadata.name=" STR_FMT, STR_ARG(name));
    const struct informer_options
        po = {.path = pools, .lean = true, .optional = true, .no_refusal = true},
        ao = {.path = advertisements, .lean = true, .optional = true, .no_refusal = true},
        no = {.path = "/api/v1/nodes", .lean = true},
        ko = {.path = secrets, .field_selector = field, .lean = true};
    l->pools = informer_start(l->client, &po, &pool_ops, l);
    l->advertisements = informer_start(l->client, &ao, &advertisement_ops, l);
    l->nodes = informer_start(l->client, &no, &node_ops, l);
    l->key = informer_start(l->client, &ko, &key_ops, l);
}

/* ---- life ---- */

static bool allows(const struct ip *ip, const char *interface, void *user)
{
    const struct l2 *l = user;
    return l2_rules_allow(l->rules, ip, l->options->node_name, interface);
}

int l2_new(struct kube_client *c, const struct l2_options *o, struct l2 **ret, struct err *reterr)
{
    struct l2 *l = NEW(struct l2);
    const struct l2_announcer_options ao = {.allows = allows, .user = l};
    int r = l2_announcer_new(kube_client_loop(c), &ao, &l->announcer, reterr);
    if (r < 0) {
        free(l);
        return r;
    }
    l->client = c;
    l->options = o;
    l->rules = l2_rules_new();
    l->events = event_recorder_new(c, "fairlead.dev/agent", o->node_name);
    loop_call_init(&l->look, look_at_all, l);
    l->tell = loop_timer_new(kube_client_loop(c), on_tell, l);
    loop_timer_start(l->tell, TELL_MS);
    watch(l);
    *ret = l;
    return 0;
}

void l2_free(struct l2 *l)
{
    void *value;
    if (!l)
        return;
    l2_announcer_free(l->announcer); /* silent before others are told */
    l->announcer = NULL;
    liveness_free(l->liveness);
    loop_call_cancel(&l->look);
    loop_timer_free(l->tell);
    informer_free(l->pools);
    informer_free(l->advertisements);
    informer_free(l->nodes);
    informer_free(l->key);
    for (size_t at = 0; map_next(&l->items, &at, NULL, &value);) {
        struct item *i = value;
        VEC_FOREACH (h, &i->ips)
            h->is = false;
        item_free(l, i);
    }
    map_done(&l->items);
    map_done(&l->counts);
    vec_done(&l->unsettled);
    l2_rules_free(l->rules);
    event_recorder_free(l->events);
    free(l->key_bytes);
    free(l);
}

static void counter(struct buf *b, const char *type, const char *name, uint64_t v)
{
    buf_addf(b, "# TYPE fairlead_agent_l2_%s %s\nfairlead_agent_l2_%s %llu\n", name, type, name,
             (unsigned long long)v);
}

void l2_metrics_announced(const struct l2 *l, struct buf *b)
{
    char text[IP_TEXT_BYTES];
    void *value;
    for (size_t at = 0; map_next(&l->items, &at, NULL, &value);) {
        const struct item *i = value;
        VEC_FOREACH (h, &i->ips)
            if (h->is)
                buf_addf(b,
                         "metallb_speaker_announced{ip=\"%s\",node=\"%s\",protocol=\"layer2\","
                         "service=\"%s\"} 1\n",
                         ip_format(&h->ip, text), l->options->node_name, i->key);
    }
}

void l2_metrics(const struct l2 *l, struct buf *b)
{
    struct l2_announcer_stats a;
    struct liveness_stats v = {0};
    l2_announcer_get_stats(l->announcer, &a);
    if (l->liveness)
        liveness_get_stats(l->liveness, &v);
    counter(b, "gauge", "addresses", a.addresses);
    counter(b, "gauge", "interfaces", a.interfaces);
    counter(b, "counter", "requests_total", a.requests);
    counter(b, "counter", "answers_total", a.answers);
    counter(b, "counter", "unasked_total", a.told);
    counter(b, "counter", "conflicts_total", a.conflicts);
    counter(b, "gauge", "peers_alive", v.alive);
    counter(b, "counter", "heartbeats_sent_total", v.sent);
    counter(b, "counter", "heartbeats_received_total", v.received);
    counter(b, "counter", "heartbeats_refused_total", v.refused);
}
