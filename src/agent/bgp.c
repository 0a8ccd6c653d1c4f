/* Each Service with balancer addresses is an item, as in l2.c. When something changes, the whole
 * picture is drawn anew at the end of the turn, and the daemons are given what is different in it.
 * Nothing is said to them before all is known: an agent that starts takes nothing back. */
#include "agent/bgp.h"

#include <errno.h>

#include "agent/bgp_rules.h"
#include "agent/frr_session.h"
#include "base/log.h"
#include "kube/event_recorder.h"
#include "kube/informer.h"
#include "kube/topology.h"

enum {
    TELL_MS = 20 * 60 * 1000, /* again who announces what: Events live for an hour */
    POLL_MS = 5 * 1000,       /* how sessions are */
    SUMMARY_BYTES_MAX = 4 * 1024 * 1024,
    CLEANUP_MS = 5 * 1000,
    REFUSED_TOLD_MAX = 1000, /* until a daemon restarts */
};

struct held {
    struct ip ip;
    bool is; /* wanted, since the kernel took it */
};

struct item {
    char *key, *uid;
    VEC(struct held) ips;
    bool wants; /* an endpoint can serve what comes to this node */
    bool is_told;
};

struct peer {
    char *name, *view;
    struct ip address;
    size_t n_prefixes;
    bool up;
};

struct secret {
    struct bgp *owner;
    struct informer *informer;
    char *name;
};

struct bgp {
    struct kube_client *client;
    const struct bgp_options *options;
    struct bgp_rules *rules;
    struct event_recorder *events;
    struct watch {
        struct bgp *owner;
        enum bgp_kind kind;
        struct informer *informer;
    } watches[BGP_KINDS];
    struct map secrets; /* name -> struct secret */
    struct map uids;    /* "InvalidBGPPeer NAMESPACE/NAME" -> uid */
    struct map items;   /* key of a Service -> struct item */
    VEC(struct item *) unsettled;
    VEC(struct peer) peers;
    struct findings told;
    struct frr_session *bgpd, *bfdd; /* bfdd NULL: was never needed */
    struct frr_session_options bgpd_options, bfdd_options;
    struct loop_call draw;
    struct loop_timer *tell, *poll;
    size_t asked;       /* the peer whose view is asked about */
    struct map refused; /* commands that were told */
    uint64_t refused_objects;
    bool is_ready; /* the agent has given the kernel all that there was when it started */
};

static void draw_soon(struct bgp *b)
{
    loop_defer(kube_client_loop(b->client), &b->draw);
}

/* ---- telling ---- */

static const struct {
    const char *id, *kind, *version;
    enum bgp_kind of;
} kinds[] = {
    {"InvalidBGPPeer", "BGPPeer", "metallb.io/v1beta2", BGP_PEER},
    {"InvalidBGPAdvertisement", "BGPAdvertisement", "metallb.io/v1beta1", BGP_ADVERTISEMENT},
    {"InvalidCommunity", "Community", "metallb.io/v1beta1", BGP_COMMUNITY},
    {"InvalidBFDProfile", "BFDProfile", "metallb.io/v1beta1", BGP_BFD_PROFILE},
};

static json_t *reference(const char *key, const char *uid)
{
    struct str name, ns = str_cut(str_from(key), '/', &name);
    return json_pack("{s:{s:s%,s:s%,s:s}}", "metadata", "namespace", ns.p, ns.n, "name", name.p,
                     name.n, "uid", uid ? uid : "");
}

static void tell_finding(struct bgp *b, const struct finding *f)
{
    AUTO_CHARS char *of = xasprintf("%s %s", f->id, f->object);
    AUTO_JSON json_t *object = reference(f->object, map_find_cstr(&b->uids, of));
    log_warn("an object is not used as it is", kv_s("reason", f->id), kv_s("object", f->object),
             kv_s("field", f->field), kv_s("cause", f->message));
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (streq(kinds[i].id, f->id))
            event_record(b->events, object, kinds[i].kind, kinds[i].version, "Warning", f->id,
                         "%s: %s%s%s", f->field, f->message, f->hint ? "; " : "",
                         f->hint ? f->hint : "");
}

