/* From FilterChainMatch messages to what is compared, and the check that no two chains claim the
 * same connection. */
#include "proxy/filter_chain_match.h"

#include <stdio.h>

typedef Envoy__Config__Listener__V3__FilterChainMatch pb_match;
typedef Envoy__Config__Core__V3__CidrRange pb_range;

static struct str lower(struct str s)
{
    char *copy = str_dup(s);
    for (size_t i = 0; i < s.n; i++)
        if (copy[i] >= 'A' && copy[i] <= 'Z')
            copy[i] = (char)(copy[i] + 32);
    return str_of(copy, s.n);
}

static void free_text(struct str s)
{
    free((void *)(uintptr_t)s.p);
}

static int add_prefixes(struct compile *c, const char *field, pb_range *const *m, size_t n,
                        struct filter_chain_prefixes *to)
{
    for (size_t i = 0; i < n; i++) {
        size_t mark = pb_path_field(&c->path, field);
        struct prefix p = {0};
        pb_path_index(&c->path, i);
        if (ip_parse(str_from(m[i]->address_prefix), &p.ip) < 0)
            return COMPILE_FAIL(c, "malformed IP address: %s", m[i]->address_prefix);
        uint32_t len = m[i]->prefix_len ? m[i]->prefix_len->value : 0;
        if (len > ip_bytes(&p.ip) * 8)
            return COMPILE_FAIL(c, "prefix_len %u: at most %zu", len, ip_bytes(&p.ip) * 8);
        p.len = (uint8_t)len;
        p.ip = prefix_network(&p);
        vec_push(&to->all, p);
        pb_path_back(&c->path, mark);
    }
    return 0;
}

static int add_server_names(struct compile *c, const pb_match *m, struct filter_chain_match *to)
{
    for (size_t i = 0; i < m->n_server_names; i++) {
        struct str name = str_from(m->server_names[i]);
        if (str_starts(name, STR("*.")))
            name = str_sub(name, 1, name.n);
        if (str_contains(name, STR("*")))
            return COMPILE_FAIL(c, "partial wildcards are not supported in \"server_names\"");
        vec_push(&to->server_names, lower(name));
    }
    return 0;
}

static int compile(struct compile *c, const pb_match *m, struct filter_chain_match *to)
{
    if (m->destination_port) {
        if (!m->destination_port->value || m->destination_port->value > UINT16_MAX)
            return COMPILE_FAIL(c, "destination_port must be between 1 and 65535");
        vec_push(&to->destination_ports, (uint16_t)m->destination_port->value);
    }
    for (size_t i = 0; i < m->n_source_ports; i++) {
        if (!m->source_ports[i] || m->source_ports[i] > UINT16_MAX)
            return COMPILE_FAIL(c, "source_ports must be between 1 and 65535");
        vec_push(&to->source_ports, (uint16_t)m->source_ports[i]);
    }
    for (size_t i = 0; i < m->n_application_protocols; i++)
        vec_push(&to->protocols,
                 str_of(xstrdup(m->application_protocols[i]), strlen(m->application_protocols[i])));
    to->transport = str_of(xstrdup(m->transport_protocol), strlen(m->transport_protocol));
    to->source_type = (uint8_t)m->source_type;
    int r = add_server_names(c, m, to);
    if (r == 0)
        r = add_prefixes(c, "prefix_ranges", m->prefix_ranges, m->n_prefix_ranges,
                         &to->destinations);
    if (r == 0)
        r = add_prefixes(c, "direct_source_prefix_ranges", m->direct_source_prefix_ranges,
                         m->n_direct_source_prefix_ranges, &to->direct_sources);
    if (r == 0)
        r = add_prefixes(c, "source_prefix_ranges", m->source_prefix_ranges,
                         m->n_source_prefix_ranges, &to->sources);
    return r;
}

int filter_chain_match_compile(struct compile *c, const pb_match *m,
                               struct filter_chain_match **ret)
{
    struct filter_chain_match *to = NEW(struct filter_chain_match);
    size_t mark = pb_path_field(&c->path, "filter_chain_match");
    int r = compile(c, m, to);
    if (r < 0) {
        filter_chain_match_free(to);
        return r;
    }
    pb_path_back(&c->path, mark);
    *ret = to;
    return 0;
}

void filter_chain_match_free(struct filter_chain_match *m)
{
    if (!m)
        return;
    VEC_FOREACH (name, &m->server_names)
        free_text(*name);
    VEC_FOREACH (name, &m->protocols)
        free_text(*name);
    free_text(m->transport);
    vec_done(&m->destination_ports);
    vec_done(&m->source_ports);
    vec_done(&m->destinations.all);
    vec_done(&m->direct_sources.all);
    vec_done(&m->sources.all);
    vec_done(&m->server_names);
    vec_done(&m->protocols);
    free(m);
}

/* ---- no two of the same ---- */

