/* As Istio's control plane sorts endpoints for each proxy. */
#include "model/locality.h"

enum {
    FAILOVER_RANKS = 5, /* the same subzone, zone, region; another region; one that is not meant */
    WEIGHTS_SUM = 100,
};

void locality_split(struct str locality, struct str ret[LOCALITY_PARTS])
{
    struct str rest = locality;
    for (int i = 0; i < LOCALITY_PARTS; i++)
        ret[i] = rest.p ? str_cut(rest, '/', &rest) : STR("");
}

char *locality_of_label(const char *value)
{
    char *text = xstrdup(value);
    for (char *c = text; *c && !strchr(value, '/'); c++)
        *c = *c == '.' ? '/' : *c;
    return text;
}

/* Is it in one that a rule names, with asterisks for any? */
static bool is_in(struct str locality, const char *rule)
{
    struct str a[LOCALITY_PARTS], b[LOCALITY_PARTS];
    locality_split(locality, a);
    locality_split(str_from(rule), b);
    for (int i = 0; i < LOCALITY_PARTS; i++)
        if (!str_is(b[i], "*") && (b[i].n || i == LOCALITY_REGION) && !str_eq(a[i], b[i]))
            return false;
    return true;
}

/* ---- groups ---- */

static int compare(const void *a, const void *b)
{
    const struct locality_group *x = a, *y = b;
    size_t n = MIN(x->locality.n, y->locality.n);
    int d = n ? memcmp(x->locality.p, y->locality.p, n) : 0;
    if (!d && x->locality.n != y->locality.n)
        d = x->locality.n < y->locality.n ? -1 : 1;
    return d ? d : (x->rank > y->rank) - (x->rank < y->rank);
}

static uint32_t find(const struct locality_groups *g, struct str locality, uint32_t rank)
{
    for (uint32_t i = 0; i < g->v.n; i++)
        if (g->v.v[i].rank == rank && str_eq(g->v.v[i].locality, locality))
            return i;
    return UINT32_MAX;
}

/* How many of the labels differ from the first one that does on. */
static uint32_t rank_of(const struct locality_caller *c, const json_t *labels, const void *who)
{
    size_t n = json_array_size(labels);
    for (size_t i = 0; i < n; i++) {
        const char *text = json_string_value(json_array_get(labels, i)) ?: "";
        struct str value;
        AUTO_CHARS char *key = str_dup(str_cut(str_from(text), '=', &value));
        struct str own = value.p ? value : c->label(c->who, key, c->user);
        if (!str_eq(own, c->label(who, key, c->user)))
            return (uint32_t)(n - i);
    }
    return 0;
}

static void group(const struct locality_caller *c, const json_t *labels,
                  struct locality_item *items, size_t n, struct locality_groups *ret)
{
    VEC(uint32_t) ranks = {0};
    for (size_t i = 0; i < n; i++) {
        uint32_t rank = c->who && labels ? rank_of(c, labels, items[i].who) : 0;
        vec_push(&ranks, rank);
        if (find(ret, items[i].locality, rank) == UINT32_MAX)
            vec_push(&ret->v, (struct locality_group){.locality = items[i].locality, .rank = rank});
    }
    if (ret->v.n)
        qsort(ret->v.v, ret->v.n, sizeof(*ret->v.v), compare);
    for (size_t i = 0; i < n; i++) {
        items[i].group = find(ret, items[i].locality, ranks.v[i]);
        ret->v.v[items[i].group].weight += MAX(items[i].weight, 1u);
    }
    vec_done(&ranks);
}

/* Without gaps: each lower one is reached when those above it fail. */
static void close_gaps(struct locality_groups *g, const uint32_t *wanted)
{
    for (size_t i = 0; i < g->v.n; i++) {
        uint32_t below = 0;
        for (size_t k = 0; k < g->v.n; k++) {
            bool first = wanted[k] < wanted[i];
            for (size_t j = 0; j < k && first; j++)
                first = wanted[j] != wanted[k];
            below += first;
        }
        g->v.v[i].priority = below;
    }
}

