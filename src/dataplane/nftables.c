/* The nftables backend: brings the table `fairlead` of both families to the frontends it is given,
 * by the smallest change. Owns its netlink sockets and the picture of what is in the kernel. One
 * frontend changes whole within one transaction; large deltas go in chunks. After a failure the
 * picture is what ought to be there, and `broken` makes the next call read the kernel back and send
 * the difference. Blocking; one thread. */
#include <errno.h>

#include "dataplane/nftables_backend.h"

enum {
    CHUNK_ELEMENTS = 10000,
    CLASSES_IDLE_MAX =
        16, /* unused classes kept, so that a count that comes and goes costs nothing */
};

static struct nftables *of(const struct dataplane *d)
{
    return CONTAINER_OF((struct dataplane *)(uintptr_t)d, struct nftables, base);
}

/* ---- classes that nobody uses ---- */

/* Classes nobody uses go, in a transaction of their own: kernels before 6.2 may refuse it (EBUSY)
 * until later. */
static void collect_classes(struct nftables *n)
{
    struct nfnl_batch b;
    struct err ignored;
    VEC(uint32_t) idle[2] = {{0}, {0}};
    if (n->broken || n->n_idle <= CLASSES_IDLE_MAX)
        return;
    for (unsigned f = 0; f < 2; f++)
        for (uint32_t i = 1; i <= DATAPLANE_ENDPOINTS_MAX; i++)
            for (uint32_t bit = 0; bit <= VALUE_SCOPE_LOCAL; bit += VALUE_SCOPE_LOCAL) {
                const struct class *c = nftables_class(n, f, i | bit);
                if (c->in_kernel && c->refs == 0)
                    vec_push(&idle[f], i | bit);
            }
    nft_batch_begin(n->nft, &b, 0);
    for (unsigned f = 0; f < 2; f++) {
        nfnl_batch_table(&b, nftables_families[f].nfproto, NFTABLES_TABLE);
        VEC_FOREACH (count, &idle[f])
            nftables_delete_class(&b, *count);
    }
    if (nftables_commit(n, &b, &ignored) < 0)
        n->counters.cleanup_failures++;
    else
        for (unsigned f = 0; f < 2; f++)
            VEC_FOREACH (count, &idle[f])
                nftables_class_note(n, nftables_class(n, f, *count), false);
    vec_done(&idle[0]);
    vec_done(&idle[1]);
}

/* ---- one frontend ---- */

struct change_slots {
    struct nftables *n;
    struct frontend_state *state;
    enum endpoint_scope scope;
    bool endpoint_gone;
};

static void on_index(uint32_t index, const struct dataplane_endpoint *old_,
                     const struct dataplane_endpoint *new_, void *user)
{
    struct change_slots *c = user;
    if (old_)
        nftables_change_endpoint(&c->n->changes, false, c->scope, &c->state->key, index, old_);
    if (new_)
        nftables_change_endpoint(&c->n->changes, true, c->scope, &c->state->key, index, new_);
    nftables_affinity_index(&c->n->changes, c->state, c->scope, index, old_, new_);
    c->endpoint_gone = c->endpoint_gone || old_;
}

/* True if something changed. */
static bool change_values(struct nftables *n, const struct frontend_key *k,
                          const struct values *before, const struct values *after)
{
    bool changed = false;
    for (int i = 0; i < _SCOPE_MAX; i++) {
        enum endpoint_scope scope = (enum endpoint_scope)i;
        if (before->v[i] == after->v[i])
            continue;
        changed = true;
        if (before->v[i]) {
            nftables_change_frontend(&n->changes, false, scope, k, before->v[i]);
            nftables_class_use(n, k, before->v[i] & VALUE_COUNT_MASK, -1);
        }
        if (after->v[i]) {
            nftables_change_frontend(&n->changes, true, scope, k, after->v[i]);
            nftables_class_use(n, k, after->v[i] & VALUE_COUNT_MASK, 1);
        }
    }
    return changed;
}

