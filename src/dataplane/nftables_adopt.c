/* The picture of the kernel, read back: by dumps of the maps, and by key where a dump would be
 * quadratic. Frontends that are not whole (somebody deleted elements of them) are left out and
 * noted for removal, to be added anew. */
#include <errno.h>

#include "dataplane/nftables_backend.h"

struct adopt {
    struct nftables *n;
    const struct nftables_family *family;
    enum nftables_map map;
    struct map declared[_SCOPE_MAX]; /* key -> value in the kernel */
};

static int adopt_value(struct adopt *a, const struct nfnl_elem *e)
{
    bool node = a->map == MAP_NODE_PORTS || a->map == MAP_LOCAL_NODE_PORTS;
    bool local = a->map == MAP_LOCAL_SERVICES || a->map == MAP_LOCAL_NODE_PORTS;
    struct frontend_key k;
    uint32_t value;
    if (!nftables_parse_frontend(a->family, node, e, &k, &value) || value == 0)
        return -EBADMSG;
    struct frontend_state *s = frontend_table_get(&a->n->table, &k);
    if (!local) {
        s->policy = (uint8_t)((value & VALUE_POLICY_MASK) >> VALUE_POLICY_SHIFT);
        s->restricted = value & VALUE_RESTRICTED;
    }
    map_put(&a->declared[local ? SCOPE_LOCAL : SCOPE_CLUSTER], str_of(&k, sizeof(k)),
            (void *)(uintptr_t)value);
    return 0;
}

static int adopt_endpoint(struct adopt *a, const struct nfnl_elem *e)
{
    struct frontend_key k;
    struct dataplane_endpoint ep;
    enum endpoint_scope scope;
    uint32_t index;
    if (!nftables_parse_endpoint(a->family, a->map == MAP_NODE_PORT_ENDPOINTS, e, &k, &scope,
                                 &index, &ep))
        return -EBADMSG;
    endpoint_slots_put(&frontend_table_get(&a->n->table, &k)->slots[scope], index, &ep);
    return 0;
}

static int adopt_source(struct adopt *a, const struct nfnl_elem *e)
{
    struct frontend_key k;
    struct prefix p;
    if (!nftables_parse_source(a->family, e, &k, &p))
        return -EBADMSG;
    struct frontend_state *s = frontend_table_get(&a->n->table, &k);
    s->sources = xrealloc(s->sources, (s->n_sources + 1) * sizeof(*s->sources));
    s->sources[s->n_sources++] = p;
    return 0;
}

static int on_adopt(const struct nfnl_elem *e, void *user)
{
    struct adopt *a = user;
    if (a->map >= MAP_AFFINITY && a->map <= MAP_SECONDS)
        return nftables_affinity_adopt(&a->n->affinity, a->family, a->map, e, &a->n->table);
    if (a->map == MAP_COUNTS) {
        nftables_class_note(
            a->n, nftables_class(a->n, family_index(a->family->family), nla_u32(e->key, 0)), true);
    } else if (a->map == SET_CLUSTER_IPS || a->map == SET_LOCAL_ENDPOINTS) {
        struct ip ip = {.family = a->family->family};
        memcpy(ip.bytes, e->key.p, MIN(e->key.n, (size_t)a->family->addr_bytes));
        map_put(&a->n->lists[a->map == SET_CLUSTER_IPS ? DATAPLANE_CLUSTER_IPS
                                                       : DATAPLANE_LOCAL_ENDPOINTS],
                str_of(&ip, sizeof(ip)), UNSEEN);
    } else if (a->map == MAP_ENDPOINTS || a->map == MAP_NODE_PORT_ENDPOINTS) {
        return adopt_endpoint(a, e);
    } else if (a->map == SET_SOURCE_RANGES) {
        return adopt_source(a, e);
    } else {
        return adopt_value(a, e);
    }
    return 0;
}

static bool slots_are_whole(const struct endpoint_slots *s)
{
    for (uint32_t i = 0; i < s->n; i++)
        if (s->v[i].port == 0)
            return false;
    return true;
}