/* ---- failover ---- */

static uint32_t distance(struct str from, struct str to)
{
    struct str a[LOCALITY_PARTS], b[LOCALITY_PARTS];
    locality_split(from, a);
    locality_split(to, b);
    for (int i = 0; i < LOCALITY_PARTS; i++)
        if (!str_eq(a[i], b[i]))
            return (uint32_t)(LOCALITY_PARTS - i);
    return 0;
}

/* Of another region: the one that is named comes before the others. */
static uint32_t region_rank(struct str from, struct str to, const json_t *failover)
{
    struct str a[LOCALITY_PARTS], b[LOCALITY_PARTS];
    locality_split(from, a);
    locality_split(to, b);
    for (size_t i = 0; i < json_array_size(failover); i++) {
        const json_t *one = json_array_get(failover, i);
        const char *named = json_key_str(one, "from"), *next = json_key_str(one, "to");
        if (named && str_is(a[LOCALITY_REGION], named))
            return next && str_is(b[LOCALITY_REGION], next) ? FAILOVER_RANKS - 2
                                                            : FAILOVER_RANKS - 1;
    }
    return FAILOVER_RANKS - 2;
}

static void fail_over(const struct locality_caller *c, const json_t *failover,
                      struct locality_groups *g)
{
    VEC(uint32_t) wanted = {0};
    for (size_t i = 0; i < g->v.n; i++) {
        const struct locality_group *one = &g->v.v[i];
        uint32_t rank = distance(c->locality, one->locality);
        if (rank == LOCALITY_PARTS)
            rank = region_rank(c->locality, one->locality, failover);
        vec_push(&wanted, one->priority * FAILOVER_RANKS + rank);
    }
    close_gaps(g, wanted.v);
    vec_done(&wanted);
}

static void by_rank(struct locality_groups *g)
{
    VEC(uint32_t) wanted = {0};
    for (size_t i = 0; i < g->v.n; i++)
        vec_push(&wanted, g->v.v[i].rank);
    close_gaps(g, wanted.v);
    vec_done(&wanted);
}

/* ---- distribute ---- */

static const json_t *shares_of(const struct locality_caller *c, const json_t *distribute)
{
    for (size_t i = 0; i < json_array_size(distribute); i++) {
        const json_t *one = json_array_get(distribute, i);
        const char *from = json_key_str(one, "from");
        if (from && is_in(c->locality, from))
            return json_object_get(one, "to");
    }
    return NULL;
}

/* A share is divided among the localities that it is for; what has none is not called. */
static void spread(const json_t *shares, struct locality_groups *g)
{
    enum { NONE = UINT32_MAX };
    const char *to;
    json_t *share;
    for (size_t i = 0; i < g->v.n; i++)
        g->v.v[i].priority = NONE; /* nobody's yet */
    json_object_foreach((json_t *)(uintptr_t)shares, to, share)
    {
        uint64_t sum = 0;
        for (size_t i = 0; i < g->v.n; i++)
            if (g->v.v[i].priority == NONE && is_in(g->v.v[i].locality, to))
                sum += g->v.v[i].weight;
        for (size_t i = 0; i < g->v.n; i++) {
            struct locality_group *one = &g->v.v[i];
            if (one->priority != NONE || !is_in(one->locality, to))
                continue;
            uint64_t all = one->weight * (uint64_t)json_integer_value(share);
            one->weight = (uint32_t)((all + sum - 1) / sum);
            one->priority = 0;
        }
    }
    for (size_t i = 0; i < g->v.n; i++)
        if (g->v.v[i].priority == NONE)
            g->v.v[i].weight = 0;
    for (size_t i = 0; i < g->v.n; i++)
        g->v.v[i].priority = 0;
}

/* ---- the whole ---- */

