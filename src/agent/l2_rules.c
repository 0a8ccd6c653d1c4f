/* Objects are small and few: what follows from them is found anew for each question, so that there
 * is nothing to be kept up to date. */
#include "agent/l2_rules.h"

#include "base/map.h"
#include "net/digest.h"

struct preference {
    int64_t weight;
    struct selector nodes;
};

struct advertisement {
    char *key, *wrong; /* wrong: it announces nothing */
    VEC(char *) pools, interfaces;
    VEC(struct selector) pool_selectors, node_selectors;
    VEC(struct preference) preferences;
};

struct pool {
    struct address_pool *p;
    json_t *labels; /* NULL: none */
};

struct node {
    char *name;
    json_t *labels;   /* NULL: none */
    bool is_excluded; /* from load balancers, or without a network */
    struct ip ip;     /* family 0: none */
};

struct l2_rules {
    struct map pools, advertisements, nodes;
};

/* ---- reading ---- */

static void advertisement_free(struct advertisement *a)
{
    if (!a)
        return;
    VEC_FOREACH (s, &a->pools)
        free(*s);
    VEC_FOREACH (s, &a->interfaces)
        free(*s);
    VEC_FOREACH (s, &a->pool_selectors)
        selector_done(s);
    VEC_FOREACH (s, &a->node_selectors)
        selector_done(s);
    VEC_FOREACH (p, &a->preferences)
        selector_done(&p->nodes);
    vec_done(&a->pools);
    vec_done(&a->interfaces);
    vec_done(&a->pool_selectors);
    vec_done(&a->node_selectors);
    vec_done(&a->preferences);
    free(a->key);
    free(a->wrong);
    free(a);
}

static void wrong(struct advertisement *a, const char *field, const char *why)
{
    if (!a->wrong)
        a->wrong = xasprintf("%s: %s", field, why);
}

static bool read_selector(struct advertisement *a, const char *field, const json_t *j,
                          struct selector *ret)
{
    struct err err = {0};
    bool none;
    if (selector_from_object(j, ret, &none, &err) < 0) {
        wrong(a, field, err_text(&err));
        return false;
    }
    if (none)
        wrong(a, field, "one of them is no selector; give {} for all");
    return !none;
}

#define READ_SELECTORS(a, spec, name, vec)                                                         \
    do {                                                                                           \
        size_t i_;                                                                                 \
        json_t *item_;                                                                             \
        json_array_foreach(json_object_get(spec, name), i_, item_)                                 \
        {                                                                                          \
            struct selector s_;                                                                    \
            if (i_ >= POOL_SELECTORS_MAX)                                                          \
                wrong(a, "spec." name, "more than 100 selectors");                                 \
            if (a->wrong || !read_selector(a, "spec." name, item_, &s_))                           \
                break;                                                                             \
            vec_push(vec, s_);                                                                     \
        }                                                                                          \
    } while (0)

#define READ_NAMES(a, spec, name, vec)                                                             \
    do {                                                                                           \
        size_t i_;                                                                                 \
        json_t *item_;                                                                             \
        json_array_foreach(json_object_get(spec, name), i_, item_)                                 \
        {                                                                                          \
            if (i_ >= POOL_RANGES_MAX)                                                             \
                wrong(a, "spec." name, "more than 1000 names");                                    \
            if (a->wrong)                                                                          \
                break;                                                                             \
            if (json_is_string(item_))                                                             \
                vec_push(vec, xstrdup(json_string_value(item_)));                                  \
        }                                                                                          \
    } while (0)

static void read_preferences(struct advertisement *a, const json_t *list)
{
    size_t i;
    json_t *item;
    json_array_foreach(list, i, item)
    {
        struct preference p = {.weight = json_at_int(item, "weight", 0)};
        if (i >= POOL_SELECTORS_MAX)
            wrong(a, "spec.preferredNodeSelectors", "more than 100 of them");
        if (a->wrong || !read_selector(a, "spec.preferredNodeSelectors",
                                       json_object_get(item, "preference"), &p.nodes))
            return;
        p.weight = MAX((int64_t)0, MIN(p.weight, (int64_t)100));
        vec_push(&a->preferences, p);
    }
}

static char *key_of(const json_t *j)
{
    const char *name = json_at_str(j, "metadata.name"), *ns = json_at_str(j, "metadata.namespace");
    return name ? xasprintf("%s%s%s", ns ? ns : "", ns ? "/" : "", name) : NULL;
}