/* True if an endpoint went. */
static bool change_slots(struct nftables *n, struct frontend_state *s, enum endpoint_scope scope,
                         const struct dataplane_endpoint *want, size_t count)
{
    struct change_slots c = {.n = n, .state = s, .scope = scope};
    endpoint_slots_change(&s->slots[scope], want,
                          (uint32_t)MIN(count, (size_t)DATAPLANE_ENDPOINTS_MAX), on_index, &c);
    return c.endpoint_gone;
}

struct change_sources {
    struct nftables *n;
    const struct frontend_key *key;
};

static void on_source(bool add, const struct prefix *p, void *user)
{
    struct change_sources *c = user;
    nftables_change_source(&c->n->changes, add, c->key, p);
}

static void change_sources(struct nftables *n, struct frontend_state *s, bool restricted,
                           const struct prefix *want, size_t count)
{
    struct change_sources c = {n, &s->key};
    frontend_state_change_sources(s, restricted, want, count, on_source, &c);
}

static void remove_frontend(struct nftables *n, const struct frontend_key *k)
{
    struct frontend_key key = *k;
    struct frontend_state *s = frontend_table_find(&n->table, &key);
    if (!s)
        return;
    struct values before = nftables_values(s), none = {{0}};
    change_values(n, &key, &before, &none);
    nftables_affinity_leave(&n->affinity, &n->changes, s, 0, &key);
    change_slots(n, s, SCOPE_CLUSTER, NULL, 0);
    change_slots(n, s, SCOPE_LOCAL, NULL, 0);
    change_sources(n, s, false, NULL, 0);
    frontend_table_remove(&n->table, &key);
    udp_flows_note_removed(&n->flows, &key);
}

static void change_frontend(struct nftables *n, const struct frontend *f)
{
    if (f->removed) {
        remove_frontend(n, &f->key);
        return;
    }
    ASSERT(f->policy > 0 && f->policy < _DATAPLANE_POLICY_MAX);
    COUNT_IF(f->n_endpoints > DATAPLANE_ENDPOINTS_MAX, "more endpoints than are put in place");
    struct frontend_state *s = frontend_table_get(&n->table, &f->key);
    bool local = dataplane_policy_is_local(f->policy);
    struct values before = nftables_values(s);
    nftables_affinity_leave(&n->affinity, &n->changes, s, f->affinity_s, &f->affinity_group);
    bool gone = change_slots(n, s, SCOPE_CLUSTER, f->endpoints, f->n_endpoints);
    gone = change_slots(n, s, SCOPE_LOCAL, f->local, local ? f->n_local : 0) || gone;
    nftables_affinity_join(&n->affinity, &n->changes, s, f->affinity_s, &f->affinity_group);
    nftables_affinity_sweep(&n->changes, s);
    change_sources(n, s, f->restricted, f->sources, f->n_sources);
    s->policy = (uint8_t)f->policy;
    s->seen = 1;
    struct values after = nftables_values(s);
    if (change_values(n, &s->key, &before, &after) || gone)
        udp_flows_note_changed(&n->flows, &f->key);
    udp_flows_note_draining(&n->flows, f);
}

static void change_address(struct nftables *n, const struct address_change *a)
{
    ASSERT(a->list < _DATAPLANE_LIST_MAX && a->ip.family);
    struct map *m = &n->lists[a->list];
    struct str key = str_of(&a->ip, sizeof(a->ip));
    if (a->removed) {
        if (map_remove(m, key))
            nftables_change_address(&n->changes, false, a->list, &a->ip);
    } else if (!map_put(m, key, SEEN)) {
        nftables_change_address(&n->changes, true, a->list, &a->ip);
    }
}

