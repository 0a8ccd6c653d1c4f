/* The scheduler: what other pods decide about a place. Pod affinity and anti-affinity, both ways,
 * and topology spread constraints.
 *
 * A domain is all nodes with the same value of a topology key; a node without the key is in none.
 * Required terms refuse places, preferred ones and ScheduleAnyway only add to how much a place is
 * liked. Pure: reads the pass, marks its places. Rules: core/v1 Affinity and
 * TopologySpreadConstraint; messages are kube-scheduler's. */
#include "lab/controllers/scheduler_priv.h"

#define REQUIRED  "requiredDuringSchedulingIgnoredDuringExecution"
#define PREFERRED "preferredDuringSchedulingIgnoredDuringExecution"

enum { LIKING_NO_DOMAIN = 1000 };

static const char *domain_of(const struct candidate *place, const char *key)
{
    return key ? json_key_str(place->labels, key) : NULL;
}

/* ---- selectors ---- */

/* The keys' values are, or are not, the same on both pods. Keys that the asking pod lacks ask for
 * nothing. */
static bool keys_agree(const json_t *keys, const json_t *asking, const json_t *other, bool same)
{
    json_t *key;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)keys, i, key)
    {
        const char *name = json_string_value(key),
                   *wanted = json_key_str(json_at(asking, "metadata.labels"), name ? name : "");
        if (wanted && streq(wanted, json_key_str(json_at(other, "metadata.labels"), name)) != same)
            return false;
    }
    return true;
}

/* Of a term or a constraint. No selector selects nothing, an empty one everything. */
static bool selects(const json_t *term, const json_t *asking, const json_t *other)
{
    const json_t *selector = json_object_get(term, "labelSelector");
    if (!json_is_object(selector) ||
        !keys_agree(json_object_get(term, "matchLabelKeys"), asking, other, true) ||
        !keys_agree(json_object_get(term, "mismatchLabelKeys"), asking, other, false))
        return false;
    return (!json_object_size(json_object_get(selector, "matchLabels")) &&
            !json_array_size(json_object_get(selector, "matchExpressions"))) ||
           label_selector_matches(selector, json_at(other, "metadata.labels"));
}

/* The namespaces a term speaks of: those it names and those it selects; without both its pod's. */
static bool in_namespaces(const struct placing *p, const json_t *term, const json_t *asking,
                          const json_t *other)
{
    const json_t *names = json_object_get(term, "namespaces"),
                 *selector = json_object_get(term, "namespaceSelector");
    const char *ns = json_at_str(other, "metadata.namespace");
    json_t *name;
    size_t i;
    if (!json_array_size(names) && !json_is_object(selector))
        return streq(ns, json_at_str(asking, "metadata.namespace"));
    json_array_foreach((json_t *)(uintptr_t)names, i,
                       name) if (streq(json_string_value(name), ns)) return true;
    if (!json_is_object(selector))
        return false;
    const json_t *space =
        informer_find(controllers_informer(p->set, WATCHED_NAMESPACE), str_from(ns ? ns : ""));
    AUTO_JSON json_t *as_term = json_pack("{s:O}", "labelSelector", selector);
    return space && selects(as_term, asking, space);
}

static bool term_is_about(const struct placing *p, const json_t *term, const json_t *asking,
                          const json_t *other)
{
    return in_namespaces(p, term, asking, other) && selects(term, asking, other);
}

static json_t *terms_of(const json_t *pod, const char *kind, const char *strength)
{
    return json_object_get(json_object_get(json_at(pod, "spec.affinity"), kind), strength);
}

bool topology_matters(const json_t *pod)
{
    return json_array_size(terms_of(pod, "podAffinity", REQUIRED)) ||
           json_array_size(terms_of(pod, "podAntiAffinity", REQUIRED)) ||
           json_array_size(json_at(pod, "spec.topologySpreadConstraints"));
}

/* ---- pod affinity ---- */

static bool about_all(const struct placing *p, const json_t *terms, const json_t *other)
{
    json_t *term;
    size_t i;
    json_array_foreach((json_t *)(uintptr_t)terms, i,
                       term) if (!term_is_about(p, term, p->pod, other)) return false;
    return true;
}