const char *l2_rules_put_advertisement(struct l2_rules *r, const json_t *j)
{
    const json_t *spec = json_at(j, "spec");
    char *key = key_of(j);
    if (!key)
        return NULL;
    struct advertisement *a = NEW(struct advertisement);
    a->key = key;
    READ_NAMES(a, spec, "ipAddressPools", &a->pools);
    READ_NAMES(a, spec, "interfaces", &a->interfaces);
    READ_SELECTORS(a, spec, "ipAddressPoolSelectors", &a->pool_selectors);
    READ_SELECTORS(a, spec, "nodeSelectors", &a->node_selectors);
    read_preferences(a, json_object_get(spec, "preferredNodeSelectors"));
    if (json_array_size(json_object_get(spec, "serviceSelectors")))
        wrong(a, "spec.serviceSelectors", "not supported");
    advertisement_free(map_put_cstr(&r->advertisements, key, a));
    return a->wrong;
}

void l2_rules_remove_advertisement(struct l2_rules *r, struct str key)
{
    advertisement_free(map_remove(&r->advertisements, key));
}

static void pool_free(struct pool *p)
{
    if (!p)
        return;
    address_pool_free(p->p);
    json_decref(p->labels);
    free(p);
}

void l2_rules_put_pool(struct l2_rules *r, const json_t *j)
{
    struct address_pool *decoded = address_pool_decode(j);
    if (!decoded)
        return;
    struct pool *p = NEW(struct pool);
    p->p = decoded;
    p->labels = json_incref(json_at(j, "metadata.labels"));
    pool_free(map_put_cstr(&r->pools, decoded->key, p));
}

void l2_rules_remove_pool(struct l2_rules *r, struct str key)
{
    pool_free(map_remove(&r->pools, key));
}

static void node_free(struct node *n)
{
    if (!n)
        return;
    json_decref(n->labels);
    free(n->name);
    free(n);
}

static bool has_no_network(const json_t *j)
{
    size_t i;
    json_t *item;
    json_array_foreach(json_at(j, "status.conditions"), i,
                       item) if (streq(json_key_str(item, "type"), "NetworkUnavailable") &&
                                 streq(json_key_str(item, "status"), "True")) return true;
    return false;
}

static struct ip address_of(const json_t *j)
{
    size_t i;
    json_t *item;
    struct ip ip = {0};
    json_array_foreach(json_at(j, "status.addresses"), i, item)
    {
        const char *text = json_key_str(item, "address");
        if (streq(json_key_str(item, "type"), "InternalIP") && text &&
            ip_parse(str_from(text), &ip) == 0)
            break;
    }
    return ip;
}

bool l2_rules_put_node(struct l2_rules *r, const json_t *j)
{
    const char *name = json_at_str(j, "metadata.name");
    if (!name)
        return false;
    struct node *n = NEW(struct node);
    n->name = xstrdup(name);
    n->labels = json_incref(json_at(j, "metadata.labels"));
    n->is_excluded =
        json_object_get(n->labels, "node.kubernetes.io/exclude-from-external-load-balancers") ||
        has_no_network(j);
    n->ip = address_of(j);
    struct node *before = map_put_cstr(&r->nodes, name, n);
    bool same = before && before->is_excluded == n->is_excluded && ip_eq(&before->ip, &n->ip) &&
                (before->labels == n->labels || json_equal(before->labels, n->labels));
    node_free(before);
    return !same;
}

void l2_rules_remove_node(struct l2_rules *r, struct str name)
{
    node_free(map_remove(&r->nodes, name));
}

/* ---- asking ---- */

static bool is_of_pool(const struct advertisement *a, const struct pool *p)
{
    bool found = !a->pools.n && !a->pool_selectors.n;
    VEC_FOREACH (name, &a->pools)
        found = found || streq(*name, p->p->name);
    VEC_FOREACH (s, &a->pool_selectors)
        found = found || selector_matches_object(s, p->labels);
    return found && !a->wrong;
}

static bool is_of_node(const struct advertisement *a, const struct node *n)
{
    bool found = !a->node_selectors.n;
    VEC_FOREACH (s, &a->node_selectors)
        found = found || selector_matches_object(s, n->labels);
    return found && !a->wrong;
}

static int64_t preference_of(const struct advertisement *a, const struct node *n)
{
    int64_t sum = 0;
    VEC_FOREACH (p, &a->preferences)
        if (selector_matches_object(&p->nodes, n->labels))
            sum += p->weight;
    return sum;
}