/* What a full delta did not name. */
static void remove_unseen(struct nftables *n)
{
    struct frontend_state *s;
    VEC(struct frontend_key) gone = {0};
    for (size_t at = 0; frontend_table_next(&n->table, &at, &s);) {
        if (!s->seen)
            vec_push(&gone, s->key);
        s->seen = 0;
    }
    VEC_FOREACH (k, &gone) {
        remove_frontend(n, k);
        if (n->changes.n >= CHUNK_ELEMENTS)
            nftables_flush(n);
    }
    vec_done(&gone);
    for (int l = 0; l < _DATAPLANE_LIST_MAX; l++) {
        struct str key;
        void *mark;
        for (size_t at = 0; map_next(&n->lists[l], &at, &key, &mark);) {
            struct ip ip;
            memcpy(&ip, key.p, sizeof(ip));
            if (mark != UNSEEN)
                continue;
            nftables_change_address(&n->changes, false, (enum dataplane_list)l, &ip);
            map_remove(&n->lists[l], str_of(&ip, sizeof(ip)));
        }
    }
}

static void mark_unseen(struct nftables *n)
{
    struct frontend_state *s;
    for (size_t at = 0; frontend_table_next(&n->table, &at, &s);)
        s->seen = 0;
    for (int l = 0; l < _DATAPLANE_LIST_MAX; l++) {
        struct str key;
        VEC(struct ip) all = {0};
        for (size_t at = 0; map_next(&n->lists[l], &at, &key, NULL);) {
            struct ip *ip = vec_add(&all);
            memcpy(ip, key.p, sizeof(*ip));
        }
        VEC_FOREACH (ip, &all)
            map_put(&n->lists[l], str_of(ip, sizeof(*ip)), UNSEEN);
        vec_done(&all);
    }
}

/* ---- taking over what is there ---- */

static void forget(struct nftables *n)
{
    frontend_table_done(&n->table);
    nftables_affinity_done(&n->affinity);
    for (int l = 0; l < _DATAPLANE_LIST_MAX; l++)
        map_done(&n->lists[l]);
    memset(n->classes, 0, sizeof(n->classes));
    n->n_classes = n->n_idle = 0;
    nftables_changes_clear(&n->changes);
    vec_clear(&n->classes_new[0]);
    vec_clear(&n->classes_new[1]);
}

/* The skeleton anew; the elements that are there stay, unless scratch. All in one transaction: no
 * packet sees less. */
static int install(struct nftables *n, bool exists, bool scratch, struct err *reterr)
{
    struct nfnl_batch b;
    nft_batch_begin(n->nft, &b, 0);
    for (unsigned i = 0; i < 2; i++) {
        const struct nftables_family *f = &nftables_families[i];
        nfnl_batch_table(&b, f->nfproto, NFTABLES_TABLE);
        if (scratch) {
            nfnl_table_new(&b); /* so that the deletion finds one */
            nfnl_table_delete(&b);
        }
        nftables_add_skeleton(&b, f, &n->config, exists && !scratch);
        if (exists && !scratch)
            nftables_add_hooks(&b, f);
    }
    n->hooked = exists && !scratch;
    memset(n->forgotten, 0, sizeof(n->forgotten));
    memset(n->rejected, 0, sizeof(n->rejected));
    return nftables_commit(n, &b, reterr);
}

/* Reads the kernel into an empty picture, making the table if need be. thorough: look for elements
 * that no frontend tells of, too. They do no harm until one of ours wants their place; then the
 * kernel refuses it, and the repair is thorough. */
static int take_over(struct nftables *n, bool scratch, bool thorough, struct err *reterr)
{
    bool exists[2] = {false, false};
    int r = 0;
    forget(n);
    n->broken = false;
    for (unsigned i = 0; i < 2 && r == 0; i++)
        r = nft_table_exists(n->nft, nftables_families[i].nfproto, NFTABLES_TABLE, &exists[i],
                             reterr);
    if (r < 0)
        return r;
    bool any = exists[0] || exists[1];
    r = install(n, any, scratch, reterr);
    if (COUNT_IF(r < 0 && !scratch && any, "a table of our name with another layout")) {
        scratch = true; /* another layout under our name: replaced in one step */
        r = install(n, any, true, reterr);
    }
    for (unsigned i = 0; i < 2 && r == 0 && any && !scratch; i++)
        r = nftables_adopt(n, &nftables_families[i], thorough, reterr);
    if (COUNT_IF(r == -EBADMSG, "elements in our table that are not ours")) {
        /* nothing of it can be trusted */
        forget(n);
        r = install(n, true, true, reterr);
    }
    return r;
}

