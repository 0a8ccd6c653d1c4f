/* The choice of a filter chain. Facts in Envoy's order: destination port, destination address,
 * server name, transport protocol, application protocols, direct source, source type, source
 * address, source port. At each, the chains that say the most specific thing that is true stay. */
#include "proxy/filter_chain.h"

#include "base/assert.h"
#include "codec/tls_hello.h"
#include "proxy/filter_chain_match.h"

enum { NO = -1, ANY = 0 };

static int rank_number(uint16_t n, const uint16_t *all, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (all[i] == n)
            return 1;
    return count ? NO : ANY;
}

/* Longest prefix; one of no bits says as little as none. */
static int rank_prefix(const struct ip *ip, const struct prefix *all, size_t count)
{
    int best = count ? NO : ANY;
    for (size_t i = 0; ip->family && i < count; i++)
        if (prefix_contains(&all[i], ip))
            best = MAX(best, (int)all[i].len);
    return best;
}

/* An exact name, then the longest suffix. */
static int rank_name(struct str name, const struct str *all, size_t count)
{
    int best = count ? NO : ANY;
    for (size_t i = 0; i < count; i++) {
        bool suffix = all[i].n && all[i].p[0] == '.';
        if (!suffix && str_eq(all[i], name))
            return 1000;
        if (suffix && name.n > all[i].n && str_ends(name, all[i]))
            best = MAX(best, (int)all[i].n);
    }
    return best;
}

static int rank_transport(bool tls, struct str wanted)
{
    return !wanted.n ? ANY : str_is(wanted, tls ? "tls" : "raw_buffer") ? 1 : NO;
}

/* The client's first that any chain knows. */
static int rank_protocol(struct str offered, const struct str *all, size_t count)
{
    struct str name;
    for (int rank = 1000; (name = tls_hello_next_protocol(&offered)).p; rank--)
        for (size_t i = 0; i < count; i++)
            if (str_eq(name, all[i]))
                return rank;
    return count ? NO : ANY;
}

static bool is_local(const struct filter_chain_facts *f)
{
    if (!f->source.family)
        return true; /* a Unix socket */
    return ip_is_loopback(&f->source) || ip_eq(&f->source, &f->destination);
}

static int rank_source_type(bool local, uint8_t wanted)
{
    return wanted == SOURCE_ANY ? ANY : (wanted == SOURCE_LOCAL) == local ? 1 : NO;
}

static int rank(enum filter_chain_fact fact, const struct filter_chain_match *m,
                const struct filter_chain_facts *f)
{
    switch (fact) {
    case FACT_DESTINATION_PORT:
        return rank_number(f->destination_port, m->destination_ports.v, m->destination_ports.n);
    case FACT_DESTINATION:
        return rank_prefix(&f->destination, m->destinations.all.v, m->destinations.all.n);
    case FACT_SERVER_NAME:
        return rank_name(f->server_name, m->server_names.v, m->server_names.n);
    case FACT_TRANSPORT:
        return rank_transport(f->tls, m->transport);
    case FACT_PROTOCOL:
        return rank_protocol(f->protocols, m->protocols.v, m->protocols.n);
    case FACT_DIRECT_SOURCE:
        return rank_prefix(&f->direct_source, m->direct_sources.all.v, m->direct_sources.all.n);
    case FACT_SOURCE_TYPE:
        return rank_source_type(is_local(f), m->source_type);
    case FACT_SOURCE:
        return rank_prefix(&f->source, m->sources.all.v, m->sources.all.n);
    case FACT_SOURCE_PORT:
        return rank_number(f->source_port, m->source_ports.v, m->source_ports.n);
    case _FACT_MAX:
        break;
    }
    return NO;
}

/* The best so far. A chain is compared fact by fact, and the first difference decides. One that
 * fails at a fact may still have ruled out others at an earlier one, which is what "never going
 * back" means: so the ranks up to the failure count, too. */
struct best {
    const struct filter_chain *chain;
    int ranks[_FACT_MAX];
    bool fails;
};

static void consider(struct best *b, const struct filter_chain *chain,
                     const struct filter_chain_facts *f)
{
    static const struct filter_chain_match everything;
    const struct filter_chain_match *m = chain->match ? chain->match : &everything;
    int ranks[_FACT_MAX] = {0}, order = b->chain ? 0 : 1;
    bool fails = false;
    for (int i = 0; i < _FACT_MAX && order >= 0 && !fails; i++) {
        ranks[i] = rank((enum filter_chain_fact)i, m, f);
        if (!order)
            order = (ranks[i] > b->ranks[i]) - (ranks[i] < b->ranks[i]);
        fails = ranks[i] == NO;
    }
    if (order <= 0)
        return;
    b->chain = chain;
    b->fails = fails;
    memcpy(b->ranks, ranks, sizeof(ranks));
}

/* ---- by name ---- */

static void index_name(struct filter_chains *all, struct str name, const struct filter_chain *chain)
{
    struct filter_chain_list *list = map_find(&all->by_name, name);
    if (!list) {
        list = NEW(struct filter_chain_list);
        map_put(&all->by_name, name, list);
    }
    vec_push(&list->all, chain);
}

void filter_chains_index(struct filter_chains *all)
{
    VEC_FOREACH (chain, &all->v)
        if (chain->match && (chain->match->destination_ports.n || chain->match->destinations.all.n))
            return;
    VEC_FOREACH (chain, &all->v) {
        if (!chain->match || !chain->match->server_names.n)
            index_name(all, STR(""), chain);
        else
            VEC_FOREACH (name, &chain->match->server_names)
                index_name(all, *name, chain);
    }
}

/* Those that say the most of this name; NULL: none says anything of it. */
static const struct filter_chain_list *list_of(const struct filter_chains *all, struct str name)
{
    const struct filter_chain_list *list = NULL;
    if (name.n && name.p[0] != '.') /* which would be a suffix */
        list = map_find(&all->by_name, name);
    for (size_t i = 1; !list && i < name.n; i++)
        if (name.p[i] == '.')
            list = map_find(&all->by_name, str_sub(name, i, name.n));
    return list ? list : map_find(&all->by_name, STR(""));
}

const struct filter_chain *filter_chains_find(const struct filter_chains *all,
                                              const struct filter_chain_facts *f)
{
    struct best b = {.fails = true};
    const struct filter_chain_list *list = NULL;
    if (all->by_name.used)
        list = list_of(all, f->server_name);
    if (list)
        VEC_FOREACH (chain, &list->all)
            consider(&b, *chain, f);
    else if (!all->by_name.used)
        VEC_FOREACH (chain, &all->v)
            consider(&b, chain, f);
    return b.fails ? all->otherwise : b.chain;
}
