/* Puts right what somebody else has changed in our table, at the cost of what was changed: elements
 * that notifications named are looked up and compared with the picture; if chains, rules or sets
 * were touched the skeleton is written again in one transaction, whatever is not ours goes, and all
 * elements are compared. Packets are served meanwhile. What packets write (the clients of affinity)
 * is not looked at. */
#include <errno.h>

#include "dataplane/nftables_backend.h"

enum { TOUCHED_MAX = 1000, CHUNK_ELEMENTS = 10000 };

/* ---- what was touched ---- */

static enum nftables_map map_of(struct str name)
{
    for (int m = 0; m < _NFTABLES_MAP_MAX; m++)
        if (str_is(name, nftables_map_names[m]))
            return (enum nftables_map)m;
    return _NFTABLES_MAP_MAX;
}

static bool is_verdicts(enum nftables_map map)
{
    return map == MAP_COUNTS || map == MAP_POLICIES || map == MAP_TIMEOUTS;
}

void nftables_touched_add(uint8_t family, struct str set, const struct nfnl_elem *e, void *user)
{
    struct nftables_touched *t = user;
    enum nftables_map map = map_of(set);
    if (map == MAP_CLIENTS || (family != NFPROTO_IPV4 && family != NFPROTO_IPV6))
        return;
    if (map == _NFTABLES_MAP_MAX || is_verdicts(map)) {
        t->skeleton = true;
        return;
    }
    t->all = t->all || ++t->n > TOUCHED_MAX;
    if (!t->all)
        buf_add_str(&t->keys[family == NFPROTO_IPV6][map], e->key);
    t->maps[family == NFPROTO_IPV6][map] = true;
}

void nftables_touched_done(struct nftables_touched *t)
{
    for (unsigned f = 0; f < 2; f++)
        for (int m = 0; m < _NFTABLES_MAP_MAX; m++)
            buf_done(&t->keys[f][m]);
}

/* ---- what ought to be there ---- */

static void want_all(struct nftables *n, struct nftables_changes *want)
{
    struct frontend_state *s;
    for (size_t at = 0; frontend_table_next(&n->table, &at, &s);) {
        struct values v = nftables_values(s);
        for (int i = 0; i < _SCOPE_MAX; i++) {
            enum endpoint_scope scope = (enum endpoint_scope)i;
            if (v.v[i])
                nftables_change_frontend(want, true, scope, &s->key, v.v[i]);
            for (uint32_t k = 0; k < s->slots[i].n; k++)
                nftables_change_endpoint(want, true, scope, &s->key, k, &s->slots[i].v[k]);
        }
        for (uint32_t i = 0; i < s->n_sources; i++)
            nftables_change_source(want, true, &s->key, &s->sources[i]);
        nftables_affinity_want(s, want);
    }
    nftables_affinity_want_books(&n->affinity, want);
    for (int l = 0; l < _DATAPLANE_LIST_MAX; l++) {
        struct str key;
        for (size_t at = 0; map_next(&n->lists[l], &at, &key, NULL);) {
            struct ip ip;
            memcpy(&ip, key.p, sizeof(ip));
            nftables_change_address(want, true, (enum dataplane_list)l, &ip);
        }
    }
}

/* ---- elements ---- */

struct compare {
    struct nftables_changes *fix;
    unsigned family;
    enum nftables_map map;
    struct map want; /* what was not found yet */
    struct map seen; /* keys: a dump that begins again, or keys asked for twice */
};

static int on_found(const struct nfnl_elem *e, void *user)
{
    struct compare *c = user;
    AUTO_DONE(buf) struct buf key = {0};
    nftables_found_key(e, &key);
    if (map_put(&c->seen, buf_str(&key), c))
        return 0;
    const struct nftables_element *w = map_remove(&c->want, buf_str(&key));
    if (w && nftables_element_is(w, e))
        return 0;
    nftables_change_found(c->fix, c->family, c->map, e);
    if (w)
        nftables_change_element(c->fix, true, c->family, c->map, w);
    return 0;
}

static size_t key_bytes_of(const struct nftables_family *f, enum nftables_map map)
{
    switch (map) {
    case MAP_ENDPOINTS:
    case MAP_NUMBERS:
        return f->addr_bytes + 12u;
    case MAP_NODE_PORT_ENDPOINTS:
    case MAP_NODE_PORT_NUMBERS:
        return 12;
    case MAP_SERVICES:
    case MAP_LOCAL_SERVICES:
    case MAP_AFFINITY:
        return f->addr_bytes + 8u;
    case MAP_NODE_PORTS:
    case MAP_LOCAL_NODE_PORTS:
    case MAP_NODE_PORT_AFFINITY:
        return 8;
    case SET_CLUSTER_IPS:
        return f->addr_bytes;
    case SET_LOCAL_ENDPOINTS:
        return f->addr_bytes * 2u;
    case MAP_PINNED:
    case MAP_LOCAL_PINNED:
    case MAP_SECONDS:
        return 4;
    case MAP_COUNTS:
    case MAP_POLICIES:
    case MAP_CLIENTS:
    case MAP_TIMEOUTS:
    case SET_SOURCE_RANGES:
    case _NFTABLES_MAP_MAX:
        break;
    }
    return 0;
}