/* What a chain says of a fact, one by one, as text; a list that is empty says one thing: "". */
static size_t count_of(const struct filter_chain_match *m, int fact)
{
    const size_t counts[_FACT_MAX] = {
        [FACT_DESTINATION_PORT] = m->destination_ports.n,
        [FACT_DESTINATION] = m->destinations.all.n,
        [FACT_SERVER_NAME] = m->server_names.n,
        [FACT_TRANSPORT] = m->transport.n > 0,
        [FACT_PROTOCOL] = m->protocols.n,
        [FACT_DIRECT_SOURCE] = m->direct_sources.all.n,
        [FACT_SOURCE_TYPE] = m->source_type != SOURCE_ANY,
        [FACT_SOURCE] = m->sources.all.n,
        [FACT_SOURCE_PORT] = m->source_ports.n,
    };
    return counts[fact];
}

static void add_prefix(struct buf *b, const struct prefix *p)
{
    char text[PREFIX_TEXT_BYTES];
    if (p->len)
        buf_add_cstr(b, prefix_format(p, text)); /* one of no bits says nothing */
}

static void add_value(struct buf *b, const struct filter_chain_match *m, int fact, size_t i)
{
    if (i < count_of(m, fact))
        switch ((enum filter_chain_fact)fact) {
        case FACT_DESTINATION_PORT:
            buf_addf(b, "%u", m->destination_ports.v[i]);
            break;
        case FACT_DESTINATION:
            add_prefix(b, &m->destinations.all.v[i]);
            break;
        case FACT_SERVER_NAME:
            buf_add_str(b, m->server_names.v[i]);
            break;
        case FACT_TRANSPORT:
            buf_add_str(b, m->transport);
            break;
        case FACT_PROTOCOL:
            buf_add_str(b, m->protocols.v[i]);
            break;
        case FACT_DIRECT_SOURCE:
            add_prefix(b, &m->direct_sources.all.v[i]);
            break;
        case FACT_SOURCE_TYPE:
            buf_addf(b, "%u", m->source_type);
            break;
        case FACT_SOURCE:
            add_prefix(b, &m->sources.all.v[i]);
            break;
        case FACT_SOURCE_PORT:
            buf_addf(b, "%u", m->source_ports.v[i]);
            break;
        case _FACT_MAX:
            break;
        }
    buf_add_char(b, '\0');
}

struct check {
    struct compile *c;
    struct map seen; /* every combination of values -> its chain */
    size_t n;
    struct filter_chain *chain;
};

static bool says_the_same(const struct filter_chain_match *a, const struct filter_chain_match *b)
{
    AUTO_DONE(buf) struct buf x = {0};
    AUTO_DONE(buf) struct buf y = {0};
    for (int fact = 0; fact < _FACT_MAX; fact++) {
        if (count_of(a, fact) != count_of(b, fact))
            return false;
        for (size_t i = 0; i < count_of(a, fact); i++) {
            add_value(&x, a, fact, i);
            add_value(&y, b, fact, i);
        }
    }
    return str_eq(buf_str(&x), buf_str(&y));
}

static int claim(struct check *k, struct str key)
{
    static const struct filter_chain_match everything;
    struct filter_chain *other = map_find(&k->seen, key);
    if (!other) {
        map_put(&k->seen, key, k->chain);
        return 0;
    }
    if (other == k->chain)
        return 0; /* it says a thing twice */
    if (says_the_same(k->chain->match ? k->chain->match : &everything,
                      other->match ? other->match : &everything))
        return COMPILE_FAIL(k->c, "filter chain '%s' has the same matching rules defined as '%s'",
                            k->chain->name, other->name);
    return COMPILE_FAIL(k->c,
                        "multiple filter chains with overlapping matching rules are defined: '%s' "
                        "and '%s'",
                        other->name, k->chain->name);
}

/* Counts through the combinations like an odometer. */
static int claim_all(struct check *k, const struct filter_chain_match *m)
{
    AUTO_DONE(buf) struct buf key = {0};
    size_t at[_FACT_MAX] = {0};
    for (int fact = 0; fact >= 0;) {
        if (++k->n > FILTER_CHAIN_MATCHES_MAX)
            return COMPILE_FAIL(k->c, "more than %d combinations of matches",
                                FILTER_CHAIN_MATCHES_MAX);
        buf_clear(&key);
        for (int i = 0; i < _FACT_MAX; i++)
            add_value(&key, m, i, at[i]);
        int r = claim(k, buf_str(&key));
        if (r < 0)
            return r;
        for (fact = _FACT_MAX - 1; fact >= 0 && ++at[fact] >= count_of(m, fact); fact--)
            at[fact] = 0;
    }
    return 0;
}

int filter_chains_check(struct compile *c, const struct filter_chains *all)
{
    static const struct filter_chain_match everything;
    struct check k = {.c = c};
    int r = 0;
    for (size_t i = 0; i < all->v.n && r == 0; i++) {
        size_t mark = pb_path_field(&c->path, "filter_chains");
        pb_path_index(&c->path, i);
        k.chain = &all->v.v[i];
        r = claim_all(&k, k.chain->match ? k.chain->match : &everything);
        if (r == 0)
            pb_path_back(&c->path, mark);
    }
    map_done(&k.seen);
    return r;
}