/* What was told before is not told again. Takes the list. */
static void tell_findings(struct bgp *b, struct findings *now)
{
    b->refused_objects = now->n;
    for (size_t i = 0; i < now->n; i++)
        if (!findings_have(&b->told, &now->v[i]))
            tell_finding(b, &now->v[i]);
    findings_done(&b->told);
    b->told = *now;
    *now = (struct findings){0};
}

static void tell_node(struct bgp *b, const char *reason, const char *text)
{
    AUTO_JSON json_t *node = json_pack("{s:{s:s,s:s}}", "metadata", "name", b->options->node_name,
                                       "uid", b->options->node_name);
    event_record(b->events, node, "Node", "v1", "Warning", reason, "%s", text);
}

static void tell_item(struct bgp *b, const struct item *i)
{
    AUTO_JSON json_t *object = reference(i->key, i->uid);
    event_record(b->events, object, "Service", "v1", "Normal", "nodeAssigned",
                 "announcing from node \"%s\" with protocol \"bgp\"", b->options->node_name);
}

static void on_tell(void *user)
{
    struct bgp *b = user;
    void *value;
    for (size_t at = 0; map_next(&b->items, &at, NULL, &value);)
        if (((struct item *)value)->is_told)
            tell_item(b, value);
    loop_timer_start(b->tell, TELL_MS);
}

/* ---- the picture ---- */

static bool is_synced(const struct bgp *b)
{
    void *value;
    for (unsigned kind = 0; kind < BGP_KINDS; kind++)
        if (b->watches[kind].informer && !informer_synced(b->watches[kind].informer))
            return false;
    for (size_t at = 0; map_next(&b->secrets, &at, NULL, &value);)
        if (!informer_synced(((struct secret *)value)->informer))
            return false;
    return true;
}

static int by_ip(const void *a, const void *b)
{
    const struct ip *x = a, *y = b;
    int d = (int)x->family - (int)y->family;
    return d ? d : ip_cmp(x, y);
}

struct ips {
    struct ip *v;
    size_t n, cap;
};

/* Each once, and who holds one is told. */
static void find_ips(struct bgp *b, struct ips *ret)
{
    void *value;
    size_t n = 0;
    for (size_t at = 0; map_next(&b->items, &at, NULL, &value);) {
        struct item *i = value;
        bool announced = false;
        VEC_FOREACH (h, &i->ips)
            if (h->is && bgp_rules_announce(b->rules, &h->ip)) {
                vec_push(ret, h->ip);
                announced = true;
            }
        announced = announced && b->peers.n;
        if (announced && !i->is_told)
            tell_item(b, i);
        i->is_told = announced;
    }
    if (ret->n)
        qsort(ret->v, ret->n, sizeof(*ret->v), by_ip);
    for (size_t i = 0; i < ret->n; i++)
        if (!n || by_ip(&ret->v[n - 1], &ret->v[i]) != 0)
            ret->v[n++] = ret->v[i];
    ret->n = n;
}

static void peers_done(struct bgp *b)
{
    VEC_FOREACH (p, &b->peers) {
        free(p->name);
        free(p->view);
    }
    vec_done(&b->peers);
}

static void keep_peers(struct bgp *b, struct bgp_picture *picture)
{
    VEC(struct peer) now = {0};
    VEC_FOREACH (s, &picture->sessions) {
        struct peer p = {xstrdup(s->name), xstrdup(s->view), s->address, s->n_prefixes, false};
        VEC_FOREACH (before, &b->peers)
            if (streq(before->name, p.name) && ip_eq(&before->address, &p.address))
                p.up = before->up;
        vec_push(&now, p);
    }
    peers_done(b);
    b->peers.v = now.v;
    b->peers.n = now.n;
    b->peers.cap = now.cap;
}

static void want_bfd(struct bgp *b, struct frr_config *config)
{
    if (!b->bfdd && config->v.n)
        b->bfdd = frr_session_new(kube_client_loop(b->client), &b->bfdd_options);
    if (b->bfdd)
        frr_session_want(b->bfdd, config);
}