/* One of the pods that all terms are about is in the place's domain of this one. */
static bool is_near(const struct placing *p, const json_t *terms, const json_t *term,
                    const struct candidate *place)
{
    const char *key = json_key_str(term, "topologyKey"), *domain = domain_of(place, key);
    for (size_t i = 0; domain && i < p->neighbours.n; i++)
        if (streq(domain, domain_of(p->neighbours.v[i].place, key)) &&
            about_all(p, terms, p->neighbours.v[i].pod))
            return true;
    return false;
}

/* Nobody is there yet that the terms are about: the first of a group that is to be together. */
static bool is_first(const struct placing *p, const json_t *terms)
{
    json_t *term;
    size_t i;
    if (!about_all(p, terms, p->pod))
        return false;
    for (size_t k = 0; k < p->neighbours.n; k++)
        json_array_foreach(
            (json_t *)(uintptr_t)terms, i,
            term) if (domain_of(p->neighbours.v[k].place, json_key_str(term, "topologyKey")) &&
                      about_all(p, terms, p->neighbours.v[k].pod)) return false;
    return true;
}

static void refuse_by_own_affinity(struct placing *p)
{
    const json_t *terms = terms_of(p->pod, "podAffinity", REQUIRED);
    json_t *term;
    size_t k;
    if (!json_array_size(terms))
        return;
    bool first = is_first(p, terms);
    for (size_t i = 0; i < p->n; i++) {
        struct candidate *place = &p->places[i];
        bool fits = !place->refused;
        json_array_foreach((json_t *)(uintptr_t)terms, k, term) fits =
            fits && domain_of(place, json_key_str(term, "topologyKey")) &&
            (first || is_near(p, terms, term, place));
        if (!fits && !place->refused)
            place_refuse(p, place, "node(s) didn't match pod affinity rules");
    }
}

static void refuse_domain(struct placing *p, const char *key, const struct candidate *of,
                          const char *reason)
{
    const char *domain = domain_of(of, key);
    for (size_t i = 0; domain && i < p->n; i++)
        if (!p->places[i].refused && streq(domain, domain_of(&p->places[i], key)))
            place_refuse(p, &p->places[i], reason);
}

void refuse_by_affinity(struct placing *p)
{
    const json_t *own = terms_of(p->pod, "podAntiAffinity", REQUIRED);
    json_t *term;
    size_t i;
    refuse_by_own_affinity(p);
    for (size_t k = 0; k < p->neighbours.n; k++) {
        const struct neighbour *n = &p->neighbours.v[k];
        json_array_foreach((json_t *)(uintptr_t)own, i,
                           term) if (term_is_about(p, term, p->pod, n->pod))
            refuse_domain(p, json_key_str(term, "topologyKey"), n->place,
                          "node(s) didn't match pod anti-affinity rules");
    }
    for (size_t k = 0; k < p->neighbours.n; k++) {
        const struct neighbour *n = &p->neighbours.v[k];
        json_array_foreach(terms_of(n->pod, "podAntiAffinity", REQUIRED), i,
                           term) if (term_is_about(p, term, n->pod, p->pod))
            refuse_domain(p, json_key_str(term, "topologyKey"), n->place,
                          "node(s) didn't satisfy existing pods anti-affinity rules");
    }
}

static void like_by_affinity(struct placing *p, const char *kind, int64_t sign)
{
    json_t *preferred;
    size_t k;
    json_array_foreach(terms_of(p->pod, kind, PREFERRED), k, preferred)
    {
        const json_t *term = json_object_get(preferred, "podAffinityTerm");
        const char *key = json_key_str(term, "topologyKey");
        int64_t weight = sign * json_at_int(preferred, "weight", 1);
        for (size_t m = 0; m < p->neighbours.n; m++) {
            const char *domain = domain_of(p->neighbours.v[m].place, key);
            if (!domain || !term_is_about(p, term, p->pod, p->neighbours.v[m].pod))
                continue;
            for (size_t i = 0; i < p->n; i++)
                if (streq(domain, domain_of(&p->places[i], key)))
                    p->places[i].liking += weight;
        }
    }
}

/* ---- spread ---- */