static void hook_up(struct nftables *n)
{
    struct nfnl_batch b;
    if (n->hooked || n->broken)
        return;
    nft_batch_begin(n->nft, &b, 0);
    nftables_add_hooks(&b, &nftables_families[0]);
    nftables_add_hooks(&b, &nftables_families[1]);
    n->broken = nftables_commit(n, &b, &n->broken_err) < 0;
    n->hooked = !n->broken;
}

/* Brings the kernel back to the picture: reads it, then applies the picture as a full delta. */
static int restore(struct nftables *n, bool scratch, struct err *reterr)
{
    struct frontend_table want = n->table;
    struct map lists[_DATAPLANE_LIST_MAX];
    struct frontend_state *s;
    memcpy(lists, n->lists, sizeof(lists));
    n->table = (struct frontend_table){0};
    memset(n->lists, 0, sizeof(n->lists));
    for (size_t at = 0; frontend_table_next(&want, &at, &s);)
        s->group = NULL; /* the books are read anew */
    int r = take_over(n, scratch, true, reterr);
    if (r == 0) {
        mark_unseen(n);
        for (size_t at = 0; frontend_table_next(&want, &at, &s);) {
            struct frontend f = {.key = s->key,
                                 .policy = (enum dataplane_policy)s->policy,
                                 .endpoints = s->slots[SCOPE_CLUSTER].v,
                                 .n_endpoints = s->slots[SCOPE_CLUSTER].n,
                                 .local = s->slots[SCOPE_LOCAL].v,
                                 .n_local = s->slots[SCOPE_LOCAL].n,
                                 .restricted = s->restricted,
                                 .sources = s->sources,
                                 .n_sources = s->n_sources,
                                 .affinity_s = s->affinity_s,
                                 .affinity_group = s->affinity_key};
            f.draining = udp_flows_draining(&n->flows, &f.key, &f.n_draining);
            change_frontend(n, &f);
            if (n->changes.n >= CHUNK_ELEMENTS)
                nftables_flush(n);
        }
        for (int l = 0; l < _DATAPLANE_LIST_MAX; l++) {
            struct str key;
            for (size_t at = 0; map_next(&lists[l], &at, &key, NULL);) {
                struct address_change a = {.list = (enum dataplane_list)l};
                memcpy(&a.ip, key.p, sizeof(a.ip));
                change_address(n, &a);
            }
        }
        remove_unseen(n);
        nftables_flush(n);
        hook_up(n);
        r = n->broken ? n->broken_err.code : 0;
    }
    if (r < 0) { /* keep the picture for the next try */
        frontend_table_done(&n->table);
        for (int l = 0; l < _DATAPLANE_LIST_MAX; l++)
            map_done(&n->lists[l]);
        n->table = want;
        memcpy(n->lists, lists, sizeof(lists));
        n->broken = true;
        if (reterr && n->broken_err.code)
            *reterr = n->broken_err;
        return r;
    }
    frontend_table_done(&want);
    for (int l = 0; l < _DATAPLANE_LIST_MAX; l++)
        map_done(&lists[l]);
    udp_flows_note_all(&n->flows);
    n->counters.repairs++;
    return 0;
}

/* ---- networks ---- */

static bool is_same(const struct prefix *a, size_t n, const struct prefix *b, size_t m)
{
    return n == m && (n == 0 || memcmp(a, b, n * sizeof(*a)) == 0);
}