static void on_draw(void *user)
{
    struct bgp *b = user;
    struct ips ips = {0};
    struct bgp_picture picture;
    if (!b->is_ready || !is_synced(b))
        return;
    find_ips(b, &ips);
    bgp_rules_draw(b->rules, ips.v, ips.n, frr_session_there(b->bgpd), &picture);
    bool first_peers = !b->peers.n && picture.sessions.n;
    keep_peers(b, &picture);
    tell_findings(b, &picture.findings);
    want_bfd(b, &picture.bfdd);
    frr_session_want(b->bgpd, &picture.bgpd);
    bgp_picture_done(&picture);
    vec_done(&ips);
    if (first_peers)
        draw_soon(b); /* Services are told now who announces them */
}

/* ---- the daemons ---- */

static void on_session_change(void *user)
{
    draw_soon(user);
}

static void on_refused(struct bgp *b, const char *daemon, const char *command, const char *said)
{
    AUTO_CHARS char *text = xasprintf("%s of FRR refuses \"%s\": %s", daemon, command, said);
    if (b->refused.used >= REFUSED_TOLD_MAX || map_put_cstr(&b->refused, text, b))
        return;
    log_error("a daemon of FRR refuses a command", kv_s("daemon", daemon), kv_s("command", command),
              kv_s("said", said));
    tell_node(b, "BGPConfigurationRefused", text);
}

static void on_lost(struct bgp *b, const char *daemon, const char *why)
{
    AUTO_CHARS char *text = xasprintf(
        "%s of FRR cannot be configured by its socket %s/%s.vty: %s; tried again every 2 s", daemon,
        b->options->directory, daemon, why);
    log_error("a daemon of FRR cannot be configured; tried again every 2 s", kv_s("daemon", daemon),
              kv_s("directory", b->options->directory), kv_s("cause", why));
    tell_node(b, "BGPDaemonAway", text);
    map_done(&b->refused);
    VEC_FOREACH (p, &b->peers)
        p->up = p->up && !streq(daemon, "bgpd");
}

static void on_bgpd_refused(const char *command, const char *said, void *user)
{
    on_refused(user, "bgpd", command, said);
}

static void on_bfdd_refused(const char *command, const char *said, void *user)
{
    on_refused(user, "bfdd", command, said);
}

static void on_bgpd_lost(const char *why, void *user)
{
    on_lost(user, "bgpd", why);
}

static void on_bfdd_lost(const char *why, void *user)
{
    on_lost(user, "bfdd", why);
}

static void set_up(struct bgp *b, struct peer *p, bool up)
{
    char ip[IP_TEXT_BYTES];
    if (p->up == up)
        return;
    p->up = up;
    log_info(up ? "BGP session is up" : "BGP session is down", kv_s("peer", p->name),
             kv_s("address", ip_format(&p->address, ip)), kv_s("node", b->options->node_name));
}

static bool is_established(const json_t *summary, const struct peer *p)
{
    static const char *const families[] = {"ipv4Unicast", "ipv6Unicast"};
    char ip[IP_TEXT_BYTES];
    for (size_t i = 0; i < ARRAY_LEN(families); i++) {
        const json_t *peers = json_object_get(json_object_get(summary, families[i]), "peers");
        const json_t *one = json_object_get(peers, ip_format(&p->address, ip));
        if (streq(json_key_str(one, "state"), "Established"))
            return true;
    }
    return false;
}

static void on_summary(const struct str *text, void *user)
{
    struct bgp *b = user;
    AUTO_JSON json_t *j = NULL;
    const char *view = b->asked < b->peers.n ? b->peers.v[b->asked].view : NULL;
    if (!text || !view || json_parse(*text, SUMMARY_BYTES_MAX, NULL, &j, NULL) < 0)
        return;
    VEC_FOREACH (p, &b->peers)
        if (streq(p->view, view))
            set_up(b, p, is_established(j, p));
}