static bool is_hard(const json_t *constraint)
{
    return !streq(json_key_str(constraint, "whenUnsatisfiable"), "ScheduleAnyway");
}

/* Nodes count that the pod may go to by the policies, and that are in a domain of each hard
 * constraint. */
static bool counts(const struct placing *p, const json_t *constraint, const struct candidate *place)
{
    json_t *other;
    size_t i;
    if (!streq(json_key_str(constraint, "nodeAffinityPolicy"), "Ignore") &&
        !node_is_selected(p->pod, place->node))
        return false;
    if (streq(json_key_str(constraint, "nodeTaintsPolicy"), "Honor") &&
        node_repels(p->pod, place->node))
        return false;
    json_array_foreach(
        json_at(p->pod, "spec.topologySpreadConstraints"), i,
        other) if (is_hard(other) &&
                   !domain_of(place, json_key_str(other, "topologyKey"))) return false;
    return domain_of(place, json_key_str(constraint, "topologyKey")) != NULL;
}

/* Domain -> how many of the selected pods are there. */
static json_t *count_domains(const struct placing *p, const json_t *constraint)
{
    const char *key = json_key_str(constraint, "topologyKey"),
               *ns = json_at_str(p->pod, "metadata.namespace");
    json_t *domains = json_object();
    for (size_t i = 0; i < p->n; i++)
        if (counts(p, constraint, &p->places[i]))
            json_object_set_new(domains, domain_of(&p->places[i], key), json_integer(0));
    for (size_t i = 0; i < p->neighbours.n; i++) {
        const struct neighbour *n = &p->neighbours.v[i];
        if (is_deleting(n->pod) || !streq(ns, json_at_str(n->pod, "metadata.namespace")) ||
            !selects(constraint, p->pod, n->pod) || !counts(p, constraint, n->place))
            continue;
        json_t *count = json_object_get(domains, domain_of(n->place, key));
        json_integer_set(count, json_integer_value(count) + 1);
    }
    return domains;
}

static int64_t least(const json_t *domains, int64_t min_domains)
{
    const char *name;
    json_t *n;
    int64_t min = INT64_MAX;
    if ((int64_t)json_object_size(domains) < MAX(min_domains, (int64_t)1))
        return 0;
    json_object_foreach((json_t *)(uintptr_t)domains, name, n) min =
        MIN(min, (int64_t)json_integer_value(n));
    return min;
}

void refuse_by_spread(struct placing *p)
{
    static const char unequal[] = "node(s) didn't match pod topology spread constraints";
    json_t *c;
    size_t k;
    json_array_foreach(json_at(p->pod, "spec.topologySpreadConstraints"), k, c)
    {
        if (!is_hard(c))
            continue;
        AUTO_JSON json_t *domains = count_domains(p, c);
        int64_t min = least(domains, json_at_int(c, "minDomains", 1)),
                self = selects(c, p->pod, p->pod), most = json_at_int(c, "maxSkew", 1);
        for (size_t i = 0; i < p->n; i++) {
            struct candidate *place = &p->places[i];
            const char *domain = domain_of(place, json_key_str(c, "topologyKey"));
            if (place->refused)
                continue;
            if (!domain)
                place_refuse(p, place,
                             "node(s) didn't match pod topology spread constraints (missing "
                             "required label)");
            else if (json_integer_value(json_object_get(domains, domain)) + self - min > most)
                place_refuse(p, place, unequal);
        }
    }
}

static void like_by_spread(struct placing *p)
{
    json_t *c;
    size_t k;
    json_array_foreach(json_at(p->pod, "spec.topologySpreadConstraints"), k, c)
    {
        if (is_hard(c))
            continue;
        AUTO_JSON json_t *domains = count_domains(p, c);
        for (size_t i = 0; i < p->n; i++) {
            const char *domain = domain_of(&p->places[i], json_key_str(c, "topologyKey"));
            p->places[i].liking -=
                domain ? json_integer_value(json_object_get(domains, domain)) : LIKING_NO_DOMAIN;
        }
    }
}

void like_by_topology(struct placing *p)
{
    like_by_affinity(p, "podAffinity", 1);
    like_by_affinity(p, "podAntiAffinity", -1);
    like_by_spread(p);
}