/* The rules that depend on them, in one transaction of their own. */
static void change_networks(struct nftables *n, const struct dataplane_networks *w)
{
    struct nfnl_batch b;
    struct dataplane_config *c = &n->config;
    if (is_same(c->cluster_cidrs, c->n_cluster_cidrs, w->pods, w->n_pods) &&
        is_same(c->service_cidrs, c->n_service_cidrs, w->services, w->n_services))
        return;
    vec_clear(&n->pods);
    vec_clear(&n->services);
    for (size_t i = 0; i < w->n_pods; i++)
        vec_push(&n->pods, w->pods[i]);
    for (size_t i = 0; i < w->n_services; i++)
        vec_push(&n->services, w->services[i]);
    c->cluster_cidrs = n->pods.v;
    c->n_cluster_cidrs = n->pods.n;
    c->service_cidrs = n->services.v;
    c->n_service_cidrs = n->services.n;
    if (n->broken)
        return; /* the repair writes everything */
    nft_batch_begin(n->nft, &b, 0);
    nftables_rewrite_networks(&b, &nftables_families[0], c);
    nftables_rewrite_networks(&b, &nftables_families[1], c);
    n->broken = nftables_commit(n, &b, &n->broken_err) < 0;
}

/* ---- the interface ---- */

static int nftables_apply(struct dataplane *d, const struct dataplane_delta *delta,
                          struct err *reterr)
{
    struct nftables *n = of(d);
    ASSERT(delta->frontends || delta->n_frontends == 0);
    if (delta->networks)
        change_networks(n, delta->networks);
    if (delta->full)
        mark_unseen(n);
    for (size_t i = 0; i < delta->n_frontends; i++) {
        change_frontend(n, &delta->frontends[i]);
        if (n->changes.n >= CHUNK_ELEMENTS)
            nftables_flush(n);
    }
    for (size_t i = 0; i < delta->n_addresses; i++)
        change_address(n, &delta->addresses[i]);
    if (delta->full)
        remove_unseen(n);
    nftables_flush(n);
    if (delta->full)
        hook_up(n);
    int r = 0;
    if (n->broken) {
        r = restore(n, false, reterr);
        if (r < 0)
            r = restore(n, true, reterr);
    }
    return r;
}

/* Adds what a chain's counters have seen since they were read last. */
static void count_packets(struct nftables *n, unsigned family, const char *chain, uint64_t *last,
                          uint64_t *sum)
{
    uint64_t now;
    struct err ignored;
    if (nft_chain_packets(n->nft, nftables_families[family].nfproto, NFTABLES_TABLE, chain, &now,
                          &ignored) < 0)
        return;
    *sum += now - MIN(now, *last);
    *last = now;
}

static bool is_sampled(const struct nftables *n)
{
    return nftables_affinity_is_used(&n->affinity) || n->config.localhost[0] ||
           n->config.localhost[1];
}

static void sample(struct nftables *n)
{
    n->counters.sampled = is_sampled(n);
    for (unsigned f = 0; f < 2; f++) {
        if (nftables_affinity_is_used(&n->affinity))
            count_packets(n, f, NFTABLES_FORGOTTEN, &n->forgotten[f],
                          &n->counters.clients_forgotten[f]);
        for (unsigned p = 0; p < DATAPLANE_PROTOCOLS && n->config.localhost[f]; p++)
            count_packets(n, f, nftables_localhost_chains[p], &n->rejected[f][p],
                          &n->counters.localhost_rejected[f][p]);
    }
}

static void nftables_settle(struct dataplane *d)
{
    struct nftables *n = of(d);
    if (udp_flows_settle(&n->flows, &n->table, &n->counters) < 0)
        n->counters.failures++;
    collect_classes(n);
    sample(n);
}

static void nftables_dump(const struct dataplane *d, struct buf *out)
{
    frontend_table_dump(&of(d)->table, out);
}

static void nftables_counters(const struct dataplane *d, struct dataplane_counters *ret)
{
    struct nftables *n = of(d);
    *ret = n->counters;
    ret->frontends = n->table.map.used;
    ret->classes = n->n_classes;
    ret->unsettled = udp_flows_are_pending(&n->flows) || n->n_idle > CLASSES_IDLE_MAX ||
                     n->counters.sampled != is_sampled(n);
}

static_assert((int)_NFT_THING_MAX == (int)DATAPLANE_FOREIGN_KINDS, "kinds differ");