static void on_poll(void *user)
{
    struct bgp *b = user;
    loop_timer_start(b->poll, POLL_MS);
    if (!b->peers.n)
        return;
    b->asked = (b->asked + 1) % b->peers.n;
    AUTO_CHARS char *command =
        xasprintf("show bgp view %s summary json", b->peers.v[b->asked].view);
    (void)frr_session_ask(b->bgpd, command, on_summary);
}

/* ---- what the agent does ---- */

static bool can_serve(const struct joined_service *s, bool local, const char *node)
{
    VEC_FOREACH (slice, &s->slices)
        for (uint32_t k = 0; k < (*slice)->n_endpoints; k++) {
            const struct slice_endpoint *e = &(*slice)->endpoints[k];
            if (!(*slice)->family || (!e->ready && !e->serving))
                continue;
            if (!local || streq(topology_node(slice_object_topology(*slice, k)), node))
                return true;
        }
    return false;
}

static void forget_unsettled(struct bgp *b, const struct item *i)
{
    for (size_t k = 0; k < b->unsettled.n; k++)
        if (b->unsettled.v[k] == i) {
            vec_remove(&b->unsettled, k);
            return;
        }
}

static void item_free(struct bgp *b, struct item *i)
{
    if (!i)
        return;
    forget_unsettled(b, i);
    vec_done(&i->ips);
    free(i->key);
    free(i->uid);
    free(i);
}

static size_t count_held(const struct item *i)
{
    size_t n = 0;
    VEC_FOREACH (h, &i->ips)
        n += h->is;
    return n;
}

/* Addresses that stay are held as they were, if they are wanted at all. */
static void read_addresses(struct item *i, const struct service_object *o)
{
    VEC(struct held) now = {0};
    for (size_t k = 0; k < o->n_balancer_ips; k++) {
        struct held h = {o->balancer_ips[k], false};
        VEC_FOREACH (before, &i->ips)
            h.is = h.is || (i->wants && before->is && ip_eq(&before->ip, &h.ip));
        vec_push(&now, h);
    }
    vec_done(&i->ips);
    i->ips.v = now.v;
    i->ips.n = now.n;
    i->ips.cap = now.cap;
}

static void on_service(const struct joined_service *s, void *user)
{
    struct bgp *b = user;
    const struct service_object *o = s->object;
    struct item *i = map_find_cstr(&b->items, s->key);
    if (!o || !o->n_balancer_ips || o->dns_only) {
        item_free(b, map_remove_cstr(&b->items, s->key));
        if (i)
            draw_soon(b);
        return;
    }
    if (!i) {
        i = NEW(struct item);
        i->key = xstrdup(s->key);
        map_put_cstr(&b->items, s->key, i);
    }
    free(i->uid);
    i->uid = xstrdup(o->uid ? o->uid : "");
    size_t held = count_held(i);
    i->wants = can_serve(s, o->external_local, b->options->node_name);
    read_addresses(i, o);
    forget_unsettled(b, i);
    vec_push(&b->unsettled, i);
    if (count_held(i) != held)
        draw_soon(b); /* what is lost is lost now */
}

static void on_applied(bool ok, void *user)
{
    struct bgp *b = user;
    if (!ok)
        return;
    bool news = !b->is_ready;
    VEC_FOREACH (i, &b->unsettled)
        VEC_FOREACH (h, &(*i)->ips) {
            news = news || h->is != (*i)->wants;
            h->is = (*i)->wants;
        }
    if (news)
        draw_soon(b);
    b->is_ready = true;
    vec_clear(&b->unsettled);
}

const struct agent_observer bgp_observer = {on_service, on_applied};

/* ---- what is watched ---- */

static const struct informer_ops object_ops, secret_ops;

static const char *id_of(enum bgp_kind kind)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (kinds[i].of == kind)
            return kinds[i].id;
    return "";
}

