/* Elements as the kernel wants them: keys and values in whole words, network order for addresses
 * and ports, host order for counts and indices. The only place that knows these layouts, in both
 * directions. No kernel, no threads. */
#include "dataplane/nftables_changes.h"
#include "dataplane/affinity.h"

enum { KEPT_BYTES = 16 * 1024 };

struct nftables_element {
    char key[40];
    char data[40]; /* the value; of a range, the last key */
    uint8_t n_key, n_data;
};

static void bytes_add(char *to, uint8_t *n, const void *p, size_t size)
{
    ASSERT(*n + ((size + 3) & ~(size_t)3) <= sizeof(((struct nftables_element *)0)->key));
    memset(to + *n, 0, (size + 3) & ~(size_t)3);
    memcpy(to + *n, p, size);
    *n = (uint8_t)(*n + ((size + 3) & ~(size_t)3));
}

static void key_add_frontend(struct nftables_element *e, const struct nftables_family *f,
                             const struct frontend_key *k)
{
    uint16_t port = htons(k->port);
    if (!k->node_port)
        bytes_add(e->key, &e->n_key, k->ip, f->addr_bytes);
    bytes_add(e->key, &e->n_key, &k->proto, 1);
    bytes_add(e->key, &e->n_key, &port, 2);
}

static const struct nftables_family *family_of(uint8_t family, unsigned *ret_index)
{
    ASSERT(family == AF_INET || family == AF_INET6);
    *ret_index = family == AF_INET6;
    return &nftables_families[*ret_index];
}

static void change(struct nftables_changes *c, bool add, unsigned family, enum nftables_map map,
                   const struct nftables_element *e)
{
    buf_add(add ? &c->add[family][map] : &c->del[family][map], e, sizeof(*e));
    c->n++;
}

void nftables_change_frontend(struct nftables_changes *c, bool add, enum endpoint_scope scope,
                              const struct frontend_key *k, uint32_t value)
{
    static const enum nftables_map maps[_SCOPE_MAX][2] = {
        {MAP_SERVICES, MAP_NODE_PORTS}, {MAP_LOCAL_SERVICES, MAP_LOCAL_NODE_PORTS}};
    unsigned i;
    struct nftables_element e = {0};
    ASSERT(value || !add);
    key_add_frontend(&e, family_of(k->family, &i), k);
    bytes_add(e.data, &e.n_data, &value, sizeof(value));
    change(c, add, i, maps[scope][k->node_port], &e);
}

static void key_add_index(struct nftables_element *e, enum endpoint_scope scope, uint32_t index)
{
    ASSERT(index < DATAPLANE_ENDPOINTS_MAX);
    if (scope == SCOPE_LOCAL)
        index |= VALUE_SCOPE_LOCAL;
    bytes_add(e->key, &e->n_key, &index, sizeof(index));
}

void nftables_endpoint_key(struct buf *keys, const struct frontend_key *k,
                           enum endpoint_scope scope, uint32_t index)
{
    unsigned i;
    struct nftables_element e = {0};
    key_add_frontend(&e, family_of(k->family, &i), k);
    key_add_index(&e, scope, index);
    buf_add(keys, e.key, e.n_key);
}

static void data_add_endpoint(struct nftables_element *e, const struct nftables_family *f,
                              const struct dataplane_endpoint *ep)
{
    uint16_t port = htons(ep->port);
    bytes_add(e->data, &e->n_data, ep->ip, f->addr_bytes);
    bytes_add(e->data, &e->n_data, &port, 2);
}

void nftables_change_affinity(struct nftables_changes *c, bool add, const struct frontend_key *k,
                              uint32_t number)
{
    unsigned i;
    struct nftables_element e = {0};
    ASSERT(number && !(number & AFFINITY_SLOT_MASK)); /* a group's */
    key_add_frontend(&e, family_of(k->family, &i), k);
    bytes_add(e.data, &e.n_data, &number, sizeof(number));
    change(c, add, i, k->node_port ? MAP_NODE_PORT_AFFINITY : MAP_AFFINITY, &e);
}