/* A dump of a large map is quadratic in the kernel: its elements are asked for by key. */
static bool is_large(enum nftables_map map)
{
    return map == MAP_ENDPOINTS || map == MAP_NODE_PORT_ENDPOINTS || map == MAP_NUMBERS ||
           map == MAP_NODE_PORT_NUMBERS;
}

/* Only what has one of these keys is looked for. */
static void keep_touched(struct compare *c, struct str keys, size_t bytes)
{
    struct map some = {0};
    for (; bytes && keys.n >= bytes; keys = str_sub(keys, bytes, keys.n)) {
        struct str key = str_of(keys.p, bytes);
        void *w = map_find(&c->want, key);
        if (w)
            map_put(&some, key, w);
    }
    map_done(&c->want);
    c->want = some;
}

static int compare_map(struct nftables *n, struct compare *c, const struct nftables_changes *want,
                       struct str touched, bool all, struct err *reterr)
{
    const struct nftables_family *f = &nftables_families[c->family];
    const char *name = nftables_map_names[c->map];
    size_t bytes = key_bytes_of(f, c->map);
    AUTO_DONE(buf) struct buf keys = {0};
    bool dump = c->map == SET_SOURCE_RANGES || (all && !is_large(c->map));
    int r;
    nftables_changes_index(want, c->family, c->map, &c->want);
    if (!dump && !all)
        keep_touched(c, touched, bytes);
    else if (!dump)
        (void)nftables_changes_keys(want, c->family, c->map, &keys);
    if (dump) {
        r = nft_dump_elems(n->nft, f->nfproto, NFTABLES_TABLE, name, on_found, NULL, c, reterr);
    } else {
        buf_add_str(&keys, touched);
        r = nft_find_elems(n->nft, f->nfproto, NFTABLES_TABLE, name, buf_str(&keys), bytes,
                           on_found, c, reterr);
    }
    void *w;
    for (size_t at = 0; r == 0 && map_next(&c->want, &at, NULL, &w);)
        nftables_change_element(c->fix, true, c->family, c->map, w);
    map_done(&c->want);
    map_done(&c->seen);
    return r;
}

static int fix_elements(struct nftables *n, const struct nftables_touched *t, bool *ret_fixed,
                        struct err *reterr)
{
    struct nftables_changes want = {0};
    bool all = t->all || t->skeleton;
    int r = 0;
    want_all(n, &want);
    for (unsigned f = 0; f < 2 && r == 0; f++)
        for (int m = 0; m < _NFTABLES_MAP_MAX && r == 0; m++) {
            struct compare c = {.fix = &n->changes, .family = f, .map = (enum nftables_map)m};
            if (m == MAP_CLIENTS || is_verdicts(c.map) || !(all || t->maps[f][m]))
                continue;
            r = compare_map(n, &c, &want, buf_str(&t->keys[f][m]), all, reterr);
        }
    *ret_fixed = n->changes.n > 0;
    if (r == 0 && n->changes.n)
        r = nftables_send_changes(n, reterr);
    nftables_changes_clear(&n->changes);
    nftables_changes_done(&want);
    return r;
}

/* ---- the skeleton ---- */

struct foreign {
    struct nftables *n;
    unsigned family;
    bool sets;
    VEC(char *) names;
    enum nftables_map map;
    struct nfnl_batch *batch; /* deletions of wrong verdicts; NULL: only names are asked for */
};

static void foreign_done(struct foreign *f)
{
    VEC_FOREACH (name, &f->names)
        free(*name);
    vec_done(&f->names);
}

static void on_restart(void *user)
{
    struct foreign *f = user;
    VEC_FOREACH (name, &f->names)
        free(*name);
    vec_clear(&f->names);
}

static bool is_class_chain(struct foreign *f, struct str name)
{
    static const struct {
        const char *prefix;
        uint32_t bit;
    } kinds[] = {{"endpoints-", 0}, {"local-endpoints-", VALUE_SCOPE_LOCAL}};
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        uint64_t count;
        if (!str_starts(name, str_from(kinds[i].prefix)) ||
            str_to_u64(str_sub(name, strlen(kinds[i].prefix), name.n), &count) < 0)
            continue;
        return count > 0 && count <= DATAPLANE_ENDPOINTS_MAX &&
               nftables_class(f->n, f->family, (uint32_t)count | kinds[i].bit)->in_kernel;
    }
    return false;
}

static int on_name(struct str name, void *user)
{
    struct foreign *f = user;
    if (f->sets ? map_of(name) == _NFTABLES_MAP_MAX
                : !nftables_is_fixed_chain(name) && !is_class_chain(f, name))
        vec_push(&f->names, str_dup(name));
    return 0;
}