/* Secrets are watched one by one, as peers name them: there is no right to see others. */
static void watch_secret(struct bgp *b, const char *name)
{
    if (str_empty(name) || map_find_cstr(&b->secrets, name) ||
        !str_is_dns1123_subdomain(str_from(name)) || b->secrets.used >= BGP_PEERS_MAX)
        return;
    struct secret *s = NEW(struct secret);
    AUTO_CHARS char *path = xasprintf("/api/v1/namespaces/%s/secrets", b->options->namespace_);
    AUTO_CHARS char *field = xasprintf("metadata.name=%s", name);
    const struct informer_options o = {
        .path = path, .field_selector = field, .lean = true, .optional = true};
    s->owner = b;
    s->name = xstrdup(name);
    s->informer = informer_start(b->client, &o, &secret_ops, s);
    map_put_cstr(&b->secrets, name, s);
}

static void secret_free(struct secret *s)
{
    informer_free(s->informer);
    free(s->name);
    free(s);
}

static void forget_secrets(struct bgp *b)
{
    struct str name;
    void *value;
    for (size_t at = 0; map_next(&b->secrets, &at, &name, &value);) {
        if (bgp_rules_name_secret(b->rules, name))
            continue;
        bgp_rules_put(b->rules, BGP_SECRET, name, NULL);
        map_remove(&b->secrets, name);
        secret_free(value);
    }
}

static void on_object(json_t *object, void *user)
{
    const struct watch *w = user;
    struct bgp *b = w->owner;
    char key[512];
    AUTO_CHARS char *of = xasprintf("%s %s", id_of(w->kind), object_key(object, key));
    const char *uid = json_at_str(object, "metadata.uid");
    free(map_put_cstr(&b->uids, of, xstrdup(uid ? uid : "")));
    bgp_rules_put(b->rules, w->kind, str_from(key), object);
    if (w->kind == BGP_PEER) {
        forget_secrets(b);
        watch_secret(b, json_at_str(object, "spec.passwordSecret.name"));
    }
    draw_soon(b);
}

static void on_object_gone(struct str key, json_t *object, void *user)
{
    const struct watch *w = user;
    AUTO_CHARS char *of = xasprintf("%s " STR_FMT, id_of(w->kind), STR_ARG(key));
    (void)object;
    free(map_remove_cstr(&w->owner->uids, of));
    bgp_rules_put(w->owner->rules, w->kind, key, NULL);
    if (w->kind == BGP_PEER)
        forget_secrets(w->owner);
    draw_soon(w->owner);
}

static void on_synced(void *user)
{
    draw_soon(((const struct watch *)user)->owner);
}

static void on_error(const char *text, void *user)
{
    (void)user;
    log_warn("what decides about BGP cannot be watched; what is known stays", kv_s("cause", text));
}

static const struct informer_ops object_ops = {on_object, on_object_gone, on_synced, on_error};

static void on_secret(json_t *object, void *user)
{
    const struct secret *s = user;
    bgp_rules_put(s->owner->rules, BGP_SECRET, str_from(s->name), object);
    draw_soon(s->owner);
}

static void on_secret_gone(struct str key, json_t *object, void *user)
{
    const struct secret *s = user;
    (void)key;
    (void)object;
    bgp_rules_put(s->owner->rules, BGP_SECRET, str_from(s->name), NULL);
    draw_soon(s->owner);
}

static void on_secret_synced(void *user)
{
    draw_soon(((const struct secret *)user)->owner);
}

static void on_secret_error(const char *text, void *user)
{
    const struct secret *s = user;
    log_warn("the Secret of a BGPPeer cannot be watched", kv_s("secret", s->name),
             kv_s("cause", text));
}

static const struct informer_ops secret_ops = {on_secret, on_secret_gone, on_secret_synced,
                                               on_secret_error};