/* Localities without a weight are left out with their endpoints. */
static void drop_empty(struct locality_item *items, size_t n, struct locality_groups *g)
{
    VEC(uint32_t) places = {0};
    size_t kept = 0;
    for (size_t i = 0; i < g->v.n; i++) {
        vec_push(&places, g->v.v[i].weight ? (uint32_t)kept : UINT32_MAX);
        if (g->v.v[i].weight)
            g->v.v[kept++] = g->v.v[i];
    }
    g->v.n = kept;
    for (size_t i = 0; i < n; i++)
        items[i].group = places.v[items[i].group];
    vec_done(&places);
}

void locality_sort(const struct locality_caller *c, const json_t *setting, bool fails_over,
                   struct locality_item *items, size_t n, struct locality_groups *ret)
{
    const json_t *distribute = json_object_get(setting, "distribute"),
                 *failover = json_object_get(setting, "failover"),
                 *labels = json_object_get(setting, "failoverPriority");
    bool ranked = fails_over && json_array_size(labels) && !json_array_size(distribute);
    group(c, ranked ? labels : NULL, items, n, ret);
    if (json_array_size(distribute)) {
        const json_t *shares = shares_of(c, distribute);
        if (shares)
            spread(shares, ret);
        drop_empty(items, n, ret);
        return;
    }
    if (ranked)
        by_rank(ret);
    if (fails_over && (!ranked || json_array_size(failover)))
        fail_over(c, failover, ret);
}

/* ---- what is wrong ---- */

static bool check_shares(struct object_reader *r, const json_t *one)
{
    const json_t *to = json_object_get(one, "to");
    const char *name;
    json_t *share;
    int64_t sum = 0;
    bool whole = true;
    json_object_foreach((json_t *)(uintptr_t)to, name, share)
    {
        whole = whole && json_is_integer(share) && json_integer_value(share) >= 1 &&
                json_integer_value(share) <= WEIGHTS_SUM;
        sum += whole ? json_integer_value(share) : 0;
    }
    if (str_empty(json_key_str(one, "from")))
        reader_error(r, "from", "write region/zone/subzone", "is missing");
    else if (!whole || sum != WEIGHTS_SUM)
        reader_error(r, "to", "make them 100", "are no shares of 100");
    else
        return true;
    return false;
}

static bool check_failover(struct object_reader *r, const json_t *one)
{
    const char *from = json_key_str(one, "from"), *to = json_key_str(one, "to");
    if (str_empty(from) || str_empty(to))
        reader_error(r, NULL, "say from and to", "names no two regions");
    else if (streq(from, to))
        reader_error(r, "to", "name another region", "is the region that fails");
    else if (strpbrk(from, "/*") || strpbrk(to, "/*"))
        reader_error(r, NULL, "leave zones out", "is of regions alone");
    else
        return true;
    return false;
}

static bool check_each(struct object_reader *r, const json_t *setting, const char *name,
                       bool (*check)(struct object_reader *r, const json_t *one))
{
    const json_t *list = json_object_get(setting, name);
    bool good = true;
    for (size_t i = 0; i < json_array_size(list); i++) {
        size_t mark = reader_enter_item(r, name, i);
        good = check(r, json_array_get(list, i)) && good;
        reader_leave(r, mark);
    }
    return good;
}

static bool check(struct object_reader *r, const json_t *setting)
{
    bool both = json_array_size(json_object_get(setting, "distribute")) &&
                (json_array_size(json_object_get(setting, "failover")) ||
                 json_array_size(json_object_get(setting, "failoverPriority")));
    size_t mark = reader_enter(r, "localityLbSetting");
    if (both)
        reader_error(r, NULL, "say one of the two", "has distribute beside failover");
    bool good = check_each(r, setting, "distribute", check_shares) && !both;
    good = check_each(r, setting, "failover", check_failover) && good;
    reader_leave(r, mark);
    return good;
}

void locality_read(struct object_reader *r, const json_t *of, struct locality_setting *ret)
{
    if (of && !json_is_null(of) && check(r, of))
        *ret = (struct locality_setting){
            .said = true, .off = !json_at_bool(of, "enabled", true), .setting = of};
}