static void note_news(struct nftables *n, const struct nft_news *news, struct nftables_touched *t)
{
    for (int i = 0; i < _NFT_THING_MAX; i++)
        n->counters.foreign[i] += news->changes[i];
    t->rewritten = t->skeleton; /* elements have told of it */
    for (int i = 0; i < NFT_THING_ELEMENT; i++)
        t->rewritten = t->rewritten || news->changes[i];
    t->skeleton = t->rewritten || news->lost;
}

static int find_tables(struct nftables *n, bool *ret_all, struct err *reterr)
{
    *ret_all = true;
    for (unsigned i = 0; i < 2 && *ret_all; i++) {
        int r =
            nft_table_exists(n->nft, nftables_families[i].nfproto, NFTABLES_TABLE, ret_all, reterr);
        if (r < 0)
            return r;
    }
    return 0;
}

static int nftables_repair(struct dataplane *d, struct err *reterr)
{
    struct nftables *n = of(d);
    struct nft_news news = {0};
    struct nftables_touched touched = {0};
    struct err mending = {0};
    bool exists = true;
    int r = 0;
    nft_watch_read(n->watch, NFTABLES_TABLE, nftables_touched_add, &touched, &news);
    bool told = !nft_news_are_none(&news);
    note_news(n, &news, &touched);
    if (told && !n->broken && (news.lost || news.changes[NFT_THING_TABLE]))
        r = find_tables(n, &exists, reterr);
    if (r == 0 && told && exists && !n->broken) {
        r = nftables_mend(n, &touched, &mending);
        n->counters.repairs += r > 0;
        n->broken = r < 0;
    }
    nftables_touched_done(&touched);
    if (!n->broken && exists)
        return r;
    r = restore(n, false, reterr);
    if (r < 0)
        r = restore(n, true, reterr);
    return r < 0 ? r : 1;
}

static int nftables_watch_fd(const struct dataplane *d)
{
    return nft_watch_fd(of(d)->watch);
}

static void nftables_free(struct dataplane *d)
{
    struct nftables *n = of(d);
    forget(n);
    nftables_changes_done(&n->changes);
    vec_done(&n->pods);
    vec_done(&n->services);
    vec_done(&n->classes_new[0]);
    vec_done(&n->classes_new[1]);
    nft_free(n->nft);
    nft_watch_free(n->watch);
    udp_flows_done(&n->flows);
    free(n);
}

static const struct dataplane_ops nftables_ops = {
    .name = "nftables",
    .apply = nftables_apply,
    .settle = nftables_settle,
    .dump = nftables_dump,
    .counters = nftables_counters,
    .repair = nftables_repair,
    .watch_fd = nftables_watch_fd,
    .free = nftables_free,
};

int nftables_open(const struct dataplane_config *c, struct dataplane **ret, struct err *reterr)
{
    struct nftables *n = NEW(struct nftables);
    n->base.ops = &nftables_ops;
    n->config = *c;
    int r = nft_new(&n->nft, reterr);
    if (r == 0)
        r = udp_flows_init(&n->flows, reterr);
    if (r == 0)
        r = take_over(n, false, false, reterr);
    if (r == 0)
        r = nft_watch_new(n->nft, &n->watch, reterr);
    udp_flows_note_all(&n->flows);
    if (r < 0) {
        err_prefix(reterr, NULL, "table " NFTABLES_TABLE);
        nftables_free(&n->base);
        return r;
    }
    *ret = &n->base;
    return 0;
}

int nftables_cleanup(struct err *reterr)
{
    AUTO(nft) struct nft *nft = NULL;
    int r = nft_new(&nft, reterr);
    if (r < 0)
        return r;
    struct nfnl_batch b;
    nft_batch_begin(nft, &b, 0);
    for (unsigned i = 0; i < 2; i++) {
        nfnl_batch_table(&b, nftables_families[i].nfproto, NFTABLES_TABLE);
        nfnl_table_new(&b);
        nfnl_table_delete(&b);
    }
    r = nft_commit(nft, &b, reterr);
    nfnl_batch_done(&b);
    return r;
}