static void watch(struct bgp *b, enum bgp_kind kind, const char *version, const char *plural)
{
    AUTO_CHARS char *path = kind == BGP_NODE ? xstrdup("/api/v1/nodes")
                                             : xasprintf("/apis/metallb.io/%s/namespaces/%s/%s",
                                                         version, b->options->namespace_, plural);
    AUTO_CHARS char *field = xasprintf("metadata.name=%s", b->options->node_name);
    const struct informer_options o = {.path = path,
                                       .field_selector = kind == BGP_NODE ? field : NULL,
                                       .lean = true,
                                       .optional = kind != BGP_NODE,
                                       .no_refusal = true};
    b->watches[kind] = (struct watch){.owner = b, .kind = kind};
    b->watches[kind].informer = informer_start(b->client, &o, &object_ops, &b->watches[kind]);
}

/* ---- life ---- */

struct bgp *bgp_new(struct kube_client *c, const struct bgp_options *o)
{
    struct bgp *b = NEW(struct bgp);
    b->client = c;
    b->options = o;
    b->rules = bgp_rules_new(o->node_name);
    b->events = event_recorder_new(c, "fairlead.dev/agent", o->node_name);
    loop_call_init(&b->draw, on_draw, b);
    b->tell = loop_timer_new(kube_client_loop(c), on_tell, b);
    b->poll = loop_timer_new(kube_client_loop(c), on_poll, b);
    loop_timer_start(b->tell, TELL_MS);
    loop_timer_start(b->poll, POLL_MS);
    watch(b, BGP_POOL, "v1beta1", "ipaddresspools");
    watch(b, BGP_PEER, "v1beta2", "bgppeers");
    watch(b, BGP_ADVERTISEMENT, "v1beta1", "bgpadvertisements");
    watch(b, BGP_COMMUNITY, "v1beta1", "communities");
    watch(b, BGP_BFD_PROFILE, "v1beta1", "bfdprofiles");
    watch(b, BGP_NODE, NULL, NULL);
    b->bgpd_options = (struct frr_session_options){o->directory,    "bgpd",       on_session_change,
                                                   on_bgpd_refused, on_bgpd_lost, b};
    b->bfdd_options = (struct frr_session_options){o->directory,    "bfdd",       on_session_change,
                                                   on_bfdd_refused, on_bfdd_lost, b};
    b->bgpd = frr_session_new(kube_client_loop(c), &b->bgpd_options);
    return b;
}

void bgp_free(struct bgp *b)
{
    void *value;
    if (!b)
        return;
    loop_call_cancel(&b->draw);
    loop_timer_free(b->tell);
    loop_timer_free(b->poll);
    frr_session_free(b->bgpd);
    frr_session_free(b->bfdd);
    for (unsigned kind = 0; kind < BGP_KINDS; kind++)
        informer_free(b->watches[kind].informer);
    for (size_t at = 0; map_next(&b->secrets, &at, NULL, &value);)
        secret_free(value);
    for (size_t at = 0; map_next(&b->uids, &at, NULL, &value);)
        free(value);
    for (size_t at = 0; map_next(&b->items, &at, NULL, &value);)
        item_free(b, value);
    map_done(&b->secrets);
    map_done(&b->refused);
    map_done(&b->uids);
    map_done(&b->items);
    vec_done(&b->unsettled);
    peers_done(b);
    findings_done(&b->told);
    bgp_rules_free(b->rules);
    event_recorder_free(b->events);
    free(b);
}

/* ---- metrics ---- */

void bgp_metrics_announced(const struct bgp *b, struct buf *out)
{
    char text[IP_TEXT_BYTES];
    void *value;
    for (size_t at = 0; map_next(&b->items, &at, NULL, &value);) {
        const struct item *i = value;
        VEC_FOREACH (h, &i->ips)
            if (h->is && i->is_told && bgp_rules_announce(b->rules, &h->ip))
                buf_addf(out,
                         "metallb_speaker_announced{ip=\"%s\",node=\"%s\",protocol=\"bgp\","
                         "service=\"%s\"} 1\n",
                         ip_format(&h->ip, text), b->options->node_name, i->key);
    }
}

static void add_peers(const struct bgp *b, const char *name, bool up, struct buf *out)
{
    char text[IP_TEXT_BYTES];
    buf_addf(out, "# TYPE %s gauge\n", name);
    VEC_FOREACH (p, &b->peers)
        buf_addf(out, "%s{peer=\"%s\"} %zu\n", name, ip_format(&p->address, text),
                 up ? (size_t)p->up : p->n_prefixes);
}