void nftables_change_number(struct nftables_changes *c, bool add, enum endpoint_scope scope,
                            const struct frontend_key *k, uint32_t index, uint32_t number)
{
    unsigned i;
    struct nftables_element e = {0};
    ASSERT(number & AFFINITY_SLOT_MASK); /* an endpoint's */
    key_add_frontend(&e, family_of(k->family, &i), k);
    key_add_index(&e, scope, index);
    bytes_add(e.data, &e.n_data, &number, sizeof(number));
    change(c, add, i, k->node_port ? MAP_NODE_PORT_NUMBERS : MAP_NUMBERS, &e);
}

void nftables_change_pin(struct nftables_changes *c, bool add, enum endpoint_scope scope,
                         uint8_t family, uint32_t number, const struct dataplane_endpoint *ep)
{
    unsigned i;
    struct nftables_element e = {0};
    const struct nftables_family *f = family_of(family, &i);
    ASSERT(number & AFFINITY_SLOT_MASK);
    bytes_add(e.key, &e.n_key, &number, sizeof(number));
    data_add_endpoint(&e, f, ep);
    change(c, add, i, scope == SCOPE_LOCAL ? MAP_LOCAL_PINNED : MAP_PINNED, &e);
}

void nftables_change_seconds(struct nftables_changes *c, unsigned family, unsigned class_,
                             uint32_t seconds)
{
    struct nftables_element e = {0};
    uint32_t key = class_ << AFFINITY_CLASS_SHIFT;
    bytes_add(e.key, &e.n_key, &key, sizeof(key));
    bytes_add(e.data, &e.n_data, &seconds, sizeof(seconds));
    change(c, true, family, MAP_SECONDS, &e);
}

void nftables_change_endpoint(struct nftables_changes *c, bool add, enum endpoint_scope scope,
                              const struct frontend_key *k, uint32_t index,
                              const struct dataplane_endpoint *ep)
{
    unsigned i;
    struct nftables_element e = {0};
    const struct nftables_family *f = family_of(k->family, &i);
    key_add_frontend(&e, f, k);
    key_add_index(&e, scope, index);
    data_add_endpoint(&e, f, ep);
    change(c, add, i, k->node_port ? MAP_NODE_PORT_ENDPOINTS : MAP_ENDPOINTS, &e);
}