/* A frontend that is not whole (somebody deleted elements of it) is removed, to be added anew. */
static void remove_torn(struct nftables *n, struct adopt *a)
{
    struct frontend_state *s;
    VEC(struct frontend_key) torn = {0};
    for (size_t at = 0; frontend_table_next(&n->table, &at, &s);) {
        struct str key = str_of(&s->key, sizeof(s->key));
        struct values ought = nftables_values(s);
        bool whole = s->policy != 0 && nftables_affinity_is_whole(s);
        if (s->key.family != a->family->family)
            continue;
        for (int i = 0; i < _SCOPE_MAX; i++)
            whole = whole && slots_are_whole(&s->slots[i]) &&
                    ought.v[i] == (uint32_t)(uintptr_t)map_find(&a->declared[i], key);
        for (int i = 0; i < _SCOPE_MAX; i++) {
            enum endpoint_scope scope = (enum endpoint_scope)i;
            if (whole) {
                nftables_class_use(n, &s->key, ought.v[i] & VALUE_COUNT_MASK, 1);
                continue;
            }
            if (map_find(&a->declared[i], key))
                nftables_change_frontend(&n->changes, false, scope, &s->key, 0);
            for (uint32_t k = 0; k < s->slots[i].n; k++)
                if (s->slots[i].v[k].port)
                    nftables_change_endpoint(&n->changes, false, scope, &s->key, k,
                                             &s->slots[i].v[k]);
        }
        for (uint32_t i = 0; i < s->n_sources && !whole; i++)
            nftables_change_source(&n->changes, false, &s->key, &s->sources[i]);
        if (COUNT_IF(!whole, "a frontend in the kernel that was not whole"))
            vec_push(&torn, s->key);
    }
    VEC_FOREACH (k, &torn)
        frontend_table_remove(&n->table, k);
    vec_done(&torn);
}

/* The endpoints that the frontends' counts tell of, by key: a dump is quadratic in the kernel. What
 * else may stand in the map is not seen. */
static int adopt_endpoints(struct adopt *a, struct err *reterr)
{
    AUTO_DONE(buf) struct buf keys = {0};
    const struct nftables_family *f = a->family;
    bool node_port = a->map == MAP_NODE_PORT_ENDPOINTS;
    size_t n = 0;
    struct str key;
    void *value;
    for (int scope = 0; scope < _SCOPE_MAX; scope++)
        for (size_t at = 0; map_next(&a->declared[scope], &at, &key, &value);) {
            struct frontend_key k;
            memcpy(&k, key.p, sizeof(k));
            uint32_t count = (uint32_t)(uintptr_t)value & VALUE_COUNT_MASK & ~VALUE_SCOPE_LOCAL;
            for (uint32_t i = 0; k.node_port == node_port && i < count; i++, n++)
                nftables_endpoint_key(&keys, &k, (enum endpoint_scope)scope, i);
        }
    return n ? nft_get_elems(a->n->nft, f->nfproto, NFTABLES_TABLE, nftables_map_names[a->map],
                             buf_str(&keys), keys.n / n, on_adopt, a, reterr)
             : 0;
}

static int adopt_map(struct adopt *a, bool thorough, struct err *reterr)
{
    bool by_key = a->map == MAP_ENDPOINTS || a->map == MAP_NODE_PORT_ENDPOINTS;
    int r = by_key && !thorough ? adopt_endpoints(a, reterr) : -ENOENT;
    if (r < 0 && r != -EBADMSG)
        r = nft_dump_elems(a->n->nft, a->family->nfproto, NFTABLES_TABLE,
                           nftables_map_names[a->map], on_adopt, NULL, a, reterr);
    return r == -ENOENT ? 0 : r;
}

int nftables_adopt(struct nftables *n, const struct nftables_family *f, bool thorough,
                   struct err *reterr)
{
    static const enum nftables_map order[] = {MAP_COUNTS,         MAP_SECONDS,
                                              MAP_SERVICES,       MAP_NODE_PORTS,
                                              MAP_LOCAL_SERVICES, MAP_LOCAL_NODE_PORTS,
                                              MAP_AFFINITY,       MAP_NODE_PORT_AFFINITY,
                                              MAP_ENDPOINTS,      MAP_NODE_PORT_ENDPOINTS,
                                              MAP_NUMBERS,        MAP_NODE_PORT_NUMBERS,
                                              MAP_PINNED,         MAP_LOCAL_PINNED,
                                              SET_SOURCE_RANGES,  SET_CLUSTER_IPS,
                                              SET_LOCAL_ENDPOINTS};
    struct adopt a = {.n = n, .family = f};
    int r = 0;
    for (size_t i = 0; i < ARRAY_LEN(order) && r == 0; i++) {
        a.map = order[i];
        r = adopt_map(&a, thorough, reterr);
    }
    if (r == 0)
        remove_torn(n, &a);
    map_done(&a.declared[SCOPE_CLUSTER]);
    map_done(&a.declared[SCOPE_LOCAL]);
    return r;
}