static void add_figures(const char *name, const char *type, uint64_t bgpd, const uint64_t *bfdd,
                        struct buf *out)
{
    buf_addf(out, "# TYPE fairlead_agent_frr_%s %s\n", name, type);
    buf_addf(out, "fairlead_agent_frr_%s{daemon=\"bgpd\"} %llu\n", name, (unsigned long long)bgpd);
    if (bfdd)
        buf_addf(out, "fairlead_agent_frr_%s{daemon=\"bfdd\"} %llu\n", name,
                 (unsigned long long)*bfdd);
}

void bgp_metrics(const struct bgp *b, struct buf *out)
{
    struct frr_session_stats s, t = {0};
    frr_session_get_stats(b->bgpd, &s);
    if (b->bfdd)
        frr_session_get_stats(b->bfdd, &t);
    uint64_t up = t.is_up;
    add_peers(b, "metallb_bgp_session_up", true, out); /* as MetalLB's */
    add_peers(b, "metallb_bgp_announced_prefixes_total", false, out);
    add_figures("up", "gauge", s.is_up, b->bfdd ? &up : NULL, out);
    add_figures("connects_total", "counter", s.connects, b->bfdd ? &t.connects : NULL, out);
    add_figures("losses_total", "counter", s.losses, b->bfdd ? &t.losses : NULL, out);
    add_figures("commands_total", "counter", s.commands, b->bfdd ? &t.commands : NULL, out);
    add_figures("refused_total", "counter", s.refused, b->bfdd ? &t.refused : NULL, out);
    add_figures("repairs_total", "counter", s.repairs, b->bfdd ? &t.repairs : NULL, out);
    buf_addf(out, "# TYPE fairlead_agent_bgp_findings gauge\nfairlead_agent_bgp_findings %llu\n",
             (unsigned long long)b->refused_objects);
}

/* ---- taking it out ---- */

struct leaving {
    bool lost[2];
};

static void on_nothing(void *user)
{
    (void)user;
}

static void on_kept(const char *command, const char *said, void *user)
{
    (void)user;
    log_warn("a daemon of FRR keeps something of ours", kv_s("command", command),
             kv_s("said", said));
}

static void on_no_bgpd(const char *why, void *user)
{
    (void)why;
    ((struct leaving *)user)->lost[0] = true;
}

static void on_no_bfdd(const char *why, void *user)
{
    (void)why;
    ((struct leaving *)user)->lost[1] = true;
}

int bgp_cleanup(const char *directory, struct err *reterr)
{
    AUTO(loop) struct loop *loop = NULL;
    struct leaving leaving = {0};
    const struct frr_session_options options[2] = {
        {directory, "bgpd", on_nothing, on_kept, on_no_bgpd, &leaving},
        {directory, "bfdd", on_nothing, on_kept, on_no_bfdd, &leaving}};
    int r = loop_new(&loop, reterr);
    if (r < 0)
        return r;
    struct frr_session *sessions[2] = {frr_session_new(loop, &options[0]),
                                       frr_session_new(loop, &options[1])};
    struct frr_config none[2] = {0};
    bool done = false;
    for (size_t i = 0; i < ARRAY_LEN(sessions); i++)
        frr_session_want(sessions[i], &none[i]);
    loop_turn(loop, 0);
    for (uint64_t end = loop_now_ms(loop) + CLEANUP_MS; !done && loop_now_ms(loop) < end;) {
        loop_turn(loop, 100);
        done = true;
        for (size_t i = 0; i < ARRAY_LEN(sessions); i++)
            done = done && (leaving.lost[i] || frr_session_is_settled(sessions[i]));
    }
    frr_session_free(sessions[0]);
    frr_session_free(sessions[1]);
    loop_turn(loop, 0); /* what was closed is freed */
    return done ? 0
                : err_set(reterr, -ETIMEDOUT, NULL, "bgpd or bfdd in %s do not answer", directory);
}