void nftables_change_source(struct nftables_changes *c, bool add, const struct frontend_key *k,
                            const struct prefix *p)
{
    unsigned i;
    struct nftables_element e = {0};
    const struct nftables_family *f = family_of(k->family, &i);
    ASSERT(p->ip.family == k->family && !k->node_port);
    struct ip last = prefix_network(p);
    key_add_frontend(&e, f, k);
    memcpy(e.data, e.key, e.n_key);
    e.n_data = e.n_key;
    bytes_add(e.key, &e.n_key, last.bytes, f->addr_bytes);
    for (unsigned bit = p->len; bit < f->addr_bytes * 8u; bit++)
        last.bytes[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
    bytes_add(e.data, &e.n_data, last.bytes, f->addr_bytes);
    change(c, add, i, SET_SOURCE_RANGES, &e);
}

void nftables_change_address(struct nftables_changes *c, bool add, enum dataplane_list list,
                             const struct ip *ip)
{
    unsigned i;
    struct nftables_element e = {0};
    const struct nftables_family *f = family_of(ip->family, &i);
    bytes_add(e.key, &e.n_key, ip->bytes, f->addr_bytes);
    if (list == DATAPLANE_LOCAL_ENDPOINTS)
        bytes_add(e.key, &e.n_key, ip->bytes, f->addr_bytes);
    change(c, add, i, list == DATAPLANE_LOCAL_ENDPOINTS ? SET_LOCAL_ENDPOINTS : SET_CLUSTER_IPS,
           &e);
}

/* ---- out ---- */

static void emit(struct nfnl_batch *b, const struct buf *records, uint16_t op,
                 enum nftables_map map)
{
    ASSERT(records->n % sizeof(struct nftables_element) == 0 || records->failed);
    nfnl_elems_begin(b, op, nftables_map_names[map]);
    for (size_t at = 0; at + sizeof(struct nftables_element) <= records->n;
         at += sizeof(struct nftables_element)) {
        struct nftables_element e;
        memcpy(&e, records->p + at, sizeof(e));
        bool data = op == NFT_MSG_NEWSETELEM;
        if (map == SET_SOURCE_RANGES)
            nfnl_elem_add_range(b, str_of(e.key, e.n_key), str_of(e.data, e.n_data));
        else
            nfnl_elem_add(b, str_of(e.key, e.n_key), str_of(e.data, data ? e.n_data : 0));
    }
    nfnl_elems_end(b);
}

void nftables_changes_emit(const struct nftables_changes *c, struct nfnl_batch *b)
{
    for (unsigned f = 0; f < 2; f++) {
        nfnl_batch_table(b, nftables_families[f].nfproto, NFTABLES_TABLE);
        for (int m = 0; m < _NFTABLES_MAP_MAX; m++)
            emit(b, &c->del[f][m], NFT_MSG_DELSETELEM, (enum nftables_map)m);
        for (int m = 0; m < _NFTABLES_MAP_MAX; m++)
            emit(b, &c->add[f][m], NFT_MSG_NEWSETELEM, (enum nftables_map)m);
    }
}

void nftables_changes_count(const struct nftables_changes *c, uint64_t *added, uint64_t *deleted)
{
    for (unsigned f = 0; f < 2; f++)
        for (int m = 0; m < _NFTABLES_MAP_MAX; m++) {
            *added += c->add[f][m].n / sizeof(struct nftables_element);
            *deleted += c->del[f][m].n / sizeof(struct nftables_element);
        }
}

/* ---- comparing with what the kernel has ---- */

void nftables_changes_index(const struct nftables_changes *want, unsigned family,
                            enum nftables_map map, struct map *ret)
{
    const struct buf *records = &want->add[family][map];
    for (size_t at = 0; at < records->n; at += sizeof(struct nftables_element)) {
        const struct nftables_element *w = (const void *)(records->p + at);
        char key[sizeof(w->key) + sizeof(w->data)];
        size_t n = w->n_key;
        memcpy(key, w->key, n);
        if (map == SET_SOURCE_RANGES) {
            memcpy(key + n, w->data, w->n_data);
            n += w->n_data;
        }
        map_put(ret, str_of(key, n), (void *)(uintptr_t)w);
    }
}

size_t nftables_changes_keys(const struct nftables_changes *want, unsigned family,
                             enum nftables_map map, struct buf *ret)
{
    const struct buf *records = &want->add[family][map];
    size_t bytes = 0;
    for (size_t at = 0; at < records->n; at += sizeof(struct nftables_element)) {
        const struct nftables_element *w = (const void *)(records->p + at);
        buf_add(ret, w->key, w->n_key);
        bytes = w->n_key;
    }
    return bytes;
}

bool nftables_element_is(const struct nftables_element *w, const struct nfnl_elem *e)
{
    return e->key_end.n || str_eq(str_of(w->data, w->n_data), e->data);
}

void nftables_change_element(struct nftables_changes *c, bool add, unsigned family,
                             enum nftables_map map, const struct nftables_element *w)
{
    change(c, add, family, map, w);
}

void nftables_change_found(struct nftables_changes *c, unsigned family, enum nftables_map map,
                           const struct nfnl_elem *e)
{
    struct nftables_element gone = {0};
    if (e->key.n > sizeof(gone.key) || e->key_end.n > sizeof(gone.data))
        return; /* no map of ours has such */
    bytes_add(gone.key, &gone.n_key, e->key.p, e->key.n);
    bytes_add(gone.data, &gone.n_data, e->key_end.p ? e->key_end.p : "", e->key_end.n);
    change(c, false, family, map, &gone);
}

void nftables_found_key(const struct nfnl_elem *e, struct buf *ret)
{
    buf_add_str(ret, e->key);
    buf_add_str(ret, e->key_end);
}

/* What a full load needed is not kept for the changes after it. */
static void empty(struct buf *records)
{
    if (records->size > KEPT_BYTES)
        buf_done(records);
    else
        buf_clear(records);
}

void nftables_changes_clear(struct nftables_changes *c)
{
    for (unsigned f = 0; f < 2; f++)
        for (int m = 0; m < _NFTABLES_MAP_MAX; m++) {
            empty(&c->add[f][m]);
            empty(&c->del[f][m]);
        }
    c->n = 0;
}

void nftables_changes_done(struct nftables_changes *c)
{
    for (unsigned f = 0; f < 2; f++)
        for (int m = 0; m < _NFTABLES_MAP_MAX; m++) {
            buf_done(&c->add[f][m]);
            buf_done(&c->del[f][m]);
        }
}

/* ---- in ---- */

/* Cuts what key_add_frontend wrote; the rest of the key stays in *key. */
static bool parse_key(const struct nftables_family *f, bool node_port, struct str *key,
                      struct frontend_key *ret)
{
    size_t addr = node_port ? 0 : f->addr_bytes;
    uint16_t port;
    if (key->n < addr + 8)
        return false;
    *ret = (struct frontend_key){.family = f->family, .node_port = node_port};
    memcpy(ret->ip, key->p, addr);
    ret->proto = (uint8_t)key->p[addr];
    memcpy(&port, key->p + addr + 4, sizeof(port));
    ret->port = ntohs(port);
    *key = str_sub(*key, addr + 8, key->n);
    return true;
}

bool nftables_parse_frontend(const struct nftables_family *f, bool node_port,
                             const struct nfnl_elem *e, struct frontend_key *ret,
                             uint32_t *ret_value)
{
    struct str key = e->key;
    *ret_value = nla_u32(e->data, 0);
    return parse_key(f, node_port, &key, ret) && key.n == 0 && e->data.n >= 4;
}

static bool parse_key_index(const struct nftables_family *f, bool node_port,
                            const struct nfnl_elem *e, struct frontend_key *ret,
                            enum endpoint_scope *ret_scope, uint32_t *ret_index)
{
    struct str key = e->key;
    if (!parse_key(f, node_port, &key, ret) || key.n != 4)
        return false;
    uint32_t index = nla_u32(key, 0);
    *ret_scope = index & VALUE_SCOPE_LOCAL ? SCOPE_LOCAL : SCOPE_CLUSTER;
    *ret_index = index & ~(uint32_t)VALUE_SCOPE_LOCAL;
    return *ret_index < DATAPLANE_ENDPOINTS_MAX;
}

static bool parse_endpoint_data(const struct nftables_family *f, const struct nfnl_elem *e,
                                struct dataplane_endpoint *ret)
{
    if (e->data.n < f->addr_bytes + 2u)
        return false;
    *ret = (struct dataplane_endpoint){.port =
                                           nla_be16(str_sub(e->data, f->addr_bytes, e->data.n), 0)};
    memcpy(ret->ip, e->data.p, f->addr_bytes);
    return true;
}

bool nftables_parse_endpoint(const struct nftables_family *f, bool node_port,
                             const struct nfnl_elem *e, struct frontend_key *ret,
                             enum endpoint_scope *ret_scope, uint32_t *ret_index,
                             struct dataplane_endpoint *ret_endpoint)
{
    return parse_key_index(f, node_port, e, ret, ret_scope, ret_index) &&
           parse_endpoint_data(f, e, ret_endpoint);
}

bool nftables_parse_number(const struct nftables_family *f, bool node_port,
                           const struct nfnl_elem *e, struct frontend_key *ret,
                           enum endpoint_scope *ret_scope, uint32_t *ret_index,
                           uint32_t *ret_number)
{
    *ret_number = nla_u32(e->data, 0);
    return parse_key_index(f, node_port, e, ret, ret_scope, ret_index) && e->data.n >= 4;
}

bool nftables_parse_pin(const struct nftables_family *f, const struct nfnl_elem *e,
                        uint32_t *ret_number, struct dataplane_endpoint *ret_endpoint)
{
    *ret_number = nla_u32(e->key, 0);
    return e->key.n == 4 && parse_endpoint_data(f, e, ret_endpoint);
}

bool nftables_parse_source(const struct nftables_family *f, const struct nfnl_elem *e,
                           struct frontend_key *ret, struct prefix *ret_prefix)
{
    struct str key = e->key, end = e->key_end;
    struct frontend_key same;
    if (!parse_key(f, false, &key, ret) || !parse_key(f, false, &end, &same) ||
        key.n < f->addr_bytes || end.n < f->addr_bytes)
        return false;
    *ret_prefix = (struct prefix){.ip = {.family = f->family}, .len = (uint8_t)(f->addr_bytes * 8)};
    memcpy(ret_prefix->ip.bytes, key.p, f->addr_bytes);
    for (unsigned i = 0; i < f->addr_bytes; i++) {
        uint8_t open = (uint8_t)(key.p[i] ^ end.p[i]);
        if (open) {
            ret_prefix->len = (uint8_t)(i * 8u + (unsigned)__builtin_clz(open) - 24u);
            break;
        }
    }
    return true;
}