static int on_verdict(const struct nfnl_elem *e, void *user)
{
    struct foreign *f = user;
    char text[32];
    uint32_t key = nla_u32(e->key, 0);
    const char *ought = f->map != MAP_COUNTS ? nftables_fixed_verdict(f->map, key, text)
                                             : nftables_class_name(key, text);
    if (f->map == MAP_COUNTS &&
        ((key & VALUE_COUNT_MASK) != key || !nftables_class(f->n, f->family, key)->in_kernel))
        ought = NULL;
    if (!ought || !e->has_verdict || e->verdict != NFT_JUMP || !str_is(e->chain, ought))
        nfnl_elem_add(f->batch, e->key, (struct str){0});
    return 0;
}

/* Verdicts that are not ours, before ours are written. */
static int drop_wrong_verdicts(struct nftables *n, unsigned family, struct nfnl_batch *b,
                               struct err *reterr)
{
    static const enum nftables_map maps[] = {MAP_COUNTS, MAP_POLICIES, MAP_TIMEOUTS};
    uint8_t nfproto = nftables_families[family].nfproto;
    int r = 0;
    for (size_t i = 0; i < ARRAY_LEN(maps) && r == 0; i++) {
        struct foreign f = {.n = n, .family = family, .map = maps[i], .batch = b};
        const char *name = nftables_map_names[maps[i]];
        nfnl_elems_begin(b, NFT_MSG_DELSETELEM, name);
        r = nft_dump_elems(n->nft, nfproto, NFTABLES_TABLE, name, on_verdict, NULL, &f, reterr);
        nfnl_elems_end(b);
        if (r == -ENOENT) /* the map itself is gone */
            r = 0;
    }
    return r;
}

static void write_classes(struct nftables *n, unsigned family, struct nfnl_batch *b)
{
    for (uint32_t i = 1; i <= DATAPLANE_ENDPOINTS_MAX; i++)
        for (uint32_t bit = 0; bit <= VALUE_SCOPE_LOCAL; bit += VALUE_SCOPE_LOCAL)
            if (nftables_class(n, family, i | bit)->in_kernel)
                nftables_add_class(b, i | bit);
}

static int write_skeleton(struct nftables *n, struct err *reterr)
{
    struct nfnl_batch b;
    int r = 0;
    nft_batch_begin(n->nft, &b, 0);
    for (unsigned i = 0; i < 2 && r == 0; i++) {
        nfnl_batch_table(&b, nftables_families[i].nfproto, NFTABLES_TABLE);
        r = drop_wrong_verdicts(n, i, &b, reterr);
        nftables_add_skeleton(&b, &nftables_families[i], &n->config, true);
        if (n->hooked)
            nftables_add_hooks(&b, &nftables_families[i]);
        write_classes(n, i, &b);
    }
    memset(n->forgotten, 0, sizeof(n->forgotten));
    memset(n->rejected, 0, sizeof(n->rejected));
    if (r == 0)
        return nftables_commit(n, &b, reterr);
    nfnl_batch_done(&b);
    return r;
}

/* Chains and sets under our table that are not ours. After ours were written nothing of ours leads
 * to them. */
static int drop_foreign(struct nftables *n, unsigned family, struct err *reterr)
{
    uint8_t nfproto = nftables_families[family].nfproto;
    struct foreign chains = {.n = n, .family = family};
    struct foreign sets = {.n = n, .family = family, .sets = true};
    int r = nft_list(n->nft, nfproto, NFTABLES_TABLE, NFT_MSG_GETCHAIN, on_name, on_restart,
                     &chains, reterr);
    if (r == 0)
        r = nft_list(n->nft, nfproto, NFTABLES_TABLE, NFT_MSG_GETSET, on_name, on_restart, &sets,
                     reterr);
    if (r == 0 && (chains.names.n || sets.names.n)) {
        struct nfnl_batch b;
        nft_batch_begin(n->nft, &b, 0);
        nfnl_batch_table(&b, nfproto, NFTABLES_TABLE);
        VEC_FOREACH (name, &chains.names)
            nfnl_chain_flush(&b, *name);
        VEC_FOREACH (name, &sets.names)
            nfnl_set_delete(&b, *name);
        VEC_FOREACH (name, &chains.names)
            nfnl_chain_delete(&b, *name);
        r = nftables_commit(n, &b, reterr);
    }
    foreign_done(&chains);
    foreign_done(&sets);
    return r;
}

/* After the elements, since what the timeouts are is one of them. */
static int write_timeouts(struct nftables *n, struct err *reterr)
{
    nftables_affinity_rewrite(&n->affinity);
    return nftables_send_changes(n, reterr);
}

int nftables_mend(struct nftables *n, const struct nftables_touched *t, struct err *reterr)
{
    bool fixed = false;
    ASSERT(n->changes.n == 0);
    int r = t->skeleton ? write_skeleton(n, reterr) : 0;
    if (r == 0)
        r = fix_elements(n, t, &fixed, reterr);
    if (r == 0 && t->skeleton)
        r = write_timeouts(n, reterr);
    for (unsigned i = 0; i < 2 && r == 0 && t->skeleton; i++)
        r = drop_foreign(n, i, reterr);
    return r < 0 ? r : fixed || t->rewritten;
}
