#include "proxy/port_predicate.h"

typedef Envoy__Config__Listener__V3__ListenerFilterChainMatchPredicate pb_predicate;
typedef Envoy__Config__Listener__V3__ListenerFilterChainMatchPredicate__MatchSet pb_set;

enum kind { ANY, RANGE, NOT, AND, OR };

struct port_predicate {
    enum kind kind;
    int32_t start, end; /* RANGE: without end itself */
    struct port_predicate **of;
    size_t n;
};

struct making {
    struct compile *c;
    unsigned rules, depth;
};

static int make(struct making *b, const pb_predicate *m, struct port_predicate **ret);

void port_predicate_free(struct port_predicate *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->n; i++)
        port_predicate_free(p->of[i]);
    free(p->of);
    free(p);
}

/* n of them, each into its place. */
static int make_all(struct making *b, pb_predicate *const *m, size_t n, struct port_predicate *p)
{
    struct compile *c = b->c;
    if (b->rules + n > PORT_PREDICATE_RULES_MAX || b->depth == PORT_PREDICATE_DEPTH_MAX)
        return COMPILE_FAIL(c, "more than %d rules, or deeper than %d", PORT_PREDICATE_RULES_MAX,
                            PORT_PREDICATE_DEPTH_MAX);
    b->rules += (unsigned)n;
    b->depth++;
    p->of = xcalloc(n + 1, sizeof(*p->of));
    for (; p->n < n; p->n++) {
        int r = make(b, m[p->n], &p->of[p->n]);
        if (r < 0)
            return r;
    }
    b->depth--;
    return 0;
}

static int make_set(struct making *b, const pb_set *m, enum kind kind, struct port_predicate *p)
{
    struct compile *c = b->c;
    p->kind = kind;
    if (m->n_rules < 2)
        return COMPILE_FAIL(c, "rules: at least two are needed");
    return make_all(b, m->rules, m->n_rules, p);
}

static int fill(struct making *b, const pb_predicate *m, struct port_predicate *p)
{
    struct compile *c = b->c;
    switch ((unsigned)m->rule_case) {
    case ENVOY__CONFIG__LISTENER__V3__LISTENER_FILTER_CHAIN_MATCH_PREDICATE__RULE_OR_MATCH:
        return make_set(b, m->or_match, OR, p);
    case ENVOY__CONFIG__LISTENER__V3__LISTENER_FILTER_CHAIN_MATCH_PREDICATE__RULE_AND_MATCH:
        return make_set(b, m->and_match, AND, p);
    case ENVOY__CONFIG__LISTENER__V3__LISTENER_FILTER_CHAIN_MATCH_PREDICATE__RULE_NOT_MATCH:
        p->kind = NOT;
        return make_all(b, (pb_predicate *[]){m->not_match}, 1, p);
    case ENVOY__CONFIG__LISTENER__V3__LISTENER_FILTER_CHAIN_MATCH_PREDICATE__RULE_ANY_MATCH:
        p->kind = ANY;
        return 0;
    case ENVOY__CONFIG__LISTENER__V3__LISTENER_FILTER_CHAIN_MATCH_PREDICATE__RULE_DESTINATION_PORT_RANGE:
        p->kind = RANGE;
        p->start = m->destination_port_range->start;
        p->end = m->destination_port_range->end;
        return 0;
    default:
        return COMPILE_FAIL(c, "one of its rules must be set");
    }
}

static int make(struct making *b, const pb_predicate *m, struct port_predicate **ret)
{
    struct port_predicate *p = NEW(struct port_predicate);
    int r = fill(b, m, p);
    if (r < 0)
        port_predicate_free(p);
    else
        *ret = p;
    return r;
}

int port_predicate_compile(struct compile *c, const pb_predicate *m, struct port_predicate **ret)
{
    return make(&(struct making){.c = c}, m, ret);
}

bool port_predicate_holds(const struct port_predicate *p, uint16_t port)
{
    if (!p)
        return false;
    switch (p->kind) {
    case ANY:
        return true;
    case RANGE:
        return port >= p->start && port < p->end;
    case NOT:
        return !port_predicate_holds(p->of[0], port);
    case AND:
        for (size_t i = 0; i < p->n; i++)
            if (!port_predicate_holds(p->of[i], port))
                return false;
        return true;
    case OR:
        for (size_t i = 0; i < p->n; i++)
            if (port_predicate_holds(p->of[i], port))
                return true;
        return false;
    }
    return false;
}