/* The pool of an address; of several the oldest one, as addresses are given. */
static const struct pool *pool_of(const struct l2_rules *r, const struct ip *ip)
{
    const struct pool *best = NULL;
    void *value;
    for (size_t at = 0; map_next(&r->pools, &at, NULL, &value);) {
        const struct pool *p = value;
        if (!address_pool_has(p->p, ip))
            continue;
        int order = best ? strcmp(p->p->created, best->p->created) : -1;
        if (order < 0 || (order == 0 && strcmp(p->p->key, best->p->key) < 0))
            best = p;
    }
    return best;
}

/* Negative: no advertisement is for it; else how much it is preferred. */
static int64_t score(const struct l2_rules *r, const struct pool *p, const struct node *n)
{
    int64_t sum = -1;
    void *value;
    for (size_t at = 0; map_next(&r->advertisements, &at, NULL, &value);) {
        const struct advertisement *a = value;
        if (is_of_pool(a, p) && is_of_node(a, n))
            sum = MAX(sum, (int64_t)0) + preference_of(a, n);
    }
    return sum;
}

static bool has_endpoint(const struct l2_question *q, const char *node)
{
    for (size_t i = 0; i < q->n_nodes; i++)
        if (streq(q->nodes[i], node))
            return true;
    return !q->local;
}

/* sha256("NODE#ADDRESS"): the smallest is chosen. */
static void hash(const char *node, const struct ip *ip, uint8_t ret[SHA256_BYTES])
{
    char address[IP_TEXT_BYTES];
    AUTO_CHARS char *text = xasprintf("%s#%s", node, ip_format(ip, address));
    sha256(str_from(text), ret);
}

const char *l2_rules_choose(const struct l2_rules *r, const struct l2_question *q)
{
    const struct pool *p = q->n_ips && q->has_endpoints ? pool_of(r, &q->ips[0]) : NULL;
    uint8_t best_hash[SHA256_BYTES] = {0}, own[SHA256_BYTES];
    const struct node *best = NULL;
    int64_t best_score = 0;
    void *value;
    for (size_t at = 0; p && map_next(&r->nodes, &at, NULL, &value);) {
        const struct node *n = value;
        if (n->is_excluded || !has_endpoint(q, n->name) || !q->is_alive(n->name, q->user))
            continue;
        int64_t s = score(r, p, n);
        if (s < 0 || (best && s < best_score))
            continue;
        hash(n->name, &q->ips[0], own);
        if (best && s == best_score && memcmp(own, best_hash, sizeof(own)) > 0)
            continue;
        best = n;
        best_score = s;
        memcpy(best_hash, own, sizeof(own));
    }
    return best ? best->name : NULL;
}

bool l2_rules_allow(const struct l2_rules *r, const struct ip *ip, const char *node,
                    const char *interface)
{
    const struct pool *p = pool_of(r, ip);
    const struct node *n = map_find_cstr(&r->nodes, node);
    bool found = false;
    void *value;
    for (size_t at = 0; p && n && !found && map_next(&r->advertisements, &at, NULL, &value);) {
        const struct advertisement *a = value;
        if (!is_of_pool(a, p) || !is_of_node(a, n))
            continue;
        found = !a->interfaces.n;
        VEC_FOREACH (name, &a->interfaces)
            found = found || streq(*name, interface);
    }
    return found;
}

bool l2_rules_next_candidate(const struct l2_rules *r, size_t *at, const char **ret_name,
                             struct ip *ret_ip)
{
    void *value, *advertisement;
    while (map_next(&r->nodes, at, NULL, &value)) {
        const struct node *n = value;
        bool found = false;
        for (size_t k = 0; !found && map_next(&r->advertisements, &k, NULL, &advertisement);)
            found = is_of_node(advertisement, n);
        if (n->is_excluded || !found)
            continue;
        *ret_name = n->name;
        *ret_ip = n->ip;
        return true;
    }
    return false;
}

struct l2_rules *l2_rules_new(void)
{
    return NEW(struct l2_rules);
}

void l2_rules_free(struct l2_rules *r)
{
    void *value;
    if (!r)
        return;
    for (size_t at = 0; map_next(&r->pools, &at, NULL, &value);)
        pool_free(value);
    for (size_t at = 0; map_next(&r->advertisements, &at, NULL, &value);)
        advertisement_free(value);
    for (size_t at = 0; map_next(&r->nodes, &at, NULL, &value);)
        node_free(value);
    map_done(&r->pools);
    map_done(&r->advertisements);
    map_done(&r->nodes);
    free(r);
}
